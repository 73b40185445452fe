"""
Conclude a payment: what the network's answer, or its silence, makes of it.

Stands between the *answer* and the row that keeps it. No I/O here: an outcome and an
order go in, the row comes out. Whoever is in doubt about money owes a reversal; a
verification moves none, so it owes nothing and only says that nobody answered.
"""

from datetime import timedelta
from uuid import UUID

import msgspec

from counterfoil.network import requests
from counterfoil.network.masking import masked
from counterfoil.network.message import Fields, MessageError
from counterfoil.network.outcome import Answered, BadAnswer, NotSent, Outcome, OutcomeUnknown
from counterfoil.network.requests import Trace
from counterfoil.network.response_codes import (
    APPROVALS,
    LEAVES_OPEN,
    PARTIAL_APPROVAL,
    VERIFIED_ONLY,
)
from counterfoil.network.tlv import decode_tlv
from counterfoil.payments.lifecycle import Cause, Kind, State
from counterfoil.payments.order import Order, answer_mti
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.road import Road
from counterfoil.store.payments import Conclusion

DIVISIBLE = (Kind.SALE, Kind.AUTHORIZATION)  # What an issuer may approve a part of.


def conclude(
    outcome: Outcome, order: Order, payment_id: UUID, trace: Trace, road: Road
) -> Conclusion:
    """
    Return what an outcome of the try that *trace* names makes of a payment.
    """
    at = road.clock.now()
    event_id, message_id, transfer_id, advice_id = road.ids.several(4, at)
    base = Conclusion(
        merchant_id=order.merchant.merchant_id,
        payment_id=payment_id,
        stan=trace.stan,
        transmitted_at=trace.transmitted_at,
        event_id=event_id,
        to_state=in_doubt(order.kind),
        cause=Cause.ANSWER_MISSING,
        reason_code=requests.REASON_TIMEOUT,
        message_id=message_id,
        transfer_id=transfer_id,
        advice_id=advice_id,
        late_until=at + timedelta(seconds=road.timers.late_seconds),
        at=at,
    )
    match outcome:
        case NotSent():
            return _changed(base, State.NOT_SENT, Cause.NOTHING_WRITTEN)
        case OutcomeUnknown():
            return base
        case BadAnswer():
            return _bad(
                base,
                mti=answer_mti(order.kind) if outcome.fields else None,
                content=shown(outcome.fields) if outcome.fields else None,
            )
        case Answered():
            return _answered(base, outcome, order)


def in_doubt(kind: Kind) -> State:
    """
    Return what a payment becomes of which nobody knows whether it was approved.
    """
    return State.UNANSWERED if kind is Kind.VERIFICATION else State.REVERSING


def _answered(base: Conclusion, answer: Answered, order: Order) -> Conclusion:
    code = _text(answer.fields, 39)
    results = _text(answer.fields, 44)
    private = private_data(answer.fields)
    said = msgspec.structs.replace(
        base,
        mti=answer.mti,
        content=shown(answer.fields),
        response_code=code,
        approval_code=_text(answer.fields, 38).strip() or None,
        avs_result=results[0:1].strip() or None,
        cvv_result=results[1:2].strip() or None,
        network_transaction_id=private.get(requests.TAG_NETWORK_TRANSACTION_ID),
        settlement_date=_text(answer.fields, 15) or None,
        advice_code=private.get(requests.TAG_ADVICE),
    )
    if code in LEAVES_OPEN:
        return _bad(said)
    if order.kind is Kind.VERIFICATION:
        return _verification(said, code)
    if code in APPROVALS:
        return _approved(said, order, order.amount_minor)
    if code == PARTIAL_APPROVAL:
        return _partly_approved(said, answer, order)
    if code == VERIFIED_ONLY:
        # Neither yes nor no to an amount: whatever the host holds goes back.
        return _bad(said)
    return _changed(said, State.DECLINED, Cause.ISSUER_DECLINED)


def _verification(said: Conclusion, code: str) -> Conclusion:
    if code in APPROVALS or code == VERIFIED_ONLY:
        return _changed(said, State.VERIFIED, Cause.ISSUER_VERIFIED)
    if code == PARTIAL_APPROVAL:
        return _bad(said)
    return _changed(said, State.DECLINED, Cause.ISSUER_DECLINED)


def _partly_approved(said: Conclusion, answer: Answered, order: Order) -> Conclusion:
    """
    Take the part that the issuer approved, or give it back, as the merchant has chosen.
    """
    text = _text(answer.fields, 4)
    part_minor = int(text) if text.isascii() and text.isdigit() else 0
    if order.kind not in DIVISIBLE or not 0 < part_minor <= order.amount_minor:
        return _bad(said)
    if order.merchant.partial_approvals is PartialApprovals.ACCEPT:
        return _approved(said, order, part_minor)
    return _changed(
        said,
        State.REVERSING,
        Cause.REFUSED,
        reason_code=requests.REASON_VOID,
        authorized_minor=part_minor,
    )


def _approved(said: Conclusion, order: Order, amount_minor: int) -> Conclusion:
    """
    An approval waits to be acknowledged. A credit holds nothing: it has no authorized amount.
    """
    return _changed(
        said,
        State.APPROVED,
        Cause.ISSUER_APPROVED,
        authorized_minor=0 if order.kind is Kind.CREDIT else amount_minor,
        acknowledge_by=said.at + timedelta(seconds=order.merchant.acknowledge_seconds),
    )


def _bad(base: Conclusion, **fields: object) -> Conclusion:
    reason = requests.REASON_BAD_ANSWER
    return _changed(base, base.to_state, Cause.ANSWER_BAD, reason_code=reason, **fields)


def _changed(base: Conclusion, to_state: State, cause: Cause, **fields: object) -> Conclusion:
    return msgspec.structs.replace(
        base, to_state=to_state, cause=cause, **{"reason_code": None, **fields}
    )


def _text(fields: Fields, number: int) -> str:
    value = fields.get(number, "")
    return value if isinstance(value, str) else ""


def private_data(fields: Fields) -> dict[str, str]:
    """
    Return what DE 48 says, by tag; nothing when it cannot be read.
    """
    try:
        return decode_tlv(_text(fields, 48))
    except MessageError:
        return {}


def shown(fields: Fields) -> str:
    """
    Return a message as it may be kept: JSON of its masked fields.
    """
    kept = masked(fields)
    return msgspec.json.encode({number: kept[number] for number in sorted(kept)}).decode()
