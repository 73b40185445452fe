"""
The embedded PostgreSQL, as real processes, run by whoever runs the tests.
"""
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240 - each test has its event loop to itself.

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from counterfoil.store import embedded, postgres_folder, postgres_launch, postgres_user
from counterfoil.store.embedded import SAFETY_SETTINGS, EmbeddedPostgres
from counterfoil.store.postgres_folder import BALLAST_BYTES, UNFINISHED, PostgresFolder
from counterfoil.store.postgres_user import EmbeddedPostgresError

AS_ROOT = os.geteuid() == 0
GATEWAY = Path(__file__).parents[1]

only_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")


class Running:
    """A server run by `python -m counterfoil.store.embedded`, as the supervisor does."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.database = EmbeddedPostgres(folder)
        self.log = next(p for p in folder.parents if p.exists()) / "postgres.log"
        command = [sys.executable, "-m", "counterfoil.store.embedded", str(folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, **options)

    async def ready(self) -> "Running":
        await self.database.wait_until_ready(30)
        return self

    async def ask(self, question: str) -> Any:
        connection = await asyncpg.connect(**self.database.dsn_parameters())
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Running]:
    server = Running(folder, **options)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was prepared once."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    EmbeddedPostgres(folder).prepare()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A prepared folder of one's own: a copy, as a restore would make it."""
    copy = tmp_path / "postgres"
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("ballast"))
    return copy


async def test_a_folder_that_does_not_exist_becomes_a_database_that_answers(
    tmp_path: Path,
) -> None:
    """Nothing but a path is needed; SIGTERM stops it cleanly and leaves no socket."""
    folder = tmp_path / "state" / "gateway" / "postgres"
    server = await Running(folder).ready()
    answer = await server.ask("select current_database() || ' ' || current_user")
    running_before = server.database.is_running()
    status = server.stop()

    assert answer == "counterfoil counterfoil"
    assert running_before
    assert status == 0
    assert not server.database.is_running()
    assert list((folder / "run").iterdir()) == []
    assert (folder / "ballast").stat().st_blocks * 512 >= BALLAST_BYTES


MAKES_AN_ACCOUNT = """
import sys, time
from pathlib import Path
from counterfoil.store import postgres_user
made, postgres_user.USERS_FOLDER = Path(sys.argv[1]), Path(sys.argv[1]).parent
def found(name):
    return postgres_user.Account(name=name, uid=1, gid=1) if made.exists() else None
def add():
    with made.with_name("asked").open("a") as log:
        log.write("asked\\n")
    time.sleep(0.3)  # As long as useradd takes: whoever looks now does not find it yet.
    made.touch()
    return ""
postgres_user._account_named, postgres_user._add_system_user = found, add
postgres_user.os.geteuid = lambda: 0
print(postgres_user.server_account().name)
"""


def test_first_starts_side_by_side_make_one_account(tmp_path: Path) -> None:
    """Two useradd at once make two users of one name, and the first one's files are nobody's."""
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES_AN_ACCOUNT, str(tmp_path / "made")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    names = [start.communicate(timeout=60)[0] for start in starts]

    assert names == ["counterfoil-pg\n"] * 4
    assert (tmp_path / "asked").read_text().count("asked") == 1


async def test_a_second_start_finds_what_the_first_committed(made: Path) -> None:
    """Data and password outlive the server."""
    for _ in range(2):
        with running(made) as server:
            await server.ready()
            await server.ask("create table if not exists kept (at timestamptz)")
            await server.ask("insert into kept values (now())")
            count = await server.ask("select count(*) from kept")

    assert count == 2


