"""
A sale of the terminal is taken once, claimed by itself, and told as it ended, whatever dies.
"""

import asyncio
import re
from typing import Any

import asyncpg
import pytest
from counterfoil.cards import Card
from counterfoil.payments.recovery import sweep
from counterfoil.store.migrate import migrations
from counterfoil.store.payments import PaymentStore
from counterfoil.store.terminal import TerminalStore
from counterfoil.terminal import selling
from counterfoil.terminal.sale import MOVES, Entry, SaleKind, State
from counterfoil.terminal.selling import DUPLICATE_SECONDS, PATIENCE
from interruption import interrupted_at
from payment_stage import CARD, Stage
from scripted_link import approve, not_sent, says, unknown
from terminal_stage import WANTED, TerminalStage


@pytest.fixture
def terminal(stage: Stage) -> TerminalStage:
    """The terminal of the stage's merchant."""
    return TerminalStage(stage)


def test_the_schema_has_the_same_moves() -> None:
    """What the table does not lead to, the database refuses."""
    schema = "\n".join(migration.text for migration in migrations())
    (body,) = re.findall(
        r"CREATE TRIGGER terminal_sales_legal_moves(.*?)EXECUTE FUNCTION", schema, re.DOTALL
    )

    pairs = {tuple(each.split(">")) for each in re.findall(r"'(\w+>\w+)'", body)}
    assert pairs == {(before.value, after.value) for before, after in MOVES}


async def test_a_sale_is_noted_claimed_and_done(terminal: TerminalStage) -> None:
    """By the terminal itself: the approval waits for no browser."""
    done = await terminal.sold()

    assert done.state is State.DONE
    assert await terminal.states(done) == ["asked", "approved", "done"]
    assert await terminal.payments() == ["captured"]
    payment = await selling.payment_of(done, terminal.stage.road)
    assert payment is not None
    assert payment.confirmation_number
    assert (payment.amount_minor, payment.order_number) == (4200, "T-1001")


@pytest.mark.parametrize(
    ("kind", "more", "payment"),
    [
        (SaleKind.AUTHORIZATION, {}, "authorized"),
        (SaleKind.FORCED, {"voice_approval_code": "H7K2P9"}, "captured"),
        (SaleKind.VERIFICATION, {"amount_minor": 0, "tax_minor": 0, "tip_minor": 0}, "verified"),
        (SaleKind.CREDIT, {}, "captured"),
    ],
)
async def test_every_kind_walks_the_road_of_its_payment(
    terminal: TerminalStage, kind: SaleKind, more: Any, payment: str
) -> None:
    """And ends as done."""
    await terminal.stage.settings(credits_allowed=True)

    done = await terminal.sold(kind=kind, **more)

    assert (done.state, await terminal.payments()) == (State.DONE, [payment])


async def test_a_refund_gives_back_what_was_taken(terminal: TerminalStage) -> None:
    """A part, and not more than is left."""
    sold = await terminal.sold()
    refund = {
        "kind": SaleKind.REFUND,
        "entry": Entry.PAYMENT,
        "tax_minor": 0,
        "tip_minor": 0,
        "refunded_payment_id": sold.payment_id,
    }
    road, merchant = terminal.stage.road, terminal.stage.merchant
    part = await terminal.asked(None, amount_minor=1000, **refund)
    more = await terminal.asked(None, amount_minor=3500, **refund)

    given = await selling.give_back(part, merchant, road=road, store=terminal.store)
    refused = await selling.give_back(more, merchant, road=road, store=terminal.store)

    assert (given.state, refused.state) == (State.DONE, State.NOT_SENT)
    assert refused.said == "That is more than is left to give back by now"


@pytest.mark.parametrize(
    ("step", "state"),
    [(says("05"), State.DECLINED), (not_sent, State.NOT_SENT), (unknown, State.REVERSED)],
)
async def test_what_charges_nobody_is_told_as_what_it_is(
    terminal: TerminalStage, step: Any, state: State
) -> None:
    """A decline, nothing sent, or reversed because nobody knows."""
    terminal.script(step)

    assert (await terminal.sold()).state is state


async def test_an_approval_that_the_rules_give_back_is_a_decline(terminal: TerminalStage) -> None:
    """An approval for a part, where the shop takes all or nothing."""
    terminal.script(says("10", f38="A1B2C3", f4="000000001000"))

    assert (await terminal.sold()).state is State.DECLINED


