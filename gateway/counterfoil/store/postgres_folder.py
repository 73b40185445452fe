"""
The folder of an embedded PostgreSQL: made once, looked after before every start.

Stands between *embedded* and the tools of PostgreSQL. Whatever moment a first run is
interrupted at, the next one finds either a whole database or none.
"""

import errno
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path

from counterfoil.state_folder import synced
from counterfoil.store import postgres_launch as launch
from counterfoil.store.postgres_user import (
    Account,
    EmbeddedPostgresError,
    binaries_version,
    server_account,
    server_binaries,
    sole_use,
)

USER = "counterfoil"
DATABASE = "counterfoil"
PASSWORD_BYTES = 32
BALLAST_BYTES = 64 * 1024**2  # 8 MB were too little to recover on a full disk, 48 MB enough.
DISK_BYTES_MIN = 256 * 1024**2  # A new database, its first log files and the ballast.
TOOL_SECONDS_MAX = 120.0
REMOVE_TRIES_MAX = 40
REMOVE_PAUSE_SECONDS = 0.05
UNFINISHED = "data.unfinished-"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}  # Nothing of ours.

# In postgresql.conf from the first start on: an operator may change these there.
FIRST_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


class PostgresFolder:
    """
    The folder, its files, and who may use which.
    """

    def __init__(self, path: Path, copies: Path) -> None:
        self.path = path.resolve()
        self.data = self.path / launch.DATA_FOLDER
        self.sockets = self.path / launch.SOCKET_FOLDER
        self.lock = self.path / launch.LOCK_FILE
        self.connection = self.path / "connection.json"
        self.ballast = self.path / "ballast"
        self._copies = copies

    @cached_property
    def account(self) -> Account:
        """The system user that runs the server."""
        return server_account()

    @cached_property
    def binaries(self) -> Path:
        """The folder of `postgres` and its tools, where the server's user can run them."""
        return server_binaries(self.account, self._copies)

    def prepare(self) -> None:
        """
        Make what is missing, check what is there.

        Raises:
            EmbeddedPostgresError: It cannot be done; the message says what to change.
        """
        try:
            self._claim()
            with sole_use(self.path):
                self._make_what_is_missing()
        except OSError as error:
            raise self.explained(error) from error

    def command(
        self, mode: str, subfolder: str, program: str, arguments: list[str], *, parent: int
    ) -> list[str]:
        """Return the command that runs *program* in *subfolder* as the server's user."""
        script = [sys.executable, "-I", "-S", launch.__file__, mode, str(self.path), subfolder]
        who = [str(self.account.uid), str(self.account.gid), str(parent)]
        return [*script, *who, str(self.binaries / program), *arguments]

    def explained(self, error: OSError) -> EmbeddedPostgresError:
        """Return *error* in words that say what to change."""
        where = error.filename or self.path
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                text = f"The disk below {self.path} is full: make room and start again."
            case errno.EACCES | errno.EPERM | errno.EROFS:
                text = (
                    f"User id {os.geteuid()} cannot use {where} ({error.strerror}): "
                    f"change its owner or choose another folder."
                )
            case errno.EEXIST | errno.ENOTDIR:
                text = f"{where} is not a folder: choose another one."
            case _:
                text = f"{where}: {error.strerror}."
        return EmbeddedPostgresError(text)

    def _claim(self) -> None:
        """Make the folder, ours and private; for root's server, others may pass through it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise EmbeddedPostgresError(
                f"{self.path} belongs to user id {found.st_uid} and this is user id "
                f"{os.geteuid()}: start as the owner, or choose another folder."
            )
        mode = 0o711 if self.account.uid != os.geteuid() else 0o700
        if stat.S_IMODE(found.st_mode) != mode:
            self.path.chmod(mode)

    def _make_what_is_missing(self) -> None:
        for unfinished in self.path.glob(f"{UNFINISHED}*"):
            _remove(unfinished)
        if not self.data.exists():
            self._check_space()
            self._make_password()
            self._make_database()
        self._check_version()
        self._check_password()
        self._own_folder(self.data)
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        self._own_folder(self.sockets)
        self._keep_ballast()

    def _make_password(self) -> None:
        """Write the connection file before the database, which is made with its password."""
        if self.connection.exists():
            return
        parameters = {
            "user": USER,
            "password": secrets.token_urlsafe(PASSWORD_BYTES),
            "database": DATABASE,
        }
        unfinished = self.connection.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(parameters, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.connection)

    def _make_database(self) -> None:
        """Make the cluster and our database under another name; the rename makes it valid."""
        unfinished = self.path / f"{UNFINISHED}{secrets.token_hex(4)}"
        unfinished.mkdir(mode=0o700)
        self._own_folder(unfinished)
        password = json.loads(self.connection.read_text())["password"]
        handle = os.memfd_create("password")  # Never on disk in a place of the server's user.
        try:
            os.write(handle, f"{password}\n".encode())
            os.fchown(handle, self.account.uid, self.account.gid)
            self._tool(unfinished, "initdb", _initdb_options(handle), keep=handle)
        finally:
            os.close(handle)
        single = ["--single", "-D", launch.HERE, "-c", "log_checkpoints=off", "postgres"]
        said = self._tool(unfinished, "postgres", single, say=f"CREATE DATABASE {DATABASE}\n")
        if "ERROR" in said:
            raise EmbeddedPostgresError(f"The database could not be made: {said}")
        unfinished.rename(self.data)
        synced(self.path)

    def _check_space(self) -> None:
        free = _free_bytes(self.path)
        if free < DISK_BYTES_MIN:
            raise EmbeddedPostgresError(
                f"A new database needs {DISK_BYTES_MIN // 1024**2} MB free, and {self.path} "
                f"has {free // 1024**2} MB: make room or choose a folder on another disk."
            )

    def _check_version(self) -> None:
        written = (self.data / "PG_VERSION").read_text().strip()
        ours = binaries_version().split(".")[0]
        if written != ours:
            raise EmbeddedPostgresError(
                f"{self.data} was written by PostgreSQL {written} and this Counterfoil brings "
                f"{ours}. Your data are untouched. Go on with the Counterfoil that wrote them, "
                f"or move them with pg_upgrade or pg_dump, or choose another folder."
            )

    def _check_password(self) -> None:
        if not self.connection.exists():
            raise EmbeddedPostgresError(
                f"{self.connection} is missing beside an existing database, which nobody can "
                f"enter without it: put it back from a backup."
            )

    def _own_folder(self, path: Path) -> None:
        """Give *path*, which lies in our folder, to the server's user, also after a restore."""
        account = self.account
        if path.lstat().st_uid == account.uid:
            return
        for _, folders, files, handle in os.fwalk(path, topdown=False):
            os.fchown(handle, account.uid, account.gid)
            for name in (*folders, *files):
                os.chown(name, account.uid, account.gid, dir_fd=handle, follow_symlinks=False)

    def _keep_ballast(self) -> None:
        """Give the ballast up when the disk is too full to recover; take it when there is room."""
        free = _free_bytes(self.path)
        if free < BALLAST_BYTES:
            if self.ballast.exists():
                sys.stderr.write(f"The disk is nearly full: {self.ballast} is given up.\n")
                self.ballast.unlink()
        elif free > 2 * BALLAST_BYTES and not self.ballast.exists():
            handle = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(handle, 0, BALLAST_BYTES)
            finally:
                os.close(handle)

    def _tool(
        self,
        where: Path,
        program: str,
        arguments: list[str],
        *,
        say: str = "",
        keep: int | None = None,
    ) -> str:
        """Run a tool to its end in *where*; return what it wrote."""
        done = subprocess.run(  # noqa: S603 - our own command, no shell.
            self.command("once", where.name, program, arguments, parent=os.getpid()),
            env=ENVIRONMENT,
            input=say,
            pass_fds=() if keep is None else (keep,),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TOOL_SECONDS_MAX,
            check=False,
        )
        if "No space left on device" in done.stdout:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if done.returncode != 0:
            last = "\n".join(done.stdout.strip().splitlines()[-5:])
            raise EmbeddedPostgresError(f"{program} failed in {self.path}:\n{last}")
        return done.stdout


def _initdb_options(password_handle: int) -> list[str]:
    options = ["-D", launch.HERE, "--data-checksums", "--username", USER]
    options += ["--pwfile", f"/proc/self/fd/{password_handle}"]
    options += ["--auth-local=scram-sha-256", "--auth-host=reject", "--no-instructions"]
    options += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    return options + [f"--set={name}={value}" for name, value in FIRST_SETTINGS.items()]


def _remove(unfinished: Path) -> None:
    """Remove a folder in which a killed initdb may for a moment go on making files."""
    for _ in range(REMOVE_TRIES_MAX):
        shutil.rmtree(unfinished, ignore_errors=True)
        if not unfinished.exists():
            return
        time.sleep(REMOVE_PAUSE_SECONDS)


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
