"""
What nobody waits for: the worker, and what is told to whom.
"""
