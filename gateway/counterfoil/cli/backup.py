"""
`counterfoil backup` and `counterfoil restore`.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import cyclopts

from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ledger.head_file import move_aside
from counterfoil.opened import open_database
from counterfoil.outside import backup as backups
from counterfoil.outside.backup import Manifest, Place
from counterfoil.state_folder import alone
from counterfoil.store.backups import backup_facts, is_empty, quarantine_statement
from counterfoil.store.embedded import EmbeddedPostgres, stop
from counterfoil.store.migrate import known_migrations

READY_SECONDS_MAX = 120.0
KEY_WARNING = (
    "The key file is not in it: {key}. Keep its copy elsewhere (`counterfoil keys escrow`); "
    "without it no card in the backup can ever be read.\n"
    "Nor is the key that signs the journal: {signing_key} (`counterfoil keys escrow --signing`). "
    "Keep copies of {heads} on another machine, too."
)
SIGNING_KEY_MISSING = (
    "The key that signs the journal is not at {path}: put it back from its copy before the start; "
    "no other one is made while the backup has heads that it has signed."
)

ToolsOption = Annotated[
    Path | None,
    cyclopts.Parameter(
        help="The folder of pg_dump and psql; without it those of the embedded PostgreSQL."
    ),
]


def backup(
    folder: Path,
    *,
    tools: ToolsOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Back the database up into FOLDER, which must not exist yet. Everything may go on meanwhile.
    """
    settings = configuration(config)
    os.umask(0o077)
    manifest = run(_back_up(settings, folder.absolute(), tools))
    if json:
        say_json(backups.as_json(manifest))
        return
    say(f"{folder}: {backups.manifest_text(manifest)}.")
    say(
        KEY_WARNING.format(
            key=settings.key_path,
            signing_key=settings.signing_key_path,
            heads=settings.heads_path,
        )
    )


def restore(
    folder: Path,
    *,
    tools: ToolsOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Restore the backup in FOLDER into an installation without a database, and quarantine it.
    """
    settings = configuration(config)
    os.umask(0o077)
    source = folder.absolute()
    manifest = backups.checked(source, mode=settings.mode, migrations=known_migrations())
    backups.key_opens(manifest, settings.key_path)
    aside = run(_restore(settings, source, manifest, tools))
    if json:
        say_json(backups.as_json(manifest))
        return
    say(f"Restored: {backups.manifest_text(manifest)}. The installation is in quarantine.")
    if aside is not None:
        say(f"The file of signed heads of the database that was here is now {aside}: keep it.")
    if not settings.signing_key_path.exists():
        say(SIGNING_KEY_MISSING.format(path=settings.signing_key_path))
    say("Next: get the host's journal, `counterfoil up`, `counterfoil quarantine compare`.")


async def _back_up(settings: Configuration, folder: Path, tools: Path | None) -> Manifest:
    async with open_database(settings) as database:
        facts = await backup_facts(database)
    return backups.back_up(place_of(settings, tools), folder, facts, SystemClock().now())


async def _restore(
    settings: Configuration, folder: Path, manifest: Manifest, tools: Path | None
) -> Path | None:
    made = f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    statement = quarantine_statement(f"restored from the backup of {made}")
    async with _empty_database(settings):
        aside = move_aside(settings.heads_path, SystemClock().now())
        backups.restore(place_of(settings, tools), folder, statement)
    return aside


def place_of(settings: Configuration, tools: Path | None) -> Place:
    """
    Return how the tools reach the installation's database.
    """
    embedded = EmbeddedPostgres(settings.folder / "postgres")
    binaries = tools or embedded.binaries()
    clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if settings.database.url:
        address, password = _without_password(settings.database.url)
        secret = {"PGPASSWORD": password} if password else {}
        return Place(binaries, {**clean, **secret}, Path("/"), address)
    known = embedded.dsn_parameters()
    return Place(
        binaries,
        {
            **clean,
            "PGHOST": "/proc/self/cwd",  # The socket's folder: its path may be too long.
            "PGUSER": known["user"],
            "PGPASSWORD": known["password"],
            "PGDATABASE": known["database"],
        },
        settings.folder / "postgres" / "run",
    )


def _without_password(url: str) -> tuple[str, str]:
    """
    Return a database's URL without its password, and the password; it may stand in two places.
    """
    scheme, _, rest = url.partition("://")
    whole, mark, query = rest.partition("?")
    authority, slash, path = whole.partition("/")
    user, at, hosts = authority.rpartition("@")
    name, _, password = user.partition(":")
    settings = [each.partition("=") for each in query.split("&")]
    password = next((value for key, _, value in settings if key == "password"), password)
    kept = "&".join("".join(each) for each in settings if each[0] != "password")
    return f"{scheme}://{name}{at}{hosts}{slash}{path}{mark}{kept}", unquote(password)


@asynccontextmanager
async def _empty_database(settings: Configuration) -> AsyncIterator[None]:
    """
    Lend an empty database: the configured one, or the embedded one, made and run for this.

    Raises:
        CommandRefused: It is not empty.
    """
    if settings.database.url:
        async with open_database(settings) as database:
            if not await is_empty(database):
                raise CommandRefused(
                    "the database is not empty: a restore never overwrites anything. Make a new one"
                )
        yield
        return
    embedded = EmbeddedPostgres(settings.folder / "postgres")
    with alone(settings.folder):
        if embedded.is_running():
            raise CommandRefused("the embedded database runs: a restore never overwrites anything")
        async with _running(embedded), open_database(settings) as database:
            if not await is_empty(database):
                raise CommandRefused(
                    f"there is a database in {settings.folder / 'postgres'}: a restore never "
                    "overwrites anything. Move that folder away, or choose another `state`"
                )
            yield


@asynccontextmanager
async def _running(embedded: EmbeddedPostgres) -> AsyncIterator[None]:
    embedded.prepare()
    server = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command; it returns at once.
        embedded.argv(parent=os.getpid()),
        env=embedded.environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await embedded.wait_until_ready(READY_SECONDS_MAX)
        yield
    finally:
        await asyncio.to_thread(stop, server)
