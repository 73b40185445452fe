"""
Bring a database to this version's schema: numbered files, each with its checksum.

A file that was applied is never edited; one that no longer matches its checksum
stops everything, because two schemas would then carry one number.
"""

import hashlib
from importlib.resources import files

import asyncpg
import msgspec

from counterfoil.clock import Clock
from counterfoil.plainly import SaidPlainly
from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway
from counterfoil.store.queries import query

_LOCK = 0x436F756E746572  # "Counter": one migration at a time.
_MIGRATE_SECONDS_MAX = 600

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL
)
"""


class MigrationRefused(SaidPlainly):
    """
    The database cannot be brought to this version; the message says why and what to do.
    """


class Migration(msgspec.Struct, frozen=True):
    """
    One numbered file.
    """

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """
        SHA-256 of its text.
        """
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """
    Return all migrations of this version, in order.
    """
    folder = files("counterfoil.store").joinpath("migrations")
    found = []
    for path in sorted(folder.iterdir(), key=str):
        if path.name.endswith(".sql"):
            number, _, name = path.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, path.read_text("utf-8")))
    assert [each.number for each in found] == list(range(1, len(found) + 1))
    return found


def known_migrations() -> int:
    """
    Return how many migrations this version has.
    """
    return len(migrations())


async def migrate(database: Database, *, mode: str, clock: Clock) -> list[str]:
    """
    Apply what is missing and stamp a new database with *mode*; return the names applied.

    Raises:
        MigrationRefused: Newer than this version, edited, or of the other mode.
        DatabaseAway: It was lost meanwhile; each file is applied whole or not at all.
    """
    try:
        async with database.acquire() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            try:
                await connection.execute(_CREATE)
                return await _apply(connection, mode, clock)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    except IN_DOUBT as error:
        raise DatabaseAway(
            f"the database was lost while it was brought to this version ({type(error).__name__}): "
            "start again when it is back; what was not finished is done then"
        ) from error


async def pending(database: Database) -> list[str]:
    """
    Return the names of migrations that this version has and the database lacks.

    Raises:
        MigrationRefused: Newer than this version, or edited.
    """
    async with database.acquire() as connection:
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            return [each.name for each in migrations()]
        return [each.name for each in await _missing(connection)]


async def _missing(connection: "asyncpg.Connection[asyncpg.Record]") -> list[Migration]:
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migrations")
    known = {each.number: each for each in migrations()}
    for row in rows:
        migration = known.pop(row["number"], None)
        if migration is None:
            raise MigrationRefused(
                f"the database has migration {row['number']} ({row['name']}), which this version "
                "does not know: install the version that made it, or a newer one"
            )
        if migration.checksum != row["checksum"]:
            raise MigrationRefused(
                f"migration {migration.number} ({migration.name}) was edited after it was applied: "
                "restore the file as released"
            )
    return [known[number] for number in sorted(known)]


async def _apply(
    connection: "asyncpg.Connection[asyncpg.Record]", mode: str, clock: Clock
) -> list[str]:
    applied = []
    for migration in await _missing(connection):
        async with connection.transaction():
            await connection.execute(migration.text, timeout=_MIGRATE_SECONDS_MAX)
            await connection.execute(
                "INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)",
                migration.number,
                migration.name,
                migration.checksum,
                clock.now(),
            )
        applied.append(migration.name)
    await connection.execute(query("found_installation"), mode, clock.now())
    stamped = await connection.fetchval(query("installation"))
    if stamped != mode:
        raise MigrationRefused(
            f"this database holds {stamped} data and the configuration says mode = {mode!r}: "
            "test and live never share a database; correct `mode`, or point at another database"
        )
    return applied
