"""
The mailbox's pages and what they refuse to do.
"""

from email.message import EmailMessage
from pathlib import Path

import pytest
from counterfoil_proof.mailbox import pages
from counterfoil_proof.mailbox.messages import Messages
from starlette.testclient import TestClient


@pytest.fixture
def messages(tmp_path: Path) -> Messages:
    return Messages(tmp_path / "messages")


@pytest.fixture
def browser(messages: Messages) -> TestClient:
    return TestClient(pages.build(messages), base_url="http://127.0.0.1:8026")


async def test_the_inbox_groups_messages_by_recipient(
    messages: Messages, browser: TestClient
) -> None:
    """Promise: each recipient's mail stands under their own address."""
    await messages.keep("shop@example.com", ["ada@example.com"], receipt("Your receipt"))
    await messages.keep("shop@example.com", ["owner@example.com"], receipt("Order 1001 is paid"))

    everybody = browser.get("/").text
    ada = browser.get("/", params={"to": "ada@example.com"}).text

    assert "Your receipt" in everybody
    assert "Order 1001 is paid" in everybody
    assert "Your receipt" in ada
    assert "Order 1001 is paid" not in ada


async def test_the_json_lists_what_a_program_needs(messages: Messages, browser: TestClient) -> None:
    """Promise: id, to, from, subject, date and message_id of every message, newest first."""
    kept = await messages.keep("shop@example.com", ["ada@example.com"], receipt("Grüße, Ada"))

    assert browser.get("/messages.json").json() == [
        {
            "id": kept,
            "to": ["ada@example.com"],
            "from": "Stub & Leaf <shop@example.com>",
            "subject": "Grüße, Ada",
            "date": "Mon, 23 Nov 2026 07:00:00 +0000",
            "message_id": "<1001@example.com>",
        }
    ]


async def test_a_message_page_shows_text_headers_and_frames_the_html(
    messages: Messages, browser: TestClient
) -> None:
    """Promise: the HTML part is framed in a sandbox; text and headers are beside it."""
    kept = await messages.keep("shop@example.com", ["ada@example.com"], receipt("Your receipt"))

    page = browser.get(f"/messages/{kept}").text

    assert '<iframe class="sheet" sandbox title=' in page
    assert f'src="/messages/{kept}/html"' in page
    assert "Confirmation number 123456789012" in page
    assert "Message-ID" in page
    assert "<script>" not in page


async def test_the_html_of_a_mail_can_run_and_load_nothing(
    messages: Messages, browser: TestClient
) -> None:
    """Promise: a mail's HTML comes with a policy that allows no script, no load, no form."""
    kept = await messages.keep("shop@example.com", ["ada@example.com"], receipt("Your receipt"))

    answer = browser.get(f"/messages/{kept}/html")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "<b>123456789012</b>" in answer.text


async def test_the_source_is_served_as_text(messages: Messages, browser: TestClient) -> None:
    """Promise: the raw source is never interpreted by the browser."""
    kept = await messages.keep("shop@example.com", ["ada@example.com"], receipt("Your receipt"))

    answer = browser.get(f"/messages/{kept}/raw")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith("Return-Path: <shop@example.com>")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00 not a message",
        b"Subject: =?utf-8?q?=ff=fe?=\r\nFrom: <<<>>>\r\nTo: ,,;:\r\n\r\nbody",
        b"Content-Type: multipart/alternative\r\n\r\nno boundary",
        b"Content-Type: text/html; charset=no-such\r\n\r\n<p>Hello",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Message-ID: <[\r\nDate: never\r\n\r\n",
    ],
)
async def test_a_garbled_message_is_shown_as_well_as_it_can_be(
    messages: Messages, browser: TestClient, content: bytes
) -> None:
    """Promise: no message, however broken, takes a page down."""
    kept = await messages.keep("", ["ada@example.com"], content)

    for path in ("/", "/messages.json", f"/messages/{kept}", f"/messages/{kept}/raw"):
        assert browser.get(path).status_code == 200
    assert browser.get(f"/messages/{kept}/html").status_code in (200, 404)


@pytest.mark.parametrize(
    "path", ["/messages/none", "/messages/..%2Fx", "/messages/none/html", "/x"]
)
def test_what_is_not_there_is_404(browser: TestClient, path: str) -> None:
    """Promise: only listed messages are read from disk."""
    assert browser.get(path).status_code == 404


def test_another_host_name_is_refused(browser: TestClient) -> None:
    """Promise: a foreign site whose name points to this machine reads no mail."""
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_an_empty_inbox_says_what_to_do(browser: TestClient) -> None:
    """Promise: the first page a user sees explains itself."""
    assert "No mail yet" in browser.get("/").text


def test_the_mailbox_wears_the_shop_s_colours(browser: TestClient) -> None:
    """Promise: one family of pages has one file of tokens."""
    answer = browser.get("/static/tokens.css")

    assert answer.status_code == 200
    assert "--accent" in answer.text


def receipt(subject: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Stub & Leaf <shop@example.com>"
    message["To"] = "ada@example.com"
    message["Subject"] = subject
    message["Date"] = "Mon, 23 Nov 2026 07:00:00 +0000"
    message["Message-ID"] = "<1001@example.com>"
    message.set_content("Confirmation number 123456789012\n")
    message.add_alternative(
        "<p>Confirmation number <b>123456789012</b><script>alert(1)</script></p>", subtype="html"
    )
    return message.as_bytes()
