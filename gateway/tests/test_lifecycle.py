"""
The legal moves of a payment: one table in the code, the same in the database.
"""

import re
from itertools import product
from typing import get_args

import pytest
from counterfoil.api.bodies import StateName
from counterfoil.payments.lifecycle import (
    CHARGED,
    CREDIT_MOVES,
    MOVES,
    NOT_CHARGED,
    Cause,
    IllegalMove,
    Kind,
    State,
    charged,
    check_move,
    possible,
)
from counterfoil.store.migrate import migrations
from counterfoil.store.queries import query

SCHEMA = "\n".join(migration.text for migration in migrations())


def last(pattern: str) -> str:
    """Return what *pattern* captures where the schema says it last."""
    return re.findall(pattern, SCHEMA, re.DOTALL)[-1]


def test_the_database_has_the_same_table_of_moves() -> None:
    """The trigger refuses what the code would never try, and allows all it may."""
    body = last(r"CREATE TRIGGER payments_legal_moves(.*?)EXECUTE FUNCTION")
    pairs = {(State(one), State(other)) for one, other in re.findall(r"'(\w+)>(\w+)'", body)}

    assert pairs == MOVES | CREDIT_MOVES
    assert not MOVES & CREDIT_MOVES


def test_the_database_has_the_same_states() -> None:
    """The CHECK of the column, the enumeration, and what the API promises."""
    listed = last(r"payments_state_check CHECK \(state IN \(([^)]*'processing'[^)]*)\)\)")

    assert re.findall(r"'(\w+)'", listed) == [state.value for state in State]
    assert [state.value for state in State] == list(get_args(StateName))


def test_the_database_has_the_same_kinds() -> None:
    """The CHECK of the column, and the enumeration."""
    listed = last(r"CHECK \(\s*kind IN \(('sale'[^)]*)\)\)")

    assert re.findall(r"'(\w+)'", listed) == [kind.value for kind in Kind]


@pytest.mark.parametrize(
    "name",
    ["intend", "intend_again", "conclude", "acknowledge", "reverse", "undo_approval", "capture",
     "void", "refund", "void_credit", "credit_stands", "advice_answered", "expire",
     "owe_refund_instead"],
)  # fmt: skip
def test_every_cause_that_a_statement_writes_is_a_named_one(name: str) -> None:
    """Nobody reads a word in a history that no page explains."""
    history = re.search(r"INSERT INTO payment_events(.*?)\n\)", query(name), re.DOTALL)
    assert history is not None
    kinds = ("capture", "refund") if "'_refused'" in history[1] else ()
    written = set(re.findall(r"'([a-z_]+)'", history[1])) - {"_refused"}
    written |= {f"{kind}_refused" for kind in kinds}
    known = {each.value for each in Cause} | {each.value for each in State}
    actors = {"gateway", "acquirer", "pending", "done", "failed", "accepted", "void"}

    assert written <= known | actors


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_only_what_the_table_lists_may_follow(before: State, after: State) -> None:
    """Every pair there is: listed, or refused as a defect."""
    if (before, after) in MOVES:
        check_move(before, after)
    else:
        with pytest.raises(IllegalMove, match=f"{before} cannot become {after}"):
            check_move(before, after)


def test_every_state_can_be_reached() -> None:
    """From the first; a state that nobody reaches is a mistake in the table."""
    reached = {State.PROCESSING}
    for _ in State:
        reached |= {after for before, after in MOVES if before in reached}

    assert reached == set(State)


def reachable(state: State) -> set[State]:
    """Return everything that *state* can still become."""
    found: set[State] = set()
    following = {after for before, after in MOVES if before is state}
    while following - found:
        found |= following
        following = {after for before, after in MOVES if before in found}
    return found


@pytest.mark.parametrize("state", [State.REVERSING, State.REVERSED, State.VOIDING, State.VOIDED])
def test_not_charged_never_becomes_charged(state: State) -> None:
    """DESIGN 4: reversing and reversed read "not charged", and that never changes again."""
    assert reachable(state) <= NOT_CHARGED


@pytest.mark.parametrize("state", [State.DECLINED, State.VOIDED, State.EXPIRED])
def test_a_final_state_has_no_way_out(state: State) -> None:
    """A final outcome never changes."""
    assert reachable(state) == set()


