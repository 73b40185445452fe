"""
Which processes that share a journal are alive.

Every open journal holds an exclusive lock on a small file of its own, which the operating
system lets go when the process dies, however it dies. The lock is SQLite's own, so it works
wherever the journal works, is not inherited by a fork, and needs no clock and no heartbeat.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from uuid import uuid4

from counterfoil_client.errors import JournalFailed

OWNER_TRIES_MAX = 10
OWNERS_SWEPT_MAX = 1000

_NO_FILES = "PRAGMA journal_mode = MEMORY"  # The lock alone: nothing is ever written.
_LOCK = "BEGIN EXCLUSIVE"


class Owner:
    """
    One open journal's proof of life.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for _ in range(OWNER_TRIES_MAX):
            self.id = uuid4().hex
            lock = _locked_anew(folder / self.id)
            if lock is not None:
                self._lock = lock
                return
        raise JournalFailed(f"cannot hold a lock below {folder}; is it on a local disk?")

    def close(self) -> None:
        """
        Let go; from now on this owner counts as dead.
        """
        with contextlib.suppress(OSError):
            (self._folder / self.id).unlink()
        self._lock.close()


def is_dead(folder: Path, owner: str) -> bool:
    """
    Return whether the process behind *owner* is gone, and clear its lock away if so.
    """
    path = folder / owner
    try:
        lock = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=0)
    except sqlite3.OperationalError:
        return not path.exists()
    try:
        lock.execute(_NO_FILES)
        lock.execute(_LOCK)
        with contextlib.suppress(OSError):
            path.unlink()
        return True
    except sqlite3.OperationalError:
        return not path.exists()
    finally:
        lock.close()


def sweep(folder: Path) -> None:
    """
    Clear away the locks of the dead.
    """
    for path in list(folder.iterdir())[:OWNERS_SWEPT_MAX]:
        is_dead(folder, path.name)


def _locked_anew(path: Path) -> sqlite3.Connection | None:
    """
    Create and lock *path*; None if a sweep held it or took it away in between.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    with contextlib.suppress(sqlite3.OperationalError):
        lock.execute(_NO_FILES)
        lock.execute(_LOCK)
        if path.exists():  # No other process makes a file of this name.
            return lock
    lock.close()
    return None
