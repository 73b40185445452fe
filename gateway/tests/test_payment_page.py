"""
A payment's page: its whole road in words, and what is done with it, once for each form.
"""

import asyncio
import contextlib
import re
from typing import Any
from uuid import uuid4

import pytest
from counterfoil import ids
from counterfoil.events.feed import number_events
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import Cause, Kind, State
from counterfoil.payments.movements import capture, refund, void
from counterfoil.payments.payment import Payment
from counterfoil.payments.refusals import Refused
from counterfoil.people.roles import Role
from counterfoil.store.feed import FeedStore
from counterfoil.web import timeline
from counterfoil.web.payment import JUST_NOW
from payment_stage import CARD, Stage
from scripted_link import not_sent, says, unknown
from terminal_stage import TerminalStage
from web_stage import Site, WindowlessBrowser, words

STEP_UP_WHOLE = 500  # What a merchant's people give back without a proof, unless it is changed.
SCRIPT = "<script>alert(1)</script>"
_KEY = re.compile(r'name="key" value="(web-[0-9a-f]{32})"')
MOVES = ("capture", "void", "refund", "undo", "acknowledge", "refuse")


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def path_of(payment: Payment) -> str:
    return f"/payments/{ids.written(ids.PAYMENT, payment.payment_id)}"


async def accepted(stage: Stage) -> None:
    """Let everything that is owed to the acquirer be accepted."""
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass


async def do(browser: WindowlessBrowser, payment: Payment, name: str, **form: str) -> Any:
    """Open the page, and send one of its forms."""
    page = await browser.get(path_of(payment))
    found = re.search(rf'action="{path_of(payment)}/{name}".*?</form>', page.text, re.DOTALL)
    assert found, f"{name} is not offered"
    key = _KEY.search(found[0])
    sent = {"key": key.group(1)} if key else {}
    return await browser.send(f"{path_of(payment)}/{name}", {**sent, **form})


async def test_the_road_is_told_step_by_step(stage: Stage, site: Site) -> None:
    """Asked, sent, answered, approved, claimed; by whom; with the receipt that was mailed."""
    payment = await stage.paid()
    browser = await site.signed_in()

    text = (await browser.get(path_of(payment))).text
    road = text[text.index('id="road"') :]

    assert "42.00 USD was asked for" in road
    assert "The card&#39;s issuer approved it" in road
    assert "It was claimed, and counts" in road
    assert "Financial request (0200)" in road
    assert "Answer to the request (0210): 00, approved" in road
    assert "waits to be mailed to shopper@example.com" in road
    assert "<td>Retrieval reference number</td>" in road


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.AUTHORIZATION, "the amount is held, and not taken yet"),
        (Kind.SALE, "the card is charged"),
    ],
)
async def test_what_is_only_held_is_not_called_charged(
    stage: Stage, site: Site, kind: Kind, said: str
) -> None:
    """Until it is captured, the customer's money is their own."""
    payment = await stage.paid(kind=kind)
    browser = await site.signed_in()

    text = words(await browser.get(path_of(payment)))

    for each in ("the amount is held, and not taken yet", "the card is charged"):
        assert (each in text) is (each == said)


async def test_a_page_looks_again_seldom_when_its_payment_has_come_to_rest(
    stage: Stage, site: Site
) -> None:
    """Often while something is under way or owed, and for a moment after each step."""
    payment = await stage.take()
    browser = await site.signed_in()

    async def every() -> tuple[str, str]:
        live = await browser.get(f"{path_of(payment)}/live")
        shown = re.search(r'data-every="(\d+)"', (await browser.get(path_of(payment))).text)
        assert shown
        return live.headers["Counterfoil-Again-Seconds"], shown[1]

    stage.clock.move(JUST_NOW.total_seconds() + 1)
    assert await every() == ("3", "3")  # Nobody has claimed it.
    await stage.acknowledge(payment)
    stage.clock.move(JUST_NOW.total_seconds() + 1)
    assert await every() == ("3", "3")  # Its receipts are not mailed yet.
    await stage.sql("UPDATE outbox SET state = 'sent', sent_at = $1", stage.clock.now())
    assert await every() == ("3", "3")  # They were, just now.
    stage.clock.move(JUST_NOW.total_seconds() + 1)
    assert await every() == ("60", "60")


