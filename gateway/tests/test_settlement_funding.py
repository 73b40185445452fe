"""
The bank's statement: every deposit paid, in parts, returned, early or never; each honestly named.
"""

from datetime import timedelta

import pytest
from counterfoil.settlement.deposit import state_of
from counterfoil.store.database import Database
from settlement_books import VALUE, Books, Item, Paid, line_of, net_of

REFERENCE = "CF261123000001"
OTHER = "CF261123000002"


@pytest.fixture
async def books(database: Database) -> Books:
    """A merchant of its own."""
    return await Books.set_up(database)


async def announced(books: Books, *items: tuple[str, int]) -> tuple[list[Item], int]:
    """Return settled items of one announced deposit, and its net."""
    made = await books.batch(*(items or (("capture", 4200), ("capture", 1000))))
    lines = [line_of(each) for each in made]
    assert (await books.take(books.report((REFERENCE, lines)))).state == "read"
    return made, net_of(lines)


async def test_a_deposit_that_comes_as_announced_is_funded(books: Books) -> None:
    """By reference, amount and date; its payments with it, and nothing is in transit any more."""
    items, net = await announced(books)

    taken = await books.take(books.statement(Paid(net, REFERENCE), Paid(-99, "", text="RENT")))

    assert (taken.state, taken.kind) == ("read", "statement")
    deposit = await books.deposit(REFERENCE)
    assert (deposit["state"], deposit["paid_minor"], deposit["parts"]) == ("funded", net, 1)
    assert await books.entry_outcomes() == ["matched", "unrelated"]
    assert await books.movement_states(items) == ["funded", "funded"]
    assert await books.findings() == []
    assert await books.history(REFERENCE) == [(None, "announced"), ("announced", "funded")]
    balances = await books.balances(REFERENCE)
    assert balances["deposited"] == net
    assert "in_transit" not in balances


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("", f"ACH {REFERENCE} SETTLEMENT"),
        ("", f"REF:{REFERENCE}"),
        ("SOMETHING-ELSE", f"x {REFERENCE}."),
    ],
)
async def test_the_reference_may_stand_anywhere_in_the_entry(
    books: Books, reference: str, text: str
) -> None:
    """In a field of its own, or as a word of the text."""
    _, net = await announced(books)

    await books.take(books.statement(Paid(net, reference, text=text)))

    assert (await books.deposit(REFERENCE))["state"] == "funded"


@pytest.mark.parametrize(
    ("days", "outcome"),
    [(-3, "date_shifted"), (-2, "matched"), (2, "matched"), (3, "date_shifted")],
)
async def test_a_deposit_may_come_two_days_off(books: Books, days: int, outcome: str) -> None:
    """More is a date shift: the money is there all the same."""
    _, net = await announced(books)

    await books.take(books.statement(Paid(net, REFERENCE, on=VALUE + timedelta(days=days))))

    assert await books.entry_outcomes() == [outcome]
    assert (await books.deposit(REFERENCE))["state"] == "funded"


async def test_a_deposit_in_two_parts_is_funded_with_the_second(books: Books) -> None:
    """After the first it is partly paid, and stands on the list."""
    items, net = await announced(books)

    await books.take(books.statement(Paid(2000, REFERENCE)))
    first = (await books.deposit(REFERENCE))["state"], await books.findings()
    settled = await books.movement_states(items)
    await books.take(books.statement(Paid(net - 2000, REFERENCE)))

    assert first == ("partly_paid", [("amount_differs", 2000 - net)])
    assert settled == ["settled", "settled"]
    assert (await books.deposit(REFERENCE))["state"] == "funded"
    assert await books.entry_outcomes() == ["split", "split"]
    assert await books.findings() == []
    assert await books.movement_states(items) == ["funded", "funded"]


async def test_a_deposit_in_two_parts_of_one_statement_says_nothing(books: Books) -> None:
    """It is complete when the statement ends."""
    _, net = await announced(books)

    await books.take(books.statement(Paid(2000, REFERENCE), Paid(net - 2000, REFERENCE)))

    assert await books.entry_outcomes() == ["split", "split"]
    assert await books.findings("resolved") == []
    assert await books.history(REFERENCE) == [(None, "announced"), ("announced", "funded")]


