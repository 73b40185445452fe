"""
Closing a batch with a scripted host, on the real store, with a clock moved by hand.
"""

import asyncio
import getpass
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import pytest
from counterfoil.money import currency
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import capture, refund, void
from counterfoil.settlement import close
from counterfoil.settlement.close import Closer, begin
from counterfoil.settlement.schedule import CLOSING_MAX, OPEN_MAX, watch
from counterfoil.store import numbers
from counterfoil.store.batches import WHOLE_BATCH_SECONDS_MAX, BatchKey, BatchStore, MessageKey
from counterfoil.store.database import CALL_SECONDS_MAX, Database
from counterfoil.store.numbers import TerminalUsedUp
from payment_stage import Stage, batch_key
from scripted_link import Asked, Step, answered, not_sent, says, unknown
from structlog.testing import capture_logs

TOTALS = (74, 75, 76, 77, 81, 86, 87, 88, 89)


def agrees(mti: str, fields: Fields, **changes: str) -> Outcome:
    """In balance, with the totals it was sent; `f88=...` changes one."""
    echo = {f"f{number}": fields[number] for number in TOTALS} | changes
    return answered(mti, fields, "00", f15="1123", f66="1", **echo)  # type: ignore[arg-type]


def agrees_but(**changes: str) -> Step:
    """In balance, says the host, with a total of its own."""
    return lambda mti, fields: agrees(mti, fields, **changes)


async def never(mti: str, fields: Fields) -> Outcome:
    """A host that takes its time."""
    await asyncio.sleep(60)
    raise AssertionError("nobody waits that long")


class Evening:
    """
    A merchant whose only batch begins to close.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.store = BatchStore(stage.database, stage.lease.process_id)
        self.closer = self.another_closer()
        self.key = BatchKey(*batch_key(stage), 1)

    def another_closer(self) -> Closer:
        return Closer(
            self.stage.road,
            self.store,
            self.stage.merchants,
            [self.stage.acquirer],
            answer_seconds=1.0,
        )

    @classmethod
    async def begun(cls, database: Database, *script: Step, sales: int = 2) -> "Evening":
        """Take sales, begin to close them, and let the host answer with *script* from now on."""
        stage = await Stage.set_up(database)
        for _ in range(sales):
            await stage.paid()
        evening = cls(stage)
        await evening.begin()
        stage.link.asked.clear()
        stage.link.script.extend(script)
        return evening

    async def begin(self) -> None:
        stage = self.stage
        stage.clock.move(1)
        keys = await self.store.to_close(stage.merchant.merchant_id, stage.clock.now())
        await begin(keys, self.store, stage.road, cause="test", actor="test")

    async def go(self, seconds: float, *, by: float = 1.0) -> None:
        """Let *seconds* pass, with a round every *by* seconds."""
        passed = 0.0
        while passed < seconds:
            self.stage.clock.move(by)
            passed += by
            await self.closer.step()

    async def row(self) -> asyncpg.Record:
        row = await self.store.row(self.key)
        assert row is not None
        return row

    async def state(self) -> str:
        state: str = (await self.row())["state"]
        return state

    async def events(self, number: int = 1) -> list[tuple[str | None, str, str, str | None]]:
        """Return the batch's history: left, reached, why, and what was said of it."""
        rows = await self.stage.sql(
            "SELECT from_state, to_state, cause, note FROM batch_events "
            "WHERE merchant_id = $1 AND batch_number = $2 ORDER BY at, from_state NULLS FIRST",
            self.stage.merchant.merchant_id,
            number,
        )
        return [tuple(row.values()) for row in rows]

    async def note(self) -> str | None:
        """Return what the batch's history says last."""
        return (await self.events())[-1][3]

    def asked(self) -> list[str]:
        return [each.mti for each in self.stage.link.asked]

    async def message(self, step: str, item: int = 0, attempt: int = 1) -> asyncpg.Record:
        [row] = await self.stage.sql(
            "SELECT * FROM batch_messages WHERE merchant_id = $1 AND step = $2 "
            "AND item_number = $3 AND attempt = $4",
            *(self.stage.merchant.merchant_id, step, item, attempt),
        )
        return row

    async def retry(self, note: str | None = None) -> str | None:
        """Do what a person does who lets the batch go on."""
        at = self.stage.clock.now()
        return await self.store.retry(self.key, at=at, actor="test", event_id=uuid4(), note=note)


def stans(asked: list[Asked]) -> set[Any]:
    return {each.fields[11] for each in asked}