async def test_the_same_amount_on_the_same_card_is_asked_about_once(
    terminal: TerminalStage,
) -> None:
    """For ten minutes, without any rule of the shop; a clerk who says so charges again."""
    await terminal.sold()

    asked = await terminal.sold()
    payment = await selling.payment_of(asked, terminal.stage.road)
    again = await terminal.sold(charge_again=True)
    other = await terminal.sold(amount_minor=4300)
    terminal.stage.clock.move(DUPLICATE_SECONDS + 1)
    later = await terminal.sold()

    assert payment is not None
    assert payment.duplicate_of
    assert [each.state for each in (asked, again, other, later)] == [
        State.DECLINED,
        State.DONE,
        State.DONE,
        State.DONE,
    ]


async def test_one_form_makes_one_sale(terminal: TerminalStage) -> None:
    """However often it is sent at once."""
    sale_id = terminal.stage.road.ids.new()
    await terminal.clerk()

    asked = await asyncio.gather(*(terminal.ask(WANTED, sale_id) for _ in range(8)))

    assert sum(each is not None for each in asked) == 1


async def test_what_has_ended_stays_so(terminal: TerminalStage, stage: Stage) -> None:
    """Whoever asks the database."""
    done = await terminal.sold()

    with pytest.raises(asyncpg.CheckViolationError):
        await stage.sql(
            "UPDATE terminal_sales SET state = 'asked' WHERE sale_id = $1", done.sale_id
        )


class Killed(BaseException):
    """
    The process was killed here.
    """


async def killed(*_: Any, **__: Any) -> None:
    """Die instead of doing it."""
    raise Killed


@pytest.mark.parametrize(
    ("owner", "step", "states", "payments"),
    [
        # Nothing was asked: the key is closed, and nobody is charged behind it.
        (PaymentStore, "intend", ["asked", "not_sent"], []),
        # Asked, and the answer went down with the process: reversed like every orphan.
        (PaymentStore, "conclude", ["asked", "reversed"], ["reversing"]),
        # Approved, and nobody saw it: not claimed, reversed by the sweep.
        (TerminalStore, "note_approval", ["asked", "reversed"], ["reversing"]),
        # Noted: the terminal has it, so it is claimed.
        (PaymentStore, "acknowledge", ["asked", "approved", "done"], ["captured"]),
        # Claimed: only the row did not know it yet.
        (TerminalStore, "settle", ["asked", "approved", "done"], ["captured"]),
    ],
)
async def test_a_sale_whose_process_was_killed_is_told_as_it_ended(
    terminal: TerminalStage,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    step: str,
    states: list[str],
    payments: list[str],
) -> None:
    """Between any two durable steps; what nobody saw is not claimed, and nothing is left."""
    stage = terminal.stage
    sale = await terminal.asked()
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(Killed):
            await terminal.sell(sale)
    await stage.sql(
        "UPDATE processes SET lease_until = $2 WHERE process_id = $1",
        stage.lease.process_id,
        stage.clock.now(),
    )
    worker = stage.another_process()
    await worker.register()

    await terminal.look(worker)
    for seconds in (PATIENCE.total_seconds(), stage.merchant.acknowledge_seconds):
        stage.clock.move(seconds)
        await sweep(worker.road)
        await terminal.look(worker)

    assert await terminal.states(sale) == states
    assert await terminal.payments() == payments
    unclaimed = await stage.sql(
        "SELECT 1 FROM payments WHERE merchant_id = $1 AND state = 'approved'",
        stage.merchant.merchant_id,
    )
    assert unclaimed == []


async def test_a_process_that_slept_cannot_charge_behind_what_was_told(
    terminal: TerminalStage,
) -> None:
    """Its key is closed before the clerk reads "not sent"."""
    sale = await terminal.asked()
    terminal.stage.clock.move(PATIENCE.total_seconds())
    await terminal.look()

    woken = await terminal.sell(sale)

    assert woken.state is State.NOT_SENT
    assert await terminal.payments() == []


