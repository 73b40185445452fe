"""
The host's journal: what an acquirer knows, read line by line and checked.

JSON lines. The first line says what it is, since when it is complete (`from`; null: always),
and which numbers each terminal has used. Every further line is one authorization or sale, but
for the last, which says how many there were: a journal that was cut short looks whole otherwise,
and what it lacks would be forgotten for good::

    {"format": "counterfoil-host-journal-1", "from": null, "terminals": [
        {"terminal_id": "TERM0001", "last_stans": {"1127": 512}, "last_batches": {"USD": 3}}]}
    {"terminal_id": "TERM0001", "rrn": "633108000012", "kind": "sale", "state": "captured",
     "currency": "USD", "amount_minor": 4200, "held_minor": 0, "captured_minor": 4200,
     "refunded_minor": 0, "credited_minor": 0, "batch": "000003", "stan": "000012",
     "approval_code": "123456", "at": "2026-11-27T08:15:00+00:00"}
    {"charges": 1}
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

FORMAT = "counterfoil-host-journal-1"
CHARGES_MAX = 5_000_000
LINE_BYTES_MAX = 1_000_000

T = TypeVar("T")
Minor = Annotated[int, Meta(ge=0, le=999_999_999_999)]
Day = Annotated[str, Meta(pattern="^[0-9]{4}$")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class JournalRefused(Exception):
    """
    The file is no journal that can be read; the message names the line.
    """


class Terminal(msgspec.Struct, frozen=True):
    """
    The numbers that a terminal has used: highest STAN by month and day, highest batch by currency.
    """

    terminal_id: Annotated[str, Meta(min_length=8, max_length=8)]
    last_stans: dict[Day, Annotated[int, Meta(ge=1, le=999_999)]] = {}
    last_batches: dict[Currency, Annotated[int, Meta(ge=1, le=999_999)]] = {}


class Header(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """
    The first line.
    """

    format: str
    terminals: list[Terminal]
    since: datetime | None = None


class Charge(msgspec.Struct, frozen=True):
    """
    One authorization or sale, as the host has it now.
    """

    terminal_id: str
    rrn: Annotated[str, Meta(pattern="^[0-9]{12}$")]
    kind: str
    state: str
    currency: Currency
    amount_minor: Minor
    held_minor: Minor
    captured_minor: Minor
    refunded_minor: Minor
    credited_minor: Minor = 0
    batch: str | None = None
    stan: str | None = None
    approval_code: str | None = None
    at: datetime | None = None

    @property
    def has_money(self) -> bool:
        """
        Whether the cardholder's money is held, taken or given by it.
        """
        return bool(self.held_minor or self.captured_minor or self.credited_minor)


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The last line: how many charges there were.
    """

    charges: Annotated[int, Meta(ge=0)]


class Journal:
    """
    An opened journal: its header, and its charges one by one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.header = self._header()

    def charges(self) -> Iterator[Charge]:
        """
        Yield every charge.

        Raises:
            JournalRefused: A line is no charge, there are too many, or the journal was cut short.
        """
        decoder = msgspec.json.Decoder(Charge)
        last, found = b"", 0
        for number, line in self._lines():
            if last:
                yield _decoded(decoder, last, f"{self._path}, line {number - 1}")
                found += 1
            last = line
        try:
            end = msgspec.json.decode(last, type=End)
        except msgspec.MsgspecError as error:
            raise JournalRefused(
                f"{self._path} does not end with how many charges it has (its last line must be "
                '{"charges": N}): it may have been cut short. Nothing counts as compared; get it '
                "whole, and compare again"
            ) from error
        if end.charges != found:
            raise JournalRefused(
                f"{self._path} says that it has {end.charges} charges, and has {found}: nothing "
                "counts as compared; get it whole, and compare again"
            )

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with self._path.open("rb") as file:
            file.readline(LINE_BYTES_MAX)
            for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX), b""), 2):
                if number > CHARGES_MAX:
                    raise JournalRefused(f"more than {CHARGES_MAX} charges: split the journal")
                if line.strip():
                    yield number, line

    def _header(self) -> Header:
        try:
            with self._path.open("rb") as file:
                first = file.readline(LINE_BYTES_MAX)
        except OSError as error:
            raise JournalRefused(f"cannot read {self._path} ({error.strerror})") from error
        header = _decoded(msgspec.json.Decoder(Header), first, f"{self._path}, line 1")
        if header.format != FORMAT:
            raise JournalRefused(f"{self._path} is not of the form {FORMAT}")
        return header


def _decoded(decoder: "msgspec.json.Decoder[T]", line: bytes, where: str) -> T:
    try:
        return decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise JournalRefused(
            f"{where}: {error}. Expected a host's journal as JSON lines (docs: quarantine)"
        ) from error
