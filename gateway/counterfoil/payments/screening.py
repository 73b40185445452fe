"""
Screen a payment: by the merchant's rules, by the block list, and by the networks' limits.

Stands between the *order* and the *intent*: what is refused here is written as a declined
payment, in the same statement and under the same key as any other, and never reaches the
network. AVS and CVV are known only after the issuer has approved: what the rules do not
accept is given back in the same durable step as its outcome. A verification holds nothing; one
that they do not accept is declined.
"""

import ipaddress
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from counterfoil import ids
from counterfoil.cards import brand
from counterfoil.money import amount_text
from counterfoil.network.requests import REASON_VOID
from counterfoil.network.response_codes import (
    Class,
    Limit,
    counts_as_decline,
    forbids_another,
    meaning,
    network_limits,
)
from counterfoil.network.verification_results import CVV_WORDS, address_words, avs, cvv
from counterfoil.payments.lifecycle import Cause, Kind, State
from counterfoil.payments.order import Order
from counterfoil.payments.policy import Policy, Velocity
from counterfoil.payments.refusals import NothingWritten
from counterfoil.payments.road import Road
from counterfoil.payments.screened import Result, Rule, Verdict, written_results
from counterfoil.store.payments import Conclusion
from counterfoil.store.screening import Counted, Known, Look
from counterfoil.store.writer import QueueFull

MONTH = timedelta(days=30)
DAY = timedelta(days=1)
RETRY_SOON_SECONDS = 2
IPV6_PREFIX = 64  # One household or one machine has a whole /64.

# A credit gives money, and a forced capture has its approval: neither tries a card.
TRIES = (Kind.SALE, Kind.AUTHORIZATION, Kind.VERIFICATION)
MONEY = (Kind.SALE, Kind.AUTHORIZATION, Kind.FORCED)

Subject = Literal["card", "email", "address", "merchant"]
VELOCITY_RULES: dict[Subject, Rule] = {
    "card": "velocity_card",
    "email": "velocity_email",
    "address": "velocity_address",
    "merchant": "velocity_merchant",
}
BLOCKED_WORDS = {
    "card": "The card is on the block list.",
    "bin": "The card's first digits are on the block list.",
    "email": "The e-mail address is on the block list.",
    "email_domain": "The domain of the e-mail address is on the block list.",
}


class Subjects(msgspec.Struct, frozen=True):
    """
    Whom counts are about, as keyed digests: the card, the e-mail and the network address.
    """

    card: bytes
    email: bytes | None
    address: bytes | None


class Screened(msgspec.Struct, frozen=True, kw_only=True):
    """
    What screening says before the network: the rules that hold, and what they refuse.
    """

    policy: Policy
    subjects: Subjects
    refusals: tuple[Result, ...]
    guard: bytes | None


async def screen(order: Order, card: bytes, road: Road) -> Screened:
    """
    Screen *order* by what is known now; *card* is the fingerprint of its card.

    Raises:
        NothingWritten: Too many wait for the database; try again.
        DatabaseAway: It does not answer; nothing was begun.
    """
    merchant_id = order.merchant.merchant_id
    policy = await road.store.screening.policy(merchant_id)
    if order.duplicate_seconds > policy.duplicate_seconds:
        policy = msgspec.structs.replace(policy, duplicate_seconds=order.duplicate_seconds)
    subjects = _subjects(order, card, road)
    refusals: list[Result] = []
    if order.kind is not Kind.CREDIT:
        try:
            known = await road.store.screen(_look(order, policy, subjects, road))
        except QueueFull as error:
            raise NothingWritten(str(error), retry_after_seconds=RETRY_SOON_SECONDS) from error
        refusals += judge(order, policy, known, limits=road.routes.settings.network_limits)
    if policy.merchant and order.kind in MONEY and not refusals:
        since = ids.first_at(road.clock.now() - timedelta(seconds=policy.merchant.seconds))
        taken = await road.store.screening.volume(
            merchant_id, since, order.currency.code, policy.merchant.seconds, order.amount_minor
        )
        refusals += _velocity("merchant", policy.merchant, taken, order)
    return Screened(
        policy=policy,
        subjects=subjects,
        refusals=tuple(refusals),
        guard=_guard(order, policy, subjects, road),
    )


