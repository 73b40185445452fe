"""
A PostgreSQL of one test's own, because the test breaks it: started, ended, and reached.

As a program it is the test of a full disk, which needs a mount of its own: `python
own_postgres.py FOLDER`, as root and below `unshare -m`, prints what it saw as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from counterfoil.store.embedded import EmbeddedPostgres, stop

READY_SECONDS_MAX = 60.0
DISK_MB = 352  # A new database asks for 256 MB, and its ballast takes 64 of them.
LEFT_BYTES = 24 * 1024**2  # More than one file of the log, less than two.
ROW = "x" * 200_000


@contextmanager
def own_postgres(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[EmbeddedPostgres, "subprocess.Popen[bytes]"]]:
    """
    Run a server below *folder* until the block ends; it may have ended before.
    """
    embedded = EmbeddedPostgres(folder)
    embedded.prepare()
    server = subprocess.Popen(
        [*embedded.argv(parent=os.getpid()), *options],
        env={**embedded.environment(), **(environment or {})},
        stderr=(folder.parent / "postgres.log").open("ab"),
    )
    try:
        until = time.monotonic() + READY_SECONDS_MAX
        while not embedded.is_ready() and server.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        yield embedded, server
    finally:
        stop(server)


async def connection(embedded: EmbeddedPostgres) -> "asyncpg.Connection[Any]":
    """Return a connection to the server."""
    return await asyncpg.connect(**embedded.dsn_parameters())


def main(folder: Path) -> dict[str, Any]:
    """
    Fill a small disk until PostgreSQL stops, start it again, make room, and start it once more.
    """
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    database = folder / "postgres"
    with own_postgres(database) as (embedded, server):
        acknowledged = asyncio.run(_fill(embedded, folder))
        ended = server.wait(60)
    ballast = database / "ballast"
    there_when_full = ballast.exists()
    with own_postgres(database) as (embedded, server):
        kept = asyncio.run(_count(embedded))
        works = asyncio.run(_one_more(embedded))
    given_up = not ballast.exists()
    (folder / "filler").unlink()
    with own_postgres(database) as (embedded, server):
        after = asyncio.run(_count(embedded))
    return {
        "ended": ended,
        "acknowledged": acknowledged,
        "kept": kept,
        "works": works,
        "after": after,
        "ballast": [there_when_full, given_up, ballast.exists()],
    }


async def _fill(embedded: EmbeddedPostgres, folder: Path) -> int:
    """
    Commit rows on a disk that is nearly full until the server is gone; return how many it took.
    """
    client = await connection(embedded)
    await client.execute("CREATE TABLE kept (number integer, content text)")
    await client.execute("ALTER TABLE kept ALTER COLUMN content SET STORAGE EXTERNAL")
    disk = os.statvfs(folder)
    with (folder / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, disk.f_bavail * disk.f_frsize - LEFT_BYTES)
    acknowledged = 0
    try:
        for number in range(10_000):
            await client.execute("INSERT INTO kept VALUES ($1, $2)", number, ROW)
            acknowledged += 1
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass
    await _push_the_log(embedded)
    return acknowledged


async def _push_the_log(embedded: EmbeddedPostgres) -> None:
    """Write log until there is no room for its next file."""
    try:
        client = await connection(embedded)
        for _ in range(100):
            await client.execute("SELECT pg_logical_emit_message(false, 't', repeat('x', 4000000))")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return


async def _count(embedded: EmbeddedPostgres) -> int:
    client = await connection(embedded)
    found: int = await client.fetchval("SELECT count(DISTINCT number) FROM kept")
    await client.close()
    return found


async def _one_more(embedded: EmbeddedPostgres) -> bool:
    client = await connection(embedded)
    await client.execute("CREATE TABLE owed_goes_on AS SELECT 1 AS row")
    await client.close()
    return True


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
