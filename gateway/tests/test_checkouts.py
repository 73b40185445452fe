"""
A checkout is paid once, whoever presses the button how often, and whatever dies in between.
"""

import asyncio
from typing import Any

import asyncpg
import pytest
from checkout_stage import OPEN, PAID, PAYING, SHOP, PageStage
from counterfoil.checkouts import paying
from counterfoil.checkouts.checkout import DECLINES_MAX, State, page_token, return_secret
from counterfoil.checkouts.minding import LEFT_ALONE, UNPAID_KEPT, Minder
from counterfoil.checkouts.opening import CheckoutForgotten, CheckoutNotOpen, CheckoutUnknown
from counterfoil.checkouts.paying import ADDRESS_DECLINES_MAX, PATIENCE
from counterfoil.checkouts.returning import (
    ReturnRefused,
    Said,
    check_return,
    checked_origin,
    signed_return,
)
from counterfoil.events.feed import number_events
from counterfoil.events.types import TYPES
from counterfoil.payments.refusals import KeyFenced, KeyReused
from counterfoil.payments.resolve import resolve
from counterfoil.store import checkouts as checkout_store
from counterfoil.store.feed import FeedStore
from counterfoil.store.merchants import hash_of
from payment_stage import Stage
from scripted_link import approve, not_sent, says, unknown

DECLINED = says("05")


@pytest.fixture
def pages(stage: Stage) -> PageStage:
    """The payment pages of the stage's merchant."""
    return PageStage(stage)


async def test_a_checkout_is_paid_acknowledged_and_confirmed(pages: PageStage) -> None:
    """By the page itself: the approval does not wait for anybody."""
    opened = await pages.opened()

    paid = await pages.pay(opened)

    assert paid.state is PAID
    assert [state for state, number in await pages.payments() if number] == ["captured"]
    assert await pages.causes(paid) == ["opened", "submitted", "paid"]
    assert paid.customer_email == "ada@shopper.example"


async def test_a_checkout_to_be_captured_by_hand_holds_the_money(pages: PageStage) -> None:
    """Capture manual is an authorization."""
    await pages.pay(await pages.opened(capture="manual"))

    assert [state for state, _ in await pages.payments()] == ["authorized"]


async def test_two_tabs_make_one_payment(pages: PageStage) -> None:
    """The second finds that the first is at it."""
    opened = await pages.opened()

    done = await asyncio.gather(*(pages.pressed(opened) for _ in range(8)))

    assert sum(begun for _, begun in done) == 1
    assert len(await pages.payments()) == 1
    assert (await pages.read(opened)).state is PAID


