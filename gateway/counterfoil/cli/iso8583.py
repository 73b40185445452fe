"""
`counterfoil iso8583`: messages on the wire to JSON and back, one line each.

For people who look at a trace, and as a filter in a pipe: every line on standard input
gives exactly one line on standard output, at once. Card data is masked unless `--clear`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NoReturn

import cyclopts
import msgspec

from counterfoil.network.encodings import EncodingName

if TYPE_CHECKING:  # Loaded when a command runs, so that the program starts fast.
    from counterfoil.network.codec import Codec
    from counterfoil.network.tlv import Tag

LINE_BYTES_MAX = 65_536  # Far more than 4096 bytes can take as hex or as JSON.
EXIT_UNUSABLE = 2  # The table cannot be used: nothing was read.

app = cyclopts.App(name="iso8583", help="Decode and encode ISO 8583 messages, line by line.")

DialectOption = Annotated[
    str, cyclopts.Parameter(help="A shipped dialect, or the path of a dialect's file.")
]
EncodingOption = Annotated[
    EncodingName | None,
    cyclopts.Parameter(help="How messages are encoded; without it as the dialect says."),
]
TableOption = Annotated[
    Path | None,
    cyclopts.Parameter(help="A field table as JSON; without it that of the dialect."),
]


class LineError(Exception):
    """
    A line that cannot be read. The sentence never repeats what the line held.
    """

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


@app.command
def decode(
    *,
    dialect: DialectOption = "gw87",
    encoding: EncodingOption = None,
    table: TableOption = None,
    clear: Annotated[
        bool, cyclopts.Parameter(negative="", help="Show card data. Mind where it goes.")
    ] = False,
) -> None:
    """
    Turn lines of hex into lines of JSON.

    The answer to a line is {"mti": ..., "fields": {...}}, with binary fields as upper-case
    hex, or {"error": ..., "field": ...} if the line cannot be read. The exit code is 0 in
    both cases, and 2 if the table cannot be used.
    """
    from counterfoil.network.masking import masked

    codec, tags = _codec(dialect, encoding, table)

    def decoded(line: bytes) -> bytes:
        message = codec.decode(_from_hex(line))
        fields = message.fields if clear else masked(message.fields, tags)
        shown = {
            str(number): value.hex().upper() if isinstance(value, bytes) else value
            for number, value in fields.items()
        }
        return msgspec.json.encode({"mti": message.mti, "fields": shown})

    _filter(decoded)


@app.command
def encode(
    *,
    dialect: DialectOption = "gw87",
    encoding: EncodingOption = None,
    table: TableOption = None,
) -> None:
    """
    Turn lines of JSON into lines of upper-case hex: always the full message, never masked.

    A line is {"mti": "0200", "fields": {"2": "...", "55": "9F26..."}}: values are strings,
    binary fields in hex. A line that cannot be read gives {"error": ..., "field": ...}. The
    exit code is 0 in both cases, and 2 if the table cannot be used.
    """
    codec, _ = _codec(dialect, encoding, table)

    def encoded(line: bytes) -> bytes:
        mti, fields = _from_json(line, codec)
        return codec.encode(mti, fields).hex().upper().encode("ascii")

    _filter(encoded)


def _codec(
    dialect: str, encoding: EncodingName | None, table: Path | None
) -> "tuple[Codec, dict[str, Tag]]":
    """
    Return the codec asked for, without a MAC, and the tags that are known to the dialect; or
    end the program with a sentence that says why not.
    """
    from counterfoil.network.codec import Codec
    from counterfoil.network.dialect import load_dialect
    from counterfoil.network.fields import TableError, load_table

    try:
        loaded = load_dialect(dialect, encoding=encoding)
        fields = loaded.table if table is None else load_table(table.read_bytes())
    except OSError as error:
        _refuse(f"The field table {table} cannot be read: {error.strerror}.")
    except TableError as error:
        _refuse(f"{table or dialect}: {error}")
    return Codec(fields, loaded.codec.profile.encoding), loaded.tags


def _refuse(sentence: str) -> NoReturn:
    """
    Say on standard error why nothing can be done, and end the program.
    """
    sys.stderr.write(sentence + "\n")
    sys.exit(EXIT_UNUSABLE)


def _filter(convert: Callable[[bytes], bytes]) -> None:
    """
    Answer each line on standard input with one line on standard output.
    """
    output = sys.stdout.buffer
    try:
        for line in _lines(sys.stdin.buffer):
            output.write(_answer(line, convert) + b"\n")
            output.flush()
    except BrokenPipeError:
        # Whoever reads us has had enough; what the exit still flushes goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer(line: bytes | None, convert: Callable[[bytes], bytes]) -> bytes:
    """
    Return the line that answers *line*, which is None if it was too long to be kept.
    """
    from counterfoil.network.message import MessageError

    try:
        if line is None:
            raise LineError(f"The line is longer than {LINE_BYTES_MAX} bytes.")
        if not line:
            raise LineError("The line is empty.")
        return convert(line)
    except LineError as error:
        return msgspec.json.encode({"error": str(error), "field": error.field})
    except MessageError as error:
        field = None if error.field is None else str(error.field)
        return msgspec.json.encode({"error": str(error), "field": field})


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """
    Yield each line without the white space around it, and None for one that is too long.
    """
    while line := stream.readline(LINE_BYTES_MAX + 1):
        if len(line) <= LINE_BYTES_MAX or line.endswith(b"\n"):
            yield line.strip()
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LINE_BYTES_MAX)
        yield None


def _from_hex(text: bytes) -> bytes:
    """
    Return the bytes that *text* spells in hex.
    """
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise LineError("The line is not hex.") from None


def _from_json(line: bytes, codec: "Codec") -> tuple[str, dict[int, str | bytes]]:
    """
    Return the MTI and the fields that *line* holds as JSON.
    """
    try:
        request = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LineError("The line is not JSON.") from None
    if not isinstance(request, dict) or request.keys() != {"mti", "fields"}:
        raise LineError('The line is not a JSON object with "mti" and "fields".')
    mti, fields = request["mti"], request["fields"]
    if not isinstance(mti, str):
        raise LineError("The MTI must be a string of four digits.")
    if not isinstance(fields, dict):
        raise LineError('"fields" must be a JSON object.')
    return mti, dict(_field(key, value, codec) for key, value in fields.items())


def _field(key: str, value: object, codec: "Codec") -> tuple[int, str | bytes]:
    """
    Return the number and value of one field of a JSON message.
    """
    number = int(key) if key.isascii() and key.isdecimal() and len(key) <= 3 else -1
    if str(number) != key:
        raise LineError("A field's name is not a field number.")
    if not isinstance(value, str):
        raise LineError(f"Field {key} must be a string.", key)
    if codec.profile.spec_of(number).kind != "b":
        return number, value
    try:
        return number, bytes.fromhex(value)
    except ValueError:
        raise LineError(f"Field {key} must be given in hex.", key) from None