async def test_a_short_deposit_stays_partly_paid(books: Books) -> None:
    """A cent is missing: the journal still has it in transit, the list says whom to ask."""
    _, net = await announced(books)

    await books.take(books.statement(Paid(net - 1, REFERENCE)))

    assert await books.entry_outcomes() == ["amount_differs"]
    assert await books.findings() == [("amount_differs", -1)]
    assert (await books.balances(REFERENCE))["in_transit"] == 1


async def test_a_deposit_paid_twice_is_overpaid(books: Books) -> None:
    """The first payment matched; the second is what differs."""
    items, net = await announced(books)

    await books.take(books.statement(Paid(net, REFERENCE), Paid(net, REFERENCE)))

    assert (await books.deposit(REFERENCE))["state"] == "overpaid"
    assert await books.entry_outcomes() == ["matched", "amount_differs"]
    assert await books.findings() == [("amount_differs", net)]
    assert await books.movement_states(items) == ["funded", "funded"]
    assert (await books.balances(REFERENCE))["in_transit"] == -net


async def test_a_returned_deposit_is_in_transit_again(books: Books) -> None:
    """Its payments are settled again, and somebody has to ask why."""
    items, net = await announced(books)
    await books.take(books.statement(Paid(net, REFERENCE)))

    await books.take(books.statement(Paid(-net, REFERENCE, is_return=True)))

    assert (await books.deposit(REFERENCE))["state"] == "returned"
    assert await books.entry_outcomes() == ["matched", "returned"]
    assert await books.movement_states(items) == ["settled", "settled"]
    assert await books.findings() == [("returned", net)]
    balances = await books.balances(REFERENCE)
    assert (balances["in_transit"], balances.get("deposited")) == (net, None)


async def test_a_returned_deposit_that_is_paid_again_is_funded(books: Books) -> None:
    """The whole way is in its history."""
    items, net = await announced(books)
    await books.take(books.statement(Paid(net, REFERENCE)))
    await books.take(books.statement(Paid(-net, REFERENCE, is_return=True)))

    await books.take(books.statement(Paid(net, REFERENCE)))

    assert await books.entry_outcomes() == ["matched", "returned", "matched"]
    assert await books.movement_states(items) == ["funded", "funded"]
    assert await books.findings() == []
    assert [after for _, after in await books.history(REFERENCE)] == [
        "announced",
        "funded",
        "returned",
        "funded",
    ]


async def test_a_negative_net_is_funded_by_a_debit(books: Books) -> None:
    """More refunds than sales: the acquirer takes the difference."""
    items, net = await announced(books, ("capture", 100), ("refund", 4200))

    await books.take(books.statement(Paid(net, REFERENCE)))

    assert net < 0
    assert (await books.deposit(REFERENCE))["state"] == "funded"
    assert await books.entry_outcomes() == ["matched"]
    assert await books.movement_states(items) == ["funded", "funded"]
    assert (await books.balances(REFERENCE))["deposited"] == net


async def test_a_debit_that_is_sent_back_is_returned(books: Books) -> None:
    """The same rules with the other sign."""
    _, net = await announced(books, ("refund", 4200))
    await books.take(books.statement(Paid(net, REFERENCE)))

    await books.take(books.statement(Paid(-net, REFERENCE, is_return=True)))

    assert (await books.deposit(REFERENCE))["state"] == "returned"
    assert await books.entry_outcomes() == ["matched", "returned"]


async def test_a_deposit_without_a_report_has_its_own_state(books: Books) -> None:
    """The reference is the acquirer's: unexplained money, until its report comes."""
    await books.take(books.statement(Paid(5000, REFERENCE)))

    deposit = await books.deposit(REFERENCE)
    assert (deposit["state"], deposit["paid_minor"]) == ("without_report", 5000)
    assert await books.entry_outcomes() == ["without_report"]
    assert await books.findings() == [("without_report", 5000)]
    assert await books.balances(REFERENCE) == {"deposited": 5000, "unexplained": -5000}


