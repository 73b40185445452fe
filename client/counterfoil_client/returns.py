"""
Check the way back from a payment page before anything believes what it says.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

import msgspec

from counterfoil_client.errors import ReturnRefused

TOLERANCE_SECONDS = 300  # Older or newer returns are refused: a kept address says nothing later.
PREFIX = "rsec_"
FORM = "counterfoil-return-1"
SIGNED = ("checkout", "status", "payment", "confirmation", "at")


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a payment page said when it sent the shopper back.
    """

    checkout: str
    status: str
    payment: str | None
    confirmation_number: str | None

    @property
    def paid(self) -> bool:
        """
        Whether it was paid. Before shipping, ask `get_checkout` as well.
        """
        return self.status == "paid"


def verify_return(
    returned: str | Mapping[str, str],
    return_secret: str,
    *,
    clock: Callable[[], float] = time.time,
) -> Return:
    """
    Return what the way back says, if it was signed with the checkout's own secret and is not old.

    *returned* is the address that the shopper came to, or its parameters; *return_secret* is the
    one of the checkout that belongs to the order, from the shop's own books.

    Raises:
        ReturnRefused: Forged, changed, of another checkout, or more than five minutes old or new:
            ask `get_checkout` instead.
        ValueError: *return_secret* is no return secret.
    """
    if not return_secret.startswith(PREFIX):
        raise ValueError(f"a return secret begins with {PREFIX}")
    said = _parameters(returned)
    try:
        values = [said[name] for name in SIGNED]
        signature = said["signature"]
    except KeyError as error:
        raise ReturnRefused(f"the parameter {error.args[0]} is missing") from None
    signed = "\n".join((FORM, *values))
    due = hmac.new(return_secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(due.encode(), signature.encode()):
        raise ReturnRefused("its signature is not right: forged, changed, or another checkout's")
    at = said["at"]
    if not (at.isascii() and at.isdecimal()) or abs(clock() - int(at)) > TOLERANCE_SECONDS:
        raise ReturnRefused(f"it is more than {TOLERANCE_SECONDS} seconds old or new")
    return Return(
        checkout=said["checkout"],
        status=said["status"],
        payment=said["payment"] or None,
        confirmation_number=said["confirmation"] or None,
    )


def _parameters(returned: str | Mapping[str, str]) -> Mapping[str, str]:
    """
    Return the parameters; one that we sign and that stands twice is none.
    """
    if not isinstance(returned, str):
        return returned
    pairs = parse_qsl(urlsplit(returned).query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name in (*SIGNED, "signature"):
        if names.count(name) > 1:
            raise ReturnRefused(f"the parameter {name} stands twice")
    return dict(pairs)
