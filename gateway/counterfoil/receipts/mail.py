"""
The receipt by e-mail: one to the customer, one to the merchant.

Stands after the *confirmation*: the acknowledgment left two rows in the outbox, and a mailer
(or a worker in its place) sends each until the mail server takes it. A message's id is made of its
row, so that a repeat, after a crash between "taken" and "noted", is recognisable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email.errors import MessageError
from pathlib import Path

import aiosmtplib
import structlog

from counterfoil.clock import Clock
from counterfoil.config import Mail
from counterfoil.receipts.handover import CLOSES_CONNECTION, hand_over
from counterfoil.receipts.letter import Draft, Letter, written
from counterfoil.receipts.notice import endpoint_disabled
from counterfoil.receipts.receipt import Receipt, as_html, as_text, receipt
from counterfoil.store.outbox import OutboxStore, OwedMail

CLAIMED_AT_ONCE_MAX = 100
SENT_AT_ONCE_MAX = 5
SEND_SECONDS_MAX = 30.0  # For each word of the mail server.
# That a letter may wait for: four on a connection that turns out to be cut; on a new one greeting,
# EHLO, STARTTLS, EHLO again, three of AUTH, and MAIL, RCPT, DATA, its text, RSET.
WORDS_MAX = 16
FAREWELL_SECONDS_MAX = 2.0
NOTE_SECONDS_MAX = 60.0
# A whole round at the slowest server: nobody else may begin with a mail of it meanwhile. The end of
# its process, or of that process's lease, ends these leases at once.
LEASE_SECONDS = (
    CLAIMED_AT_ONCE_MAX / SENT_AT_ONCE_MAX * WORDS_MAX * SEND_SECONDS_MAX + NOTE_SECONDS_MAX
)
FRESH_SECONDS = 2.5  # After a claim; who sends later looks whose the mail is by now.
AWAY_SECONDS = 5.0  # After the mail server could not be reached, nobody tries for so long.
SPACING_SECONDS = (2, 5, 15, 60, 300, 900, 3600)
PERMANENT_REFUSALS = range(500, 600)
ERROR_TEXT_MAX = 200
UNREACHABLE = (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPTimeoutError, OSError, TimeoutError)

NOT_TAKEN = (aiosmtplib.SMTPException, OSError, TimeoutError)

Deliver = Callable[[Letter], Awaitable[None]]

log = structlog.get_logger("mail")


class Mailer:
    """
    Sends what the outbox owes.
    """

    def __init__(
        self,
        outbox: OutboxStore,
        settings: Mail,
        clock: Clock,
        *,
        test: bool,
        deliver: Deliver | None = None,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._test = test
        self._fresh = timedelta(seconds=fresh_seconds)
        self._at_once = asyncio.Semaphore(SENT_AT_ONCE_MAX)
        self._away_until = 0.0
        self._password = _secret(settings.password_file)
        self._deliver = deliver or self._over_smtp
        self._connected: list[aiosmtplib.SMTP] = []  # To the mail server, and free.
        self._own_name: str | None = None  # As the first connection has found it out.

    async def send_due(self) -> int:
        """
        Send every e-mail that is due; return how many were tried.
        """
        if self._away():
            return 0
        now = self._clock.now()
        lease_until = now + timedelta(seconds=LEASE_SECONDS)
        fresh_until = now + self._fresh
        owed = await self._outbox.claim_mail(
            now, lease_until, CLAIMED_AT_ONCE_MAX, sure_until=fresh_until
        )
        # All of them end before the round does, whatever befalls one: the next round counts on it.
        sending = (self._send(each, fresh_until) for each in owed)
        ended = await asyncio.gather(*sending, return_exceptions=True)
        if len(owed) < CLAIMED_AT_ONCE_MAX:
            await self.part()
        for fault in filter(None, ended):
            raise fault
        return len(owed)

    async def _send(self, owed: OwedMail, fresh_until: datetime) -> None:
        try:
            letter = self._letter(owed)
        except (ValueError, MessageError) as error:  # An address that is none.
            await self._failed(owed, error)
            return
        async with self._at_once:
            try:
                if self._away():
                    raise ConnectionError("the mail server could not be reached just now")
                if not await self._is_ours(owed, fresh_until):
                    log.info("mail_left_to_another", outbox=owed.outbox_id.hex)
                    return
                await self._deliver(letter)
            except NOT_TAKEN as error:
                if isinstance(error, UNREACHABLE) and not self._away():
                    self._away_until = self._clock.monotonic() + AWAY_SECONDS
                await self._failed(owed, error)
                return
        await self._outbox.mail_sent(owed, self._clock.now(), seconds_max=NOTE_SECONDS_MAX)
        log.info("mail_sent", outbox=owed.outbox_id.hex, kind=owed.kind)

    async def _is_ours(self, owed: OwedMail, fresh_until: datetime) -> bool:
        """
        Return whether nobody else may send it: who stands still loses what it has claimed.
        """
        now = self._clock.now()
        return now < fresh_until or await self._outbox.is_ours(owed, now + self._fresh)

    def _letter(self, owed: OwedMail) -> Letter:
        sender, now = self._settings.sender, self._clock.now()
        if owed.kind == "mail_endpoint_disabled":
            return endpoint_disabled(owed, sender, now, test=self._test)
        return compose(owed, receipt(owed.facts, test=self._test), sender, now)

    def _away(self) -> bool:
        return self._clock.monotonic() < self._away_until

    async def _over_smtp(self, letter: Letter) -> None:
        """
        Send over a connection that another letter has left, or over a new one.

        The server may have ended the one that was left: that is no failure of this letter.
        """
        if self._connected:
            try:
                await self._send_over(self._connected.pop(), letter)
            except aiosmtplib.SMTPException as error:
                if not _is_end_of_connection(error):
                    raise
            else:
                return
        await self._send_over(self._new_client(), letter)

    async def _send_over(self, client: aiosmtplib.SMTP, letter: Letter) -> None:
        try:
            if not client.is_connected:
                await client.connect()
                await _greet(client)
                self._own_name = client.local_hostname
            refusal = await hand_over(client, letter, SEND_SECONDS_MAX)
        except BaseException:
            client.close()  # Whatever it was: the next letter begins afresh.
            raise
        self._connected.append(client)
        if refusal is not None:
            raise refusal

    def _new_client(self) -> aiosmtplib.SMTP:
        return _client(self._settings, self._password, self._own_name)

    async def part(self) -> None:
        """
        Take leave of the mail server: while nothing is due, no connection stands that it might cut.
        """
        while self._connected:
            client = self._connected.pop()
            try:
                await client.quit(timeout=FAREWELL_SECONDS_MAX)
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                client.close()

    async def _failed(self, owed: OwedMail, error: Exception) -> None:
        gives_up = (
            _is_refused_for_good(error)
            or isinstance(error, (ValueError, MessageError))
            or owed.attempts >= self._settings.attempts_max
        )
        pause = SPACING_SECONDS[min(owed.attempts - 1, len(SPACING_SECONDS) - 1)]
        next_try = self._clock.now() + timedelta(seconds=pause)
        reason = f"{type(error).__name__}: {error}"[:ERROR_TEXT_MAX]
        await self._outbox.mail_failed(owed, "gave_up" if gives_up else "owed", next_try, reason)
        log.warning("mail_failed", outbox=owed.outbox_id.hex, gave_up=gives_up)


def _client(settings: Mail, password: str | None, own_name: str | None = None) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        username=settings.username,
        password=password,
        local_hostname=own_name,
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        timeout=SEND_SECONDS_MAX,
    )


async def send_at_once(letter: Letter, settings: Mail, *, seconds_max: float) -> None:
    """
    Hand *letter* to the mail server now, while somebody waits: one that may stand in no outbox.

    Raises:
        NOT_TAKEN: It did not take it, or not in time.
    """
    client = _client(settings, _secret(settings.password_file))
    try:
        async with asyncio.timeout(seconds_max):
            await client.connect()
            await _greet(client)
            refusal = await hand_over(client, letter, seconds_max)
    finally:
        client.close()
    if refusal is not None:
        raise refusal


def compose(owed: OwedMail, shown: Receipt, sender: str, now: datetime) -> Letter:
    """
    Return the e-mail: plain text first, HTML beside it.

    Raises:
        ValueError, MessageError: An address is none, or a header would have a second line.
    """
    for_merchant = owed.kind == "mail_merchant"
    draft = Draft(
        outbox_id=owed.outbox_id,
        at=now,
        sender=sender,
        sender_name=shown.business,
        recipient=owed.recipient,
        answers_to=shown.business_email,
        subject=subject(shown, for_merchant=for_merchant),
        text=as_text(shown, for_merchant=for_merchant),
        html=as_html(shown, for_merchant=for_merchant),
    )
    return written(draft)


def subject(shown: Receipt, *, for_merchant: bool) -> str:
    """
    Return the subject line.
    """
    test = "[Test] " if shown.test else ""
    order = f" for order {shown.order}" if shown.order else ""
    if shown.outcome:
        whom = "" if for_merchant else f" at {shown.business}"
        return f"{test}{shown.outcome.title}: {shown.amount} {shown.currency}{order}{whom}"
    if for_merchant:
        word = "Credit given" if shown.is_credit else "Held" if shown.is_held else "Paid"
        return f"{test}{word}: {shown.amount} {shown.currency}{order}"
    if shown.is_credit:
        return f"{test}Your credit from {shown.business}{order}"
    return f"{test}Your receipt from {shown.business}{order}"


async def _greet(client: aiosmtplib.SMTP) -> None:
    if client.is_ehlo_or_helo_needed:
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError:
            await client.helo()  # A server of before 2001.


def _is_refused_for_good(error: Exception) -> bool:
    """
    Return whether the server will never take this mail: no such mailbox, or not this content.

    What it says of us (greeting, password, sender) is for an operator to mend; the mail waits.
    """
    of_this_mail = aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError
    return isinstance(error, of_this_mail) and error.code in PERMANENT_REFUSALS


def _is_end_of_connection(error: aiosmtplib.SMTPException) -> bool:
    return isinstance(error, aiosmtplib.SMTPServerDisconnected) or (
        isinstance(error, aiosmtplib.SMTPResponseException) and error.code == CLOSES_CONNECTION
    )


def _secret(path: str | None) -> str | None:
    return Path(path).read_text("utf-8").strip() if path else None
