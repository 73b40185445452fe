"""
Everybody's books side by side, once nothing is owed: ours, the acquirer's, the shops', the mails.
"""

import re
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from counterfoil.ledger.audit import Audit, audit
from counterfoil.ledger.listing import OurBooks, our_books
from counterfoil_rail.listing import charges
from counterfoil_rail.settlement.listing import deposits

from counterfoil_proof.books import against_charges, against_deposits, against_orders

if TYPE_CHECKING:
    from counterfoil_proof.world.shop import Shop
    from counterfoil_proof.world.world import World

OWED = """
SELECT 'payment pay_' || replace(payment_id::text, '-', '') || ' is ' || state AS what
FROM payments WHERE state IN ('processing', 'approved', 'reversing', 'voiding')
UNION ALL
SELECT kind || ' owed for pay_' || replace(payment_id::text, '-', '') || ', tried '
    || attempts || ', last ' || coalesce(response_code, 'nothing')
FROM advices WHERE state = 'owed'
UNION ALL
SELECT kind || ' owed for ' || coalesce('pay_' || replace(payment_id::text, '-', ''), 'no payment')
FROM outbox
WHERE state = 'owed'
UNION ALL
SELECT 'batch ' || terminal_id || '/' || batch_number || ' is ' || state FROM batches
WHERE state IN ('closing', 'totalling', 'uploading')
UNION ALL
SELECT source || ' event ' || to_state || ' waits for its number' FROM feed_pending
"""
# What is due to endpoints that are there; what is not due yet comes with the days.
HOOKS_DUE = """
SELECT 'webhook owed for event ' || d.number AS what
FROM webhook_deliveries AS d JOIN webhook_endpoints AS e USING (merchant_id, endpoint_id)
WHERE d.state = 'owed' AND e.state = 'enabled' AND d.next_try_at <= $1
"""
NEED_A_PERSON = """
SELECT merchant_id, acquirer, terminal_id, currency, batch_number FROM batches
WHERE state = 'needs_a_person' ORDER BY terminal_id, batch_number
"""
ENDS = """
SELECT 'batch ' || state AS what, count(*) AS number FROM batches GROUP BY state
UNION ALL SELECT 'deposit ' || state, count(*) FROM deposits GROUP BY state
UNION ALL SELECT 'movement ' || kind || ' ' || state, count(*) FROM movements GROUP BY kind, state
"""
MOVEMENTS = "SELECT idempotency_key FROM movements WHERE idempotency_key IS NOT NULL"
# Each event of a payment has its number, each number its event, and no number is missing.
FEEDS = """
SELECT 'a feed of ' || count(*) || ' events from ' || min(number) || ' to ' || max(number) AS what
FROM feed GROUP BY merchant_id HAVING min(number) <> 1 OR max(number) <> count(*)
UNION ALL
SELECT 'an event of pay_' || replace(e.payment_id::text, '-', '') || ' is told '
    || count(f.event_id) || ' times'
FROM payment_events AS e LEFT JOIN feed AS f ON f.merchant_id = e.merchant_id
    AND f.event_id = feed_event_id('payment', e.payment_id, e.version::text)
WHERE e.to_state <> 'processing'
GROUP BY e.merchant_id, e.version, e.payment_id HAVING count(f.event_id) <> 1
"""
NUMBERS = "SELECT merchant_id, number, event_id FROM feed"
MAILS = "SELECT outbox_id, payment_id, kind, state FROM outbox"
_PAYMENT = re.compile(r"pay_[0-9a-f]{32}")


def subjects_in(text: str) -> tuple[str, ...]:
    """
    Return the payments that *text* names.
    """
    return tuple(dict.fromkeys(_PAYMENT.findall(text)))


async def check(world: "World") -> None:
    """
    Compare all books and note every difference as a violation.
    """
    ours, audited = world.server.run(_ours(world))
    for difference in audited.differences:
        world.story.violated("the audit agrees", str(difference), *subjects_in(str(difference)))
    today = date.fromisoformat(str(world.acquirer.read("SELECT day FROM business_day")[0][0]))
    theirs = list(charges(world.acquirer.folder))
    found = list(against_charges(ours, theirs))
    found += against_deposits(ours, list(deposits(world.acquirer.folder)), today)
    found += against_orders(ours, _orders(world))
    for each in found:
        world.story.violated("the books agree", str(each), *subjects_in(str(each)))
    _check_keys(world, theirs)
    _check_movements(world)
    for row in world.store.ask(FEEDS):
        world.story.violated("the feed has no gap", row["what"], *subjects_in(row["what"]))
    await _check_readers(world)
    world.hooks.check()
    for row in world.store.ask(ENDS):
        world.story.count(row["what"], row["number"])
    _check_shops(world, ours)
    _check_mails(world)


