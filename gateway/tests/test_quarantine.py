"""
After a restore: the two halves of each payment, the host's journal, and the way out.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from counterfoil.events.feed import number_events
from counterfoil.events.shown import event_answer
from counterfoil.outside.compare import Ours, difference
from counterfoil.outside.host_journal import FORMAT, Charge, Journal, JournalRefused
from counterfoil.outside.quarantine import NotKept, NotLifted, compare, keep, lift, waive
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.store.backups import begin_quarantine
from counterfoil.store.database import Database
from counterfoil.store.feed import FeedStore
from counterfoil.store.numbers import ConfirmationLeases, StanLeases
from counterfoil.store.quarantine import QuarantineStore
from payment_stage import ACTOR, Stage


def ours(state: str, **changes: Any) -> Ours:
    taken = 4200 if state in ("approved", "authorized", "captured") else 0
    half = Ours(
        payment_id=UUID(int=7),
        order_number="1001",
        terminal_id="TERM0001",
        rrn="633108000012",
        kind="sale",
        state=state,
        currency="USD",
        amount_minor=4200,
        authorized_minor=taken,
        captured_minor=taken if state == "captured" else 0,
        released_minor=0,
        refunded_minor=0,
        owed=False,
    )
    return msgspec.structs.replace(half, **changes)


def theirs(state: str, **changes: Any) -> Charge:
    charge = Charge(
        terminal_id="TERM0001",
        rrn="633108000012",
        kind="sale",
        state=state,
        currency="USD",
        amount_minor=4200,
        held_minor=4200 if state == "held" else 0,
        captured_minor=4200 if state in ("captured", "refunded") else 0,
        refunded_minor=4200 if state == "refunded" else 0,
    )
    return msgspec.structs.replace(charge, **changes)


@pytest.mark.parametrize(
    ("here", "there", "kind"),
    [
        (None, theirs("captured"), "restored_host_only"),
        (None, theirs("held"), "restored_host_only"),
        (None, theirs("reversed"), None),
        (None, theirs("declined"), None),
        (ours("approved"), theirs("captured"), "restored_unclaimed"),
        (ours("approved"), theirs("reversed"), None),
        (ours("approved"), None, None),
        (ours("processing"), theirs("held"), "restored_unclaimed"),
        (ours("processing"), None, None),
        (ours("captured"), theirs("captured"), None),
        (ours("captured"), theirs("reversed"), "restored_state_differs"),
        (ours("captured"), theirs("refunded"), "restored_state_differs"),
        (ours("captured", refunded_minor=4200), theirs("refunded"), None),
        (ours("captured"), None, "restored_missing_there"),
        (ours("captured", owed=True), theirs("held"), None),
        (ours("captured", owed=True), theirs("reversed"), "restored_state_differs"),
        (ours("captured", owed=True), theirs("refunded"), "restored_state_differs"),
        (ours("captured", owed=True), None, "restored_missing_there"),
        (ours("captured", owed=True, refunded_minor=4200), theirs("refunded"), None),
        (ours("captured", owed=True, refunded_minor=4200), theirs("captured"), None),
        (ours("authorized", owed=True, released_minor=4200), theirs("reversed"), None),
        (ours("reversed", owed=True), theirs("captured"), None),
        (ours("authorized"), theirs("held"), None),
        (ours("authorized"), theirs("captured"), "restored_state_differs"),
        (ours("authorized"), None, "restored_missing_there"),
        (ours("reversed"), theirs("reversed"), None),
        (ours("reversed"), theirs("captured"), "restored_state_differs"),
        (ours("reversing", owed=True), theirs("captured"), None),
        (ours("voiding", owed=True), theirs("captured"), None),
        (ours("declined"), theirs("declined"), None),
        (ours("declined"), theirs("captured"), "restored_state_differs"),
        (ours("not_sent"), None, None),
    ],
)
def test_f41_the_two_halves_of_a_payment_agree_or_a_person_decides(
    here: Ours | None, there: Charge | None, kind: str | None
) -> None:
    """Whatever may have happened after the backup; what is owed is sent again by itself."""
    found = difference(here, there)

    assert (found.kind if found else None) == kind


def test_a_difference_names_the_payment_that_is_to_be_kept() -> None:
    """Who reads the finding has neither its id nor its order from the host's journal."""
    found = difference(ours("approved"), theirs("captured"))

    assert found is not None
    assert found.words.startswith("pay_00000000000000000000000000000007, order 1001: approved here")


