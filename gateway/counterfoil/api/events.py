"""
/v1/events: everything that happened, numbered without gaps, readable for ever.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from counterfoil.api.answers import as_json
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import query_of
from counterfoil.api.problems import Problem
from counterfoil.events.feed import WAIT_SECONDS_MAX
from counterfoil.events.shown import EventAnswer, event_answer
from counterfoil.store.feed import PAGE_MAX

LIMIT_DEFAULT = 100
NUMBER_MAX = 10**17


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where to read on, how much, and how long to wait for something new.
    """

    after: Annotated[
        int, Meta(ge=0, le=NUMBER_MAX, description="Events with a greater number; 0 for all.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Events on a page.")] = LIMIT_DEFAULT
    wait_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=WAIT_SECONDS_MAX,
            description="How long to wait when `after` is the number of the latest event.",
        ),
    ] = 0


class EventsAnswer(msgspec.Struct, frozen=True):
    """
    Events, oldest first. Read on with `after=<next_after>`.
    """

    data: list[EventAnswer]
    next_after: Annotated[int, Meta(ge=0)]
    object: Literal["list"] = "list"


async def list_events(request: Request, desk: Desk) -> Response:
    """
    Answer a page of the feed, oldest first.
    """
    key = await caller(request, desk)
    query = query_of(request, EventsQuery)
    rows = await desk.feed.read(
        key.merchant.merchant_id,
        after=query.after,
        limit=query.limit,
        wait_seconds=query.wait_seconds,
    )
    if not rows and query.after > (head := await desk.feed.head(key.merchant.merchant_id)):
        raise Problem(
            "feed_behind",
            f"The feed's latest number is {head}: this gateway was restored from a backup and is "
            "not back yet, or the number is another gateway's. Ask again later with the same "
            "number: a restored feed goes on beyond it, with a feed.resumed.",
            param="after",
        )
    found = [event_answer(row, desk.mode) for row in rows]
    return as_json(EventsAnswer(found, found[-1].number if found else query.after))
