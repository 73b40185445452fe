"""A simulation that has seen too little says so."""

import pytest
from counterfoil_proof.simulate.coverage import (
    IN_EACH,
    IN_MANY,
    MANY,
    lacking_in_all,
    lacking_in_one,
)


def test_a_universe_in_which_nobody_connects_is_no_proof() -> None:
    assert len(lacking_in_one({})) == len(IN_EACH)
    assert "told paid: 0 of at least 1" in lacking_in_one({})


def test_a_universe_that_has_seen_enough_lacks_nothing() -> None:
    assert lacking_in_one(dict(IN_EACH)) == []


@pytest.mark.parametrize(
    "name",
    [
        "forced captured",
        "credit captured",
        "partial approval captured",
        "security code wrong reversed",
        "blocked by the shop",
    ],
)
def test_a_long_run_without_one_of_the_kinds_is_no_proof(name: str) -> None:
    seen = {each: 1 for each in IN_MANY if each != name}

    assert lacking_in_all(seen, MANY) == [f"{name}: never seen"]


def test_a_long_run_must_have_seen_every_fault() -> None:
    seen = dict.fromkeys(IN_MANY, 1)
    del seen["power cut"]

    assert lacking_in_all(seen, MANY) == ["power cut: never seen"]
    assert lacking_in_all(seen, MANY - 1) == []