def written(path: Path, *charges: dict[str, Any], **header: Any) -> Journal:
    first = {"format": FORMAT, "from": None, "terminals": [], **header}
    lines = (first, *charges, {"charges": len(charges)})
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return Journal(path)


def charge_of(payment: Any, state: str = "captured", **changes: Any) -> dict[str, Any]:
    return msgspec.to_builtins(
        theirs(state, **{"terminal_id": payment.terminal_id, "rrn": payment.rrn, **changes})
    )


@pytest.mark.parametrize(
    "lines",
    ["", "[]\n", '{"format": "another", "terminals": []}\n'],
    ids=["empty", "no object", "another form"],
)
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, lines: str) -> None:
    """Before anything counts as compared."""
    path = tmp_path / "host.jsonl"
    path.write_text(lines)

    with pytest.raises(JournalRefused):
        Journal(path)


def test_a_charge_that_cannot_be_read_is_named_by_its_line(tmp_path: Path) -> None:
    """A journal is read whole or not at all."""
    journal = written(tmp_path / "host.jsonl", {"terminal_id": "TERM0001"})

    with pytest.raises(JournalRefused, match="line 2"):
        list(journal.charges())


@pytest.mark.parametrize("kept", [1, 2], ids=["no charge left", "one of two"])
def test_f41_a_journal_that_was_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    """What it lacks would be forgotten for good; cut at a line's end it looks whole."""
    one = msgspec.to_builtins(theirs("captured"))
    path = tmp_path / "host.jsonl"
    written(path, one, one)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))

    with pytest.raises(JournalRefused, match="may have been cut short"):
        list(Journal(path).charges())


def test_f41_a_journal_that_lacks_a_line_is_refused(tmp_path: Path) -> None:
    """Its last line says how many there must be."""
    one = msgspec.to_builtins(theirs("captured"))
    path = tmp_path / "host.jsonl"
    written(path, one, one)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[3]]))

    with pytest.raises(JournalRefused, match="has 2 charges, and has 1"):
        list(Journal(path).charges())


