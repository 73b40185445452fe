"""
What Counterfoil shows of itself: the demo now, the proofs beside it.
"""
