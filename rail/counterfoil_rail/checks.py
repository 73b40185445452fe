"""
What makes a readable request unacceptable: a field that is missing or says nothing valid.

Such a request is answered with response code 30 and touches no books. Mandatory
fields are those of the host's specification; content follows the field table's kinds.
"""

import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files

from counterfoil_rail.dialects import FIELD_TABLE
from counterfoil_rail.message import Request, clear_repeat, read_private
from counterfoil_rail.totals import net_agrees

FORMAT_ERROR = "30"

_ALWAYS = ("2", "3", "4", "7", "11", "12", "13", "32", "37", "41", "42", "49", "60")
_CLOSE = (
    *("7", "11", "32", "33", "41", "42", "50", "60"),
    *("74", "75", "76", "77", "81", "82", "83", "84", "85", "86", "87", "88", "89", "97"),
)
MANDATORY = {
    "0100": (*_ALWAYS, "18", "22", "25", "43"),
    "0200": (*_ALWAYS, "18", "22", "25", "43"),
    "0220": (*_ALWAYS, "18", "22", "25", "43"),
    "0400": (*_ALWAYS, "39", "90"),
    "0420": (*_ALWAYS, "39", "90"),
    "0320": (*_ALWAYS, "39", "71", "72", "90"),
    "0500": _CLOSE,
    "0520": _CLOSE,
    "0800": ("7", "11", "33", "70"),
}
_KEYED_ENTRY_MODES = ("01", "81")  # DE 22: with these the expiry (DE 14) must be sent.

CURRENCIES: Mapping[str, str] = json.loads(
    files(__package__).joinpath("currencies.json").read_text("ascii")
)

_DAY = r"(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3])[0-5]\d[0-5]\d"
_ORIGINALS = frozenset({"0100", "0200", "0220"})
# A merchant or terminal that closes batches gives files their names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]* *")


def first_fault(request: Request) -> str | None:
    """
    Return the number of the first missing or invalid field of *request*, or None.
    """
    fields = request.fields
    for number in MANDATORY[request.function]:
        if number not in fields:
            return number
    for number, value in fields.items():
        is_valid = _VALID.get(number)
        if is_valid is not None and not is_valid(value):
            return number
    return _missing_by_condition(request)


def _missing_by_condition(request: Request) -> str | None:
    """
    Return the field that what else the message says makes mandatory.
    """
    fields = request.fields
    if request.function == "0220" and request.is_refund and "90" not in fields:
        return "90"
    is_payment = request.function in {"0100", "0200"} or request.is_forced
    if is_payment and "14" not in fields and fields["22"].startswith(_KEYED_ENTRY_MODES):
        return "14"
    is_taking = request.function in {"0220", "0320"} and not request.is_refund
    if is_taking and "38" not in fields:
        return "38"
    return _wrong_at_end_of_day(request) if request.is_end_of_day else None


def _wrong_at_end_of_day(request: Request) -> str | None:
    """
    Return the field that no close or upload may have like this.
    """
    fields = request.fields
    for number in ("41", "42"):
        if not _NAME.fullmatch(fields[number]):
            return number
    if request.function == "0320":
        return None if fields["39"] == "00" else "39"
    return None if net_agrees(fields) else "97"


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


def _is_alphanumeric(value: str) -> bool:
    return value.replace(" ", "").isalnum()


def _is_private_data(value: str) -> bool:
    try:
        read_private(value)
    except ValueError:
        return False
    return value.isprintable()


def _is_original(value: str) -> bool:
    return value.isdigit() and clear_repeat(value[:4]) in _ORIGINALS


_BY_KIND: dict[str, Callable[[str], object]] = {
    "n": str.isdigit,
    "an": _is_alphanumeric,
    "ans": str.isprintable,
    "z": str.isprintable,
    "x": _matches(r"[CD]\d+"),
}
_VALID: dict[str, Callable[[str], object]] = {
    number: _BY_KIND[row["kind"]] for number, row in FIELD_TABLE.items() if row["kind"] != "b"
} | {
    "2": _matches(r"\d{8,19}"),
    "7": _matches(_DAY + _TIME),
    "11": _matches(r"(?!000000)\d{6}"),
    "12": _matches(_TIME),
    "13": _matches(_DAY),
    "14": _matches(r"\d\d(0[1-9]|1[0-2])"),
    "37": str.isalnum,
    "41": lambda value: value.isprintable() and value.strip() != "",
    "48": _is_private_data,
    "49": CURRENCIES.__contains__,
    "50": CURRENCIES.__contains__,
    "60": _matches(r"\d{6}"),
    "90": _is_original,
    "95": str.isdigit,
    "97": _matches(r"[CD]\d{16}"),
}