async def test_what_ended_unpaid_is_removed_long_afterwards_bit_by_bit(
    pages: PageStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was paid stays, and so do histories; a key that was spent opens nothing any more."""
    monkeypatch.setattr(checkout_store, "FORGOTTEN_AT_ONCE_MAX", 1)
    stage = pages.stage
    merchant_id = stage.merchant.merchant_id
    minder = Minder(stage.road, pages.store, stage.merchants)
    paid = await pages.opened()
    await pages.pay(paid)
    expired = [await pages.opened(key=f"old-{number}") for number in range(3)]
    for each in expired[:1]:
        await pages.checkouts.expire(merchant_id, each.checkout_id, "key_of_the_test")
    stage.clock.move(3600)
    await minder.look()
    stage.clock.move(UNPAID_KEPT.total_seconds())
    still_open = await pages.opened()
    await minder.look()
    counted = [await stage.count("checkouts")]
    stage.clock.move(1)
    for _ in range(3):
        await minder.look()
        counted.append(await stage.count("checkouts"))

    assert counted == [4, 3, 2, 2]
    assert (await pages.read(paid)).state is PAID
    assert (await pages.read(still_open)).state is OPEN
    for number, each in enumerate(expired):
        with pytest.raises(CheckoutUnknown):
            await pages.checkouts.one(merchant_id, each.checkout_id)
        with pytest.raises(CheckoutForgotten):
            await pages.opened(key=f"old-{number}")
        with pytest.raises(KeyReused):
            await pages.opened(key=f"old-{number}", amount_minor=1)
        assert (await pages.causes(each))[0] == "opened"


async def test_what_is_paid_is_not_paid_again(pages: PageStage) -> None:
    """From a page that was left open."""
    opened = await pages.opened()
    await pages.pay(opened)

    again, begun = await pages.pressed(opened)

    assert (again.state, begun, len(await pages.payments())) == (PAID, False, 1)


async def test_the_database_refuses_to_open_what_is_paid(pages: PageStage, stage: Stage) -> None:
    """Whoever asks."""
    paid = await pages.pay(await pages.opened())

    with pytest.raises(asyncpg.CheckViolationError):
        await stage.sql(
            "UPDATE checkouts SET state = 'open' WHERE checkout_id = $1", paid.checkout_id
        )


async def test_a_declined_card_leaves_the_page_open_for_another(pages: PageStage) -> None:
    """Each try is a payment of its own, under a key of its own."""
    pages.script(DECLINED, approve)
    opened = await pages.opened()

    declined = await pages.pay(opened)
    paid = await pages.pay(declined)

    assert (declined.state, declined.declines, paid.state) == (OPEN, 1, PAID)
    assert [state for state, _ in await pages.payments()] == ["declined", "captured"]
    assert await pages.causes(paid) == ["opened", "submitted", "declined", "submitted", "paid"]


async def test_after_so_many_declines_a_checkout_takes_no_more(pages: PageStage) -> None:
    """Whoever tries out cards needs another checkout for the next."""
    pages.script(*[DECLINED] * DECLINES_MAX, approve)
    opened = await pages.opened()
    for number in range(DECLINES_MAX):
        await pages.pay(opened, address=f"203.0.113.{number}")

    _, begun = await pages.pressed(opened, address="198.51.100.1")

    assert not begun
    assert len(await pages.payments()) == DECLINES_MAX


async def test_an_address_with_too_many_declines_has_to_wait(
    pages: PageStage, stage: Stage
) -> None:
    """On all pages of the merchant, for an hour; others are not held up. Of IPv6, a /64."""
    pages.script(*[DECLINED] * ADDRESS_DECLINES_MAX)
    for number in range(ADDRESS_DECLINES_MAX // 2):
        opened = await pages.opened()
        await pages.pay(opened, address=f"2001:db8:1:2::{number}")
        await pages.pay(opened, address=f"2001:db8:1:2:{number}::7")
    opened = await pages.opened(expires_seconds=86_400)

    _, begun = await pages.pressed(opened, address="2001:db8:1:2:ffff::1")
    assert not begun
    assert (await pages.pay(await pages.opened(), address="198.51.100.1")).state is PAID
    other = await pages.pay(await pages.opened(), address="2001:db8:1:3::7")
    assert other.state is PAID
    stage.clock.move(3601)
    assert (await pages.pay(opened, address="2001:db8:1:2::1")).state is PAID


@pytest.mark.parametrize(("step", "declines"), [(not_sent, 0), (unknown, 0), (says("51"), 1)])
async def test_whatever_charges_nobody_leaves_the_page_open(
    pages: PageStage, step: Any, declines: int
) -> None:
    """Only the issuer's no counts as one."""
    pages.script(step, approve)
    opened = await pages.opened()

    left = await pages.pay(opened)

    assert (left.state, left.declines) == (OPEN, declines)
    assert (await pages.pay(left)).state is PAID


async def test_a_part_of_the_amount_pays_nothing(pages: PageStage, stage: Stage) -> None:
    """Also when the merchant accepts parts elsewhere."""
    await stage.settings(partial_approvals="accept")
    pages.script(says("10", f4="000000002000"))

    left = await pages.pay(await pages.opened())

    assert left.state is OPEN
    assert [state for state, _ in await pages.payments()] == ["reversing"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["take_payment", "acknowledge", "settle"])
async def test_who_looks_next_finishes_what_a_dead_process_began(
    pages: PageStage, stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed before the payment, before its acknowledgment, or before the checkout's own row."""
    opened = await pages.opened()

    async def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "settle":
            patch.setattr(pages.store, "settle_try", dies)
        else:
            patch.setattr(paying, step, dies)
        with pytest.raises(Killed):
            await pages.pay(opened)
    left = await pages.read(opened)
    assert left.state is PAYING

    minder = Minder(stage.road, pages.store, stage.merchants)
    stage.clock.move(LEFT_ALONE.total_seconds())
    await minder.look()
    found = await pages.read(opened)

    if step == "take_payment":  # Nobody knows whether it is still to come: it is left alone.
        assert found.state is PAYING
        stage.clock.move(PATIENCE.total_seconds())
        await minder.look()
        assert (await pages.read(opened)).state is OPEN
        assert (await pages.pay(opened)).state is PAID
    else:
        assert found.state is PAID
    assert [state for state, number in await pages.payments() if number] == ["captured"]
    assert "approved" not in [state for state, _ in await pages.payments()]


async def test_a_process_that_slept_does_not_pay_behind_the_next_try(
    pages: PageStage, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds its key closed, and its end does not count."""
    opened, gate = await pages.opened(), asyncio.Event()
    take_payment = paying.take_payment

    async def sleeps(*arguments: Any) -> Any:
        await gate.wait()
        return await take_payment(*arguments)

    monkeypatch.setattr(paying, "take_payment", sleeps)
    sleeper = asyncio.create_task(pages.pay(opened))
    while (await pages.read(opened)).state is not PAYING:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    stage.clock.move(PATIENCE.total_seconds())
    assert (await pages.found_out(await pages.read(opened))).state is OPEN
    monkeypatch.setattr(paying, "take_payment", take_payment)
    paid = await pages.pay(opened)
    gate.set()

    assert (await sleeper).state is PAID
    assert paid.tries == 2
    assert len(await pages.payments()) == 1


async def test_a_key_that_the_merchant_closed_itself_charges_nobody(
    pages: PageStage, stage: Stage
) -> None:
    """The try ends, and the next one has another key."""
    opened = await pages.opened()
    await resolve(stage.merchant, f"checkout-{opened.checkout_id.hex}-1", stage.road)

    left = await pages.pay(opened)

    assert left.state is OPEN
    assert await pages.causes(left) == ["opened", "submitted", "not_sent"]
    assert KeyFenced.__doc__
    assert (await pages.pay(left)).state is PAID


async def test_a_checkout_ends_when_its_time_is_over(pages: PageStage, stage: Stage) -> None:
    """Nobody can pay it from then on; the worker writes it down, once."""
    opened = await pages.opened(expires_seconds=60)
    stage.clock.move(60)

    _, begun = await pages.pressed(opened)
    minder = Minder(stage.road, pages.store, stage.merchants)
    await minder.look()
    await minder.look()

    assert not begun
    assert (await pages.read(opened)).state is State.EXPIRED
    assert await pages.causes(opened) == ["opened", "time_over"]


async def test_a_merchant_ends_what_is_open_and_nothing_else(
    pages: PageStage, stage: Stage
) -> None:
    """A repeat is no fault; what is paid is refunded instead."""
    opened, paid = await pages.opened(), await pages.pay(await pages.opened())
    merchant_id = stage.merchant.merchant_id

    for _ in range(2):
        ended = await pages.checkouts.expire(merchant_id, opened.checkout_id, "key_1")
        assert ended.state is State.EXPIRED
    with pytest.raises(CheckoutNotOpen):
        await pages.checkouts.expire(merchant_id, paid.checkout_id, "key_1")
    _, begun = await pages.pressed(opened)
    assert not begun


async def test_one_key_opens_one_checkout(pages: PageStage) -> None:
    """At once, again, and never another one."""
    both = await asyncio.gather(*(pages.opened(key="order-1001") for _ in range(4)))

    assert len({each.checkout_id for each in both}) == 1
    with pytest.raises(KeyReused):
        await pages.opened(key="order-1001", amount_minor=4300)


async def test_the_database_does_not_know_the_address_of_a_page(
    pages: PageStage, stage: Stage
) -> None:
    """Only the hash of its token, which the vault can make again."""
    opened = await pages.opened()
    token = pages.checkouts.url(opened).rpartition("/")[2]
    rows = await stage.sql("SELECT * FROM checkouts WHERE checkout_id = $1", opened.checkout_id)

    assert token == page_token(stage.road.vault, opened.merchant_id, opened.checkout_id)
    assert len(token) == 43
    assert rows[0]["token_hash"] == hash_of(token)
    assert token not in str(rows)
    secret = return_secret(stage.road.vault, opened.merchant_id, opened.checkout_id)
    assert secret.removeprefix("rsec_") not in (token, str(rows))


async def test_the_feed_tells_how_a_checkout_ended(pages: PageStage, stage: Stage) -> None:
    """And nothing else of it: tries tell themselves."""
    paid = await pages.pay(await pages.opened())
    ended = await pages.opened()
    await pages.checkouts.expire(ended.merchant_id, ended.checkout_id, "key_1")
    await number_events(FeedStore(stage.database), stage.clock)
    rows = await FeedStore(stage.database).page(stage.merchant.merchant_id, 0, 100)

    told = [row for row in rows if row["type"].startswith("checkout.")]
    assert [row["type"] for row in told] == ["checkout.paid", "checkout.expired"]
    assert paid.payment_id is not None
    assert str(paid.payment_id) in told[0]["data"]
    assert TYPES["checkout cancelled"] == "checkout.cancelled"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://shop.example/",
        "https://shop.example.evil.example/",
        "https://shop.example:444/",
        "https://shop.example@evil.example/",
        "https://ada@shop.example/",
        "https://shop.example/\\@evil.example",
        "https://shop.example/#x",
        "https://shop.example/?signature=1",
        "https:///orders",
        "javascript:alert(1)",
        "//shop.example/",
        "https://shop.example/a b",
        "https://[::1/",
    ],
)
def test_a_page_leads_only_to_an_allowed_origin(url: str) -> None:
    """Scheme, host and port, exactly."""
    with pytest.raises(ReturnRefused):
        check_return(url, [SHOP], is_test=True)


def test_loopback_without_tls_is_for_test_mode_only() -> None:
    """Where a demo's shop is."""
    for url in ("http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"):
        assert checked_origin(url, is_test=True) == url
        with pytest.raises(ReturnRefused):
            checked_origin(url, is_test=False)
    check_return("https://shop.example:443/orders?x=1", [SHOP], is_test=False)
    with pytest.raises(ReturnRefused, match="bare origin"):
        checked_origin("https://shop.example/", is_test=True)


def test_a_return_keeps_what_the_shop_has_in_its_address() -> None:
    """And adds what is signed."""
    said = Said(checkout="chk_1", status="paid", payment="pay_1", confirmation="1", at="5")

    url = signed_return(f"{SHOP}/orders/1?token=a%20b", said, "rsec_x")

    assert url.startswith(f"{SHOP}/orders/1?token=a%20b&checkout=chk_1&status=paid&")


async def test_a_change_of_the_origins_is_on_the_audit_page(pages: PageStage, stage: Stage) -> None:
    """Once for each change, with what was before."""
    await pages.allow(SHOP)
    await pages.allow(SHOP)
    await pages.allow(SHOP, "https://other.example")

    rows = await stage.sql(
        "SELECT what, before, after FROM people_events WHERE merchant_id = $1 ORDER BY event_id",
        stage.merchant.merchant_id,
    )
    assert [tuple(row.values()) for row in rows] == [
        ("return_addresses_set", "", SHOP),
        ("return_addresses_set", SHOP, f"{SHOP} https://other.example"),
    ]
