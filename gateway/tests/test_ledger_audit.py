"""
The audit agrees with books that are right, and names whatever is changed in them by its amount.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from counterfoil.ledger.audit import Audit
from counterfoil.ledger.rules import RULES
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import capture, refund, void
from counterfoil.payments.payment import Payment
from counterfoil.store.database import Database
from counterfoil.store.queries import query
from counterfoil.store.refused_refunds import Decision, RefusedRefundStore
from counterfoil.store.settlement import SettlementStore
from ledger_day import Day, close_batch, forward
from scripted_link import says, unknown

ONE_SALE = (
    "payment_id = (SELECT payment_id FROM payments WHERE merchant_id = $1 "
    "AND state = 'captured' AND amount_minor = 4200)"
)
STEPS = (
    "SELECT cause FROM payment_events WHERE merchant_id = $1 AND payment_id = $2 ORDER BY version"
)
SENT = (
    "SELECT stan FROM network_messages WHERE merchant_id = $1 AND payment_id = $2 "
    "AND mti = '0220' AND direction = 'sent'"
)
FOUND = "SELECT * FROM findings WHERE merchant_id = $1"
ONE_LINE = "merchant_id = $1 AND amount_minor = 4200"


@pytest.fixture
async def day(database: Database) -> AsyncIterator[Day]:
    """A whole day: sold, refunded, voided, closed, settled, funded, sealed."""
    return await Day.whole(database)


def named(found: Audit) -> set[tuple[str, int | None]]:
    """Return what differs, and by how much."""
    return {(each.what, each.difference_minor) for each in found.differences}


async def test_a_whole_day_agrees_to_the_cent(day: Day) -> None:
    """Every amount is where it should be, and the sums are those of the day."""
    found = await day.audit()

    assert found.differences == []
    assert found.agrees
    (sums,) = found.merchants
    assert sums.authorized_minor == 4200 + 2500 + 700 + 3000 + 900
    assert sums.captured_minor == sums.authorized_minor - sums.released_minor - sums.held_minor
    assert sums.captured_minor - sums.refunded_minor == sums.batched_minor == 4200 + 3000
    assert (sums.open_minor, sums.in_transit_minor, sums.unexplained_minor) == (0, 0, 0)
    assert (sums.fees_minor, sums.adjustments_minor) == (300, 500)
    assert sums.deposited_minor == 4200 + 3000 - 300 - 500


@pytest.mark.parametrize("until", ["begun", "closed", "settled", "funded"])
async def test_books_agree_at_every_step_of_the_day(database: Database, until: str) -> None:
    """What is open, batched or in transit is no difference."""
    day = await Day.begun(database)
    for step, name in ((day.close, "closed"), (day.settle, "settled"), (day.fund, "funded")):
        if until == "begun":
            break
        await step()
        if until == name:
            break

    found = await day.audit()

    assert found.agrees, found.differences
    (sums,) = found.merchants
    where = {
        "begun": sums.open_minor,
        "closed": sums.awaiting_report_minor,
        "settled": sums.in_transit_minor + sums.fees_minor + sums.adjustments_minor,
        "funded": sums.deposited_minor + sums.fees_minor + sums.adjustments_minor,
    }
    assert where[until] == 4200 + 3000


async def test_a_payment_under_way_is_no_difference(database: Database) -> None:
    """Approved and unclaimed, or being reversed: its amount is held until it ends."""
    day = await Day.begun(database)
    await day.stage.take(amount_minor=5500)

    found = await day.audit()

    assert found.agrees, found.differences
    assert found.merchants[0].held_minor == 900 + 5500


@pytest.mark.parametrize("was", ["voided", "unclaimed", "unknown"])
async def test_a_refund_instead_of_a_reversal_agrees(database: Database, was: str) -> None:
    """The host had closed the batch: what it kept is given back by a refund, and adds up."""
    day = await Day.begun(database)
    if was == "unknown":
        day.stage.link.script.append(unknown)
    payment = await day.stage.take(amount_minor=5500)
    if was == "voided":
        await void(day.stage.command(await day.stage.acknowledge(payment)), day.stage.road)
    elif was == "unclaimed":
        await refuse(day.stage.merchant, payment.payment_id, actor="test", road=day.stage.road)
    day.stage.clock.move(1)
    day.stage.link.script.append(says("40"))
    while await day.stage.forwarder().forward():
        pass

    found = await day.audit()

    assert (await day.stage.read(payment)).refunded_minor == 5500
    assert found.agrees, found.differences


async def test_a_refused_refund_instead_of_a_void_needs_a_person(database: Database) -> None:
    """It is on the list until somebody asks again, once; the books show what is still owed."""
    day = await Day.begun(database)
    stage = day.stage
    payment = await stage.paid(amount_minor=5500)
    await void(stage.command(payment), stage.road)
    stage.link.script += [says("40"), says("57")]
    stage.clock.move(1)
    await forward(stage)
    refused = await stage.read(payment)
    (found,) = await stage.sql(FOUND, stage.merchant.merchant_id)
    assert (found["kind"], found["amount_minor"], found["state"]) == (
        "refund_refused",
        5500,
        "open",
    )
    assert (refused.state, refused.captured_minor, refused.refunded_minor) == ("voiding", 5500, 0)
    assert "(57)" in found["next_step"]

    async def again() -> bool:
        store = RefusedRefundStore(database, stage.road.ids.new)
        decision = Decision(actor="cli", note="why", outside=False)
        return await store.end(
            found["merchant_id"], found["finding_id"], stage.clock.now(), decision
        )

    assert [await again(), await again()] == [True, False]
    await forward(stage)

    voided = await stage.read(payment)
    assert (voided.state, voided.refunded_minor) == ("voided", 5500)
    steps = await stage.sql(STEPS, stage.merchant.merchant_id, payment.payment_id)
    assert [each["cause"] for each in steps][-3:] == [
        "refund_refused", "refund_again", "host_accepted",
    ]  # fmt: skip
    sent = await stage.sql(SENT, stage.merchant.merchant_id, payment.payment_id)
    assert len({each["stan"] for each in sent}) == 2
    (found,) = await stage.sql(FOUND, stage.merchant.merchant_id)
    assert (found["state"], found["resolution"]) == ("resolved", "Asked again by cli: why")
    audited = await day.audit()
    assert audited.agrees, audited.differences


async def refused_refund(day: Day, part: int | None = None) -> tuple[Payment, asyncpg.Record]:
    """Sell, void all or a part, and let the host refuse both the void (too late) and the refund."""
    stage = day.stage
    payment = await stage.paid(amount_minor=5500)
    await void(stage.command(payment, amount_minor=part), stage.road)
    stage.link.script += [says("40"), says("57")]
    stage.clock.move(1)
    await forward(stage)
    (found,) = await stage.sql(FOUND, stage.merchant.merchant_id)
    return payment, found


async def two_refused_refunds(day: Day) -> tuple[Payment, list[asyncpg.Record]]:
    """Void one capture of an authorization, then another in the next batch: all is refused."""
    stage = day.stage
    payment = await stage.paid(amount_minor=5500, kind=Kind.AUTHORIZATION)
    for amount in (3000, 2000):  # More than is held then: a void of as much is of the capture.
        await capture(stage.command(payment, amount_minor=amount), stage.road)
        stage.clock.move(1)
        await forward(stage)
        await void(stage.command(payment, amount_minor=amount), stage.road)
        stage.link.script += [says("40"), says("57")]
        stage.clock.move(1)
        await forward(stage)
    found = await stage.sql(FOUND + " ORDER BY opened_at", stage.merchant.merchant_id)
    assert [each["amount_minor"] for each in found] == [3000, 2000]
    return payment, found


async def ended(
    day: Day, found: asyncpg.Record, *, outside: bool, taken: int | None = None
) -> bool:
    """Let a person decide about the finding."""
    store = RefusedRefundStore(day.stage.database, day.stage.road.ids.new)
    decision = Decision(actor="cli", note="cash", outside=outside, taken_minor=taken)
    now = day.stage.clock.now()
    return await store.end(found["merchant_id"], found["finding_id"], now, decision)


@pytest.mark.parametrize(("part", "state"), [(None, "voided"), (500, "captured")])
async def test_what_went_back_outside_of_the_acquirer_is_in_the_books(
    database: Database, part: int | None, state: str
) -> None:
    """A person says so, once; nothing is sent, and the audit agrees."""
    day = await Day.begun(database)
    payment, found = await refused_refund(day, part)
    asked = len(day.stage.link.asked)

    assert [await ended(day, found, outside=True) for _ in range(2)] == [True, False]
    await forward(day.stage)

    payment = await day.stage.read(payment)
    assert (payment.state, payment.refunded_minor) == (state, part or 5500)
    assert len(day.stage.link.asked) == asked
    (last, *_) = await day.stage.sql(
        "SELECT cause, actor, to_state FROM payment_events WHERE merchant_id = $1"
        " AND payment_id = $2 ORDER BY version DESC",
        payment.merchant_id,
        payment.payment_id,
    )
    assert tuple(last) == ("returned_outside", "cli", state)
    audited = await day.audit()
    assert audited.agrees, audited.differences
    assert audited.merchants[0].outside_minor == (part or 5500)
    await close_batch(day.stage)
    open_minor = audited.merchants[0].open_minor
    audited = await day.audit()
    assert audited.agrees, audited.differences
    assert audited.merchants[0].awaiting_report_minor == open_minor > 0


def by_hand() -> dict[str, Any]:
    """Return who resolves a finding, and under which id that is noted."""
    return {"actor": "cli:ada", "event_id": uuid4()}


@pytest.mark.parametrize("outside", [False, True])
async def test_what_the_merchant_refunded_meanwhile_is_not_given_back_twice(
    database: Database, outside: bool
) -> None:
    """The finding of a refused part can only be resolved then, and only when all went back."""
    day = await Day.begun(database)
    payment, found = await refused_refund(day, 500)
    settlement = SettlementStore(database)
    resolving = (found["merchant_id"], found["finding_id"], day.stage.clock.now(), "by the shop")
    assert not await settlement.resolve_finding(*resolving, **by_hand())

    for amount, is_all in ((200, False), (300, True)):
        await refund(day.stage.command(payment, amount_minor=amount), day.stage.road)
        assert not await ended(day, found, outside=outside)
        assert not await settlement.resolve_finding(*resolving, **by_hand()), (
            "the acquirer may refuse it yet"
        )
        day.stage.clock.move(1)
        await forward(day.stage)
        assert await settlement.resolve_finding(*resolving, **by_hand()) is is_all

    assert (await day.stage.read(payment)).refunded_minor == 500
    audited = await day.audit()
    assert audited.agrees, audited.differences


async def test_one_refund_of_the_merchant_settles_one_finding(database: Database) -> None:
    """Two parts are owed: whoever gave one of them back still owes the other."""
    day = await Day.begun(database)
    stage = day.stage
    payment, (first, second) = await two_refused_refunds(day)
    settlement = SettlementStore(database)

    async def resolved(found: asyncpg.Record) -> bool:
        at = stage.clock.now()
        return await settlement.resolve_finding(
            found["merchant_id"], found["finding_id"], at, "by the shop", **by_hand()
        )

    told = []
    for amount in (3000, 2000):
        await refund(stage.command(payment, amount_minor=amount), stage.road)
        stage.clock.move(1)
        await forward(stage)
        told.append([await resolved(first), await resolved(second)])

    assert told == [[True, False], [False, True]]
    audited = await day.audit()
    assert audited.agrees, audited.differences


async def test_a_refund_of_the_merchant_that_is_refused_too_settles_nothing(
    database: Database,
) -> None:
    """It has not reached the cardholder."""
    day = await Day.begun(database)
    payment, found = await refused_refund(day, 500)
    await refund(day.stage.command(payment, amount_minor=500), day.stage.road)
    day.stage.link.script.append(says("57"))
    day.stage.clock.move(1)
    await forward(day.stage)

    resolving = (found["merchant_id"], found["finding_id"], day.stage.clock.now(), "by the shop")
    assert not await SettlementStore(database).resolve_finding(*resolving, **by_hand())
    assert await ended(day, found, outside=False)


async def test_an_amount_that_was_approved_is_not_corrected(database: Database) -> None:
    """What the issuer has said is known: --amount is for answers that were lost."""
    day = await Day.begun(database)
    _, found = await refused_refund(day)

    assert not await ended(day, found, outside=False, taken=5000)
    assert not await ended(day, found, outside=True, taken=5501)
    assert await ended(day, found, outside=False, taken=5500)


async def test_the_audit_names_the_commands_of_a_refused_refund(database: Database) -> None:
    """Whatever rule finds the payment: it is no defect and no forgery, and a person can end it."""
    day = await Day.begun(database)
    _, found = await refused_refund(day)
    day.stage.clock.move(3600)

    steps = {each.what: each.next_step for each in (await day.audit()).differences}

    assert len(steps) == 4, steps
    for what, step in steps.items():
        assert "refund-again" in step, what
        if what != "something found at the end of a day is not resolved":
            assert f"fnd_{found['finding_id'].hex}" in step, what


DAMAGES = [
    # payments against their transfers, histories and themselves
    ("UPDATE payments SET captured_minor = 4100 WHERE " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", -100),
    ("UPDATE payments SET amount_minor = 4300, authorized_minor = 4300 WHERE " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", 100),
    ("UPDATE payments SET released_minor = 700, authorized_minor = 4900, amount_minor = 4900 "
     "WHERE " + ONE_SALE, "a payment's amounts are not the sums of its transfers", 700),
    ("UPDATE payments SET refunded_minor = 1 WHERE " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", 1),
    ("UPDATE payments SET currency = 'EUR' WHERE " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", 4200),
    ("UPDATE payments SET state = 'authorized' WHERE " + ONE_SALE,
     "a payment is not where its history ends", 4200),
    ("UPDATE payments SET state = 'reversed' WHERE " + ONE_SALE,
     "a payment that says not charged has a capture", 4200),
    ("UPDATE payments SET version = 2 WHERE " + ONE_SALE,
     "a payment is not where its history ends", 4200),
    ("UPDATE payments SET changed_by = gen_random_uuid() WHERE " + ONE_SALE,
     "a payment is not where its history ends", 4200),
    ("UPDATE payments SET confirmation_number = NULL WHERE " + ONE_SALE,
     "a payment's amounts contradict its state", 4200),
    ("UPDATE payments SET acknowledged_at = NULL WHERE " + ONE_SALE,
     "a payment's amounts contradict its state", 4200),
    ("UPDATE payments SET amount_minor = 5000 WHERE " + ONE_SALE,
     "a payment's amounts contradict its state", -800),
    ("UPDATE payment_events SET to_state = 'declined' WHERE version = 2 AND " + ONE_SALE,
     "a payment's history has a gap", 4200),
    ("DELETE FROM payment_events WHERE version = 2 AND " + ONE_SALE,
     "a payment's history has a gap", 4200),
    ("DELETE FROM payment_events WHERE version = 3 AND " + ONE_SALE,
     "a payment is not where its history ends", 4200),
    ("DELETE FROM payments WHERE " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", -4200),
    # movements
    ("UPDATE movements SET amount_minor = 4199 WHERE " + ONE_SALE,
     "a payment's captures or refunds do not add up", -1),
    ("UPDATE movements SET currency = 'EUR' WHERE " + ONE_SALE,
     "a payment's captures or refunds do not add up", -4200),
    ("UPDATE movements SET kind = 'refund' WHERE " + ONE_SALE,
     "an acknowledged sale was never captured", -4200),
    ("DELETE FROM movements WHERE " + ONE_SALE,
     "an acknowledged sale was never captured", -4200),
    ("UPDATE movements SET batch_number = 2 WHERE " + ONE_SALE,
     "an item of a batch is not what its movement is", 4200),
    ("UPDATE movements SET state = 'pending' WHERE " + ONE_SALE,
     "an item of a batch is not what its movement is", 4200),
    ("UPDATE movements SET state = 'batched' WHERE " + ONE_SALE,
     "a movement's state is not what report and bank say", 4200),
    ("UPDATE movements SET state = 'settled' WHERE " + ONE_SALE,
     "a movement is not where its history ends", 4200),
    ("UPDATE movements SET rrn = '000000000001' WHERE " + ONE_SALE,
     "a line was matched with something else", 0),
    ("DELETE FROM movement_events WHERE to_state = 'funded' AND " + ONE_SALE,
     "a movement is not where its history ends", 4200),
    ("DELETE FROM outbox WHERE kind = 'mail_customer' AND " + ONE_SALE,
     "nobody was told of a confirmed payment", 4200),
    # batches
    ("UPDATE batch_items SET amount_minor = 4250 WHERE " + ONE_LINE,
     "an item of a batch is not what its movement is", 50),
    ("UPDATE batch_items SET kind = 'refund' WHERE " + ONE_LINE,
     "a batch's totals are not the sum of its items", 8400),
    ("DELETE FROM batch_items WHERE " + ONE_LINE,
     "a movement is in no batch that holds it", -4200),
    ("UPDATE batches SET our_totals = replace(our_totals, '\"debits_minor\":10400', "
     "'\"debits_minor\":10300') WHERE merchant_id = $1",
     "a batch's totals are not the sum of its items", -100),
    ("UPDATE batches SET host_totals = NULL WHERE merchant_id = $1",
     "a batch's totals are not the sum of its items", -7200),
    ("UPDATE batches SET state = 'needs_a_person' WHERE merchant_id = $1 AND state = 'closed'",
     "a batch has no agreed end", 7200),
    ("DELETE FROM transfers WHERE merchant_id = $1 AND debit_account = 'batched'",
     "a closed batch stands otherwise in the journal", -9700),
    # the journal itself
    ("UPDATE transfers SET amount_minor = 4000 WHERE credit_account = 'held' AND " + ONE_SALE,
     "a payment's amounts are not the sums of its transfers", 200),
    ("UPDATE transfers SET debit_account = 'released' WHERE debit_account = 'open' AND "
     + ONE_SALE, "a payment's amounts are not the sums of its transfers", -4200),
    ("UPDATE transfers SET debit_account = 'deposited' WHERE debit_account = 'open' AND "
     + ONE_SALE, "the sums of the journal do not agree", 4200),
    ("UPDATE transfers SET cause = 'other' WHERE debit_account = 'open' AND " + ONE_SALE,
     "a transfer was changed or removed after it was sealed", 4200),
    # report and deposit
    ("UPDATE settlement_lines SET amount_minor = 4100 WHERE " + ONE_LINE,
     "a line was matched with something else", -100),
    ("UPDATE settlement_lines SET interchange_minor = 61 WHERE " + ONE_LINE,
     "a deposit is not the sum of its lines", -1),
    ("UPDATE settlement_lines SET outcome = 'duplicate' WHERE " + ONE_LINE,
     "a line settles nothing here and nobody was told", 4200),
    ("UPDATE settlement_lines SET reference = 'CF000000000000' WHERE " + ONE_LINE,
     "a deposit is not the sum of its lines", 4200),
    ("DELETE FROM settlement_lines WHERE " + ONE_LINE,
     "a movement's state is not what report and bank say", 4200),
    ("UPDATE deposits SET gross_minor = gross_minor + 7, net_minor = net_minor + 7 "
     "WHERE merchant_id = $1", "a deposit is not the sum of its lines", 7),
    ("UPDATE deposits SET markup_minor = markup_minor + 5, net_minor = net_minor - 5 "
     "WHERE merchant_id = $1", "a deposit stands otherwise in the journal", -5),
    ("UPDATE deposits SET paid_minor = paid_minor - 3 WHERE merchant_id = $1",
     "a deposit was paid otherwise than the bank says", -3),
    ("UPDATE deposits SET state = 'announced' WHERE merchant_id = $1",
     "a deposit is not paid as it says, and nobody was told", 0),
    ("UPDATE deposits SET state = 'returned' WHERE merchant_id = $1",
     "a deposit is not paid as it says, and nobody was told", 0),
    ("UPDATE deposit_adjustments SET amount_minor = -400 WHERE merchant_id = $1",
     "a deposit is not the sum of its lines", -100),
    # bank
    ("UPDATE bank_entries SET amount_minor = amount_minor + 2 WHERE merchant_id = $1",
     "a bank statement does not add up or leaves a gap", -2),
    ("UPDATE bank_entries SET reference = 'CF000000000000' WHERE merchant_id = $1",
     "a deposit was paid otherwise than the bank says", 6400),
    ("DELETE FROM bank_entries WHERE merchant_id = $1",
     "the bank paid otherwise than the journal says", 6400),
    ("UPDATE bank_statements SET opening_minor = 10 WHERE merchant_id = $1",
     "a bank statement does not add up or leaves a gap", -10),
    ("UPDATE incoming_files SET content = content || '\\x20' WHERE merchant_id = $1",
     "a file that came was changed afterwards", None),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "what", "minor"), DAMAGES)
async def test_whatever_is_changed_is_named_with_its_amount(
    day: Day, damage: str, what: str, minor: int | None
) -> None:
    """One column of one row, changed behind the gateway's back."""
    assert await day.damage(damage) not in ("UPDATE 0", "DELETE 0")

    found = await day.audit()

    assert not found.agrees
    assert (what, minor) in named(found)
    for each in found.differences:
        assert each.next_step
        assert each.subject


