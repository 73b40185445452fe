"""
Prove the proofs: put a mutant in, and see that it is caught.
"""

from counterfoil_proof.mutants import Mutant, armed
from counterfoil_proof.simulate.race import refunds_at_once
from counterfoil_proof.simulate.run import simulate
from counterfoil_proof.world.server import Server
from counterfoil_proof.world.story import Violation

SEEDS_TRIED_MAX = 100


def caught(server: Server, mutant: Mutant) -> tuple[int | None, list[Violation]]:
    """
    Return what *mutant* violates, and with which seed; None: in the race of refunds.

    Its own seed comes first; when the product has changed since, another one may do.
    """
    with armed(mutant.name):
        if mutant.seed is None:
            return None, refunds_at_once(server)
        for seed in (mutant.seed, *range(1, SEEDS_TRIED_MAX + 1)):
            if violations := simulate(server, seed, days=1).story.violations:
                return seed, violations
    return mutant.seed, []