async def test_a_clerk_who_sees_an_approval_may_claim_it(
    terminal: TerminalStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that died with it; until the sweep has reversed it."""
    sale = await terminal.asked()
    with monkeypatch.context() as patched:
        patched.setattr(TerminalStore, "note_approval", killed)
        with pytest.raises(Killed):
            await terminal.sell(sale)
    await terminal.look()
    assert (await terminal.read(sale)).state is State.ASKED
    payment = await selling.payment_of(sale, terminal.stage.road)
    assert payment is not None

    claimed = await selling.conclude(
        sale, terminal.stage.merchant, payment, road=terminal.stage.road, store=terminal.store
    )

    assert claimed.state is State.DONE
    assert await terminal.payments() == ["captured"]


async def test_a_sale_that_is_cancelled_anywhere_is_found_out(terminal: TerminalStage) -> None:
    """At each of its awaits; the worker writes an end, and nothing stays unclaimed."""
    number = 0
    while True:
        number += 1
        sale = await terminal.asked(order_number=f"T-{number}", amount_minor=4200 + number)
        if not await interrupted_at(number, terminal.sell(sale)):
            break
        for _ in range(2):
            await terminal.look()
            terminal.stage.clock.move(terminal.stage.merchant.acknowledge_seconds + 60)
            await sweep(terminal.stage.road)
            await terminal.look()
        assert (await terminal.read(sale)).is_over, number
    assert number > 10
    assert "approved" not in await terminal.payments()


async def test_a_card_is_kept_only_when_the_customer_agreed(terminal: TerminalStage) -> None:
    """With the token of the vault, once, and it opens again; forgotten it is gone."""
    merchant_id = terminal.stage.merchant.merchant_id
    await terminal.sold()
    assert await terminal.store.saved_cards(merchant_id, "") == []

    kept = await terminal.sold(keep_card=True, amount_minor=100, tax_minor=0, tip_minor=0)
    for customer in ("ada@", "ADA BY", ""):
        (card,) = await terminal.store.saved_cards(merchant_id, customer)
    opened = await terminal.store.open_card(terminal.stage.road.vault, merchant_id, card)

    assert (card.card_id, card.last_four, card.expiry_month) == (kept.sale_id, "1111", 12)
    assert (opened.number, opened.expiry) == (CARD.number, "3012")
    assert await terminal.store.saved_cards(merchant_id, "da") == []
    assert await terminal.store.saved_cards(merchant_id, "%") == []
    forgotten = await terminal.store.forget_card(
        merchant_id, card.card_id, by="user:x", now=terminal.stage.clock.now()
    )
    assert forgotten
    assert await terminal.store.saved_card(merchant_id, card.card_id) is None


async def test_a_card_that_is_kept_already_is_not_kept_twice(terminal: TerminalStage) -> None:
    """Of the same customer; another customer's is another."""
    merchant_id = terminal.stage.merchant.merchant_id
    for number, name in enumerate(("Ada Byron", "ADA BYRON", "Bo")):
        await terminal.sold(keep_card=True, amount_minor=900 + number, customer_name=name)

    kept = await terminal.store.saved_cards(merchant_id, "")
    assert {each.customer_name for each in kept} == {"Ada Byron", "Bo"}
    assert len(kept) == 2


async def test_a_declined_card_is_not_kept(terminal: TerminalStage) -> None:
    """Nothing was paid with it."""
    terminal.script(says("05"))
    await terminal.sold(keep_card=True)

    assert await terminal.store.saved_cards(terminal.stage.merchant.merchant_id, "") == []


async def test_the_rows_of_the_terminal_hold_no_card(terminal: TerminalStage, stage: Stage) -> None:
    """Neither number nor security code, nor in the history."""
    card = Card("4242424242424242", 11, 2031, "918")
    sale = await terminal.sold(card, keep_card=True)
    for table in ("terminal_sales", "terminal_sale_events", "saved_cards"):
        rows = await stage.sql(
            f"SELECT t::text AS said FROM {table} AS t WHERE merchant_id = $1", sale.merchant_id
        )
        assert rows, table
        assert not any(card.number in row["said"] for row in rows)
        assert not any(re.search(r"\b918\b", row["said"]) for row in rows)


async def test_approve_is_what_the_link_says_without_a_script(terminal: TerminalStage) -> None:
    """The acquirer is asked with the keyed entry of a card, also of one that was swiped."""
    terminal.script(approve)
    await terminal.sold(entry=Entry.SWIPED)

    (asked,) = terminal.stage.link.asked
    assert asked.fields[2] == CARD.number
    assert asked.fields[22].startswith("01")
    assert 35 not in asked.fields
    assert 45 not in asked.fields