def judge(order: Order, policy: Policy, known: Known, *, limits: bool) -> Iterator[Result]:
    """
    Yield each rule that refuses *order*, in words; with *limits*, also the networks' own.
    """
    for kind in known.blocked:
        yield Result("block_list", "refused", BLOCKED_WORDS[kind])
    if order.kind not in TRIES:
        return
    if limits:
        yield from _network_limits(order, known)
    yield from _declines(policy, known)
    yield from _velocity("card", policy.card, known.card, order)
    yield from _velocity("email", policy.email, known.email, order)
    yield from _velocity("address", policy.address, known.address, order)


def judge_answer(said: Conclusion, screened: Screened, order: Order) -> Conclusion:
    """
    Return what the rules make of the network's answer: an approval may have to go back.

    Also marks what counts: a decline against the card, an outage against nobody.
    """
    refusals = _verification_refusals(said, screened.policy, order)
    if said.to_state is State.VERIFIED and refusals:  # Nothing is held: there is nothing to undo.
        said = msgspec.structs.replace(
            said,
            to_state=State.DECLINED,
            cause=Cause.SCREENED,
            screening=written_results(refusals),
        )
    if said.to_state is State.APPROVED and refusals:
        said = msgspec.structs.replace(
            said,
            to_state=State.REVERSING,
            cause=Cause.SCREENED,
            reason_code=REASON_VOID,
            acknowledge_by=None,
            screening=written_results(refusals),
        )
    return _marked(said, screened, order)


def _network_limits(order: Order, known: Known) -> Iterator[Result]:
    if known.never_again:
        words = "The issuer has forbidden another try of this card for this amount."
        yield Result("network_limit", "refused", words)
        return
    for limit in network_limits(brand(order.card.number)):
        declines = known.same_day if limit.within <= DAY else known.same_month
        if declines >= limit.tries_max:
            yield Result("network_limit", "refused", _limit_words(limit, declines))
            return


def _limit_words(limit: Limit, declines: int) -> str:
    return (
        f"This card was declined {declines} times for this amount within {limit.within.days} "
        f"{'day' if limit.within == DAY else 'days'}; its network allows {limit.tries_max} tries."
    )


def _declines(policy: Policy, known: Known) -> Iterator[Result]:
    if not policy.declines_max:
        return
    found = {
        "card": known.card_declines,
        "e-mail address": known.email_declines,
        "network address": known.address_declines,
    }
    for subject, declines in found.items():
        if declines >= policy.declines_max:
            words = (
                f"{declines} declines of this {subject} within {policy.declines_seconds} seconds; "
                f"the shop stops at {policy.declines_max}."
            )
            yield Result("declines", "refused", words)
            return


def _velocity(
    subject: Subject, rule: Velocity | None, counted: Counted, order: Order
) -> Iterator[Result]:
    if rule is None:
        return
    name = VELOCITY_RULES[subject]
    within = f"within {rule.seconds} seconds"
    if rule.payments_max is not None and counted.payments + 1 > rule.payments_max:
        payments = "1 payment" if rule.payments_max == 1 else f"{rule.payments_max} payments"
        words = f"The shop takes at most {payments} of one {subject} {within}."
        yield Result(name, "refused", words)
    elif (
        rule.amount_minor_max is not None
        and counted.amount_minor + order.amount_minor > rule.amount_minor_max
    ):
        most = amount_text(rule.amount_minor_max, order.currency.code)
        words = f"The shop takes at most {most} of one {subject} {within}."
        yield Result(name, "refused", words)


def _verification_refusals(said: Conclusion, policy: Policy, order: Order) -> list[Result]:
    if order.kind not in TRIES or not (policy.avs_refused or policy.cvv_refused):
        return []
    result: Verdict = "refused" if order.kind is Kind.VERIFICATION else "reversed"
    found = []
    address = avs(said.avs_result, brand(order.card.number))
    if address in policy.avs_refused:
        words = address_words(
            address, street=bool(order.street), postal_code=bool(order.postal_code)
        )
        found.append(Result("avs", result, words))
    code = cvv(said.cvv_result)
    if code in policy.cvv_refused:
        found.append(Result("cvv", result, CVV_WORDS[code]))
    return found


