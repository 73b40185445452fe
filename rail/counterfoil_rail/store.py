"""
The rail's folder on disk: its books, its key, and the files that say where it listens.

Everything lies below `DIR/rail`. One process at a time may write: it holds `lock`.
Commits are durable when they return (WAL, synchronous=FULL), unless a simulation opens them.
"""

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

# Each brings the books one version further.
SCHEMAS = ("schema.sql", "settlement/schema.sql", "operations.sql")
SCHEMA_VERSION = len(SCHEMAS)
KEY_BYTES = 32
BOOKS_PATH_BYTES_MAX = 504  # SQLite's own limit for an absolute path, less its suffixes.
WAL_PAGES_MAX = 1000  # 4 MB, soon written over: a sync of a file that grows takes twice as long.
BUSY_SECONDS_MAX = 5.0


class StoreError(Exception):
    """
    The state folder cannot be used; the message says what to change.
    """


def rail_folder(state: Path) -> Path:
    """
    Return where the rail lives below the demo's folder *state*.
    """
    return state.absolute() / "rail"


def books_path(folder: Path) -> Path:
    """
    Return the file that holds the books.
    """
    return folder / "books.sqlite"


def prepare_folder(state: Path) -> Path:
    """
    Make the rail's private folder below *state*, if it is not there yet.

    Raises:
        StoreError: It cannot be made, or its path is too long for SQLite.
    """
    folder = rail_folder(state)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise StoreError(f"cannot use the folder {folder}: {error.strerror}") from error
    length = len(os.fsencode(books_path(folder).resolve()))
    if length > BOOKS_PATH_BYTES_MAX:
        raise StoreError(
            f"the path of the books is {length} bytes long and SQLite opens at most "
            f"{BOOKS_PATH_BYTES_MAX}: choose a state folder whose path is shorter"
        )
    return folder


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Hold the folder for this process alone.

    Raises:
        StoreError: Another process holds it.
    """
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another rail already works in {folder}: stop it first") from error
        yield


def open_writable(folder: Path, *, is_durable: bool = True) -> sqlite3.Connection:
    """
    Open the books for writing, and make them when the folder has none.

    Without *is_durable* a commit survives the process but not the machine: for simulations.

    Raises:
        StoreError: They are of a newer version, or SQLite refuses them.
    """
    try:
        books_path(folder).touch(mode=0o600)
        books = sqlite3.connect(books_path(folder), isolation_level=None, timeout=BUSY_SECONDS_MAX)
        books.execute("PRAGMA journal_mode = WAL")
        books.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'OFF'}")
        books.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
        _migrate(books)
        books.execute("PRAGMA foreign_keys = ON")  # After migrations: they replace tables.
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open {books_path(folder)}: {error}") from error
    return books


def open_readable(folder: Path) -> sqlite3.Connection | None:
    """
    Open the books for reading, also while a rail writes them; None when there are none.

    Books of an older version are brought up to date first.

    Raises:
        StoreError: They are of a newer version, or SQLite refuses them, or a rail of an
            older version works with them.
    """
    path = books_path(folder)
    try:
        if not path.exists():
            return None
        books = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS_MAX)
        books.row_factory = sqlite3.Row
        version = _version(books)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    if version == SCHEMA_VERSION:
        return books
    books.close()
    if version == 0:
        return None
    with locked(folder):
        open_writable(folder).close()
    return open_readable(folder)


def account_key(folder: Path, books: sqlite3.Connection) -> bytes:
    """
    Return the key of the card references; made at the first start, kept for ever.

    Raises:
        StoreError: Accounts exist but their key is gone or damaged: restore it, or start
            with an empty folder.
    """
    path = folder / "account.key"
    if path.exists():
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise StoreError(f"{path} is damaged: restore it, or start with an empty folder")
        return key
    if books.execute("SELECT EXISTS (SELECT 1 FROM account)").fetchone()[0]:
        raise StoreError(f"{path} is missing: restore it, or start with an empty folder")
    key = secrets.token_bytes(KEY_BYTES)
    write_private_file(path, key)
    return key


def write_private_file(path: Path, content: bytes) -> None:
    """
    Write a file that only its owner reads; it is there whole or not at all.
    """
    write_private_pieces(path, (content,))


def write_private_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """
    Write a file as `write_private_file` does, piece by piece.
    """
    draft = path.with_name(f"{path.name}.draft")  # One process at a time writes here.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private_json(path: Path, content: Mapping[str, object]) -> None:
    """
    Write a small JSON file as `write_private_file` does.
    """
    write_private_file(path, f"{json.dumps(content)}\n".encode())


def _version(books: sqlite3.Connection) -> int:
    version = int(books.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the books are of version {version} and this rail knows {SCHEMA_VERSION}: upgrade it"
        )
    return version


def _migrate(books: sqlite3.Connection) -> None:
    """
    Bring the schema up to date, in one transaction.
    """
    missing = SCHEMAS[_version(books) :]
    if not missing:
        return
    package = files(__package__)
    schemas = ";".join(package.joinpath(*name.split("/")).read_text("utf-8") for name in missing)
    books.executescript(
        f"BEGIN IMMEDIATE; {schemas}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )
