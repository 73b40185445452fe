"""
A database in trouble: no room, no standby, no connection left, a disk that lies, another version.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from api_stage import Api
from counterfoil.clock import SystemClock
from counterfoil.payments.lifecycle import State
from counterfoil.payments.recovery import sweep
from counterfoil.store import database as connecting
from counterfoil.store.database import CALL_SECONDS_MAX, Database
from counterfoil.store.migrate import migrate, migrations
from own_postgres import connection, own_postgres
from payment_stage import Stage

HERE = Path(__file__).parent
MOUNTS = shutil.which("unshare") is not None and os.geteuid() == 0
COMPILER = shutil.which("cc")

# What a process of the version before would trip over, if it met the schema of this one.
DESTRUCTIVE = (
    r"\bDROP\s+(TABLE|COLUMN|TYPE|SCHEMA|VIEW)\b",
    r"^\s*TRUNCATE\b",
    r"\bDELETE\s+FROM\b",
    r"\bRENAME\b",
    r"\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b",
    r"\bALTER\s+COLUMN\s+\w+\s+DROP\s+DEFAULT\b",
    r"\bADD\s+COLUMN\s+(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b",
    r"\bALTER\s+COLUMN\s+\w+\s+SET\s+NOT\s+NULL\b",
)
BEFORE_THE_FIRST_RELEASE = {1, 2}
OUR_SECONDS = 1.0


class Patient(Database):
    """
    The database with a call deadline of one second: a test does not wait for ten.
    """

    async def rows(
        self, name: str, *arguments: Any, seconds_max: float = CALL_SECONDS_MAX
    ) -> list[asyncpg.Record]:
        return await super().rows(name, *arguments, seconds_max=min(seconds_max, OUR_SECONDS))


@pytest.mark.skipif(not MOUNTS, reason="a small disk of one's own needs root and unshare(1)")
def test_f28_a_full_disk_loses_nothing_that_was_committed_and_the_ballast_brings_it_back(
    tmp_path: Path,
) -> None:
    """PostgreSQL stops rather than lie; the next start gives the ballast up, and takes it again."""
    command = ["unshare", "-m", sys.executable, str(HERE / "own_postgres.py")]
    done = subprocess.run(
        [*command, str(tmp_path / "disk")], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)

    assert said["ended"] != 0
    assert said["acknowledged"] > 10
    assert said["acknowledged"] <= said["kept"] == said["after"] <= said["acknowledged"] + 1
    assert said["works"] is True
    assert said["ballast"] == [True, True, True]  # There, given up for the restart, made again.


FAILING_DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int lies(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strstr(path, "pg_wal") && access(getenv("FAILS_WHEN"), F_OK) == 0;
}
int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (lies(fd)) { errno = EIO; return -1; }
    return real(fd);
}
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's user reaches; pytest closes its own at any start of a run."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(COMPILER is None, reason="a disk that fails is a shim in C: no compiler here")
async def test_f29_a_disk_that_does_not_keep_the_log_stops_the_database_and_commits_nothing(
    tmp_path: Path, open_folder: Path
) -> None:
    """An error of fdatasync is a PANIC, never a commit; what was acknowledged is there again."""
    source, shim, fails = (open_folder / name for name in ("shim.c", "shim.so", "fails"))
    source.write_text(FAILING_DISK)
    compiled = [str(COMPILER), "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"]
    await asyncio.to_thread(subprocess.run, compiled, check=True)
    shim.chmod(0o755)
    environment = {"LD_PRELOAD": str(shim), "FAILS_WHEN": str(fails)}
    with own_postgres(tmp_path / "postgres", environment=environment) as (embedded, server):
        client = await connection(embedded)
        await client.execute("CREATE TABLE kept (number integer)")
        await client.execute("INSERT INTO kept VALUES (1)")
        fails.touch()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await client.execute("INSERT INTO kept VALUES (2)")
        client.terminate()
        ended = await asyncio.to_thread(server.wait, 60)  # By itself: it was told nothing.
    fails.unlink()
    with own_postgres(tmp_path / "postgres") as (embedded, server):
        client = await connection(embedded)
        kept = {row["number"] for row in await client.fetch("SELECT number FROM kept")}
        await client.close()

    assert ended == 1
    assert 1 in kept
    assert "PANIC" in (tmp_path / "postgres.log").read_text()
    assert server.returncode == 0


@pytest.fixture
async def without_a_standby(tmp_path: Path) -> AsyncIterator[tuple[Database, Any]]:
    """A database of one's own whose commits can be made to wait for a standby that is not there."""
    with own_postgres(tmp_path / "postgres") as (embedded, _):
        database = await Patient.open(**embedded.dsn_parameters())
        await migrate(database, mode="test", clock=SystemClock())
        client = await connection(embedded)

        async def missing(names: str) -> None:
            await client.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            await client.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(0.3)

        yield database, missing
        await missing("")
        await client.close()
        await database.close()


