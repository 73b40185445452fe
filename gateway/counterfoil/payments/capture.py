"""
Capture an authorized payment, in one part or several.

Stands between *authorize* and *batch*: takes part or all of what is held and puts it into
the merchant's open batch. The last capture may let the rest of the hold go at once.
"""

from datetime import datetime

from counterfoil.money import amount_text
from counterfoil.payments.commands import Command, Done, announce, late_until, once, start
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import CAPTURES_MAX, Payment, held_minor
from counterfoil.payments.refusals import AmountTooLarge, CaptureTooLate, NotNow
from counterfoil.payments.road import Road


async def capture(command: Command, road: Road) -> Done:
    """
    Take what an authorization holds, or a part, and put it into the open batch.

    Raises:
        CaptureTooLate: The hold has lapsed; authorize again.
        AmountTooLarge: More than is still held.
        NotNow: Nothing is held. KeyReused, KeyFenced, PaymentUnknown: as named.
    """
    return await once("capture", command, _capture, road)


async def _capture(
    command: Command, payment: Payment, fingerprint: bytes, road: Road
) -> Payment | None:
    _check(command, payment, road.clock.now())
    await announce(payment, road)
    at = road.clock.now()
    captured = await road.store.capture(
        *start(command, fingerprint, road, ids=4),
        command.amount_minor,
        command.is_final,
        road.ids.new(),
        road.ids.new(),
        CAPTURES_MAX,
        late_until(at, road),
        at,
        command.actor,
    )
    if captured is None and await _too_many(payment, road):
        raise NotNow(f"an authorization is captured {CAPTURES_MAX} times at most", payment)
    return captured


def _check(command: Command, payment: Payment, at: datetime) -> None:
    """
    Refuse what cannot be captured, saying why; the statement's own guard decides races.
    """
    if payment.kind is not Kind.AUTHORIZATION or payment.state not in (
        State.AUTHORIZED,
        State.CAPTURED,
        State.EXPIRED,
    ):
        raise NotNow(
            f"the {payment.kind} is {payment.state}: only what an authorization holds can be "
            "captured",
            payment,
        )
    if payment.state is State.EXPIRED or (payment.hold_until and payment.hold_until <= at):
        raise CaptureTooLate(
            f"the hold lapsed at {payment.hold_until:%Y-%m-%dT%H:%M:%SZ}: authorize again", payment
        )
    held = held_minor(payment)
    if not held:
        captured = amount_text(payment.captured_minor, payment.currency)
        released = amount_text(payment.released_minor, payment.currency)
        raise NotNow(
            f"nothing is held any more: {captured} was captured and {released} went back", payment
        )
    if command.amount_minor is not None and command.amount_minor > held:
        raise AmountTooLarge(
            f"{amount_text(command.amount_minor, payment.currency)} is more than the "
            f"{amount_text(held, payment.currency)} that is still held",
            payment,
            most_minor=held,
        )


async def _too_many(payment: Payment, road: Road) -> bool:
    made = [each for each in await road.store.movements(payment) if each.kind == "capture"]
    return len(made) >= CAPTURES_MAX
