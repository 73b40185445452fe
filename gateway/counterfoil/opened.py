"""
The installation's database and vault, for commands and processes alike. A command that needs
nothing else of the gateway does not load it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from counterfoil.config import Configuration
from counterfoil.keyfile import load_key
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.vault import Vault, WrappedKey


@asynccontextmanager
async def open_database(configuration: Configuration) -> AsyncIterator[Database]:
    """
    Lend the installation's database: the configured one, else the embedded one.

    Raises:
        DatabaseAway: Nobody answers there.
    """
    size = configuration.database.connections_max
    if configuration.database.url:
        database = await Database.open(dsn=configuration.database.url, size_max=size)
    else:
        embedded = EmbeddedPostgres(configuration.folder / "postgres")
        if not embedded.is_running():
            raise DatabaseAway(_not_running(configuration))
        database = await Database.open(**embedded.dsn_parameters(), size_max=size)
    try:
        yield database
    finally:
        await database.close()


def _not_running(configuration: Configuration) -> str:
    """
    Return what to do, and where the database was looked for: another may run all the same.
    """
    named = os.environ.get("COUNTERFOIL_CONFIG") or "not set"
    return (
        "the embedded database is not running: start everything with `counterfoil up`, or only it "
        "with `counterfoil database`, or set DATABASE_URL. It was looked for in the state folder "
        f"{configuration.folder} (COUNTERFOIL_CONFIG: {named}): "
        "if it runs elsewhere, name that configuration with --config FILE"
    )


async def open_vault(database: Database, configuration: Configuration) -> Vault:
    """
    Return the vault, opened with the key file.

    Raises:
        KeyFileRefused, VaultClosed: As their messages say.
    """
    rows = await database.rows("vault_keys")
    wrapped = [WrappedKey(row["key_id"], row["purpose"], row["wrapped"]) for row in rows]
    return Vault(wrapped, load_key(configuration.key_path))
