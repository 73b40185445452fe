"""
The acquirer's report, line by line: every class is found, and every cent has its place.
"""

from datetime import timedelta

import pytest
from counterfoil.store.database import Database
from settlement_books import DAY, Books, Item, line_of, net_of

REFERENCE = "CF261123000001"


@pytest.fixture
async def books(database: Database) -> Books:
    """A merchant of its own."""
    return await Books.set_up(database)


async def in_the_batch(books: Books, *more: tuple[str, int]) -> list[Item]:
    """Return the items of one closed batch."""
    return await books.batch(("capture", 4200), ("capture", 1000), *more)


async def test_lines_that_agree_are_matched_and_settle_their_items(books: Books) -> None:
    """Captures and refunds; what is in transit afterwards is the deposit's net, to the cent."""
    items = await in_the_batch(books, ("refund", 700))
    lines = [line_of(each) for each in items]

    taken = await books.take(books.report((REFERENCE, lines)))

    assert (taken.state, taken.kind, taken.reason) == ("read", "report", None)
    assert await books.outcomes() == ["matched"] * 3
    assert await books.movement_states(items) == ["settled"] * 3
    assert await books.findings() == []
    assert await books.history(REFERENCE) == [(None, "announced")]
    assert await books.balances(REFERENCE) == {
        "batched": -4500,
        "in_transit": net_of(lines),
        "fees_interchange": 126,
        "fees_scheme": 10,
        "fees_markup": 20,
    }
    assert "batched" not in await books.balances()


async def test_each_settled_item_has_a_row_of_history(books: Books) -> None:
    """From batched to settled, by the acquirer."""
    items = await in_the_batch(books)

    await books.take(books.report((REFERENCE, [line_of(each) for each in items])))

    rows = await books.of("movement_events")
    assert {(row["from_state"], row["to_state"], row["actor"]) for row in rows} == {
        ("batched", "settled", "acquirer")
    }
    assert {row["movement_id"] for row in rows} == {each.movement_id for each in items}


async def test_f19_an_item_without_a_line_is_missing_there(books: Books) -> None:
    """The report names its batch and not the item: it stands on the list, and stays batched."""
    first, second = await in_the_batch(books)

    await books.take(books.report((REFERENCE, [line_of(first)])))

    assert await books.findings() == [("missing_there", 1000)]
    assert await books.movement_states([first, second]) == ["settled", "batched"]
    (row,) = await books.of("findings")
    assert row["movement_id"] == second.movement_id
    assert second.rrn in row["subject"]
    assert "next report" in row["next_step"]


async def test_a_line_that_comes_later_is_date_shifted_and_resolves(books: Books) -> None:
    """The item is settled by the next report; nothing is open any more."""
    first, second = await in_the_batch(books)
    await books.take(books.report((REFERENCE, [line_of(first)])))

    later = books.report(
        ("CF261124000002", [line_of(second)]), day=DAY + timedelta(days=1), number=2
    )
    taken = await books.take(later)

    assert taken.state == "read"
    assert await books.outcomes() == ["matched", "date_shifted"]
    assert await books.movement_states([first, second]) == ["settled", "settled"]
    assert await books.findings() == []
    assert await books.findings("resolved") == [("missing_there", 1000)]
    assert "batched" not in await books.balances()


async def test_another_day_of_the_sale_is_a_date_shift_that_still_settles(books: Books) -> None:
    """The money is right, the day is not."""
    first, second = await in_the_batch(books)
    shifted = line_of(first, on=DAY + timedelta(days=1))

    await books.take(books.report((REFERENCE, [shifted, line_of(second)])))

    assert await books.outcomes() == ["date_shifted", "matched"]
    assert await books.movement_states([first, second]) == ["settled", "settled"]


async def test_a_sale_late_in_the_evening_may_be_said_in_utc(books: Books) -> None:
    """In New York it is still the 27th, in DE 7 already the 28th: either is its day."""
    first, second = await in_the_batch(books)
    await books.sql(
        "UPDATE payments SET local_time = to_char(transmitted_at - interval '1 day', "
        "'MMDDHH24MISS') WHERE merchant_id = $1",
        books.merchant_id,
    )
    row, *_ = await books.sql(
        "SELECT transmitted_at FROM payments WHERE merchant_id = $1", books.merchant_id
    )
    in_utc = row["transmitted_at"].date()
    on_the_wall = in_utc - timedelta(days=1)

    lines = [line_of(first, on=in_utc), line_of(second, on=on_the_wall)]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched"]


