"""
The file of signed heads: every head as a line, outside of the database.

Somebody who holds the database can remove the newest heads with the blocks that they name; what
stands here he does not reach. A head is a row first and a line second, so a process that dies in
between leaves a row without its line, and the next round of any worker writes it. Lines are only
ever added, under a lock, and are on the disk before anybody goes on. A line that a power cut has
torn stays, and its whole self is written after it.
"""

import fcntl
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec

from counterfoil.ledger.heads import head_of, line_of
from counterfoil.state_folder import synced
from counterfoil.store.heads import SignedHead

READ_BYTES = 1 << 20


class Lines(msgspec.Struct, frozen=True):
    """
    What a file holds: the heads, and the lines that are none and that no power cut explains.
    """

    heads: list[SignedHead]
    unreadable: list[str]


class HeadFile:
    """
    The file as one worker knows it: it reads on from where it stopped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget()

    def newest(self, merchant_id: UUID) -> SignedHead | None:
        """
        Return the merchant's newest head in the file, as of the last look.
        """
        return self._newest.get(merchant_id)

    def look(self) -> None:
        """
        Read what was added since the last look; all of it when the file is another one.

        Raises:
            OSError: It cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                self._read(file)
        except FileNotFoundError:
            self._forget()

    def add(self, heads: Iterable[SignedHead]) -> None:
        """
        Add the lines that are not there, durably.

        Raises:
            BlockingIOError: Another worker is writing; the next round tries again.
            OSError: It cannot be written; the next round tries again.
        """
        is_new = not self._path.exists()
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            # Nobody waits for another worker of this state folder: it may be standing still.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(file)
            missing = [each for each in heads if self._lacks(each)]
            if missing:
                _write(file, "".join(f"{line_of(each)}\n" for each in missing), torn=self._is_torn)
            self._read(file)
        if is_new:
            synced(self._path.parent)

    def _lacks(self, head: SignedHead) -> bool:
        newest = self._newest.get(head.merchant_id)
        return newest is None or newest.number < head.number

    def _forget(self) -> None:
        self._newest: dict[UUID, SignedHead] = {}
        self._inode, self._read_to = 0, 0
        self._is_torn = False

    def _read(self, file: IO[bytes]) -> None:
        status = os.fstat(file.fileno())
        if status.st_ino != self._inode or status.st_size < self._read_to:
            self._forget()
            self._inode = status.st_ino
        file.seek(self._read_to)
        rest = b""
        while piece := file.read(READ_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._read_to += len(line) + 1
                self._learn(line)
        self._is_torn = bool(rest)

    def _learn(self, line: bytes) -> None:
        head = head_of(line.decode(errors="replace"))
        if head is not None and self._lacks(head):
            self._newest[head.merchant_id] = head


def read_lines(path: Path) -> Lines | None:
    """
    Return what the file holds, each line once; None when there is no file.

    Raises:
        OSError: It cannot be read.
    """
    try:
        *lines, tail = path.read_text("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return None
    whole: dict[str, SignedHead] = {}
    doubtful = list[str]()
    for line in filter(None, lines):
        head = head_of(line)
        if head is None:
            doubtful.append(line)
        else:
            whole[line] = head
    if head := head_of(tail):  # Else it is being written, or a power cut has torn it.
        whole[tail] = head
    unreadable = [each for each in doubtful if not any(line.startswith(each) for line in whole)]
    return Lines(list(whole.values()), unreadable)


def move_aside(path: Path, at: datetime) -> Path | None:
    """
    Give the file another name, if there is one: its database is gone, and an older one comes.

    What was signed after the backup is no head of the restored journal; a worker writes the file
    anew from the restored heads. Nothing is removed.
    """
    aside = path.with_name(f"{path.stem}.before-restore-{at:%Y%m%dT%H%M%S%fZ}{path.suffix}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    synced(path.parent)
    return aside


def _write(file: IO[bytes], text: str, *, torn: bool) -> None:
    content = memoryview((f"\n{text}" if torn else text).encode())
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())
