"""
Receipts by e-mail: how they are made, and that each owed one is sent until it is taken.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiosmtpd import smtp
from counterfoil.api.bodies import PaymentRequest
from counterfoil.config import Mail
from counterfoil.money import amount_text
from counterfoil.receipts import mail
from counterfoil.receipts.letter import Letter
from counterfoil.receipts.mail import (
    CLAIMED_AT_ONCE_MAX,
    SEND_SECONDS_MAX,
    SENT_AT_ONCE_MAX,
    SPACING_SECONDS,
    WORDS_MAX,
    Mailer,
    compose,
    subject,
)
from counterfoil.receipts.receipt import as_html, as_text, receipt
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.outbox import OutboxStore, OwedMail
from counterfoil.store.processes import ProcessStore
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError, convert
from payment_stage import START, Stage
from receipt_facts import FACTS

SENDER = "receipts@pay.example"


def owed(kind: str = "mail_customer", recipient: str = "shopper@example.com") -> OwedMail:
    return OwedMail(
        merchant_id=uuid4(),
        outbox_id=uuid4(),
        kind=kind,
        recipient=recipient,
        attempts=1,
        facts=dict(FACTS),
    )


def composed(mail: OwedMail, *, test: bool = True, sender: str = SENDER) -> EmailMessage:
    """Return the message as whoever receives it reads it."""
    letter = compose(mail, receipt(mail.facts, test=test), sender, START)
    read = message_from_bytes(letter.content, policy=default)
    assert isinstance(read, EmailMessage)
    return read


def test_a_receipt_is_text_with_html_beside_it() -> None:
    """Every reader finds one it can show; both say the same."""
    message = composed(owed())
    text, html = message.get_body(("plain",)), message.get_body(("html",))

    assert message.get_content_type() == "multipart/alternative"
    assert text is not None
    assert html is not None
    for part in (text, html):
        assert "5724 0000 0004" in part.get_content()


def test_the_headers_name_shop_and_customer() -> None:
    """From the gateway in the shop's name; answers go to the shop."""
    message = composed(owed())

    assert message["From"] == f"The Book Shop <{SENDER}>"
    assert message["To"] == "shopper@example.com"
    assert message["Reply-To"] == "The Book Shop <owner@bookshop.example>"
    assert message["Date"].datetime == START
    assert message["Auto-Submitted"] == "auto-generated"


def test_a_repeat_is_recognised_by_its_message_id() -> None:
    """A crash between "taken" and "noted" sends again: same id, so that programs drop it."""
    mail, other = owed(), owed()

    assert composed(mail)["Message-ID"] == composed(mail)["Message-ID"]
    assert composed(mail)["Message-ID"] == f"<{mail.outbox_id.hex}@pay.example>"
    assert composed(other)["Message-ID"] != composed(mail)["Message-ID"]


@pytest.mark.parametrize(
    ("kind", "test", "line"),
    [
        ("mail_customer", False, "Your receipt from The Book Shop for order 1001"),
        ("mail_customer", True, "[Test] Your receipt from The Book Shop for order 1001"),
        ("mail_merchant", False, "Paid: 42.00 USD for order 1001"),
    ],
)
def test_the_subject_says_what_it_is(kind: str, test: bool, line: str) -> None:
    """To the customer, to the merchant, and that a test is one."""
    assert composed(owed(kind), test=test)["Subject"] == line


def test_a_payment_without_an_order_has_a_subject_too() -> None:
    """And no half sentence."""
    shown = receipt({**FACTS, "order_number": None}, test=False)

    assert subject(shown, for_merchant=False) == "Your receipt from The Book Shop"


def test_the_subject_of_a_credit_does_not_say_paid() -> None:
    """The money goes the other way."""
    shown = receipt({**FACTS, "kind": "credit"}, test=False)

    assert subject(shown, for_merchant=False) == "Your credit from The Book Shop for order 1001"
    assert subject(shown, for_merchant=True) == "Credit given: 42.00 USD for order 1001"


