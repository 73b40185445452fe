"""
Mail into the mailbox, by real SMTP.
"""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from counterfoil_proof.mailbox import messages as mailbox_messages
from counterfoil_proof.mailbox.messages import MESSAGE_BYTES_MAX, RECIPIENTS_MAX, Messages
from counterfoil_proof.mailbox.sink import forgetting_mail
from counterfoil_proof.mailbox.smtp import taking_mail
from counterfoil_shop import loopback


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    with loopback.listen("127.0.0.1", 0) as listener:
        async with taking_mail(Messages(tmp_path), listener):
            yield loopback.port_of(listener)


async def test_a_message_is_on_disk_when_its_sender_hears_250(port: int, tmp_path: Path) -> None:
    """Promise: 250 means that the message survives a crash of the mailbox."""
    await send(port, letter("Your receipt"))

    (raw,) = files(tmp_path)
    assert b"Subject: Your receipt" in raw
    (kept,) = Messages(tmp_path).newest_first()
    assert (kept.subject, kept.to) == ("Your receipt", ("ada@example.com",))


async def test_one_message_to_two_people_is_one_file_for_both(port: int, tmp_path: Path) -> None:
    """Promise: recipients are those of the envelope, also when the header names others."""
    await send(port, letter("To both"), to=["ada@example.com", "bob@example.com"])

    (kept,) = Messages(tmp_path).newest_first()
    assert kept.to == ("ada@example.com", "bob@example.com")


async def test_a_message_beyond_the_size_limit_is_refused(port: int, tmp_path: Path) -> None:
    """Promise: no sender fills the disk with one message."""
    long = letter("Long", text="x" * 70 + "\n", times=MESSAGE_BYTES_MAX // 71 + 1)

    with pytest.raises(smtplib.SMTPException):
        await send(port, long)
    assert files(tmp_path) == []


async def test_more_recipients_than_allowed_are_refused(port: int, tmp_path: Path) -> None:
    """Promise: those beyond the limit are refused by name, the others get their mail."""
    people = [f"p{number}@example.com" for number in range(RECIPIENTS_MAX + 1)]

    refused = await send(port, letter("To all"), to=people)

    assert list(refused) == people[-1:]
    (kept,) = Messages(tmp_path).newest_first()
    assert len(kept.to) == RECIPIENTS_MAX


async def test_a_full_mailbox_says_so_and_keeps_what_it_has(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the number of messages is bounded; a sender beyond it is told to wait."""
    await send(port, letter("First"))
    monkeypatch.setattr(mailbox_messages, "MESSAGES_MAX", 1)

    with pytest.raises(smtplib.SMTPDataError) as refusal:
        await send(port, letter("Second"))
    assert refusal.value.smtp_code == 452
    assert [kept.subject for kept in Messages(tmp_path).newest_first()] == ["First"]


async def test_a_mailbox_that_forgets_takes_everything_in_whatever_pieces_it_comes() -> None:
    """Promise: it stands for a mail server elsewhere, and is never full."""
    with loopback.listen("127.0.0.1", 0) as listener:
        async with forgetting_mail(listener):
            port = loopback.port_of(listener)
            for times in (1, 100_000):
                await send(port, letter("Your receipt", times=times))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            said = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\nWHAT\r\nQUIT\r\n"
            for each in said:
                writer.write(bytes([each]))
                await writer.drain()
            codes = [line[:4] for line in (await reader.read()).splitlines()]
            writer.close()

    assert codes == [
        *(b"220 ", b"250-", b"250-", b"250-", b"250 ", b"250 ", b"250 "),
        *(b"354 ", b"250 ", b"500 ", b"221 "),
    ]


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps", "forgets"])
async def test_commands_that_come_together_are_answered_in_their_order(
    tmp_path: Path, keeps: bool
) -> None:
    """Promise: both mailboxes announce PIPELINING (RFC 2920), and mean it."""
    with loopback.listen("127.0.0.1", 0) as listener:
        async with (
            taking_mail(Messages(tmp_path), listener) if keeps else forgetting_mail(listener)
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", loopback.port_of(listener))
            writer.write(b"EHLO x\r\n")
            writer.write(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
            writer.write(b"Subject: x\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\nNOOP\r\n")
            lines = (await reader.read()).splitlines()
            writer.close()

    assert b"250-PIPELINING" in lines
    codes = [line[:3] for line in lines if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"221"]
    assert [raw.endswith(b"\r\n.\r\n") for raw in files(tmp_path)] == [True] * keeps


def test_a_draft_left_by_a_crash_is_removed_and_not_shown(tmp_path: Path) -> None:
    """Promise: a message whose sender was never told 250 does not appear by half."""
    (tmp_path / "20260101T000000000000-abcd0123.part").write_bytes(b"Subject: ha")

    assert Messages(tmp_path).newest_first() == []
    assert list(tmp_path.iterdir()) == []


def letter(subject: str, text: str = "Thank you.\n", times: int = 1) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Stub & Leaf <shop@example.com>"
    message["To"] = "ada@example.com"
    message["Subject"] = subject
    message["Message-ID"] = "<1001.receipt@example.com>"
    message.set_content(text * times)
    return message


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("*.eml")]


async def send(port: int, message: EmailMessage, to: list[str] | None = None) -> dict[str, object]:
    """
    Send by the standard library's client, and return whom it says was refused.
    """

    def sending() -> dict[str, object]:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
            return dict(smtp.send_message(message, to_addrs=to or ["ada@example.com"]))

    return await asyncio.to_thread(sending)
