"""
The list of payments by API: however rare what is asked for, one call reads so much and no more.
"""

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from api_stage import Api
from counted_pages import LAID, CountingDatabase, lay
from counterfoil import ids
from counterfoil.store.search import SCANNED_MAX, SearchStore
from payment_stage import Stage

PAGES_MAX = 2 * SCANNED_MAX  # Of the index, and of the rows that it names.
RARE = """
UPDATE payments SET currency = 'EUR' WHERE merchant_id = $1 AND payment_id = (
    SELECT min(payment_id::text)::uuid FROM payments WHERE merchant_id = $1)
"""


@pytest.fixture
async def counting(parameters: dict[str, str]) -> AsyncIterator[CountingDatabase]:
    """The database, which counts what is read."""
    opened = await CountingDatabase.open(size_max=1, **parameters)
    assert isinstance(opened, CountingDatabase)
    opened.read = defaultdict(list)
    yield opened
    await opened.close()


@pytest.fixture
async def api(stage: Stage, counting: CountingDatabase) -> Api:
    """A merchant of ten thousand payments in dollars, of which the oldest is in euros."""
    await stage.paid(order_number="1001")
    await lay(stage.database, stage.merchant.merchant_id, 1, ("payments",))
    async with stage.database.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(RARE, stage.merchant.merchant_id)
        await connection.execute("ANALYZE payments")
    api = await Api.of(stage)
    api.desk.search = lambda merchant_id: SearchStore(counting, merchant_id)
    return api


def read_at_once(counting: CountingDatabase) -> int:
    """Return how many pages were read, and count anew."""
    pages = sum(pages for calls in counting.read.values() for pages, _ in calls)
    counting.forget()
    return pages


async def test_what_is_rare_is_found_by_calls_that_each_look_so_far(
    api: Api, counting: CountingDatabase
) -> None:
    """A page may be empty and lead on; what is there is told once; null is the end."""
    found, cursor, calls = [], "", 0
    while True:
        page = (await api.call("GET", "/v1/payments", query=f"currency=EUR{cursor}")).json
        found += [each["currency"] for each in page["data"]]
        calls += 1
        assert 0 < read_at_once(counting) <= PAGES_MAX
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert found == ["EUR"]
    assert calls == LAID // SCANNED_MAX + 1


async def test_what_an_index_knows_reads_a_few_pages(
    api: Api, counting: CountingDatabase, stage: Stage
) -> None:
    """Order, RRN and confirmation number, with whatever else is asked; and the newest page."""
    (row,) = await stage.sql(
        "SELECT * FROM payments WHERE merchant_id = $1 AND order_number = '1001'",
        stage.merchant.merchant_id,
    )
    own = ids.written(ids.PAYMENT, row["payment_id"])
    queries = {
        "order=1001": [own],
        "order=1001&state=captured": [own],
        "order=1001&state=declined": [],
        f"rrn={row['rrn']}&order=1001": [own],
        f"rrn={row['rrn']}&order=1002": [],
        f"confirmation_number={row['confirmation_number']}&currency=USD": [own],
        f"confirmation_number={row['confirmation_number']}&rrn=000000000000": [],
        "created_from=9998-01-01T00:00:00Z": [],
        "created_to=0002-01-01T00:00:00Z": [],
    }
    for query, expected in queries.items():
        page = (await api.call("GET", "/v1/payments", query=query)).json
        assert [each["id"] for each in page["data"]] == expected, query
        assert page["next_cursor"] is None
        assert read_at_once(counting) < 50, query

    newest = (await api.call("GET", "/v1/payments", query="limit=100")).json

    assert len(newest["data"]) == 100
    assert newest["next_cursor"] == newest["data"][-1]["id"]
    assert read_at_once(counting) < 500
