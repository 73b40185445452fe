"""
The scenarios in which processes die: what the shop does, and what befalls it.

Each script may be started again after the shop's own death, and finds its way by its book.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from counterfoil_proof.matrix.book import ASKED, DONE, FINAL, NOT_CHARGED, PAID, REFUSED
from counterfoil_proof.matrix.processes import Arm
from counterfoil_proof.matrix.shop import AMOUNT, DECLINED, EXPIRED, VISA, Shop
from counterfoil_proof.points.point import Pass

PART = 1500
FROM_HERE = "from here"
NOBODY_LISTENS = "http://127.0.0.1:9/hook"
TECHNICAL = 9000_06  # The sandbox's issuers answer its cents: 06, a fault of the host.
LEASE_SECONDS = 2.5
SEALED_SECONDS = 1.0
ACKNOWLEDGE_SECONDS = 180
UNCLAIMED_SECONDS = 5  # The shortest that a merchant may have.


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """
    One scenario.

    Attributes:
        script: What the shop does.
        what: One sentence for the report.
        acknowledge_seconds: How long the merchant has to claim an approval.
        cutoff_seconds: The merchant's day closes so long after it was made.
        settles: Business days are ended at the rail.
        mistakes: The acquirer or the bank makes mistakes, so that books rightly differ: as they
            do when nobody dies.
        credits: The merchant may give credits.
        befalls: What befalls whose process besides, in every run of this scenario.
        call_seconds: How long the shop's client tries one call.
        begins_later: Nobody dies before the shop says so: what comes before is another scenario's.
    """

    script: Callable[[Shop], None]
    what: str
    acknowledge_seconds: int = ACKNOWLEDGE_SECONDS
    cutoff_seconds: float | None = None
    settles: bool = False
    mistakes: bool = False
    credits: bool = False
    befalls: tuple[tuple[str, Arm], ...] = ()
    call_seconds: float = 30.0
    begins_later: bool = False


def _sale(shop: Shop) -> None:
    shop.sale("sale")


def _decline(shop: Shop) -> None:
    shop.sale("declined", card=DECLINED)


def _authorize_and_capture(shop: Shop) -> None:
    if held := shop.authorize("held"):
        shop.move("capture", shop.client.capture, held)


def _void(shop: Shop) -> None:
    if sold := shop.sale("sold"):
        shop.move("void", shop.client.void, sold)


def _refund(shop: Shop) -> None:
    if sold := shop.sale("sold"):
        shop.move("refund", shop.client.refund, sold)


def _refuse(shop: Shop) -> None:
    told = shop.pay_unclaimed("refused")
    if told.get("state") == "approved":
        shop.post(f"/v1/payments/{told['id']}/refuse", {})


def _timeout(shop: Shop) -> None:
    shop.fault("silent", "1:unbooked")
    shop.sale("silent")


def _late_answer(shop: Shop) -> None:
    shop.fault("late_answer_seconds", "2.2:1")
    shop.sale("late")
    shop.once("waited", lambda: time.sleep(1.5))  # The late answer comes after all was said.


def _unacknowledged(shop: Shop) -> None:
    shop.pay_unclaimed("unclaimed")


def _duplicate_request(shop: Shop) -> None:
    """Send one request twice at once, and once more through the client."""
    body = {
        "amount_minor": AMOUNT,
        "currency": "USD",
        "card": {"number": VISA.number, "expiry_month": 12, "expiry_year": 2039, "cvv": VISA.cvv},
        "order": "twice",
        "customer_email": "ada@shopper.example",
    }
    if shop.book.word("twice") is None:
        copy = threading.Thread(target=_quietly, args=(shop.post, "/v1/payments", body, "twice"))
        copy.start()
        shop.sale("twice")
        copy.join()
    else:
        shop.sale("twice")


def _resolve_before_arrival(shop: Shop) -> None:
    """Ask about a key that nobody has used; the request that comes later must be refused."""
    if shop.book.word("fenced") is None:
        shop.book.write("fenced", ASKED)
    resolution = shop.client.resolve("fenced")
    if resolution.payment is None and shop.book.word("fenced") not in FINAL:
        shop.book.write("fenced", NOT_CHARGED)
    body = {
        "amount_minor": AMOUNT,
        "currency": "USD",
        "card": {"number": VISA.number, "expiry_month": 12, "expiry_year": 2039, "cvv": VISA.cvv},
    }
    answer = shop.post("/v1/payments", body, "fenced")
    assert answer.json()["code"] == "key_fenced", answer.text


def _link_away(shop: Shop) -> None:
    """Sell while the acquirer is away: proof that nothing was sent, and then the same key again."""
    shop.wish("stop rail")
    shop.once("asked", lambda: shop.sale_once("away"))
    shop.wish("start rail")
    shop.sale("away")


def _refused_request(shop: Shop) -> None:
    shop.sale("refused", card=EXPIRED)


def _restart(shop: Shop) -> None:
    """Gateway and worker are stopped in good order and started again, between two sales."""
    shop.sale("before")
    shop.once("waited", lambda: time.sleep(LEASE_SECONDS))  # The lease is renewed meanwhile.
    shop.wish("restart gateway")
    shop.wish("restart worker")
    shop.sale("after")
    shop.once("sealed", lambda: time.sleep(SEALED_SECONDS))  # And signed: a worker's first rounds.


def _reversal_repeated(shop: Shop) -> None:
    shop.fault("silent_to_reversals")
    _refuse(shop)


def _capture_repeated(shop: Shop) -> None:
    held = shop.authorize("held")
    shop.fault("silent", "1:booked")
    if held:
        shop.move("capture", shop.client.capture, held)


def _mail_server_away(shop: Shop) -> None:
    shop.wish("stop mailbox")
    shop.sale("mailless")
    shop.wish("wait for a mail that fails")
    shop.wish("start mailbox")


def _a_day(shop: Shop) -> None:
    """Two sales, a capture, a void and a refund: something of everything for the batch."""
    sold = shop.sale("first", 1000)
    shop.sale("second", 2000)
    if held := shop.authorize("held", 3000):
        shop.move("capture", shop.client.capture, held)
    if sold:
        shop.move("refund", shop.client.refund, sold)
    shop.wish(FROM_HERE)


def _batch_close(shop: Shop) -> None:
    _a_day(shop)
    shop.close_batches()


def _close_with_95(shop: Shop) -> None:
    _a_day(shop)
    shop.fault("close_out_of_balance")
    shop.close_batches()


def _close_in_silence(shop: Shop) -> None:
    """Totals, one upload and the final totals each stay unanswered once."""
    _a_day(shop)
    shop.fault("close_out_of_balance")
    shop.fault("silent_to_close", "2")
    shop.close_batches()


def _host_closes_the_batch(shop: Shop) -> None:
    """The host ends its batch by itself: a void becomes a refund, a capture goes on in the next."""
    sold = shop.sale("sold", 1000)
    held = shop.authorize("held", 3000)
    shop.fault("close_batch", "all")
    if sold:
        shop.move("void", shop.client.void, sold)
    if held:
        shop.move("capture", shop.client.capture, held)


def _cutoff(shop: Shop) -> None:
    _a_day(shop)
    shop.eventually(shop.has_closed_a_batch, "the cutoff is kept")


def _deposit(shop: Shop) -> None:
    """A day is closed, settled by the acquirer, paid by the bank, and both files are read."""
    _a_day(shop)
    shop.close_batches()
    shop.wish("end the day until it is paid")


def _deposit_with_mistakes(shop: Shop) -> None:
    shop.fault("report_missing_line")
    shop.fault("chargeback", "500")
    _deposit(shop)


def _deposit_without_report(shop: Shop) -> None:
    shop.fault("deposit_without_report")
    _deposit(shop)


def _report_torn(shop: Shop) -> None:
    shop.fault("report_truncated")
    _deposit(shop)


def _undo_unclaimed(shop: Shop) -> None:
    """Undone, and undone again under another key: that one has only itself left to note."""
    told = shop.pay_unclaimed("undone")
    if told.get("state") in ("approved", "reversing", "reversed"):
        for key in ("undo", "undo-again"):
            shop.post(f"/v1/payments/{told['id']}/undo", {}, key)


def _webhooks(shop: Shop) -> None:
    """An endpoint that nobody serves: added, tried in vain, replayed, rotated, changed, removed."""
    path = "/v1/webhook-endpoints"
    if not shop.call("GET", path).json()["data"]:
        shop.post(path, {"url": NOBODY_LISTENS})
    [endpoint, *_] = shop.call("GET", path).json()["data"]
    path = f"{path}/{endpoint['id']}"
    shop.sale("told")

    def tried() -> bool:
        listed = shop.call("GET", f"{path}/deliveries").json()["data"]
        return any(each["attempts"] for each in listed)

    shop.eventually(tried, "a delivery was tried")
    [delivery, *_] = shop.call("GET", f"{path}/deliveries").json()["data"]
    shop.post(f"{path}/deliveries/{delivery['id']}/replay", {})
    shop.post(f"{path}/rotate", {})
    shop.call("PATCH", path, {"description": "changed"})
    shop.call("DELETE", path)


def _verification(shop: Shop) -> None:
    if shop.book.word("verified") is None:
        shop.book.write("verified", ASKED, unclaimed=True)
    shop.post("/v1/verifications", {"currency": "USD", "card": shop.keyed(VISA)}, "verified")


def _forced(shop: Shop) -> None:
    shop.force("forced", "VA1234")


def _credit(shop: Shop) -> None:
    shop.credit("given")


def _credit_void(shop: Shop) -> None:
    if given := shop.credit("given"):
        shop.move("void", shop.client.void, given)


def _credit_stands(shop: Shop) -> None:
    """The host has closed its batch by itself, so that a credit cannot be taken back there."""
    given = shop.credit("given")
    shop.fault("close_batch", "all")
    if given:
        shop.move("void", shop.client.void, given)


def _technical_no(shop: Shop) -> None:
    shop.sale("technical", TECHNICAL)


def _partial_captures(shop: Shop) -> None:
    if held := shop.authorize("held"):
        shop.move("capture-1", shop.client.capture, held, PART)
        shop.move("capture-2", shop.client.capture, held, PART)
        shop.move("release", shop.client.void, held)


def _partial_void(shop: Shop) -> None:
    if sold := shop.sale("sold"):
        shop.move("void-1", shop.client.void, sold, PART)
        shop.move("void-2", shop.client.void, sold)


def _partial_refunds(shop: Shop) -> None:
    if sold := shop.sale("sold"):
        shop.move("refund-1", shop.client.refund, sold, PART)
        shop.move("refund-2", shop.client.refund, sold, PART)


def _undo(shop: Shop) -> None:
    if sold := shop.sale("sold"):
        shop.move("undo", shop.client.undo, sold)


def _quietly(call: Callable[..., Any], *arguments: Any) -> None:
    try:
        call(*arguments)
    except Exception as fault:  # noqa: BLE001 - a copy of a request; its answer is nobody's.
        print(f"the copy: {fault!r}", flush=True)  # noqa: T201 - our log.


def cutoff_after(seconds: float) -> datetime:
    """
    Return the moment so many seconds from now.
    """
    return datetime.now(UTC) + timedelta(seconds=seconds)


SCENARIOS: dict[str, Scenario] = {
    "sale": Scenario(script=_sale, what="a sale"),
    "decline": Scenario(script=_decline, what="a sale that the issuer declines"),
    "authorize and capture": Scenario(
        script=_authorize_and_capture, what="money is held, and then taken"
    ),
    "void": Scenario(script=_void, what="a sale is voided"),
    "refund": Scenario(script=_refund, what="a sale is refunded"),
    "verification": Scenario(script=_verification, what="a card is verified"),
    "forced capture": Scenario(script=_forced, what="money is taken with the issuer's spoken word"),
    "credit": Scenario(script=_credit, what="money is given without a payment", credits=True),
    "credit voided": Scenario(script=_credit_void, what="a credit is taken back", credits=True),
    "credit stands": Scenario(
        script=_credit_stands, what="a credit cannot be taken back any more", credits=True
    ),
    "technical no": Scenario(script=_technical_no, what="the host has a fault, and is asked again"),
    "partial captures": Scenario(
        script=_partial_captures, what="the hold is taken in two parts, and the rest let go"
    ),
    "partial void": Scenario(script=_partial_void, what="a sale is voided in two parts"),
    "partial refunds": Scenario(script=_partial_refunds, what="a sale is refunded in two parts"),
    "undo": Scenario(script=_undo, what="a sale is undone, however that is possible"),
    "webhooks": Scenario(script=_webhooks, what="an endpoint is told, and does not answer"),
    "undo unclaimed": Scenario(
        script=_undo_unclaimed, what="an approval is undone that nobody has claimed"
    ),
    "refuse": Scenario(script=_refuse, what="the merchant turns an approval down"),
    "timeout": Scenario(script=_timeout, what="the host does not answer"),
    "late answer": Scenario(script=_late_answer, what="the host approves when all is over"),
    "unacknowledged": Scenario(
        script=_unacknowledged,
        what="nobody claims the approval",
        acknowledge_seconds=UNCLAIMED_SECONDS,
    ),
    "duplicate request": Scenario(
        script=_duplicate_request, what="one request comes twice at once"
    ),
    "resolve before arrival": Scenario(
        script=_resolve_before_arrival, what="the key is asked about before its request comes"
    ),
    "link away": Scenario(
        script=_link_away,
        what="the acquirer is away, and comes back",
        call_seconds=1.5,
    ),
    "refused request": Scenario(script=_refused_request, what="a card that cannot be charged"),
    "reversal repeated": Scenario(
        script=_reversal_repeated, what="a reversal is not answered the first time"
    ),
    "capture repeated": Scenario(
        script=_capture_repeated, what="a capture is not answered the first time"
    ),
    "mail server away": Scenario(script=_mail_server_away, what="no mail can be sent for a while"),
    "batch close": Scenario(script=_batch_close, begins_later=True, what="the day is closed"),
    "close with 95": Scenario(
        script=_close_with_95, begins_later=True, what="totals differ, all items are uploaded"
    ),
    "close in silence": Scenario(
        script=_close_in_silence, begins_later=True, what="the host closes and does not answer"
    ),
    "worker dies in the upload": Scenario(
        script=_close_with_95,
        begins_later=True,
        what="an item is uploaded twice, because the first worker died",
        befalls=(("worker", Arm(Pass("link write 0320 after", 1))),),
    ),
    "worker dies before the last word": Scenario(
        script=_close_with_95,
        begins_later=True,
        what="the totals after the upload are sent twice, because the first worker died",
        befalls=(("worker", Arm(Pass("link write 0520 after", 1))),),
    ),
    "gateway dies": Scenario(
        script=_sale,
        what="the host is asked, and the gateway is gone before it answers",
        befalls=(("gateway", Arm(Pass("link write 0200 after", 1))),),
    ),
    "shop dies": Scenario(
        script=_sale,
        what="the shop is gone before it asks; its journal knows",
        befalls=(("shop", Arm(Pass("journal intended after", 1))),),
    ),
    "gateway stands still": Scenario(
        script=_sale,
        what="the gateway is frozen before it asks the host, and goes on when its lease is over",
        befalls=(("gateway", Arm(Pass("query intend after", 1), "freeze")),),
    ),
    "gateway pauses": Scenario(
        script=_sale,
        what="the gateway pauses for so long that nothing may be sent any more",
        befalls=(("gateway", Arm(Pass("query intend after", 1), "pause")),),
    ),
    "restart": Scenario(script=_restart, what="all is stopped in good order and started again"),
    "host closes the batch": Scenario(
        script=_host_closes_the_batch, what="the host ends its batch by itself"
    ),
    "cutoff": Scenario(
        script=_cutoff, begins_later=True, what="the merchant's day ends", cutoff_seconds=3.0
    ),
    "deposit": Scenario(
        script=_deposit,
        begins_later=True,
        what="report and statement are read, the money is there",
        settles=True,
    ),
    "deposit with mistakes": Scenario(
        script=_deposit_with_mistakes,
        begins_later=True,
        what="the report lacks a line, and a chargeback",
        settles=True,
        mistakes=True,
    ),
    "deposit without report": Scenario(
        script=_deposit_without_report,
        begins_later=True,
        what="the bank pays what no report announced",
        settles=True,
        mistakes=True,
    ),
    "report torn": Scenario(
        script=_report_torn,
        begins_later=True,
        what="the report ends in the middle of a line",
        settles=True,
        mistakes=True,
    ),
}

__all__ = ["ASKED", "DONE", "PAID", "PART", "REFUSED", "SCENARIOS", "Scenario"]
