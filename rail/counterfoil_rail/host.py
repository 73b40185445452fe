"""
The acquirer host: takes messages from links, books them in turns, answers.

Stands between the links and the rules. What arrived in one turn of the event loop is
booked in one transaction, and only when that is durable do the answers leave. An
issuer that takes its time keeps no other message waiting.
"""

import asyncio
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from counterfoil_rail.books import Books
from counterfoil_rail.captures import capture, refund
from counterfoil_rail.cards import Card, read_card
from counterfoil_rail.checks import FORMAT_ERROR, first_fault
from counterfoil_rail.clock import Clock, Moment
from counterfoil_rail.closes import answer_close
from counterfoil_rail.closings import Closings
from counterfoil_rail.delivery import deliver, send_echo_test
from counterfoil_rail.dialects import GW87, Dialect, UnreadableError, WrongMacError
from counterfoil_rail.faults import Faults
from counterfoil_rail.holds import HOLD_SECONDS, expire_holds
from counterfoil_rail.issuer import Issuers
from counterfoil_rail.link import Link
from counterfoil_rail.log import Log
from counterfoil_rail.message import (
    CUTOVER,
    ECHO_TEST,
    NETWORK_ANSWER,
    SIGN_OFF,
    SIGN_ON,
    Answer,
    Request,
    answer_fields,
    read,
)
from counterfoil_rail.payments import NOT_SUPPORTED, decide_payment
from counterfoil_rail.postings import credit, force
from counterfoil_rail.records import Booking, refuse
from counterfoil_rail.reversals import reverse
from counterfoil_rail.uploads import take_item

LINKS_MAX = 64
TURN_MESSAGES_MAX = 500  # A longer turn would let its first message wait for its last.
WAITING_MAX = 20_000  # At issuers and in the inbox together; more are refused at once.

NOT_SIGNED_ON = "58"
ISSUER_INOPERATIVE = "91"
DUPLICATE = "94"  # The same key as an earlier request, but another card, act or amount.


class Received(NamedTuple):
    """
    A request and the link that brought it.
    """

    link: Link
    request: Request