@pytest.mark.parametrize(
    ("minor", "code", "said"),
    [
        (100_000, "USD", "1,000.00 USD"),
        (123_456_789, "JPY", "123,456,789 JPY"),
        (5, "USD", "0.05 USD"),
    ],
)
def test_an_amount_is_written_in_a_mail_as_on_a_page(minor: int, code: str, said: str) -> None:
    """In the subject, in both forms of the text, and on the pages: with commas for thousands."""
    taken = {"amount_minor": minor, "captured_minor": minor, "authorized_minor": minor}
    shown = receipt({**FACTS, **taken, "currency": code}, test=False)

    number, _, _ = said.partition(" ")
    assert subject(shown, for_merchant=True) == f"Paid: {said} for order 1001"
    assert said in as_text(shown, for_merchant=True)
    assert f">{number} <" in as_html(shown, for_merchant=True)
    assert amount_text(minor, code) == said


def test_the_merchant_s_mail_of_an_authorization_does_not_say_paid() -> None:
    """Nothing was taken yet: the merchant must know that a capture is still to come."""
    mail = owed("mail_merchant")
    mail.facts.update(kind="authorization", state="authorized", captured_minor=0)
    message = composed(mail)

    assert message["Subject"] == "[Test] Held: 42.00 USD for order 1001"
    for part in message.iter_parts():
        assert "held for you" in part.get_content()
        assert "been paid" not in part.get_content()


@settings(deadline=None)
@given(st.text(max_size=60), st.text(min_size=1, max_size=40))
def test_nothing_that_anybody_types_becomes_a_header(order: str, name: str) -> None:
    """Order, description or shop with line ends: refused or encoded, never another header."""
    mail = owed()
    mail.facts.update(order_number=order, description=order, merchant_name=name)
    try:
        letter = compose(mail, receipt(mail.facts, test=False), SENDER, START)
    except ValueError:
        return
    heads = letter.content.split(b"\r\n\r\n")[0]
    names = {line.split(b":")[0].lower() for line in re.split(rb"\r\n(?![ \t])", heads)}

    assert names == {
        b"message-id", b"date", b"from", b"to", b"reply-to", b"subject", b"auto-submitted",
        b"content-type", b"mime-version",
    }  # fmt: skip


@pytest.mark.parametrize("field", ["order_number", "merchant_name"])
def test_an_injected_header_is_refused(field: str) -> None:
    """Bcc after a line end."""
    mail = owed()
    mail.facts[field] = "1001\r\nBcc: thief@example.com"

    with pytest.raises(ValueError, match=r"linefeed|CR or LF"):
        compose(mail, receipt(mail.facts, test=False), SENDER, START)


@given(
    st.one_of(
        st.emails(),
        st.from_regex(r"[^\s@]{1,20}@[^\s@]{1,20}", fullmatch=True),
        st.from_regex(
            r"[a-z.\"!#%&'*+/=?^_`{|}~-]{1,12}@[a-z0-9.-]{1,12}\.[a-z]{2,4}", fullmatch=True
        ),
    )
)
def test_every_address_that_the_api_takes_can_be_written_to(address: str) -> None:
    """A payment is not taken with an address that the mail would fail on afterwards."""
    body = {
        "amount_minor": 1,
        "currency": "USD",
        "card": {"number": "4111111111111111", "expiry_month": 1, "expiry_year": 2031},
        "customer_email": address,
    }
    try:
        convert(body, PaymentRequest)
    except ValidationError:
        return

    message = composed(owed(recipient=address))

    assert [each.addr_spec for each in message["To"].addresses] == [address]