async def test_a_report_after_its_payment_explains_it(books: Books) -> None:
    """The unexplained money moves to the deposit; its payments are funded at once."""
    items = await books.batch(("capture", 4200))
    lines = [line_of(each) for each in items]
    await books.take(books.statement(Paid(net_of(lines), REFERENCE)))

    taken = await books.take(books.report((REFERENCE, lines)))

    assert taken.state == "read"
    assert (await books.deposit(REFERENCE))["state"] == "funded"
    assert await books.entry_outcomes() == ["matched"]
    assert await books.movement_states(items) == ["funded"]
    assert await books.findings() == []
    assert await books.history(REFERENCE) == [
        (None, "without_report"),
        ("without_report", "funded"),
    ]
    balances = await books.balances(REFERENCE)
    assert "unexplained" not in balances
    assert "in_transit" not in balances


async def test_a_word_that_is_no_reference_of_ours_is_unrelated(books: Books) -> None:
    """Rent and salaries are none of our business: booked nowhere, and quiet."""
    await books.take(books.statement(Paid(5000, "INV-2026-17"), Paid(-70, "", text="FEE 000001")))

    assert await books.entry_outcomes() == ["unrelated", "unrelated"]
    assert await books.of("transfers") == []
    assert await books.findings() == []


async def test_one_entry_goes_to_the_deposit_whose_amount_it_has(books: Books) -> None:
    """An entry may name two deposits; the amount decides."""
    (one,) = await books.batch(("capture", 4200), number=1)
    (two,) = await books.batch(("capture", 900), number=2)
    lines = [line_of(one)], [line_of(two)]
    await books.take(books.report((REFERENCE, lines[0]), (OTHER, lines[1])))

    await books.take(books.statement(Paid(net_of(lines[1]), REFERENCE, text=f"for {OTHER}")))

    assert (await books.deposit(OTHER))["state"] == "funded"
    assert (await books.deposit(REFERENCE))["state"] == "announced"


async def test_a_deposit_that_does_not_come_is_asked_after(books: Books) -> None:
    """When a statement goes more than two days past its value date, and not before."""
    _, net = await announced(books)

    await books.take(books.statement(day=VALUE + timedelta(days=2)))
    early = await books.findings()
    await books.take(books.statement(day=VALUE + timedelta(days=3)))
    late = await books.findings()
    await books.take(books.statement(Paid(net, REFERENCE), day=VALUE + timedelta(days=4)))

    assert (early, late) == ([], [("not_paid", net)])
    assert await books.findings() == []


async def test_a_missing_statement_is_noticed_and_found(books: Books) -> None:
    """A statement opens with what the one before closed with."""
    first = books.statement(Paid(100, "", text="ONE"))
    second = books.statement(Paid(200, "", text="TWO"))
    third = books.statement(Paid(300, "", text="THREE"))

    await books.take(first)
    await books.take(third)
    gap = await books.findings()
    await books.take(second)

    assert gap == [("statement_missing", 200)]
    assert await books.findings() == []


@pytest.mark.parametrize(
    ("net", "paid", "was_paid", "state"),
    [
        (100, 0, False, "announced"),
        (100, 0, True, "returned"),
        (100, 60, True, "partly_paid"),
        (100, 100, True, "funded"),
        (100, 101, True, "overpaid"),
        (100, -5, True, "returned"),
        (-100, 0, False, "announced"),
        (-100, -60, True, "partly_paid"),
        (-100, -100, True, "funded"),
        (-100, -101, True, "overpaid"),
        (-100, 5, True, "returned"),
        (0, 0, False, "funded"),
        (0, 5, True, "overpaid"),
    ],
)
def test_the_state_follows_from_two_numbers(
    net: int, paid: int, was_paid: bool, state: str
) -> None:
    """What the report says and what the bank has; a debit is the same with the other sign."""
    assert state_of(net_minor=net, paid_minor=paid, was_paid=was_paid) == state
