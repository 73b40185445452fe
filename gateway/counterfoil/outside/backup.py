"""
Back the database up into a folder, and restore it into an empty installation, in quarantine.

A backup is a folder: `database.sql.gz`, one consistent snapshot made by pg_dump, and
`manifest.json`, written last, with sizes and digests. The key-encryption key is not in it:
together the two would open every card. The manifest holds the wrapped data keys, so that a
restore can try the key file before it changes anything. Restoring is one transaction that
ends with the quarantine: there is no moment at which a restored database looks like a live one.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from counterfoil import __version__
from counterfoil.keyfile import load_key
from counterfoil.plainly import SaidPlainly
from counterfoil.state_folder import synced
from counterfoil.store.backups import RESTORED_INTO_QUARANTINE
from counterfoil.vault import Vault, WrappedKey

FORMAT = "counterfoil-backup-1"
DUMP = "database.sql.gz"
MANIFEST = "manifest.json"
SECONDS_MAX = 24 * 3600.0
PIECE_BYTES = 1 << 20
COMPRESSION = "gzip:6"
UNPACK = 'gzip -dc "$1" && echo "SET counterfoil.dump TO whole;"'
WHOLE = """DO $$ BEGIN
    IF current_setting('counterfoil.dump', true) IS DISTINCT FROM 'whole' THEN
        RAISE EXCEPTION 'the dump was not unpacked to its end: nothing was restored, try again';
    END IF;
END $$"""


class BackupRefused(SaidPlainly):
    """
    It cannot be backed up or restored so; the message says what to change.
    """


class Place(msgspec.Struct, frozen=True):
    """
    How PostgreSQL's tools reach a database: where they lie, their environment, where they stand.

    Attributes:
        address: The database's URL, without its password: everybody can read a command line.
    """

    binaries: Path
    environment: Mapping[str, str]
    folder: Path
    address: str | None = None


class FileFacts(msgspec.Struct, frozen=True):
    """
    What a file of the backup must be.
    """

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a backup holds.
    """

    format: str
    made_at: datetime
    counterfoil: str
    mode: str
    migrations: int
    payments: int
    newest_payment_at: datetime | None
    vault_keys: list[dict[str, str]]
    files: dict[str, FileFacts]


def back_up(place: Place, target: Path, facts: Mapping[str, Any], at: datetime) -> Manifest:
    """
    Dump the database at *place* into the new folder *target*; it appears only when it is whole.

    Raises:
        BackupRefused: The folder exists, or the tool failed.
    """
    if target.exists():
        raise BackupRefused(f"{target} exists already: a backup never overwrites anything")
    part = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    try:
        _run(place, ["pg_dump", "--no-owner", "--no-privileges", f"--compress={COMPRESSION}",
                     "--format=plain", f"--file={(part / DUMP).absolute()}"])  # fmt: skip
        manifest = Manifest(
            format=FORMAT,
            made_at=at,
            counterfoil=__version__,
            files={DUMP: _facts(part / DUMP)},
            **facts,
        )
        _write(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        synced(part / DUMP)
        synced(part)
        part.rename(target)
        synced(target.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return manifest


def checked(folder: Path, *, mode: str, migrations: int) -> Manifest:
    """
    Return the manifest of the backup in *folder*, after its files were compared with it.

    Raises:
        BackupRefused: It is no backup, damaged, of the other mode, or of a newer version.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupRefused(
            f"{folder} holds no backup that can be read ({error}): name the folder that "
            "`counterfoil backup` made"
        ) from error
    if manifest.format != FORMAT or set(manifest.files) != {DUMP}:
        raise BackupRefused(f"{folder} is of a form that this version does not know")
    if manifest.mode != mode:
        raise BackupRefused(
            f"the backup holds {manifest.mode} data and this installation is {mode}: they never mix"
        )
    if not RESTORED_INTO_QUARANTINE <= manifest.migrations <= migrations:
        raise BackupRefused(
            f"the backup was made by Counterfoil {manifest.counterfoil} "
            f"({manifest.migrations} migrations): restore it with that version, then upgrade"
        )
    for name, expected in manifest.files.items():
        if not (folder / name).is_file() or _facts(folder / name) != expected:
            raise BackupRefused(
                f"{folder / name} is not the file that was backed up: its digest differs. "
                "Nothing was restored; take another copy"
            )
    return manifest


def key_opens(manifest: Manifest, key_path: Path) -> None:
    """
    Try the key file on the backup's data keys.

    Raises:
        KeyFileRefused, VaultClosed: It is missing, or another installation's.
    """
    keys = [
        WrappedKey(each["key_id"], each["purpose"], bytes.fromhex(each["wrapped"]))
        for each in manifest.vault_keys
    ]
    Vault(keys, load_key(key_path))


def restore(place: Place, folder: Path, statement: str) -> None:
    """
    Play the dump of *folder* into the empty database at *place*, and run *statement* with it.

    A dump that ends early looks like one that ends: so the mark that follows it is asked for
    before anything is committed, and errors are told without the rows that they are about.

    Raises:
        BackupRefused: A tool failed; nothing was restored, it was one transaction.
    """
    unpack = subprocess.Popen(  # noqa: S603 - our own script, the path is its argument.
        ["/bin/sh", "-c", UNPACK, "unpack", str((folder / DUMP).absolute())],
        stdout=subprocess.PIPE,
    )
    with unpack:
        assert unpack.stdout is not None
        options = [
            *("--no-psqlrc", "--quiet", "--single-transaction", "--output=/dev/null"),
            *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
        ]
        commands = ["--file=-", f"--command={WHOLE}", f"--command={statement}"]
        _run(place, ["psql", *options, *commands], stdin=unpack.stdout)


def _run(place: Place, words: list[str], stdin: IO[bytes] | None = None) -> None:
    address = [f"--dbname={place.address}"] if place.address else []
    try:
        done = subprocess.run(  # noqa: S603 - our own command, no shell.
            [str(place.binaries / words[0]), *address, *words[1:]],
            env=dict(place.environment),
            cwd=place.folder,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except OSError as error:
        raise BackupRefused(f"{words[0]} cannot be run ({error})") from error
    if done.returncode != 0:
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise BackupRefused(f"{words[0]} failed: {last}")


def _facts(path: Path) -> FileFacts:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return FileFacts(size, digest.hexdigest())


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())


def manifest_text(manifest: Manifest) -> str:
    """
    Return what a person wants to know of a backup.
    """
    newest = manifest.newest_payment_at
    return (
        f"{manifest.payments} payments, the newest of {newest:%Y-%m-%d %H:%M:%S} UTC"
        if newest
        else "no payments"
    )


def as_json(manifest: Manifest) -> Any:
    """
    Return *manifest* as plain objects.
    """
    return json.loads(msgspec.json.encode(manifest))