async def test_a_person_and_a_key_are_told_by_name(stage: Stage, site: Site) -> None:
    """Not by what stands in the history."""
    payment = await stage.paid()
    await accepted(stage)
    owner = await site.signed_in()
    key_id = uuid4()
    await stage.merchants.add_key(
        key_id, stage.merchant.merchant_id, f"sk_test_{key_id.hex}", f"Shop {SCRIPT}", None
    )
    await stage.sql(
        "INSERT INTO movement_events (merchant_id, movement_id, event_id, payment_id, at, "
        "from_state, to_state, cause, actor) SELECT merchant_id, movement_id, gen_random_uuid(), "
        "payment_id, created_at, state, state, 'totals_agree', $2 FROM movements "
        "WHERE merchant_id = $1",
        stage.merchant.merchant_id,
        ids.written(ids.KEY, key_id),
    )
    await do(owner, payment, "refund", amount="1.00")

    answer = await owner.get(path_of(payment))

    assert "1.00 USD was refunded by Ada Byron" in words(answer)
    assert "by the key Shop &lt;script&gt;" in answer.text


async def test_tax_and_tip_of_a_clerk_stand_beside_the_amount(stage: Stage, site: Site) -> None:
    """Also in the part that is fetched again; of a payment of the shop neither does."""
    terminal, other = TerminalStage(stage), await stage.paid()
    sale = await terminal.sold(charge_again=True)
    tipped = await terminal.sold(charge_again=True, tax_minor=0, order_number="2")
    browser = await site.signed_in()

    async def said(payment_id: Any, more: str = "") -> str:
        name = ids.written(ids.PAYMENT, payment_id)
        return words(await browser.get(f"/payments/{name}{more}"))

    for more in ("", "/live"):
        assert "Tax 3.00 USD Tip 2.00 USD Approved 42.00 USD" in await said(sale.payment_id, more)
    assert "Tip 2.00 USD Approved" in await said(tipped.payment_id)
    assert "Tax" not in await said(tipped.payment_id)
    assert "Tip" not in await said(other.payment_id)


async def test_what_a_payment_is_described_as_has_one_name(stage: Stage, site: Site) -> None:
    """Where it is typed, on the pages that show it, on the receipt, and in the file."""
    sale = await TerminalStage(stage).sold(charge_again=True, description="Two books")
    assert sale.payment_id is not None
    payment = f"/payments/{ids.written(ids.PAYMENT, sale.payment_id)}"
    browser = await site.signed_in()

    for path in ("/terminal", "/links/new"):
        assert re.search(r"<label[^>]*>Description\b", (await browser.get(path)).text), path
    for path in (
        f"/terminal/sales/{ids.written(ids.SALE, sale.sale_id)}", payment, f"{payment}/receipt"
    ):  # fmt: skip
        assert "Description Two books" in words(await browser.get(path)), path
    assert ",description," in (await browser.get("/payments.csv")).text


async def test_no_message_shows_a_card_number(stage: Stage, site: Site) -> None:
    """Nor its expiry date or security code."""
    payment = await stage.paid()
    browser = await site.signed_in()

    text = (await browser.get(path_of(payment))).text

    assert CARD.number not in text
    assert CARD.number[:10] not in text
    assert "************1111" in text


async def test_what_customers_wrote_is_shown_and_not_run(stage: Stage, site: Site) -> None:
    """Every field of theirs; the title too."""
    payment = await stage.paid(
        order_number=SCRIPT, description=SCRIPT, customer_email=f'"{SCRIPT}"@b.example'
    )
    browser = await site.signed_in()

    for path in (path_of(payment), f"{path_of(payment)}/live"):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize(
    ("amount", "said", "typed"),
    [
        ("12.505", "Write up to 2 decimals: USD has no more.", "12.505"),
        ("0", "Write more than zero: 0.01 USD or more.", "0"),
        ("10000000000", "This is too large: write at most 9,999,999,999.99 USD.", "10000000000"),
        ("4111111111111111", "This is too large: write at most 9,999,999,999.99 USD.", ""),
    ],
)
async def test_what_is_wrong_with_an_amount_is_said_and_a_card_is_not_shown_again(
    stage: Stage, site: Site, amount: str, said: str, typed: str
) -> None:
    """At the form that stays open; nothing is given back."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()

    answer = await do(browser, payment, "refund", amount=amount)

    assert answer.status_code == 422
    assert said in words(answer)
    assert f'maxlength="20" value="{typed}" aria-invalid="true"' in answer.text
    assert "4111111111111111" not in answer.text
    assert (await stage.read(payment)).refunded_minor == 0


async def test_a_refund_of_a_part_changes_the_page(stage: Stage, site: Site) -> None:
    """And leads back to it."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()

    answer = await do(browser, payment, "refund", amount="12.50")

    assert (answer.status_code, answer.headers["location"]) == (
        303, f"{path_of(payment)}?done=refund"
    )  # fmt: skip
    said = words(await browser.get(answer.headers["location"]))
    assert "The refund is on its way." in said
    assert "Partly refunded" in said
    assert "Refunded 12.50 USD Left 29.50 USD" in said
    assert (await stage.read(payment)).refunded_minor == 1250