STRANDED = "nobody does anything about a payment any more"
ANY_STATE = "UPDATE payments SET state = '{}' WHERE " + ONE_SALE


@pytest.mark.parametrize(
    ("state", "kept"),
    [("reversing", "reversal"), ("voiding", "void"), ("reversing", None), ("voiding", None)],
)
async def test_a_payment_that_is_taken_back_by_nobody_is_named(
    day: Day, state: str, kept: str | None
) -> None:
    """Being reversed or voided means that an advice is owed."""
    await day.damage(ANY_STATE.format(state))
    if kept:
        await day.damage(
            "INSERT INTO advices (merchant_id, advice_id, payment_id, position, kind, "
            "amount_minor, batch_number, state, next_try_at, late_until, created_at) SELECT "
            f"merchant_id, gen_random_uuid(), payment_id, 9, '{kept}', 4200, 1, 'owed', "
            "now(), now(), now() "
            "FROM payments WHERE merchant_id = $1 AND amount_minor = 4200"
        )

    found = await day.audit()

    assert ((STRANDED, 4200) in named(found)) == (kept is None)


@pytest.mark.parametrize(
    ("minutes", "is_named", "change"),
    [
        (11, True, "state = 'processing', updated_at = $2"),
        (9, False, "state = 'processing', updated_at = $2"),
        (11, True, "state = 'approved', acknowledge_by = $2"),
        (9, False, "state = 'approved', acknowledge_by = $2"),
    ],
)
async def test_a_payment_that_waits_for_longer_than_the_sweep_takes_is_named(
    day: Day, minutes: int, *, is_named: bool, change: str
) -> None:
    """The time is the audit's, not the database's."""
    since = day.stage.clock.now() - timedelta(minutes=minutes)
    written = f"'{since.isoformat()}'::timestamptz"
    await day.damage(f"UPDATE payments SET {change.replace('$2', written)} WHERE {ONE_SALE}")

    found = await day.audit()

    assert ((STRANDED, 4200) in named(found)) == is_named


