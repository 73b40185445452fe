"""
/v1/deposits and /v1/findings: every deposit explained, everything that does not agree.
"""

import pytest
from api_stage import Api
from payment_stage import Stage
from settlement_books import Books, Paid, line_of, net_of

REFERENCE = "CF261123000001"
SECOND = "CF261123000002"


@pytest.fixture
async def told(stage: Stage) -> tuple[Books, Api, int]:
    """A merchant with one funded deposit, one announced one, and a finding; and its API."""
    books = await Books.of_stage(stage)
    items = await books.batch(("capture", 4200), ("capture", 1000), ("refund", 300))
    (other,) = await books.batch(("capture", 9000), number=2)
    (left,) = await books.batch(("capture", 50), number=3, settlement_date="1123")
    lines = [line_of(each) for each in items]
    given = {REFERENCE: [("CHARGEBACK", -200)]}
    await books.take(
        books.report((REFERENCE, lines), (SECOND, [line_of(other)]), adjustments=given)
    )
    assert left
    net = net_of(lines, given[REFERENCE])
    await books.take(books.statement(Paid(net, REFERENCE)))
    return books, await Api.of(stage), net


async def test_a_deposit_is_explained(told: tuple[Books, Api, int]) -> None:
    """Its payments, refunds, fees, adjustments, net, day and bank entries."""
    _, api, net = told

    reply = await api.call("GET", f"/v1/deposits/{REFERENCE}")

    said = reply.json
    assert reply.status == 200
    assert said["state"] == "funded"
    assert said["gross_minor"] == 5200
    assert said["refunds_minor"] == 300
    assert said["fees_minor"] == 156
    assert said["adjustments_minor"] == -200
    assert said["net_minor"] == said["paid_minor"] == net
    assert said["line_counts"] == {"matched": 3}
    assert [line["amount_minor"] for line in said["lines"]] == [4200, 1000, -300]
    assert all(line["payment"].startswith("pay_") for line in said["lines"])
    assert said["lines"][0]["batch"] == "TERM0001/USD/000001"
    assert said["adjustment_lines"] == [
        {"kind": "chargeback", "amount_minor": -200, "text": "told"}
    ]
    assert [each["outcome"] for each in said["entries"]] == ["matched"]
    assert [each["state"] for each in said["states"]] == ["announced", "funded"]
    assert said["next_line"] is None


async def test_the_lines_of_a_deposit_come_in_pages(told: tuple[Books, Api, int]) -> None:
    """`next_line` goes into `after_line`."""
    _, api, _ = told

    first = (await api.call("GET", f"/v1/deposits/{REFERENCE}", query="limit=2")).json
    query = f"limit=2&after_line={first['next_line']}"
    second = (await api.call("GET", f"/v1/deposits/{REFERENCE}", query=query)).json

    assert [line["line"] for line in first["lines"]] == [1, 2]
    assert [line["line"] for line in second["lines"]] == [3]
    assert second["next_line"] is None


async def test_deposits_are_listed_in_pages(told: tuple[Books, Api, int]) -> None:
    """Newest first, without their parts."""
    _, api, _ = told

    first = (await api.call("GET", "/v1/deposits", query="limit=1")).json
    query = f"limit=1&cursor={first['next_cursor']}"
    second = (await api.call("GET", "/v1/deposits", query=query)).json

    assert [each["reference"] for each in first["data"]] == [SECOND]
    assert [each["reference"] for each in second["data"]] == [REFERENCE]
    assert second["next_cursor"] is None
    assert "lines" not in first["data"][0]


async def test_deposits_are_filtered(told: tuple[Books, Api, int]) -> None:
    """By state and currency."""
    _, api, _ = told

    funded = (await api.call("GET", "/v1/deposits", query="state=funded")).json
    euros = (await api.call("GET", "/v1/deposits", query="currency=EUR")).json

    assert [each["reference"] for each in funded["data"]] == [REFERENCE]
    assert euros["data"] == []


async def test_findings_are_listed_with_the_next_step(told: tuple[Books, Api, int]) -> None:
    """Open and resolved ones, by kind."""
    _, api, _ = told

    (found,) = (await api.call("GET", "/v1/findings", query="state=open")).json["data"]
    none = (await api.call("GET", "/v1/findings", query="kind=duplicate")).json["data"]

    assert found["kind"] == "batch_missing"
    assert found["subject"] == "TERM0001/USD/000003"
    assert found["amount_minor"] == 50
    assert found["next_step"]
    assert none == []


@pytest.mark.parametrize(
    "reference", ["CF999", "x" * 36, "\0", "a b", "\N{BANKNOTE WITH DOLLAR SIGN}"]
)
async def test_a_deposit_that_is_not_there_is_not_found(
    told: tuple[Books, Api, int], reference: str
) -> None:
    """Neither one of another merchant, nor one that cannot be."""
    _, api, _ = told

    assert (await api.call("GET", f"/v1/deposits/{reference}")).status == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/deposits", "limit=0"),
        ("/v1/deposits", "cursor=%00"),
        ("/v1/deposits", "state=paid"),
        ("/v1/deposits", "currency=usd"),
        ("/v1/deposits", "order=1"),
        (f"/v1/deposits/{REFERENCE}", "after_line=-1"),
        (f"/v1/deposits/{REFERENCE}", "limit=1001"),
        ("/v1/findings", "cursor=fnd_1"),
        ("/v1/findings", "kind=odd"),
        ("/v1/findings", "limit=1&limit=2"),
    ],
)
async def test_a_wrong_query_is_refused(
    told: tuple[Books, Api, int], path: str, query: str
) -> None:
    """With the parameter that is wrong."""
    _, api, _ = told

    reply = await api.call("GET", path, query=query)

    assert reply.status == 400
    assert reply.json["param"] or reply.json["code"] == "currency_unknown"


async def test_another_merchant_sees_nothing(told: tuple[Books, Api, int]) -> None:
    """Deposits and findings are the merchant's own."""
    books, _, _ = told
    other = await Api.of(await Stage.set_up(books.database))

    assert (await other.call("GET", f"/v1/deposits/{REFERENCE}")).status == 404
    assert (await other.call("GET", "/v1/deposits")).json["data"] == []
    assert (await other.call("GET", "/v1/findings")).json["data"] == []
