"""
Handing a letter to a mail server: MAIL, RCPT and DATA in one write, where the server takes them so.

Pipelining (RFC 2920) spares two of a letter's four round trips. The library says a word only when
the last one is answered, and drops what comes meanwhile; so the replies of a letter are read here,
by a protocol that stands in the library's place until the letter is handed over.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import aiosmtplib
from aiosmtplib.email import quote_address
from aiosmtplib.protocol import SMTPProtocol

from counterfoil.receipts.letter import PLAIN_ADDRESS, Letter

UTF8_OPTIONS = ("SMTPUTF8", "BODY=8BITMIME")
CLOSES_CONNECTION = 421  # RFC 5321, 4.2.3: it may be said to any command.
WELL, WILL_FORWARD, GO_ON = 250, 251, 354
EXPECTED = {"MAIL": (WELL,), "RCPT": (WELL, WILL_FORWARD), "DATA": (GO_ON,), "text": (WELL,)}
NO_REPLY_CODE = -1  # As the library has it.
REPLIES_BYTES_MAX = 32_768  # Of all that are not read yet.
_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -].*)?\r?\Z", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Refusal = aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError


async def hand_over(client: aiosmtplib.SMTP, letter: Letter, seconds_max: float) -> Refusal | None:
    """
    Hand *letter* over; each reply may take *seconds_max*.

    Returns:
        None when the server has taken it; its refusal when the connection is as good as before.

    Raises:
        SMTPException: It was not taken, and the connection is to be closed.
        ValueError: An address is none.
    """
    options: tuple[str, ...] = ()
    if letter.is_utf8:
        if not client.supports_extension("smtputf8"):
            raise aiosmtplib.SMTPNotSupported("the mail server does not take such an address")
        options = UTF8_OPTIONS
    if client.supports_extension("pipelining"):
        return await _hand_over_at_once(client, letter, options, seconds_max)
    # The library's `sendmail` says them too, and reads both addresses twice.
    encoding = "utf-8" if letter.is_utf8 else "ascii"
    await client.mail(letter.sender, options=options, encoding=encoding)
    await client.rcpt(letter.recipient, encoding=encoding)
    await client.data(letter.content)
    return None


async def _hand_over_at_once(
    client: aiosmtplib.SMTP, letter: Letter, options: tuple[str, ...], seconds_max: float
) -> Refusal | None:
    envelope = _envelope(letter, options)
    with _reading(client, seconds_max) as replies:
        refusal = await _converse(replies, letter, envelope)
    if refusal is not None:
        try:
            await client.rset()  # Where DATA was refused too, the server still holds the sender.
        except aiosmtplib.SMTPException as error:
            raise refusal from error
    return refusal


async def _converse(replies: "_Replies", letter: Letter, envelope: bytes) -> Refusal | None:
    """
    Say all of it; return the first refusal, or raise it when the connection ends after it.
    """
    heard: dict[str, Refusal | None] = {}
    try:
        last_code = await _say(replies, letter, envelope, heard)
    except aiosmtplib.SMTPException as end:
        raise _first(heard) or end from None
    refusal = _first(heard)
    if refusal is not None and last_code == CLOSES_CONNECTION:
        raise refusal
    return refusal


async def _say(
    replies: "_Replies", letter: Letter, envelope: bytes, heard: dict[str, Refusal | None]
) -> int:
    """
    Say all of it, note in *heard* what each word was answered, and return the last code.
    """
    replies.write(envelope)
    for word in ("MAIL", "RCPT", "DATA"):
        reply = await replies.next_one()
        heard[word] = _refusal(word, reply, letter)
        if reply.code == CLOSES_CONNECTION:
            return reply.code
    refusal = _first(heard)
    if refusal is None:
        replies.write(on_the_wire(letter.content))
        reply = await replies.next_one()
        heard["text"] = _refusal("text", reply, letter)
    elif reply.code == GO_ON:  # RFC 2920, 3.1: it waits for a text that nobody will get.
        if heard["RCPT"] is None:  # Of no sender: somebody would get an empty one.
            raise refusal
        replies.write(b".\r\n")
        reply = await replies.next_one()
    return reply.code


def _first(heard: dict[str, Refusal | None]) -> Refusal | None:
    for each in heard.values():
        if each is not None:
            return each
    return None


def _refusal(word: str, reply: aiosmtplib.SMTPResponse, letter: Letter) -> Refusal | None:
    """
    Return what the library would raise at this reply.
    """
    code, text = reply
    if code in EXPECTED[word]:
        return None
    if word == "MAIL":
        return aiosmtplib.SMTPSenderRefused(code, text, letter.sender)
    if word == "RCPT":
        return aiosmtplib.SMTPRecipientRefused(code, text, letter.recipient)
    return aiosmtplib.SMTPDataError(code, text)


def _envelope(letter: Letter, options: tuple[str, ...]) -> bytes:
    sender, recipient = _path(letter.sender), _path(letter.recipient)
    lines = (" ".join((f"MAIL FROM:{sender}", *options)), f"RCPT TO:{recipient}", "DATA", "")
    return "\r\n".join(lines).encode()


def _path(address: str) -> str:
    """
    Return *address* as the envelope has it: nothing of it ends a command.
    """
    if PLAIN_ADDRESS.match(address):
        return f"<{address}>"
    if _CONTROL.search(address):
        raise ValueError(f"address {address!r} has a control character: expected none")
    return quote_address(address)


def on_the_wire(content: bytes) -> bytes:
    """
    Return *content* as it follows DATA: lines end in CRLF, none is a lone dot but the last.
    """
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    stuffed = b"\n".join((b"", lines)).replace(b"\n.", b"\n..")[1:]
    return stuffed.replace(b"\n", b"\r\n") + b"\r\n.\r\n"


@contextmanager
def _reading(client: aiosmtplib.SMTP, seconds_max: float) -> Iterator["_Replies"]:
    """
    Read the connection's replies here for so long, and then let the library read them again.
    """
    library = client.protocol
    if library is None or library.transport is None:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    transport = cast("asyncio.Transport", library.transport)
    replies = _Replies(library, seconds_max)
    transport.set_protocol(replies)
    try:
        yield replies
    finally:
        transport.set_protocol(library)


class _Replies(asyncio.Protocol):
    """
    The replies to what was said in one write, each of them in its turn.
    """

    def __init__(self, library: SMTPProtocol, seconds_max: float) -> None:
        self._library = library
        self._seconds_max = seconds_max
        self._unread = bytearray()
        self._came = asyncio.Event()
        self._end: aiosmtplib.SMTPException | None = None

    def write(self, data: bytes) -> None:
        """
        Write *data*, or raise SMTPServerDisconnected.
        """
        self._library.write(data)

    async def next_one(self) -> aiosmtplib.SMTPResponse:
        """
        Return the next reply.

        Raises:
            SMTPException: There is none: the time or the connection ended, or it makes no sense.
        """
        if (reply := self._taken()) is not None:
            return reply
        try:
            async with asyncio.timeout(self._seconds_max):
                while (reply := self._taken()) is None:
                    if self._end is not None:
                        raise self._end
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise aiosmtplib.SMTPReadTimeoutError("Timed out waiting for server response") from None
        return reply

    def _taken(self) -> aiosmtplib.SMTPResponse | None:
        """
        Take the first reply off what is unread, if it is there to its end.
        """
        begins, texts = 0, []
        while (ends := self._unread.find(b"\n", begins)) >= 0:
            line = bytes(self._unread[begins:ends])
            if not _REPLY_LINE.match(line):
                shown = line.decode("utf-8", "replace")
                raise _no_reply(f"Malformed SMTP response line: {shown}")
            texts.append(line[4:].strip())
            begins = ends + 1
            if line[3:4] != b"-":
                del self._unread[:begins]
                text = b"\n".join(texts).decode("utf-8", "replace")
                return aiosmtplib.SMTPResponse(int(line[:3]), text)
        return None

    def data_received(self, data: bytes) -> None:
        """
        Keep what came.
        """
        self._unread += data
        if len(self._unread) > REPLIES_BYTES_MAX:
            self._unread.clear()
            self._ends(_no_reply("Response too long"))
        self._came.set()

    def eof_received(self) -> bool:
        """
        Let the transport close: the server says no more.
        """
        self._ends(aiosmtplib.SMTPServerDisconnected("Unexpected EOF received"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """
        Tell the library too, whose connection it is.
        """
        self._ends(aiosmtplib.SMTPServerDisconnected("Connection lost"))
        self._library.connection_lost(error)

    def _ends(self, error: aiosmtplib.SMTPException) -> None:
        self._end = self._end or error
        self._came.set()


def _no_reply(text: str) -> aiosmtplib.SMTPResponseException:
    return aiosmtplib.SMTPResponseException(NO_REPLY_CODE, text)
