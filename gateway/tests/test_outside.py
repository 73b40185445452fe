"""
What lies around the road: the doors, the clock, the disk, and the alarms.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from api_stage import Api
from counterfoil.ids import Ids
from counterfoil.outside.alarms import AGAIN_SECONDS, Bell, OwedAlarm
from counterfoil.outside.disk import Disk, measure
from counterfoil.outside.doors import DoorsClosed, Reason
from counterfoil.outside.held_clock import BELIEVED_AFTER_SECONDS, SLEW_SECONDS_MAX, HeldClock
from counterfoil.outside.watch import Watch
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import State
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NotChargedAnyMore, NothingWritten
from counterfoil.store.advices import AdviceStore
from counterfoil.store.backups import begin_quarantine
from counterfoil.store.database import Database
from payment_stage import ACTOR, START, HandClock, Stage
from scripted_link import not_sent, says

HOUR = 3600.0
LIFTED = "UPDATE installation SET quarantined_at = NULL, quarantine_reason = NULL"


class Machine(HandClock):
    """
    A machine whose wall clock may jump while its monotonic clock goes on.
    """

    def jump(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def disk_of(percent: float) -> Callable[[Path], Disk]:
    return lambda folder: Disk(folder, percent, 1 << 30)


def watch(stage: Stage, percent: float = 50.0, database: Database | None = None) -> Watch:
    """Return a watch over the stage's doors, on a disk that is *percent* full."""
    return Watch(
        database or stage.database,
        stage.clock,
        stage.road.doors,
        Path("/"),
        full_percent=90.0,
        disk=disk_of(percent),
    )


async def at_database_time(stage: Stage) -> None:
    """Set the stage's clock by the database's."""
    stage.clock.move((await stage.lease.database_time() - stage.clock.now()).total_seconds())


# The disk.


async def test_f28_at_ninety_percent_new_payments_are_refused_and_what_is_owed_goes_on(
    database: Database,
) -> None:
    """Refused before anything is written; acknowledgments, reversals and repeats work."""
    stage = await Stage.set_up(database)
    await at_database_time(stage)
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    order = stage.order()
    approved, to_refuse = (
        await stage.take(idempotency_key=order.idempotency_key),
        await stage.take(),
    )
    rows = await stage.count("payments"), await stage.count("idempotency_keys")
    asked = len(stage.link.asked)

    await watch(stage, percent=90.0).look()
    with pytest.raises(DoorsClosed, match="90 % full"):
        await stage.take()
    refused_rows = await stage.count("payments"), await stage.count("idempotency_keys")
    sent = len(stage.link.asked)
    repeated = await stage.take(idempotency_key=order.idempotency_key)
    acknowledged = await stage.acknowledge(approved)
    await refuse(stage.merchant, to_refuse.payment_id, actor=ACTOR, road=stage.road)
    await stage.forwarder().forward()
    await watch(stage, percent=89.9).look()
    after = await stage.take()

    assert (refused_rows, sent) == (rows, asked)
    assert repeated.payment_id == approved.payment_id
    assert acknowledged.state is State.CAPTURED
    assert (await stage.read(to_refuse)).state is State.REVERSED
    assert after.state is State.APPROVED


async def test_a_caller_is_told_in_words_why_the_doors_are_closed(database: Database) -> None:
    """503, a code of its own, when to come again, and that nothing was sent."""
    stage = await Stage.set_up(database)
    await at_database_time(stage)
    api = await Api.of(stage)
    await watch(stage, percent=95.0).look()

    said = await api.sale()

    assert (said.status, said.json["code"]) == (503, "disk_nearly_full")
    assert said.json["retryable"] is True
    assert int(said.headers["retry-after"]) >= 1
    assert "95 % full" in said.json["detail"]


def test_the_disk_is_measured_as_an_ordinary_user_may_use_it(tmp_path: Path) -> None:
    """A share of a hundred, and words with both figures."""
    disk = measure(tmp_path)

    assert 0 <= disk.used_percent <= 100
    assert disk.free_bytes >= 0
    assert "% of" in disk.words()


