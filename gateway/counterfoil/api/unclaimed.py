"""
/v1/unclaimed: approvals that nobody has acknowledged, while they wait and after they were reversed.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from counterfoil import ids
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import PaymentAnswer, PaymentId
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import LIMIT_DEFAULT, query_of
from counterfoil.api.showing import show_all
from counterfoil.store.payments import PAGE_MAX, Unclaimed


class UnclaimedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How many, and where the page begins (`cursor` of the page before).
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Approvals on a page.")] = (
        LIMIT_DEFAULT
    )
    cursor: (
        Annotated[
            str,
            Meta(pattern=r"^pay_[0-9a-f]{32}\Z", description="`next_cursor` of the page before."),
        ]
        | UnsetType
    ) = UNSET


class UnclaimedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    One approval that nobody has acknowledged. `seconds_left` is null once it is reversed.
    """

    status: Literal["waiting", "reversed"]
    seconds_left: float | None
    reversed_at: datetime | None
    payment: PaymentAnswer


class UnclaimedPageAnswer(msgspec.Struct, frozen=True):
    """
    Unclaimed approvals, newest first. `next_cursor` is null on the last page.
    """

    data: list[UnclaimedAnswer]
    next_cursor: PaymentId | None
    object: Literal["list"] = "list"


async def list_unclaimed(request: Request, desk: Desk) -> Response:
    """
    Return a page of approvals that wait to be acknowledged, or were reversed because nobody did.
    """
    key = await caller(request, desk)
    query = query_of(request, UnclaimedQuery)
    before = ids.read(ids.PAYMENT, query.cursor) if query.cursor else None
    found = await desk.road.store.unclaimed_page(key.merchant, before, query.limit + 1)
    shown = found[: query.limit]
    more = len(found) > query.limit
    cursor = ids.written(ids.PAYMENT, shown[-1].payment.payment_id) if more else None
    payments = await show_all([each.payment for each in shown], desk)
    answers = [_answer(each, seen, desk) for each, seen in zip(shown, payments, strict=True)]
    return as_json(UnclaimedPageAnswer(answers, cursor))


def _answer(found: Unclaimed, shown: PaymentAnswer, desk: Desk) -> UnclaimedAnswer:
    payment, left = found.payment, None
    if found.reversed_at is None:
        assert payment.acknowledge_by is not None, "an approval waits until a time"
        left = (payment.acknowledge_by - desk.road.clock.now()).total_seconds()
    return UnclaimedAnswer(
        status="reversed" if left is None else "waiting",
        seconds_left=None if left is None else max(round(left, 1), 0.0),
        reversed_at=found.reversed_at,
        payment=shown,
    )
