"""
Webhooks and the feed, in real processes: told at least once, recognisable, nothing missing.
"""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from .hook_receiver import Receiver, receiving
from .merchants import Merchant, card
from .sandboxes import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


async def endpoint(merchant: Merchant, receiver: Receiver, *types: str) -> str:
    """Add an endpoint as an operator does; return its id."""
    words = ("--types", ",".join(types)) if types else ()
    said = await merchant.sandbox.command(
        "counterfoil", "webhook", "add", merchant.written_id, receiver.url, *words, "--json"
    )
    added = json.loads(said)
    receiver.secret = added["secret"]
    return str(added["id"])


async def test_a_sale_is_told_by_webhook_and_stands_in_the_feed(
    merchant: Merchant, receiver: Receiver
) -> None:
    """Signed so that the client library verifies it; the feed has the same events, by number."""
    added = await endpoint(merchant, receiver)
    async with merchant.client() as client:
        sale = await client.sale(4200, "USD", card(), order="told-1")

        async def told() -> bool:
            return "payment.captured" in receiver.told(sale.id)

        await eventually(told, "the receiver was told")
        feed = [each async for each in client.events()]

    assert not receiver.refused
    assert [each.number for each in feed] == list(range(1, len(feed) + 1))
    by_id = {each.id: each for each in feed}
    assert all(by_id[each.id] == each for each in receiver.events)
    last = max(feed, key=lambda each: each.version or 0)
    assert (last.payment or {})["state"] == sale.state == "captured"
    listed = await merchant.sandbox.command("counterfoil", "events", merchant.written_id, "--json")
    assert [each["id"] for each in json.loads(listed)] == [each.id for each in feed]
    shown = await merchant.sandbox.command(
        "counterfoil", "webhook", "deliveries", merchant.written_id, added
    )
    assert "payment.captured" in shown
    assert "204 in" in shown


async def test_f32_a_message_that_was_taken_and_not_noted_comes_again_as_itself(
    hasty_merchant: Merchant, receiver: Receiver
) -> None:
    """The worker is killed between the receiver's yes and its row: a repeat, under the same id."""
    merchant, sandbox = hasty_merchant, hasty_merchant.sandbox
    added = await endpoint(merchant, receiver, "payment.captured")
    receiver.answers.clear()
    async with merchant.client() as client:
        sale = await client.sale(4200, "USD", card(), order="told-2")

        async def arrived() -> bool:
            return len(receiver.told(sale.id)) >= 1

        await eventually(arrived, "the receiver has the message, and has not answered")
        killed = sandbox.pid("worker")
        os.kill(killed, signal.SIGKILL)
        receiver.answers.set()
        await sandbox.is_back("worker", killed)

        async def again() -> bool:
            said = await sandbox.command(
                "counterfoil", "webhook", "deliveries", merchant.written_id, added, "--json"
            )
            return [each["state"] for each in json.loads(said)] == ["delivered"]

        await eventually(again, "the message was taken and noted")
        feed = [each async for each in client.events()]

    assert receiver.told(sale.id) == ["payment.captured"] * 2
    assert len({each.id for each in receiver.events}) == 1
    assert [each.number for each in feed] == list(range(1, len(feed) + 1))


async def test_a_receiver_that_was_down_is_told_when_it_is_back(
    merchant: Merchant, receiver: Receiver
) -> None:
    """Five seconds later for the first time; another endpoint is told meanwhile."""
    receiver.fails = True
    await endpoint(merchant, receiver, "payment.captured")
    with receiving() as other:
        await endpoint(merchant, other, "payment.captured")
        async with merchant.client() as client:
            sale = await client.sale(4200, "USD", card(), order="told-3")

        async def others() -> bool:
            return bool(receiver.told(sale.id) and other.told(sale.id))

        await eventually(others, "both were asked, and one has taken it")
        receiver.fails = False

        async def both() -> bool:
            return len(receiver.told(sale.id)) == 2

        await eventually(both, "the other one was told again")

    assert other.told(sale.id) == ["payment.captured"]
