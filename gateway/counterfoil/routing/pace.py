"""
How fast an acquirer is asked: token buckets for each link and each kind of traffic.

After an outage everybody comes at once: shops that were refused, and all that is owed. The
host takes what was agreed and no more; new payments beyond it are refused before anything
is written, and what is owed waits its turn. Pure: told the time by its caller (monotonic
seconds).

New payments and what is owed have a bucket each, so that neither starves the other. So have,
of what is owed, the two `Share`s: reversals (with voids and releases) fill three quarters of
the rate, captures and refunds one. What a full bucket cannot hold runs over into the other:
who is alone has the whole rate. But nobody takes what the other has saved: however many
captures went out in a quiet moment, a reversal that is owed in the next one finds the bucket
of its own full, and a flood of reversals leaves every fourth place to captures. One bucket
with an order of precedence would not do: whoever goes first starves the other, and whoever
goes last finds it emptied. A bucket holds at least one, or a rate of one a second would never
send anything; there both together may be one message ahead of what was agreed.
"""

from enum import StrEnum


class Share(StrEnum):
    """
    What is owed, by what it does: it takes back, or it goes on.
    """

    TAKING_BACK = "taking_back"
    GOING_ON = "going_on"


PART = {Share.TAKING_BACK: 0.75, Share.GOING_ON: 0.25}
OTHER = {Share.TAKING_BACK: Share.GOING_ON, Share.GOING_ON: Share.TAKING_BACK}


class Pace:
    """
    At most *per_second*, and at once at most what one second brings.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = per_second
        self._at: float | None = None

    def room(self, now: float) -> int:
        """
        Return how many may be sent now.
        """
        if self._at is not None:
            grown = self._tokens + (now - self._at) * self._per_second
            self._tokens = min(self._per_second, grown)
        self._at = now
        return max(0, int(self._tokens))

    def take(self, number: int = 1) -> None:
        """
        Note that so many are sent.
        """
        self._tokens -= number

    def give_back(self) -> None:
        """
        Note that one of those was not sent after all.
        """
        self._tokens += 1


class OwedPace:
    """
    At most *per_second* of both shares together; each has its part, and what the other leaves.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = {share: max(1.0, per_second * part) for share, part in PART.items()}
        self._tokens = dict(self._most)
        self._at: float | None = None

    def room(self, share: Share, now: float) -> int:
        """
        Return how many of *share* may be sent now.
        """
        if self._at is not None:
            self._fill((now - self._at) * self._per_second)
        self._at = now
        return max(0, int(self._tokens[share]))

    def take(self, share: Share) -> None:
        """
        Note that one of *share* is sent.
        """
        self._tokens[share] -= 1

    def _fill(self, grown: float) -> None:
        full = {share: self._tokens[share] + grown * part for share, part in PART.items()}
        over = {share: max(0.0, full[share] - self._most[share]) for share in Share}
        for share in Share:
            self._tokens[share] = min(self._most[share], full[share] + over[OTHER[share]])
