"""
The shop of a matrix: one process, one scenario, the client library as a merchant uses it.

Started anew after its own death, it does what a shop should: it lets the client recover, writes
down what it is told, and goes through its day again under the same keys.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from counterfoil_client import (
    Card,
    Client,
    CounterfoilError,
    KeyFenced,
    Limits,
    NotSent,
    OutcomeUnknown,
    Payment,
    RequestRefused,
)
from counterfoil_rail.control import ask
from counterfoil_rail.store import rail_folder

from counterfoil_proof.matrix.book import (
    ASKED,
    DONE,
    FINAL,
    NOT_CHARGED,
    PAID,
    REFUSED,
    Book,
)
from counterfoil_proof.points import catalogue
from counterfoil_proof.points.control import Control
from counterfoil_proof.points.point import around

VISA = Card(number="4539578763621486", expiry_month=12, expiry_year=2039, cvv="739")
DECLINED = Card(number="4000000000000002", expiry_month=12, expiry_year=2039, cvv="739")
EXPIRED = Card(number="4539578763621486", expiry_month=1, expiry_year=2020, cvv="739")
AMOUNT = 4200
PAYMENTS = ("sale", "authorization", "forced", "credit")  # What awaits an acknowledgment.
LIMITS = Limits(
    connect_seconds=2.0,
    try_seconds=8.0,
    call_seconds=30.0,
    lease_seconds=10.0,
    tries_max=100,
    backoff_seconds_first=0.05,
    backoff_seconds_max=0.3,
    poll_seconds=0.1,
)
CUSTOMER = "ada@shopper.example"
NOT_SENT_TRIES_MAX = 100
NOT_SENT_SECONDS = 0.1
STILL_UNKNOWN = 3  # Exit code: start me again.
EVENTUALLY_SECONDS_MAX = 30.0
EVENTUALLY_POLL_SECONDS = 0.05


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a shop is started with.
    """

    scenario: str
    gateway: str
    key: str
    authority: str
    folder: str  # Of this merchant.
    state: str  # Of the whole lane, where the rail is.


