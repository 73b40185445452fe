"""
The query of the list: filters, limit and cursor, read strictly.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from counterfoil import ids
from counterfoil.api.bodies import PRINTABLE, CurrencyCode, StateName
from counterfoil.api.problems import Problem
from counterfoil.api.reading import explained, shown_name
from counterfoil.ids import UnreadableId
from counterfoil.store.payments import PAGE_MAX, Filters

LIMIT_DEFAULT = 20

Word = Annotated[str, Meta(min_length=1, max_length=64)]


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which payments, how many, and where the page begins (`cursor` of the page before).
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(pattern="^pay_[0-9a-f]{32}$")] | None = None
    state: StateName | None = None
    order: Word | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None
    created_from: Annotated[datetime, Meta(tz=True)] | None = None
    created_to: Annotated[datetime, Meta(tz=True)] | None = None
    confirmation_number: Annotated[str, Meta(pattern="^[0-9]{12}$")] | None = None
    rrn: Annotated[str, Meta(pattern="^[0-9]{12}$")] | None = None


def page_request(request: Request) -> tuple[Filters, int]:
    """
    Return the filters and the limit that the query asks for.

    Raises:
        Problem: A parameter is unknown, doubled or not of its kind.
    """
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if name not in PageQuery.__struct_fields__:
            raise Problem("query_invalid", "This list has no such parameter.", param=name[:64])
        if names.count(name) > 1:
            raise Problem("query_invalid", "Send each parameter once.", param=name)
        if "\x00" in request.query_params[name]:
            raise Problem("query_invalid", "A parameter holds no NUL character.", param=name)
    query = _converted(dict(pairs))
    return (
        Filters(
            before=_cursor(query.cursor),
            state=query.state,
            order_number=query.order,
            currency=query.currency,
            created_from=query.created_from,
            created_to=query.created_to,
            confirmation_number=query.confirmation_number,
            rrn=query.rrn,
        ),
        query.limit,
    )


def _converted(values: dict[str, str]) -> PageQuery:
    try:
        return msgspec.convert(values, PageQuery, strict=False)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at `$.")
        raise Problem(
            "query_invalid", f"{sentence.replace('`', '')}.", param=path.rstrip("`") or None
        ) from None


def _cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    try:
        return ids.read(ids.PAYMENT, cursor)
    except UnreadableId:
        raise Problem(
            "cursor_invalid", "Use next_cursor of the page before.", param="cursor"
        ) from None
