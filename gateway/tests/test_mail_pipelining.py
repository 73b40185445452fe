"""
A letter that is handed over in two writes: what the server may say at each place, and how it comes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast

import aiosmtplib
import pytest
import uvloop
from aiosmtplib.protocol import PERIOD_REGEX, normalize_message_line_endings
from counterfoil.config import Mail
from counterfoil.receipts.handover import hand_over, on_the_wire
from counterfoil.receipts.letter import Letter
from hypothesis import given
from hypothesis import strategies as st
from payment_stage import Stage
from test_mail import SENDER, alone, mailer, outbox

__all__ = ["alone"]  # A fixture.

LETTER = Letter(
    sender=SENDER, recipient="ada@example.com", content=b"Subject: x\r\n\r\n.\r\n..y\r\n"
)
COMMANDS = b"MAIL FROM:<receipts@pay.example>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"
TEXT = b"Subject: x\r\n\r\n..\r\n...y\r\n.\r\n"
SECONDS_MAX = 0.5
HANGS_UP, SILENT = "hangs up", "silent"
SENDER_REFUSED = aiosmtplib.SMTPSenderRefused
RECIPIENT_REFUSED = aiosmtplib.SMTPRecipientRefused
DATA_REFUSED = aiosmtplib.SMTPDataError


class Server(asyncio.Protocol):
    """A mail server that answers all that came at once together, as its *says* has it."""

    def __init__(self, *, pipelining: bool = True, in_bytes: bool = False) -> None:
        self.pipelining = pipelining
        self.in_bytes = in_bytes
        self.says: dict[str, list[str]] = {}  # The next words at a command, instead of "well".
        self.writes: list[bytes] = []  # As they came, from MAIL on.
        self.words: list[str] = []
        self.taken: list[bytes] = []
        self.connections = 0
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.connections += 1
        self.unread, self.in_text, self.begun, self.to = b"", False, False, False
        self.transport.write(b"220 post.example\r\n")

    def data_received(self, data: bytes) -> None:
        self.writes.append(data)
        self.unread += data
        answers = ""
        for answer in self._answers():
            if answer in (HANGS_UP, SILENT):
                self.transport.write(answers.encode())
                if answer == HANGS_UP:
                    self.transport.close()
                return
            answers += answer
        self._write(answers.encode("utf-8", "surrogateescape"))

    def _write(self, data: bytes) -> None:
        pieces = [bytes([each]) for each in data] if self.in_bytes else [data]
        for number, each in enumerate(pieces):
            asyncio.get_running_loop().call_later(number * 0.0005, self.transport.write, each)

    def _answers(self) -> Iterator[str]:
        while True:
            end = b".\r\n" if self.in_text and self.unread[:3] == b".\r\n" else b"\r\n"
            end = b"\r\n.\r\n" if self.in_text and end == b"\r\n" else end
            line, found, rest = self.unread.partition(end)
            if not found:
                return
            self.unread = rest
            word = "text" if self.in_text else line.decode()[:4]
            self.words.append(word)
            yield self._answer(word, line)

    def _answer(self, word: str, line: bytes) -> str:
        usual = self._usual(word, line)
        said = self.says.get(word)
        answer = said.pop(0) if said else usual
        self.in_text = word == "DATA" and answer.startswith("354")
        self.begun = word != "RSET" and (self.begun or (word == "MAIL" and answer[0] == "2"))
        self.to = self.begun and (self.to or (word == "RCPT" and answer[0] == "2"))
        if word == "text":
            self.begun = self.to = False
            if answer.startswith("250"):
                self.taken.append(line)
        return answer if answer in (HANGS_UP, SILENT) else answer + "\r\n"

    def _usual(self, word: str, line: bytes) -> str:
        if word == "EHLO":
            return "250-post.example\r\n" + "250-PIPELINING\r\n" * self.pipelining + "250 HELP"
        if word == "MAIL" and self.begun:
            return "503 one at a time"
        if word == "RCPT" and not self.begun:
            return "503 from whom?"
        if word == "DATA":
            return "354 go on" if self.to else "503 to whom?"
        return "554 to nobody" if word == "text" and not self.to else "250 well"


@asynccontextmanager
async def open_at(server: Server) -> AsyncIterator[aiosmtplib.SMTP]:
    """Say hello to *server*, and count what is written from there on."""
    listening = await asyncio.get_running_loop().create_server(lambda: server, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False, timeout=5)
    await client.connect()
    await client.ehlo()
    server.writes.clear()
    server.words.clear()
    try:
        yield client
    finally:
        client.close()
        listening.close()


async def test_a_letter_is_two_writes_and_each_has_its_replies() -> None:
    """Sender, recipient and DATA together; then the text, with every line's first dot doubled."""
    server = Server()
    async with open_at(server) as client:
        handed = [await hand_over(client, LETTER, SECONDS_MAX) for _ in range(2)]
        await client.noop()

    assert handed == [None, None]
    assert server.writes == [COMMANDS, TEXT, COMMANDS, TEXT, b"NOOP\r\n"]


