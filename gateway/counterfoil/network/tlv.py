"""
The private data of field 48: tag, length, value, again and again.

A tag has two characters, a length two digits, a value up to 99 printable characters
(protocols 1.4). The tags are data: `dialects/tags.json` names them and says which may be
shown, and a dialect may add some.
"""

import importlib.resources
from collections.abc import Mapping

import msgspec

from counterfoil.network.content import is_printable
from counterfoil.network.fields import TableError
from counterfoil.network.message import MessageError

FIELD = 48
TAG_CHARACTERS = 2
LENGTH_DIGITS = 2
VALUE_CHARACTERS_MAX = 99
_SPELLINGS = tuple(f"{length:0{LENGTH_DIGITS}d}" for length in range(VALUE_CHARACTERS_MAX + 1))
_LENGTHS = {spelling: length for length, spelling in enumerate(_SPELLINGS)}


class Tag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a tag means, and whether its value may be shown in journals and logs.
    """

    name: str
    secret: bool = False


def load_tags(raw: bytes) -> dict[str, Tag]:
    """
    Read and check a table of tags in the form of `dialects/tags.json`.

    Raises:
        TableError: It cannot be used; the sentence says what to change.
    """
    try:
        tags = msgspec.json.decode(raw, type=dict[str, Tag])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise TableError(f"The table of tags: {error}") from None
    check_tags(tags)
    return tags


def check_tags(tags: Mapping[str, Tag]) -> None:
    """
    Refuse *tags* with a key that could not stand where a tag is due.

    Raises:
        TableError: Which one.
    """
    if wrong := [tag for tag in tags if not _is_tag(tag)]:
        raise TableError(f'Tag "{wrong[0][:8]}" is not two letters or digits.')


def encode_tlv(items: Mapping[str, str]) -> str:
    """
    Return *items*, values by tag, as the text of field 48, in the order given.

    Raises:
        MessageError: A tag is not two letters or digits, or a value is too long or not
            printable.
    """
    for tag, value in items.items():
        _check(tag, value)
    return joined(items)


def joined(items: Mapping[str, str]) -> str:
    """
    Return *items* as `encode_tlv` does, of tags and values that are known to be right.
    """
    return "".join([tag + _SPELLINGS[len(value)] + value for tag, value in items.items()])


def decode_tlv(text: str) -> dict[str, str]:
    """
    Return the values in the text of field 48 by tag, in the order they came.

    Raises:
        MessageError: The text is no such sequence, or has a tag twice.
    """
    items: dict[str, str] = {}
    at = 0
    while at < len(text):
        begin = at + TAG_CHARACTERS + LENGTH_DIGITS
        tag, length = text[at : at + TAG_CHARACTERS], text[at + TAG_CHARACTERS : begin]
        if length not in _LENGTHS or not _is_tag(tag):
            raise MessageError(FIELD, f"Field {FIELD} has no tag and length where one is due.")
        end = begin + _LENGTHS[length]
        if end > len(text):
            raise MessageError(FIELD, f"Field {FIELD} ends inside the value of a tag.")
        if tag in items:
            raise MessageError(FIELD, f"Field {FIELD} has a tag twice.")
        items[tag] = text[begin:end]
        at = end
    return items


def _check(tag: str, value: str) -> None:
    """
    Refuse a *tag* or *value* that cannot be written.
    """
    if not _is_tag(tag):
        raise MessageError(FIELD, f"A tag of field {FIELD} is two letters or digits.")
    if len(value) > VALUE_CHARACTERS_MAX or not is_printable(value):
        raise MessageError(
            FIELD,
            f"Tag {tag} of field {FIELD} is longer than {VALUE_CHARACTERS_MAX} "
            "or not printable ASCII.",
        )


def _is_tag(tag: str) -> bool:
    """
    Say whether *tag* can stand where a tag is due.
    """
    return len(tag) == TAG_CHARACTERS and tag.isascii() and tag.isalnum()


# What every dialect shares: business code names these by their meaning, in `requests`.
TAGS = load_tags((importlib.resources.files(__package__) / "dialects" / "tags.json").read_bytes())