async def test_a_form_that_is_sent_twice_does_it_once(stage: Stage, site: Site) -> None:
    """At the same time, and once more afterwards."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()
    form = {"key": f"web-{uuid4().hex}", "amount": "10.00"}
    await browser.get(path_of(payment))

    answers = await asyncio.gather(
        *(browser.send(f"{path_of(payment)}/refund", form) for _ in range(5))
    )
    again = await browser.send(f"{path_of(payment)}/refund", form)

    assert {each.status_code for each in (*answers, again)} == {303}
    assert (await stage.read(payment)).refunded_minor == 1000


@pytest.mark.parametrize("amount", ["abc", "0", "-5", "1.234", "12,3456", "0.00"])
async def test_an_amount_that_is_none_is_told_at_its_field(
    stage: Stage, site: Site, amount: str
) -> None:
    """What was typed stays, and nothing was done."""
    payment = await stage.paid()
    browser = await site.signed_in()

    answer = await do(browser, payment, "refund", amount=amount)

    assert answer.status_code == 422
    assert 'aria-describedby="refund-said"' in answer.text
    assert f'value="{amount}"' in answer.text
    assert (await stage.read(payment)).refunded_minor == 0


async def test_more_than_is_left_is_refused_in_words(stage: Stage, site: Site) -> None:
    """The form stays open, with a new key: the old one is refused for ever."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()

    answer = await do(browser, payment, "refund", amount="42.01")

    assert answer.status_code == 409
    assert "That is more than is left: write at most 42.00 USD." in words(answer)
    assert (await do(browser, payment, "refund", amount="42.00")).status_code == 303


async def test_a_refused_form_that_is_sent_again_is_told_so_in_plain_words(
    stage: Stage, site: Site
) -> None:
    """As by a reload: nobody at a page knows of keys."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()
    form = {"key": f"web-{uuid4().hex}", "amount": "42.01"}
    await browser.get(path_of(payment))

    await browser.send(f"{path_of(payment)}/refund", form)
    again = await browser.send(f"{path_of(payment)}/refund", form)
    other = await browser.send(f"{path_of(payment)}/refund", {**form, "amount": "1.00"})

    assert (again.status_code, other.status_code) == (409, 409)
    assert "This form was sent before and refused, and nothing was done now" in words(again)
    assert "This form was used for something else before" in words(other)
    assert "idempotency key" not in again.text + other.text
    assert (await stage.read(payment)).refunded_minor == 0


async def test_more_than_is_held_is_refused_with_what_is(stage: Stage, site: Site) -> None:
    """A capture, as a refund."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    browser = await site.signed_in()

    answer = await do(browser, payment, "capture", amount="42.01")

    assert answer.status_code == 409
    assert "That is more than is left: write at most 42.00 USD." in words(answer)


