"""
What happened in a universe, in virtual time, so that a failing seed can tell its story.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from counterfoil_proof.world.loop import BEGINNING, VirtualLoop

LINES_TOLD_MAX = 80
LINES_OF_ALL_MAX = 40


class Happening(msgspec.Struct, frozen=True):
    """
    One thing that happened. `subjects` are what it was about: payment, key, trace.
    """

    at: float
    who: str
    what: str
    subjects: tuple[str, ...]

    def __str__(self) -> str:
        about = " ".join(self.subjects)
        return f"{self.at:10.3f}  {self.who:<12} {self.what}  {about}".rstrip()


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that must hold and did not.
    """

    invariant: str
    at: float
    what: str
    subjects: tuple[str, ...] = ()


class Story:
    """
    The happenings of one universe, what was counted, and what was violated.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._digest = hashlib.sha256()
        self.happenings: list[Happening] = []
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.is_broken = asyncio.Event()

    @property
    def seconds(self) -> float:
        """Virtual seconds since the beginning."""
        return self._loop.time() - BEGINNING

    @property
    def digest(self) -> str:
        """What is the same when the same seed tells the same story."""
        return self._digest.hexdigest()

    def tell(self, who: object, what: str, *subjects: str) -> None:
        """
        Note that *who* did *what*.
        """
        happening = Happening(round(self.seconds, 6), str(who), what, subjects)
        self.happenings.append(happening)
        self._digest.update(str(happening).encode())

    def count(self, name: str, number: int = 1) -> None:
        """
        Count something that a universe should have seen.
        """
        self.counts[name] += number

    def violated(self, invariant: str, what: str, *subjects: str) -> None:
        """
        Note that *invariant* does not hold; once for each subject.
        """
        if any(v.invariant == invariant and v.subjects == subjects for v in self.violations):
            return
        self.is_broken.set()
        self.tell("witness", f"VIOLATION {invariant}: {what}", *subjects)
        self.violations.append(
            Violation(invariant=invariant, at=round(self.seconds, 3), what=what, subjects=subjects)
        )

    def about(self, subjects: Iterable[str]) -> list[Happening]:
        """
        Return the last happenings that concern one of *subjects*, and the last that concern
        everybody, each of these the first time only.

        Subjects that stand together in a happening are the same matter (a payment and its key).
        """
        known = set(subjects)
        while True:
            found = [each for each in self.happenings if known & set(each.subjects)]
            more = {subject for each in found for subject in each.subjects}
            if more <= known:
                break
            known |= more
        everybodys = {(each.who, each.what): each for each in reversed(self.happenings)}
        of_all = [each for each in everybodys.values() if _concerns_all(each)]
        told = [each for each in self.happenings if known & set(each.subjects)]
        last = [*told[-LINES_TOLD_MAX:], *of_all[:LINES_OF_ALL_MAX]]
        return sorted(last, key=lambda each: each.at)


def _concerns_all(happening: Happening) -> bool:
    """
    Return whether something befell everybody: no log line, and no answer about another payment.
    """
    return not happening.subjects and not happening.what.startswith(("logs ", "answers "))
