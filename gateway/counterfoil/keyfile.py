"""
The key-encryption key on disk: 32 random bytes in a file that only its owner reads.

It wraps the data keys that the database holds (AES-KW, RFC 3394). It stays out of
the database and of its backups: without it every stored card is lost, with it and
the database every stored card is open.
"""

import contextlib
import os
import stat
from pathlib import Path

from counterfoil.plainly import SaidPlainly
from counterfoil.state_folder import synced

KEY_BYTES = 32
SECRET_BYTES_MAX = 4_096


class KeyFileRefused(SaidPlainly):
    """
    The key file cannot be used; the message says what to change.
    """


def load_key(path: Path) -> bytes:
    """
    Return the key in *path*.

    Raises:
        KeyFileRefused: Missing, of the wrong size, readable by others, or somebody else's.
    """
    if not path.exists():
        raise KeyFileRefused(
            f"no key at {path}: restore it from its escrow copy; without it no stored card can be "
            "read. Only a new installation makes one (`counterfoil migrate` on an empty database)"
        )
    key = read_secret(path)
    if len(key) != KEY_BYTES:
        raise KeyFileRefused(f"{path} holds {len(key)} bytes instead of {KEY_BYTES}")
    return key


def read_secret(path: Path) -> bytes:
    """
    Return what the file *path* holds, if only its owner, who is us, can read it.

    Raises:
        KeyFileRefused: Missing, too large, readable by others, or somebody else's.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise KeyFileRefused(f"{path} cannot be read: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise KeyFileRefused(f"{path} belongs to another user: chown it to the one who serves")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileRefused(f"{path} can be read by others: run chmod 600 {path}")
    if status.st_size > SECRET_BYTES_MAX:
        raise KeyFileRefused(f"{path} holds more than {SECRET_BYTES_MAX} bytes")
    return path.read_bytes()


def make_key(path: Path) -> bytes:
    """
    Make a new key in *path*, durable before it is used; return the one that is there if any.

    It appears under its name only when it is whole, and never in the place of another.
    """
    if path.exists():
        return load_key(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # Somebody else was faster: theirs counts.
            os.link(part, path)
    finally:
        part.unlink()
    synced(path.parent)
    return load_key(path)