async def test_a_batch_with_equal_totals_is_closed(database: Database) -> None:
    """One 0500, and everything of its history is there, from its opening on."""
    evening = await Evening.begun(database, agrees)

    await evening.go(3)

    assert evening.asked() == ["0500"]
    assert [each[:3] for each in await evening.events()] == [
        (None, "open", "opened"),
        ("open", "closing", "test"),
        ("closing", "totalling", "nothing_in_flight"),
        ("totalling", "closed", "totals_agree"),
    ]
    assert await evening.events(2) == [(None, "open", "opened", None)]


async def test_in_balance_with_another_amount_needs_a_person(database: Database) -> None:
    """00 and 66=1 are the host's word; its totals are looked at all the same."""
    evening = await Evening.begun(database, agrees_but(f88=f"{4200:016d}"))

    await evening.go(3)

    row = await evening.row()
    assert row["state"] == "needs_a_person"
    assert await evening.note() == "the host says in balance, with other totals"
    assert row["settlement_date"] == "1123"


async def test_in_balance_with_another_count_needs_a_person(database: Database) -> None:
    """The same money in another number of items is another batch."""
    evening = await Evening.begun(database, agrees_but(f76=f"{1:010d}"))

    await evening.go(3)

    assert await evening.state() == "needs_a_person"


async def test_gross_counts_and_authorizations_may_differ(database: Database) -> None:
    """A host that never booked what was reversed, or counts holds otherwise, has the same items."""
    other = agrees_but(
        f76=f"{3:010d}", f77=f"{1:010d}", f88=f"{9100:016d}", f89=f"{700:016d}", f81=f"{7:010d}"
    )
    evening = await Evening.begun(database, other)

    await evening.go(3)

    assert await evening.state() == "closed"


async def test_a_host_that_sends_no_totals_is_taken_at_its_word(database: Database) -> None:
    """There is nothing to compare."""
    evening = await Evening.begun(database, says("00", f66="1"))

    await evening.go(3)

    assert await evening.state() == "closed"


async def test_after_the_upload_the_totals_are_compared_too(database: Database) -> None:
    """In balance at last, but with other totals: a person."""
    evening = await Evening.begun(
        database, says("95", f66="2"), says("00"), says("00"), agrees_but(f88=f"{1:016d}")
    )

    await evening.go(5)

    assert evening.asked() == ["0500", "0320", "0320", "0520"]
    assert await evening.note() == "the host says in balance, with other totals"


async def test_a_malfunction_of_the_host_is_no_answer(database: Database) -> None:
    """96 to the totals: asked again under the same trace number, after a pause."""
    evening = await Evening.begun(database, says("96"), says("91"), agrees)

    await evening.go(5)
    early = evening.asked()
    await evening.go(25)

    assert early == ["0500"]
    assert evening.asked() == ["0500", "0501", "0501"]
    assert len(stans(evening.stage.link.asked)) == 1
    assert await evening.state() == "closed"


async def test_a_malfunction_at_an_item_is_not_kept_as_its_answer(database: Database) -> None:
    """The item is uploaded again; it was not refused."""
    evening = await Evening.begun(
        database, says("95", f66="2"), says("96"), says("00"), says("00"), agrees
    )

    await evening.go(4)
    codes = [(await evening.message("item", number))["response_code"] for number in (1, 2)]
    await evening.go(6)

    assert sorted(codes, key=str) == ["00", None]
    assert evening.asked() == ["0500", "0320", "0320", "0321", "0520"]
    assert await evening.state() == "closed"


async def test_f17_totals_are_sent_four_times_with_growing_pauses(database: Database) -> None:
    """0500 and three 0501 without an answer, after 5, 15 and 30 seconds; then a person."""
    evening = await Evening.begun(database, *[unknown] * 4)
    evening.stage.clock.move(1)
    await evening.closer.step()
    moments = []
    for second in range(60):
        before = len(evening.asked())
        await evening.closer.step()
        moments += [second] * (len(evening.asked()) - before)
        evening.stage.clock.move(1)

    assert moments == [0, 5, 20, 50]
    assert evening.asked() == ["0500", "0501", "0501", "0501"]
    assert await evening.note() == "the host does not answer the totals"


async def test_what_was_not_sent_is_no_try(database: Database) -> None:
    """The line is down for a minute: the batch waits, and the first 0500 that leaves is a 0500."""
    evening = await Evening.begun(database, *[not_sent] * 8, agrees)

    await evening.go(60)

    assert evening.asked() == ["0500"] * 9
    assert (await evening.message("totals"))["attempts"] == 1
    assert await evening.state() == "closed"


