"""
/v1/screening: the rules that hold for the merchant, to be read. The operator changes them.
"""

from datetime import datetime
from typing import Literal

import msgspec

from counterfoil.api.answers import as_json
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.payments.policy import Policy


class ScreeningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    A version of the rules; version 0 was never written: everything is off.
    """

    version: int
    changed_by: str | None
    changed_at: datetime | None
    policy: Policy
    object: Literal["screening"] = "screening"


async def get(request: Request, desk: Desk) -> Response:
    """
    Answer the merchant's rules as they are kept now.
    """
    key = await caller(request, desk)
    kept = await desk.road.store.screening.kept_policy(key.merchant.merchant_id)
    return as_json(
        ScreeningAnswer(
            version=kept.version, changed_by=kept.actor, changed_at=kept.at, policy=kept.policy
        )
    )
