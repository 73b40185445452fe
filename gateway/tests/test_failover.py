"""
A payment with two acquirers: when the second is tried, and when nobody else is.
"""

import asyncio
from collections.abc import Awaitable
from uuid import uuid4

import msgspec
import pytest
from counterfoil.config import Acquirer, Configuration, RouteRule, Routing
from counterfoil.network import response_codes
from counterfoil.network.message import Fields
from counterfoil.network.outcome import NotSent, Outcome
from counterfoil.network.response_codes import Again
from counterfoil.outside import readiness
from counterfoil.outside.watch import Seen
from counterfoil.payments import under_way
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.advices import Forwarder
from counterfoil.payments.authorize import take_payment
from counterfoil.payments.lifecycle import State
from counterfoil.payments.payment import Payment
from counterfoil.payments.policy import Policy, Velocity
from counterfoil.payments.refusals import NothingWritten
from counterfoil.payments.road import Road
from counterfoil.routing.health import AVOID_SECONDS_MIN, FAULTS_MIN
from counterfoil.routing.routes import Routes
from counterfoil.store.advices import AdviceStore
from counterfoil.store.merchants import Terminal
from payment_stage import ACTOR, Stage
from scripted_link import ScriptedLink, approve, contradicts, not_sent, says, unknown

AMOUNT_MAX = 10_000_000  # Of one card within a minute, where a test asks for more.


class Two:
    """
    The stage's merchant with a second acquirer, which takes what the first does not.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.north, self.south = stage.acquirer, f"south-{uuid4().hex[:8]}"
        self.links = {self.north: stage.link, self.south: ScriptedLink()}
        settings = {
            name: Acquirer(name, "test", "127.0.0.1", 1, "123456", "987654") for name in self.links
        }
        self.routes = Routes(
            stage.merchants,
            settings,
            self.links,
            stage.clock,
            rules=[RouteRule((self.north, self.south))],
        )
        self.road: Road = msgspec.structs.replace(stage.road, routes=self.routes)

    async def take(self, **changes: object) -> Payment:
        return (await take_payment(self.stage.order(**changes), self.road)).payment


@pytest.fixture
async def two(stage: Stage) -> Two:
    found = Two(stage)
    await stage.merchants.add_terminal(
        stage.merchant.merchant_id, Terminal(found.south, "TERM000S", "SHOP")
    )
    return found


async def test_another_acquirer_takes_what_was_not_written_to_the_first(two: Two) -> None:
    """The same payment under its key, with the terminal, batch and trace of the other."""
    two.links[two.north].script.append(not_sent)

    payment = await two.take()

    (first,), (second,) = two.links[two.north].asked, two.links[two.south].asked
    assert payment.state is State.APPROVED
    assert (payment.acquirer, payment.terminal_id) == (two.south, "TERM000S")
    assert (first.fields[41], second.fields[41]) == ("TERM0001", "TERM000S")
    assert first.fields[37] != second.fields[37] or first.fields[41] != second.fields[41]
    assert second.fields[37] == payment.rrn
    assert await two.stage.causes(payment) == [
        "requested",
        "nothing_written",
        "tried_again",
        "issuer_approved",
    ]
    assert await two.stage.count("payments") == 1


async def test_the_next_acquirer_takes_what_a_terminal_has_no_trace_number_for(two: Two) -> None:
    """Its own link had nothing to do with it: nothing was planned, and nothing was written."""
    await two.stage.sql(
        "INSERT INTO stan_counters VALUES ($1, $2, 'TERM0001', $3, 1000000)",
        two.stage.merchant.merchant_id,
        two.north,
        two.stage.clock.now().date(),
    )

    payment = await two.take()

    assert (payment.state, payment.acquirer) == (State.APPROVED, two.south)
    assert two.links[two.north].asked == []
    assert await two.stage.causes(payment) == ["requested", "issuer_approved"]


@pytest.mark.parametrize(
    "step", [unknown, contradicts, says("68"), says("94"), says("91"), says("05")]
)
async def test_f05_nobody_else_is_asked_after_a_byte(two: Two, step: object) -> None:
    """Two acquirers that may both have charged: never."""
    two.links[two.north].script.append(step)  # type: ignore[arg-type]

    payment = await two.take()

    assert payment.state in (State.REVERSING, State.DECLINED)
    assert payment.acquirer == two.north
    assert two.links[two.south].asked == []


async def test_f05_nobody_else_is_asked_after_an_answer_whose_second_try_was_not_sent(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request was written, and was answered with a no."""
    monkeypatch.setitem(response_codes._AGAIN, "91", Again(0.0, 2))
    two.routes.settings = Routing(technical_retries_max=1)
    two.links[two.north].script.extend([says("91"), not_sent])

    payment = await two.take()

    assert (payment.state, payment.acquirer) == (State.DECLINED, two.north)
    assert two.links[two.south].asked == []