async def test_a_deep_folder_below_a_private_one_under_umask_077_works(tmp_path: Path) -> None:
    """No length of path and no mode of a parent matters, and no parent's mode is changed."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    folder = private.joinpath(*["deep" * 15] * 5, "gateway", "postgres")
    with running(folder, umask=0o077) as server:
        await server.ready()
        answer = await server.ask("select 1")
        parameters = server.database.dsn_parameters()

    assert answer == 1
    assert parameters["host"].startswith("/proc/self/fd/")
    assert (private.stat().st_mode & 0o777) == 0o700
    assert (folder.parent.stat().st_mode & 0o777) == 0o700


async def test_only_the_password_and_only_the_socket_let_anybody_in(made: Path) -> None:
    """The connection file is private, a wrong password is refused, TCP is not even listened on."""
    with running(made) as server:
        await server.ready()
        parameters = server.database.dsn_parameters()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(**{**parameters, "password": "wrong"})
        listening = await server.ask("show listen_addresses")

    assert ((made / "connection.json").stat().st_mode & 0o777) == 0o600
    assert ((made / "run").stat().st_mode & 0o777) == 0o700
    assert len(json.loads((made / "connection.json").read_text())["password"]) >= 43
    assert listening == ""


async def test_f29_the_safety_settings_cannot_be_weakened_by_a_file(folder: Path) -> None:
    """They stand on the command line; pages have checksums; the log quotes no rows."""
    weakened = folder / "data" / "postgresql.auto.conf"
    weakened.write_text("fsync = off\nfull_page_writes = off\nlog_statement = all\n")
    with running(folder) as server:
        await server.ready()
        found = {name: await server.ask(f"show {name}") for name in SAFETY_SETTINGS}
        checksums = await server.ask("show data_checksums")
        await server.ask("create table secret (word text unique)")
        await server.ask("insert into secret values ('canary-4711')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await server.ask("insert into secret values ('canary-4711')")

    assert found == SAFETY_SETTINGS
    assert checksums == "on"
    assert "secret_word_key" in server.log.read_text()
    assert "canary-4711" not in server.log.read_text()


async def test_f31_a_stale_pid_file_whose_number_a_stranger_has_is_neither_trusted_nor_signalled(
    folder: Path,
) -> None:
    """F31: the stranger even runs as the server's own user, so that its number is alive to it."""
    server = await Running(folder).ready()
    noted = (folder / "data" / "postmaster.pid").read_text().split("\n")
    server.stop()
    account = PostgresFolder(folder, postgres_user.COPIES_FOLDER).account
    who = {"user": account.uid, "group": account.gid} if AS_ROOT else {}
    stranger = subprocess.Popen(["sleep", "60"], **who)
    stale = "\n".join([str(stranger.pid), *noted[1:]])
    (folder / "data" / "postmaster.pid").write_text(stale)
    (folder / "run" / ".s.PGSQL.5432.lock").write_text(stale)
    trusted = server.database.is_running() or server.database.is_ready()
    with running(folder) as second:
        await second.ready()
        answer = await second.ask("select 1")
    signalled = stranger.poll()
    stranger.kill()
    stranger.wait()

    assert not trusted
    assert answer == 1
    assert signalled is None


async def test_f30_a_killed_server_starts_again_though_a_backend_lives_on(
    folder: Path,
) -> None:
    """F30: whoever runs it reaps it; what it leaves holding its memory is ended; commits stay."""
    first = await Running(folder).ready()
    await first.ask("create table survived as select 7 as number")
    endless = "do $$ begin loop perform 1; end loop; end $$"
    busy = asyncio.create_task(first.ask(endless))
    await asyncio.sleep(0.3)
    pid = first.database.server_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = first.process.wait(5)
    with running(folder) as second:
        await second.ready()
        number = await second.ask("select number from survived")
    with suppress(asyncpg.PostgresError, OSError):
        await busy

    assert status == 128 + signal.SIGKILL
    assert number == 7


async def test_f30_a_crashed_backend_ends_the_server_and_the_next_start_has_what_was_committed(
    folder: Path,
) -> None:
    """It does not start itself again beside its supervisor, which counts and gives up."""
    with running(folder) as first:
        await first.ready()
        await first.ask("create table survived as select 7 as number")
        connection = await asyncpg.connect(**first.database.dsn_parameters())
        os.kill(connection.get_server_pid(), signal.SIGKILL)
        status = first.process.wait(20)
        connection.terminate()
    with running(folder) as second:
        await second.ready()
        number = await second.ask("select number from survived")

    assert status == 1
    assert "restart_after_crash" in first.log.read_text()
    assert number == 7


