"""
The dialects that the rail speaks: one field table, several ways to put it on the wire.

gw87 is ASCII with raw bitmaps. The others are what acquirers are known for: packed digits behind a
TPDU with a retail MAC, EBCDIC with an AES MAC, and text between STX and ETX. pyiso8583 reads and
writes all of them, by a specification made here of the field table (`fields.json`: kind, length,
length digits).
"""

import hmac
import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import iso8583

from counterfoil_rail.framing import Framing
from counterfoil_rail.mac import MAC_BYTES, MacOf, mac_with

Fields = dict[str, str]
Spec = dict[str, dict[str, Any]]

PACKED = "packed"
PACKED_LENGTH_BYTES = {0: 0, 1: 1, 2: 1, 3: 2}  # By the number of digits that a length has.
MAC, MAC_OF_TWO_BITMAPS = "64", "128"
FIRST_BITMAP_MAX = 64
FIELD_MAX = 128
THIRD_BITMAP = "65"
TPDU, TPDU_OF_ANSWERS = bytes.fromhex("6000870001"), bytes.fromhex("6000010087")
TEXT_HEADER = b"ISO016000055"


class UnreadableError(Exception):
    """
    A frame that cannot be answered: the link is closed, for *reason*.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WrongMacError(Exception):
    """
    A message whose MAC is missing or wrong: nobody acts on it.
    """


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    One dialect. *code* is the codec of the MTI, or PACKED; messages in *exempt* have no MAC.
    """

    name: str
    code: str
    spec: Spec
    framing: Framing
    mac_of: MacOf | None = None
    exempt: frozenset[str] = frozenset()

    def mti(self, message: bytes) -> str:
        """
        Return what *message* says it is; its bytes may be anything.
        """
        if self.code == PACKED:
            return message[:2].hex()
        return message[:4].decode(self.code, "replace")

    def decode(self, message: bytes) -> Fields:
        """
        Read the fields of a message, and check its MAC if it must have one.

        Raises:
            UnreadableError: Its fields cannot be told apart.
            WrongMacError: Its MAC is missing or wrong.
        """
        try:
            fields, _ = iso8583.decode(message, self.spec)
        except iso8583.DecodeError as error:
            raise UnreadableError(f"undecodable_field_{error.field}") from None
        except KeyError as error:  # A bit of no field. Bit 65 is a third bitmap to the codec.
            number = error.args[0] if int(error.args[0]) <= FIELD_MAX else THIRD_BITMAP
            raise UnreadableError(f"undecodable_field_{number}") from None
        if self.mac_of is not None and fields["t"] not in self.exempt:
            found = bytes.fromhex(fields.get(_mac_field(fields), ""))
            if not hmac.compare_digest(found, self.mac_of(message[:-MAC_BYTES])):
                raise WrongMacError
        return fields

    def encode(self, fields: Fields) -> bytes:
        """
        Write one message; "t" is its MTI.
        """
        if self.mac_of is None or fields["t"] in self.exempt:
            raw, _ = iso8583.encode(fields, self.spec)
            return bytes(raw)
        raw, _ = iso8583.encode(fields | {_mac_field(fields): "00" * MAC_BYTES}, self.spec)
        covered = bytes(raw[:-MAC_BYTES])
        return covered + self.mac_of(covered)


def dialect_named(name: str, mac_key: str | None = None) -> Dialect:
    """
    Return the dialect called *name*; *mac_key* is in hex, for those that have a MAC.

    Raises:
        ValueError: There is no such dialect, or it needs a key, or has no use for one.
    """
    if name not in _DIALECTS:
        raise ValueError(f"there is no dialect {name!r}; there are {', '.join(_DIALECTS)}")
    algorithm = _DIALECTS[name].mac
    if (algorithm is None) != (mac_key is None):
        needs = "has no MAC: leave the key out" if algorithm is None else "needs the key of its MAC"
        raise ValueError(f"the dialect {name} {needs}")
    mac_of = None
    if algorithm is not None and mac_key is not None:
        mac_of = mac_with(algorithm, _key_bytes(mac_key))
    chosen = _DIALECTS[name]
    spec = _compile_spec(chosen)
    return Dialect(name, chosen.code, spec, chosen.framing, mac_of, chosen.exempt)


@dataclass(frozen=True, slots=True)
class _Form:
    """
    What makes a dialect: *rows* are members of single fields of the specification.
    """

    code: str
    framing: Framing
    hexadecimal: bool = False
    mac: str | None = None
    exempt: frozenset[str] = frozenset()
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


_DIALECTS = {
    "gw87": _Form("ascii", Framing()),
    "gw87-bcd": _Form(
        PACKED,
        Framing("binary", TPDU, TPDU_OF_ANSWERS),
        mac="retail",
        rows={"2": {"left_pad": "", "right_pad": "F"}},
    ),
    "gw87-ebcdic": _Form(
        "cp037", Framing("digits"), mac="aes_cmac", exempt=frozenset({"0800", "0810"})
    ),
    "gw87-hex": _Form(
        "ascii",
        Framing("stx_etx", TEXT_HEADER, TEXT_HEADER),
        hexadecimal=True,
        left_out=frozenset({"55"}),
    ),
}

FIELD_TABLE: dict[str, dict[str, Any]] = json.loads(
    files(__package__).joinpath("fields.json").read_text("ascii")
)


def _mac_field(fields: Fields) -> str:
    """
    Return the field that closes a message of these fields, which may have it already.
    """
    numbers = (int(number) for number in fields if number.isdigit())
    return MAC_OF_TWO_BITMAPS if max(numbers, default=0) > FIRST_BITMAP_MAX else MAC


def _key_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("the key of the MAC is not in hex") from None


def _compile_spec(form: _Form) -> Spec:
    """
    Turn the field table into pyiso8583's form; field 65 would be a third bitmap to it.
    """
    special = {
        "h": {"kind": "ans", "lv": 0, "len": 0, "name": "Header"},
        "t": {"kind": "n", "lv": 0, "len": 4, "name": "Message type"},
        "p": {"kind": "b", "lv": 0, "len": 8, "name": "Bitmap, primary"},
        "1": {"kind": "b", "lv": 0, "len": 8, "name": "Bitmap, secondary"},
    }
    spec = {
        number: _field_spec(row, form) | form.rows.get(number, {})
        for number, row in (special | FIELD_TABLE).items()
        if number not in form.left_out
    }
    for bitmap in ("p", "1"):  # Their length is the codec's own affair.
        spec[bitmap]["max_len"] = 8
    return spec


def _field_spec(row: dict[str, Any], form: _Form) -> dict[str, Any]:
    """
    Return one field's form: text in the dialect's code, digits packed, binary raw or in hex.
    """
    kind, packed = row["kind"], form.code == PACKED
    text = "ascii" if packed else form.code
    spec = {
        "data_enc": "b" if kind == "b" else text,
        "len_enc": "bcd" if packed else text,
        "len_type": PACKED_LENGTH_BYTES[row["lv"]] if packed else row["lv"],
        "max_len": row["len"],
        "desc": row["name"],
    }
    if kind == "n" and packed:
        return spec | {"data_enc": "b", "len_count": "nibbles", "left_pad": "0"}
    if kind == "b" and form.hexadecimal and not row["lv"]:
        return spec | {"data_enc": text, "max_len": 2 * row["len"]}
    return spec


GW87 = dialect_named("gw87")