@pytest.mark.parametrize(
    ("used_percent", "free_gib", "full"), [(89, 1, False), (90, 1, True), (99, 20, False)]
)
def test_a_disk_is_full_when_its_share_is_used_and_little_is_left(
    used_percent: int, free_gib: int, full: bool
) -> None:
    """A tenth of a large disk is room for months: it stops no sale."""
    assert Disk(Path("/"), used_percent, free_gib << 30).is_full(90.0) == full


# The clock.


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_f23_a_clock_that_jumps_an_hour_refuses_new_payments_and_moves_no_deadline(
    database: Database, jump: float
) -> None:
    """Neither reversed early nor acknowledged late; what is owed goes on; then all is as before."""
    machine = Machine()
    held = HeldClock(machine)
    stage = await Stage.set_up(database, clock=held)
    around = watch(stage)
    await around.look()
    machine.jump((await stage.lease.database_time() - machine.now()).total_seconds())
    await around.look()
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    approved, owed = await stage.take(), await stage.take()
    before = stage.clock.now()

    machine.jump(jump)
    seen = await around.look()
    with pytest.raises(DoorsClosed, match="apart"):
        await stage.take()
    await sweep(stage.road)
    await refuse(stage.merchant, owed.payment_id, actor=ACTOR, road=stage.road)
    await stage.forwarder().forward()
    claimed = await stage.acknowledge(approved)
    moved = stage.clock.now() - before
    machine.jump(-jump)
    await around.look()
    again = await stage.take()

    assert seen.skew_seconds is not None
    assert abs(seen.skew_seconds) == pytest.approx(HOUR, abs=1)
    assert claimed.state is State.CAPTURED
    assert (await stage.read(owed)).state is State.REVERSED
    assert moved < timedelta(seconds=30)
    assert again.state is State.APPROVED


async def test_f23_an_hour_of_jump_does_not_make_a_late_acknowledgment_early(
    database: Database,
) -> None:
    """The window goes by the held clock: 181 seconds later it is over, wherever the wall is."""
    machine = Machine()
    stage = await Stage.set_up(database, clock=HeldClock(machine))
    machine.jump((await stage.lease.database_time() - machine.now()).total_seconds())
    await watch(stage).look()
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    approved = await stage.take()

    machine.move(181)
    machine.jump(-HOUR)

    with pytest.raises(NotChargedAnyMore):
        await stage.acknowledge(approved)


class Stepped(Database):
    """A database whose machine's wall clock has jumped, too."""

    ahead = timedelta()

    async def row(self, name: str, *arguments: Any, **more: Any) -> Any:
        found = await super().row(name, *arguments, **more)
        if name == "look_around" and found is not None:
            return {**found, "now": found["now"] + self.ahead}
        return found


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_f23_when_the_databases_clock_jumps_along_no_deadline_moves_either(
    database: Database, jump: float
) -> None:
    """One machine for both, as the embedded database is: nothing tells them apart but the wait."""
    machine, stepped = Machine(), Stepped(database._pool)
    stage = await Stage.set_up(database, clock=HeldClock(machine))
    around = watch(stage, database=stepped)
    machine.jump((await stage.lease.database_time() - machine.now()).total_seconds())
    await around.look()
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    approved, before = await stage.take(), stage.clock.now()

    machine.jump(jump)
    stepped.ahead = timedelta(seconds=jump)
    seen = await around.look()
    with pytest.raises(DoorsClosed, match="apart"):
        await stage.take()
    await sweep(stage.road)
    claimed, moved = await stage.acknowledge(approved), stage.clock.now() - before
    machine.move(BELIEVED_AFTER_SECONDS)
    stepped.ahead += timedelta(seconds=BELIEVED_AFTER_SECONDS)
    await around.look()
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))

    assert abs(seen.skew_seconds or 0) == pytest.approx(HOUR, abs=1)
    assert claimed.state is State.CAPTURED
    assert moved < timedelta(seconds=30)
    assert (await stage.take()).state is State.APPROVED
    assert abs((stage.clock.now() - machine.now()).total_seconds()) < 1


def test_small_differences_are_taken_up_bit_by_bit() -> None:
    """Never more than a few milliseconds at a look, in either direction."""
    machine = Machine()
    held = HeldClock(machine)
    held.hold(machine.now(), machine.monotonic())

    began = held.now()
    skew = held.hold(began + timedelta(seconds=0.5), machine.monotonic())
    step = (held.now() - began).total_seconds()

    assert skew == pytest.approx(0.5, abs=0.05)
    assert 0 < step < SLEW_SECONDS_MAX + 0.05


