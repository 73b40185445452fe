"""
What a backup says of its database, and what a restored one is told.
"""

from typing import Any

from counterfoil.clock import Clock
from counterfoil.store.database import Database
from counterfoil.store.queries import query

CONFIRMATION_MARGIN = 10_000_000  # Numbers given out after the backup; the space has 10^11.
RESTORED_INTO_QUARANTINE = 6  # The migration with the quarantine: older backups cannot be held.


async def backup_facts(database: Database) -> dict[str, Any]:
    """
    Return the facts of a backup's manifest.
    """
    row = await database.row("backup_facts")
    assert row is not None
    keys = await database.rows("vault_keys")
    return {
        **row,
        "vault_keys": [
            {"key_id": key["key_id"], "purpose": key["purpose"], "wrapped": key["wrapped"].hex()}
            for key in keys
        ],
    }


def quarantine_statement(reason: str) -> str:
    """
    Return the statement that ends a restore, for psql: it takes no parameters.
    """
    statement = query("quarantine_restored").replace("$2", str(CONFIRMATION_MARGIN))
    return statement.replace("$1", "'" + reason.replace("'", "''") + "'")


async def begin_quarantine(database: Database, clock: Clock, reason: str) -> bool:
    """
    Put the installation into quarantine; False when it is in one.
    """
    row = await database.row("begin_quarantine", clock.now(), reason, CONFIRMATION_MARGIN)
    return row is not None


async def is_empty(database: Database) -> bool:
    """
    Whether nothing was ever made in the database.
    """
    row = await database.row("count_tables")
    assert row is not None
    return bool(row["tables"] == 0)