class Post:
    """A mail server that takes, or answers with the next of its *replies*."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.taken: list[EmailMessage] = []
        self.port = 0
        self.peers: list[object] = []
        self.mails_max: int | None = None  # Of one connection.
        self.hangs_up = False  # After that many; else it says so to the next one.
        self.left = 0

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        self.peers.append(session.peer)  # type: ignore[attr-defined]
        if self.replies:
            return self.replies.pop(0)
        message = message_from_bytes(envelope.content, policy=default)  # type: ignore[attr-defined]
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        if self.hangs_up and self._has_enough(session):
            asyncio.get_running_loop().call_soon(server.transport.close)  # type: ignore[attr-defined]
        return "250 taken"

    async def handle_MAIL(  # noqa: N802
        self, server: object, session: object, envelope: object, address: str, options: object
    ) -> str:
        if self._has_enough(session):
            return "421 too many mails on one connection"
        envelope.mail_from = address  # type: ignore[attr-defined]
        return "250 well"

    def _has_enough(self, session: object) -> bool:
        return self.peers.count(session.peer) == self.mails_max  # type: ignore[attr-defined]

    async def handle_QUIT(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        self.left += 1
        return "221 bye"

    def settings(self, **more: object) -> Mail:
        return Mail(port=self.port, sender=SENDER, **more)  # type: ignore[arg-type]


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    """A mail server on a port of its own."""
    post = Post()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: smtp.SMTP(post, hostname="post.example", loop=loop), "127.0.0.1", 0
    )
    post.port = server.sockets[0].getsockname()[1]
    yield post
    server.close()


def mailer(stage: Stage, settings: Mail) -> Mailer:
    return Mailer(
        OutboxStore(stage.database, uuid4(), stage.clock), settings, stage.clock, test=True
    )


async def outbox(stage: Stage) -> dict[str, dict[str, object]]:
    """Return what the outbox says of each mail of the stage's merchant."""
    rows = await stage.sql(
        "SELECT kind, state, attempts, last_error, sent_at, next_try_at FROM outbox "
        "WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    return {row["kind"]: dict(row) for row in rows}


@pytest.fixture
async def alone(stage: Stage) -> Stage:
    """A stage whose mails are the only ones owed."""
    await stage.sql("UPDATE outbox SET state = 'gave_up' WHERE state = 'owed'")
    return stage


async def test_customer_and_merchant_get_exactly_one_each(alone: Stage, post: Post) -> None:
    """After the confirmation, with its number; a second round has nothing to do."""
    payment = await alone.paid()
    sender = mailer(alone, post.settings())

    tried = [await sender.send_due(), await sender.send_due()]

    found = sorted(post.taken, key=lambda each: str(each["To"]))
    assert tried == [2, 0]
    assert [each["To"] for each in found] == ["owner@bookshop.example", "shopper@example.com"]
    number = payment.confirmation_number
    assert number is not None
    body = found[1].get_body(("plain",))
    assert body is not None
    assert f"{number[:4]} {number[4:8]} {number[8:]}" in body.get_content()
    assert {each["state"] for each in (await outbox(alone)).values()} == {"sent"}


async def test_the_mails_of_a_round_share_connections_and_none_outlives_it(
    alone: Stage, post: Post
) -> None:
    """Not a handshake for each; and none that the server could have cut before the next round."""
    for _ in range(SENT_AT_ONCE_MAX):
        await alone.paid()

    tried = await mailer(alone, post.settings()).send_due()

    assert tried == len(post.taken) == 2 * SENT_AT_ONCE_MAX
    assert len(set(post.peers)) <= SENT_AT_ONCE_MAX
    assert post.left == len(set(post.peers))


async def test_while_more_is_due_the_next_round_goes_on_over_the_same_connections(
    alone: Stage, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog is no reason for a handshake every few mails; the last round takes leave."""
    monkeypatch.setattr(mail, "CLAIMED_AT_ONCE_MAX", 4)
    for _ in range(5):
        await alone.paid()
    sender = mailer(alone, post.settings())

    tried = [await sender.send_due() for _ in range(3)]

    assert tried == [4, 4, 2]
    assert len(post.taken) == 10
    assert len(set(post.peers)) <= 4
    assert post.left == len(set(post.peers))


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "says so"])
async def test_a_mail_server_that_ends_connections_between_mails_costs_no_mail_a_try(
    alone: Stage, post: Post, hangs_up: bool
) -> None:
    """Some take only a few mails on one connection: another one is made."""
    for _ in range(2 * SENT_AT_ONCE_MAX):
        await alone.paid()
    post.mails_max, post.hangs_up = 2, hangs_up

    await mailer(alone, post.settings()).send_due()

    arrived = [each["Message-ID"] for each in post.taken]
    assert len(arrived) == len(set(arrived)) == 4 * SENT_AT_ONCE_MAX
    found = await alone.sql(
        "SELECT DISTINCT state, attempts FROM outbox WHERE merchant_id = $1",
        alone.merchant.merchant_id,
    )
    assert [tuple(row) for row in found] == [("sent", 1)]


async def test_a_mail_that_is_refused_does_not_spoil_the_connection_of_another(
    alone: Stage, post: Post
) -> None:
    """The others of the round arrive, each once."""
    for _ in range(SENT_AT_ONCE_MAX):
        await alone.paid()
    post.replies = ["550 no such user", "451 later"]

    await mailer(alone, post.settings()).send_due()

    arrived = [each["Message-ID"] for each in post.taken]
    assert len(arrived) == len(set(arrived)) == 2 * SENT_AT_ONCE_MAX - 2


async def test_a_customer_without_an_address_gets_none(alone: Stage, post: Post) -> None:
    """The merchant still does."""
    await alone.paid(customer_email=None)

    assert await mailer(alone, post.settings()).send_due() == 1
    assert [each["To"] for each in post.taken] == ["owner@bookshop.example"]


async def test_an_approval_that_nobody_acknowledged_sends_nothing(alone: Stage, post: Post) -> None:
    """No order, no receipt."""
    await alone.take()

    assert await mailer(alone, post.settings()).send_due() == 0


async def test_a_mail_that_was_not_taken_is_tried_again_later(alone: Stage, post: Post) -> None:
    """A busy server: the pause first, then it goes out, once."""
    await alone.paid(customer_email=None)
    sender = mailer(alone, post.settings())
    post.replies = ["451 try later"]

    first = await sender.send_due()
    waiting = await outbox(alone)
    too_soon = await sender.send_due()
    alone.clock.move(SPACING_SECONDS[0] + 0.1)
    again = await sender.send_due()

    assert (first, too_soon, again) == (1, 0, 1)
    assert waiting["mail_merchant"]["state"] == "owed"
    assert "451" in str(waiting["mail_merchant"]["last_error"])
    assert len(post.taken) == 1
    assert (await outbox(alone))["mail_merchant"]["last_error"] is None


async def test_pauses_grow_and_an_end_is_an_end(alone: Stage, post: Post) -> None:
    """After `attempts_max` the mail is given up, and says so."""
    await alone.paid(customer_email=None)
    sender = mailer(alone, post.settings(attempts_max=3))
    post.replies = ["451 no"] * 10
    pauses = []
    for _ in range(3):
        await sender.send_due()
        row = (await outbox(alone))["mail_merchant"]
        pauses.append((row["next_try_at"] - alone.clock.now()).total_seconds())  # type: ignore[operator]
        alone.clock.move(4000)

    assert pauses == list(SPACING_SECONDS[:3])
    assert row["state"] == "gave_up"
    assert await sender.send_due() == 0


@pytest.mark.parametrize(("known", "state"), [(True, "sent"), (False, "owed")])
async def test_an_address_in_another_script_goes_to_a_mail_server_that_takes_such(
    alone: Stage, known: bool, state: str
) -> None:
    """At one that does not it waits: the operator may name another one."""
    await alone.paid(customer_email=None)
    await alone.sql("UPDATE outbox SET recipient = 'owner@bücher.example' WHERE state = 'owed'")
    post = Post()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: smtp.SMTP(post, hostname="post.example", loop=loop, enable_SMTPUTF8=known),
        "127.0.0.1",
    )
    post.port = server.sockets[0].getsockname()[1]

    await mailer(alone, post.settings()).send_due()
    server.close()

    assert (await outbox(alone))["mail_merchant"]["state"] == state
    assert [each["To"] for each in post.taken] == ["owner@bücher.example"] * known


async def test_a_permanent_refusal_is_not_repeated(alone: Stage, post: Post) -> None:
    """There is no such mailbox: asking again every minute helps nobody."""
    await alone.paid(customer_email=None)
    post.replies = ["550 no such mailbox"]

    await mailer(alone, post.settings()).send_due()

    assert (await outbox(alone))["mail_merchant"]["state"] == "gave_up"


@pytest.mark.parametrize(
    "command", ["greeting", "EHLO", "MAIL", "AUTH"], ids=["greeting", "hello", "sender", "password"]
)
async def test_a_mail_server_that_refuses_us_loses_nothing(
    alone: Stage, tmp_path: Path, command: str
) -> None:
    """A password that has ended, a sender that may not send: an operator mends that."""
    await alone.paid(customer_email=None)
    path = tmp_path / "password"
    path.write_text("ended")
    login = {"username": "shop", "password_file": str(path)} if command == "AUTH" else {}
    async with refusing(command) as port:
        await mailer(alone, Mail(port=port, sender=SENDER, **login)).send_due()

    row = (await outbox(alone))["mail_merchant"]
    assert row["state"] == "owed"
    assert "not you" in str(row["last_error"])


@asynccontextmanager
async def refusing(command: str) -> AsyncIterator[int]:
    """A mail server that knows us no more, and says so at *command*."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        says = "535 not you" if command == "greeting" else "220 post.example"
        writer.write(says.encode() + b"\r\n")
        while line := await reader.readline():
            word = line.split()[0].upper().decode()
            if word == command or (command == "EHLO" and word == "HELO"):
                writer.write(b"535 not you\r\n")
            elif word == "EHLO":
                writer.write(b"250-post.example\r\n250 AUTH PLAIN LOGIN\r\n")
            else:
                writer.write(b"250 well\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_mail_server_that_is_away_loses_nothing(alone: Stage) -> None:
    """Nobody listens: tried again later."""
    await alone.paid(customer_email=None)

    await mailer(alone, Mail(port=1, sender=SENDER)).send_due()

    assert (await outbox(alone))["mail_merchant"]["state"] == "owed"


async def test_an_address_that_is_none_stops_nobody_elses_mail(alone: Stage, post: Post) -> None:
    """It is given up with its reason; the worker and the other mail go on."""
    await alone.paid(customer_email="shopper@example..com")

    tried = await mailer(alone, post.settings()).send_due()

    rows = await outbox(alone)
    assert tried == 2
    assert rows["mail_customer"]["state"] == "gave_up"
    assert rows["mail_merchant"]["state"] == "sent"


async def test_a_mail_is_sent_by_one_worker(alone: Stage, post: Post) -> None:
    """Two workers at once: each mail goes out once."""
    for _ in range(5):
        await alone.paid()
    workers = [mailer(alone, post.settings()) for _ in range(2)]

    tried = await asyncio.gather(*(each.send_due() for each in workers))

    assert sum(tried) == 10
    assert len({each["Message-ID"] for each in post.taken}) == len(post.taken) == 10


async def test_a_slow_mail_server_lets_no_other_worker_send_the_same_mails(
    alone: Stage, post: Post
) -> None:
    """Each of a round may take its time, and the last ones wait for the first."""
    await alone.paid()
    goes_on = asyncio.Event()

    async def slowly(_: Letter) -> None:
        await goes_on.wait()

    owner = uuid4()
    store = OutboxStore(alone.database, owner, alone.clock)
    slow = Mailer(store, post.settings(), alone.clock, test=True, deliver=slowly)
    sending = asyncio.create_task(slow.send_due())
    while not await alone.sql("SELECT 1 FROM outbox WHERE lease_owner = $1", owner):  # noqa: ASYNC110 - a row.
        await asyncio.sleep(0.01)
    alone.clock.move(WORDS_MAX * SEND_SECONDS_MAX * CLAIMED_AT_ONCE_MAX / SENT_AT_ONCE_MAX)

    meanwhile = await mailer(alone, post.settings()).send_due()
    goes_on.set()

    assert (meanwhile, await sending) == (0, 2)


async def test_who_stood_still_sends_nothing_that_another_has_taken_meanwhile(
    alone: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process's lease ended, and with it all of its claims: exactly one e-mail each."""
    monkeypatch.setattr(mail, "SENT_AT_ONCE_MAX", 1)
    for _ in range(3):
        await alone.paid(customer_email=None)
    process = ProcessStore(alone.database, uuid4())
    now = alone.clock.now()
    await process.register("mailer", now, now + timedelta(seconds=10))
    goes_on, began = asyncio.Event(), asyncio.Event()
    by_frozen: list[Letter] = []
    by_other: list[Letter] = []

    async def frozen(letter: Letter) -> None:
        by_frozen.append(letter)
        began.set()
        await goes_on.wait()

    async def at_once(letter: Letter) -> None:
        by_other.append(letter)

    stores = [
        OutboxStore(alone.database, each, alone.clock) for each in (process.process_id, uuid4())
    ]
    mailers = [
        Mailer(store, Mail(), alone.clock, test=True, deliver=deliver)
        for store, deliver in zip(stores, (frozen, at_once), strict=True)
    ]
    sending = asyncio.create_task(mailers[0].send_due())
    await began.wait()
    alone.clock.move(20)

    taken = await mailers[1].send_due()
    await process.renew(alone.clock.now() + timedelta(seconds=10))
    goes_on.set()
    await sending
    await process.end(now)

    assert taken == 3
    assert len(by_frozen) == 1, "the one that it was about when it stood still: nobody can know"
    assert len({each.content for each in by_other}) == 3


async def test_who_has_no_lease_left_claims_nothing(alone: Stage) -> None:
    """It could not keep it: whoever looks next would take it, and both would send it."""
    await alone.paid(customer_email=None)
    process = ProcessStore(alone.database, uuid4())
    now = alone.clock.now()
    await process.register("mailer", now, now + timedelta(seconds=10))
    store = OutboxStore(alone.database, process.process_id, alone.clock)
    sent: list[Letter] = []

    async def deliver(letter: Letter) -> None:
        sent.append(letter)

    sender = Mailer(store, Mail(), alone.clock, test=True, deliver=deliver, fresh_seconds=2.5)
    alone.clock.move(8)
    without = await sender.send_due()
    await process.renew(alone.clock.now() + timedelta(seconds=10))
    renewed = await sender.send_due()
    await process.end(now)

    assert (without, renewed, len(sent)) == (0, 1, 1)


async def test_a_mail_of_a_worker_that_died_is_taken_over(alone: Stage, post: Post) -> None:
    """It had the lease and said nothing more: when the lease is over, another one sends."""
    await alone.paid(customer_email=None)
    now = alone.clock.now()
    dead = OutboxStore(alone.database, uuid4(), alone.clock)
    await dead.claim_mail(now, now.replace(hour=now.hour + 1), 10)

    before = await mailer(alone, post.settings()).send_due()
    alone.clock.move(3601)
    after = await mailer(alone, post.settings()).send_due()

    assert (before, after) == (0, 1)


async def test_a_note_that_was_lost_is_written_again_and_no_mail_is_sent_twice(
    database: Database, post: Post
) -> None:
    """The server took it and the database was away for a moment: exactly one e-mail each."""

    class Losing(Database):
        lost = True

        async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
            if name == "mail_sent" and self.lost:
                self.lost = False
                raise DatabaseAway("no answer to mail_sent")
            return await super().rows(name, *arguments)

    stage = await Stage.set_up(Losing(database._pool))
    await stage.sql("UPDATE outbox SET state = 'gave_up' WHERE state = 'owed'")
    await stage.paid()
    sender = mailer(stage, post.settings())
    tried = [await sender.send_due(), await sender.send_due()]

    assert tried == [2, 0]
    assert {each["state"] for each in (await outbox(stage)).values()} == {"sent"}
    assert len(post.taken) == 2


async def test_the_password_comes_from_its_own_file(tmp_path: Path, alone: Stage) -> None:
    """Never from the configuration itself; blanks at its end do not count."""
    path = tmp_path / "password"
    path.write_text("secret\n")

    found = mailer(alone, Mail(sender=SENDER, username="shop", password_file=str(path)))

    assert found._password == "secret"