def test_a_difference_that_stays_is_believed_at_last() -> None:
    """Somebody has set the database's clock right: nobody waits for a restart for ever."""
    machine = Machine()
    held = HeldClock(machine)
    held.hold(machine.now(), machine.monotonic())

    skews = []
    for _ in range(3):
        machine.move(BELIEVED_AFTER_SECONDS / 2)
        skews.append(held.hold(machine.now() + timedelta(hours=1), machine.monotonic()))
        told = held.off_seconds

    assert skews[0] == pytest.approx(HOUR, abs=1)
    assert told == 0.0
    assert (held.now() - machine.now()).total_seconds() == pytest.approx(HOUR, abs=1)


# Quarantine.


async def test_in_quarantine_nothing_of_a_payment_may_be_changed(database: Database) -> None:
    """No payment, no acknowledgment, no fence; reading works."""
    stage = await Stage.set_up(database)
    await at_database_time(stage)
    await stage.lease.renew(stage.clock.now() + timedelta(hours=1))
    api = await Api.of(stage)
    payment = (await api.sale()).json["id"]
    stage.road.doors.close(Reason.QUARANTINE, "restored from a backup")

    said = [
        await api.sale(),
        await api.call("POST", f"/v1/payments/{payment}/acknowledge", {}),
        await api.call("POST", f"/v1/payments/{payment}/refuse", {}),
        await api.call("POST", "/v1/resolve", {"idempotency_key": "never-seen"}),
        await api.call("POST", "/v1/batches/close", {}),
    ]
    read = await api.call("GET", f"/v1/payments/{payment}")

    assert {(each.status, each.json["code"]) for each in said} == {(503, "quarantined")}
    assert (read.status, read.json["state"]) == (200, "approved")


async def test_f41_a_quarantine_that_a_process_has_not_seen_yet_lets_no_payment_in(
    database: Database,
) -> None:
    """Its database was replaced a moment ago: the intent itself is refused, nothing is sent."""
    stage = await Stage.set_up(database)
    await stage.take()
    later = stage.order()
    stage.link.script.append(not_sent)
    with pytest.raises(NothingWritten):
        await take_payment(later, stage.road)
    rows, asked = await stage.count("payment_events"), len(stage.link.asked)

    await begin_quarantine(database, stage.clock, "restored")
    try:
        for order in (stage.order(), later):
            with pytest.raises(NothingWritten):
                await take_payment(order, stage.road)
        meanwhile = await stage.count("payment_events"), len(stage.link.asked)
    finally:
        await stage.sql(LIFTED)
    after = (await take_payment(later, stage.road)).payment

    assert meanwhile == (rows, asked)
    assert after.state is State.APPROVED


async def test_f41_a_worker_rests_until_it_has_seen_that_the_database_is_not_a_restored_one(
    database: Database, parameters: dict[str, str]
) -> None:
    """While it was away a backup may have been restored: nothing is sent before the next look."""
    stage = await Stage.set_up(database)
    gone = await Database.open(**parameters, size_max=1)
    await gone.close()
    doors = stage.road.doors

    before = doors.at_rest
    await watch(stage, database=gone).look()
    away = doors.at_rest
    await watch(stage).look()

    assert (before, away, doors.at_rest) == (False, True, False)


# Alarms.


def heard(lines: list[Any], event: str) -> list[Any]:
    return [each for each in lines if each["event"] == event]