async def test_more_than_can_be_voided_is_refused_with_what_can(stage: Stage, site: Site) -> None:
    """In major units, and whole where only the whole can be."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    approved = await stage.take(kind=Kind.AUTHORIZATION)
    browser = await site.signed_in()

    refused = await do(browser, payment, "void", amount="42.01")
    part = await do(browser, approved, "undo", amount="1.00")

    assert (refused.status_code, part.status_code) == (409, 409)
    assert "That is more than can be voided at once: write at most 42.00 USD." in words(refused)
    assert "It is taken back whole: write 42.00 USD, or leave it empty." in words(part)


@pytest.mark.parametrize(("name", "before"), [("refund", ""), ("refund", "1.00"), ("undo", "1.00")])
async def test_more_than_is_left_is_refused_before_somebody_proves_who_they_are(
    stage: Stage, site: Site, name: str, before: str
) -> None:
    """The proof would have been for nothing; all that is left takes one, still."""
    payment = await stage.paid(amount_minor=(STEP_UP_WHOLE + 100) * 100)
    await accepted(stage)
    browser = await site.signed_in()
    if before:
        await do(browser, payment, "refund", amount=before)

    refused = await do(browser, payment, name, amount=f"{STEP_UP_WHOLE + 100}.01")
    whole = await do(browser, payment, name, amount="")

    assert refused.status_code == 409
    left = STEP_UP_WHOLE + 100 - (1 if before else 0)
    assert f"That is more than is left: write at most {left}.00 USD." in words(refused)
    assert f'value="{STEP_UP_WHOLE + 100}.01" aria-invalid="true"' in refused.text
    assert whole.headers["location"].startswith("/step-up?next=/payments/pay_")


async def test_a_part_that_is_sent_twice_is_not_too_much(stage: Stage, site: Site) -> None:
    """Though more than what was left after the first."""
    payment = await stage.paid()
    await accepted(stage)
    browser = await site.signed_in()
    form = {"key": f"web-{uuid4().hex}", "amount": "30.00"}
    await browser.get(path_of(payment))

    for _ in range(2):
        answer = await browser.send(f"{path_of(payment)}/refund", form)
        assert answer.status_code == 303
    assert (await stage.read(payment)).refunded_minor == 3000


async def test_a_form_that_was_done_tells_its_result_without_another_proof(
    stage: Stage, site: Site
) -> None:
    """It gives nothing more; a new form of the same is refused, and another one asks for it."""
    payment = await stage.paid(amount_minor=(STEP_UP_WHOLE + 300) * 100)
    await accepted(stage)
    browser = await site.signed_in()
    form = {"key": f"web-{uuid4().hex}", "amount": f"{STEP_UP_WHOLE + 100}.00"}
    await browser.get(path_of(payment))
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    done = await browser.send(f"{path_of(payment)}/refund", form)
    await stage.sql("UPDATE web_sessions SET stepped_up_at = NULL")

    again = await browser.send(f"{path_of(payment)}/refund", form)
    anew = await do(browser, payment, "refund", amount=form["amount"])
    rest = await do(browser, payment, "refund", amount="")

    assert done.status_code == again.status_code == 303
    assert again.headers["location"] == done.headers["location"]
    assert (anew.status_code, "more than is left" in words(anew)) == (409, True)
    assert rest.headers["location"].startswith("/step-up?next=/payments/pay_")
    assert (await stage.read(payment)).refunded_minor == (STEP_UP_WHOLE + 100) * 100


async def test_what_is_possible_is_offered_and_nothing_else(stage: Stage, site: Site) -> None:
    """To who may; a bookkeeper looks, and does nothing."""
    hold = await stage.paid(kind=Kind.AUTHORIZATION)
    stage.link.script.append(says("05"))
    declined = await stage.take(order_number="2")
    waiting = await stage.take(order_number="3")
    owner, bookkeeper = await site.signed_in(), await site.signed_in(Role.BOOKKEEPER)

    for payment, expected in (
        (hold, {"capture", "void", "undo"}),
        (declined, set()),
        (waiting, {"acknowledge", "refuse", "undo"}),
    ):
        for browser, allowed in ((owner, expected), (bookkeeper, set())):
            text = (await browser.get(path_of(payment))).text
            offered = {each for each in MOVES if f'action="{path_of(payment)}/{each}"' in text}
            assert offered == allowed
    for name in MOVES:
        assert (await bookkeeper.send(f"{path_of(hold)}/{name}", {})).status_code == 403


async def test_a_hold_is_captured_in_parts_and_the_rest_let_go(stage: Stage, site: Site) -> None:
    """The last one says so."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    browser = await site.signed_in(Role.MANAGER)

    await do(browser, payment, "capture", amount="10")
    await do(browser, payment, "capture", amount="5.00", final="yes")

    now = await stage.read(payment)
    assert (now.captured_minor, now.released_minor) == (1500, 2700)


async def test_an_approval_is_claimed_or_refused_by_a_person(stage: Stage, site: Site) -> None:
    """Who claims it is the actor; what is too late is told."""
    one, other = await stage.take(order_number="1"), await stage.take(order_number="2")
    late = await stage.take(order_number="3")
    browser = await site.signed_in()

    await do(browser, one, "acknowledge")
    await do(browser, other, "refuse")
    await browser.get(path_of(late))
    stage.clock.move(181)
    too_late = await browser.send(f"{path_of(late)}/acknowledge", {})

    assert (await stage.read(one)).state is State.CAPTURED
    assert (await stage.read(other)).state is State.REVERSING
    assert "claimed, and counts by Ada Byron" in words(await browser.get(path_of(one)))
    assert too_late.status_code == 409
    assert "the cardholder is not charged" in words(too_late)


