"""
The machine of a run, and the CPU and memory of exactly the processes that a run has started.
"""

import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

FSYNC_SECONDS = 0.5
FSYNC_BYTES = 8192  # One page of the write-ahead log.
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UTIME = 11  # The fields of /proc/PID/stat after the name: utime, stime, cutime, cstime.
_RSS = 21


class Machine(msgspec.Struct, frozen=True):
    """
    What a figure is worth nothing without. No host name and no path.
    """

    cores: int
    processor: str
    memory_gib: float
    kernel: str
    python: str
    postgresql: str
    fsyncs_per_second: float
    load_before: float


def describe(folder: Path, postgresql: str) -> Machine:
    """
    Return this machine; *folder* is on the disk that the database writes to.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    return Machine(
        cores=cores(),
        processor=_processor(),
        memory_gib=round(memory / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        postgresql=postgresql,
        fsyncs_per_second=round(_fsyncs(folder)),
        load_before=load(),
    )


def load() -> float:
    """
    Return how many processes wanted to run lately, on average over a minute.
    """
    return round(os.getloadavg()[0], 2)


def cores() -> int:
    """
    Return how many processors we may run on.
    """
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fsyncs(folder: Path) -> float:
    path = folder / "fsync.probe"
    page = b"\0" * FSYNC_BYTES
    count = 0
    with path.open("wb", buffering=0) as file:
        began = time.perf_counter()
        while (taken := time.perf_counter() - began) < FSYNC_SECONDS:
            file.seek(0)
            file.write(page)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return count / taken


def cpu_seconds(pids: Iterable[int]) -> float:
    """
    Return the CPU seconds of these processes and of all their children, ended ones included.
    """
    return sum(_ticks(pid) for root in pids for pid in family(root)) / TICKS


def memory_bytes(pids: Iterable[int]) -> int:
    """
    Return the memory of these processes and their children; a shared page counts once (PSS).
    """
    return sum(_proportional_bytes(pid) for root in pids for pid in family(root))


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return _stat(pid, _RSS) * PAGE_BYTES
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def family(root: int) -> list[int]:
    """
    Return a process and all processes below it.
    """
    found = [root]
    for pid in found:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [(task / "children").read_text("ascii") for task in tasks]
        except OSError:
            continue  # It has ended meanwhile.
        found += [int(each) for line in children for each in line.split()]
    return found


def _ticks(pid: int) -> int:
    return sum(_stat(pid, _UTIME + number) for number in range(4))


def _stat(pid: int, field: int) -> int:
    try:
        line = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return 0
    return int(line.rpartition(")")[2].split()[field])