def _marked(said: Conclusion, screened: Screened, order: Order) -> Conclusion:
    subjects, policy = screened.subjects, screened.policy
    of_brand = brand(order.card.number)
    code = said.response_code or ""
    if order.kind not in TRIES:
        return said
    if said.to_state is State.DECLINED and counts_as_decline(code, of_brand):
        counts = policy.declines_max > 0
        return msgspec.structs.replace(
            said,
            mark="decline",
            never_again=forbids_another(code, of_brand, said.advice_code),
            card_subject=subjects.card,
            email_subject=subjects.email if counts else None,
            address_subject=subjects.address if counts else None,
        )
    if policy.counts_tries and _is_outage(said, code, of_brand):
        tried = tries_of(screened, order)
        return msgspec.structs.replace(
            said,
            mark="outage",
            card_subject=tried.card,
            email_subject=tried.email,
            address_subject=tried.address,
        )
    return said


def _is_outage(said: Conclusion, code: str, of_brand: str) -> bool:
    if said.to_state is State.DECLINED:
        return meaning(code, of_brand).kind is Class.TECHNICAL
    return said.cause in (Cause.NOTHING_WRITTEN, Cause.ANSWER_MISSING, Cause.ANSWER_BAD)


class Tries(msgspec.Struct, frozen=True):
    """
    Whose tries are counted: of each rule that is on.
    """

    card: bytes | None
    email: bytes | None
    address: bytes | None


def tries_of(screened: Screened, order: Order) -> Tries:
    """
    Return for whom the payment counts as a try.
    """
    if order.kind not in TRIES:
        return Tries(None, None, None)
    policy, subjects = screened.policy, screened.subjects
    return Tries(
        subjects.card if policy.card else None,
        subjects.email if policy.email else None,
        subjects.address if policy.address else None,
    )


def _subjects(order: Order, card: bytes, road: Road) -> Subjects:
    merchant_id = order.merchant.merchant_id

    def digest(domain: bytes, text: str | None) -> bytes | None:
        return road.vault.keyed_digest(domain, merchant_id, text.encode()) if text else None

    return Subjects(
        card,
        digest(b"email", email_text(order.customer_email)),
        digest(b"address", address_text(order.customer_ip)),
    )


def email_text(email: str | None) -> str | None:
    """
    Return an e-mail address as it is compared.
    """
    return email.lower() if email else None


def address_text(address: str | None) -> str | None:
    """
    Return a network address as it is compared: an IPv6 address by its first 64 bits, one that
    only wraps an IPv4 address (::ffff:203.0.113.7, RFC 4291, 2.5.5.2) as that.
    """
    if not address:
        return None
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address.lower()
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


def _guard(order: Order, policy: Policy, subjects: Subjects, road: Road) -> bytes | None:
    if not policy.duplicate_seconds or not order.duplicate_check or order.kind not in MONEY:
        return None
    said = (order.amount_minor, order.currency.code, order.order_number, subjects.card.hex())
    return road.vault.keyed_digest(
        b"duplicate", order.merchant.merchant_id, msgspec.json.encode(said)
    )


def _look(order: Order, policy: Policy, subjects: Subjects, road: Road) -> Look:
    now = road.clock.now()
    email = email_text(order.customer_email)

    def since(rule: Velocity | None) -> datetime | None:
        return now - timedelta(seconds=rule.seconds) if rule else None

    (look_id,) = road.ids.several(1, now)
    declines = timedelta(seconds=policy.declines_seconds)
    return Look(
        merchant_id=order.merchant.merchant_id,
        payment_id=look_id,
        card=subjects.card,
        email=subjects.email,
        address=subjects.address,
        amount_minor=order.amount_minor,
        currency=order.currency.code,
        at=now,
        card_since=since(policy.card),
        email_since=since(policy.email),
        address_since=since(policy.address),
        declines_since=now - declines if policy.declines_max else None,
        month_since=now - MONTH,
        day_since=now - DAY,
        bin=order.card.bin,
        email_text=email,
        email_domain=email.rpartition("@")[2] if email else None,
    )
