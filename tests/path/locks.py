"""
Locks that a story holds in the database, so that the gateway or the worker stops between two steps.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .merchants import Merchant
from .sandboxes import Sandbox, eventually

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@asynccontextmanager
async def intents_wait(merchant: Merchant) -> AsyncIterator[None]:
    """
    Let new payments of *merchant* wait for their intent to be committed: its batch is locked.
    """
    async with merchant.sandbox.database() as database, database.transaction():
        await database.execute(
            "SELECT 1 FROM batches WHERE merchant_id = $1 FOR UPDATE", merchant.merchant_id
        )
        yield


async def statements_wait(sandbox: Sandbox, number: int = 1) -> None:
    """
    Wait until so many statements stand at a lock.
    """
    async with sandbox.database() as database:

        async def waiting() -> bool:
            return len(await database.fetch(WAITING)) == number

        await eventually(waiting, f"{number} statements wait for a lock")
