"""
`counterfoil up` and `counterfoil database`: everything on one machine, or only its database.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from counterfoil import app
from counterfoil.cli.console import CommandRefused, ConfigOption, configuration, run, say
from counterfoil.config import Configuration
from counterfoil.dialects import dialect_of
from counterfoil.installation import programs
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
    Run database, gateway and worker under one supervisor until Ctrl-C.
    """
    settings = configuration(config)
    os.umask(0o077)
    for each in settings.acquirer:
        dialect_of(each)  # Told here, and not by programs that end again and again.
    with alone(settings.folder):
        logs = settings.folder / "logs"
        make_state_folder(logs)
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
    supervisor = Supervisor(programs(settings, chosen, logs=logs))

    async def announce() -> None:
        said = json.loads((settings.folder / "serving.json").read_text())
        say(f"Serving on https://{said['host']}:{said['port']} ({settings.mode} mode).")
        say(f"Logs are in {logs}. Ctrl-C stops everything.")
        sys.stdout.flush()
        await asyncio.Event().wait()

    await supervisor.run(announce)


async def _migrate(settings: Configuration) -> None:
    async with app.open_database(settings) as opened:
        await app.prepare_database(opened, settings)


def _from_environment() -> Path | None:
    named = os.environ.get("COUNTERFOIL_CONFIG")
    return Path(named) if named else None
