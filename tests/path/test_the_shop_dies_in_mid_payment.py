"""
The shop is killed while its order's payment is at the issuer; its books are right in the end.
"""

import asyncio
import json

import pytest
from counterfoil.clock import SystemClock
from counterfoil.opened import open_database
from counterfoil.store.merchants import MerchantStore
from counterfoil_proof.demo.purchase import PurchaseFailed, buy

from .agreement import agreed
from .merchants import VISA, Merchant
from .sandboxes import Json, Sandbox, eventually


@pytest.mark.parametrize("killed", [("shop",), ("shop", "gateway")], ids="-and-".join)
async def test_f01_an_order_is_decided_when_the_shop_is_back(
    hasty: Sandbox, killed: tuple[str, ...]
) -> None:
    """Paid or not paid, as gateway and rail have it; mailed if paid; never both, never unknown."""
    gateway = hasty.log("gateway")
    await hasty.start("shop")
    try:
        async with hasty.fault("issuer_delay_ms", "1500"):
            buying = asyncio.create_task(buy(hasty.plan, VISA))
            await gateway.says("network.sent", mti="0200")
            await asyncio.gather(*(hasty.kill(each) for each in killed))
            with pytest.raises(PurchaseFailed):
                await buying
        order = await _decided(hasty)
    finally:
        await hasty.stop("shop")

    told = await agreed(await _merchant(hasty))
    payment = next(each for each in told.values() if each["id"] == order["payment_id"])
    assert order["status"] == ("paid" if payment["charged"] else "not_paid")
    assert payment["charged"] == ("gateway" not in killed)
    assert order["rrn"] == payment["rrn"]
    assert order["amount_minor"] == payment["amount_minor"]
    assert order["confirmation_number"] == payment["confirmation_number"]
    mails = await hasty.mails(f"for order {order['order']}")
    assert len(mails) == (2 if payment["charged"] else 0)


async def _decided(sandbox: Sandbox) -> Json:
    """Return the shop's latest order once the shop knows about all of them."""
    orders: list[Json] = []

    async def known() -> bool:
        orders[:] = json.loads(
            await sandbox.command("counterfoil-shop", "orders", "--json", *sandbox.state)
        )
        return all(each["status"] != "unknown" for each in orders)

    await eventually(known, "the shop knows about its orders")
    return max(orders, key=lambda each: int(each["order"]))


async def _merchant(sandbox: Sandbox) -> Merchant:
    """Return the merchant that the shop works for."""
    secret = sandbox.plan.key_path.read_text("utf-8").strip()
    async with open_database(sandbox.configuration) as database:
        store = MerchantStore(database, SystemClock())
        key = await store.key(secret)
        assert key is not None
        [terminal] = await store.terminals(key.merchant.merchant_id)
    merchant = Merchant(sandbox, key.merchant.merchant_id, terminal.terminal_id, secret)
    merchant.email = key.merchant.email
    return merchant