def test_an_approval_counts_only_when_it_was_acknowledged() -> None:
    """No way leads from approved to anything but acknowledged or reversed."""
    after = {state for before, state in MOVES if before is State.APPROVED}

    assert after == {State.AUTHORIZED, State.CAPTURED, State.REVERSING}


def test_every_state_says_whether_the_cardholder_pays() -> None:
    """Undecided in two states only."""
    assert not CHARGED & NOT_CHARGED
    assert {state for state in State if charged(state, Kind.SALE) is None} == {
        State.PROCESSING,
        State.APPROVED,
    }
    assert {state for state in State if charged(state, Kind.SALE)} == CHARGED


def test_a_credit_never_charges() -> None:
    """Undecided while a sale is, and then never true: the money goes the other way."""
    for state in State:
        expected = None if charged(state, Kind.SALE) is None else False
        assert charged(state, Kind.CREDIT) is expected


@pytest.mark.parametrize(
    ("kind", "state", "captured", "released", "refunded", "names"),
    [
        (Kind.SALE, State.APPROVED, 0, 0, 0, ("acknowledge", "refuse", "undo")),
        (Kind.AUTHORIZATION, State.AUTHORIZED, 0, 0, 0, ("capture", "void", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4000, 0, 0, ("capture", "void", "refund", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4000, 200, 0, ("void", "refund", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4000, 0, 4000, ("capture", "void", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4000, 200, 4000, ()),
        (Kind.AUTHORIZATION, State.EXPIRED, 0, 4200, 0, ()),
        (Kind.SALE, State.CAPTURED, 4200, 0, 0, ("void", "refund", "undo")),
        (Kind.SALE, State.CAPTURED, 4000, 200, 0, ("void", "refund", "undo")),
        (Kind.FORCED, State.CAPTURED, 4200, 0, 0, ("void", "refund", "undo")),
        (Kind.SALE, State.CAPTURED, 4200, 0, 4199, ("refund", "undo")),
        (Kind.SALE, State.CAPTURED, 4200, 0, 4200, ()),
        (Kind.CREDIT, State.APPROVED, 0, 0, 0, ("acknowledge", "refuse", "undo")),
        (Kind.CREDIT, State.CAPTURED, 0, 0, 4200, ("void", "undo")),
        (Kind.CREDIT, State.VOIDING, 0, 0, 0, ()),
        (Kind.VERIFICATION, State.VERIFIED, 0, 0, 0, ()),
        (Kind.VERIFICATION, State.UNANSWERED, 0, 0, 0, ()),
        (Kind.SALE, State.PROCESSING, 0, 0, 0, ()),
        (Kind.SALE, State.DECLINED, 0, 0, 0, ()),
        (Kind.SALE, State.REVERSED, 0, 0, 0, ()),
    ],
)
def test_what_is_possible_is_said(
    kind: Kind,
    state: State,
    captured: int,
    released: int,
    refunded: int,
    names: tuple[str, ...],
) -> None:
    """The names of the calls that would work now."""
    approved = state not in (State.PROCESSING, State.DECLINED)
    found = possible(
        state,
        kind,
        authorized_minor=4200 if approved and kind is not Kind.CREDIT else 0,
        captured_minor=captured,
        released_minor=released,
        refunded_minor=refunded,
        in_open_batch=True,
        may_go_on=True,
    )

    assert found == names


@pytest.mark.parametrize(
    ("kind", "state", "captured", "refunded", "names"),
    [
        (Kind.SALE, State.APPROVED, 0, 0, ("refuse", "undo")),
        (Kind.SALE, State.CAPTURED, 4200, 0, ("refund", "undo")),
        (Kind.SALE, State.CAPTURED, 4200, 1, ("refund", "undo")),
        (Kind.AUTHORIZATION, State.AUTHORIZED, 0, 0, ("void", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4000, 0, ("void", "refund", "undo")),
        (Kind.AUTHORIZATION, State.CAPTURED, 4200, 0, ("refund", "undo")),
        (Kind.CREDIT, State.CAPTURED, 0, 4200, ()),
    ],
)
def test_what_is_too_late_is_not_possible(
    kind: Kind, state: State, captured: int, refunded: int, names: tuple[str, ...]
) -> None:
    """Its batch is closed, its hold or the time to claim it is over."""
    found = possible(
        state,
        kind,
        authorized_minor=0 if kind is Kind.CREDIT else 4200,
        captured_minor=captured,
        released_minor=0,
        refunded_minor=refunded,
        in_open_batch=False,
        may_go_on=False,
    )

    assert found == names
