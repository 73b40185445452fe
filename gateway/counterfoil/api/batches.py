"""
/v1/batches: close the day, and see how the batches stand.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from counterfoil import ids
from counterfoil.api.answers import as_json
from counterfoil.api.bodies import Nothing
from counterfoil.api.desk import Desk, caller
from counterfoil.api.exchange import Request, Response
from counterfoil.api.paging import query_of
from counterfoil.api.reading import read
from counterfoil.settlement.batches import shown_batch
from counterfoil.settlement.close import begin
from counterfoil.store.batches import Row

LISTED_MAX = 100

BatchState = Literal["open", "closing", "totalling", "uploading", "closed", "needs_a_person"]


class Side(msgspec.Struct, frozen=True):
    """
    One side's totals: items and net amount, and the gross counts and amounts behind them.
    """

    count: int
    amount_minor: int
    debits: int
    debits_minor: int
    debit_reversals: int
    debit_reversals_minor: int
    credits: int
    credits_minor: int
    credit_reversals: int
    credit_reversals_minor: int
    authorizations: int


class BatchAnswer(msgspec.Struct, frozen=True):
    """
    A batch of one terminal and currency, with both sides' totals once they are known.
    """

    merchant: str
    batch: Annotated[str, Meta(examples=["TERM0001/USD/000001"])]
    acquirer: str
    currency: str
    state: BatchState
    items: int | None
    net: str | None
    ours: Side | None
    host: Side | None
    differs_by_minor: int | None
    settlement_date: str | None
    cause: str | None
    opened_at: datetime
    closing_at: datetime | None
    closed_at: datetime | None


class BatchesAnswer(msgspec.Struct, frozen=True):
    """
    Batches, newest first, at most a hundred.
    """

    data: list[BatchAnswer]
    object: Literal["list"] = "list"


class BatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Which batches.
    """

    state: Annotated[BatchState, Meta(description="Only batches in this state.")] | UnsetType = (
        UNSET
    )


async def list_batches(request: Request, desk: Desk) -> Response:
    """
    Return the merchant's batches, newest first.
    """
    key = await caller(request, desk)
    query = query_of(request, BatchQuery)
    rows = await desk.batches.page(key.merchant.merchant_id, query.state or None, LISTED_MAX)
    return _answer(rows)


async def close_batches(request: Request, desk: Desk) -> Response:
    """
    Close every open batch that holds anything; the acquirer's word comes later.
    """
    key = await caller(request, desk)
    await read(request, Nothing, desk.body_bytes_max)
    merchant_id = key.merchant.merchant_id
    opened_before = desk.road.clock.now() + timedelta(seconds=1)
    keys = await desk.batches.to_close(merchant_id, opened_before)
    actor = ids.written(ids.KEY, key.key_id)
    begun = await desk.money_task(
        begin(keys, desk.batches, desk.road, cause="merchant", actor=actor)
    )
    rows = [row for each in begun if (row := await desk.batches.row(each))]
    return _answer(rows)


def _answer(rows: list[Row]) -> Response:
    shown = [msgspec.convert(shown_batch(row), BatchAnswer) for row in rows]
    return as_json(BatchesAnswer(shown))