class Restored:
    """
    A stage whose installation is in quarantine.
    """

    def __init__(self, stage: Stage, path: Path) -> None:
        self.stage = stage
        self.store = QuarantineStore(stage.database, stage.road.ids)
        self.path = path / "host.jsonl"

    async def taken(self) -> Payment:
        """Return an approval of before the quarantine: within it no intent is written."""
        (held,) = await self.stage.sql("SELECT quarantined_at, quarantine_reason FROM installation")
        await self.stage.sql(
            "UPDATE installation SET quarantined_at = NULL, quarantine_reason = NULL"
        )
        payment = await self.stage.take()
        await self.stage.sql(
            "UPDATE installation SET quarantined_at = $1, quarantine_reason = $2", *held
        )
        return payment

    async def paid(self) -> Payment:
        """Return a payment of before the quarantine that was acknowledged."""
        return await self.stage.acknowledge(await self.taken())

    async def compare(self, *charges: dict[str, Any], **numbers: Any) -> list[str]:
        terminals = [{"terminal_id": "TERM0001", **numbers}]
        journal = written(self.path, *charges, terminals=terminals)
        stage = self.stage
        found = await compare(journal, stage.acquirer, self.store, stage.clock.now())
        return [each.kind for each in found.differences]

    async def lift(self, *gone: str) -> None:
        stage = self.stage
        configured = {each["acquirer"] for each in await self.store.comparisons()} - {*gone}
        await lift(self.store, stage.clock, configured=configured, actor=ACTOR)

    async def waive(self, acquirer: str, *, configured: bool = False) -> None:
        await waive(
            self.store,
            acquirer,
            {acquirer} if configured else set(),
            actor=ACTOR,
            reason="bankrupt",
            at=self.stage.clock.now(),
        )

    async def history(self) -> list[tuple[Any, ...]]:
        rows = await self.store.history()
        return [
            (each["what"], each["acquirer"], each["actor"], each["note"])
            for each in rows
            if each["acquirer"] in (None, self.stage.acquirer)
        ]

    async def open(self) -> int:
        rows = await self.stage.sql(
            "SELECT count(*) AS n FROM findings WHERE merchant_id = $1 AND state = 'open'",
            self.stage.merchant.merchant_id,
        )
        number: int = rows[0]["n"]
        return number

    async def keep(self, payment: Any, number: str | None = None) -> Any:
        stage = self.stage
        return await keep(
            payment.payment_id,
            note="paid",
            actor="cli:ada",
            number=number,
            store=self.store,
            payments=stage.road.store,
            merchants=stage.merchants,
            confirmations=stage.road.confirmations,
            clock=stage.clock,
            ids=stage.road.ids,
        )


@pytest.fixture
async def restored(database: Database, tmp_path: Path) -> Any:
    """The only stage of the database, quarantined; nobody else's acquirer is to be compared."""
    stage = await Stage.set_up(database)
    await stage.sql("DELETE FROM quarantine_comparisons")
    await stage.sql("UPDATE findings SET state = 'resolved', resolved_at = now()")
    await stage.sql("UPDATE installation SET quarantined_at = NULL, quarantine_reason = NULL")
    assert await begin_quarantine(database, stage.clock, "test")
    others = await stage.sql(
        "SELECT DISTINCT acquirer FROM terminals WHERE acquirer <> $1", stage.acquirer
    )
    for each in others:
        await stage.sql(
            "INSERT INTO quarantine_comparisons VALUES ($1, $2, 0, 0, '[]', NULL, NULL)",
            each["acquirer"],
            stage.clock.now() + timedelta(days=1),
        )
    return Restored(stage, tmp_path)


async def test_f41_the_quarantine_is_lifted_only_when_all_is_compared_and_decided(
    restored: Restored,
) -> None:
    """Not before; a difference that a person resolved does not come back."""
    paid = await restored.paid()
    with pytest.raises(NotLifted, match="was not compared"):
        await restored.lift()
    kinds = await restored.compare(charge_of(paid), charge_of(paid, rrn="633108999999"))
    with pytest.raises(NotLifted, match=r"1 difference\(s\) are open"):
        await restored.lift()
    await restored.stage.sql(
        "UPDATE findings SET state = 'resolved', resolved_at = $2, resolution = 'agreed by phone' "
        "WHERE merchant_id = $1",
        restored.stage.merchant.merchant_id,
        restored.stage.clock.now(),
    )
    again = await restored.compare(charge_of(paid), charge_of(paid, rrn="633108999999"))
    await restored.lift()
    with pytest.raises(NotLifted, match="not in quarantine"):
        await restored.lift()

    assert kinds == again == ["restored_host_only"]


async def test_f41_the_lift_itself_refuses_what_is_not_compared_or_not_decided(
    restored: Restored,
) -> None:
    """Whoever looked before it, and whatever changed between: one guarded statement."""
    paid, now = await restored.paid(), restored.stage.clock.now()
    uncompared = await restored.store.lift(now, ACTOR)
    await restored.compare(charge_of(paid), charge_of(paid, rrn="633108999999"))
    undecided = await restored.store.lift(now, ACTOR)
    standing = await restored.store.standing()
    await restored.compare(charge_of(paid))
    lifted = await restored.store.lift(now, ACTOR)
    again = await restored.store.lift(now, ACTOR)

    assert (uncompared, undecided) == (False, False)
    assert standing["quarantined_at"] is not None
    assert (lifted, again) == (True, False)
    assert ("lifted", None, ACTOR, "test") in await restored.history()