def test_a_bell_rings_when_a_trouble_begins_and_every_few_minutes_while_it_lasts() -> None:
    """Not once for each payment; and once when it is over."""
    clock = HandClock()
    bell = Bell(clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            bell.ring("disk_nearly_full", what="91 %")
        clock.move(AGAIN_SECONDS)
        bell.ring("disk_nearly_full", what="92 %")
        bell.quiet("disk_nearly_full")
        bell.quiet("disk_nearly_full")

    assert [each["what"] for each in heard(lines, "disk_nearly_full")] == ["91 %", "92 %"]
    assert {each["log_level"] for each in heard(lines, "disk_nearly_full")} == {"error"}
    assert len(heard(lines, "disk_nearly_full_over")) == 1


@pytest.mark.parametrize("overdue_by", ["age", "tries"])
async def test_f11_an_old_owed_reversal_rings_once(database: Database, overdue_by: str) -> None:
    """An hour old, or tried ten times: one line, not one for each try."""
    stage = await Stage.set_up(database)
    advices = AdviceStore(database, stage.lease.process_id, stage.clock)
    payment = await stage.take()
    await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)
    alarm = OwedAlarm(advices, stage.clock)
    await stage.sql("UPDATE advices SET created_at = $1, attempts = 9 WHERE state = 'owed'", START)
    stage.clock.move(HOUR - 1)
    with structlog.testing.capture_logs() as early:
        await alarm.look()
    if overdue_by == "age":
        stage.clock.move(1)
    else:
        await stage.sql(
            "UPDATE advices SET attempts = 10 WHERE merchant_id = $1", stage.merchant.merchant_id
        )
    with structlog.testing.capture_logs() as late:
        await alarm.look()
        await alarm.look()
    await stage.sql("UPDATE advices SET attempts = 0, state = 'accepted' WHERE state = 'owed'")
    with structlog.testing.capture_logs() as over:
        await alarm.look()

    assert heard(early, "advice_overdue") == []
    (line,) = heard(late, "advice_overdue")
    assert line["log_level"] == "error"
    assert line["overdue"] >= 1
    assert heard(over, "advice_overdue_over")


async def test_a_database_that_is_away_rings_and_says_why(
    database: Database, parameters: dict[str, str]
) -> None:
    """Also where nobody asks for anything: one line with the reason, one when it is back."""
    stage = await Stage.set_up(database)
    gone = await Database.open(**parameters, size_max=1)
    around = watch(stage, database=gone)
    with structlog.testing.capture_logs() as well:
        await around.look()
    await gone.close()
    with structlog.testing.capture_logs() as away:
        seen = [await around.look() for _ in range(2)]
    around._database = database
    with structlog.testing.capture_logs() as back:
        await around.look()

    assert heard(well, "database_away") == []
    (line,) = heard(away, "database_away")
    assert line["log_level"] == "error"
    assert "no answer to look_around" in line["what"]
    assert [each.database for each in seen] == [False, False]
    assert heard(back, "database_away_over")


# The rail, unreachable for an hour.


async def test_an_hour_without_the_rail_refuses_clearly_and_then_catches_up(
    database: Database,
) -> None:
    """503 and not a row too many; the reversals that were owed are accepted afterwards."""
    stage = await Stage.set_up(database)
    owed = [await stage.take() for _ in range(3)]
    for each in owed:
        await refuse(stage.merchant, each.payment_id, actor=ACTOR, road=stage.road)
    api = await Api.of(stage)
    stage.link.ready = False
    forwarder = stage.forwarder()

    said = []
    for _ in range(12):
        stage.clock.move(300)
        said.append(await api.sale())
        await forwarder.forward()
    rows = await stage.count("payments")
    stage.link.ready = True
    stage.link.script.extend([says("91")] * 3)  # The host comes back slowly.
    await forwarder.forward()
    stage.clock.move(20)
    await forwarder.forward()

    assert {(each.status, each.json["code"]) for each in said} == {(503, "not_sent")}
    assert rows == 3
    assert {(await stage.read(each)).state for each in owed} == {State.REVERSED}
    assert (await api.sale()).status == 201


def test_ids_go_on_when_the_wall_clock_steps_back() -> None:
    """They are made of the held clock, which does not step."""
    machine = Machine()
    made = Ids(HeldClock(machine))
    first = made.new()
    machine.jump(-HOUR)

    assert made.new() > first


def test_the_held_clock_is_what_the_database_said_first() -> None:
    """A machine an hour off when a process starts sets no wrong deadline."""
    machine = Machine()
    held = HeldClock(machine)
    database_time: datetime = machine.now() + timedelta(hours=1)

    skew = held.hold(database_time, machine.monotonic())

    assert skew == pytest.approx(HOUR, abs=1)
    assert (held.now() - database_time).total_seconds() == pytest.approx(0, abs=1)
