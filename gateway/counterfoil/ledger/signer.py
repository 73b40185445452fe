"""
Sign the end of each chain once a UTC day, and keep the head as a row and as a line.

Stands behind the *sealer*, where nobody waits. The row comes first, by a statement that keeps a
merchant's one head a day however many workers ask; the line comes second, and whoever finds a row
without its line adds it, whoever signed it. A chain that has not grown since its last head is
covered by that head, and gets no new one. A round reads a few rows for each merchant.

Nothing is signed over a chain that contradicts its last head, or over rows that the file knows
and the database does not: that would bless what somebody changed. It is told as an alarm instead,
and `counterfoil audit` names it.
"""

from collections.abc import Mapping
from datetime import date, datetime
from itertools import takewhile
from pathlib import Path

import structlog

from counterfoil.clock import Clock
from counterfoil.keyfile import KeyFileRefused
from counterfoil.ledger.head_file import HeadFile
from counterfoil.ledger.heads import (
    SigningKey,
    by_key_id,
    is_signed_by,
    line_of,
    load_signing_key,
    signed,
)
from counterfoil.outside.alarms import Bell
from counterfoil.store.heads import ENDS_AT_ONCE_MAX, FIRST, ChainEnd, HeadStore, SignedHead

NOT_SIGNED = "heads_not_signed"

log = structlog.get_logger("heads")


class Signer:
    """
    Signs for one worker, with the key in its file.
    """

    def __init__(
        self,
        store: HeadStore,
        clock: Clock,
        *,
        key_path: Path,
        former_keys: tuple[bytes, ...] = (),
        file: HeadFile,
    ) -> None:
        self._store = store
        self._clock = clock
        self._key_path = key_path
        self._former_keys = former_keys
        self._file = file
        self._bell = Bell(clock)

    async def sign(self) -> int:
        """
        Sign every chain that has grown and was not signed today; return 0: then there is a pause.
        """
        try:
            key = load_signing_key(self._key_path)
            self._file.look()
            wrong = await self._sign_all(key)
        except BlockingIOError:
            return 0  # Another worker has the file in its hands.
        except (KeyFileRefused, OSError) as error:
            self._bell.ring(NOT_SIGNED, reason=str(error))
            return 0
        if wrong:
            self._bell.ring(NOT_SIGNED, reason=wrong, next_step="run `counterfoil audit`")
        else:
            self._bell.quiet(NOT_SIGNED)
        return 0

    async def _sign_all(self, key: SigningKey) -> str | None:
        after, wrong, now = FIRST, None, self._clock.now()
        today = now.date()
        keys = by_key_id((*self._former_keys, key.public))
        while page := await self._store.ends(after):
            after = page[-1].merchant_id
            sound = list[ChainEnd]()
            for end in page:
                said = contradiction(end, self._file.newest(end.merchant_id), keys, today)
                wrong = wrong or said
                if said is None:
                    sound.append(end)
            for end in sound:
                await self._catch_up(end, keys)
            await self._sign_page(key, [each for each in sound if is_due(each, today)], now)
            if len(page) < ENDS_AT_ONCE_MAX:
                break
        return wrong

    async def _catch_up(self, end: ChainEnd, keys: Mapping[str, bytes]) -> None:
        """
        Add the lines of heads that are kept and not in the file, up to one that is not ours.
        """
        while end.head is not None:
            newest = self._file.newest(end.merchant_id)
            if newest is not None and newest.number >= end.head.number:
                return
            rows = await self._store.after(end.merchant_id, newest.number if newest else 0)
            ours = list(takewhile(lambda each: is_signed_by(each, keys), rows))
            if not ours:
                return
            self._file.add(ours)

    async def _sign_page(self, key: SigningKey, ends: list[ChainEnd], now: datetime) -> None:
        heads = [
            signed(key, each.merchant_id, each.block, each.hash, after=each.head, at=now)
            for each in ends
        ]
        kept = await self._store.keep(heads)
        for head in kept:
            log.info("signed", head=line_of(head))
        if kept:
            self._file.add(kept)


def is_due(end: ChainEnd, today: date) -> bool:
    """
    Return whether a chain has grown since its newest head, and has none of *today*.
    """
    return end.head is None or (end.block > end.head.block and end.head.day != today)


def contradiction(
    end: ChainEnd, in_file: SignedHead | None, keys: Mapping[str, bytes], today: date
) -> str | None:
    """
    Return what speaks against signing this chain; None when it goes on from what was signed.

    A head that stands in the file is verified again only before another is signed after it.
    """
    head, of = end.head, f"merchant {end.merchant_id.hex}"
    if in_file is not None and (head is None or head.number < in_file.number):
        return (
            f"{of}: head {in_file.number} of {in_file.day} is in the file and not in the database"
        )
    if head is None:
        return None
    if in_file is not None and head.number == in_file.number and head != in_file:
        return f"{of}: head {head.number} of {head.day} is not the one in the file"
    if (head != in_file or is_due(end, today)) and not is_signed_by(head, keys):
        return f"{of}: head {head.number} of {head.day} is not signed by our key ({head.key_id})"
    if end.hash_now != head.hash:
        return f"{of}: block {head.block} is not the one that head {head.number} has signed"
    return None
