"""
Take a file from the acquirer or the bank: read it whole, hold it whole, or know it already.

Whatever comes is kept with its exact bytes. A file is booked in one transaction; a crash before
its commit leaves nothing, and the file is simply taken again. The same bytes are booked once,
however often and by however many workers they are taken.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from counterfoil.clock import Clock
from counterfoil.config import Acquirer
from counterfoil.ids import Ids
from counterfoil.settlement import bai2, camt053, report_file
from counterfoil.settlement.funding import Terms, book_statement
from counterfoil.settlement.held import FileHeld, has_card_number, shown, without_card_numbers
from counterfoil.settlement.reconcile import NotBooked, book_report
from counterfoil.settlement.report_file import REPORT_BYTES_MAX, Report
from counterfoil.settlement.statement import Statement
from counterfoil.store.booking import BookingRefused, Kept
from counterfoil.store.settlement import SettlementStore

FILE_BYTES_MAX = REPORT_BYTES_MAX
HELD_AT_ONCE_MAX = 20
NAME_CHARACTERS_MAX = 200

Kind = Literal["report", "statement"]
State = Literal["read", "held", "known"]

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"H,", "report"),
    (b"01,", "bai2"),
    (b"<", "camt.053"),
    (b"\xef\xbb\xbf<", "camt.053"),
)

_KINDS: dict[str, Kind] = {"report": "report", "camt.053": "statement", "bai2": "statement"}

log = structlog.get_logger("settlement")


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of a file: read now, held with the reason, or read before and known.
    """

    name: str
    digest: str
    kind: str
    state: State
    reason: str | None = None
    file_id: str | None = None


class FileTooLarge(Exception):
    """
    A file that is larger than any report or statement may be; it is not even kept.
    """