def test_a_stop_that_comes_while_the_server_is_handed_over_begins_with_a_fast_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not with the next step at once, which would leave a recovery to the next start."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    sent: list[int] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda _, number: sent.append(number))

    class Interrupted(embedded._StopSignals):
        """Gets the signal just when the server's handle is there."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_server" and value is not None:
                os.kill(os.getpid(), signal.SIGTERM)

    stopping = Interrupted()
    stopping.forward_to(os.getpid())
    stopping.end()

    assert sent == [embedded.STOPPING[0][0]]
    assert {each: signal.getsignal(each) for each in before} == before


HASTY = """import signal, sys
from counterfoil.store import embedded
embedded.STOPPING = ((signal.SIGINT, 0.5), (signal.SIGQUIT, 8.0), (signal.SIGKILL, 5.0))
embedded.main()"""


async def test_a_server_that_hangs_in_its_stop_is_ended_all_the_same(folder: Path) -> None:
    """Its checkpointer stands still: a fast shutdown would wait for it for ever."""
    program = subprocess.Popen(
        [sys.executable, "-c", HASTY, str(folder)], stderr=subprocess.DEVNULL
    )
    database = EmbeddedPostgres(folder)
    await database.wait_until_ready(30)
    server, children = database.server_pid(), _freeze_checkpointer(database)
    program.terminate()
    await asyncio.to_thread(program.wait, 30)

    assert not Path(f"/proc/{server}").exists()
    assert [each for each in children if Path(f"/proc/{each}").exists()] == []


async def test_a_server_that_hangs_when_its_parent_died_is_ended_by_the_next_start(
    folder: Path,
) -> None:
    """Nobody is left who could insist; the lock goes to whoever comes next."""
    first = await Running(folder).ready()
    server, children = first.database.server_pid(), _freeze_checkpointer(first.database)
    first.process.kill()
    first.process.wait()
    take = "import os, sys; from counterfoil.store import postgres_launch as launch; "
    take += "launch.STOPPING_WAIT_SECONDS = 0.5; os.chdir(sys.argv[1]); "
    take += "launch.take_lock(os.open('../lock', os.O_RDWR), sys.argv[1])"
    taken = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", take, str(folder / "data")], timeout=60, check=False
    )

    assert taken.returncode == 0
    assert not first.database.is_running()
    assert server not in children
    assert [each for each in children if Path(f"/proc/{each}/exe").exists()] == []


def _freeze_checkpointer(database: EmbeddedPostgres) -> list[int]:
    """Have the server's checkpointer stand still; return all children of the server."""
    server = database.server_pid()
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for each in children:
        if "checkpointer" in Path(f"/proc/{each}/cmdline").read_text():
            os.kill(int(each), signal.SIGSTOP)
    return list(map(int, children))


async def test_the_server_stops_when_whoever_runs_it_is_killed(folder: Path) -> None:
    """SIGKILL of the parent: the kernel tells the server, which shuts down cleanly."""
    server = await Running(folder).ready()
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 10
    while server.database.is_running() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)

    assert not server.database.is_running()
    assert "database system is shut down" in server.log.read_text()


async def test_a_second_server_of_the_same_folder_is_refused_and_the_first_goes_on(
    made: Path,
) -> None:
    """The lock decides; the message names the process."""
    with running(made) as first:
        await first.ready()
        second = Running(made)
        status = second.process.wait(20)
        answer = await first.ask("select 1")
        pid = first.database.server_pid()

    assert status == 1
    assert f"already has a running server, process {pid}" in second.log.read_text()
    assert answer == 1


async def test_a_first_run_killed_at_any_moment_is_done_again(tmp_path: Path) -> None:
    """What was half made is thrown away, and the database of the next start is whole."""
    folder = tmp_path / "postgres"
    for seconds in (0.15, 0.35, 0.5):
        killed = Running(folder)
        await asyncio.sleep(seconds)
        killed.process.kill()
        killed.process.wait()
    with running(folder) as server:
        await server.ready()
        answer = await server.ask("select 1")

    assert answer == 1
    assert list(folder.glob(f"{UNFINISHED}*")) == []


async def test_two_first_runs_at_once_make_one_database(tmp_path: Path) -> None:
    """The folder's own lock: the second waits and finds everything made."""
    prepare = "import sys, pathlib; from counterfoil.store.embedded import EmbeddedPostgres as E; "
    prepare += "E(pathlib.Path(sys.argv[1])).prepare()"
    command = [sys.executable, "-c", prepare, str(tmp_path / "postgres")]
    both = [subprocess.Popen(command) for _ in range(2)]

    assert [process.wait(30) for process in both] == [0, 0]


def test_data_of_another_version_are_refused_with_what_to_do(folder: Path) -> None:
    """Nothing is touched, and the message names both versions."""
    (folder / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match=r"written by PostgreSQL 17.*brings 18"):
        EmbeddedPostgres(folder).prepare()


def test_a_database_without_its_password_is_refused_with_what_to_do(folder: Path) -> None:
    """A new password file would not open it."""
    (folder / "connection.json").unlink()
    with pytest.raises(EmbeddedPostgresError, match="put it back from a backup"):
        EmbeddedPostgres(folder).prepare()


