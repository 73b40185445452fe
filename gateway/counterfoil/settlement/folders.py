"""
Watch the folders into which the acquirer's reports and the bank's statements are put.

Run by every worker; who comes second finds the file known. A file counts as complete when it
has not changed between two looks. Files are never moved, changed or deleted here. Among many
files the newest (by name) are looked at first, and read in the order of their names.
"""

import asyncio
import hashlib
import os
import stat
from itertools import islice
from pathlib import Path

import msgspec
import structlog

from counterfoil.settlement.incoming import FILE_BYTES_MAX, FileTooLarge, Intake, Kind, shown_name
from counterfoil.store.settlement import SettlementStore

FILES_AT_ONCE_MAX = 20  # Read in one round.
FILES_LOOKED_AT_MAX = 500  # Asked after in one round; most of a large folder is known.
FILES_WATCHED_MAX = 100_000  # More in one folder are not looked at: it should be tidied.
UNFINISHED = (".tmp", ".part", ".filepart", ".swp")

log = structlog.get_logger("settlement")


class _Stamp(msgspec.Struct, frozen=True):
    """
    What changes when a file does.
    """

    inode: int
    bytes: int
    changed_at: int
    written_at: int


class _File(msgspec.Struct, frozen=True):
    """
    A file that is complete.
    """

    kind: Kind
    path: Path
    stamp: _Stamp


class Folders:
    """
    Takes each file of the watched folders once.
    """

    def __init__(
        self,
        intake: Intake,
        store: SettlementStore,
        *,
        reports: str | None,
        statements: str | None,
    ) -> None:
        self._intake = intake
        self._store = store
        named: list[tuple[Kind, str | None]] = [("report", reports), ("statement", statements)]
        self._folders = [(kind, Path(folder)) for kind, folder in named if folder]
        self._seen: dict[Path, _Stamp] = {}
        self._done: dict[Path, _Stamp] = {}
        self._digests: dict[tuple[Path, _Stamp], bytes] = {}
        self._away: set[Path] = set()
        self._begun = False

    async def read_folders(self) -> int:
        """
        Take the next complete files, and held ones that something has changed for.

        Returns how many files are still waiting.
        """
        await self._intake.retry_held(everything=not self._begun)
        self._begun = True
        waiting = await asyncio.to_thread(self._look)
        looked_at = waiting[:FILES_LOOKED_AT_MAX]
        new = await self._without_known(looked_at)
        for file in new[:FILES_AT_ONCE_MAX]:
            await self._take(file)
        return len(waiting) - len(looked_at) + len(new[FILES_AT_ONCE_MAX:])

    async def _without_known(self, files: list[_File]) -> list[_File]:
        """
        Return those of *files* whose bytes have not come before: reports first, by name.
        """
        digests = await asyncio.to_thread(self._digested, files)
        known = await self._store.known(list(set(digests.values())))
        new = []
        for file in files:
            digest = digests.get(file.path)
            if digest is None or digest in known:
                self._done[file.path] = file.stamp
            else:
                new.append(file)
        return sorted(new, key=lambda each: (each.kind, each.path.name))

    def _digested(self, files: list[_File]) -> dict[Path, bytes]:
        """
        Return the digests of *files*, without those that cannot be read.
        """
        found = {}
        for file in files:
            key = (file.path, file.stamp)
            try:
                if key not in self._digests:
                    self._digests[key] = hashlib.sha256(_content(file.path)).digest()
                found[file.path] = self._digests[key]
            except (OSError, FileTooLarge) as error:
                _not_taken(file.path, error)
        return found

    async def _take(self, file: _File) -> None:
        """
        Take one file.
        """
        try:
            content = await asyncio.to_thread(_content, file.path)
            await self._intake.take_file(content, file.path.name, file.kind)
        except (OSError, FileTooLarge) as error:
            _not_taken(file.path, error)
        self._done[file.path] = file.stamp

    def _look(self) -> list[_File]:
        """
        Return the files that are complete and not done yet: reports first, the newest by name.
        """
        found: list[_File] = []
        there: dict[Path, _Stamp] = {}
        for kind, folder in self._folders:
            for path, stamp in reversed(self._files(folder)):
                there[path] = stamp
                if self._done.get(path) != stamp and self._seen.get(path) == stamp:
                    found.append(_File(kind, path, stamp))
        self._seen = there
        self._done = {path: stamp for path, stamp in self._done.items() if path in there}
        self._digests = {
            (path, stamp): digest
            for (path, stamp), digest in self._digests.items()
            if there.get(path) == stamp
        }
        return found

    def _files(self, folder: Path) -> list[tuple[Path, _Stamp]]:
        """
        Return the regular files in *folder* by name, without those that are being written.
        """
        try:
            with os.scandir(folder) as entries:
                names = sorted(each.name for each in islice(entries, FILES_WATCHED_MAX))
        except OSError as error:
            if folder not in self._away:
                self._away.add(folder)
                log.warning("folder_away", folder=str(folder), reason=_reason(error))
            return []
        self._away.discard(folder)
        found = []
        for name in names:
            if name.startswith(".") or name.endswith(UNFINISHED):
                continue
            if stamp := _stamp(folder / name):
                found.append((folder / name, stamp))
        return found


def _stamp(path: Path) -> _Stamp | None:
    """
    Return what changes when the file does; None when it is gone, or no regular file.
    """
    try:
        state = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return _Stamp(state.st_ino, state.st_size, state.st_ctime_ns, state.st_mtime_ns)


def _content(path: Path) -> bytes:
    """
    Return a regular file's bytes.

    Raises:
        OSError: It cannot be read.
        FileTooLarge: It is larger than any file of ours may be.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise FileTooLarge(f"it has more than {FILE_BYTES_MAX} bytes")
    return content


def _not_taken(path: Path, error: Exception) -> None:
    log.error("file_not_taken", name=shown_name(path.name), reason=_reason(error))


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
