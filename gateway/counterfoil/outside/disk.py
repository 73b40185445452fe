"""
How full the disk is on which the installation writes.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

ROOM_BYTES = 4 * 1024**3  # With this much free no disk is full, however large it is.


class Disk(msgspec.Struct, frozen=True):
    """
    The disk below *folder*, as an ordinary user may use it.
    """

    folder: Path
    used_percent: float
    free_bytes: int

    def is_full(self, percent: float) -> bool:
        """
        Whether *percent* is reached and little is left: a tenth of a large disk is room enough.
        """
        return self.used_percent >= percent and self.free_bytes < ROOM_BYTES

    def words(self) -> str:
        """
        Return what a person wants to know.
        """
        return f"{self.used_percent:.0f} % of {self.folder} used, {self.free_bytes >> 20} MB free"


Measure = Callable[[Path], Disk]


def measure(folder: Path) -> Disk:
    """
    Return how full the disk of *folder* is.

    Raises:
        OSError: There is no such folder.
    """
    found = os.statvfs(folder)
    ours = found.f_blocks - found.f_bfree + found.f_bavail  # Without what is kept for root.
    used = 100.0 * (1 - found.f_bavail / ours) if ours else 100.0
    return Disk(folder, used, found.f_bavail * found.f_frsize)