async def test_f25_a_commit_that_waits_for_ever_for_a_standby_is_answered_and_read_again(
    without_a_standby: tuple[Database, Any],
) -> None:
    """The caller hears within our own deadline; the same key is one payment, whatever committed."""
    database, missing = without_a_standby
    stage = await Stage.set_up(database)
    api = await Api.of(stage)
    await api.sale()  # The batch is open, ranges are leased, the key is known.

    await missing("nobody")
    began = time.monotonic()
    async with asyncio.timeout(30):
        waiting = await api.sale(key="waits")
    waited_seconds = time.monotonic() - began
    await missing("")
    said = await api.sale(key="waits")
    if said.status == 202:  # The intent had committed, and nothing was sent: the sweep ends it.
        stage.clock.move(stage.timers.orphan_seconds + 1)
        await sweep(stage.road)
        said = await api.sale(key="waits")
    rows = await stage.sql(
        "SELECT state FROM payments WHERE merchant_id = $1 AND idempotency_key = 'waits'",
        stage.merchant.merchant_id,
    )

    assert waited_seconds >= OUR_SECONDS, "the commit did wait for the standby, and was cut by us"
    assert waiting.status in (200, 201, 202, 503)
    if waiting.status == 503:
        assert waiting.json["retryable"] is True
        assert int(waiting.headers["retry-after"]) >= 1
    assert (said.status in (200, 201), said.json["state"]) in (
        (True, "approved"),
        (True, "reversing"),
    )
    assert len(rows) == 1
    assert sum(each.mti == "0200" for each in stage.link.asked) <= 2


async def test_a_pool_that_is_used_up_refuses_in_time_and_is_as_before_afterwards(
    parameters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After within a bounded wait, nothing half done, nothing to be restarted."""
    monkeypatch.setattr(connecting, "CONNECT_SECONDS_MAX", 0.2)
    database = await Database.open(size_max=2, **parameters)
    stage = await Stage.set_up(database)
    api = await Api.of(stage)
    await api.sale()
    rows, asked = await stage.count("payments"), len(stage.link.asked)

    async with database.acquire(), database.acquire(), asyncio.timeout(15):
        refused = [await api.sale(key="used-up") for _ in range(2)]
    written = await stage.count("payments"), len(stage.link.asked)
    after = await api.sale(key="used-up")

    assert {(each.status, each.json["code"]) for each in refused} == {(503, "database_away")}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    assert written == (rows, asked)
    assert (after.status, after.json["state"]) == (201, State.APPROVED)
    await database.close()


@pytest.mark.parametrize(
    "migration", [each for each in migrations() if each.number not in BEFORE_THE_FIRST_RELEASE],
    ids=lambda each: each.name,
)  # fmt: skip
def test_f36_a_migration_only_adds_so_that_the_version_before_goes_on_beside_it(
    migration: Any,
) -> None:
    """No column or table goes, is renamed or must suddenly be filled: a later version may."""
    text = re.sub(r"--.*", "", migration.text)

    found = [each for each in DESTRUCTIVE if re.search(each, text, re.I | re.M)]
    assert found == []