@pytest.mark.parametrize(("kind", "minor"), [("capture", 3000), ("refund", 2500)])
async def test_a_movement_of_which_the_acquirer_never_hears_is_named(
    database: Database, kind: str, minor: int
) -> None:
    """A capture of an authorization, or a refund, without an advice."""
    day = await Day.begun(database)
    assert (await day.audit()).agrees
    await day.damage(f"DELETE FROM advices WHERE merchant_id = $1 AND kind = '{kind}'")

    found = await day.audit()

    assert named(found) == {(STRANDED, minor)}
    (one,) = found.differences
    assert one.subject.startswith("payment pay_")


async def test_rules_read_large_tables_without_statistics_in_one_pass(database: Database) -> None:
    """Right after a load, before anybody has counted: no rule loops over a table."""
    rows = 30_000
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(MANY_MOVEMENTS, rows)
        await connection.execute(MANY_LINES)
        plan = query("audit_settled_movements")
        await connection.fetch(query("audit_settings"))
        merchant = await connection.fetchval("SELECT merchant_id FROM movements WHERE rrn = '9'")
        explained = await connection.fetch(
            "EXPLAIN " + plan.replace("$1", f"'{merchant}'").replace("$2", "100")
        )
        text = "\n".join(row[0] for row in explained)
        assert "Nested Loop" not in text, text
        found = await connection.fetch(plan, merchant, 100, timeout=20)
        assert len(found) == 0