async def test_a_batch_of_too_many_items_needs_a_person(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DE 71 has four digits; no statement fails over it again and again."""
    monkeypatch.setattr(close, "ITEMS_MAX", 1)
    evening = await Evening.begun(database)

    await evening.go(2)

    assert await evening.state() == "needs_a_person"
    assert await evening.note() == "more than 1 items"
    assert await evening.retry() == "closing"


async def test_f17_a_retry_asks_again_under_the_same_trace_number(database: Database) -> None:
    """Four tries more, all of them repeats; the history says that it was tried again."""
    evening = await Evening.begun(database, *[unknown] * 7, agrees)
    await evening.go(60)
    stopped = await evening.state()

    state = await evening.retry()
    twice = await evening.retry()
    await evening.go(60)

    assert (stopped, state, twice) == ("needs_a_person", "totalling", None)
    assert evening.asked() == ["0500", *["0501"] * 7]
    assert len(stans(evening.stage.link.asked)) == 1
    assert ("needs_a_person", "totalling", "retried", None) in await evening.events()
    assert await evening.state() == "closed"


async def test_a_retry_goes_on_with_the_upload_where_that_stopped(database: Database) -> None:
    """What was taken is not uploaded again."""
    script = says("95", f66="2"), says("00"), says("00"), *[unknown] * 4, agrees
    evening = await Evening.begun(database, *script)
    await evening.go(60)

    state = await evening.retry()
    await evening.go(3)

    assert state == "uploading"
    assert evening.asked() == ["0500", "0320", "0320", "0520", *["0521"] * 4]
    assert await evening.state() == "closed"


REFUSED_AT_LAST = says("95", f66="2"), says("00"), says("25"), says("95", f66="2")


async def test_a_retry_after_a_refused_upload_begins_the_close_anew(database: Database) -> None:
    """Totals and every item once more under numbers of their own; the first attempt stays told."""
    again = says("95", f66="2"), says("00"), says("00"), agrees
    evening = await Evening.begun(database, *REFUSED_AT_LAST, *again)
    await evening.go(6)
    stopped = await evening.state()

    state = await evening.retry("the acquirer has found item 2")
    twice = await evening.retry()
    await evening.go(6)

    assert (stopped, state, twice) == ("needs_a_person", "totalling", None)
    assert evening.asked() == ["0500", "0320", "0320", "0520"] * 2
    assert len(stans(evening.stage.link.asked)) == 8
    assert [each[:3] for each in await evening.events()][5:] == [
        ("needs_a_person", "totalling", "begun_anew"),
        ("totalling", "uploading", "out_of_balance"),
        ("uploading", "closed", "items_uploaded"),
    ]
    assert (await evening.events())[5][3] == "the acquirer has found item 2"
    codes = [(await evening.message("final", 0, number))["response_code"] for number in (1, 2)]
    assert codes == ["95", "00"]
    assert {row["upload_response"] for row in await evening.store.items(evening.key)} == {"00"}


async def test_a_retry_after_refused_totals_asks_under_a_new_trace_number(
    database: Database,
) -> None:
    """A host that repeats the answer to a number would repeat its refusal for ever."""
    evening = await Evening.begun(database, says("12"), agrees)
    await evening.go(3)

    state = await evening.retry()
    await evening.go(3)

    assert state == "totalling"
    assert evening.asked() == ["0500", "0500"]
    assert len(stans(evening.stage.link.asked)) == 2
    assert await evening.state() == "closed"


@pytest.mark.parametrize("word", [agrees_but(f88=f"{1:016d}"), says("00"), says("94")])
async def test_what_the_host_says_it_has_closed_is_never_asked_anew(
    database: Database, word: Step
) -> None:
    """In balance with other totals, 00 and nothing more, or 94: only its repeat may be sent."""
    evening = await Evening.begun(database, word, word)
    await evening.go(3)

    state = await evening.retry()
    await evening.go(3)

    assert state == "totalling"
    assert evening.asked() == ["0500", "0501"]
    assert len(stans(evening.stage.link.asked)) == 1
    assert await evening.state() == "needs_a_person"


async def test_f17_a_second_attempt_repeats_under_its_own_numbers(database: Database) -> None:
    """Killed or unanswered in the second attempt: repeats, and tries that are counted anew."""
    again = unknown, says("95", f66="2"), says("00"), says("00"), *[unknown] * 4, agrees
    evening = await Evening.begun(database, *REFUSED_AT_LAST, *again)
    await evening.go(6)
    await evening.retry()
    await evening.go(1)
    evening.closer = evening.another_closer()
    await evening.go(70)

    state = await evening.retry()
    await evening.go(3)

    assert state == "uploading"
    second = evening.stage.link.asked[4:]
    assert [each.mti for each in second] == ["0500", "0501", "0320", "0320", "0520", *["0521"] * 4]
    assert len(stans(second)) == 4
    assert not stans(second) & stans(evening.stage.link.asked[:4])
    assert await evening.state() == "closed"


async def test_an_answer_to_the_first_attempt_that_comes_late_changes_nothing_of_the_second(
    database: Database,
) -> None:
    """A worker stood still with the first 0520 until another one was in the second attempt."""
    thaws = asyncio.Event()

    async def late(mti: str, fields: Fields) -> Outcome:
        await thaws.wait()
        return answered(mti, fields, "95", f66="2")

    again = says("95", f66="2"), says("95", f66="2"), says("00"), says("00"), not_sent, agrees
    evening = await Evening.begun(database, says("95"), says("00"), says("00"), late, *again)
    await evening.go(5)
    frozen, frozen_store = evening.closer, evening.store
    evening.store = BatchStore(database, uuid4())
    evening.closer = evening.another_closer()
    evening.stage.clock.move(close.LEASE_SECONDS)
    await evening.go(2)
    await evening.retry()
    await evening.go(3)

    thaws.set()
    await frozen.finish()
    moved = await evening.state(), await frozen_store.sent(MessageKey(evening.key, 2, "final"))
    await evening.go(8)

    assert moved[0] == "uploading"
    assert moved[1] is not None
    assert moved[1].response_code is None
    assert evening.asked()[3:5] == ["0520", "0521"]
    assert evening.asked()[5:] == ["0500", "0320", "0320", "0520", "0520"]
    assert await evening.state() == "closed"


async def test_one_terminal_that_is_used_up_stops_no_other_batch(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trouble is logged; the round goes on, and so does the worker."""
    evening = await Evening.begun(database)

    async def used_up(*_: object) -> int:
        raise TerminalUsedUp("terminal TERM0001 has used all trace numbers today")

    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(evening.stage.road.stans, "take", used_up)
        await evening.go(3)
    evening.stage.link.script.append(agrees)
    await evening.go(6)

    assert "batch_not_closable" in [each["event"] for each in logs]
    assert await evening.state() == "closed"


async def test_a_round_does_not_wait_for_the_slowest_batch(database: Database) -> None:
    """One host is silent; the other currency's batch is closed meanwhile, each asked once."""
    evening = await Evening.begun(database, sales=1)
    stage = evening.stage

    async def by_currency(mti: str, fields: Fields) -> Outcome:
        if fields[50] == "840":
            return await never(mti, fields)
        return agrees(mti, fields)

    await evening.closer.step()
    await stage.paid(currency=currency("EUR"))
    stage.link.asked.clear()
    await evening.begin()
    stage.link.script.extend([by_currency, by_currency])
    await evening.go(6)
    states = {
        row["currency"]: row["state"]
        for row in await stage.sql(
            "SELECT currency, state FROM batches WHERE merchant_id = $1 AND batch_number = 1",
            stage.merchant.merchant_id,
        )
    }

    assert states == {"USD": "totalling", "EUR": "closed"}
    assert evening.asked() == ["0500", "0500"]
    evening.closer._under_way[evening.key].cancel()


async def test_f17_at_the_end_a_step_under_way_is_cut_and_found_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is told to stop waits no minute; the next one repeats under the same STAN."""
    monkeypatch.setattr(close, "FINISH_SECONDS_MAX", 0.05)
    evening = await Evening.begun(database, never, agrees)
    await evening.go(2)

    await evening.closer.finish()
    evening.closer = evening.another_closer()
    await evening.go(6)

    assert evening.asked() == ["0500", "0501"]
    assert len(stans(evening.stage.link.asked)) == 1
    assert await evening.state() == "closed"


async def test_statements_over_a_whole_batch_have_a_longer_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand items take seconds: two statements have two minutes, all others stay short."""
    given: dict[str, float] = {}
    rows = Database.rows

    async def noted(self: Database, name: str, *arguments: Any, **more: Any) -> Any:
        given[name] = more.get("seconds_max", CALL_SECONDS_MAX)
        return await rows(self, name, *arguments, **more)

    monkeypatch.setattr(Database, "rows", noted)
    evening = await Evening.begun(database, agrees)
    await evening.go(3)

    long = {name for name, seconds in given.items() if seconds == WHOLE_BATCH_SECONDS_MAX}
    assert long == {"freeze_batch", "batch_closed"}
    assert given["claim_batch"] == CALL_SECONDS_MAX


async def test_captures_and_refunds_count_as_items(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They put items into the open batch: a full one is closed before, the next takes them."""
    stage = await Stage.set_up(database)
    sale = await stage.paid()
    held = await stage.paid(kind=Kind.AUTHORIZATION)
    monkeypatch.setattr(stage.road.batches, "_counted_every", 1)
    monkeypatch.setattr(numbers, "ITEMS_MAX", 1)

    captured = await capture(stage.command(held), stage.road)
    refunded = await refund(stage.command(sale), stage.road)

    placed = {
        row["kind"] + str(row["batch_number"])
        for row in await stage.sql(
            "SELECT kind, batch_number FROM movements WHERE merchant_id = $1",
            stage.merchant.merchant_id,
        )
    }
    assert captured.first
    assert refunded.first
    assert placed == {"capture1", "capture2", "refund3"}


async def test_the_watch_looks_at_the_oldest_item_not_at_the_batch(database: Database) -> None:
    """A batch may be open for a week without a sale; an item that waits 25 hours is an alarm."""
    stage = await Stage.set_up(database)
    store = BatchStore(stage.database, stage.lease.process_id)
    await stage.road.batches.number(*batch_key(stage))
    stage.clock.move(7 * 86400)
    await stage.paid()

    now = stage.clock.now()
    early = await store.overdue(now - OPEN_MAX, now - CLOSING_MAX)
    stage.clock.move(OPEN_MAX.total_seconds())
    with capture_logs() as logs:
        await watch(store, stage.road)

    own = [row for row in early if row["acquirer"] == stage.acquirer]
    assert own == []
    assert "batch_overdue" in [each["event"] for each in logs]
    assert timedelta(hours=25) == OPEN_MAX


async def test_a_void_frees_nothing_that_waits(database: Database) -> None:
    """A batch whose only item was voided raises no alarm."""
    stage = await Stage.set_up(database)
    store = BatchStore(stage.database, stage.lease.process_id)
    await void(stage.command(await stage.paid()), stage.road)
    stage.clock.move(OPEN_MAX.total_seconds() + 60)

    now = stage.clock.now()
    overdue = await store.overdue(now - OPEN_MAX, now - CLOSING_MAX)

    assert [row for row in overdue if row["acquirer"] == stage.acquirer] == []


@pytest.fixture
def counterfoil(
    parameters: dict[str, str], tmp_path: Path
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """The command, pointed at the module's database."""
    user = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")
    environment = {
        **{name: value for name, value in os.environ.items() if "COUNTERFOIL" not in name},
        "DATABASE_URL": f"postgresql://{user}@/{parameters['database']}?host={host}",
    }

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "counterfoil.cli.main", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


async def test_batch_retry_and_resolve_by_hand(
    database: Database, counterfoil: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    """Retry once, refused while it runs; at last by hand, with the settlement date kept."""
    evening = await Evening.begun(database, agrees_but(f88=f"{1:016d}"))
    await evening.go(3)
    merchant = f"mer_{evening.stage.merchant.merchant_id.hex}"
    words = "TERM0001/USD/000001", "--merchant", merchant

    turned = "--note", "agreed\N{RIGHT-TO-LEFT OVERRIDE}"
    refused = [
        await asyncio.to_thread(counterfoil, "batch", command, *words, *turned)
        for command in ("retry", "resolve")
    ]
    first = await asyncio.to_thread(counterfoil, "batch", "retry", *words)
    again = await asyncio.to_thread(counterfoil, "batch", "retry", *words)
    evening.stage.link.script.append(says("12"))
    clock = evening.stage.clock
    clock.move((datetime.now(UTC) - clock.now()).total_seconds())
    await evening.go(3)
    stopped = await evening.state()
    note = "--note", "agreed by telephone"
    resolved = await asyncio.to_thread(counterfoil, "batch", "resolve", *words, *note)

    assert all(each.returncode and "turns the direction" in each.stderr for each in refused)
    assert (first.returncode, first.stdout) == (0, "TERM0001/USD/000001 is totalling again.\n")
    assert again.returncode != 0
    assert "only one that needs a person goes on" in again.stderr
    assert (stopped, resolved.returncode) == ("needs_a_person", 0)
    row = await evening.row()
    assert (row["state"], row["settlement_date"]) == ("closed", "1123")
    stage = evening.stage
    by_hand = await stage.sql(
        "SELECT actor FROM batch_events WHERE merchant_id = $1 AND cause IN ('retried', 'by_hand')",
        stage.merchant.merchant_id,
    )
    assert [each["actor"] for each in by_hand] == [f"cli:{getpass.getuser()}"] * 2