async def test_to_give_much_back_one_proves_who_one_is(stage: Stage, site: Site) -> None:
    """At once, or bit by bit; and is led back to the form, with the amount."""
    payment = await stage.paid(amount_minor=(STEP_UP_WHOLE + 100) * 100)
    await accepted(stage)
    browser = await site.signed_in()

    all_at_once = await do(browser, payment, "refund", amount=f"{STEP_UP_WHOLE}.01")
    little = await do(browser, payment, "refund", amount="1.00")
    more = await do(browser, payment, "refund", amount=f"{STEP_UP_WHOLE}.00")

    assert little.headers["location"].endswith("?done=refund")
    for answer in (all_at_once, more):
        assert answer.headers["location"].startswith("/step-up?next=/payments/pay_")
    assert (await stage.read(payment)).refunded_minor == 100
    back = await browser.get(f"{path_of(payment)}?do=refund&amount={STEP_UP_WHOLE}.00")
    assert 'name="doing" open>\n<summary>Refund' in back.text
    assert f'value="{STEP_UP_WHOLE}.00"' in back.text
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    done = await do(browser, payment, "refund", amount=f"{STEP_UP_WHOLE}.00")
    assert done.headers["location"].endswith("?done=refund")


async def test_another_merchants_payment_is_not_there(stage: Stage, site: Site) -> None:
    """For whoever looks, or does."""
    other = await Stage.set_up(stage.database)
    theirs = await other.paid()
    browser = await site.signed_in()
    await browser.get("/payments")

    assert (await browser.get(path_of(theirs))).status_code == 404
    assert (await browser.get(f"{path_of(theirs)}/live")).status_code == 404
    assert (await browser.get("/payments/pay_1")).status_code == 404
    for name in MOVES:
        form = {"key": f"web-{uuid4().hex}", "amount": "1.00"}
        assert (await browser.send(f"{path_of(theirs)}/{name}", form)).status_code == 404
    assert (await other.read(theirs)).version == theirs.version


@pytest.mark.parametrize("key", ["", "1", "web-\xe4", "web-" + "a" * 100])
async def test_a_form_without_a_key_of_ours_does_nothing(
    stage: Stage, site: Site, key: str
) -> None:
    """It could not be told from its copy."""
    payment = await stage.paid()
    browser = await site.signed_in()
    await browser.get(path_of(payment))

    answer = await browser.send(f"{path_of(payment)}/void", {"key": key, "amount": ""})

    assert answer.status_code == 400
    assert (await stage.read(payment)).state is State.CAPTURED


async def told(stage: Stage, *hosts: str) -> Payment:
    """Return a payment of which these hosts are to be told."""
    for host in hosts:
        await stage.sql(
            "INSERT INTO webhook_endpoints (merchant_id, endpoint_id, url, state, secret_key_id, "
            "secret_nonce, secret_sealed, created_at, updated_at) VALUES ($1, gen_random_uuid(), "
            "$2, 'enabled', 'k', '123456789012', '', now(), now())",
            stage.merchant.merchant_id,
            f"https://{host}/x",
        )
    payment = await stage.paid()
    while await number_events(FeedStore(stage.database), stage.clock):
        pass
    return payment


async def test_webhooks_that_were_told_stand_on_the_road(stage: Stage, site: Site) -> None:
    """Where to, what, and after how many tries."""
    payment = await told(stage, "hooks.shop.example")
    browser = await site.signed_in()

    page = await browser.get(path_of(payment))

    assert "hooks.shop.example is to be told: payment.captured" in words(page)
    assert "webhooks, payment" not in words(page)


async def test_several_webhooks_of_one_event_are_one_step_that_opens(
    stage: Stage, site: Site
) -> None:
    """With how many were told; each stands within it, where to, when and after how many tries."""
    payment = await told(stage, "a.shop.example", "b.shop.example", "c.shop.example")
    await stage.sql(
        "UPDATE webhook_deliveries SET state = 'gave_up', attempts = 9, ended_at = now() "
        "WHERE endpoint_id = (SELECT endpoint_id FROM webhook_endpoints "
        "WHERE url LIKE '%b.shop%' AND merchant_id = $1)",
        stage.merchant.merchant_id,
    )
    browser = await site.signed_in()

    page = await browser.get(path_of(payment))

    steps = re.findall(r'<li class="([^"]*)">\s*<p class="when', page.text)
    assert re.findall(r"<summary>(3 webhooks, [^<]*)</summary>", page.text) == [
        "3 webhooks, payment.approved: 2 are to be told, 1 could not be told",
        "3 webhooks, payment.captured: 2 are to be told, 1 could not be told",
    ]
    assert steps.count("bad") == 2
    for said in (
        "a.shop.example is to be told: payment.captured",
        "b.shop.example could not be told: payment.captured, after 9 tries",
        "c.shop.example is to be told: payment.captured",
    ):
        assert words(page).count(said) == 1