async def test_f41_an_acquirer_that_is_gone_is_left_out_only_by_a_person_with_a_reason(
    restored: Restored,
) -> None:
    """The refusal names both ways; what was decided stays, by whom and why."""
    acquirer = restored.stage.acquirer
    with pytest.raises(NotLifted, match=r"not in the configuration any more.*--without-acquirer"):
        await restored.lift(acquirer)
    with pytest.raises(NotLifted, match="is configured, so it must be compared"):
        await restored.waive(acquirer, configured=True)
    with pytest.raises(NotLifted, match="no acquirer nobody to leave out"):
        await restored.waive("nobody")
    lifted, before = ("lifted", None, ACTOR, "test"), await restored.history()
    await restored.waive(acquirer)
    with pytest.raises(NotLifted, match="was compared since the restore"):
        await restored.waive(acquirer)
    await restored.lift(acquirer)

    after = await restored.history()
    assert len(after) == len(before) + 2
    assert ("waived", acquirer, ACTOR, "bankrupt") in set(after) - set(before)
    assert after.count(lifted) == before.count(lifted) + 1


async def test_f41_an_acquirer_that_was_left_out_once_is_compared_in_the_next_quarantine(
    restored: Restored,
) -> None:
    """A reason holds for one quarantine; a real comparison takes its place."""
    stage = restored.stage
    await restored.waive(stage.acquirer)
    await restored.lift(stage.acquirer)
    stage.clock.move(1)
    await begin_quarantine(stage.database, stage.clock, "again")
    with pytest.raises(NotLifted, match="not compared since the restore"):
        await restored.lift()
    await restored.compare()
    waived = {each["acquirer"]: each["waived_by"] for each in await restored.store.comparisons()}

    assert waived[stage.acquirer] is None


async def test_what_agrees_by_now_leaves_the_list(restored: Restored) -> None:
    """A second comparison after somebody has acted."""
    paid = await restored.paid()

    await restored.compare()
    before = await restored.open()
    await restored.compare(charge_of(paid))

    assert (before, await restored.open()) == (1, 0)