class AcquirerHost:
    """
    One acquirer with its issuers, books and faults.
    """

    def __init__(
        self,
        books: Books,
        *,
        closings: Closings,
        today: Callable[[], date],
        card_key: bytes,
        issuers: Issuers,
        faults: Faults,
        clock: Clock,
        log: Log,
        hold_seconds: float = HOLD_SECONDS,
        dialect: Dialect = GW87,
    ) -> None:
        self.dialect = dialect
        self.counts: Counter[str] = Counter()
        self.links: dict[Link, None] = {}  # In the order in which they came.
        self._books = books
        self._closings = closings
        self._today = today  # The business day.
        self._card_key = card_key
        self._issuers = issuers
        self._faults = faults
        self._clock = clock
        self._log = log
        self._hold_seconds = hold_seconds
        self._inbox: deque[Received] = deque()
        self._at_issuers = 0
        self._turn_is_due = False
        self._has_stopped = False
        self._echo_stan = 0

    # What links report.

    def opened(self, link: Link) -> bool:
        """
        Take a new link in, up to LINKS_MAX.
        """
        if len(self.links) >= LINKS_MAX:
            return False
        self.links[link] = None
        self._log.event("link_opened", links=len(self.links))
        return True

    def closed(self, link: Link, reason: str) -> None:
        """
        Forget a link, and count why it went.
        """
        self.links.pop(link, None)
        self.counts[reason] += 1
        self._log.event("link_closed", reason=reason, count=self.counts[reason])

    def idle(self, link: Link) -> None:
        """
        Send an echo test on a link that has been silent.
        """
        self.expire_holds()
        if link.signed_on:
            self._echo_stan = self._echo_stan % 999_999 + 1
            transmission = Moment.of(self._clock()).transmission
            send_echo_test(link, transmission=transmission, stan=self._echo_stan)

    def received(self, link: Link, message: bytes) -> None:
        """
        Sort one message: answer it at once, or pass it to its issuer or to the next turn.
        """
        if self._has_stopped:
            return
        try:
            request = read(message, self.dialect)
        except UnreadableError as error:
            link.close(error.reason)
            return
        except WrongMacError:
            self.counts["wrong_mac"] += 1
            self._log.event("wrong_mac", count=self.counts["wrong_mac"])
            return
        if request.mti == NETWORK_ANSWER:
            return
        field = first_fault(request)
        if field is not None:
            self._answer_now(link, request, FORMAT_ERROR, f"bad field {field}")
        elif request.function == "0800":
            self._manage(link, request)
        elif not link.signed_on:
            self._answer_now(link, request, NOT_SIGNED_ON, "not signed on")
        elif self._at_issuers + len(self._inbox) >= WAITING_MAX:
            self._answer_now(link, request, ISSUER_INOPERATIVE, "too many waiting")
        elif self._is_lost(request):
            self._log.message(request, response_code=None, outcome="silent_unbooked")
        else:
            self._pass_on(Received(link, request))

    def finish(self) -> None:
        """
        Book and answer what is in the inbox; called once, before the links are closed.
        """
        while self._inbox:
            self._turn()

    def stop(self) -> None:
        """
        Take nothing more; what issuers still think about is lost, as if the host had died.
        """
        self._has_stopped = True
        self._inbox.clear()

    def close_batches(self, name: tuple[str, str, str] | None) -> int:
        """
        Close the open batch of (terminal, currency, number), or all; return how many.
        """
        with self._books.transaction():
            return self._books.close_batches(name, at=Moment.of(self._clock()).at)

    def expire_holds(self) -> int:
        """
        Book the holds whose time is over; return how many.
        """
        with self._books.transaction():
            return expire_holds(self._books, at=Moment.of(self._clock()).at)

    def end_holds(self, rrn: str | None) -> int:
        """
        Let the hold of *rrn*, or every hold, lapse now; return how many.
        """
        with self._books.transaction():
            at = Moment.of(self._clock()).at
            ended = self._books.end_holds(rrn, at=at)
            while expire_holds(self._books, at=at):
                pass
            return ended

    # Messages that touch no books.

    def _manage(self, link: Link, request: Request) -> None:
        """
        Answer sign-on, sign-off, cutover and echo test.
        """
        act = request.fields["70"]
        if act == ECHO_TEST and self._faults.strikes("no_echo"):
            self._log.message(request, response_code=None, outcome="silent")
            return
        if act == ECHO_TEST:
            self.expire_holds()
        if act == SIGN_ON:
            link.signed_on, link.gateway_id = True, request.fields["33"]
        elif act == SIGN_OFF:
            link.signed_on = False
        is_known = act in {SIGN_ON, SIGN_OFF, CUTOVER, ECHO_TEST}
        self._answer_now(link, request, "00" if is_known else NOT_SUPPORTED, "answered")

    def _answer_now(self, link: Link, request: Request, code: str, outcome: str) -> None:
        self._log.message(request, response_code=code, outcome=outcome)
        self._log.flush()
        link.put(answer_fields(request, Answer(code)))
        link.flush()

    def _is_lost(self, request: Request) -> bool:
        """
        Tell whether a fault lets this payment, capture or refund vanish.
        """
        is_safe = request.is_reversal or request.is_end_of_day
        return not is_safe and self._faults.strikes_before_booking()

    # Messages that are booked.

    def _pass_on(self, received: Received) -> None:
        """
        Let an issuer think about a payment; everything else is for the next turn.
        """
        delay_seconds = 0.0
        if received.request.function in {"0100", "0200"}:
            delay_seconds = self._issuers.delay_seconds(self._faults.issuer_delay)
        if delay_seconds:
            self._at_issuers += 1
            loop = asyncio.get_running_loop()
            loop.call_later(delay_seconds, self._back_from_issuer, received)
        else:
            self._take(received)

    def _back_from_issuer(self, received: Received) -> None:
        self._at_issuers -= 1
        self._take(received)

    def _take(self, received: Received) -> None:
        if self._has_stopped:
            return
        self._inbox.append(received)
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """
        Book what has come in one transaction, then answer it.
        """
        self._turn_is_due = False
        if not self._inbox:  # `finish` was faster.
            return
        size = min(len(self._inbox), TURN_MESSAGES_MAX)
        group = [self._inbox.popleft() for _ in range(size)]
        if self._inbox:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)
        moment = Moment.of(self._clock(), self._today())
        answered = self._book_group(group, moment)
        for received, answer in answered:
            self._deliver(received, answer, moment)
        for link in dict.fromkeys(received.link for received, _ in answered):
            link.flush()
        self._log.flush()

    def _book_group(
        self, group: list[Received], moment: Moment
    ) -> list[tuple[Received, Answer | None]]:
        """
        Make a group durable; one that fails is booked again, message by message.
        """
        try:
            with self._books.transaction():
                expire_holds(self._books, at=moment.at)
                return [(received, self._book(received.request, moment)) for received in group]
        except sqlite3.Error as error:
            if len(group) > 1:
                return [pair for one in group for pair in self._book_group([one], moment)]
            self._log.event("not_booked", error=str(error), stan=group[0].request.key.stan)
            return []

    def _book(self, request: Request, moment: Moment) -> Answer | None:
        """
        Act on a request once; a repeat gets the stored answer.
        """
        if request.is_end_of_day:
            return self._act_at_end_of_day(request, moment)
        card = read_card(request.fields["2"], self._card_key)
        earlier = self._books.exchange(request.key)
        if earlier is not None:
            if not earlier.asked_the_same(card, request):
                return Answer(DUPLICATE, note="another request under this key")
            return _repeated(earlier.answer)
        if request.is_reversal and self._faults.strikes("decline_reversals"):
            return Answer(self._faults.reversal_code, note="declined by fault")
        booking = self._act(request, card, moment)
        if booking.answer is not None:
            self._books.remember(request, card, booking.answer, booking.charge_id)
        return booking.answer

    def _act(self, request: Request, card: Card, moment: Moment) -> Booking:
        """
        Do what the message asks.
        """
        books, issuers = self._books, self._issuers
        match request.function:
            case "0200" if request.is_refund:
                return credit(request, card, books=books, issuers=issuers, moment=moment)
            case "0100" | "0200":
                return self._decide(request, card, moment)
            case "0220" if request.is_forced:
                return force(request, card, books=books, issuers=issuers, moment=moment)
            case "0220" if request.is_refund:
                return refund(request, card, books=books, moment=moment)
            case "0220":
                return capture(request, card, books=books, moment=moment)
            case "0400" | "0420":
                return reverse(request, card, books=books, moment=moment)
        return refuse(NOT_SUPPORTED)

    def _decide(self, request: Request, card: Card, moment: Moment) -> Booking:
        hold_seconds = self._faults.hold_seconds
        return decide_payment(
            request,
            card,
            books=self._books,
            issuers=self._issuers,
            moment=moment,
            hold_seconds=self._hold_seconds if hold_seconds is None else hold_seconds,
        )

    def _act_at_end_of_day(self, request: Request, moment: Moment) -> Answer:
        """
        Close a batch, or take an item of one; these know their own repeats.
        """
        books, closings, faults = self._books, self._closings, self._faults
        if request.function == "0320":
            card = read_card(request.fields["2"], self._card_key)
            return take_item(request, card, books=books, closings=closings, faults=faults)
        return answer_close(request, books=books, closings=closings, faults=faults, moment=moment)

    def _deliver(self, received: Received, answer: Answer | None, moment: Moment) -> None:
        link, request = received
        if answer is None:
            self._log.message(request, response_code=None, outcome="issuer_silent", at=moment.at)
            return
        outcome = deliver(link, request, answer, self._faults)
        code = answer.response_code
        self._log.message(request, response_code=code, outcome=outcome, at=moment.at)


def _repeated(answer: Answer) -> Answer:
    """
    Return a stored answer, marked for the log.
    """
    return answer._replace(note="repeated")
