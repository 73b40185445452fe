"""
What happens between a shop and a gateway: the stories of which a simulated day is made.

`sale`, `authorization` and their followers go through the shop's real client. The others go over
the bare API, because the client is too well-behaved for them: nobody claims the approval, it is
claimed too late or twice, two copies arrive at once, a key is resolved before it is seen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
from counterfoil_client import wire
from counterfoil_client.cards import Billing, Card
from counterfoil_client.commands import Answer, Event, Send

from counterfoil_proof.world.shop import Movement, Order, Shop
from counterfoil_proof.world.story import Story
from counterfoil_proof.world.web import Session
from counterfoil_proof.world.witness import BLOCKED_EMAIL

TRY_SECONDS = 30.0
TRIES_MAX = 4
NEVER_ANSWERED_MINOR = 9000_68  # By the rail's cents rule, as the next.
HALF_APPROVED_MINOR = 9000_10
WRONG_CODE = "999"  # A security code that does not match, by the rail's rule.
WRONG_ADDRESS = Billing(postal_code="62709", street="9 Main")  # The same.

GOOD = ("4111111111111111", "4242424242424242", "5555555555554444", "378282246310005")
BAD = ("4000000000000002", "4000000000009995", "4000000000000119", "4000000000000127")


class Customer:
    """
    One visit to one shop, with its own stream of chance.
    """

    def __init__(self, number: str, shop: Shop, story: Story, chance: Random) -> None:
        self.number = number
        self.shop = shop
        self.story = story
        self.chance = chance
        self.key = f"key-{number}"
        self._movements = 0

    def order(self, kind: str = "sale", *, good: bool = True) -> Order:
        """
        Return an order of this customer's.
        """
        amount = self.chance.randrange(100, 200_00)
        if good and self.chance.random() < 0.02:
            amount = NEVER_ANSWERED_MINOR
        return Order(
            number=f"order-{self.number}",
            kind=kind,
            amount_minor=amount,
            currency="USD",
            card=_card(self.chance.choice(GOOD if good else BAD)),
            key=self.key,
            email=f"{self.number}@shoppers.test" if self.chance.random() < 0.3 else None,
        )

    def request(self, order: Order, key: str | None = None) -> Send:
        """
        Return the bare request that charges *order*.
        """
        terms = wire.Terms(
            kind=order.kind,
            amount_minor=order.amount_minor,
            currency=order.currency,
            order=order.number,
            customer_email=order.email,
            billing=Billing(postal_code="62704", street="10 Main"),
        )
        return _timed(wire.payment(key or order.key, terms, order.card)[1])

    async def paid(self, kind: str, **other: Any) -> Order:
        """
        Buy through the shop's client, what is *other* about the order; return it, paid or not.
        """
        order = msgspec.structs.replace(self.order(kind), **other)
        await asyncio.wait([self.shop.buy(order)])
        return order

    async def follow(self, order: Order, kind: str, amount_minor: int | None = None) -> None:
        """
        Capture, void or refund what was paid, a little later.
        """
        if order.status != "paid" or order.payment_id is None:
            return
        await asyncio.sleep(self.chance.uniform(0.0, 20.0))
        if not self.shop.is_up:
            return
        self._movements += 1
        movement = Movement(
            kind=kind,
            payment_id=order.payment_id,
            amount_minor=amount_minor,
            currency=order.currency,
            key=f"{kind}-{self.number}-{self._movements}",
        )
        await asyncio.wait([self.shop.move(movement)])


async def sale(customer: Customer) -> None:
    """
    A sale through the client, and nothing more.
    """
    await customer.paid("sale")


async def declined(customer: Customer) -> None:
    """
    A card that the issuer refuses.
    """
    await asyncio.wait([customer.shop.buy(customer.order(good=False))])


async def held(customer: Customer) -> None:
    """
    An authorization that is left as it is.
    """
    await customer.paid("authorization")


async def captured(customer: Customer) -> None:
    """
    An authorization that is captured.
    """
    await customer.follow(await customer.paid("authorization"), "capture")


async def captured_and_refunded(customer: Customer) -> None:
    """
    An authorization that is captured and given back.
    """
    order = await customer.paid("authorization")
    await customer.follow(order, "capture")
    await customer.follow(order, "refund")


async def hold_voided(customer: Customer) -> None:
    """
    An authorization that is voided.
    """
    await customer.follow(await customer.paid("authorization"), "void")


async def voided(customer: Customer) -> None:
    """
    A sale that is voided.
    """
    await customer.follow(await customer.paid("sale"), "void")


async def refunded(customer: Customer) -> None:
    """
    A sale that is refunded.
    """
    await customer.follow(await customer.paid("sale"), "refund")


async def captured_in_parts(customer: Customer) -> None:
    """
    An authorization that is captured in three parts, the last of which may ask for too much.
    """
    order = await customer.paid("authorization")
    part = order.amount_minor // customer.chance.choice((3, 4, 2))
    for _ in range(3):
        await customer.follow(order, "capture", part)


async def captured_in_part_and_voided(customer: Customer) -> None:
    """
    An authorization of which a part is captured, and a part of that voided.
    """
    order = await customer.paid("authorization")
    await customer.follow(order, "capture", order.amount_minor // 2)
    await customer.follow(order, "void", order.amount_minor // 4)


async def voided_in_part(customer: Customer) -> None:
    """
    A sale of which a part is voided, and then perhaps the rest.
    """
    order = await customer.paid("sale")
    await customer.follow(order, "void", order.amount_minor // 3)
    if customer.chance.random() < 0.5:
        await customer.follow(order, "void")


async def refunded_in_parts(customer: Customer) -> None:
    """
    A sale that is given back in halves, at once, and once too often.
    """
    order = await customer.paid("sale")
    half = order.amount_minor // 2
    await asyncio.gather(*(customer.follow(order, "refund", half) for _ in range(3)))


async def undone(customer: Customer) -> None:
    """
    A payment that is undone, whole or in part, by whatever undoes it.
    """
    order = await customer.paid(customer.chance.choice(("sale", "authorization")))
    whole = customer.chance.random() < 0.5
    await customer.follow(order, "undo", None if whole else order.amount_minor // 2)


async def verified(customer: Customer) -> None:
    """
    A card that is only asked about.
    """
    order = customer.order(good=customer.chance.random() < 0.8)
    terms = wire.Terms(kind="verification", amount_minor=0, currency=order.currency)
    request = wire.verification(customer.key, terms, order.card)
    await _tried(customer.shop.session(), _timed(request))


async def forced(customer: Customer) -> None:
    """
    A sale that was approved by voice; now and then it is voided, whole or in part.
    """
    order = await customer.paid("forced", voice_approval_code="V1234")
    if customer.chance.random() < 0.4:
        await customer.follow(order, "void", customer.chance.choice((None, 50)))


async def credited(customer: Customer) -> None:
    """
    Money that is given and was never taken here; now and then it is taken back.
    """
    order = await customer.paid("credit")
    if customer.chance.random() < 0.3:
        await customer.follow(order, "void")


async def approved_in_part(customer: Customer) -> None:
    """
    Half of what was asked is approved: the merchant's setting says what becomes of it.
    """
    kind = customer.chance.choice(("sale", "authorization"))
    order = await customer.paid(kind, amount_minor=HALF_APPROVED_MINOR)
    follower = customer.chance.choice(("refund", "void", None))
    if kind == "authorization":
        await customer.follow(order, "capture")
    elif follower:
        await customer.follow(order, follower)


async def refused_by_the_rules(customer: Customer) -> None:
    """
    A wrong security code: the issuer approves, and the shop's rules give it back.
    """
    kind = customer.chance.choice(("sale", "authorization"))
    card = msgspec.structs.replace(_card(GOOD[0]), cvv=WRONG_CODE)
    await customer.paid(kind, card=card)


async def refused_for_the_address(customer: Customer) -> None:
    """
    Neither street nor postal code match: the issuer approves, and the shop's rules give it back.
    """
    kind = customer.chance.choice(("sale", "authorization"))
    await customer.paid(kind, billing=WRONG_ADDRESS)


async def blocked(customer: Customer) -> None:
    """
    Somebody whom the shop does not serve: nobody is asked.
    """
    kind = customer.chance.choice(("sale", "authorization"))
    await customer.paid(kind, email=BLOCKED_EMAIL)


async def void_races_refund(customer: Customer) -> None:
    """
    A sale that is voided and refunded at once: one of them at most.
    """
    order = await customer.paid("sale")
    await asyncio.gather(customer.follow(order, "void"), customer.follow(order, "refund"))


async def unclaimed(customer: Customer) -> None:
    """
    An approval that nobody claims.
    """
    await _asked(customer, customer.order())


async def refused(customer: Customer) -> None:
    """
    An approval that the merchant turns down.
    """
    session = customer.shop.session()
    payment_id = await _asked(customer, customer.order(), session)
    if payment_id:
        await _tried(session, _timed(wire.refuse(payment_id)))


async def claimed_late(customer: Customer) -> None:
    """
    An approval that is claimed around the end of its time, and once more.
    """
    session = customer.shop.session()
    payment_id = await _asked(customer, customer.order(), session)
    if payment_id:
        await asyncio.sleep(customer.chance.uniform(1.0, 45.0))
        for _ in range(2):
            await _tried(session, _timed(wire.acknowledge(payment_id)))


async def claimed_twice_at_once(customer: Customer) -> None:
    """
    An approval that two connections claim at once, while a third refuses it.
    """
    shop = customer.shop
    payment_id = await _asked(customer, customer.order())
    if payment_id:
        calls = [wire.acknowledge(payment_id), wire.acknowledge(payment_id)]
        if customer.chance.random() < 0.5:
            calls.append(wire.refuse(payment_id))
        await asyncio.gather(*(shop.session().send(_timed(call)) for call in calls))


async def twins(customer: Customer) -> None:
    """
    Two copies of one request at once, perhaps at two gateways; then the approval is claimed.
    """
    order, shop = customer.order(), customer.shop
    await asyncio.gather(*(shop.session().send(customer.request(order)) for _ in range(2)))
    session = shop.session()
    payment_id = await _asked(customer, order, session)
    if payment_id:
        await _tried(session, _timed(wire.acknowledge(payment_id)))


async def another_body(customer: Customer) -> None:
    """
    Another amount under the same key: refused, whatever the first came to.
    """
    order = customer.order()
    other = msgspec.structs.replace(order, amount_minor=order.amount_minor + 1)
    sends = [customer.request(order), customer.request(other)]
    await asyncio.gather(*(customer.shop.session().send(each) for each in sends))


async def resolved_first(customer: Customer) -> None:
    """
    A key that is resolved before it is seen: its request, when it comes, is refused.
    """
    session = customer.shop.session()
    await _tried(session, _timed(wire.resolve(customer.key)))
    await asyncio.sleep(customer.chance.uniform(0.0, 5.0))
    await _asked(customer, customer.order(), session)


async def resolved_meanwhile(customer: Customer) -> None:
    """
    A key that is resolved while its request is under way.
    """
    order, shop = customer.order(), customer.shop

    async def resolve() -> None:
        await asyncio.sleep(customer.chance.uniform(0.0, 3.0))
        await _tried(shop.session(), _timed(wire.resolve(customer.key)))

    await asyncio.gather(shop.session().send(customer.request(order)), resolve())


Visit = Callable[[Customer], Awaitable[None]]

# How often, among a thousand visits.
VISITS: tuple[tuple[Visit, int], ...] = (
    (sale, 250),
    (declined, 60),
    (held, 30),
    (captured, 80),
    (captured_in_parts, 50),
    (captured_in_part_and_voided, 20),
    (voided_in_part, 40),
    (refunded_in_parts, 30),
    (undone, 30),
    (verified, 20),
    (captured_and_refunded, 30),
    (hold_voided, 40),
    (voided, 70),
    (refunded, 70),
    (void_races_refund, 20),
    (forced, 40),
    (credited, 40),
    (approved_in_part, 30),
    (refused_by_the_rules, 30),
    (refused_for_the_address, 30),
    (blocked, 20),
    (unclaimed, 50),
    (refused, 40),
    (claimed_late, 50),
    (claimed_twice_at_once, 30),
    (twins, 40),
    (another_body, 10),
    (resolved_first, 10),
    (resolved_meanwhile, 10),
)


def visit(chance: Random) -> Visit:
    """
    Draw what the next customer does.
    """
    visits, weights = zip(*VISITS, strict=True)
    drawn: Visit = chance.choices(visits, weights)[0]
    return drawn


async def _asked(customer: Customer, order: Order, session: Session | None = None) -> str | None:
    """
    Charge *order* over the bare API; return the payment's id once it is approved.
    """
    session = session or customer.shop.session()
    for _ in range(TRIES_MAX):
        event = await session.send(customer.request(order))
        if isinstance(event, Answer) and event.status in (200, 201):
            payment: dict[str, Any] = msgspec.json.decode(event.body)
            return str(payment["id"]) if payment["state"] == "approved" else None
        if isinstance(event, Answer) and event.status not in (202, 503):
            return None
        await asyncio.sleep(2.0)
    return None


async def _tried(session: Session, send: Send) -> Event:
    """
    Send until somebody answers, a few times.
    """
    event = await session.send(send)
    for _ in range(TRIES_MAX):
        if isinstance(event, Answer) and event.status != 503:
            break
        await asyncio.sleep(1.0)
        event = await session.send(send)
    return event


def _timed(send: Send) -> Send:
    return msgspec.structs.replace(send, seconds=TRY_SECONDS)


def _card(number: str) -> Card:
    return Card(number=number, expiry_month=12, expiry_year=2030, cvv="123")
