"""
Problems: RFC 9457, with what a program needs to act on them.
"""

import json

import pytest
from counterfoil.api.problems import KINDS, Problem, answer


@pytest.mark.parametrize("code", KINDS)
def test_every_problem_has_the_members_of_the_standard(code: str) -> None:
    """type, title, status, detail, and ours: code, param, retryable, request_id."""
    response = answer(Problem(code, "What to do.", param="card.number"), "req_1")
    body = json.loads(response.body)

    assert b"\r\ncontent-type: application/problem+json\r\n" in response.written(
        "GET", [], keeps_alive=True
    )
    assert response.status == body["status"] == KINDS[code].status
    assert body["title"] == KINDS[code].title
    assert body["type"].endswith(f"/{code}")
    assert (body["code"], body["detail"], body["param"]) == (code, "What to do.", "card.number")
    assert (body["retryable"], body["request_id"]) == (KINDS[code].retryable, "req_1")


@pytest.mark.parametrize("code", KINDS)
def test_only_what_may_be_sent_again_unchanged_is_retryable(code: str) -> None:
    """A mistake of the caller's stays one, however often it is sent."""
    assert KINDS[code].retryable is (KINDS[code].status >= 500 or KINDS[code].status == 408)


def test_what_is_worth_waiting_for_says_how_long() -> None:
    """Retry-After, in seconds."""
    response = answer(Problem("busy", "Later.", retry_after_seconds=3), "req_1")

    assert response.headers["retry-after"] == "3"


def test_a_refused_key_says_which_scheme_is_meant() -> None:
    """RFC 9110, 11.6.1."""
    response = answer(Problem("key_missing", "Send it."), "req_1")

    assert response.headers["www-authenticate"] == 'Bearer realm="counterfoil"'


def test_a_problem_may_say_more() -> None:
    """The state, what is possible: members of its own."""
    body = json.loads(answer(Problem("state_conflict", "No.", state="declined"), "req_1").body)

    assert body["state"] == "declined"


def test_titles_are_for_people() -> None:
    """No two alike, none with a full stop."""
    titles = [kind.title for kind in KINDS.values()]

    assert len(titles) == len(set(titles))
    assert not any(title.endswith(".") for title in titles)
