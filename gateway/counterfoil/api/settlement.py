"""
/v1/deposits and /v1/findings: what reached the bank, what it is made of, what does not agree.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from counterfoil import ids
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import CurrencyCode
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import LIMIT_DEFAULT, known_currency, query_of
from counterfoil.api.problems import Problem
from counterfoil.settlement.explained import (
    DepositAnswer,
    DepositState,
    FindingAnswer,
    FindingKind,
    explained,
    finding_answer,
    summary,
)
from counterfoil.store.deposits import LINES_PAGE_MAX, PAGE_MAX

LINE_MAX = 1_000_000
_REFERENCE = re.compile(r"[A-Za-z0-9-]{1,35}")

Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="How many on a page.")]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,35}\Z")]


class DepositsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which deposits, how many, and where the page begins.
    """

    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[Reference, Meta(description="`next_cursor` of the page before.")] | UnsetType
    ) = UNSET
    state: Annotated[DepositState, Meta(description="Only deposits in this state.")] | UnsetType = (
        UNSET
    )
    currency: CurrencyCode | UnsetType = UNSET


class LinesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How many lines of a deposit, and after which one.
    """

    limit: Annotated[
        int, Meta(ge=1, le=LINES_PAGE_MAX, description="How many lines of the report.")
    ] = LINES_PAGE_MAX
    after_line: Annotated[
        int, Meta(ge=0, le=LINE_MAX, description="`next_line` of the answer before.")
    ] = 0


class FindingsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which findings, how many, and where the page begins.
    """

    limit: Limit = LIMIT_DEFAULT
    cursor: (
        Annotated[
            str,
            Meta(pattern=r"^fnd_[0-9a-f]{32}\Z", description="`next_cursor` of the page before."),
        ]
        | UnsetType
    ) = UNSET
    state: (
        Annotated[Literal["open", "resolved"], Meta(description="Only open or resolved ones.")]
        | UnsetType
    ) = UNSET
    kind: Annotated[FindingKind, Meta(description="Only findings of this kind.")] | UnsetType = (
        UNSET
    )


class DepositsAnswer(msgspec.Struct, frozen=True):
    """
    Deposits, newest first. `next_cursor` is null on the last page.
    """

    data: list[DepositAnswer]
    next_cursor: str | None
    object: Literal["list"] = "list"


class FindingsAnswer(msgspec.Struct, frozen=True):
    """
    Findings, newest first. `next_cursor` is null on the last page.
    """

    data: list[FindingAnswer]
    next_cursor: str | None
    object: Literal["list"] = "list"


async def list_deposits(request: Request, desk: Desk) -> Response:
    """
    Answer a page of deposits.
    """
    key = await caller(request, desk)
    query = query_of(request, DepositsQuery)
    rows = await desk.deposits.page(
        key.merchant.merchant_id,
        state=query.state or None,
        currency=known_currency(query.currency),
        before=query.cursor or None,
        limit=query.limit + 1,
    )
    found = [summary(row) for row in rows[: query.limit]]
    more = found[-1].reference if len(rows) > query.limit else None
    return as_json(DepositsAnswer(found, more))


async def get_deposit(request: Request, desk: Desk) -> Response:
    """
    Answer one deposit with all that it is made of.
    """
    key = await caller(request, desk)
    query = query_of(request, LinesQuery)
    reference = request.names["reference"]
    row = None
    if _REFERENCE.fullmatch(reference):
        row = await desk.deposits.deposit(key.merchant.merchant_id, reference)
    if row is None:
        raise Problem("not_found", "This merchant has no deposit with this reference.")
    return as_json(
        await explained(row, desk.deposits, after_line=query.after_line, limit=query.limit)
    )


async def list_findings(request: Request, desk: Desk) -> Response:
    """
    Answer a page of what does not agree.
    """
    key = await caller(request, desk)
    query = query_of(request, FindingsQuery)
    rows = await desk.deposits.findings(
        key.merchant.merchant_id,
        state=query.state or None,
        kind=query.kind or None,
        before=ids.read(ids.FINDING, query.cursor) if query.cursor else None,
        limit=query.limit + 1,
    )
    found = [finding_answer(row) for row in rows[: query.limit]]
    more = found[-1].id if len(rows) > query.limit else None
    return as_json(FindingsAnswer(found, more))
