"""
After an outage everybody comes at once: the host is not flooded, and nobody starves.
"""

import asyncio

import msgspec
import pytest
from counterfoil.config import Acquirer
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import movements
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.payments.refusals import NothingWritten
from counterfoil.routing.pace import PART, OwedPace, Pace, Share
from counterfoil.routing.routes import Routes
from counterfoil.store.database import Database
from hypothesis import given, settings
from hypothesis import strategies as st
from payment_stage import ACTOR, Stage, until
from scripted_link import ScriptedLink, approve

PAYMENTS_PER_SECOND = 40.0
OWED_PER_SECOND = 30.0
OWED = 60
STORM_SECONDS = 2.0


@pytest.mark.parametrize(
    ("seconds", "room"), [(0.0, 0), (0.11, 1), (0.51, 5), (1.0, 10), (99.0, 10)]
)
def test_a_pace_fills_up_to_what_one_second_brings(seconds: float, room: int) -> None:
    """Also after a long silence: an outage saves nothing up."""
    pace = Pace(10.0)
    pace.room(100.0)
    pace.take(10)

    assert pace.room(100.0 + seconds) == room


def test_what_was_taken_beyond_the_room_is_paid_back() -> None:
    """A claim may bring a little more than there was room for."""
    pace = Pace(10.0)
    pace.room(0.0)
    pace.take(15)

    assert [pace.room(at) for at in (0.4, 0.5, 0.61)] == [0, 0, 1]


@pytest.mark.parametrize("share", Share)
def test_a_share_that_is_alone_has_the_whole_rate(share: Share) -> None:
    """What the other's full bucket cannot hold runs over into its own."""
    pace = OwedPace(100.0)
    pace.room(share, 0.0)
    sent = 0
    for tick in range(201):
        while pace.room(share, tick / 20):
            pace.take(share)
            sent += 1

    assert sent == pytest.approx(10 * 100.0 + PART[share] * 100.0, abs=2)


def test_f37_a_quiet_moment_of_captures_leaves_the_reversals_bucket_full() -> None:
    """And the other way round: a flood of reversals leaves every fourth place to captures."""
    pace = OwedPace(8.0)
    for tick in range(100):
        while pace.room(Share.GOING_ON, tick / 10):
            pace.take(Share.GOING_ON)
    assert pace.room(Share.TAKING_BACK, 9.9) == 6

    while pace.room(Share.TAKING_BACK, 9.9):
        pace.take(Share.TAKING_BACK)
    sent = dict.fromkeys(Share, 0)
    for tick in range(100, 200):
        for share in Share:
            while pace.room(share, tick / 10):
                pace.take(share)
                sent[share] += 1

    assert sent[Share.TAKING_BACK] == pytest.approx(60, abs=1)
    assert sent[Share.GOING_ON] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("rate", [1.0, 2.0, 3.0])
def test_the_smallest_rate_sends_some_of_each(rate: float) -> None:
    """A quarter of three is less than one, and yet nobody waits for ever."""
    pace = OwedPace(rate)
    sent = dict.fromkeys(Share, 0)
    for tick in range(81):
        for share in Share:
            while pace.room(share, tick / 10):
                pace.take(share)
                sent[share] += 1

    assert sent[Share.GOING_ON] >= 8 * rate / 4
    assert sent[Share.TAKING_BACK] >= 8 * rate * 3 / 4
    assert sum(sent.values()) <= 8 * rate + max(rate, 2) + 1


MOVES = st.tuples(
    st.sampled_from(Share), st.integers(0, 40), st.sampled_from([0.0, 0.05, 0.3, 1.0, 10.0])
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1.0, 3.0, 8.0, 50.0]), st.lists(MOVES, max_size=60))
def test_f37_no_share_ever_has_less_than_a_bucket_of_its_own_would_give(
    rate: float, moves: list[tuple[Share, int, float]]
) -> None:
    """Whatever the other takes, in any order; and both together never get more than was agreed."""
    pace, now, sent, owns = OwedPace(rate), 0.0, 0, dict.fromkeys(Share, 0.0)
    most = {share: max(1.0, rate * PART[share]) for share in Share}
    owns |= most
    for share, wanted, seconds in moves:
        for _ in range(min(wanted, pace.room(share, now))):
            pace.take(share)
            owns[share] -= 1
            sent += 1
        for each in Share:
            assert pace.room(each, now) >= int(owns[each] - 1e-6)
        assert sent <= rate * now + sum(most.values()) + 1e-6
        now += seconds
        owns = {each: min(most[each], owns[each] + seconds * rate * PART[each]) for each in Share}