async def test_when_nobody_takes_it_nothing_was_sent(two: Two) -> None:
    """One payment, not sent; the same key may come again and starts anew."""
    for link in two.links.values():
        link.script.append(not_sent)

    with pytest.raises(NothingWritten, match="nothing was sent"):
        await two.take(idempotency_key="both")
    payment = await two.take(idempotency_key="both")

    assert payment.state is State.APPROVED
    assert payment.acquirer == two.north
    assert await two.stage.count("payments") == 1
    assert await two.stage.advices() == []


async def test_f09_all_tries_share_one_send_deadline(two: Two) -> None:
    """The first used it up: the second is not begun."""

    async def too_slow(mti: str, fields: Fields) -> Outcome:
        two.stage.clock.move(two.road.timers.send_seconds)
        return NotSent("the send deadline passed")

    two.links[two.north].script.append(too_slow)

    with pytest.raises(NothingWritten):
        await two.take()
    assert two.links[two.south].asked == []


async def test_the_second_try_has_only_what_is_left_of_the_time(two: Two) -> None:
    """The deadline that its row says is the first one's."""

    def slow(mti: str, fields: Fields) -> Outcome | Awaitable[Outcome]:
        two.stage.clock.move(2)
        return NotSent("the link is down")

    two.links[two.north].script.append(slow)
    begun = two.stage.clock.now()

    await two.take()

    rows = await two.stage.sql(
        "SELECT send_before - $2 AS left FROM network_messages "
        "WHERE merchant_id = $1 AND direction = 'sent'",
        two.stage.merchant.merchant_id,
        begun,
    )
    assert [row["left"].total_seconds() for row in rows] == [5.0, 5.0]


async def test_two_acquirers_may_give_the_same_terminal_id(stage: Stage) -> None:
    """And then both count their trace numbers from one: the RRN is the acquirer's own."""
    two = Two(stage)
    await stage.merchants.add_terminal(
        stage.merchant.merchant_id, Terminal(two.south, "TERM0001", "SHOP")
    )
    first = await two.take()
    two.links[two.north].ready = False

    second = await two.take()

    assert (first.acquirer, second.acquirer) == (two.north, two.south)
    assert (first.terminal_id, first.rrn) == (second.terminal_id, second.rrn)
    assert (first.state, second.state) == (State.APPROVED, State.APPROVED)


async def half_open(two: Two) -> None:
    """Let the first acquirer be silent until it is avoided, and the time for that pass."""
    policy = Policy(card=Velocity(60, amount_minor_max=AMOUNT_MAX))
    merchant_id = two.stage.merchant.merchant_id
    assert await two.road.store.screening.set_policy(
        merchant_id, policy, after_version=0, actor=ACTOR
    )
    two.links[two.north].script.extend([unknown] * FAULTS_MIN)
    for _ in range(FAULTS_MIN):
        await two.take()
    assert two.routes.health()[two.north].startswith("avoided for")
    two.stage.clock.move(AVOID_SECONDS_MIN)
    two.links[two.north].asked.clear()


async def test_f37_a_payment_that_is_refused_does_not_end_the_probe_of_another(two: Two) -> None:
    """Nor one whose key is known already: neither is sent, and both give back their place."""
    first = await two.take(idempotency_key="paid")
    await half_open(two)
    probing, said = asyncio.Event(), asyncio.Event()

    async def slowly(mti: str, fields: Fields) -> Outcome:
        probing.set()
        await said.wait()
        return approve(mti, fields)

    two.links[two.north].script.append(slowly)
    probe = asyncio.create_task(two.take())
    await probing.wait()

    two.links[two.south].ready = False
    refused = await two.take(amount_minor=AMOUNT_MAX + 1)
    repeated = await two.take(idempotency_key="paid")
    two.links[two.south].ready = True
    beside = await two.take()
    said.set()
    probed = await probe

    assert (refused.state, repeated.payment_id) == (State.DECLINED, first.payment_id)
    assert (beside.acquirer, probed.acquirer) == (two.south, two.north)
    assert len(two.links[two.north].asked) == 1
    assert two.routes.health()[two.north] == "ok"


