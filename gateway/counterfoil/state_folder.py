"""
The state folder of an installation: made for its owner, and held by one supervisor at a time.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from counterfoil.plainly import SaidPlainly

LOCK = "up.lock"


class StateFolderRefused(SaidPlainly):
    """
    The state folder cannot be used; the message says why and what to do.
    """


def make_state_folder(folder: Path) -> None:
    """
    Make *folder*, for its owner only, if it is not there.

    Raises:
        StateFolderRefused: It cannot be made, or not be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise StateFolderRefused(_choose(folder, str(error.strerror))) from error
    if not writable:
        raise StateFolderRefused(_choose(folder, "this user may not write there"))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """
    Hold the installation in *folder* for one supervisor.

    Two would run a second worker, and restart a second gateway on a taken port for ever.

    Raises:
        StateFolderRefused: Another one holds it, or it cannot be used.
    """
    make_state_folder(folder)
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            process = lock.read(20).strip() or "?"
            raise StateFolderRefused(
                f"process {process} already runs the installation in {folder}: stop it, or give "
                "this one a folder of its own with `state` (COUNTERFOIL_STATE)"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _choose(folder: Path, reason: str) -> str:
    return (
        f"cannot use the state folder {folder}: {reason}. Choose one that this user may write to, "
        "with `state` (COUNTERFOIL_STATE)"
    )


def synced(path: Path) -> None:
    """
    Bring the file or folder *path* to the disk: of a folder, the names in it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
