"""
A gateway for the tests: it signs on, builds whole messages, and matches answers.
"""

import asyncio
import contextlib
import io
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import iso8583
import pytest
from counterfoil_rail.dialects import GW87, Fields
from counterfoil_rail.listing import charges
from counterfoil_rail.log import Log
from counterfoil_rail.server import Rail, Settings, running
from counterfoil_rail.settlement import listing

ANSWER_SECONDS_MAX = 5.0
CARD = "4111111111111111"
STANS = itertools.count(1)


def payment(mti: str = "0200", *, amount: int = 4200, card: str = CARD, **changes: str) -> Fields:
    """
    Return a whole 0100 or 0200 with a new STAN; `f14="2801"` changes a field, "" removes it.
    """
    stan = f"{next(STANS):06d}"
    fields = {
        "t": mti,
        "2": card,
        "3": "000000",
        "4": f"{amount:012d}",
        "7": "1123101500",
        "11": stan,
        "12": "101500",
        "13": "1123",
        "14": "3012",
        "18": "5999",
        "22": "010",
        "25": "59",
        "32": "123456",
        "33": "987654",
        "37": f"632710{stan}",
        "41": "TERM0001",
        "42": "MERCHANT0000001",
        "43": f"{'The Book Shop':<23}{'Springfield':<13}ILUS",
        "48": "0203123" + "080562704" + "090510 Ma" + "11041001",
        "49": "840",
        "60": "000001",
    }
    return _changed(fields, changes)


def follow_up(original: Fields, mti: str, *, amount: int | None = None, **changes: str) -> Fields:
    """
    Return a capture, refund or reversal of *original*, whole, with a new STAN.
    """
    stan = f"{next(STANS):06d}"
    named = f"{original['t']}{original['11']}{original['7']}{'123456':0>11}{'987654':0>11}"
    fields = original | {"t": mti, "11": stan, "7": "1123101600", "90": named}
    fields["4"] = original["4"] if amount is None else f"{amount:012d}"
    for number in ("14", "48", "38", "39", "3"):
        fields.pop(number, None)
    fields["3"] = "000000"
    fields["38" if mti.startswith("022") else "39"] = "000000" if mti.startswith("022") else "17"
    return _changed(fields, changes)


def refund(original: Fields, *, amount: int | None = None, **changes: str) -> Fields:
    """
    Return a refund of *original*: a new RRN, no approval code.
    """
    fields = follow_up(original, "0220", amount=amount, f3="200000", f38="")
    return _changed(fields | {"37": f"632711{fields['11']}"}, changes)


def forced(*, amount: int = 4200, **changes: str) -> Fields:
    """
    Return a forced capture: a 0220 without an original, with the issuer's voice code.
    """
    fields = payment("0220", amount=amount) | {"38": "H7K2P9", "48": "11041001"}
    return _changed(fields, changes)


def credit(*, amount: int = 4200, **changes: str) -> Fields:
    """
    Return an unlinked credit: a 0200 that gives.
    """
    return _changed(payment(amount=amount, f3="200000", f48=""), changes)


def part(original: Fields, remaining: int, *, amount: int | None = None, **changes: str) -> Fields:
    """
    Return the 0420 that lowers *original* to *remaining*.
    """
    de95 = f"{remaining:012d}".ljust(42, "0")
    fields = follow_up(original, "0420", amount=amount, f39="32", f95=de95)
    return _changed(fields, changes)


def close(
    mti: str = "0500",
    *,
    debits: Sequence[int] = (),
    voids: Sequence[int] = (),
    credits: Sequence[int] = (),  # noqa: A002 -- the field's own word.
    refund_voids: Sequence[int] = (),
    authorizations: int = 0,
    **changes: str,
) -> Fields:
    """
    Return a 0500 or 0520 with these amounts counted, and a new STAN.
    """
    net = sum(debits) - sum(voids) - sum(credits) + sum(refund_voids)
    fields = {
        "t": mti,
        "7": "1123230000",
        "11": f"{next(STANS):06d}",
        "32": "123456",
        "33": "987654",
        "41": "TERM0001",
        "42": "MERCHANT0000001",
        "50": "840",
        "60": "000001",
        "74": f"{len(credits):010d}",
        "75": f"{len(refund_voids):010d}",
        "76": f"{len(debits):010d}",
        "77": f"{len(voids):010d}",
        "81": f"{authorizations:010d}",
        **dict.fromkeys(("82", "83", "84", "85"), "0" * 12),
        "86": f"{sum(credits):016d}",
        "87": f"{sum(refund_voids):016d}",
        "88": f"{sum(debits):016d}",
        "89": f"{sum(voids):016d}",
        "97": f"{'C' if net >= 0 else 'D'}{abs(net):016d}",
    }
    return _changed(fields, changes)


def item(message: Fields, **changes: str) -> Fields:
    """
    Return the 0320 that uploads what *message* (0200 or 0220) made, with a new STAN.
    """
    named = f"{message['t']}{message['11']}{message['7']}{'123456':0>11}{'987654':0>11}"
    kept = ("2", "3", "4", "12", "13", "32", "33", "37", "41", "42", "49", "60")
    fields = {number: message[number] for number in kept}
    fields |= {"t": "0320", "7": "1123230001", "11": f"{next(STANS):06d}", "39": "00", "90": named}
    if not message["3"].startswith("20"):
        fields["38"] = "123456"
    return _changed(fields | {"71": "0001", "72": "0001"}, changes)


