"""
What a supervised program writes: a log of bounded size, its last lines, a listener.

Stands between *supervised* and the disk.
"""

import asyncio
import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

LOG_BYTES_MAX = 8 * 1024**2
LOG_FILES_MAX = 3  # The current one, `.1` and `.2`.
LINE_BYTES_MAX = 16 * 1024  # Of a longer one, pieces are taken before it ends.
READ_BYTES_MAX = 64 * 1024
TAIL_LINES_MAX = 20


class Output:
    """
    What a program writes: line by line into a log of bounded size, and to a listener.

    It goes on reading when the log cannot be written (a full disk), so that no program ever
    waits for its own output to be taken.
    """

    def __init__(
        self, name: str, log_path: Path | None, on_line: Callable[[str, str], None] | None
    ) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES_MAX)
        self.lines_lost = 0
        self._name = name
        self._log = _Log(log_path)
        self._on_line = on_line
        self._read_end: int | None = None
        self._pending = b""

    def open(self) -> int:
        """Return the file descriptor to write to; the caller closes it."""
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        asyncio.get_running_loop().add_reader(self._read_end, self._read)
        return write_end

    def close(self) -> None:
        """Take what is still in the pipe, then let go of it."""
        while self._read_end is not None and self._read():
            pass
        self._release()
        self._log.close()

    def _read(self) -> bool:
        """Take one piece; return whether there may be more."""
        assert self._read_end is not None
        try:
            piece = os.read(self._read_end, READ_BYTES_MAX)
        except BlockingIOError:
            return False
        *lines, self._pending = (self._pending + piece).split(b"\n")
        while len(self._pending) > LINE_BYTES_MAX:
            lines.append(self._pending[:LINE_BYTES_MAX])
            self._pending = self._pending[LINE_BYTES_MAX:]
        if not piece:
            self._release()
        self._take(lines)
        return bool(piece)

    def _release(self) -> None:
        if self._read_end is not None:
            asyncio.get_running_loop().remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = None
        if self._pending:
            last, self._pending = self._pending, b""
            self._take([last])

    def _take(self, lines: list[bytes]) -> None:
        try:
            self._log.write(lines)
        except OSError:
            self.lines_lost += len(lines)
        for line in lines if self._on_line else lines[-TAIL_LINES_MAX:]:
            text = line.decode("utf-8", errors="replace").rstrip("\r")
            self.tail.append(text)
            if self._on_line is not None:
                self._on_line(self._name, text)


class _Log:
    """
    A file that is moved aside when it is full; the oldest goes.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._handle: int | None = None
        self._bytes = 0

    def write(self, lines: list[bytes]) -> None:
        """
        Append *lines*.

        Raises:
            OSError: The disk is full, or the folder not ours.
        """
        if self._path is None or not lines:
            return
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._handle = os.open(self._path, flags, 0o600)
            self._bytes = os.fstat(self._handle).st_size
        portion = b"\n".join((*lines, b""))
        written = os.write(self._handle, portion)
        self._bytes += written
        if written < len(portion):
            raise OSError(errno.ENOSPC, "not all lines could be written")
        if self._bytes >= LOG_BYTES_MAX:
            self.close()
            self._rotate(self._path)

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @staticmethod
    def _rotate(path: Path) -> None:
        names = [path.name, *(f"{path.name}.{number}" for number in range(1, LOG_FILES_MAX))]
        for newer, older in reversed(list(pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(newer).replace(path.with_name(older))