def test_f28_a_disk_without_room_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and how much there is."""
    monkeypatch.setattr(postgres_folder, "_free_bytes", lambda _: 100 * 1024**2)
    with pytest.raises(EmbeddedPostgresError, match=r"needs 256 MB free.*has 100 MB"):
        EmbeddedPostgres(tmp_path / "postgres").prepare()


def test_f28_the_ballast_is_given_up_on_a_full_disk_and_taken_again_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: recovery needs room in the log's folder before anybody can make some."""
    ballast = folder / "ballast"
    EmbeddedPostgres(folder).prepare()
    made = ballast.exists()
    monkeypatch.setattr(postgres_folder, "_free_bytes", lambda _: 1024**2)
    EmbeddedPostgres(folder).prepare()
    given_up = not ballast.exists()
    monkeypatch.undo()
    EmbeddedPostgres(folder).prepare()

    assert made
    assert given_up
    assert ballast.stat().st_size == BALLAST_BYTES


def test_a_folder_that_is_a_file_is_refused_in_plain_words(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "postgres").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="is not a folder"):
        EmbeddedPostgres(tmp_path / "postgres").prepare()


@only_root
def test_a_folder_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Root does not take an ordinary user's database away from them."""
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 65534, 65534)
    with pytest.raises(EmbeddedPostgresError, match="start as the owner"):
        EmbeddedPostgres(tmp_path / "postgres").prepare()


@only_root
async def test_binaries_that_the_servers_user_cannot_reach_are_copied_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone below /root: a copy of root's, which nobody else may write, takes their place."""
    monkeypatch.setattr(postgres_user, "_everyone_may_use", lambda _: False)
    public = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        public.chmod(0o755)
        old = os.umask(0o077)
        database = EmbeddedPostgres(folder, copies=public / "copies")
        database.prepare()
        os.umask(old)
        command = database.argv(parent=os.getpid())
        server = subprocess.Popen(command, env=database.environment(), stderr=subprocess.DEVNULL)
        await database.wait_until_ready(30)
        server.send_signal(signal.SIGINT)
        status = server.wait(20)
        copied_again = EmbeddedPostgres(folder, copies=public / "copies").binaries()
        loose = [path for path in public.rglob("*") if path.stat().st_mode & 0o022]
    finally:
        shutil.rmtree(public)

    assert status == 0
    assert str(public) in " ".join(command)
    assert copied_again == database.binaries()
    assert loose == []


@only_root
async def test_the_server_runs_without_any_right_of_root(made: Path) -> None:
    """Its own user, no groups, no capabilities, no new privileges, no core dumps."""
    with running(made) as server:
        await server.ready()
        pid = server.database.server_pid()
        status = Path(f"/proc/{pid}/status").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        account = PostgresFolder(made, postgres_user.COPIES_FOLDER).account
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert set(facts["Uid"].split()) == {str(account.uid)}
    assert facts["Groups"].split() in ([], [str(account.gid)])
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert "Max core file size        0" in limits


@only_root
async def test_an_ordinary_user_runs_it_as_themselves() -> None:
    """The same code as nobody: no user is made, no right is needed."""
    interpreter, environment = _interpreter_of_nobody()
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        os.chown(home, 65534, 65534)
        command = [interpreter, "-m", "counterfoil.store.embedded", str(home / "postgres")]
        server = subprocess.Popen(
            command, user=65534, group=65534, extra_groups=[], env=environment, cwd="/",
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        database = EmbeddedPostgres(home / "postgres")
        await database.wait_until_ready(30)
        connection = await asyncpg.connect(**database.dsn_parameters())
        answer = await connection.fetchval("select 1")
        await connection.close()
        owner = os.stat(f"/proc/{database.server_pid()}").st_uid
        server.terminate()
        status = server.wait(20)
    finally:
        shutil.rmtree(home)

    assert answer == 1
    assert owner == 65534
    assert status == 0


def _interpreter_of_nobody() -> tuple[str, dict[str, str]]:
    """Find a Python that an ordinary user can run with our packages; skip without one."""
    packages = Path(asyncpg.__file__).parents[1]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{GATEWAY}:{packages}"}
    for interpreter in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            tried = subprocess.run(
                [interpreter, "-c", "import counterfoil.store.embedded"],
                user=65534, group=65534, extra_groups=[], env=environment, cwd="/",
                capture_output=True, check=False,
            )  # fmt: skip
            if tried.returncode == 0:
                return interpreter, environment
    pytest.skip("no Python here that user nobody can run with our packages")


def test_f31_the_lock_file_of_a_process_that_ended_names_no_server(folder: Path) -> None:
    """A number that was given to another process started at another time."""
    (folder / "lock").write_text(f"{os.getpid()} 1\n")
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")

    assert postgres_launch.start_ticks(os.getpid()) > 1
    assert EmbeddedPostgres(folder).server_pid() is None
