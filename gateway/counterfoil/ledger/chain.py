"""
The seal over the journal: a hash chain of each merchant's transfers, built by the worker.

Stands behind the road, where nobody waits: a block names up to 10,000 transfers and holds
the digest of each; its hash covers those digests and the block before. A row that was
changed, removed or slipped in later no longer fits, and `counterfoil audit` names it.

    digest(row) = SHA-256 of PostgreSQL's text of ROW(merchant_id, transfer_id, payment_id,
                  movement_id, reference, debit_account, credit_account, amount_minor,
                  currency, cause, at in microseconds since 1970)   [transfer_digest]
    hash(n)     = SHA-256(hash(n-1) ‖ n as 8 bytes, big-endian ‖ digest(row) ‖ ...)
    hash(0)     = 32 zero bytes

A transfer is dated before it is committed, so only what is older than the settle time is
sealed, oldest first; what becomes visible later is found again by an anti-join over the last
ten minutes, and once a day over everything: so a clock that jumps ahead and comes back stops
nothing, and whatever was committed late or out of order is sealed all the same. A chain that
somebody rebuilt whole is found by its signed heads (heads.py), and by the log lines of its
blocks, which carry each hash, where they are kept on another machine.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

import structlog

from counterfoil.clock import Clock
from counterfoil.store.chain import Block, ChainStore, Head, Loose

BLOCK_TRANSFERS_MAX = 10_000
SEALED_AT_ONCE_MAX = 50_000
SETTLE = timedelta(seconds=15)  # Longer than any statement may take (store/database.py).
LATE = timedelta(minutes=10)  # Dated that long before its neighbours: found once a day.
THOROUGH_EVERY = timedelta(hours=24)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_PREVIOUS = bytes(32)

log = structlog.get_logger("chain")


class Sealer:
    """
    Seals what has settled, a round at a time.
    """

    def __init__(self, store: ChainStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._thorough_at = BEGINNING

    async def seal(self) -> int:
        """
        Seal what has settled since the last round; return how many when more is waiting, else 0.

        The first round that catches up, and one a day, also looks at everything older.
        """
        now = self._clock.now()
        newest = await self._store.newest()
        if newest is not None:
            newest = min(newest, now)  # A clock that ran ahead dated some rows into the future.
        sealed = await self._round(newest - LATE if newest else BEGINNING, now)
        if sealed == SEALED_AT_ONCE_MAX:
            return sealed
        if self._thorough_at <= now < self._thorough_at + THOROUGH_EVERY:
            return 0
        try:
            sealed = await self._round(BEGINNING, now)
        finally:  # A look that fails is not tried again every half minute: it is a heavy one.
            if sealed != SEALED_AT_ONCE_MAX:
                self._thorough_at = now
        return sealed if sealed == SEALED_AT_ONCE_MAX else 0

    async def _round(self, since: datetime, now: datetime) -> int:
        async with self._store.sealing() as step:
            loose = await step.loose(since, now - SETTLE, SEALED_AT_ONCE_MAX)
            if not loose:
                return 0
            heads = await step.heads({each.merchant_id for each in loose})
            blocks = list(chained(loose, heads, now))
            if not await step.keep(blocks):
                log.info("sealed_elsewhere")
                return 0
        for block in blocks:
            log.info(
                "sealed",
                merchant=block.merchant_id.hex,
                block=block.number,
                transfers=len(block.transfer_ids),
                hash=block.hash.hex(),
            )
        return len(loose)


def chained(loose: list[Loose], heads: dict[UUID, Head], at: datetime) -> Iterable[Block]:
    """
    Yield the blocks that seal *loose*, each merchant's linked to its head, oldest first.
    """
    ordered = sorted(loose, key=lambda each: (each.merchant_id, each.at, each.transfer_id))
    for merchant_id, rows in groupby(ordered, key=lambda each: each.merchant_id):
        head = heads.get(merchant_id, Head(0, FIRST_PREVIOUS))
        waiting = list(rows)
        for start in range(0, len(waiting), BLOCK_TRANSFERS_MAX):
            block = _block(merchant_id, head, waiting[start : start + BLOCK_TRANSFERS_MAX], at)
            yield block
            head = Head(block.number, block.hash)


def block_hash(previous: bytes, number: int, digests: Iterable[bytes]) -> bytes:
    """
    Return the hash of block *number*.
    """
    return hashlib.sha256(previous + number.to_bytes(8, "big") + b"".join(digests)).digest()


def _block(merchant_id: UUID, head: Head, rows: list[Loose], at: datetime) -> Block:
    number, digests = head.number + 1, [each.digest for each in rows]
    return Block(
        merchant_id=merchant_id,
        number=number,
        transfer_ids=[each.transfer_id for each in rows],
        digests=digests,
        since=rows[0].at,
        until=rows[-1].at,
        previous=head.hash,
        hash=block_hash(head.hash, number, digests),
        at=at,
    )