class Intake:
    """
    Takes files for one installation: for all its merchants, from its own acquirers.
    """

    def __init__(
        self, store: SettlementStore, acquirers: Sequence[Acquirer], clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._acquirers = {each.name: each for each in acquirers}
        self._clock = clock
        self._ids = ids

    async def take_file(self, content: bytes, name: str, kind: Kind | None = None) -> Taken:
        """
        Take a file; *kind* is what it should be, for one that does not look like anything.

        Raises:
            FileTooLarge: It is not kept.
            DatabaseAway: In doubt; take it again to learn.
        """
        if len(content) > FILE_BYTES_MAX:
            raise FileTooLarge(f"{name} has more than {FILE_BYTES_MAX} bytes")
        form = next((form for begin, form in _BEGINNINGS if content.startswith(begin)), None)
        file = Kept(
            digest=hashlib.sha256(content).digest(),
            kind=_KINDS[form] if form else kind or "unknown",
            name=shown_name(name),
            content=content,
        )
        before = await self._store.file(file.digest)
        if before is not None and before["state"] == "read":
            file = msgspec.structs.replace(file, kind=before["kind"], file_id=before["file_id"])
            return _taken(file, "known")
        try:
            return await self._read(file, form)
        except FileHeld as error:
            return await self._hold(_without_cards(file), str(error))

    async def retry_held(self, *, everything: bool = False) -> list[Taken]:
        """
        Look again at held files that something has changed for; return what became of them.
        """
        found = []
        for digest in await self._store.held_to_look_at(
            everything=everything, limit=HELD_AT_ONCE_MAX
        ):
            if kept := await self._store.content(digest):
                name, content = kept
                found.append(await self.take_file(content, name))
        return found

    async def _read(self, file: Kept, form: str | None) -> Taken:
        """
        Read a file of this form, and book it.

        Raises:
            FileHeld: It cannot be read.
        """
        match form:
            case "report":
                report = await asyncio.to_thread(report_file.read, file.content)
                return await self._take_report(file, report)
            case "camt.053":
                statements = await asyncio.to_thread(camt053.read, file.content)
                return await self._take_statements(file, statements)
            case "bai2":
                statements = await asyncio.to_thread(bai2.read, file.content)
                return await self._take_statements(file, statements)
        raise FileHeld("the file is neither a settlement report nor camt.053 nor BAI2")

    async def _take_report(self, file: Kept, report: Report) -> Taken:
        file = msgspec.structs.replace(file, file_id=report.file_id)
        ours = [
            each.name
            for each in self._acquirers.values()
            if int(each.institution_id) == int(report.acquirer_institution_id)
        ]
        if not ours:
            reason = (
                f"Institution {report.acquirer_institution_id} is no acquirer of this "
                "installation: it may be for the other mode, or for another installation."
            )
            return await self._hold(file, reason, looks_again=True)
        found = await self._store.merchants_of_acceptor(ours, report.card_acceptor_id)
        if len(found) != 1:
            whose = "nobody here" if not found else "several merchants here"
            reason = f"Card acceptor {shown(report.card_acceptor_id)} is {whose}."
            return await self._hold(file, reason, looks_again=True)
        merchant_id, acquirer = found[0]
        file = msgspec.structs.replace(file, merchant_id=merchant_id)
        return await self._book(file, merchant_id, report, acquirer)

    async def _take_statements(self, file: Kept, statements: tuple[Statement, ...]) -> Taken:
        first = statements[0]
        file = msgspec.structs.replace(file, file_id=f"{first.account}/{first.statement_id}")
        owners: set[UUID] = set()
        for each in statements:
            found = await self._store.merchants_of_account(
                each.account, each.currency, list(self._acquirers)
            )
            if len(found) != 1:
                whose = "nobody's here" if not found else "several merchants' here"
                reason = (
                    f"Account {shown(each.account)} in {each.currency} is {whose}: "
                    "`counterfoil settlement account` says whose it is."
                )
                return await self._hold(file, reason, looks_again=True)
            owners.update(found)
        if len(owners) > 1:
            return await self._hold(file, "It has statements of several merchants.")
        merchant_id = owners.pop()
        file = msgspec.structs.replace(file, merchant_id=merchant_id)
        return await self._book(file, merchant_id, statements, None)

    async def _book(
        self,
        file: Kept,
        merchant_id: UUID,
        content: Report | tuple[Statement, ...],
        acquirer: str | None,
    ) -> Taken:
        """
        Book a file in one transaction; hold it if it says what cannot be booked.
        """
        try:
            booked = await self._booked(file, merchant_id, content, acquirer)
        except NotBooked as error:
            return await self._hold(file, str(error), looks_again=error.looks_again)
        except BookingRefused as error:
            log.error("file_refused", kind=file.kind, file_id=file.file_id, reason=str(error))
            return await self._hold(file, f"It can be read, but {error}.")
        if booked:
            log.info("file_read", kind=file.kind, file_id=file.file_id, merchant=merchant_id.hex)
        return _taken(file, "read" if booked else "known")

    async def _booked(
        self,
        file: Kept,
        merchant_id: UUID,
        content: Report | tuple[Statement, ...],
        acquirer: str | None,
    ) -> bool:
        terms = await self._terms(merchant_id)
        assert file.file_id is not None
        async with self._store.booking(merchant_id, self._clock.now()) as booking:
            other = await booking.file_with_id(file.kind, file.file_id)
            if other is not None and other["digest"] != file.digest:
                raise NotBooked(
                    f"{file.file_id} was read before, with other content, as {other['name']}. Ask "
                    "which of the two counts."
                )
            if not await booking.keep(file):
                return False  # Another worker was faster; we waited for it.
            if isinstance(content, Report):
                assert acquirer is not None
                await book_report(
                    content, acquirer=acquirer, digest=file.digest, booking=booking, ids=self._ids
                )
            else:
                for each in content:
                    await book_statement(
                        each, digest=file.digest, terms=terms, booking=booking, ids=self._ids
                    )
        return True

    async def _terms(self, merchant_id: UUID) -> list[Terms]:
        """
        Return how the merchant's acquirers write the references of their deposits.
        """
        names = await self._store.acquirers_of(merchant_id, list(self._acquirers))
        return [Terms(name, re.compile(self._acquirers[name].deposit_reference)) for name in names]

    async def _hold(self, file: Kept, reason: str, *, looks_again: bool = False) -> Taken:
        await self._store.hold(file, reason, looks_again=looks_again, at=self._clock.now())
        log.warning("file_held", kind=file.kind, name=file.name, reason=reason)
        return _taken(file, "held", reason)


def shown_name(path: str) -> str:
    """
    Return a file's name as it may be kept and shown: no folders, no control characters.
    """
    name = "".join(each if each.isprintable() else "?" for each in path.rpartition("/")[2])
    return without_card_numbers(name[:NAME_CHARACTERS_MAX]) or "unnamed"


def _without_cards(file: Kept) -> Kept:
    """
    Return *file* without its bytes when they seem to hold a card number in the clear.
    """
    if has_card_number(file.content.decode("latin-1")):
        return msgspec.structs.replace(file, content=b"")
    return file


def _taken(file: Kept, state: State, reason: str | None = None) -> Taken:
    return Taken(
        name=file.name,
        digest=file.digest.hex(),
        kind=file.kind,
        state=state,
        reason=reason,
        file_id=file.file_id,
    )
