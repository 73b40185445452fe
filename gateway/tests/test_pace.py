"""
After an outage everybody comes at once: the host is not flooded, and nobody starves.
"""

import asyncio

import msgspec
import pytest
from counterfoil.config import Acquirer
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.payments.refusals import NothingWritten
from counterfoil.routing.pace import Pace
from counterfoil.routing.routes import Routes
from counterfoil.store.database import Database
from payment_stage import ACTOR, Stage
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


async def storming(database: Database) -> tuple[Stage, Counting]:
    """A merchant whose acquirer agreed to so much a second."""
    link = Counting()
    stage = await Stage.set_up(database, link=link)
    settings = Acquirer(
        name=stage.acquirer, mode="test", host="127.0.0.1", port=1, institution_id="1",
        forwarding_id="2", payments_per_second_max=PAYMENTS_PER_SECOND,
        owed_per_second_max=OWED_PER_SECOND,
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
    until = asyncio.get_running_loop().time() + STORM_SECONDS

    async def shop() -> None:
        nonlocal taken
        while asyncio.get_running_loop().time() < until:
            try:
                await stage.take()
                taken += 1
            except NothingWritten as error:
                waits.append(error.retry_after_seconds)
            await asyncio.sleep(0.05)

    async def worker() -> None:
        forwarder = stage.forwarder()
        while asyncio.get_running_loop().time() < until + 1.0:
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