MANY_MOVEMENTS = """
INSERT INTO movements (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
    acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
SELECT '00000000-0000-0000-0000-000000000009', md5(n::text)::uuid, md5(n::text)::uuid, 'capture',
    'settled', 100, 'USD', 'many', 'TERM0001', 1, CASE n WHEN 1 THEN '9' ELSE 'x' || n END,
    now(), now() FROM generate_series(1, $1::integer) AS n
"""
MANY_LINES = """
INSERT INTO settlement_lines
SELECT merchant_id, acquirer, '\\x00', row_number() OVER (), 'R', terminal_id, 1, kind, rrn, NULL,
    '1111', 'visa', currency, amount_minor, 0, 0, 0, '2026-11-23', movement_id, 'matched'
FROM movements WHERE acquirer = 'many'
"""


async def test_a_line_that_differs_is_named_until_a_person_has_cleared_it(
    database: Database,
) -> None:
    """The money stays visible as unexplained; the audit agrees once somebody has decided."""
    day = await Day.begun(database)
    await day.close()
    await day.settle(first_more_minor=25)
    found = await day.audit()

    assert named(found) == {("something found at the end of a day is not resolved", 25)}
    assert found.merchants[0].unexplained_minor == -4225

    await day.damage(
        "UPDATE findings SET state = 'resolved', resolved_at = now() WHERE merchant_id = $1"
    )
    assert (await day.audit()).agrees


