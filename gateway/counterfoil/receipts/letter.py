"""
A letter: the bytes that a mail server is handed, and what stands on the envelope.

Headers and text that are plain (printable ASCII, short lines) are written as they are; whatever
else people type is encoded whole, so that nothing of it can end a line. The standard library's
way over `EmailMessage` takes twenty times as long, and its folding puts blanks into long names.
All is ASCII on the wire, except in a letter with an address that is not.
"""

import binascii
import re
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime
from functools import lru_cache
from uuid import UUID

import msgspec

ADDRESSES_KEPT_MAX = 1_000
LINE_MAX = 78  # RFC 5322, 2.1.1: what a line should keep to.
NAME_MAX = 60  # Of a header's line that has a name beside the address.
ENCODED_LINE_MAX = 76  # RFC 2047, 2: with an encoded word in it.

# One line, and nothing that somebody could take for an encoded word.
_PLAIN = re.compile(r"(?!.*=\?)[!-~](?:[ -~]*[!-~])?\Z")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
PLAIN_ADDRESS = re.compile(rf"(?!.*=\?){_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*\Z")
_PLAIN_BYTES = bytes([*b"\t\n", *range(0x20, 0x7F)])
_BOUNDARY_BEGINS = "=_"  # RFC 2045, 6.7: quoted-printable text never holds it.


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """
    A message with its envelope; *is_utf8*: the mail server must know SMTPUTF8 (RFC 6531).
    """

    sender: str
    recipient: str
    content: bytes
    is_utf8: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a letter says, before it is written.

    Attributes:
        outbox_id: Makes the Message-ID, so that a repeat is recognisable.
        answers_to: The address for answers, in the sender's name.
        html: Stands beside the text, and says the same.
    """

    outbox_id: UUID
    at: datetime
    sender: str
    sender_name: str
    recipient: str
    subject: str
    text: str
    answers_to: str | None = None
    html: str | None = None


def written(draft: Draft) -> Letter:
    """
    Return the letter of *draft*.

    Raises:
        ValueError, MessageError: An address is none, or a header would have a second line.
    """
    addresses = (draft.sender, draft.recipient, draft.answers_to or "")
    heads = _heads(draft)
    if draft.html is None:
        content = f"{heads}{_part('plain', draft.text)}"
    else:
        boundary = f"{_BOUNDARY_BEGINS}{draft.outbox_id.hex}"
        content = (
            f'{heads}Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'
            f"\r\n--{boundary}\r\n{_part('plain', draft.text)}"
            f"\r\n--{boundary}\r\n{_part('html', draft.html)}"
            f"\r\n--{boundary}--\r\n"
        )
    return Letter(
        sender=draft.sender,
        recipient=draft.recipient,
        content=content.encode(),
        is_utf8=not "".join(addresses).isascii(),
    )


def _heads(draft: Draft) -> str:
    domain = draft.sender.rpartition("@")[2]
    lines = [
        f"Message-ID: <{draft.outbox_id.hex}@{domain}>\r\n",
        f"Date: {format_datetime(draft.at)}\r\n",
        _address("From", draft.sender_name, draft.sender),
        _recipient(draft.recipient),
        subject_line(draft.subject),
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
    ]
    if draft.answers_to is not None:
        lines.append(_address("Reply-To", draft.sender_name, draft.answers_to))
    return "".join(lines)


def subject_line(text: str) -> str:
    """
    Return the header Subject with its line end.

    Raises:
        ValueError: *text* has a line end.
    """
    if len("Subject: ") + len(text) <= LINE_MAX and _PLAIN.match(text):
        return f"Subject: {text}\r\n"
    return f"Subject: {_encoded('Subject', text)}\r\n"


def _recipient(address: str) -> str:
    if not PLAIN_ADDRESS.match(address):
        address = str(Address(addr_spec=address))  # It refuses what is no address.
    return f"To: {address}\r\n"


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def _address(header: str, person: str, address: str) -> str:
    """
    Return the header of a person's address: a merchant's own are made once.
    """
    shown = Address(display_name=person, addr_spec=address)
    if len(person) <= NAME_MAX and _PLAIN.match(person) and "  " not in person:
        name, _, _ = str(shown).rpartition(" <")
    else:
        name = _encoded(header, person)
    blank = "\r\n " if len(name) + len(address) > NAME_MAX else " "
    return f"{header}: {name}{blank}<{shown.addr_spec}>\r\n"


def _encoded(header: str, text: str) -> str:
    """
    Return *text* in encoded words (RFC 2047), as many lines as it takes.
    """
    if len(text.splitlines()) > 1 or text.endswith(("\r", "\n")):
        raise ValueError(f"{header} has a linefeed in it: expected one line")
    whole = Header(text, "utf-8", maxlinelen=ENCODED_LINE_MAX, header_name=header)
    return whole.encode(linesep="\r\n")


def _part(subtype: str, text: str) -> str:
    """
    Return a text with its own headers: as it is, or quoted-printable.
    """
    lines = text.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n") + b"\n"
    if _is_plain(lines):
        encoding, body = "7bit", lines.replace(b"\n", b"\r\n")
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(lines.replace(b"\n", b"\r\n"))
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body.decode('ascii')}"
    )


def _is_plain(lines: bytes) -> bool:
    return (
        not lines.translate(None, delete=_PLAIN_BYTES)
        and _BOUNDARY_BEGINS.encode() not in lines
        and max(map(len, lines.split(b"\n"))) <= LINE_MAX
    )
