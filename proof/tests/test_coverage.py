"""A simulation that has seen too little says so."""

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


def test_a_long_run_must_have_seen_every_fault() -> None:
    seen = dict.fromkeys(IN_MANY, 1)
    del seen["power cut"]

    assert lacking_in_all(seen, MANY) == ["power cut: never seen"]
    assert lacking_in_all(seen, MANY - 1) == []
