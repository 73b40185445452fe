"""
What must not be left behind: a process that runs, or card data in any byte on disk.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from .merchants import AMEX, AMEX_CVV, CVV, VISA

PARTIES = ("gateway", "rail", "shop", "mailbox")
ENDED_SECONDS_MAX = 30.0
BYTES_MIN = 1024**2
CARDS = (VISA, AMEX, "4242424242424242", "4111111111111111", "4000000000000002")
MIXED = (VISA, AMEX)  # Packed, two digits a byte, the others look like much else.

Process = tuple[int, int]  # Its id, and when it started, in ticks since boot.


def family(pids: Iterable[int]) -> set[Process]:
    """
    Return the processes *pids* and all that came from them.
    """
    started, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended.
        if words[0] not in ("Z", "X"):
            pid = int(path.parent.name)
            parents[pid], started[pid] = int(words[1]), int(words[19])
    found = set(pids) & started.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {(pid, started[pid]) for pid in found}


def no_process_is_left(processes: set[Process]) -> None:
    """
    Wait until all *processes* have ended.
    """
    until = time.monotonic() + ENDED_SECONDS_MAX
    while left := processes & family(pid for pid, _ in processes):
        assert time.monotonic() < until, [_command(pid) for pid, _ in left]
        time.sleep(0.05)


def no_card_data_below(folder: Path) -> None:
    """
    Search every byte of every party for the cards and security codes that stories type.
    """
    searched = 0
    for party in PARTIES:
        for path in sorted((folder / party).rglob("*")):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                assert not has_card_data(content), f"card data in {path}"
                searched += len(content)
    assert searched > BYTES_MIN, "the search found nothing to search"


def has_card_data(content: bytes) -> bool:
    """
    Return whether *content* has a card number, spaced or packed, or a code with its name or tag.
    """
    unspaced = content.translate(None, b" -")
    return (
        any(number.encode() in unspaced for number in CARDS)
        or any(bytes.fromhex(number[: len(number) // 2 * 2]) in content for number in MIXED)
        or _tagged_code(content)
        or _NAMED_CODE.search(content.lower()) is not None
    )


def _tagged_code(content: bytes) -> bool:
    """Whether *content* has a code with its tag, and not by chance within a digest or an id."""
    tagged = [f"02{len(code):02d}{code}".encode() for code in (CVV, AMEX_CVV)]
    if not any(each in content for each in tagged):
        return False  # As nearly always, and far sooner.
    apart = _DIGEST.sub(b"", content)
    return any(each in apart for each in tagged)


_DIGEST = re.compile(rb"(?<![0-9a-f])(?=[0-9]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{64})(?![0-9a-f])")
_NAMED_CODE = re.compile(rb"cv[vc]2?['\"]?\s{0,2}[:=]\s{0,2}['\"]?[0-9]{3,4}\b")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return f"pid {pid}"
