"""
What is said to the acquirer about a batch: committed, written, and waited for.

Stands between *close* and the link. A message keeps its trace number for all repeats;
what is asked in another attempt to close the batch is another message.
Only a message that was written counts as a try, and only a word that ends the
question is an answer: "malfunction, try again" is none.
"""

import structlog

from counterfoil.money import currency
from counterfoil.network.closing import item_request, totals_request
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Answered, NotSent
from counterfoil.network.requests import Station, Trace
from counterfoil.network.response_codes import ADVICE_TRY_AGAIN
from counterfoil.payments.payment import Merchant
from counterfoil.payments.road import Road
from counterfoil.store.batches import Batch, BatchKey, BatchStore, MessageKey, Sent, Upload
from counterfoil.store.merchants import MerchantStore

log = structlog.get_logger("close")


class BatchMessages:
    """
    Asks the acquirer about batches; None is "no answer yet".
    """

    def __init__(
        self,
        road: Road,
        batches: BatchStore,
        merchants: MerchantStore,
        *,
        answer_seconds: float,
    ) -> None:
        self._road = road
        self._batches = batches
        self._merchants = merchants
        self._answer_seconds = answer_seconds

    async def totals(self, batch: Batch, step: str, mti: str) -> Answered | None:
        """
        Send our totals as a 0500 or 0520, or its repeat.
        """
        assert batch.our_totals is not None, "a batch is frozen before its totals are sent"
        merchant, station = await self.place(batch.key)
        key = MessageKey(batch.key, batch.attempt, step)
        sent = await self._about_to_send(key, merchant, station)
        fields = totals_request(
            station,
            _trace(sent),
            batch.our_totals,
            currency=currency(batch.key.currency),
            batch_number=batch.key.batch_number,
        )
        return await self._ask(key, _repeated(mti, sent), fields)

    async def item(
        self, batch: Batch, upload: Upload, last: int, merchant: Merchant, station: Station
    ) -> Answered | None:
        """
        Send one item of *last* as a 0320, or its repeat.
        """
        key = MessageKey(batch.key, batch.attempt, "item", upload.item.item_number)
        sent = await self._about_to_send(key, merchant, station)
        card = await self._batches.card(batch.key, upload.card_token, self._road.vault)
        fields = item_request(
            station,
            _trace(sent),
            upload.item,
            card.number,
            currency=currency(batch.key.currency),
            batch_number=batch.key.batch_number,
            last=last,
        )
        return await self._ask(key, _repeated("0320", sent), fields)

    async def tries(self, batch: Batch, step: str, item_number: int = 0) -> int:
        """
        Return how often a message was written since a person last let it go on.
        """
        sent = await self._batches.sent(MessageKey(batch.key, batch.attempt, step, item_number))
        return sent.tries if sent else 0

    async def place(self, key: BatchKey) -> tuple[Merchant, Station]:
        """
        Return whose batch it is, and the terminal as the acquirer knows it.

        Raises:
            NoRoute: The terminal is not there any more.
        """
        merchant = await self._merchants.merchant(key.merchant_id)
        assert merchant is not None, "a batch without its merchant"
        return merchant, await self._road.routes.station(merchant, key.acquirer, key.terminal_id)

    async def _about_to_send(self, key: MessageKey, merchant: Merchant, station: Station) -> Sent:
        """
        Commit one more try of a message, with the trace that it keeps in this attempt.
        """
        if known := await self._batches.sent(key):
            at, stan = known.transmitted_at, known.stan
        else:
            at = self._road.clock.now()
            stan = await self._road.stans.take(
                merchant.merchant_id, station.acquirer, station.terminal_id, at.date()
            )
        return await self._batches.about_to_send(
            key, business_day=at.date(), stan=stan, transmitted_at=at
        )

    async def _ask(self, key: MessageKey, mti: str, fields: Fields) -> Answered | None:
        clock = self._road.clock
        outcome = await self._road.routes.link(key.batch.acquirer).request(
            mti,
            fields,
            send_before=clock.monotonic() + self._road.timers.send_seconds,
            answer_within=self._answer_seconds,
        )
        if isinstance(outcome, Answered) and outcome.response_code not in ADVICE_TRY_AGAIN:
            code = outcome.response_code
            await self._batches.answered(key, code, clock.now())
            return outcome
        if isinstance(outcome, NotSent):
            await self._batches.not_sent(key)
        why = outcome.response_code if isinstance(outcome, Answered) else outcome.reason
        log.warning(
            "batch_message_unanswered",
            batch=key.batch.reference,
            step=key.step,
            item=key.item_number,
            reason=why,
        )
        return None


def _trace(sent: Sent) -> Trace:
    return Trace(sent.stan, sent.transmitted_at, "", "")


def _repeated(mti: str, sent: Sent) -> str:
    return mti if sent.attempts == 1 else mti[:3] + "1"