async def test_a_line_in_another_of_our_batches_is_a_date_shift(books: Books) -> None:
    """The host put the item into another batch; both are closed."""
    (item,) = await books.batch(("capture", 4200), number=1)
    (other,) = await books.batch(("capture", 100), number=2)

    lines = [line_of(item, batch_number=2), line_of(other)]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["date_shifted", "matched"]


@pytest.mark.parametrize("amount", [4100, 4300, 1])
async def test_another_amount_is_found_and_stays_unexplained(books: Books, amount: int) -> None:
    """The item is not settled; the finding says by how much, the journal where the money is."""
    first, second = await in_the_batch(books)
    lines = [line_of(first, amount_minor=amount), line_of(second)]

    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["amount_differs", "matched"]
    assert await books.findings() == [("amount_differs", amount - 4200)]
    assert await books.movement_states([first, second]) == ["batched", "settled"]
    balances = await books.balances(REFERENCE)
    assert balances["unexplained"] == -amount
    assert balances["in_transit"] == net_of(lines)


async def test_f19_a_line_for_what_we_do_not_have_is_missing_here(books: Books) -> None:
    """An invented RRN: unexplained money, and a question for the acquirer."""
    items = await in_the_batch(books)
    lines = [*map(line_of, items), line_of(items[0], rrn="999000000001", amount_minor=5)]

    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched", "missing_here"]
    assert await books.findings() == [("missing_here", 5)]
    assert (await books.balances(REFERENCE))["unexplained"] == -5


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"last_four": "2222"}, "another card"), ({"approval": "ZZZZZZ"}, "another approval code")],
)
async def test_an_rrn_of_ours_with_another_card_is_not_ours(
    books: Books, changes: dict[str, str], says: str
) -> None:
    """The line is missing here, our item is missing there, and the words say why."""
    first, second = await in_the_batch(books)

    lines = [line_of(first, **changes), line_of(second)]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["missing_here", "matched"]
    assert await books.findings() == [("missing_here", 4200), ("missing_there", 4200)]
    assert says in (await books.of("findings", "kind"))[0]["next_step"]


async def test_a_line_without_an_approval_code_contradicts_nothing(books: Books) -> None:
    """Refunds have none, and some acquirers leave it out."""
    items = await in_the_batch(books)

    lines = [line_of(each, approval="") for each in items]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched"]


async def test_the_same_item_twice_in_one_report_is_a_duplicate(books: Books) -> None:
    """One settles, the other is unexplained."""
    first, second = await in_the_batch(books)
    lines = [line_of(first), line_of(second), line_of(first)]

    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched", "duplicate"]
    assert await books.findings() == [("duplicate", 4200)]
    assert (await books.balances(REFERENCE))["unexplained"] == -4200


async def test_of_two_lines_the_one_that_agrees_settles(books: Books) -> None:
    """Even when the wrong one stands before it."""
    first, second = await in_the_batch(books)
    lines = [line_of(first, amount_minor=4201), line_of(first), line_of(second)]

    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["duplicate", "matched", "matched"]


async def test_an_item_again_in_a_later_report_is_a_duplicate(books: Books) -> None:
    """It was settled before; nothing is settled twice."""
    items = await in_the_batch(books)
    await books.take(books.report((REFERENCE, [line_of(each) for each in items])))

    again = books.report(("CF261124000002", [line_of(items[0])]), number=2)
    await books.take(again)

    assert await books.outcomes() == ["matched", "matched", "duplicate"]
    assert len(await books.of("movement_events")) == 2


async def test_f19_a_settled_void_is_missing_here_and_says_so(books: Books) -> None:
    """F19: the host settles what we voided before the batch closed."""
    first, second = await in_the_batch(books)
    (voided,) = await books.batch(("capture", 3300), number=2)
    await books.sql("DELETE FROM batch_items WHERE movement_id = $1", voided.movement_id)
    await books.sql(
        "UPDATE movements SET state = 'undone' WHERE movement_id = $1", voided.movement_id
    )

    lines = [line_of(first), line_of(second), line_of(voided, batch_number=1)]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched", "missing_here"]
    (row,) = await books.of("findings")
    assert "voided" in row["next_step"]


