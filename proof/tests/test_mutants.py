"""Deliberate faults: each is put in from outside, caught, and taken out again."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from counterfoil.store import queries
from counterfoil.store.payments import PaymentStore
from counterfoil_proof.mutants import BY_NAME, MUTANTS, Mutant, armed
from counterfoil_proof.simulate.proving import caught
from counterfoil_proof.world.server import Server, serving, statements

DEMANDED = {
    *("skip_intent_commit", "forget_reversal", "acknowledge_without_guard"),
    *("send_after_deadline", "drop_outbox_row", "reuse_stan", "refund_without_lock"),
    *("close_batch_twice", "trust_late_approval", "boot_without_sweep"),
}
# Those that are caught within the first seconds of their seed; `make proofs` takes all.
QUICK = (
    *("skip_intent_commit", "timeout_is_a_decline", "unknown_is_not_sent", "reuse_stan"),
    *("acknowledge_without_guard", "refund_without_lock"),
    *("refuse_without_claim", "believe_a_denial", "forget_a_refused_refund"),
    *("probe_without_identity", "recover_all_at_once"),
)
TABLE = Path(__file__).parents[2] / "docs" / "internals" / "mutants.md"
PROVED_APART = [each for each in MUTANTS if each.proof is not None]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(on_template=statements("changes.sql")) as running:
        yield running


@pytest.mark.parametrize("name", QUICK)
def test_a_mutant_is_caught(server: Server, name: str) -> None:
    assert caught(server, BY_NAME[name])[1]


@pytest.mark.parametrize("mutant", PROVED_APART, ids=lambda each: each.name)
def test_without_the_mutant_its_own_proof_finds_nothing(server: Server, mutant: Mutant) -> None:
    assert mutant.proof is not None

    assert mutant.proof(server) == []


@pytest.mark.proofs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_every_mutant_is_caught(server: Server, mutant: Mutant) -> None:
    seed, violations = caught(server, mutant)

    assert violations
    sys.stdout.write(f"{mutant.name}: seed {seed}, {violations[0].invariant}\n")


def test_every_mutant_that_was_demanded_is_there() -> None:
    assert set(BY_NAME) >= DEMANDED
    assert len(BY_NAME) == len(MUTANTS)


def test_the_table_of_the_docs_has_every_mutant_and_what_catches_it() -> None:
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| `")]
    told = [[cell.strip() for cell in line.strip("|").split("|")][:3] for line in lines]

    assert told == [[f"`{each.name}`", each.says, by(each)] for each in MUTANTS]


def by(mutant: Mutant) -> str:
    """What the table says of who catches it."""
    return f"`{mutant.proof.__name__}`" if mutant.proof else f"simulation, seed {mutant.seed}"


def test_a_mutant_leaves_nothing_behind() -> None:
    texts = dict(queries._all())
    for each in MUTANTS:
        with armed(each.name):
            pass

    assert queries._all() == texts
    assert PaymentStore.intend.__qualname__ == "PaymentStore.intend"
