"""
What a shop of the matrix may ask the proof for: what befalls programs that are not its own.
"""

import asyncio
from datetime import date
from typing import TYPE_CHECKING

from counterfoil_rail.control import ADVANCE_SECONDS_MAX, ask
from counterfoil_rail.settlement import listing
from counterfoil_rail.store import rail_folder

if TYPE_CHECKING:
    from counterfoil_proof.matrix.lane import Lane

DAYS_MAX = 9
WAIT_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
MAILS_FAILED = "SELECT count(*) FROM outbox WHERE merchant_id = $1 AND last_error IS NOT NULL"
PAID = """
SELECT count(*) FROM deposits
WHERE merchant_id = $1 AND state IN ('funded', 'without_report', 'overpaid')
HAVING count(*) >= $2
"""


async def grant(lane: "Lane", wish: str) -> None:
    """
    Do what the shop asks for.
    """
    verb, _, rest = wish.partition(" ")
    if verb == "stop":
        await lane.stop(rest)
    elif verb == "start":
        await lane.start(rest)
        if rest == "rail":
            await lane.takes_payments()
    elif wish == "wait for a mail that fails":
        await _until(lane, MAILS_FAILED)
    else:
        assert wish == "end the day until it is paid", wish
        await _paid(lane)


async def _until(lane: "Lane", count: str, *more: int) -> None:
    """
    Wait until there is something to count, or not for ever: a process may be dead meanwhile.
    """
    assert lane.account is not None
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS_MAX
    async with lane.database.acquire() as connection:
        while loop.time() < until:
            if await connection.fetchval(count, lane.account.merchant_id, *more):
                return
            await asyncio.sleep(POLL_SECONDS)


async def _paid(lane: "Lane") -> None:
    """
    End business days until the bank has told of all that this merchant is owed.
    """
    assert lane.account is not None
    acceptor = f"MERCHANT{int(lane.account.terminal_id.removeprefix('TERM')):07d}"
    for _ in range(DAYS_MAX):
        answer = await asyncio.to_thread(
            ask, rail_folder(lane.folder), {"advance": 1}, seconds=ADVANCE_SECONDS_MAX
        )
        today = date.fromisoformat(answer["days"][-1][0])
        deposits = await asyncio.to_thread(listing.deposits, lane.folder)
        due = [
            date.fromisoformat(str(each["value_date"]))
            for each in deposits
            if each["merchant"] == acceptor
        ]
        if due and all(each < today for each in due):
            await _until(lane, PAID, len(due))
            return
