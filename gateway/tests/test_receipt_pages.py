"""
A receipt as people have it: page, paper, PDF, and once more by e-mail; each says the same.
"""

import re
from uuid import uuid4

import pytest
from counterfoil import ids
from counterfoil.payments.movements import refund, void
from counterfoil.payments.payment import Payment
from counterfoil.people.roles import Role
from counterfoil.receipts.mail import compose
from counterfoil.receipts.receipt import receipt
from counterfoil.store.outbox import OutboxStore
from counterfoil.store.receipts import COPIES_LATELY_MAX, COPIES_MAX
from counterfoil.web import receipts
from payment_stage import START, Stage
from scripted_link import says
from web_stage import Site, WindowlessBrowser, words

NASTY = '"><img src=x onerror=alert(1)>{{7*7}}'


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def path_of(payment: Payment) -> str:
    return f"/payments/{ids.written('pay', payment.payment_id)}/receipt"


async def send_to(browser: WindowlessBrowser, payment: Payment, email: str) -> int:
    await browser.get(path_of(payment))
    return (await browser.send(path_of(payment), {"email": email})).status_code


async def test_a_receipt_page_says_what_the_e_mail_says(site: Site) -> None:
    """One slip: business, place, time with zone, amount, card, codes; and no expiry date."""
    stage = site.stage
    payment = await stage.paid(order_number="R-1", description="Two books")
    browser = await site.signed_in()

    answer = await browser.get(path_of(payment))

    facts = await receipts.ReceiptStore(stage.database, stage.road.ids).facts(
        stage.merchant.merchant_id, payment.payment_id
    )
    assert facts is not None
    shown, said = receipt(facts, test=True), words(answer)
    assert answer.status_code == 200
    for each in (
        shown.business,
        shown.place,
        shown.when,
        shown.amount,
        shown.card,
        shown.confirmation_number,
        shown.approval_code,
        "R-1",
        "Two books",
        shown.rrn,
    ):
        assert each
        assert each in said
    for other in (shown.when, shown.confirmation_number, shown.approval_code, shown.rrn):
        said = said.replace(other or "", "")  # Which may hold the same digits.
    assert "4111111111111111" not in answer.text
    assert not re.search(r"\b(12\W?(20)?30|(20)?30\W?12)\b", said), said


async def test_a_declined_payment_has_a_receipt_that_says_why(site: Site) -> None:
    """Not charged, in words, without a confirmation number."""
    site.stage.link.script.append(says("51"))
    payment = await site.stage.take()
    browser = await site.signed_in()

    said = words(await browser.get(path_of(payment)))

    assert "Not charged" in said
    assert "not enough money" in said
    assert "Confirmation number" not in said


async def test_refunds_and_voids_since_are_on_the_receipt(site: Site) -> None:
    """Nobody holds a receipt for money that came back."""
    stage = site.stage
    refunded, voided = await stage.paid(), await stage.paid()
    await refund(stage.command(refunded, amount_minor=1000), stage.road)
    await void(stage.command(voided), stage.road)
    browser = await site.signed_in()

    given_back = words(await browser.get(path_of(refunded)))
    cancelled = words(await browser.get(path_of(voided)))

    assert "Refunded in part" in given_back
    assert "Given back 10.00 USD" in given_back
    assert "Cancelled: not charged" in cancelled


async def test_nothing_that_a_customer_types_becomes_markup(site: Site) -> None:
    """Neither in the page nor in what a PDF is made of; order, description, address."""
    payment = await site.stage.paid(order_number=NASTY, description=NASTY)
    browser = await site.signed_in()

    answer = await browser.get(path_of(payment))
    refused = await browser.send(path_of(payment), {"email": NASTY})

    assert refused.status_code == 422
    for page in (answer.text, refused.text):
        assert "<img src=x" not in page
        assert "{{7*7}}" in page
    assert "aria-invalid" in refused.text


