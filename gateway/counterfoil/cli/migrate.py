"""
`counterfoil migrate`: bring the database to this version.
"""

from counterfoil import app
from counterfoil.cli.console import ConfigOption, configuration, run, say
from counterfoil.config import Configuration
from counterfoil.opened import open_database


def migrate(config: ConfigOption = None) -> None:
    """
    Apply missing migrations; a new database gets its mode and its keys too.
    """
    settings = configuration(config)
    applied = run(_migrate(settings))
    for name in applied:
        say(f"applied {name}")
    say(f"The database is ready ({settings.mode} mode).")


async def _migrate(settings: Configuration) -> list[str]:
    async with open_database(settings) as database:
        return await app.prepare_database(database, settings)
