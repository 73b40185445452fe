"""
Who did something, as people read it in a history.
"""

_KNOWN = {
    "worker": "Counterfoil",
    "acquirer": "the acquirer",
    "operator": "the operator",
    "cli": "the operator",
    "bank": "the bank",
    "stranger": "somebody not signed in",
}


def by_whom(actor: str, name: str | None = None) -> str:
    """
    Return who *actor* is: a person, a key or a payment link by *name*, or who has none.
    """
    if actor.startswith("user:"):
        return name or "somebody of yours"
    if actor.startswith("key_"):
        return f"the key {name}" if name else "an API key"
    if actor.startswith("checkout:"):
        return f"the payment link {name}" if name else "the payment page"
    if actor.startswith("cli:"):
        return f"the operator ({actor.removeprefix('cli:')})"
    return _KNOWN.get(actor, "Counterfoil")