def test_the_loop_that_the_gateway_runs_on_hands_over_the_same() -> None:
    """It has transports of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_a_letter_is_two_writes_and_each_has_its_replies())


async def test_a_server_that_does_not_announce_it_is_told_one_word_at_a_time() -> None:
    """It may drop what comes before it has answered."""
    server = Server(pipelining=False)
    async with open_at(server) as client:
        assert await hand_over(client, LETTER, SECONDS_MAX) is None

    assert server.writes == [*COMMANDS.splitlines(keepends=True), TEXT]


async def test_replies_that_come_byte_by_byte_are_read_whole() -> None:
    """Also those of several lines."""
    server = Server(in_bytes=True)
    server.says = {"MAIL": ["250-well\r\n250-and\r\n250 good"], "RCPT": ["251 elsewhere"]}
    async with open_at(server) as client:
        assert await hand_over(client, LETTER, SECONDS_MAX) is None

    assert len(server.taken) == 1


@pytest.mark.parametrize("code", [450, 550])
@pytest.mark.parametrize("data", ["354 go on", "503 no"], ids=["goes on", "stops"])
@pytest.mark.parametrize(("word", "error"), [("MAIL", SENDER_REFUSED), ("RCPT", RECIPIENT_REFUSED)])
async def test_after_a_refusal_the_connection_takes_the_next_letter(
    word: str, error: type[Exception], data: str, code: int
) -> None:
    """A server that goes on after it gets a lone dot, and nobody gets an empty mail."""
    server = Server()
    server.says = {word: [f"{code} not so"], "DATA": [data]}
    async with open_at(server) as client:
        refusal = await hand_over(client, LETTER, SECONDS_MAX)
        after = await hand_over(client, LETTER, SECONDS_MAX)

    assert type(refusal) is error
    assert (refusal.code, refusal.message) == (code, "not so")
    assert after is None
    assert server.taken == [TEXT.removesuffix(b"\r\n.\r\n")]
    assert (b".\r\n" in server.writes) == data.startswith("354")


async def test_where_only_the_sender_is_refused_nobody_gets_an_empty_mail() -> None:
    """The connection is given up before the text has an end."""
    server = Server()
    server.says = {"MAIL": ["550 not you"], "RCPT": ["250 well"], "DATA": ["354 go on"]}
    async with open_at(server) as client:
        with pytest.raises(SENDER_REFUSED, match="not you"):
            await hand_over(client, LETTER, SECONDS_MAX)

    assert server.writes == [COMMANDS]


@pytest.mark.parametrize("code", [451, 552])
@pytest.mark.parametrize("word", ["DATA", "text"])
async def test_a_refused_text_is_told_and_the_connection_goes_on(word: str, code: int) -> None:
    """As the library tells it."""
    server = Server()
    server.says = {word: [f"{code} not this"]}
    async with open_at(server) as client:
        refusal = await hand_over(client, LETTER, SECONDS_MAX)
        after = await hand_over(client, LETTER, SECONDS_MAX)

    assert type(refusal) is DATA_REFUSED
    assert refusal.code == code
    assert after is None
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("MAIL", SENDER_REFUSED),
        ("RCPT", RECIPIENT_REFUSED),
        ("DATA", DATA_REFUSED),
        ("text", DATA_REFUSED),
    ],
)
async def test_a_server_that_says_421_is_left(word: str, error: type[Exception]) -> None:
    """It closes the connection, also where it has not yet."""
    server = Server()
    server.says = {word: ["421 no more"]}
    async with open_at(server) as client:
        with pytest.raises(error, match="421"):
            await hand_over(client, LETTER, SECONDS_MAX)

    assert server.taken == []


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA", "text"])
@pytest.mark.parametrize(
    ("says", "error"),
    [
        (HANGS_UP, aiosmtplib.SMTPServerDisconnected),
        (SILENT, aiosmtplib.SMTPReadTimeoutError),
        ("what", aiosmtplib.SMTPResponseException),
        ("250-" + "x" * 40_000, aiosmtplib.SMTPResponseException),
    ],
    ids=["hangs up", "silent", "nonsense", "endless"],
)
async def test_a_connection_that_ends_anywhere_raises(
    word: str, says: str, error: type[Exception]
) -> None:
    """Whether it is cut, silent, or speaks something else."""
    server = Server()
    server.says = {word: [says]}
    async with open_at(server) as client:
        with pytest.raises(error):
            await hand_over(client, LETTER, SECONDS_MAX)

    assert client.is_connected is False or says != HANGS_UP


@pytest.mark.parametrize("says", [HANGS_UP, SILENT, "421 bye"])
@pytest.mark.parametrize("word", ["DATA", "text", "RSET"])
async def test_the_refusal_that_came_first_is_told_when_the_connection_ends_after_it(
    word: str, says: str
) -> None:
    """There is no such mailbox, whatever befalls the connection then."""
    server = Server()
    server.says = {"RCPT": ["550 nobody"], word: [says]}
    if word != "DATA":
        server.says["DATA"] = ["354 go on"]
    async with open_at(server) as client:
        client.timeout = SECONDS_MAX
        with pytest.raises(RECIPIENT_REFUSED, match="nobody"):
            await hand_over(client, LETTER, SECONDS_MAX)


@pytest.mark.parametrize("address", ["a\r\nDATA@b.example", '"a\x00"@b.example', "a b@c.example"])
async def test_no_address_ends_a_command(address: str) -> None:
    """Nothing is said at all."""
    server = Server()
    letter = Letter(sender=SENDER, recipient=address, content=b"x")
    async with open_at(server) as client:
        with pytest.raises(ValueError, match=r"address|Address"):
            await hand_over(client, letter, SECONDS_MAX)

    assert server.words == []


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x"])).map(b"".join))
def test_a_text_is_on_the_wire_as_the_library_puts_it(content: bytes) -> None:
    """No line end of another kind lets a line be the last (it would begin a mail of its own)."""
    lines = PERIOD_REGEX.sub(b"..", normalize_message_line_endings(content))

    assert on_the_wire(content) == lines + b".\r\n"


@pytest.mark.parametrize(
    ("says", "states"),
    [
        ({"RCPT": ["550 nobody"]}, ["gave_up", "sent"]),
        ({"RCPT": ["450 later"]}, ["owed", "sent"]),
        ({"MAIL": ["550 not you"]}, ["owed", "sent"]),
        ({"text": ["554 not this"]}, ["gave_up", "sent"]),
        ({"text": ["250 well", "421 bye"]}, ["sent", "sent"]),
        ({"MAIL": ["250 well", HANGS_UP]}, ["sent", "sent"]),
    ],
)
async def test_what_ends_a_mail_is_what_it_was(
    alone: Stage,
    monkeypatch: pytest.MonkeyPatch,
    says: dict[str, list[str]],
    states: list[str],
) -> None:
    """Only a lasting refusal of recipient or message; and the round's connection serves on."""
    monkeypatch.setattr("counterfoil.receipts.mail.SENT_AT_ONCE_MAX", 1)
    await alone.paid()
    ends = "bye" in str(says) or HANGS_UP in str(says)
    server = Server()
    async with open_at(server):
        server.connections, server.says = 0, says
        await mailer(alone, Mail(port=server.port, sender=SENDER)).send_due()

    found = await outbox(alone)
    assert sorted(str(each["state"]) for each in found.values()) == states
    assert {each["attempts"] for each in found.values()} == {1}
    assert server.connections == (2 if ends else 1)


@pytest.mark.parametrize("pipelining", [True, False])
async def test_whatever_a_mail_server_says_can_be_noted(
    alone: Stage,
    pipelining: bool,
) -> None:
    """A refusal with bytes that no text column takes holds up nobody's mail."""
    await alone.paid(customer_email=None)
    server = Server(pipelining=pipelining)
    server.says = {"text": ["451 a\x00b\x1b[2Jc\udcff"]}
    async with open_at(server):
        assert await mailer(alone, Mail(port=server.port, sender=SENDER)).send_due() == 1

    row = (await outbox(alone))["mail_merchant"]
    assert row["state"] == "owed"
    assert "451, 'a" in str(row["last_error"])