@pytest.mark.parametrize("step", ["refused", "repeated", "cancelled", "not_sent"])
async def test_a_probe_that_is_given_up_before_its_answer_leaves_its_place(
    two: Two, step: str
) -> None:
    """The next payment finds out, without waiting for the one that is lost."""
    await two.take(idempotency_key="paid")
    await half_open(two)
    if step == "refused":
        await two.take(amount_minor=AMOUNT_MAX + 1)
    elif step == "repeated":
        await two.take(idempotency_key="paid")
    elif step == "not_sent":
        two.links[two.north].script.append(not_sent)
        await two.take()
    else:
        probing = asyncio.Event()

        async def for_ever(mti: str, fields: Fields) -> Outcome:
            probing.set()
            return await asyncio.Future()

        two.links[two.north].script.append(for_ever)
        probe = asyncio.create_task(two.take())
        await probing.wait()
        probe.cancel()
        await asyncio.wait([probe])
    assert two.routes.health()[two.north] == "avoided until one payment has gone well there"

    payment = await two.take()

    assert payment.acquirer == two.north
    assert two.routes.health()[two.north] == "ok"


async def test_one_link_of_two_that_is_down_is_told_and_stops_nobody(two: Two) -> None:
    """A balancer must not take the whole gateway away."""
    seen = Seen(database=True)
    two.links[two.north].ready = False
    one_down = readiness.checks(seen, Configuration(), two.links)
    told = two.routes.health()
    two.links[two.south].ready = False
    both_down = readiness.checks(seen, Configuration(), two.links)

    assert set(one_down.values()) == {"ok"}
    assert told == {two.north: "not signed on", two.south: "ok"}
    assert [each for each in both_down.values() if each != "ok"] == ["not signed on"] * 2


async def test_a_terminal_of_an_acquirer_that_was_tried_is_not_tried(two: Two) -> None:
    """Its link is the same one."""
    await two.stage.merchants.add_terminal(
        two.stage.merchant.merchant_id, Terminal(two.north, "TERM000M", "SHOP")
    )
    two.links[two.north].script.append(not_sent)

    payment = await two.take()

    assert payment.acquirer == two.south
    assert len(two.links[two.north].asked) == 1


async def test_f37_an_acquirer_is_sent_no_more_of_what_is_owed_than_it_agreed_to(
    two: Two,
) -> None:
    """The room that another acquirer has is not filled with this one's reversals."""
    stage = two.stage
    rooms = {two.north: 1, two.south: 100}
    settings = {
        name: Acquirer(
            name, "test", "127.0.0.1", 1, "123456", "987654", owed_per_second_max=float(room)
        )
        for name, room in rooms.items()
    }
    road = msgspec.structs.replace(
        two.road,
        routes=Routes(
            stage.merchants,
            settings,
            two.links,
            stage.clock,
            rules=[RouteRule((two.north, two.south))],
        ),
    )
    for _ in range(5):
        payment = await two.take()
        await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=two.road)
    advices = AdviceStore(stage.database, uuid4(), stage.clock)
    forwarder = Forwarder(road, advices, stage.merchants, list(rooms))
    two.links[two.north].asked.clear()

    await forwarder.forward()

    assert [asked.mti for asked in two.links[two.north].asked] == ["0420"]


async def test_f37_an_acquirer_that_is_silent_holds_back_nothing_that_is_owed_to_another(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its places are full of reversals without an answer; the other has places of its own."""
    monkeypatch.setattr(under_way, "UNDER_WAY_MAX", 4)
    merchant = two.stage.merchant
    for _ in range(6):
        await refuse(merchant, (await two.take()).payment_id, actor=ACTOR, road=two.road)

    async def silent(mti: str, fields: Fields) -> Outcome:
        return await asyncio.Future()

    two.links[two.north].script.extend([silent] * 20)
    advices = AdviceStore(two.stage.database, uuid4(), two.stage.clock)
    forwarder = Forwarder(two.road, advices, two.stage.merchants, [two.north, two.south])
    await forwarder.forward()
    two.links[two.north].ready = False
    await refuse(merchant, (await two.take()).payment_id, actor=ACTOR, road=two.road)
    two.links[two.north].ready = True

    await forwarder.forward()

    north, south = ([each.mti for each in two.links[name].asked] for name in (two.north, two.south))
    assert north.count("0420") == 4
    assert south.count("0420") == 1
