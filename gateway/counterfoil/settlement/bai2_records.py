"""
The records of a BAI2 file: lines, their continuations (88), their fields.

A record is `code,field,field,.../`; the text at the end of a detail (16) may hold commas and
slashes and need not be closed. Lines end with LF or CRLF, may be padded with blanks, or are
all of the length that the file header names and have no line ends at all.
"""

import re
from collections.abc import Sequence

import msgspec

from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.statement import STATEMENT_BYTES_MAX

RECORDS_MAX = 200_000
RECORD_LENGTH_FIELD = 6  # In 01: sender, receiver, date, time, file id, record length, ...
RECORD_LENGTH_MAX = 10_000
DETAIL, CONTINUATION = "16", "88"

_JOINT = "\n"  # Between a record and its continuation; no field holds one.
_BETWEEN = re.compile(r"([,\n])")
_BEGIN = re.compile(r"(01|02|03|16|49|88|98|99),")


class Record(msgspec.Struct, frozen=True):
    """
    A record with its continuations; `number` is its first line in the file.

    `pieces` are its lines without code and closing slash, `closed` which of them had one.
    """

    code: str
    number: int
    pieces: tuple[str, ...]
    closed: tuple[bool, ...]


class Fields:
    """
    Takes the fields of a record one after the other, checking each.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._parts = _BETWEEN.split(_JOINT.join(record.pieces))
        self._at = 0

    def left(self) -> bool:
        """
        Say whether a field is left that is not empty.
        """
        return any(self._parts[self._at :: 2])

    def take(self, name: str, pattern: re.Pattern[str]) -> str:
        """
        Return the next field, empty if there is none.

        Raises:
            FileHeld: It is not of the form *pattern*; the sentence does not quote it.
        """
        value = self._parts[self._at].strip() if self._at < len(self._parts) else ""
        self._at += 2
        if not pattern.fullmatch(value):
            raise FileHeld(f"{name} is not well formed", record=self._record.number)
        return value

    def end(self) -> None:
        """
        Say that no field may follow.

        Raises:
            FileHeld: One does.
        """
        if self.left():
            raise FileHeld("a record has too many fields", record=self._record.number)
        self._whole_until(len(self._record.closed))

    def text(self) -> list[str]:
        """
        Return what is left, commas and all, by line: the text of a detail.

        Raises:
            FileHeld: The fields before it are not closed: the record was cut off.
        """
        rest = "".join(self._parts[self._at :])
        lines = rest.split(_JOINT) if self._at < len(self._parts) else []
        self._whole_until(len(self._record.closed) - len(lines))
        return [line.strip() for line in lines if line.strip()]

    def _whole_until(self, end: int) -> None:
        if not all(self._record.closed[:end]):
            raise FileHeld("a record is not closed with a slash", record=self._record.number)


def records_of(content: bytes) -> list[Record]:
    """
    Return the records of a file; there is at least one.

    Raises:
        FileHeld: It is not such a file, or larger than may be.
    """
    if len(content) > STATEMENT_BYTES_MAX:
        raise FileHeld("the file is too large", expected=f"up to {STATEMENT_BYTES_MAX} bytes")
    if not content.isascii():
        raise FileHeld("the file is not ASCII")
    lines = _lines(content.decode("ascii"))
    if not 0 < len(lines) <= RECORDS_MAX:
        raise FileHeld("the number of records", expected=f"1 to {RECORDS_MAX}", found=len(lines))
    return _joined(lines)


def split(records: Sequence[Record], first: str, last: str) -> list[list[Record]]:
    """
    Return *records* as runs that each begin with a *first* and end with a *last*.

    Raises:
        FileHeld: A record stands outside such a run, or one is not ended.
    """
    runs: list[list[Record]] = []
    run: list[Record] = []
    for record in records:
        if (record.code == first) is bool(run):
            expected = f"{last} before the next {first}" if run else first
            raise FileHeld(
                "a record is out of place",
                expected=expected,
                found=record.code,
                record=record.number,
            )
        run.append(record)
        if record.code == last:
            runs.append(run)
            run = []
    if run:
        raise FileHeld(f"the record {first} has no {last}", record=run[0].number)
    return runs


def _lines(text: str) -> list[str]:
    """
    Return the file's lines without line ends and padding.
    """
    if _JOINT in text:
        lines = [line.removesuffix("\r").rstrip(" ") for line in text.split(_JOINT)]
    else:
        width = _record_length(text)
        lines = [text[at : at + width].rstrip(" ") for at in range(0, len(text), width)]
    while lines and not lines[-1]:  # Blocks are filled up with blank records.
        lines.pop()
    return lines


def _record_length(text: str) -> int:
    """
    Return how long each record is in a file without line ends: its header says it.
    """
    fields = text[:RECORD_LENGTH_MAX].split("/")[0].split(",")
    width = fields[RECORD_LENGTH_FIELD] if len(fields) > RECORD_LENGTH_FIELD else ""
    if re.fullmatch("[0-9]{1,5}", width) and 0 < int(width) <= RECORD_LENGTH_MAX:
        return int(width)
    return len(text) or 1


def _joined(lines: list[str]) -> list[Record]:
    """
    Return the records that *lines* make, each with its continuations.
    """
    records: list[Record] = []
    run: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not _BEGIN.match(line) or not line.isprintable():
            raise FileHeld("a line is no record of BAI2", record=number)
        if not line.startswith(CONTINUATION):
            records += [_record(run, number - len(run))] if run else []
            run = []
        elif not run:
            raise FileHeld("a continuation continues nothing", record=number)
        run.append(line)
    return [*records, _record(run, len(lines) - len(run) + 1)]


def _record(lines: list[str], number: int) -> Record:
    """
    Return the record that *lines* make, the first of which is line *number*.
    """
    bodies = [line[3:] for line in lines]
    return Record(
        code=lines[0][:2],
        number=number,
        pieces=tuple(body.removesuffix("/") for body in bodies),
        closed=tuple(body.endswith("/") for body in bodies),
    )