def network(code: str, **changes: str) -> Fields:
    """
    Return an 0800.
    """
    fields = {"t": "0800", "7": "1123101500", "11": f"{next(STANS):06d}", "33": "987654"}
    return _changed(fields | {"70": code}, changes)


def frame(fields: Fields) -> bytes:
    """
    Return the bytes that go onto the wire.
    """
    raw, _ = iso8583.encode(dict(fields), GW87.spec)
    return len(raw).to_bytes(2, "big") + bytes(raw)


def _changed(fields: Fields, changes: Fields) -> Fields:
    changed = fields | {name.removeprefix("f"): value for name, value in changes.items()}
    return {number: value for number, value in changed.items() if value}


class Gateway:
    """
    One link to the rail. Answers are handed out by STAN, in whatever order they come.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, fields: Fields) -> Fields:
        """
        Send one message and return the next answer.
        """
        self.send(fields)
        return await self.answer()

    def send(self, *messages: Fields) -> None:
        """
        Send messages in one write.
        """
        self.writer.write(b"".join(frame(fields) for fields in messages))

    async def answer(self, *, seconds: float = ANSWER_SECONDS_MAX) -> Fields:
        """
        Return the next message from the rail.
        """
        async with asyncio.timeout(seconds):
            header = await self.reader.readexactly(2)
            raw = await self.reader.readexactly(int.from_bytes(header, "big"))
        fields, _ = iso8583.decode(raw, GW87.spec)
        return fields

    async def is_silent(self, *, seconds: float = 0.1) -> bool:
        """
        Tell whether nothing comes for a while.
        """
        try:
            await self.answer(seconds=seconds)
        except TimeoutError:
            return True
        return False

    async def is_closed(self) -> bool:
        """
        Tell whether the rail has ended the link without another byte.
        """
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


class Sandbox:
    """
    A running rail, its folder and its log.
    """

    def __init__(self, state: Path, rail: Rail, log: io.StringIO) -> None:
        self.state = state
        self.port = rail.port
        self.faults = rail.faults
        self.close_batches = rail.host.close_batches
        self.days = rail.days
        self.log = log

    @contextlib.asynccontextmanager
    async def link(self, *, sign_on: bool = True) -> AsyncIterator[Gateway]:
        """
        Connect a gateway.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        gateway = Gateway(reader, writer)
        try:
            if sign_on:
                assert (await gateway.ask(network("001")))["39"] == "00"
            yield gateway
        finally:
            writer.close()

    def files(self, pattern: str = "*.*") -> dict[str, str]:
        """
        Return the reports and statements written so far, by name.
        """
        folder = self.state / "rail" / "files"
        return {path.name: path.read_text("utf-8") for path in sorted(folder.rglob(pattern))}

    def report(self) -> str:
        """
        Return the only settlement report.
        """
        (content,) = self.files("*.csv").values()
        return content

    def deposits(self) -> list[dict[str, Any]]:
        """
        Return what `deposits --json` says.
        """
        return list(listing.deposits(self.state))

    def batch(self, number: str = "000001") -> dict[str, Any]:
        """
        Return what `batches --json` says about one batch.
        """
        (found,) = [row for row in listing.batches(self.state) if row["number"] == number]
        return found

    def movements(self, fields: Fields) -> list[tuple[str, str]]:
        """
        Return kind and state of each movement of a payment's charge.
        """
        moved: Any = self.charge(fields)["movements"]
        return [(movement["kind"], movement["state"]) for movement in moved]

    def charges(self) -> list[dict[str, object]]:
        """
        Return what the books say.
        """
        return list(charges(self.state))

    def charge(self, fields: Fields) -> dict[str, object]:
        """
        Return the only charge of a payment.
        """
        (found,) = [charge for charge in self.charges() if charge["rrn"] == fields["37"]]
        return found

    def totals(self, number: str = "000001") -> dict[str, int]:
        """
        Return the totals of a batch.
        """
        return self._row("SELECT * FROM batch WHERE number = ?", number)

    def account(self, last4: str = "1111") -> dict[str, int]:
        """
        Return what a card's account holds and has spent.
        """
        return self._row("SELECT held_minor, spent_minor FROM account WHERE last4 = ?", last4)

    def _row(self, query: str, *values: str) -> dict[str, int]:
        books = sqlite3.connect(self.state / "rail" / "books.sqlite")
        books.row_factory = sqlite3.Row
        with contextlib.closing(books):
            return dict(books.execute(query, values).fetchone())

    def logged(self, event: str) -> list[dict[str, object]]:
        """
        Return the lines of one event in the log.
        """
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


def monday() -> datetime:
    """
    Return the time of the tests' messages: a Monday, so that deposits are paid the day after.
    """
    return datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Sandbox]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """
    Start a rail on a folder of the test's own; again on the same one if asked twice.
    """

    @contextlib.asynccontextmanager
    async def _start(**settings: object) -> AsyncIterator[Sandbox]:
        stream = io.StringIO()
        chosen = Settings(tmp_path, **({"clock": monday} | settings))  # type: ignore[arg-type]
        async with running(chosen, Log(chosen.clock, stream=stream)) as rail:
            yield Sandbox(tmp_path, rail, stream)

    return _start


@pytest.fixture
async def rail(start: Start) -> AsyncIterator[Sandbox]:
    """
    A running rail.
    """
    async with start() as sandbox:
        yield sandbox


@pytest.fixture
async def gateway(rail: Sandbox) -> AsyncIterator[Gateway]:
    """
    A gateway that has signed on.
    """
    async with rail.link() as link:
        yield link