async def test_the_batch_and_the_deposit_are_linked(stage: Stage, site: Site) -> None:
    """By the names under which their pages are."""
    payment = await stage.paid()
    [movement] = await stage.road.store.movements(payment)
    await stage.sql(
        "INSERT INTO settlement_lines VALUES ($1, $2, '\\x00', 1, 'CF/1', 'TERM0001', 1, "
        "'capture', $3, 'A', '1111', 'visa', 'USD', 4200, 0, 0, 0, now(), $4, 'matched')",
        stage.merchant.merchant_id,
        stage.acquirer,
        payment.rrn,
        movement.movement_id,
    )
    browser = await site.signed_in()

    text = (await browser.get(path_of(payment))).text

    assert f'href="/batches/{stage.acquirer}.TERM0001.USD.000001">TERM0001/USD/000001' in text
    assert 'href="/deposits/CF/1">CF/1' in text


@pytest.mark.parametrize("step", [not_sent, unknown, says("05"), says("91")])
async def test_a_road_that_ends_early_is_told_too(stage: Stage, site: Site, step: Any) -> None:
    """Whatever went wrong; no word is missing."""
    stage.link.script.append(step)
    with_trouble = stage.order()

    with contextlib.suppress(Refused):
        await take_payment(with_trouble, stage.road)
    use = await stage.road.store.key(stage.merchant.merchant_id, with_trouble.idempotency_key)
    assert use is not None
    assert use.payment_id is not None
    browser = await site.signed_in()

    answer = await browser.get(f"/payments/{ids.written(ids.PAYMENT, use.payment_id)}")

    assert answer.status_code == 200
    assert "the card is not charged" in words(answer)


async def test_a_void_is_told_once_and_with_its_amount(stage: Stage, site: Site) -> None:
    """In the notice, and on the road: the capture that it takes out is no second void."""
    browser = await site.signed_in()
    for amount, said in (("", "8.00 USD"), ("3.00", "3.00 USD")):
        payment = await stage.paid(amount_minor=800)
        answer = await do(browser, payment, "void", amount=amount)
        while await stage.forwarder().forward():
            pass
        shown = words(await browser.get(answer.headers["location"]))

        assert f"Voided: {said}." in shown
        assert shown.count("was voided by") == 1
        assert f"{said} was voided by" in shown


async def test_an_example_of_an_amount_is_one_that_would_be_taken(stage: Stage, site: Site) -> None:
    """Of what is left, where that is less than the usual example."""
    payment = await stage.paid()
    await refund(stage.command(payment, amount_minor=200), stage.road)
    large = await stage.paid(amount_minor=90000)
    browser = await site.signed_in()

    refused = words(await do(browser, payment, "refund", amount="$1"))
    other = words(await do(browser, large, "refund", amount="$1"))

    assert "without currency sign or letters, such as 40.00." in refused
    assert "such as 500.00." in other


async def test_a_void_and_what_follows_is_told(stage: Stage, site: Site) -> None:
    """Until the acquirer has it."""
    payment = await stage.paid()
    await accepted(stage)
    await void(stage.command(payment), stage.road)
    await accepted(stage)
    hold = await stage.paid(kind=Kind.AUTHORIZATION, order_number="2")
    await capture(stage.command(hold, amount_minor=100), stage.road)
    await accepted(stage)
    await refund(stage.command(hold), stage.road)
    browser = await site.signed_in()

    said = words(await browser.get(path_of(payment)))
    parts = words(await browser.get(path_of(hold)))

    assert "42.00 USD was voided" in said
    assert "The acquirer has voided it: the card is not charged" in said
    assert "1.00 USD was captured" in parts
    assert "1.00 USD was refunded" in parts


def test_every_cause_has_its_words() -> None:
    """But the one whose words depend on what was accepted."""
    assert set(timeline.STEPS) == set(Cause) - {Cause.HOST_ACCEPTED}
