"""
The messages on disk: one .eml file each, whole or absent.

A message is on disk, under its final name, before its sender hears 250. The list of what
there is lives in memory and is read again from the files at a start; the bodies stay on
disk. Headers are read when somebody looks: most messages of a busy hour nobody ever opens.
"""

import asyncio
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from pathlib import Path
from secrets import token_hex

from counterfoil_shop import log

MESSAGES_MAX = 10_000
MESSAGE_BYTES_MAX = 1024 * 1024
RECIPIENTS_MAX = 50

_logger = logging.getLogger(__name__)


class MailboxFullError(Exception):
    """
    The mailbox holds as many messages as it may; delete its folder or some files.
    """


@dataclass(frozen=True)
class Kept:
    """
    What the pages list of a message.
    """

    id: str
    to: tuple[str, ...]
    sender: str
    subject: str
    date: str
    message_id: str
    received_at: datetime


class Messages:
    """
    The messages in one folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):
            draft.unlink()  # Its sender was never told that it had arrived.
        # The headers of each, and what stands in them once somebody has looked.
        self._heads: dict[str, bytes] = {}
        self._read: dict[str, Kept] = {}
        for path in sorted(folder.glob("*.eml"))[:MESSAGES_MAX]:
            self._heads[path.stem] = _heads(path.read_bytes())
        self._keeping = 0

    def newest_first(self) -> list[Kept]:
        """
        All messages, the newest first.
        """
        return [self._look(name) for name in sorted(self._heads, reverse=True)]

    def find(self, message_id: str) -> Kept | None:
        """
        The message kept under that id.
        """
        return self._look(message_id) if message_id in self._heads else None

    def _look(self, name: str) -> Kept:
        if name not in self._read:
            self._read[name] = _kept(name, self._heads[name])
        return self._read[name]

    async def keep(self, sender: str, recipients: list[str], content: bytes) -> str:
        """
        Write a message to disk and list it; return its id.

        Raises:
            MailboxFullError: There is no room for another one.
            OSError: The disk did not take it; the sender should try again.
        """
        if len(self._heads) + self._keeping >= MESSAGES_MAX:
            raise MailboxFullError
        self._keeping += 1
        try:
            now = datetime.now(UTC)
            name = f"{now:%Y%m%dT%H%M%S%f}-{token_hex(4)}"
            whole = _trace(sender, recipients) + content
            await asyncio.to_thread(_write, self._folder, name, whole)
            self._heads[name] = _heads(whole)
        finally:
            self._keeping -= 1
        log.event(_logger, "mail", id=name, recipients=len(recipients), bytes=len(whole))
        return name

    async def raw(self, kept: Kept) -> bytes:
        """
        A message as it lies on disk.

        Raises:
            FileNotFoundError: Somebody deleted the file.
        """
        return await asyncio.to_thread((self._folder / f"{kept.id}.eml").read_bytes)


def parse(raw: bytes) -> EmailMessage:
    """
    Read a message; what is wrong in it is left out, not raised.
    """
    message = message_from_bytes(raw, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def header(message: EmailMessage, name: str) -> str:
    """
    A header as text, empty when it is missing or beyond reading.
    """
    try:
        return str(message.get(name, ""))
    except (MessageError, LookupError, ValueError, AttributeError, TypeError):
        return ""  # The standard library's header parser fails on some malformed values.


def headers(message: EmailMessage) -> list[tuple[str, str]]:
    """
    All headers as they lie in the source, one line each.
    """
    return [(name, " ".join(str(value).split())) for name, value in message.raw_items()]


def part(message: EmailMessage, subtype: str) -> str | None:
    """
    The text/*subtype* body of a message, None when it has none.
    """
    try:
        body = message.get_body((subtype,))
        content = body.get_content() if body is not None else None
    except (MessageError, LookupError, ValueError, AttributeError):
        return None  # As above: a broken part is shown in the source only.
    return content if isinstance(content, str) else None


def _heads(raw: bytes) -> bytes:
    """
    Return the headers of a message, with the empty line after them.
    """
    end = re.search(rb"\r?\n\r?\n", raw)
    return raw[: end.end()] if end else raw


def _kept(name: str, raw: bytes) -> Kept:
    message = BytesHeaderParser(policy=SMTP).parsebytes(raw)
    assert isinstance(message, EmailMessage)
    delivered = header(message, "Delivered-To") or header(message, "To")
    return Kept(
        id=name,
        to=tuple(address.strip() for address in delivered.split(",") if address.strip()),
        sender=header(message, "From"),
        subject=header(message, "Subject"),
        date=header(message, "Date"),
        message_id=header(message, "Message-ID").strip(),
        received_at=_received_at(name),
    )


def _received_at(name: str) -> datetime:
    try:
        return datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)  # A file that somebody else put there.


def _trace(sender: str, recipients: list[str]) -> bytes:
    """
    The headers that a last mail server adds: who sent it, and for whom it was.
    """
    lines = (f"Return-Path: <{sender}>", f"Delivered-To: {', '.join(recipients)}")
    return "".join(f"{line}\r\n" for line in lines).encode()


def _write(folder: Path, name: str, whole: bytes) -> None:
    draft = folder / f"{name}.part"
    with draft.open("xb") as file:
        file.write(whole)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / f"{name}.eml")
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
