"""
A whole installation on one machine: which programs run, in which order.

`counterfoil up` runs them for an operator; the demo runs the same ones among others.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from counterfoil import app
from counterfoil.config import Configuration, ConfigurationRefused
from counterfoil.gateways import ALONE, places
from counterfoil.mailing import CONNECTIONS_MAX
from counterfoil.opened import open_database
from counterfoil.store.database import Database
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.supervisor import Program

DATABASE_STOP_SECONDS = 30.0
GATEWAY_STOP_SECONDS = 40.0
WORKER_STOP_SECONDS = 40.0  # For the mail or webhook in its hands: cut off, it would be told twice.
WEB_SERVING = "web-serving.json"
EXIT_REFUSED = 2  # Of our commands: a sentence for people, and not a defect.


def programs(
    configuration: Configuration, config_path: Path | None, *, logs: Path
) -> list[Program]:
    """
    Return database (if it is the embedded one), gateways, worker, mailer and web, in their order.

    The database counts as ready when it is migrated, so the others start on a ready one. Several
    gateways share the port of the *configuration*, which must be known by now.
    """
    environment = _environment(config_path)
    started = []
    if configuration.database.url is None:
        started.append(_database(configuration, environment, logs))
    after = tuple(each.name for each in started)
    for place in places(configuration.api.processes):
        # The first makes what all of them share, such as the certificate.
        before = () if place.number == 1 else (ALONE.name,)
        started.append(
            Program(
                name=place.name,
                argv=_command("serve"),
                env={**environment, **place.told(configuration.api.port)},
                log_path=logs / f"{place.name}.log",
                ready=Serving(place.serving_path(configuration.folder)),
                stop_seconds=GATEWAY_STOP_SECONDS,
                after=after + before,
                party="gateway",
            )
        )
    started += [
        Program(
            name=kind,
            argv=_command(kind),
            env=environment,
            log_path=logs / f"{kind}.log",
            stop_seconds=WORKER_STOP_SECONDS,
            after=after,
        )
        for kind in ("worker", "mailer")
    ]
    if configuration.web.enabled:
        started.append(
            Program(
                name="web",
                argv=_command("web"),
                env=environment,
                log_path=logs / "web.log",
                ready=Serving(configuration.folder / WEB_SERVING),
                stop_seconds=GATEWAY_STOP_SECONDS,
                after=(*after, ALONE.name),  # Which makes the certificate that both have.
            )
        )
    return started


def _database(configuration: Configuration, environment: Mapping[str, str], logs: Path) -> Program:
    embedded = EmbeddedPostgres(configuration.folder / "postgres")

    async def ready() -> bool:
        if not embedded.is_ready():
            return False
        async with open_database(configuration) as database:
            await app.prepare_database(database, configuration)
            await check_connections(database, configuration)
        return True

    return Program(
        name="database",
        argv=_command("database"),
        env=environment,
        log_path=logs / "database.log",
        ready=ready,
        stop_seconds=DATABASE_STOP_SECONDS,
        final_status=EXIT_REFUSED,
    )


async def check_connections(database: Database, configuration: Configuration) -> None:
    """
    Refuse more gateway processes than the database has connections for.

    Raises:
        ConfigurationRefused: It allows fewer than they, a worker and a mailer may take.
    """
    processes, each = configuration.api.processes, configuration.database.connections_max
    row = await database.row("connections_allowed")
    assert row is not None
    whole = processes + 1 + configuration.web.enabled
    wanted = whole * each + min(each, CONNECTIONS_MAX)
    if processes > 1 and wanted > row["allowed"]:
        raise ConfigurationRefused(
            f"[api] processes = {processes}, worker, mailer and web may take {wanted} connections, "
            f"with [database] connections_max = {each}, and the database allows {row['allowed']}: "
            "raise its max_connections (the embedded one's: postgres/data/postgresql.conf in the "
            "state folder), or lower one of the two"
        )


class Serving:
    """
    Asks whether a supervised program listens: it says so in a file with its process id.

    A file that an earlier run left behind names a process that is no child of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self) -> bool:
        """Return whether it does; the child stays to be waited for."""
        try:
            pid = json.loads(self._path.read_text())["pid"]
            ended = os.waitid(os.P_PID, pid, _ENDED)  # noqa: ASYNC222 - it does not block.
        except (OSError, ValueError):
            return False
        return ended is None


_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "counterfoil.cli.main", name]


def _environment(config_path: Path | None) -> dict[str, str]:
    environment = dict(os.environ)
    if config_path is not None:
        environment["COUNTERFOIL_CONFIG"] = str(config_path.absolute())
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
