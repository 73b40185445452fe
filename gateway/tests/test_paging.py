"""
The query of the list, read as strictly as a body.
"""

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

import pytest
from api_stage import Sent
from counterfoil.api.exchange import Request
from counterfoil.api.paging import LIMIT_DEFAULT, page_request
from counterfoil.api.problems import KINDS, Problem
from counterfoil.ids import PAYMENT, written
from counterfoil.store.payments import PAGE_MAX, Filters
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["limit", "cursor", "state", "order", "currency", "created_from", "created_to",
         "confirmation_number", "rrn"]  # fmt: skip


def asked(query: str) -> tuple[Filters, int]:
    return page_request(
        Request("GET", "/", query=query.encode(), headers=[], client=None, body=Sent([]))
    )


def test_without_a_query_it_is_the_first_page() -> None:
    """Nothing narrows."""
    assert asked("") == (Filters(), LIMIT_DEFAULT)


def test_everything_can_be_asked_for() -> None:
    """Each parameter reaches its filter; times in any zone."""
    cursor = written(PAYMENT, UUID(int=7))
    query = urlencode(
        {
            "limit": "100", "cursor": cursor, "state": "captured", "order": "A 1",
            "currency": "USD",
            "created_from": "2026-11-23T06:30:00Z", "created_to": "2026-11-23T08:30:00+01:00",
            "confirmation_number": "572400000004", "rrn": "632706000123",
        }
    )  # fmt: skip

    filters, limit = asked(query)

    assert limit == PAGE_MAX
    assert filters == Filters(
        before=UUID(int=7),
        state="captured",
        order_number="A 1",
        currency="USD",
        created_from=datetime(2026, 11, 23, 6, 30, tzinfo=UTC),
        created_to=datetime(2026, 11, 23, 7, 30, tzinfo=UTC),
        confirmation_number="572400000004",
        rrn="632706000123",
    )


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=pay_1", "cursor"),
        ("state=paid", "state"),
        ("order=", "order"),
        ("order=a%00b", "order"),
        ("currency=usd", "currency"),
        ("currency=XTS", "currency"),
        ("created_from=yesterday", "created_from"),
        ("created_from=2026-11-23T06:30:00", "created_from"),
        ("created_to=9999-12-31T23:59:59-23:00", "created_to"),
        ("confirmation_number=1", "confirmation_number"),
        ("rrn=63270600012x", "rrn"),
        ("offset=1", "offset"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(query: str, param: str) -> None:
    """Unknown, doubled, out of range, not of its kind."""
    with pytest.raises(Problem) as caught:
        asked(query)

    assert caught.value.param == param
    assert KINDS[caught.value.code].status == 400


def test_a_wrong_value_of_a_few_is_told_which_there_are() -> None:
    """With the parameter's name, and without the value: that is the caller's."""
    with pytest.raises(Problem) as caught:
        asked("state=nonsense")

    assert caught.value.detail.startswith("state: One of ")
    assert "captured" in caught.value.detail
    assert "nonsense" not in caught.value.detail


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES) | st.text(max_size=10), st.text(max_size=40)), max_size=3
    )
)
def test_whatever_is_asked_is_read_or_named(pairs: list[tuple[str, str]]) -> None:
    """Nothing but a problem comes out."""
    try:
        filters, limit = asked(urlencode(pairs, errors="replace"))
    except Problem as problem:
        status = KINDS[problem.code].status
        filters, limit = Filters(), LIMIT_DEFAULT
    else:
        status = 400
    assert status == 400
    assert 1 <= limit <= PAGE_MAX
    assert filters.created_from is None or filters.created_from.tzinfo


@pytest.mark.parametrize("name", [*NAMES, "4111111111111111", "pan4111111111111111"])
def test_a_card_number_in_a_query_is_not_said_back(name: str) -> None:
    """In a value or as a name."""
    with pytest.raises(Problem) as caught:
        asked(f"{name}=4111111111111111&{name}=x")

    assert "4111111111111111" not in f"{caught.value.detail}{caught.value.param}"