@pytest.mark.parametrize("parts", [(6300,), (6500,), (3000, 3000)])
async def test_a_deposit_that_is_not_its_net_is_named(
    database: Database, parts: tuple[int, ...]
) -> None:
    """Short, over, or in parts that do not add up."""
    day = await Day.begun(database)
    await day.close()
    await day.settle()
    await day.fund(*parts)
    found = await day.audit()

    assert named(found) == {
        ("something found at the end of a day is not resolved", sum(parts) - 6400)
    }


async def test_a_deposit_in_two_parts_agrees(database: Database) -> None:
    """What counts is what came in the end."""
    day = await Day.begun(database)
    await day.close()
    await day.settle()
    await day.fund(6000, 400)

    assert (await day.audit()).agrees


async def test_a_deposit_that_was_returned_is_named(database: Database) -> None:
    """The money went back: the payments are settled again, and not funded."""
    day = await Day.begun(database)
    await day.close()
    await day.settle()
    await day.fund(6400, -6400)
    found = await day.audit()

    assert named(found) == {("something found at the end of a day is not resolved", 6400)}
    assert found.merchants[0].in_transit_minor == 6400


async def test_money_before_its_report_is_named_until_the_report_comes(database: Database) -> None:
    """Without a report nobody knows what was paid for."""
    day = await Day.begun(database)
    await day.close()
    await day.fund(6400)
    found = await day.audit()

    assert named(found) == {("something found at the end of a day is not resolved", 6400)}
    assert found.merchants[0].unexplained_minor == -6400

    await day.settle()
    assert (await day.audit()).agrees


async def test_other_merchants_are_no_matter(day: Day, database: Database) -> None:
    """An audit of one merchant names nothing of another's; one of all names both."""
    other = await Day.begun(database)
    await day.damage("DELETE FROM outbox WHERE merchant_id = $1")

    assert (await other.audit()).agrees
    assert not (await day.audit()).agrees


def test_every_rule_says_what_to_do() -> None:
    """A difference without a next step is half an answer; findings bring their own."""
    assert [rule.query for rule in RULES if not rule.next_step] == ["audit_findings"]
