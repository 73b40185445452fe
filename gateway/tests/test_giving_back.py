"""
What a person gives back without proving anew who they are: it adds up, whatever form it takes.
"""

import asyncio
import re
from typing import Any

import pytest
from counterfoil import ids
from counterfoil.business import STEP_UP_WHOLE_MAX
from counterfoil.money import currency
from counterfoil.people.roles import Role
from counterfoil.store.giving import COUNTED_FOR
from payment_stage import Stage
from test_payment_page import accepted, do
from test_terminal_pages import form, send
from web_stage import PASSWORD, Site, WindowlessBrowser, words

WRONG = ("", "-1", "1.5", f"{STEP_UP_WHOLE_MAX + 1}", "9" * 30, "\N{ARABIC-INDIC DIGIT TWO}")


@pytest.fixture
async def site(stage: Stage) -> Site:
    """A merchant that may give credits."""
    await stage.settings(credits_allowed=True)
    return await Site.of(stage)


async def credit(browser: WindowlessBrowser, amount: str, **more: str) -> str:
    """Give a credit at the terminal; return where that leads."""
    sale = await form(browser, "/terminal?kind=credit")
    sent = await send(browser, sale, kind="credit", amount=amount, **more)
    return str(sent.headers["location"])


def is_asked(location: str) -> bool:
    """Say whether a proof was asked for, and nothing was given."""
    assert location.startswith(("/step-up?next=", "/terminal/sales/", "/payments/"))
    return location.startswith("/step-up?next=")


async def test_credits_add_up_and_the_next_one_takes_a_proof(stage: Stage, site: Site) -> None:
    """Each below the limit; after a day they count no more, and what was proved counts never."""
    manager = await site.signed_in(Role.MANAGER)

    first = await credit(manager, "499.99")
    second = await credit(manager, "499.99", number="5555555555554444")
    at_the_limit = await credit(manager, "0.01")
    third = await credit(manager, "0.01", order="T-2")
    await manager.get("/terminal")
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    proved = await credit(manager, "2000.00")
    stage.clock.move(COUNTED_FOR.total_seconds())
    manager = await site.signed_in(Role.MANAGER)
    next_day = await credit(manager, "500.00")

    said = (first, second, at_the_limit, third, proved, next_day)
    assert [is_asked(each) for each in said] == [False, True, False, True, False, False]
    rows = await stage.sql(
        "SELECT amount_minor FROM given_unproved WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    assert [row["amount_minor"] for row in rows] == [50000]  # What counts no more is forgotten.


async def test_refunds_and_credits_add_up_together(stage: Stage, site: Site) -> None:
    """From the payment's page, at the terminal, as a credit; of many payments."""
    payments = [await stage.paid(amount_minor=30000) for _ in range(3)]
    await accepted(stage)
    manager = await site.signed_in(Role.MANAGER)

    page = await do(manager, payments[0], "refund", amount="200.00")
    name = ids.written(ids.PAYMENT, payments[1].payment_id)
    sale = await form(manager, f"/terminal/refund/{name}")
    terminal = await manager.send(f"/terminal/refund/{name}", {"amount": "200.00", "sale": sale})
    given = await credit(manager, "100.01")
    undone = await do(manager, payments[2], "undo", amount="100.01")
    small = await do(manager, payments[2], "refund", amount="100.00")

    said = [page.headers["location"], terminal.headers["location"], given]
    said += [each.headers["location"] for each in (undone, small)]
    assert [is_asked(each) for each in said] == [False, False, True, True, False]
    assert (await stage.read(payments[2])).refunded_minor == 10000


async def test_each_person_and_each_currency_is_counted_by_itself(stage: Stage, site: Site) -> None:
    """And what is not money given back is not counted."""
    yen = await stage.paid(currency=currency("JPY"), amount_minor=500)
    await accepted(stage)
    manager, owner = await site.signed_in(Role.MANAGER), await site.signed_in()

    said = [
        await credit(manager, "500.00"),
        (await do(manager, yen, "refund", amount="500")).headers["location"],
        await credit(owner, "500.00", order="T-2"),
        await credit(owner, "1.00"),
    ]

    assert [is_asked(each) for each in said] == [False, False, False, True]


async def test_a_form_that_is_sent_twice_counts_once(stage: Stage, site: Site) -> None:
    """As the money does."""
    payment = await stage.paid(amount_minor=40000)
    await accepted(stage)
    manager = await site.signed_in(Role.MANAGER)
    path = f"/payments/{ids.written(ids.PAYMENT, payment.payment_id)}"
    page = (await manager.get(path)).text
    key = re.search(rf'action="{path}/refund".*?name="key" value="([^"]+)"', page, re.DOTALL)
    assert key
    sent = {"key": key.group(1), "amount": "300.00"}

    answers = [await manager.send(f"{path}/refund", sent) for _ in range(3)]

    assert [each.headers["location"] for each in answers] == [f"{path}?done=refund"] * 3
    assert not is_asked(await credit(manager, "200.00"))
    assert is_asked(await credit(manager, "0.01", order="T-2"))


async def test_many_at_once_are_no_more_than_one_by_one(stage: Stage, site: Site) -> None:
    """Who gives waits for themselves."""
    payments = [await stage.paid(amount_minor=30000, order_number=f"{n}") for n in range(5)]
    await accepted(stage)
    manager = await site.signed_in(Role.MANAGER)
    await manager.get("/payments")

    async def give(payment: Any) -> str:
        path = f"/payments/{ids.written(ids.PAYMENT, payment.payment_id)}/refund"
        sent = {"key": f"web-{payment.payment_id.hex}", "amount": "200.00"}
        return str((await manager.send(path, sent)).headers["location"])

    asked = [is_asked(each) for each in await asyncio.gather(*map(give, payments))]

    assert sorted(asked) == [False, False, True, True, True]


async def test_an_owner_changes_the_limit_after_a_proof(stage: Stage, site: Site) -> None:
    """What was typed is kept; the change is noted; nought asks each time."""
    owner, manager = await site.signed_in(), await site.signed_in(Role.MANAGER)
    await owner.get("/settings")
    asked = await owner.send("/settings/giving", {"step_up_whole": "0"})
    (before,) = await stage.sql(
        "SELECT step_up_whole FROM merchants WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert asked.headers["location"].startswith("/step-up?next=/settings%3Fstep_up_whole")
    await owner.get(asked.headers["location"])
    back = "/settings?step_up_whole=0&kept=yes"
    proved = await owner.send("/step-up", {"password": PASSWORD, "next": back})
    page = await owner.get(proved.headers["location"])
    wrong = [await owner.send("/settings/giving", {"step_up_whole": text}) for text in WRONG]
    done = await owner.send("/settings/giving", {"step_up_whole": "0"})

    assert before["step_up_whole"] == 500
    assert 'name="step_up_whole" value="0"' in page.text
    assert "Nothing is changed yet" in words(page)
    assert [each.status_code for each in wrong] == [422] * 6
    assert 'href="#step_up_whole"' in wrong[0].text
    assert done.headers["location"] == "/settings?done=giving"
    assert "What is given back without a proof was changed." in words(
        await owner.get("/settings?done=giving")
    )
    assert "changed step_up_whole from 500 to 0" in words(await owner.get("/audit"))
    assert is_asked(await credit(manager, "0.01"))
    assert (await manager.send("/settings/giving", {"step_up_whole": "9"})).status_code == 403
