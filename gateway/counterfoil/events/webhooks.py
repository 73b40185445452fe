"""
Webhooks: each endpoint is told of each event, at least once; a hint to read the *feed*.

Stands after the feed: numbering an event left a row for each endpoint that wants to hear of
it, and the worker posts each until the endpoint takes it or its tries are over. An endpoint
that does not answer holds up no other one: few messages at a time to each, one to an
endpoint that fails, and those never take the places of endpoints that work.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from counterfoil import ids
from counterfoil.clock import Clock
from counterfoil.events.posting import POST_SECONDS_MAX, Posted
from counterfoil.events.shown import event_answer
from counterfoil.events.signing import headers
from counterfoil.store.database import DatabaseAway
from counterfoil.store.webhooks import Delivery, DeliveryStore, Due, Result
from counterfoil.vault import Vault, VaultClosed

WORKING_AT_ONCE_MAX = 64
FAILING_AT_ONCE_MAX = 32
EACH_AT_ONCE_MAX = 4
DUE_MAX = 500
LEASE_SECONDS = 120.0
NOTE_SECONDS_MAX = 60.0  # With POST_SECONDS_MAX well below the lease.
NOTE_AGAIN_SECONDS = 0.5
ROUND_SECONDS_MAX = 0.2  # How long a round waits for what it began.
SPACING_SECONDS = (5, 60, 300, 1800, 7200, 18000, 36000, 57600, 86400)
TRIES_MAX = len(SPACING_SECONDS) + 1
JITTER = 0.2  # A pause is so much longer or shorter, by chance: not all at once again.
DISABLED_AFTER = timedelta(days=3)  # Without one message taken in all that time.
KEPT = timedelta(days=30)
ERROR_TEXT_MAX = 200
GONE = 410
TAKEN = range(200, 300)

log = structlog.get_logger("webhooks")

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Posted]]


class Sender:
    """
    Posts what endpoints are owed.
    """

    def __init__(
        self,
        store: DeliveryStore,
        vault: Vault,
        post: Post,
        clock: Clock,
        new_id: Callable[[], UUID],
        *,
        mode: Literal["test", "live"],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._vault = vault
        self._post = post
        self._clock = clock
        self._new_id = new_id
        self._mode: Literal["test", "live"] = mode
        self._chance = chance
        self._under_way: dict[UUID, Due] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []

    async def send_due(self) -> int:
        """
        Begin to post what is due and has a place; return how much was begun.
        """
        if self._faults:
            raise self._faults.pop()
        now = self._clock.now()
        due = await self._store.due(
            now, each=EACH_AT_ONCE_MAX, limit=DUE_MAX, under_way=self._under_way.keys()
        )
        chosen = {each.delivery_id: each for each in self._with_places(due)}
        lease_until = now + timedelta(seconds=LEASE_SECONDS)
        claimed = await self._store.claim(chosen.values(), now, lease_until)
        taken = {each.delivery_id: each for each in claimed}
        for delivery_id, each in chosen.items():  # The oldest first, whatever the claim's order.
            if delivery_id in taken:
                self._begin(taken[delivery_id], each)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ROUND_SECONDS_MAX)
        return len(claimed)

    async def finish(self) -> None:
        """
        Wait for what is under way: a post has its own end.
        """
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _with_places(self, due: list[Due]) -> list[Due]:
        """
        Return those for which there is a place: at their endpoint, and among their kind.
        """
        at_endpoint = Counter(each.endpoint_id for each in self._under_way.values())
        of_kind = Counter(each.failing for each in self._under_way.values())
        chosen = []
        for each in due:
            kind_max = FAILING_AT_ONCE_MAX if each.failing else WORKING_AT_ONCE_MAX
            endpoint_max = 1 if each.failing else EACH_AT_ONCE_MAX
            if at_endpoint[each.endpoint_id] < endpoint_max and of_kind[each.failing] < kind_max:
                at_endpoint[each.endpoint_id] += 1
                of_kind[each.failing] += 1
                chosen.append(each)
        return chosen

    def _begin(self, delivery: Delivery, due: Due) -> None:
        self._under_way[delivery.delivery_id] = due
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, delivery.delivery_id))

    def _ended(self, delivery_id: UUID, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        del self._under_way[delivery_id]
        if not task.cancelled() and (fault := task.exception()):
            self._faults.append(fault)

    async def _deliver(self, delivery: Delivery) -> None:
        event = event_answer(await self._store.event(delivery), self._mode)
        body = msgspec.json.encode({"type": event.type, "timestamp": event.at, "data": event})
        began_at = self._clock.now()
        try:
            sent = self._headers(delivery, event.id, began_at, body)
            posted = await self._post(delivery.url, sent, body)
        except VaultClosed as closed:
            # This endpoint's trouble: no other one waits for it.
            log.error("webhook_not_signed", endpoint=delivery.endpoint_id.hex, reason=str(closed))
            posted = Posted(None, "not sent: its secret cannot be read, give it a new one")
        ended_at = self._clock.now()
        state, error = self._meaning(delivery, posted)
        result = Result(
            state=state,
            next_try_at=ended_at + self._pause(delivery.tries),
            began_at=began_at,
            ended_at=ended_at,
            gone=posted.status == GONE,
            status=posted.status,
            error=error and error[:ERROR_TEXT_MAX],
        )
        await self._note(delivery, result)

    def _headers(
        self, delivery: Delivery, message_id: str, at: datetime, body: bytes
    ) -> dict[str, str]:
        secrets = [
            self._vault.open_secret(each, delivery.merchant_id, delivery.endpoint_id)
            for each in delivery.secrets
        ]
        return {
            "content-type": "application/json",
            "user-agent": "Counterfoil-Webhooks/1",
            **headers(message_id, at, body, secrets),
        }

    def _meaning(self, delivery: Delivery, posted: Posted) -> tuple[str, str | None]:
        if posted.status in TAKEN:
            return "delivered", None
        words = posted.error or f"answered {posted.status}, not 200 to 299"
        if posted.status is not None and 300 <= posted.status < 400:
            words = f"answered {posted.status}: redirects are not followed"
        if posted.status == GONE:
            return "gave_up", "answered 410: it is gone, and was disabled"
        return ("gave_up" if delivery.tries >= TRIES_MAX else "owed"), words

    def _pause(self, tries: int) -> timedelta:
        seconds = SPACING_SECONDS[min(tries, len(SPACING_SECONDS)) - 1]
        return timedelta(seconds=seconds * (1 + JITTER * (2 * self._chance() - 1)))

    async def _note(self, delivery: Delivery, result: Result) -> None:
        """
        Note what came of it; wait for a database that is away, not to post it again for nothing.
        """
        until = self._clock.monotonic() + NOTE_SECONDS_MAX
        event_id, mail_id = self._new_id(), self._new_id()
        while True:
            try:
                disabled = await self._store.ended(
                    delivery,
                    result,
                    disable_failing_since=result.ended_at - DISABLED_AFTER,
                    event_id=event_id,
                    mail_id=mail_id,
                )
                break
            except DatabaseAway:
                if self._clock.monotonic() > until:
                    raise
                await asyncio.sleep(NOTE_AGAIN_SECONDS)
        endpoint = ids.written(ids.ENDPOINT, delivery.endpoint_id)
        if result.state != "delivered":
            log.warning("webhook_not_taken", endpoint=endpoint, why=result.error)
        if disabled:
            log.error("webhook_endpoint_disabled", endpoint=endpoint, gone=result.gone)


assert POST_SECONDS_MAX + NOTE_SECONDS_MAX < LEASE_SECONDS
