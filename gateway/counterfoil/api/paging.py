"""
The query of the list: filters, limit and cursor, read strictly.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType, inspect

from counterfoil import ids
from counterfoil.api.bodies import PRINTABLE, CurrencyCode, StateName
from counterfoil.api.exchange import Request
from counterfoil.api.problems import Problem
from counterfoil.api.reading import explained, shown_name
from counterfoil.money import CURRENCIES
from counterfoil.store.payments import PAGE_MAX, Filters

LIMIT_DEFAULT = 20
_NUMBERS = ("limit", "after_line", "after", "wait_seconds", "before")
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

Query = TypeVar("Query", bound=msgspec.Struct)

Digits12 = Annotated[str, Meta(pattern=r"^[0-9]{12}\Z")]


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which payments, how many, and where the page begins (`cursor` of the page before).
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Payments on a page.")] = (
        LIMIT_DEFAULT
    )
    cursor: (
        Annotated[
            str,
            Meta(pattern=r"^pay_[0-9a-f]{32}\Z", description="`next_cursor` of the page before."),
        ]
        | UnsetType
    ) = UNSET
    state: StateName | UnsetType = UNSET
    order: (
        Annotated[
            str,
            Meta(min_length=1, max_length=64, pattern=PRINTABLE, description="The order number."),
        ]
        | UnsetType
    ) = UNSET
    currency: CurrencyCode | UnsetType = UNSET
    created_from: (
        Annotated[datetime, Meta(tz=True, description="At or after this time.")] | UnsetType
    ) = UNSET
    created_to: Annotated[datetime, Meta(tz=True, description="Before this time.")] | UnsetType = (
        UNSET
    )
    confirmation_number: Digits12 | UnsetType = UNSET
    rrn: Digits12 | UnsetType = UNSET


def page_request(request: Request) -> tuple[Filters, int]:
    """
    Return the filters and the limit that the query asks for.

    Raises:
        Problem: A parameter is unknown, doubled or not of its kind.
    """
    query = query_of(request, PageQuery)
    return (
        Filters(
            before=_cursor(query.cursor),
            state=query.state or None,
            order_number=query.order or None,
            currency=known_currency(query.currency),
            created_from=_moment(query.created_from, "created_from"),
            created_to=_moment(query.created_to, "created_to"),
            confirmation_number=query.confirmation_number or None,
            rrn=query.rrn or None,
        ),
        query.limit,
    )


def query_of(request: Request, kind: type[Query]) -> Query:
    """
    Return the query of a request as *kind*.

    Raises:
        Problem: A parameter is unknown, doubled or not of its kind.
    """
    values = _each_once(request.parameters(), kind.__struct_fields__)
    for name in _NUMBERS:
        if _NUMBER.fullmatch(values.get(name, "")):
            values[name] = int(values[name])
        elif name in values:
            raise Problem("query_invalid", "Expected a whole number, 0 or more.", param=name)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        found = explained(str(error))
        raise Problem("query_invalid", _named(found, kind), param=found.param) from None


def _named(found: Problem, kind: type[msgspec.Struct]) -> str:
    """
    Return what is wrong with which parameter; one of a few values is told which those are.
    """
    names = {each.name: each.type for each in inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    values = _values(names.get(found.param or ""))
    said = f"One of {', '.join(values)}." if values else found.detail
    return f"{found.param}: {said}" if found.param else said


def _values(kind: inspect.Type | None) -> list[str]:
    if isinstance(kind, inspect.UnionType):
        return [value for each in kind.types for value in _values(each)]
    return [str(each) for each in kind.values] if isinstance(kind, inspect.LiteralType) else []


def _each_once(pairs: list[tuple[str, str]], names: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in names:
            raise Problem(
                "query_invalid", "This list has no such parameter.", param=shown_name(name)
            )
        if name in values:
            raise Problem("query_invalid", "Send each parameter once.", param=name)
        values[name] = value
    return values


def _cursor(cursor: str | UnsetType) -> UUID | None:
    return ids.read(ids.PAYMENT, cursor) if cursor else None


def known_currency(code: str | UnsetType) -> str | None:
    """
    Return the currency that is asked for, if one is.

    Raises:
        Problem: There is no such currency.
    """
    if code is not UNSET and code not in CURRENCIES:
        raise Problem(
            "currency_unknown",
            "Use a currency of ISO 4217, in three capital letters, such as USD.",
            param="currency",
        )
    return code or None


def _moment(at: datetime | UnsetType, param: str) -> datetime | None:
    try:
        return at.astimezone(UTC) if at else None
    except OverflowError:
        raise Problem("query_invalid", "A time beyond the calendar.", param=param) from None
