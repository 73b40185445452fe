"""
Become the PostgreSQL server of a folder: one server at a time, no rights to spare.

Stands between *embedded* and `postgres`. *embedded* runs this file as a script
(`python -I -S postgres_launch.py ...`, standard library only); it goes into the data
folder, takes the folder's lock, gives up root, asks the kernel to stop it with its
parent, and then **becomes** `postgres` (exec), so that whoever started it is the direct
parent and reaps it at once.

The data folder is entered while still root and is called `/proc/self/cwd` from then on.
So it may lie below folders that the server's user cannot enter, at any depth.

The lock file stays open in `postgres` and all its children. While one of them lives,
the kernel refuses the lock to everyone else; when we hold it, none of ours lives, and a
`postmaster.pid` left by a crash is known to be stale whatever now has its number.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import sys
import time

LOCK_FILE = "lock"  # Holds "PID TICKS" of the server: its process and when that started.
DATA_FOLDER = "data"
SOCKET_FOLDER = "run"
SOCKET_NAME = ".s.PGSQL.5432"
HERE = "/proc/self/cwd"  # The data folder, to a process that stands in it.

RUNNING_WAIT_SECONDS = 3.0  # A server whose parent has just died reads "ready" a moment longer.
STOPPING_WAIT_SECONDS = 30.0  # A fast shutdown writes a checkpoint first.
ENDING_WAIT_SECONDS = 8.0  # An immediate one ends its children itself after five.
ORPHANS_WAIT_SECONDS = 2.0  # Backends notice within milliseconds that their server died.
LOCK_WAIT_SECONDS = 10.0
POLL_SECONDS = 0.05

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """
    Run `MODE FOLDER SUBFOLDER UID GID PARENT BINARY ARGUMENT...`; never returns.

    MODE is `serve` (take the lock and clear what a crash left) or `once` (a tool such
    as initdb, whose caller holds its own lock). PARENT 0 means: whoever it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    mode, folder, subfolder, uid, gid, parent, binary, *rest = arguments
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    lock = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder_fd)
    enter(subfolder, folder_fd, owner=int(uid))
    drop_rights(int(uid), int(gid))
    die_with_parent(int(parent))
    if mode == "serve":
        take_lock(lock, folder)
        clear_leftovers(folder)
        sign(lock)
        os.set_inheritable(lock, True)  # Held as long as any process of this server lives.
    try:
        os.execv(binary, [binary, *rest])  # noqa: S606 - no shell is the point.
    except OSError as error:
        fail(f"cannot run {binary}: {error.strerror}.")


def enter(subfolder: str, folder_fd: int, *, owner: int) -> None:
    """Stand in *subfolder*, which must be a real folder of the server's user."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    data_fd = os.open(subfolder, flags, dir_fd=folder_fd)
    if os.fstat(data_fd).st_uid != owner:
        fail(f"its data folder belongs to user id {os.fstat(data_fd).st_uid}, not to {owner}.")
    os.fchdir(data_fd)


def drop_rights(uid: int, gid: int) -> None:
    """Become user *uid* for good; no core dumps, no files for others, no setuid programs."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if os.geteuid() == 0:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGINT (a fast shutdown) when the parent dies (after setuid)."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if parent and os.getppid() != parent:
        fail("whoever started it has died.")


def take_lock(lock: int, folder: str) -> None:
    """
    Take the folder's lock; outwait a server that is stopping, end a dead one's orphans.

    A server whose parent died is asked by the kernel to stop. When it hangs in that, nobody is
    left to insist but we.
    """
    server, since = noted_server(), time.monotonic()
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        before, server = server, noted_server()
        since = since if server == before else time.monotonic()
        waited = time.monotonic() - since
        if server and server_status() == "stopping":
            insist(folder, server, waited)
        elif server and waited > RUNNING_WAIT_SECONDS:
            fail_running(folder, server)
        elif not server and waited > LOCK_WAIT_SECONDS:
            holders = ", ".join(map(str, orphans())) or "unknown"
            fail(f"{folder} is still in use by processes {holders}: end them and start again.")
        elif not server and waited > ORPHANS_WAIT_SECONDS:
            end_orphans()
        time.sleep(POLL_SECONDS)


def insist(folder: str, server: int, waited: float) -> None:
    """End a server that has been stopping for *waited* seconds: at once, then by force."""
    if waited > STOPPING_WAIT_SECONDS + 2 * ENDING_WAIT_SECONDS:
        fail_running(folder, server)
    elif waited > STOPPING_WAIT_SECONDS + ENDING_WAIT_SECONDS:
        send(server, signal.SIGKILL)
    elif waited > STOPPING_WAIT_SECONDS:
        send(server, signal.SIGQUIT)


def clear_leftovers(folder: str) -> None:
    """Remove what a crash left; called with the lock held, so no server of ours lives."""
    server = noted_server()
    if server:  # Started by hand, without the lock.
        fail_running(folder, server)
    sockets = f"../{SOCKET_FOLDER}/{SOCKET_NAME}"
    for leftover in ("postmaster.pid", sockets, f"{sockets}.lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(leftover)


def sign(lock: int) -> None:
    """Note in the lock file who the server is; exec keeps both process id and start."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {start_ticks(os.getpid())}\n".encode(), 0)


def noted_server() -> int | None:
    """Return the process that `postmaster.pid` names, if it is a server of this very folder."""
    lines = postmaster_lines(".")
    pid = int(lines[0]) if lines and lines[0].isdecimal() else 0
    return pid if pid and is_postgres_in(pid, os.stat(".")) else None


def server_status() -> str:
    """Return the last word of `postmaster.pid`: starting, ready, stopping."""
    lines = postmaster_lines(".")
    return lines[7].strip() if len(lines) > 7 else "starting"


def postmaster_lines(data: str) -> list[str]:
    """Return the lines of `postmaster.pid`, none when there is no such file."""
    try:
        with open(f"{data}/postmaster.pid", encoding="utf-8", errors="replace") as file:
            return file.read(4096).splitlines()
    except (FileNotFoundError, PermissionError):
        return []


def is_postgres_in(pid: int, data: os.stat_result) -> bool:
    """Whether *pid* runs a program `postgres` that stands in the folder *data*."""
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        return os.path.basename(program) == "postgres" and os.path.samestat(
            os.stat(f"/proc/{pid}/cwd"), data
        )
    except OSError:  # Gone, or a stranger's: no server that we started.
        return False


def start_ticks(pid: int) -> int:
    """Return when *pid* started, in clock ticks since boot; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def orphans() -> list[int]:
    """Return the processes `postgres` that stand in this folder."""
    data = os.stat(".")
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdecimal() and is_postgres_in(int(name), data)
    ]


def end_orphans() -> None:
    """Kill a dead server's backends: the next start recovers from the log in any case."""
    for pid in orphans():
        send(pid, signal.SIGKILL)


def send(pid: int, number: signal.Signals) -> None:
    """Send *number* to a process `postgres` that stands in this folder, and to nobody else."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)  # From here on the number cannot change its owner.
        if is_postgres_in(pid, os.stat(".")):
            signal.pidfd_send_signal(handle, number)
        os.close(handle)


def fail_running(folder: str, pid: int) -> None:
    """Say that another server has the folder."""
    fail(f"{folder} already has a running server, process {pid}: stop it first.")


def fail(reason: str) -> None:
    """End with *reason* on standard error."""
    sys.exit(f"embedded PostgreSQL: {reason}")


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        fail(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}.")


if __name__ == "__main__":
    main(sys.argv[1:])
