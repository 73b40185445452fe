"""
The requests of the gateway's API, `/v1`: paths and bodies.
"""

import hashlib
import re
from urllib.parse import urlencode

import msgspec

from counterfoil_client.cards import Billing, Card
from counterfoil_client.commands import Intent, Send
from counterfoil_client.errors import InvalidRequest
from counterfoil_client.limits import REQUEST_BYTES_MAX

CONFLICT = 409
UNPROCESSABLE = 422
KEY_CHARACTERS_MAX = 255
PAYMENT_LIKE = "a payment's id looks like pay_0192...; pass it, or the Payment"
CHECKOUT_LIKE = "a checkout's id looks like chk_0192...; pass it, or the Checkout"

_KEY = re.compile(rf"[!-~]{{1,{KEY_CHARACTERS_MAX}}}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_VOICE_CODE = re.compile(r"[A-Za-z0-9]{1,6}", re.ASCII)
_IN_ORDER = msgspec.json.Encoder(order="sorted")

Body = dict[str, object]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a payment asks for, besides the card.
    """

    kind: str
    amount_minor: int
    currency: str
    order: str | None = None
    description: str | None = None
    customer_email: str | None = None
    billing: Billing | None = None
    voice_approval_code: str | None = None
    customer_ip: str | None = None
    duplicate_check: bool = True


def payment(key: str, terms: Terms, card: Card) -> tuple[Intent, Send]:
    """
    Return what to write down and what to send for a payment that has to be acknowledged.
    """
    _keep_the_number_out(card, key, terms)
    shown = _shown(terms) | {"amount_minor": terms.amount_minor}
    shown["customer_email"] = terms.customer_email
    path = "/v1/payments"
    if terms.kind == "credit":
        path = "/v1/credits"
        del shown["billing"]  # Nothing is verified of who is given money.
    elif terms.kind == "forced":
        shown["voice_approval_code"] = _checked_voice_code(terms.voice_approval_code)
    else:
        shown["capture"] = "automatic" if terms.kind == "sale" else "manual"
    intent = Intent(
        key=key,
        kind=terms.kind,
        fingerprint=_fingerprint({**shown, "last4": card.last4}),
        order=terms.order,
        amount_minor=terms.amount_minor,
        currency=terms.currency,
        last4=card.last4,
    )
    return intent, _post(path, _with_card(shown | _screened(terms), card), key)


def verification(key: str, terms: Terms, card: Card) -> Send:
    """
    Return what to send to ask about a card; it moves nothing, so nothing is written down.
    """
    _keep_the_number_out(card, key, terms)
    return _post("/v1/verifications", _with_card(_shown(terms) | _screened(terms), card), key)


def movement(
    key: str,
    kind: str,
    payment_id: str,
    amount_minor: int | None,
    currency: str | None,
    *,
    final: bool = False,
) -> tuple[Intent, Send]:
    """
    Return what to write down and what to send for a capture, void, refund or undo.
    """
    body = _present({"amount_minor": amount_minor, "final": final or None})
    intent = Intent(
        key=key,
        kind=kind,
        fingerprint=_fingerprint({**body, "kind": kind, "payment_id": payment_id}),
        payment_id=payment_id,
        amount_minor=amount_minor,
        currency=currency,
    )
    return intent, _post(f"/v1/payments/{checked_id(payment_id)}/{kind}", body, key)


def acknowledge(payment_id: str) -> Send:
    """
    Return "I have it" for an approval.
    """
    return _post(f"/v1/payments/{checked_id(payment_id)}/acknowledge", {})


def refuse(payment_id: str) -> Send:
    """
    Return "I do not want it" for an approval.
    """
    return _post(f"/v1/payments/{checked_id(payment_id)}/refuse", {})


def resolve(key: str) -> Send:
    """
    Return the question what became of *key*, which fences a key never seen.
    """
    return _post("/v1/resolve", {"idempotency_key": checked_key(key)})


def get(payment_id: str) -> Send:
    """
    Return the question for one payment.
    """
    return Send(method="GET", path=f"/v1/payments/{checked_id(payment_id)}")


def listing(filters: Body) -> Send:
    """
    Return the question for a page of payments.
    """
    return Send(method="GET", path=f"/v1/payments?{urlencode(_present(filters))}")


def unclaimed(filters: Body) -> Send:
    """
    Return the question for a page of unclaimed approvals.
    """
    return Send(method="GET", path=f"/v1/unclaimed?{urlencode(_present(filters))}")


def events(after: int, limit: int, wait_seconds: int) -> Send:
    """
    Return the question for a page of the feed.
    """
    asked = {"after": after, "limit": limit, "wait_seconds": wait_seconds}
    return Send(method="GET", path=f"/v1/events?{urlencode(asked)}")


def checkout(key: str, body: Body) -> Send:
    """
    Return the request for a payment page.
    """
    return _post("/v1/checkouts", _present(body), key)


def get_checkout(checkout_id: str) -> Send:
    """
    Return the question for one checkout.
    """
    return Send(method="GET", path=f"/v1/checkouts/{checked_id(checkout_id, CHECKOUT_LIKE)}")


def expire_checkout(checkout_id: str) -> Send:
    """
    Return "nobody shall pay it any more".
    """
    return _post(f"/v1/checkouts/{checked_id(checkout_id, CHECKOUT_LIKE)}/expire", {})


def checked_key(key: str) -> str:
    """
    Return *key* if it can stand in a header.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"an idempotency key is 1 to {KEY_CHARACTERS_MAX} printable ASCII characters, no spaces"
        )
    return key


def checked_id(identifier: str, like: str = PAYMENT_LIKE) -> str:
    """
    Return *identifier* if it can stand in a path; *like* says what it should look like.
    """
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        raise InvalidRequest(like)
    return identifier


def _checked_voice_code(code: str | None) -> str:
    if not isinstance(code, str) or not _VOICE_CODE.fullmatch(code):
        raise InvalidRequest("a voice approval code is 1 to 6 letters and digits")
    return code


def _shown(terms: Terms) -> Body:
    """
    Return what all kinds of payments say, without the card.
    """
    return {
        "currency": terms.currency,
        "order": terms.order,
        "description": terms.description,
        "billing": _present(msgspec.structs.asdict(terms.billing)) if terms.billing else None,
    }


def _screened(terms: Terms) -> Body:
    """
    Return what only screening looks at. A repeat may say it otherwise: it is no part of the
    fingerprint, here and at the gateway.
    """
    said: Body = {"customer_ip": terms.customer_ip}
    return said if terms.duplicate_check else said | {"duplicate_check": False}


def _with_card(shown: Body, card: Card) -> Body:
    return {**_present(shown), "card": _present(msgspec.structs.asdict(card))}


def _post(path: str, body: Body, key: str | None = None) -> Send:
    encoded = msgspec.json.encode(body)
    if len(encoded) > REQUEST_BYTES_MAX:
        raise InvalidRequest(f"a request has at most {REQUEST_BYTES_MAX} bytes")
    return Send(method="POST", path=path, body=encoded, key=key)


def _keep_the_number_out(card: Card, key: str, terms: Terms) -> None:
    """
    Refuse a card number where it would be written down.
    """
    billing = terms.billing or Billing()
    texts = (
        key,
        terms.order,
        terms.description,
        terms.customer_email,
        billing.postal_code,
        billing.street,
    )
    if any(card.number in re.sub(r"[ -]", "", text) for text in texts if text):
        raise InvalidRequest("the card number stands in a field that is written down")


def _fingerprint(shown: Body) -> str:
    return hashlib.sha256(_IN_ORDER.encode(shown)).hexdigest()


def _present(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}
