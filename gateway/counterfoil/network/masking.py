"""
What of a message may be written down.

Journals, logs and the command line show a message only through `masked`. Rather too much
is hidden than too little: a tag or a text we do not know is hidden whole.
"""

from collections.abc import Mapping

from counterfoil.network import tlv
from counterfoil.network.content import is_printable
from counterfoil.network.message import FieldsView, MessageError

SHOWN_AT_THE_END = 4
HIDDEN = "****"  # For what is hidden whole: not even its length is told.

LAST_FOUR_SHOWN = frozenset({2, 34, 102, 103})  # Card and account numbers.
HIDDEN_WHOLE = frozenset({14, 35, 36, 45, 52, 55})  # Expiry, tracks, PIN block, chip data.
_HELD_BACK = LAST_FOUR_SHOWN | HIDDEN_WHOLE | {tlv.FIELD}  # What is not shown as it is.


def masked(fields: FieldsView, tags: Mapping[str, tlv.Tag] = tlv.TAGS) -> dict[int, str]:
    """
    Return *fields* as text that may be stored and shown; binary ones as upper-case hex.
    """
    return {
        number: value
        if type(value) is str and number not in _HELD_BACK
        else _shown(number, value, tags)
        for number, value in fields.items()
    }


def mask_number(number: str) -> str:
    """
    Return *number* with all but its last four characters as `*`.
    """
    kept = number[-SHOWN_AT_THE_END:] if len(number) > SHOWN_AT_THE_END else ""
    return "*" * (len(number) - len(kept)) + kept


def _shown(number: int, value: str | bytes, tags: Mapping[str, tlv.Tag]) -> str:
    """
    Return what may be shown of field *number*.
    """
    if number in HIDDEN_WHOLE:
        return HIDDEN
    if isinstance(value, bytes):
        return HIDDEN if number in LAST_FOUR_SHOWN or number == tlv.FIELD else value.hex().upper()
    if number in LAST_FOUR_SHOWN:
        return mask_number(value)
    return _private(value, tags) if number == tlv.FIELD else value


def _private(text: str, tags: Mapping[str, tlv.Tag]) -> str:
    """
    Return field 48 with the values of secret and unknown tags as `*`.
    """
    try:
        items = tlv.decode_tlv(text)
    except MessageError:
        return HIDDEN
    for tag, value in items.items():
        known = tags.get(tag)
        if known is None or known.secret:
            items[tag] = "*" * len(value)
    shown = tlv.joined(items)
    return shown if is_printable(shown) else HIDDEN
