"""
Two gateway processes serve on one port: whoever is reached, it is one gateway.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from counterfoil import ids
from counterfoil_proof.demo.ports import LOOPBACK

from .agreement import agreed
from .conftest import running
from .merchants import Merchant, add_merchant
from .sandboxes import eventually, run
from .tills import Shop
from .two_gateways import NAMES, TwoGateways

SALES = 32
COPIES = 40
TAKEN_BY = """
SELECT payment_id, pid FROM payments JOIN processes USING (process_id) WHERE merchant_id = $1
"""


@pytest.fixture(scope="module")
def two_gateways(request: pytest.FixtureRequest) -> Iterator[TwoGateways]:
    """A sandbox with two gateway processes."""
    for sandbox in running(TwoGateways(), request):
        assert isinstance(sandbox, TwoGateways)
        yield sandbox


@pytest.fixture
async def seller(two_gateways: TwoGateways) -> Merchant:
    """A merchant of that sandbox, with half a minute to acknowledge."""
    return await add_merchant(two_gateways, acknowledge_seconds=30)


async def test_payments_on_many_connections_are_taken_by_both_processes(
    two_gateways: TwoGateways, seller: Merchant
) -> None:
    """Each request on a connection of its own, also the acknowledgment: they meet in the rows."""
    answers = await asyncio.gather(*(seller.post_payment(f"sale-{n}") for n in range(SALES)))
    claimed = await asyncio.gather(*(_acknowledge(seller, each) for each in answers))

    assert {each.status_code for each in answers} == {201}
    assert {each.status_code for each in claimed} == {200}
    assert len({each.json()["confirmation_number"] for each in claimed}) == SALES
    told = await agreed(seller)
    assert {each["state"] for each in told.values()} == {"captured"}
    taken = await _taken_by(two_gateways, seller)
    assert set(taken.values()) == set(two_gateways.gateway_pids().values())


async def test_f12_copies_of_a_request_on_both_processes_are_one_payment(
    two_gateways: TwoGateways, seller: Merchant
) -> None:
    """The key decides in the database, whichever process was reached."""
    async with two_gateways.fault("issuer_delay_ms", "300"):
        answers = await asyncio.gather(*(seller.post_payment("copied") for _ in range(COPIES)))
    claimed = await asyncio.gather(*(_acknowledge(seller, answers[0]) for _ in range(COPIES)))

    assert len({each.json()["id"] for each in answers}) == 1
    assert sum(each.status_code == 201 for each in answers) == 1
    assert len({each.json()["confirmation_number"] for each in claimed}) == 1
    assert len(await agreed(seller)) == 1
    assert len(await two_gateways.rail_books({seller.terminal_id})) == 1


async def test_each_process_is_known_by_its_name(two_gateways: TwoGateways) -> None:
    """To doctor, to monitors on ports of their own, and in logs of their own."""
    pids = two_gateways.gateway_pids()
    status, said, _ = await run("counterfoil", "doctor", **two_gateways.environment)
    async with httpx2.AsyncClient() as monitor:
        ready = [
            (await monitor.get(f"http://{LOOPBACK}:{two_gateways.metrics_port + n}/readyz")).json()
            for n in range(len(NAMES))
        ]

    assert status == 0, said
    assert tuple(pids) == NAMES
    for name, pid in pids.items():
        assert f"{name}, pid {pid} (last sign of life" in said
        assert f"ok   {name}: link sandbox: signed on" in said
        log = two_gateways.configuration.folder / "logs" / f"{name}.log"
        assert f'"process": "{name}"' in log.read_text()
    assert [each["notes"]["process"] for each in ready] == list(NAMES)


@pytest.mark.parametrize("command", ["up", "serve"])
async def test_a_port_that_two_processes_share_is_taken_for_everybody_else(
    two_gateways: TwoGateways, tmp_path: Path, command: str
) -> None:
    """Another installation of the same user is told so, and takes no payment of this one."""
    elsewhere = {**two_gateways.environment, "COUNTERFOIL_STATE": str(tmp_path / "other")}
    status, _, complained = await run("counterfoil", command, **elsewhere)

    port = two_gateways.plan.ports.gateway
    assert status == 2
    assert f"counterfoil: cannot listen on {LOOPBACK} port {port}: Address already" in complained
    assert "[api] port" in complained


@pytest.mark.parametrize("name", NAMES)
async def test_f05_one_process_is_killed_and_the_other_goes_on(
    two_gateways: TwoGateways, seller: Merchant, name: str
) -> None:
    """Its customers are told the truth, new ones are served meanwhile, and it comes back."""
    before = two_gateways.gateway_pids()
    [other] = set(NAMES) - {name}
    async with seller.client(seller.new_journal()) as client:
        shop = Shop(client)
        selling = asyncio.create_task(shop.sell())
        await shop.sold(more=4)
        await two_gateways.kill_one(name)
        served = [await seller.post_payment(f"meanwhile-{n}") for n in range(8)]
        await two_gateways.another_serves(name, before[name])
        await asyncio.gather(*(_acknowledge(seller, each) for each in served))
        await shop.sold(more=4)
        shop.close()
        await selling
        await shop.recover()
    after = two_gateways.gateway_pids()
    late = await asyncio.gather(*(seller.post_payment(f"late-{n}") for n in range(SALES)))
    await asyncio.gather(*(_acknowledge(seller, each) for each in late))

    assert {each.status_code for each in served} == {201}
    assert after[other] == before[other]
    told = await agreed(seller)
    shop.was_told_the_truth({key: each for key, each in told.items() if key.startswith("sale-")})
    taken = await _taken_by(two_gateways, seller)
    assert {taken.get(each.json()["id"]) for each in late} == set(after.values())


async def test_both_processes_end_in_good_order_and_start_again(
    two_gateways: TwoGateways,
) -> None:
    """`up` is told to stop with requests at the issuer: each is decided, and paid afterwards."""
    seller = await add_merchant(two_gateways, acknowledge_seconds=180)
    async with two_gateways.fault("issuer_delay_ms", "1000"):
        sales = [asyncio.create_task(seller.post_payment(f"stop-{n}")) for n in range(SALES)]
        await _under_way(seller)
        stopped = two_gateways.up().pid or 0
        os.kill(stopped, signal.SIGTERM)
        answers = await asyncio.gather(*sales)
        await two_gateways.is_up_again(stopped)
    claimed = await asyncio.gather(*(_acknowledge(seller, each) for each in answers))

    assert two_gateways.up().last_exit_status == 0
    assert {each.status_code for each in answers} == {201}
    assert {each.status_code for each in claimed} == {200}
    assert len(await agreed(seller)) == SALES


async def _taken_by(sandbox: TwoGateways, merchant: Merchant) -> dict[str, int]:
    """Return the process id of the gateway that took each payment, as the database has it."""
    async with sandbox.database() as database:
        rows = await database.fetch(TAKEN_BY, merchant.merchant_id)
    return {ids.written(ids.PAYMENT, row["payment_id"]): row["pid"] for row in rows}


async def _under_way(merchant: Merchant) -> None:
    """Wait until all SALES are committed, and so asked for at the issuer or about to be."""
    async with merchant.sandbox.database() as database:

        async def all_are() -> bool:
            rows = await database.fetch(TAKEN_BY, merchant.merchant_id)
            return len(rows) == SALES

        await eventually(all_are, f"{SALES} payments are under way")


async def _acknowledge(merchant: Merchant, answered: httpx2.Response) -> httpx2.Response:
    """Acknowledge an approval on a connection of its own."""
    async with merchant.api() as api:
        return await api.post(f"/v1/payments/{answered.json()['id']}/acknowledge", json={})