async def _ours(world: "World") -> tuple[OurBooks, Audit]:
    database = await world.server.open(world.database)
    try:
        audited = await audit(database, now=world.clock.now())
        return await our_books(database), audited
    finally:
        await database.close()


def _orders(world: "World") -> list[dict[str, Any]]:
    """
    Return the shops' books, as `counterfoil-shop orders` would tell them.
    """
    return [
        {
            "order": order.number,
            "payment_id": order.payment_id,
            "status": order.status,
            "amount_minor": -order.amount_minor if order.kind == "credit" else order.paid_minor,
            "currency": order.currency,
            "rrn": None,
            "confirmation_number": order.confirmation_number,
        }
        for shop in world.shops
        if not shop.has_left
        for order in shop.orders.values()
        if order.payment_id not in _undone(shop)
    ]


def _check_keys(world: "World", theirs: list[Any]) -> None:
    """
    No key and no order may have two approvals that stand at the acquirer.
    """
    standing: dict[str, list[str]] = defaultdict(list)
    for row in theirs:
        stands = row["held_minor"] + row["captured_minor"] - row["refunded_minor"]
        if stands + row["credited_minor"] <= 0:
            continue
        for seen in world.witness.payments.values():
            if any(t[0] == row["terminal_id"] and t[2] == row["stan"] for t in seen.traces):
                standing[seen.key].append(seen.name)
    for key, names in standing.items():
        if len(names) > 1:
            world.story.violated("a key is charged once", f"{len(names)} times", key, *names)


def _check_shops(world: "World", ours: OurBooks) -> None:
    """
    A shop's last word is what stands, and an order is charged once.
    """
    payments = {each.payment: each for each in ours.payments}
    for shop in world.shops:
        if shop.has_left:
            continue
        undone = _undone(shop)
        for order in shop.orders.values():
            standing = [
                each.payment
                for each in ours.payments
                if each.order == order.number
                and each.held_minor + each.captured_minor != each.refunded_minor
            ]
            if len(standing) > 1:
                world.story.violated("an order is charged once", str(standing), *standing)
            if order.status == "unknown":
                world.story.violated("every shop knows", order.number, order.key)
            if order.status == "paid" and order.payment_id not in undone:
                payment = payments.get(order.payment_id or "")
                if payment is None or payment.state not in ("captured", "authorized", "expired"):
                    what = f"order {order.number} is paid, and {payment and payment.state}"
                    world.story.violated("the last word is true", what, order.key)
            if order.status == "not_paid" and standing:
                what = f"order {order.number} is not paid, and {standing} stand"
                world.story.violated("the last word is true", what, order.key, *standing)


async def _check_readers(world: "World") -> None:
    """
    A merchant that reads its feed from number to number has read all of it, and each event once.
    """
    theirs: dict[UUID, dict[int, str]] = defaultdict(dict)
    for row in world.store.ask(NUMBERS):
        theirs[row["merchant_id"]][row["number"]] = row["event_id"].hex
    # Not only as far as it has noted: from the first event on.
    for reader in world.readers:
        feed = theirs[reader.merchant_id]
        await reader.read_to_the_end()
        read = {number: each.partition("_")[2] for number, each in reader.events.items()}
        if read != feed:
            wrong = sorted(set(read.items()) ^ set(feed.items()))[:3]
            what = f"{reader.name} has read {len(read)} of {len(feed)} events: {wrong}"
            world.story.violated("who reads the feed reads all of it", what, reader.name)


def _check_movements(world: "World") -> None:
    """
    A capture, void or refund that a shop was told is done was done, and no other.
    """
    made = {row["idempotency_key"] for row in world.store.ask(MOVEMENTS)}
    for shop in world.shops:
        if shop.has_left:
            continue
        for movement in shop.movements.values():
            is_made = movement.key in made
            if is_made != (movement.status == "done"):
                what = f"{movement.kind} is {movement.status} to the shop, made: {is_made}"
                world.story.violated("the last word is true", what, movement.payment_id)


def _undone(shop: "Shop") -> set[str]:
    """
    Return the payments that a shop has taken back since it was told that they were paid.
    """
    return {
        each.payment_id
        for each in shop.movements.values()
        if each.kind in ("void", "refund", "undo") and each.status == "done"
    }


def _check_mails(world: "World") -> None:
    """
    Each e-mail that is noted as sent reached the mail server, and nothing else did.
    """
    owed = {row["outbox_id"].hex: row for row in world.store.ask(MAILS)}
    sent = {name.strip("<>").partition("@")[0] for name in world.witness.mails}
    for name, row in owed.items():
        if row["state"] == "sent" and name not in sent:
            subject = f"pay_{row['payment_id'].hex}" if row["payment_id"] else name
            world.story.violated("a mail noted as sent was sent", row["kind"], subject)
    for name in sorted(sent - owed.keys()):
        world.story.violated("no mail without its row", name)
