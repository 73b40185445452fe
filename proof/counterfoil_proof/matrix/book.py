"""
The shop's own book in a matrix: what it wanted, what it was told, on its own disk.

A line for each word, synced before the shop goes on. The last word of a step counts, and a
final word that is contradicted later is a fault that `contradictions` finds.
"""

import json
import os
from pathlib import Path
from typing import Any

from counterfoil_proof.points.point import around

PAID, NOT_CHARGED, DONE, REFUSED = "paid", "not charged", "done", "refused"
ASKED, UNKNOWN = "asked", "unknown"
FINAL = {PAID, NOT_CHARGED, DONE, REFUSED}

Line = dict[str, Any]


class Book:
    """
    The open book of one merchant's shop.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self.lines = read(path)

    def word(self, step: str) -> str | None:
        """
        Return the last word about *step*.
        """
        words = [line["word"] for line in self.lines if line["step"] == step]
        return words[-1] if words else None

    def write(self, step: str, word: str, **facts: Any) -> None:
        """
        Write down *word* about *step*; it is on disk when this returns.
        """
        line = {"step": step, "word": word, **facts}
        with around("shop book"):
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self.lines.append(line)


def read(path: Path) -> list[Line]:
    """
    Return the lines of a book; a last one that is torn was never written.
    """
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in whole]


def last_words(lines: list[Line]) -> dict[str, Line]:
    """
    Return the last line about each step.
    """
    return {line["step"]: line for line in lines}


def contradictions(lines: list[Line]) -> list[str]:
    """
    Return the steps about which two different final words were heard.
    """
    heard: dict[str, set[str]] = {}
    for line in lines:
        if line["word"] in FINAL:
            heard.setdefault(line["step"], set()).add(line["word"])
    return [f"{step} was told {sorted(words)}" for step, words in heard.items() if len(words) > 1]