class Counting(ScriptedLink):
    """
    A host that counts what it is asked, and approves.
    """

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        self.asked.append((mti, fields))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        return approve(mti, fields)

    def count(self, mti: str) -> int:
        return sum(asked[0] == mti for asked in self.asked)


async def storming(
    database: Database, owed_per_second: float = OWED_PER_SECOND
) -> tuple[Stage, Counting]:
    """A merchant whose acquirer agreed to so much a second."""
    link = Counting()
    stage = await Stage.set_up(database, link=link)
    settings = Acquirer(
        name=stage.acquirer, mode="test", host="127.0.0.1", port=1, institution_id="1",
        forwarding_id="2", payments_per_second_max=PAYMENTS_PER_SECOND,
        owed_per_second_max=owed_per_second,
    )  # fmt: skip
    routes = Routes(
        stage.merchants, {stage.acquirer: settings}, {stage.acquirer: link}, stage.clock
    )
    stage.road = msgspec.structs.replace(stage.road, routes=routes)
    return stage, link


async def test_f37_ten_times_the_load_after_a_minute_without_the_link_floods_nobody(
    database: Database,
) -> None:
    """The host gets what was agreed; new payments keep their rate while owed ones drain."""
    stage, link = await storming(database)
    owed = []
    while len(owed) < OWED:
        stage.clock.move(1)
        owed += [await stage.take() for _ in range(30)]
    for each in owed:
        await refuse(stage.merchant, each.payment_id, actor=ACTOR, road=stage.road)
    link.ready = False
    stage.clock.move(60)
    await stage.forwarder().forward()
    sent_in_the_cut = len(link.asked)
    link.asked.clear()
    link.ready = True
    rows = await stage.count("payments")

    taken, waits = 0, list[int]()
    end = asyncio.get_running_loop().time() + STORM_SECONDS

    async def shop() -> None:
        nonlocal taken
        while asyncio.get_running_loop().time() < end:
            try:
                await stage.take()
                taken += 1
            except NothingWritten as error:
                waits.append(error.retry_after_seconds)
            await asyncio.sleep(0.05)

    async def worker() -> None:
        forwarder = stage.forwarder()
        while asyncio.get_running_loop().time() < end + 1.0:
            await forwarder.forward()
            await asyncio.sleep(0.05)

    await asyncio.gather(worker(), *(shop() for _ in range(20)))

    assert sent_in_the_cut == len(owed)  # The sales that were made before it, and nothing more.
    assert waits
    assert min(waits) >= 1
    assert taken == link.count("0200") == await stage.count("payments") - rows
    assert taken <= PAYMENTS_PER_SECOND * (STORM_SECONDS + 1) + 1
    assert taken >= PAYMENTS_PER_SECOND * STORM_SECONDS / 2
    assert link.count("0420") <= OWED_PER_SECOND * (STORM_SECONDS + 3)
    assert {(await stage.read(each)).state for each in owed} == {State.REVERSED}


async def test_f37_a_reversal_goes_out_at_once_however_many_captures_went_before(
    database: Database,
) -> None:
    """They had the acquirer for themselves, and have taken all that was theirs."""
    stage, link = await storming(database, owed_per_second=4.0)
    paid = await stage.paid()
    for _ in range(20):
        await movements.refund(stage.command(paid, amount_minor=1), stage.road)
    forwarder = stage.forwarder()
    for _ in range(4):
        await forwarder.forward()
    before = link.count("0220")
    for _ in range(3):
        taken = await stage.take()
        await refuse(stage.merchant, taken.payment_id, actor=ACTOR, road=stage.road)

    await forwarder.forward()
    await until(lambda: link.count("0420") == 3)  # A round may end before all of it is out.

    assert 0 < before < 20  # More of them are owed, and older.


async def test_f37_an_acquirer_that_takes_one_a_second_gets_some_of_each(
    database: Database,
) -> None:
    """A refund behind many reversals is not held back for ever by a share that rounds to none."""
    stage, link = await storming(database, owed_per_second=1.0)
    paid = await stage.paid()
    for _ in range(4):
        taken = await stage.take()
        await refuse(stage.merchant, taken.payment_id, actor=ACTOR, road=stage.road)
    await movements.refund(stage.command(paid, amount_minor=1), stage.road)
    forwarder = stage.forwarder()

    for _ in range(5):
        await forwarder.forward()
        stage.clock.move(1.0)
    await until(lambda: link.count("0420") == 4)

    assert link.count("0220") == 1
