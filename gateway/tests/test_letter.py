"""
What a mail server is handed: bytes that every reader reads as they were meant.
"""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from uuid import UUID

import pytest
from counterfoil.receipts.letter import LINE_MAX, Draft, Letter, subject_line, written
from hypothesis import given, settings
from hypothesis import strategies as st

AT = datetime(2026, 11, 23, 6, 30, 15, tzinfo=UTC)
ONE_LINE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=90
).map(lambda each: each.strip() or "x")
PLAIN_LINE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=90)
TEXT = st.text(
    st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), max_size=300
).map(lambda each: f"Thank you.\n{each}")


def draft(**more: object) -> Draft:
    terms: dict[str, object] = {
        "outbox_id": UUID(int=1),
        "at": AT,
        "sender": "receipts@pay.example",
        "sender_name": "The Book Shop",
        "recipient": "shopper@example.com",
        "answers_to": "a@shop.example",
        "subject": "Your receipt",
        "text": "Thank you.\n",
        "html": "<p>Thank you.</p>\n",
        **more,
    }
    return Draft(**terms)  # type: ignore[arg-type]


def read(letter: Letter) -> EmailMessage:
    message = message_from_bytes(letter.content, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


@settings(deadline=None)
@given(ONE_LINE, ONE_LINE)
def test_who_reads_a_letter_reads_what_was_written_in_its_headers(name: str, subject: str) -> None:
    """In any script, long or short."""
    letter = written(draft(sender_name=name, subject=subject))
    message, plain = read(letter), message_from_bytes(letter.content)

    assert message["Subject"] == subject
    for each in ("From", "Reply-To"):
        # The newer reader puts a blank between two encoded words of a name (RFC 2047, 6.2: none).
        shown, _ = parseaddr(plain[each])
        assert str(make_header(decode_header(shown))).split() == name.split()
    assert message["Reply-To"].addresses[0].addr_spec == "a@shop.example"


@settings(deadline=None)
@given(TEXT, TEXT)
def test_who_reads_a_letter_reads_what_was_written_in_its_texts(text: str, html: str) -> None:
    """Blanks at a line's end, dots, control characters and the boundary's own look included."""
    html = f"{html}\n--=_{UUID(int=1).hex}\n<p>=_"
    message = read(written(draft(text=text, html=html)))
    parts = {
        each.get_content_subtype(): each.get_content().replace("\r\n", "\n")
        for each in message.iter_parts()
    }

    assert parts["plain"].removesuffix("\n") == text.removesuffix("\n")
    assert parts["html"].removesuffix("\n") == html


@settings(deadline=None)
@given(ONE_LINE, ONE_LINE, TEXT)
def test_a_letter_is_ascii_in_lines_that_every_mail_server_takes(
    name: str, subject: str, text: str
) -> None:
    """Nothing in it needs 8BITMIME, and no line end is half of one."""
    content = written(draft(sender_name=name, subject=subject, text=text)).content

    assert content.isascii()
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


@settings(deadline=None)
@given(PLAIN_LINE)
def test_a_plain_subject_is_read_as_it_was_written(subject: str) -> None:
    """Also one that looks encoded, and one with a blank at its end."""
    subject = f"{subject}=?utf-8?q?a=0D=0ABcc:_t@x.example?= "
    message = message_from_bytes(subject_line(subject).encode() + b"\r\n", policy=default)

    assert message["Subject"] == subject
    assert message["Bcc"] is None


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,40}@[a-z0-9.-]{1,40}", fullmatch=True))
def test_a_recipient_is_one_for_us_where_it_is_one_for_the_library(recipient: str) -> None:
    """The short way lets nothing through that the library refuses."""
    try:
        Address(addr_spec=recipient)
    except (MessageError, ValueError, IndexError):
        with pytest.raises((MessageError, ValueError, IndexError)):
            written(draft(recipient=recipient))
        return

    content = written(draft(recipient=recipient)).content
    assert f"\r\nTo: {recipient}\r\n".encode() in content


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["subject", "sender_name", "recipient", "sender", "answers_to"])
def test_nothing_with_a_line_end_becomes_another_header(field: str, end: str) -> None:
    """Refused, or inside of its own header; whatever it was that looked like an end."""
    known = getattr(draft(), field)
    try:
        letter = written(
            draft(**{"answers_to": "a@shop.example", field: f"{known}{end}Bcc: t@x.example"})
        )
    except (ValueError, IndexError):
        return

    assert read(letter)["Bcc"] is None
    assert not re.search(rb"[\r\n]Bcc:", letter.content)


def test_an_address_in_another_script_says_so_to_the_mail_server() -> None:
    """And stands in the header as it is."""
    letter = written(draft(recipient="shopper@bücher.example"))

    assert letter.is_utf8
    assert "To: shopper@bücher.example\r\n".encode() in letter.content
    assert not written(draft()).is_utf8


def test_a_plain_letter_stays_readable_in_its_source() -> None:
    """Without any encoding."""
    content = written(draft()).content.decode()

    assert "\r\n\r\nThank you.\r\n" in content
    assert "\r\n\r\n<p>Thank you.</p>\r\n" in content
    assert len(max(content.split("\r\n"), key=len)) <= LINE_MAX
