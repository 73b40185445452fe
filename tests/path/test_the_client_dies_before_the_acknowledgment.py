"""
No order, no charge: an approval that nobody claims is given back to the cardholder.
"""

import asyncio
import signal
import sys
from pathlib import Path

from counterfoil import ids

from .agreement import ACCOUNTS, agreed, balances, messages, states
from .merchants import VISA, Merchant, new_key
from .sandboxes import eventually

# A shop that dies in the middle of its sale: it sells, and gets killed while it waits.
SHOP = """
import sys
from pathlib import Path
from counterfoil_client import Card, Client

url, key, authority, journal, number = sys.argv[1:]
card = Card(number=number, expiry_month=12, expiry_year=2030, cvv="739")
with Client(url, key, ca=Path(authority), journal=Path(journal)) as client:
    client.sale(4200, "USD", card, order="died", idempotency_key="died")
"""


async def test_f01_an_approval_that_nobody_claims_is_reversed(hasty_merchant: Merchant) -> None:
    """Bare HTTPS, and silence after the approval: reversed, and no late word gets a number."""
    merchant = hasty_merchant
    answered = await merchant.post_payment("silent", order="unclaimed")
    approved = answered.json()
    assert (answered.status_code, approved["state"]) == (201, "approved")
    assert (approved["charged"], approved["confirmation_number"]) == (None, None)

    told = (await agreed(merchant))["silent"]

    assert states(told) == ["processing", "approved", "reversing", "reversed"]
    assert told["states"][2]["cause"] == "unclaimed"
    assert [each["39"] for each in messages(told, "0420")] == ["17"]
    assert await balances(merchant, told) == {
        **dict.fromkeys(ACCOUNTS, 0),
        "issuer": -4200,
        "released": 4200,
    }
    assert await merchant.sandbox.mails("for order unclaimed") == []
    await _nobody_hears_otherwise(merchant, approved["id"])


async def _nobody_hears_otherwise(merchant: Merchant, payment_id: str) -> None:
    """Acknowledge late, twice, and send the request once more: it stays reversed."""
    async with merchant.api() as api:
        path = f"/v1/payments/{payment_id}/acknowledge"
        late = [await api.post(path, json={}) for _ in range(2)]
    again = await merchant.post_payment("silent", order="unclaimed")

    for each in late:
        assert (each.status_code, each.json()["code"]) == (409, "payment_reversed")
        assert each.json()["payment"]["charged"] is False
        assert each.json()["payment"]["confirmation_number"] is None
    assert (again.status_code, again.json()["state"]) == (200, "reversed")
    assert (await agreed(merchant))["silent"]["confirmation_number"] is None


async def test_f02_an_acknowledgment_in_time_may_be_repeated_for_ever(
    hasty_merchant: Merchant,
) -> None:
    """One confirmation number, however many times and on however many sessions it is asked for."""
    merchant = hasty_merchant
    approved = (await merchant.post_payment("often")).json()
    numbers = set()
    for _ in range(3):
        async with merchant.api() as api:
            answer = await api.post(f"/v1/payments/{approved['id']}/acknowledge", json={})
            numbers.add(answer.raise_for_status().json()["confirmation_number"])

    told = (await agreed(merchant))["often"]
    assert numbers == {told["confirmation_number"]}
    assert (told["state"], told["acknowledged_on_session"]) == ("captured", False)


async def test_f02_a_client_that_is_killed_finishes_when_it_is_back(merchant: Merchant) -> None:
    """SIGKILL while the issuer thinks: `recover()` acknowledges, because there is time enough."""
    journal = merchant.new_journal()
    await _killed_in_mid_sale(merchant, journal)
    await _approved(merchant)

    async with merchant.client(journal) as client:
        [recovered] = await client.recover()

    told = (await agreed(merchant))["died"]
    assert (recovered.outcome, recovered.order) == ("paid", "died")
    assert recovered.payment is not None
    assert recovered.payment.confirmation_number == told["confirmation_number"]
    assert (told["state"], told["acknowledged_on_session"]) == ("captured", False)


async def test_f03_a_client_that_is_back_too_late_hears_that_nothing_was_charged(
    hasty_merchant: Merchant,
) -> None:
    """SIGKILL, and nobody is back in time: `recover()` says not charged, and so does the rail."""
    merchant = hasty_merchant
    journal = merchant.new_journal()
    await _killed_in_mid_sale(merchant, journal)
    told = (await agreed(merchant))["died"]

    async with merchant.client(journal) as client:
        [recovered] = await client.recover()

    assert told["state"] == "reversed"
    assert recovered.outcome == "not_charged"


async def test_a_key_that_was_never_seen_is_closed_by_recovery(merchant: Merchant) -> None:
    """An intent that was never sent: recovery fences its key, and a copy on its way is refused."""
    key = new_key()
    async with merchant.api() as api:
        resolved = await api.post("/v1/resolve", json={"idempotency_key": key})
    late_copy = await merchant.post_payment(key)

    assert resolved.json()["status"] == "never_seen"
    assert (late_copy.status_code, late_copy.json()["code"]) == (409, "key_fenced")
    assert await agreed(merchant) == {}


async def _killed_in_mid_sale(merchant: Merchant, journal: Path) -> None:
    """Let a shop die between its request and the answer."""
    sandbox = merchant.sandbox
    gateway = sandbox.log("gateway")
    facts = [sandbox.plan.gateway_url, merchant.key, str(sandbox.plan.authority_path)]
    async with sandbox.fault("issuer_delay_ms", "1500"):
        shop = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SHOP, *facts, str(journal), VISA),
            stderr=asyncio.subprocess.DEVNULL,
        )
        await gateway.says("network.sent", mti="0200")
        shop.send_signal(signal.SIGKILL)
        assert await shop.wait() == -signal.SIGKILL


async def _approved(merchant: Merchant) -> None:
    """Wait until the only payment of *merchant* has its approval."""

    async def approved() -> bool:
        async with merchant.sandbox.database() as database:
            payment_id = await database.fetchval(
                "SELECT payment_id FROM payments WHERE merchant_id = $1", merchant.merchant_id
            )
        told = await merchant.payment(ids.written(ids.PAYMENT, payment_id))
        return bool(told["state"] == "approved")

    await eventually(approved, "the payment is approved")