async def test_f19_a_settled_reversal_is_missing_here_and_says_so(books: Books) -> None:
    """F19: the host settles what we reversed; the shopper was told that nobody is charged."""
    items = await in_the_batch(books)
    (gone,) = await books.batch(("capture", 3300), number=2)
    await books.sql("DELETE FROM batch_items WHERE movement_id = $1", gone.movement_id)
    await books.sql("DELETE FROM movements WHERE movement_id = $1", gone.movement_id)
    await books.sql("ALTER TABLE payments DISABLE TRIGGER payments_legal_moves")
    await books.sql("UPDATE payments SET state = 'reversed' WHERE payment_id = $1", gone.payment_id)
    await books.sql("ALTER TABLE payments ENABLE TRIGGER payments_legal_moves")

    lines = [*map(line_of, items), line_of(gone, batch_number=1)]
    await books.take(books.report((REFERENCE, lines)))

    assert await books.outcomes() == ["matched", "matched", "missing_here"]
    (row,) = await books.of("findings")
    assert "reversed" in row["next_step"]
    assert "nobody is charged" in row["next_step"]


async def test_a_batch_that_the_days_report_leaves_out_stands_on_the_list(books: Books) -> None:
    """As a whole, until a report names it."""
    items = await in_the_batch(books)
    (left_out,) = await books.batch(("capture", 900), number=2)

    await books.take(books.report((REFERENCE, [line_of(each) for each in items])))
    before = await books.findings()
    late = books.report(("CF261123000002", [line_of(left_out)]), number=2)
    await books.take(late)

    assert before == [("batch_missing", 900)]
    assert await books.findings() == []
    assert await books.outcomes() == ["matched"] * 3


async def test_a_batch_of_a_later_day_is_not_missing(books: Books) -> None:
    """A report says nothing about the days after it."""
    items = await in_the_batch(books)
    await books.batch(("capture", 900), number=2, settlement_date="1124")

    await books.take(books.report((REFERENCE, [line_of(each) for each in items])))

    assert await books.findings() == []


async def test_adjustments_are_booked_one_by_one(books: Books) -> None:
    """A chargeback lowers, a released reserve raises; the net is in transit."""
    items = await in_the_batch(books)
    lines = [line_of(each) for each in items]
    given = [("CHARGEBACK", -1500), ("RESERVE_RELEASE", 200)]

    await books.take(books.report((REFERENCE, lines), adjustments={REFERENCE: given}))

    balances = await books.balances(REFERENCE)
    assert balances["adjustments"] == 1300
    assert balances["in_transit"] == net_of(lines, given)
    rows = await books.of("deposit_adjustments", "number")
    assert [(row["kind"], row["amount_minor"]) for row in rows] == [
        ("chargeback", -1500),
        ("reserve_release", 200),
    ]


async def test_a_deposit_of_nothing_is_funded_at_once(books: Books) -> None:
    """There is nothing to wait for: no bank books a zero."""
    (item,) = await books.batch(("capture", 1000))
    lines = [line_of(item, fees=(0, 0, 0))]

    await books.take(
        books.report((REFERENCE, lines), adjustments={REFERENCE: [("RESERVE", -1000)]})
    )

    assert (await books.deposit(REFERENCE))["state"] == "funded"
    assert await books.movement_states([item]) == ["funded"]
    assert await books.history(REFERENCE) == [(None, "announced"), ("announced", "funded")]


async def test_two_currencies_are_two_deposits(books: Books) -> None:
    """Nothing is added over currencies."""
    (dollars,) = await books.batch(("capture", 1000))
    (yen,) = await books.batch(("capture", 1000), code="JPY")

    await books.take(
        books.report((REFERENCE, [line_of(dollars)]), ("CF261123000002", [line_of(yen)]))
    )

    rows = await books.of("deposits", "reference")
    assert [(row["currency"], row["net_minor"]) for row in rows] == [("USD", 922), ("JPY", 922)]
    assert {row["currency"] for row in await books.of("transfers")} == {"USD", "JPY"}
