"""
The private data of field 48: tag, length, value, again and again.

A tag has two characters, a length two digits, a value up to 99 printable characters
(protocols 1.4). The tags are data: `TAGS` names them and says which may be shown.
"""

from collections.abc import Mapping

import msgspec

from counterfoil.network.content import ALPHANUMERIC, DIGITS, consists_of, is_printable
from counterfoil.network.message import MessageError

FIELD = 48
TAG_CHARACTERS = 2
LENGTH_DIGITS = 2
VALUE_CHARACTERS_MAX = 99


class Tag(msgspec.Struct, frozen=True):
    """
    What a tag means, and whether its value may be shown in journals and logs.
    """

    name: str
    secret: bool = False


TAGS: dict[str, Tag] = {
    "01": Tag("Credential on file or merchant-initiated indicator"),
    "02": Tag("CVV2", secret=True),
    "03": Tag("CVV2 presence"),
    "04": Tag("Electronic commerce indicator"),
    "05": Tag("Cardholder authentication value (CAVV, AAV)", secret=True),
    "06": Tag("3-D Secure directory server transaction id"),
    "07": Tag("3-D Secure version"),
    "08": Tag("AVS postal code"),
    "09": Tag("AVS street"),
    "10": Tag("Original network transaction id"),
    "11": Tag("Order number"),
    "12": Tag("Token requestor"),
    "13": Tag("Token cryptogram", secret=True),
    "20": Tag("Network transaction id"),
    "21": Tag("Merchant advice code"),
    "22": Tag("Card product"),
    "K1": Tag("Key block and its check value", secret=True),
}


def encode_tlv(items: Mapping[str, str]) -> str:
    """
    Return *items*, values by tag, as the text of field 48, in the order given.

    Raises:
        MessageError: A tag is not two letters or digits, or a value is too long or not
            printable.
    """
    return "".join(_encoded(tag, value) for tag, value in items.items())


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
        tag, digits = text[at : at + TAG_CHARACTERS], text[at + TAG_CHARACTERS : begin]
        if not _is_tag(tag) or len(digits) != LENGTH_DIGITS or not consists_of(digits, DIGITS):
            raise MessageError(FIELD, f"Field {FIELD} has no tag and length where one is due.")
        end = begin + int(digits)
        if end > len(text):
            raise MessageError(FIELD, f"Field {FIELD} ends inside the value of a tag.")
        if tag in items:
            raise MessageError(FIELD, f"Field {FIELD} has a tag twice.")
        items[tag] = text[begin:end]
        at = end
    return items


def _encoded(tag: str, value: str) -> str:
    """
    Return one tag with its length and value.
    """
    if not _is_tag(tag):
        raise MessageError(FIELD, f"A tag of field {FIELD} is two letters or digits.")
    if len(value) > VALUE_CHARACTERS_MAX or not is_printable(value):
        raise MessageError(
            FIELD,
            f"Tag {tag} of field {FIELD} is longer than {VALUE_CHARACTERS_MAX} "
            "or not printable ASCII.",
        )
    return f"{tag}{len(value):0{LENGTH_DIGITS}d}{value}"


def _is_tag(tag: str) -> bool:
    """
    Say whether *tag* can stand where a tag is due.
    """
    return len(tag) == TAG_CHARACTERS and consists_of(tag, ALPHANUMERIC)
