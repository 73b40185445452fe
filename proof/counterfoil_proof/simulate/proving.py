"""
Prove the proofs: put a mutant in, and see that it is caught.
"""

from counterfoil_proof.mutants import BY_NAME, Mutant, armed
from counterfoil_proof.simulate.run import simulate
from counterfoil_proof.world.server import Server, serving, statements
from counterfoil_proof.world.story import Violation

SEEDS_TRIED_MAX = 100


def caught(server: Server, mutant: Mutant) -> tuple[int | None, list[Violation]]:
    """
    Return what *mutant* violates, and with which seed; None: in a proof of its own.

    Its own seed comes first; when the product has changed since, another one may do.
    """
    with armed(mutant.name):
        if mutant.proof is not None:
            return None, mutant.proof(server)
        first = [mutant.seed] if mutant.seed is not None else []
        for seed in (*first, *range(1, SEEDS_TRIED_MAX + 1)):
            if violations := simulate(server, seed, days=1).story.violations:
                return seed, violations
    return mutant.seed, []


def proved_apart(name: str | None) -> list[Violation]:
    """
    Return what the mutant's own proof finds; nothing where its proof is a simulated day.
    """
    if name is None or BY_NAME[name].proof is None:
        return []
    with serving(on_template=statements("changes.sql")) as server:
        return caught(server, BY_NAME[name])[1]
