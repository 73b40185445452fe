"""
What a field may hold, by kind.

The rules that the generic loop and the compiled code share. A fault is a sentence without
the value, because the value may be a card number.
"""

from counterfoil.network.fields import FieldSpec

DIGITS = "0123456789"
ALPHANUMERIC = DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TRACK = DIGITS + ":;<=>?D"  # ISO 7811 tracks 2 and 3; D stands for = at many hosts.
HEX = DIGITS + "ABCDEF"


def consists_of(value: str, allowed: str) -> bool:
    """
    Say whether each character of *value* is one of *allowed*.
    """
    return not value.strip(allowed)


def is_signed_amount(value: str) -> bool:
    """
    Say whether *value* is C or D and digits.
    """
    return len(value) > 1 and value[0] in "CD" and consists_of(value[1:], DIGITS)


def is_printable(value: str) -> bool:
    """
    Say whether *value* holds printable ASCII only (the empty value does).
    """
    return value.isascii() and value.isprintable()


def fault_of(spec: FieldSpec, value: str) -> str | None:
    """
    Return why a text field described by *spec* may not hold *value*, or None if it may.
    """
    if spec.kind == "n":
        return None if consists_of(value, DIGITS) else "may hold digits only"
    if spec.kind == "an":
        # The blanks that fill a fixed field are not part of its content.
        content = value.rstrip(" ") if spec.fixed else value
        return None if consists_of(content, ALPHANUMERIC) else "may hold letters and digits only"
    if spec.kind == "z":
        return None if consists_of(value, TRACK) else "may hold track characters only"
    if spec.kind == "x":
        return None if is_signed_amount(value) else "must be C or D and digits"
    return None if is_printable(value) else "may hold printable ASCII only"


def padded(spec: FieldSpec, value: str) -> str:
    """
    Return *value* filled to the width of a fixed field: n with zeros, an and ans with blanks.

    An empty n field stays empty (and is refused for its length): an amount that somebody
    forgot must not become zero.
    """
    if not spec.fixed or (not value and spec.kind == "n"):
        return value
    if spec.kind == "n":
        return value.rjust(spec.length, "0")
    return value.ljust(spec.length) if spec.kind in ("an", "ans") else value