@pytest.mark.parametrize(
    ("asked", "paper"), [("", "a4"), ("?paper=a4", "a4"), ("?paper=80mm", "80mm")]
)
async def test_the_paper_is_chosen_on_the_page(site: Site, asked: str, paper: str) -> None:
    """A4 or a roll."""
    payment = await site.stage.paid()
    browser = await site.signed_in()

    text = (await browser.get(f"{path_of(payment)}{asked}")).text

    assert f"/static/receipt-{paper}.css" in text
    assert f"receipt.pdf?paper={paper}" in text


async def test_a_paper_that_is_none_is_refused(site: Site) -> None:
    """As page and as file; what there is, is said."""
    payment = await site.stage.paid()
    browser = await site.signed_in()

    for form in ("", ".pdf"):
        answer = await browser.get(f"{path_of(payment)}{form}?paper=zzz")

        assert answer.status_code == 400
        assert "There is no such paper: choose a4 or 80mm." in words(answer)


async def test_a_pdf_is_made_of_the_same_slip_and_of_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Styles stand in it, and it links to nothing."""
    made: list[str] = []

    async def pdf_of(html: str) -> bytes:
        made.append(html)
        return b"%PDF-1.7 of the test"

    monkeypatch.setattr(receipts, "pdf_of", pdf_of)
    payment = await site.stage.paid(order_number=NASTY)
    browser = await site.signed_in()

    answer = await browser.get(f"{path_of(payment)}.pdf?paper=80mm")

    assert answer.headers["content-type"] == "application/pdf"
    assert f'receipt-{payment.confirmation_number}.pdf"' in answer.headers["content-disposition"]
    (html,) = made
    assert receipt_number(payment) in html
    assert "size: 80mm" in html
    assert "<img src=x" not in html
    assert not re.search(r"(?:src|href)=|url\(|@import", html.replace("src=x", ""))


def receipt_number(payment: Payment) -> str:
    assert payment.confirmation_number
    number = payment.confirmation_number
    return f"{number[:4]} {number[4:8]} {number[8:]}"


async def test_a_receipt_is_sent_again_to_another_address(site: Site) -> None:
    """By the outbox, as every e-mail; who asked for it is noted, and the page shows it."""
    stage = site.stage
    payment = await stage.paid()
    browser = await site.signed_in()

    assert await send_to(browser, payment, "another@example.com") == 303

    owed = await OutboxStore(stage.database, uuid4(), stage.clock).claim_mail(
        stage.clock.now(), stage.clock.now(), 100
    )
    (mail,) = [
        each
        for each in owed
        if each.facts["payment_id"] == payment.payment_id and each.kind.startswith("mail_again")
    ]
    letter = compose(mail, receipt(mail.facts, test=True), "pay@pay.example", START)
    events = await stage.sql(
        "SELECT actor, about, after FROM people_events WHERE what = 'receipt_sent'"
        " AND merchant_id = $1",
        stage.merchant.merchant_id,
    )
    assert mail.recipient == letter.recipient == "another@example.com"
    assert receipt_number(payment).encode() in letter.content
    assert [(each["about"], each["after"]) for each in events] == [
        (ids.written("pay", payment.payment_id), "another@example.com")
    ]
    assert events[0]["actor"].startswith("user:")
    said = words(await browser.get(f"{path_of(payment)}?done=sent"))
    assert "The receipt is on its way" in said
    assert "another@example.com" in said


async def test_a_receipt_is_not_sent_to_a_card_number(site: Site) -> None:
    """It is an address's first part, and is not shown again."""
    payment = await site.stage.paid()
    browser = await site.signed_in()
    await browser.get(path_of(payment))

    answer = await browser.send(path_of(payment), {"email": "4242.4242.4242.4242@example.com"})

    assert (answer.status_code, "A card's number stands here" in words(answer)) == (422, True)
    assert "4242.4242" not in answer.text