async def test_f41_no_number_that_the_host_has_seen_is_used_again(restored: Restored) -> None:
    """Trace numbers of the day, batches and confirmation numbers go on beyond the host's."""
    stage = restored.stage
    paid = await restored.paid()
    today = stage.clock.now().strftime("%m%d")

    await restored.compare(
        charge_of(paid), last_stans={today: 4711}, last_batches={"USD": 7, "EUR": 3}
    )
    before = await stage.road.confirmations.take(stage.merchant.merchant_id)
    await restored.lift()
    stans = StanLeases(stage.database, 1)
    stan = await stans.take(
        stage.merchant.merchant_id, stage.acquirer, "TERM0001", stage.clock.now().date()
    )
    rows = await stage.sql(
        "SELECT currency, batch_number, state FROM batches WHERE merchant_id = $1 ORDER BY 1, 2",
        stage.merchant.merchant_id,
    )
    counter = await stage.sql(
        "SELECT next_number FROM confirmation_counters WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )

    assert stan > 4711
    assert [tuple(each) for each in rows] == [
        ("EUR", 4, "open"),
        ("USD", 1, "closing"),
        ("USD", 8, "open"),
    ]
    assert counter[0]["next_number"] > 1_000_000
    assert before


async def test_f41_an_approval_that_was_claimed_after_the_backup_is_kept(
    restored: Restored,
) -> None:
    """With the number that the shopper has, also when its time is long over."""
    stage = restored.stage
    approved = await restored.taken()
    number = await stage.road.confirmations.take(stage.merchant.merchant_id)
    kinds = await restored.compare(charge_of(approved))
    stage.clock.move(3600)

    kept = await restored.keep(approved, number)

    assert kinds == ["restored_unclaimed"]
    assert (kept.state, kept.confirmation_number) == (State.CAPTURED, number)
    assert await restored.open() == 0
    changes = (await stage.road.store.history(approved))[-2:]
    assert [each.cause for each in changes] == ["kept_by_a_person", "acknowledged"]
    assert [each.actor for each in changes] == ["cli:ada"] * 2


async def test_f41_what_is_kept_gets_no_number_that_was_given_out_after_the_backup(
    restored: Restored,
) -> None:
    """Numbers go on beyond them from the beginning of the quarantine, not from its end."""
    stage = restored.stage
    approved = await restored.taken()
    confirmations = ConfirmationLeases(stage.database, stage.road.vault.confirmation_key, size=1)
    await stage.sql("UPDATE installation SET quarantined_at = NULL, quarantine_reason = NULL")
    first = await counter(stage)
    given_after_the_backup = {await confirmations.take(stage.merchant.merchant_id)}
    await stage.sql(  # The backup is restored.
        "UPDATE confirmation_counters SET next_number = $2 WHERE merchant_id = $1",
        stage.merchant.merchant_id,
        first,
    )
    await begin_quarantine(stage.database, stage.clock, "restored by other means")
    kept = await restored.keep(approved)

    assert kept.confirmation_number not in given_after_the_backup


async def counter(stage: Stage) -> int:
    rows = await stage.sql(
        "INSERT INTO confirmation_counters AS c VALUES ($1, 0) ON CONFLICT (merchant_id) "
        "DO UPDATE SET next_number = c.next_number RETURNING next_number",
        stage.merchant.merchant_id,
    )
    number: int = rows[0]["next_number"]
    return number


async def test_f41_the_feed_goes_on_beyond_what_readers_may_have_seen(restored: Restored) -> None:
    """An event says so, before what was left over from before; nobody skips it or reads on old."""
    stage, merchant_id = restored.stage, restored.stage.merchant.merchant_id
    feed = FeedStore(stage.database)
    paid = await restored.paid()
    while await number_events(feed, stage.clock):
        continue
    known_in_the_backup = await feed.head(merchant_id)
    await restored.taken()  # Waits for its number when the backup is made.
    seen_after_the_backup = known_in_the_backup + 5_000
    stage.clock.move(1)
    await restored.compare(charge_of(paid))
    await stage.sql("UPDATE findings SET state = 'resolved', resolved_at = now()")
    await restored.lift()
    while await number_events(feed, stage.clock):
        continue
    rows = await feed.page(merchant_id, seen_after_the_backup, 10)

    assert rows[0]["type"] == "feed.resumed"
    assert rows[0]["number"] > seen_after_the_backup
    assert [each["type"] for each in rows[1:]] == ["payment.approved"]
    told = event_answer(rows[0], "test")
    assert (told.cause, told.payment, told.batch) == ("restored", None, None)


async def test_only_an_approval_is_kept_and_only_under_a_real_number(restored: Restored) -> None:
    """What is reversed stays reversed; a typing mistake is found by the check digit."""
    stage = restored.stage
    approved, gone = await restored.taken(), await restored.taken()
    await refuse(stage.merchant, gone.payment_id, actor=ACTOR, road=stage.road)

    with pytest.raises(NotKept, match="only an approval"):
        await restored.keep(gone)
    with pytest.raises(NotKept, match="check digit"):
        await restored.keep(approved, "123456789012")
    with pytest.raises(NotKept, match="only an approval"):
        await restored.keep(msgspec.structs.replace(approved, payment_id=uuid4()))
