"""
The name of a batch in an address: `sandbox.TERM0001.USD.000007`.

A terminal's id is the acquirer's and may hold any printable character: what an address could not
carry is written as `~` and two hex digits.
"""

import re
from uuid import UUID

from counterfoil.store.batches import BatchKey

NAME_CHARACTERS_MAX = 128

_PLAIN = re.compile(r"[A-Za-z0-9_-]")
_ESCAPED = re.compile(r"~([0-9A-F]{2})")
_PART = r"(?:[A-Za-z0-9_-]|~[0-9A-F]{2})+"
_NAME = re.compile(rf"({_PART})\.({_PART})\.([A-Z]{{3}})\.([0-9]{{6}})")


def written_name(acquirer: str, terminal_id: str, currency: str, number: int) -> str:
    """
    Return a batch's name as it stands in an address.
    """
    return f"{_escaped(acquirer)}.{_escaped(terminal_id)}.{currency}.{number:06d}"


def read_name(merchant_id: UUID, text: str) -> BatchKey | None:
    """
    Return the batch that *text* names, whether or not there is one; None when it is no name.
    """
    found = _NAME.fullmatch(text) if len(text) <= NAME_CHARACTERS_MAX else None
    if found is None:
        return None
    acquirer, terminal_id, currency, number = found.groups()
    return BatchKey(merchant_id, _plain(acquirer), _plain(terminal_id), currency, int(number))


def _escaped(text: str) -> str:
    return "".join(each if _PLAIN.match(each) else f"~{ord(each):02X}" for each in text)


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text)
