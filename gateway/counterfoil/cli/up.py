"""
`counterfoil up` and `counterfoil database`: everything on one machine, or only its database.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from counterfoil import app
from counterfoil.api.serving import hold
from counterfoil.cli.console import CommandRefused, ConfigOption, configuration, run, say
from counterfoil.config import Configuration
from counterfoil.dialects import dialect_of
from counterfoil.gateways import forget_others
from counterfoil.installation import check_connections, programs
from counterfoil.opened import open_database
from counterfoil.state_folder import alone, make_state_folder
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.supervisor import ProgramError, Supervisor

ENDED = (
    "The embedded PostgreSQL ended with status {status}; the lines above say why. Whoever runs the "
    "command starts it again (`up`, systemd): it does not do so itself. What was committed is "
    "kept. Should it end again and again: look at the disk, then run `counterfoil doctor`.\n"
)


def up(config: ConfigOption = None) -> None:
    """
    Run database, gateways, worker and mailer under one supervisor until Ctrl-C.
    """
    settings = configuration(config)
    os.umask(0o077)
    for each in settings.acquirer:
        dialect_of(each)  # Told here, and not by programs that end again and again.
    with alone(settings.folder), _held(settings) as settings:
        logs = settings.folder / "logs"
        make_state_folder(logs)
        forget_others(settings.folder)
        if settings.database.url:
            run(_migrate(settings))
        try:
            asyncio.run(_supervise(settings, config or _from_environment(), logs))
        except ProgramError as error:
            raise CommandRefused(str(error)) from error


def database(config: ConfigOption = None) -> None:
    """
    Run the embedded database in the foreground until Ctrl-C.
    """
    settings = configuration(config)
    if settings.database.url:
        raise CommandRefused("a database is configured ([database] url): there is none to run")
    make_state_folder(settings.folder)
    status = EmbeddedPostgres(settings.folder / "postgres").run()
    if status:
        sys.stderr.write(ENDED.format(status=status))
    sys.exit(status)


async def _supervise(settings: Configuration, chosen: Path | None, logs: Path) -> None:
    supervisor = Supervisor(programs(settings, chosen, logs=logs), on_death=_tell_death)

    async def announce() -> None:
        said = json.loads((settings.folder / "serving.json").read_text())
        processes = settings.api.processes
        several = f", {processes} gateway processes" if processes > 1 else ""
        say(f"Serving on https://{said['host']}:{said['port']} ({settings.mode} mode{several}).")
        say(f"Logs are in {logs}. Ctrl-C stops everything.")
        sys.stdout.flush()
        await asyncio.Event().wait()

    await supervisor.run(announce)


def _tell_death(sentence: str) -> None:
    """
    Tell who runs `up` (systemd keeps it) what died: the program itself could not say it any more.
    """
    with contextlib.suppress(OSError):  # The terminal is gone; everything goes on.
        sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {sentence}\n")
        sys.stderr.flush()


async def _migrate(settings: Configuration) -> None:
    async with open_database(settings) as opened:
        await app.prepare_database(opened, settings)
        await check_connections(opened, settings)


@contextlib.contextmanager
def _held(settings: Configuration) -> Iterator[Configuration]:
    """
    Keep the port for several gateway processes; return the settings with the port that it is.
    """
    if settings.api.processes == 1:
        yield settings
        return
    with hold(settings.api.host, settings.api.port) as holder:
        api = msgspec.structs.replace(settings.api, port=holder.getsockname()[1])
        yield msgspec.structs.replace(settings, api=api)


def _from_environment() -> Path | None:
    named = os.environ.get("COUNTERFOIL_CONFIG")
    return Path(named) if named else None