class Shop:
    """
    What a scenario does, step by step; every step may be asked for again.
    """

    def __init__(self, client: Client, words: Words, control: Control) -> None:
        self.client = client
        self.book = Book(Path(words.folder) / "book.jsonl")
        self._words = words
        self._control = control
        self._api = httpx2.Client(
            base_url=words.gateway,
            verify=_trust(words.authority),
            headers={"Authorization": f"Bearer {words.key}"},
            timeout=LIMITS.try_seconds,
            trust_env=False,
        )

    def sale(self, step: str, amount: int = AMOUNT, card: Card = VISA) -> Payment | None:
        """Sell, and return the payment if it is paid."""
        return self._pay(step, amount, card, self.client.sale)

    def authorize(self, step: str, amount: int = AMOUNT) -> Payment | None:
        """Hold money, and return the payment if it is held."""
        return self._pay(step, amount, VISA, self.client.authorize)

    def force(self, step: str, voice_approval_code: str) -> Payment | None:
        """Take money with the issuer's spoken word, and return the payment if it is taken."""
        call = self.client.forced_sale
        return self._pay(step, AMOUNT, VISA, call, voice_approval_code)

    def credit(self, step: str) -> Payment | None:
        """Give money without a payment, and return the credit if it is given."""
        return self._pay(step, AMOUNT, VISA, self.client.credit)

    def move(self, step: str, call: Callable[..., Payment], payment: Payment, *more: Any) -> None:
        """Capture, void or refund under *step* as the key, once."""
        if self.book.word(step) in FINAL:
            return
        if self.book.word(step) is None:
            self.book.write(step, ASKED, payment_id=payment.id, movement=True)
        try:
            call(payment, *more, idempotency_key=step)
        except (KeyFenced, RequestRefused) as no:
            self.book.write(step, REFUSED, payment_id=payment.id, movement=True, why=str(no))
        except NotSent as no:
            if not no.fenced:
                raise OutcomeUnknown(str(no), idempotency_key=step) from no
            self.book.write(step, REFUSED, payment_id=payment.id, movement=True, why=str(no))
        else:
            self.book.write(step, DONE, payment_id=payment.id, movement=True)

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx2.Response:
        """Call the API as a program without our client would, until it answers."""
        return self.call("POST", path, body, key)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None
    ) -> httpx2.Response:
        """Call the API with any method, until it answers."""
        headers = {"Idempotency-Key": key} if key else {}
        name = catalogue.operation(method, path)
        until = time.monotonic() + EVENTUALLY_SECONDS_MAX
        while True:
            try:
                with around(f"request {name}"):
                    answer = self._api.request(method, path, json=body, headers=headers)
                if answer.status_code not in (202, 503):
                    return answer
            except httpx2.HTTPError:
                pass
            if time.monotonic() > until:
                raise OutcomeUnknown("no answer", idempotency_key=key or path)
            time.sleep(EVENTUALLY_POLL_SECONDS)

    def sale_once(self, step: str) -> None:
        """Sell once, with no patience; what comes of it is found out later."""
        try:
            self.client.sale(
                AMOUNT,
                "USD",
                VISA,
                order=step,
                customer_email=CUSTOMER,
                idempotency_key=step,
            )
        except CounterfoilError as no:
            print(f"{step}: {no!r}", flush=True)  # noqa: T201 - our log.

    def has_closed_a_batch(self) -> bool:
        """Whether some batch is closed."""
        try:
            answer = self._api.get("/v1/batches").raise_for_status().json()
        except httpx2.HTTPError:
            return False
        return any(each["state"] in ("closed", "needs_a_person") for each in answer["data"])

    def pay_unclaimed(self, step: str, amount: int = AMOUNT) -> dict[str, Any]:
        """Take a payment and leave it at its first answer."""
        if self.book.word(step) is None:
            self.book.write(step, ASKED, unclaimed=True)
        body = {"amount_minor": amount, "currency": "USD", "card": self.keyed(VISA)}
        answer: dict[str, Any] = self.post("/v1/payments", body, step).json()
        return answer

    def keyed(self, card: Card) -> dict[str, Any]:
        """Return a card as the API takes it."""
        return {
            "number": card.number,
            "expiry_month": card.expiry_month,
            "expiry_year": card.expiry_year,
            "cvv": card.cvv,
        }

    def once(self, step: str, act: Callable[[], object]) -> None:
        """Do what is no call (arm a fault, let time pass), unless it was done before we died."""
        if self.book.word(step) is None:
            act()
            self.book.write(step, DONE, aside=True)

    def fault(self, name: str, value: str = "1") -> None:
        """Arm a fault of the rail, once."""
        folder = rail_folder(Path(self._words.state))
        self.once(f"fault {name}", lambda: ask(folder, {"set": [name, value]}))

    def wish(self, wish: str) -> None:
        """Have the proof stop or start a program that is not ours, once."""
        self.once(wish, lambda: self._control.wish(wish))

    def close_batches(self) -> None:
        """Ask for the close, once, and wait until every batch that was begun has ended."""
        if self.book.word("close") is None:
            self.post("/v1/batches/close", {})
            self.book.write("close", DONE, aside=True)
        self.eventually(self._no_batch_is_closing, "the batches are closed")

    def eventually(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until *holds* does."""
        until = time.monotonic() + EVENTUALLY_SECONDS_MAX
        while not holds():
            if time.monotonic() > until:
                raise TimeoutError(f"not within {EVENTUALLY_SECONDS_MAX:g} s: {what}")
            time.sleep(EVENTUALLY_POLL_SECONDS)

    def recover(self) -> None:
        """Finish what our own death left open, and write down what we are told."""
        for each in self.client.recover():
            if each.outcome == "unknown":
                raise OutcomeUnknown(each.reason or "", idempotency_key=each.idempotency_key)
            facts = {"payment_id": each.payment_id}
            if each.kind in PAYMENTS:
                self._told(each.idempotency_key, each.payment)
            else:
                word = DONE if each.outcome == "done" else REFUSED
                self.book.write(each.idempotency_key, word, movement=True, **facts)

    def _no_batch_is_closing(self) -> bool:
        try:
            answer = self._api.get("/v1/batches").raise_for_status().json()
        except httpx2.HTTPError:
            return False
        return all(each["state"] in ("open", "closed", "needs_a_person") for each in answer["data"])

    def _pay(
        self, step: str, amount: int, card: Card, call: Callable[..., Payment], *more: str
    ) -> Payment | None:
        if self.book.word(step) == NOT_CHARGED:
            return None
        if self.book.word(step) is None:
            self.book.write(step, ASKED, amount_minor=amount)
        for _ in range(NOT_SENT_TRIES_MAX):
            try:
                payment = call(
                    amount,
                    "USD",
                    card,
                    *more,
                    order=step,
                    customer_email=CUSTOMER,
                    idempotency_key=step,
                )
            except (KeyFenced, RequestRefused) as no:
                self.book.write(step, NOT_CHARGED, why=str(no))
                return None
            except NotSent as no:
                if no.fenced:
                    self.book.write(step, NOT_CHARGED, why=str(no))
                    return None
                self.book.write(step, ASKED, why=str(no))
                time.sleep(NOT_SENT_SECONDS)
                continue
            return payment if self._told(step, payment) == PAID else None
        raise OutcomeUnknown("the link does not come back", idempotency_key=step)

    def _told(self, step: str, payment: Payment | None) -> str:
        if payment is None or payment.charged is False:
            word = NOT_CHARGED if payment is None or not payment.confirmation_number else PAID
        else:
            word = PAID
        if self.book.word(step) != word:
            facts = {} if payment is None else _facts(payment)
            self.book.write(step, word, **facts)
        return word


def run(words: dict[str, Any], control: Control) -> int:
    """
    Go through the scenario; return the exit code of the process.
    """
    from counterfoil_proof.matrix.scenarios import SCENARIOS

    told = msgspec.convert(words, Words)
    scenario = SCENARIOS[told.scenario]
    try:
        with Client(
            told.gateway,
            told.key,
            journal=Path(told.folder) / "client" / "journal.db",
            ca=Path(told.authority),
            limits=msgspec.structs.replace(LIMITS, call_seconds=scenario.call_seconds),
        ) as client:
            shop = Shop(client, told, control)
            shop.recover()
            scenario.script(shop)
    except OutcomeUnknown as doubt:
        print(f"unknown: {doubt.idempotency_key}: {doubt}", flush=True)  # noqa: T201 - our log.
        return STILL_UNKNOWN
    except CounterfoilError as fault:
        print(f"fault: {fault!r}", flush=True)  # noqa: T201 - our log.
        raise
    return 0


def _facts(payment: Payment) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "amount_minor": payment.amount_minor,
        "confirmation_number": payment.confirmation_number,
        "rrn": payment.rrn,
    }


def _trust(authority: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=authority)