async def test_a_receipt_is_not_sent_too_often(site: Site) -> None:
    """So often an hour, and so often in all: nobody is flooded with it."""
    stage = site.stage
    payment, other = await stage.paid(), await stage.paid()
    browser = await site.signed_in()

    for turn in range(COPIES_MAX):
        assert await send_to(browser, payment, "a@example.com") == 303, turn
        if (turn + 1) % COPIES_LATELY_MAX == 0:
            assert await send_to(browser, payment, "a@example.com") == 429
            browser = await later(site)

    await browser.get(path_of(payment))
    said = await browser.send(path_of(payment), {"email": "a@example.com"})
    assert (said.status_code, 'value="a@example.com"' in said.text) == (429, True)
    assert "Print it, or wait." in words(said)
    assert await send_to(browser, other, "a@example.com") == 303


async def later(site: Site) -> WindowlessBrowser:
    site.stage.clock.move(3601)
    browser = site.browser()
    address = f"owner-{site.stage.merchant.merchant_id.hex[-12:]}@shop.example"
    form = {"email": address, "password": "four words nobody puts together"}
    assert (await browser.send("/sign-in", form)).status_code == 303
    return browser


async def test_a_payment_that_is_not_decided_has_no_receipt_to_send(site: Site) -> None:
    """Not before the shop has confirmed it."""
    payment = await site.stage.take()
    browser = await site.signed_in()

    answer = await browser.get(path_of(payment))

    assert "This is no receipt" in words(answer)
    assert await send_to(browser, payment, "a@example.com") == 409


async def test_a_clerk_sees_the_receipts_of_their_own_payments_only(site: Site) -> None:
    """By the guess of an id nobody reads another's customers."""
    stage = site.stage
    payment = await stage.paid()
    clerk = await site.signed_in(Role.CLERK)
    assert (await clerk.get(path_of(payment))).status_code == 404

    (row,) = await stage.sql(
        "SELECT user_id FROM members WHERE merchant_id = $1 AND role = 'clerk'",
        stage.merchant.merchant_id,
    )
    own = await stage.paid(actor=f"user:{row['user_id'].hex}")
    assert (await clerk.get(path_of(own))).status_code == 200


async def test_another_merchants_payment_has_no_receipt_here(site: Site, stage: Stage) -> None:
    """Nor a PDF, nor is it sent."""
    browser = await site.signed_in()
    for wrong in (f"pay_{uuid4().hex}", "pay_x", "mov_" + uuid4().hex):
        for path in (f"/payments/{wrong}/receipt", f"/payments/{wrong}/receipt.pdf"):
            assert (await browser.get(path)).status_code == 404
        answer = await browser.send(f"/payments/{wrong}/receipt", {"email": "a@example.com"})
        assert answer.status_code == 404


async def test_tax_and_tip_of_a_clerk_stand_on_page_and_e_mail(site: Site) -> None:
    """The sale that the terminal wrote is found by the payment's key; another's key finds none."""
    stage = site.stage
    browser = await site.signed_in()
    sale_id, other_id = uuid4(), uuid4()
    payment = await stage.paid(idempotency_key=f"terminal-{sale_id.hex}")
    other = await stage.paid(idempotency_key=f"terminal-{other_id.hex}")
    (member,) = await stage.sql(
        "SELECT user_id FROM members WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    for known, named in ((sale_id, payment), (other_id, payment)):
        await stage.sql(
            "INSERT INTO terminal_sales (merchant_id, sale_id, user_id, digest, kind, entry,"
            " amount_minor, currency, tax_minor, tip_minor, keep_card, charge_again, state,"
            " payment_id, created_at, updated_at) VALUES ($1, $2, $3, $4, 'sale', 'keyed', 4200,"
            " 'USD', 300, 500, false, false, 'done', $5, $6, $6)",
            stage.merchant.merchant_id,
            known,
            member["user_id"],
            bytes(32),
            named.payment_id,
            START,
        )

    said = words(await browser.get(path_of(payment)))
    owed = await OutboxStore(stage.database, uuid4(), stage.clock).claim_mail(
        stage.clock.now(), stage.clock.now(), 100
    )

    assert "Subtotal 34.00 Tax 3.00 Tip 5.00" in said
    assert "Tip" not in words(await browser.get(path_of(other)))
    tips = {each.facts["payment_id"]: each.facts["tip_minor"] for each in owed}
    assert (tips[payment.payment_id], tips[other.payment_id]) == (500, None)
