"""
What a simulation must have seen: a universe in which nobody connects finds nothing either.
"""

from collections import Counter
from collections.abc import Mapping

STATES = (
    "processing",
    "not_sent",
    "declined",
    "approved",
    "authorized",
    "captured",
    "voiding",
    "voided",
    "reversing",
    "reversed",
)

# At least so many of each, in every universe.
IN_EACH: Mapping[str, int] = {
    "state processing": 8,
    "state approved": 3,
    "state captured": 1,
    "told paid": 1,
    "batch closed": 1,
    "movement capture funded": 1,
    "event read": 50,
}

# At least one of each, in a run of MANY universes or more.
MANY = 100
IN_MANY = (
    *(f"state {state}" for state in STATES),
    "approved at the acquirer",
    "declined there",
    "deposit funded",
    "batch that needed a person",
    "movement void done",
    "movement refund funded",
    "told never seen",
    "state verified",
    "undo done",
    "forced captured",
    "forced voided",
    "forced reversed",
    "credit captured",
    "credit voided",
    "credit reversed",
    "told credit captured",
    "partial approval captured",
    "partial approval authorized",
    "partial approval reversed",
    "blocked by the shop",
    "security code wrong reversing",
    "security code wrong reversed",
    "address wrong reversing",
    "address wrong reversed",
    "crash of a feed's reader",
    "feed not read",
    "webhook taken",
    "webhook taken again",
    "webhook 500",
    "webhook hangs",
    "webhook answer lost",
    "webhook 410",
    "sent 0200",
    "sent 0100",
    "sent 0220",
    "sent 0420",
    "sent 0421",
    "sent 0500",
    "sent 0320",
    "answer 201",
    "answer 200",
    "answer 202",
    "answer 409",
    "answer 422",
    "answer 503",
    "told payment_reversed",
    "told key_fenced",
    "told idempotency_key_reused",
    "told not_sent",
    "told database_away",
    "crash gateway",
    "crash worker",
    "crash rail",
    "crash shop",
    "shop that never returns",
    "power cut",
    "freeze",
    "deployment",
    "database away",
    "network cut",
    "clock step",
    "acquirer misbehaves",
    "commit in doubt before",
    "commit in doubt after",
    "commit in doubt late",
    "message lost",
    "message doubled",
    "message slow",
    "message overtakes another",
    "message garbled",
    "connection reset",
    "connection deaf",
    "request lost",
    "request doubled",
    "outcome unknown to the shop",
)


def lacking_in_one(counts: Mapping[str, int]) -> list[str]:
    """
    Return what one universe has seen too little of, each as a sentence.
    """
    return [
        f"{name}: {counts.get(name, 0)} of at least {least}"
        for name, least in IN_EACH.items()
        if counts.get(name, 0) < least
    ]


def lacking_in_all(counts: Mapping[str, int], universes: int) -> list[str]:
    """
    Return what a run of *universes* has never seen, each as a sentence.
    """
    found = []
    if universes >= MANY:
        found += [f"{name}: never seen" for name in IN_MANY if not counts.get(name)]
    return found


def added(counts: "Counter[str]", more: Mapping[str, int]) -> None:
    """
    Add the counts of one more universe.
    """
    for name, number in more.items():
        counts[name] += number
