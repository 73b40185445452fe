"""
A merchant at two acquirers, and one of them dies: the other takes what was not written, and
never what was.
"""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from counterfoil_proof.demo.sandbox import ACQUIRER

from .agreement import states
from .conftest import running
from .locks import intents_wait, statements_wait
from .merchants import Merchant, card
from .sandboxes import Json, eventually
from .two_rails import SECOND, TwoRails, add_merchant_at_both


@pytest.fixture(scope="module")
def two_rails(request: pytest.FixtureRequest) -> Iterator[TwoRails]:
    """A sandbox with two acquirers; the first one is the first choice."""
    for sandbox in running(TwoRails(), request):
        assert isinstance(sandbox, TwoRails)
        yield sandbox


@pytest.fixture
async def both(two_rails: TwoRails) -> Merchant:
    """A merchant with the same terminal id at both, while both links are up."""
    merchant = await add_merchant_at_both(two_rails)
    await _signed_on(merchant)
    return merchant


async def test_the_next_payment_goes_to_the_other_and_back(
    two_rails: TwoRails, both: Merchant
) -> None:
    """The first acquirer is stopped: nobody notices; it comes back, and is the first again."""
    async with both.client() as client:
        before = await client.sale(4200, "USD", card(), idempotency_key="before")
        await two_rails.stop("rail")
        during = await client.sale(4300, "USD", card(), idempotency_key="during")
        ready = await _ready(both)
        await two_rails.start("rail")
        await _signed_on(both)
        after = await client.sale(4400, "USD", card(), idempotency_key="after")

    assert [each.paid for each in (before, during, after)] == [True] * 3
    assert ready["ready"] is True
    assert ready["notes"]["acquirers"] == {ACQUIRER: "not signed on", SECOND: "ok"}
    assert await _amounts(two_rails, both) == {
        ACQUIRER: [(4200, "captured"), (4400, "captured")],
        SECOND: [(4300, "captured")],
    }


async def test_what_was_committed_and_not_written_goes_to_the_other(
    two_rails: TwoRails, both: Merchant
) -> None:
    """The link dies between the intent and the first byte: the same payment, a new trace."""
    async with both.client() as client:
        await client.sale(4100, "USD", card(), idempotency_key="opens-the-batch")
        async with intents_wait(both):
            sale = asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key="moved"))
            await statements_wait(two_rails)
            gateway = two_rails.log("gateway")
            await two_rails.stop("rail")
            await gateway.says("network.link_down", acquirer=ACQUIRER)
        sold = await sale
    await two_rails.start("rail")

    told = await both.payment(sold.id)
    assert sold.paid
    assert states(told)[:3] == ["processing", "not_sent", "processing"]
    assert [each["cause"] for each in told["states"]][1:3] == ["nothing_written", "tried_again"]
    assert await _amounts(two_rails, both) == {
        ACQUIRER: [(4100, "captured")],
        SECOND: [(4200, "captured")],
    }


async def test_f08_what_was_written_is_reversed_and_never_sent_elsewhere(
    two_rails: TwoRails, both: Merchant
) -> None:
    """The first acquirer is killed with the request in its hands: not charged, nowhere."""
    async with both.client() as client:
        rail = two_rails.log("rail")
        async with two_rails.fault("silent", "1:booked"):
            sale = asyncio.create_task(client.sale(4200, "USD", card(), idempotency_key="written"))
            await rail.says("message", mti="0200")
            killed = two_rails.pid("rail")
            os.kill(killed, signal.SIGKILL)
            sold = await sale
            await two_rails.is_back("rail", killed)
        await _signed_on(both)
        next_one = await client.sale(4300, "USD", card(), idempotency_key="next")

    async def reversed_() -> bool:
        return bool((await both.payment(sold.id))["state"] == "reversed")

    await eventually(reversed_, "the reversal is accepted")
    told = await both.payment(sold.id)
    assert (sold.charged, sold.paid) == (False, False)
    assert told["states"][1]["cause"] == "answer_missing"
    assert {each["fields"].get("32") for each in told["messages"]} == {"123456"}
    assert next_one.paid
    books = await _amounts(two_rails, both)
    assert books == {ACQUIRER: [(4200, "reversed"), (4300, "captured")], SECOND: []}


async def _amounts(two_rails: TwoRails, merchant: Merchant) -> dict[str, list[tuple[int, str]]]:
    """Return what each rail's books say: amounts and states, in order of the amount."""
    first = await two_rails.rail_books({merchant.terminal_id})
    second = await two_rails.second_books(merchant)
    return {
        name: sorted((each["amount_minor"], each["state"]) for each in books)
        for name, books in ((ACQUIRER, first), (SECOND, second))
    }


async def _ready(merchant: Merchant) -> Json:
    async with merchant.api() as api:
        told: Json = (await api.get("/readyz")).json()
        return told


async def _signed_on(merchant: Merchant) -> None:
    async def both_are() -> bool:
        acquirers = (await _ready(merchant))["notes"]["acquirers"]
        return "not signed on" not in acquirers.values()

    await eventually(both_are, "both links are signed on")
