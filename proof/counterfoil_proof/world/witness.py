"""
What must hold, looked at after every step, from our side and from the acquirer's.

Only what a step has changed is looked at; `books` looks at everything once nothing is owed any
more. The rules are those of reliability.md 2 and DESIGN.md 4 and 5, written down a second time
and not taken from the product.
"""

from datetime import datetime
from typing import Any

import msgspec
from counterfoil_client.commands import Answer, Send
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.dialects import UnreadableError
from counterfoil_rail.message import Request, read

from counterfoil_proof.world.acquirer import Acquirer
from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.database import Store
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.network import HEADER_BYTES
from counterfoil_proof.world.story import Story
from counterfoil_proof.world.web import operation_of

STANDS = {"authorized", "captured"}
CONFIRMED = STANDS | {"voiding", "voided", "expired"}
UNDONE = {"reversing", "reversed"}
LEGAL = {
    (None, "processing"),
    (None, "declined"),  # By the shop's own rules: nobody was asked.
    ("processing", "not_sent"),
    ("processing", "declined"),
    ("processing", "approved"),
    ("processing", "reversing"),
    ("processing", "verified"),
    ("processing", "unanswered"),
    ("not_sent", "processing"),
    ("not_sent", "declined"),  # By the shop's own rules, when it came again.
    ("approved", "authorized"),
    ("approved", "captured"),
    ("approved", "reversing"),
    ("authorized", "captured"),
    ("authorized", "voiding"),
    ("authorized", "expired"),
    ("captured", "voiding"),
    ("captured", "authorized"),
    ("captured", "expired"),
    ("voiding", "voided"),
    ("reversing", "reversed"),
    ("reversed", "reversing"),
}
# A credit in a batch that the acquirer has closed by itself can no longer be taken back.
LEGAL_OF_CREDIT = LEGAL | {("voiding", "captured"), ("reversing", "captured")}
BLOCKED_EMAIL = "blocked@shoppers.test"  # Whom a shop with rules does not serve.
NO_MATCH = "N"  # Of the security code, and of street and postal code (DE 44).
CHANGED = """
SELECT c.number, p.merchant_id, p.payment_id, p.state, p.kind, p.version, p.terminal_id, p.stan,
    p.rrn, p.transmitted_at, p.idempotency_key, p.confirmation_number, p.amount_minor,
    p.authorized_minor, p.captured_minor, p.released_minor, p.refunded_minor,
    p.customer_email, p.cvv_result, p.avs_result, p.response_code
FROM witness_changes AS c JOIN payments AS p USING (merchant_id, payment_id)
WHERE c.number > $1 ORDER BY c.number
"""
NEW_CHARGES = """
SELECT id, terminal_id, sent_at, stan, response_code, held_minor,
    captured_minor + credited_minor
FROM charge WHERE id > ? ORDER BY id
"""
CHARGE = """
SELECT held_minor + captured_minor + credited_minor - refunded_minor FROM charge
WHERE terminal_id = ? AND sent_at = ? AND stan = ?
"""

# A batch that the acquirer has closed, unless by the message of that name.
AGREED = """
SELECT 1 FROM batch JOIN closing ON batch_id = batch.id
WHERE terminal_id = ?1 AND number = ?5 AND currency = ?6 AND day IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM reconciliation
    WHERE (terminal_id, sent_at, stan, mti) = (?1, ?2, ?3, ?4))
"""
BATCH = "SELECT state FROM batches WHERE terminal_id = $1 AND batch_number = $2"

SLACK_SECONDS = 0.001  # For what a float leaves of a microsecond.
CLOCK_SETTLES_SECONDS = 60.0  # After a step a message may carry the time of before.

Trace = tuple[str, str, str]  # Terminal, transmission time (DE 7), STAN.


class Seen(msgspec.Struct):
    """
    A payment as the witness knows it.
    """

    name: str
    key: str
    kind: str
    state: str
    version: int
    confirmation: str | None
    traces: list[Trace]
    states: list[str]
    durable_at: float
    told_charged: bool | None = None


class Told(msgspec.Struct):
    """
    As much of an answer's payment as the witness reads.
    """

    id: str
    state: str
    charged: bool | None = None
    confirmation_number: str | None = None


class Problem(msgspec.Struct):
    """
    As much of a problem document as the witness reads.
    """

    code: str
    payment: Told | None = None


class Resolved(msgspec.Struct):
    """
    As much of a resolution as the witness reads.
    """

    status: str
    payment: Told | None = None


class Witness:
    """
    Looks at every step of a universe.
    """

    def __init__(
        self,
        story: Story,
        clock: WorldClock,
        *,
        send_seconds: float,
        screens: bool = False,
        accepts_parts: bool = False,
    ) -> None:
        self.story = story
        self.payments: dict[str, Seen] = {}
        self.store: Store
        self.acquirer: Acquirer
        self.clocks: dict[str, WorldClock] = {}
        self.fenced: set[str] = set()
        self.mails: dict[str, int] = {}
        self._clock = clock
        self._send_seconds = send_seconds
        self._screens = screens
        self._accepts_parts = accepts_parts
        self._last_change = 0
        self._last_charge = 0
        self._began: dict[Trace, datetime] = {}
        self._by_trace: dict[Trace, str] = {}
        self._confirmations: dict[tuple[Any, str], str] = {}

    # What we write down.

    def written(self, query_name: str) -> None:
        """
        A statement was done: look at the payments that it changed.
        """
        for row in self.store.ask(CHANGED, self._last_change):
            self._last_change = row["number"]
            self._look(row, query_name)

    def _look(self, row: Any, query_name: str) -> None:
        name = f"pay_{row['payment_id'].hex}"
        trace = (
            row["terminal_id"],
            row["transmitted_at"].strftime("%m%d%H%M%S"),
            f"{row['stan']:06d}",
        )
        seen = self.payments.get(name)
        before = seen.state if seen else None
        if seen is None:
            seen = Seen(
                name=name,
                key=row["idempotency_key"],
                kind=row["kind"],
                state=row["state"],
                version=0,
                confirmation=None,
                traces=[],
                states=[],
                durable_at=self.story.seconds,
            )
            self.payments[name] = seen
            if seen.key in self.fenced:
                self._violated("a fenced key never charges", "a payment under it", seen)
        self._began.setdefault(trace, row["transmitted_at"])
        if trace not in seen.traces:
            seen.traces.append(trace)
            other = self._by_trace.setdefault(trace, name)
            if other != name:
                self._violated("a trace names one payment", f"{trace} is {other}'s", seen)
        if row["version"] == seen.version and before == row["state"]:
            return  # Only a movement of it changed.
        self.story.tell("database", f"{query_name}: {before} > {row['state']}", name, seen.key)
        self._check_move(seen, row, before)
        seen.state, seen.version = row["state"], row["version"]
        if seen.states[-1:] != [seen.state]:
            seen.states.append(seen.state)
            self.story.count(f"state {seen.state}")
            self.story.count(f"{seen.kind} {seen.state}")
        self._check_confirmation(seen, row)
        self._check_amounts(seen, row)
        self._check_rules(seen, row)
        self._check_at_acquirer(seen)

    def _check_move(self, seen: Seen, row: Any, before: str | None) -> None:
        after = row["state"]
        legal = LEGAL_OF_CREDIT if seen.kind == "credit" else LEGAL
        if before != after and (before, after) not in legal:
            self._violated("only legal moves", f"{before} > {after}", seen)
        if row["version"] < seen.version:
            self._violated("versions rise", f"{seen.version} > {row['version']}", seen)
        if after in UNDONE and seen.told_charged is True:
            self._violated("PAID is never reversed", f"told paid, and is {after}", seen)
        if after in STANDS and seen.told_charged is False and "not_sent" not in seen.states:
            self._violated("not charged is final", f"told not charged, and is {after}", seen)

    def _check_confirmation(self, seen: Seen, row: Any) -> None:
        number = row["confirmation_number"]
        if number is None:
            if seen.state in STANDS:
                self._violated("what stands has a number", seen.state, seen)
            return
        if seen.state not in CONFIRMED:
            self._violated("a number only for what stands", seen.state, seen)
        if seen.confirmation not in (None, number):
            self._violated("a number never changes", f"{seen.confirmation} > {number}", seen)
        owner = self._confirmations.setdefault((row["merchant_id"], number), seen.name)
        if owner != seen.name:
            self._violated("a number is given once", f"{number} is {owner}'s", seen)
        seen.confirmation = number

    def _check_amounts(self, seen: Seen, row: Any) -> None:
        held = row["authorized_minor"] - row["captured_minor"] - row["released_minor"]
        taken = row["amount_minor"] if seen.kind == "credit" else row["captured_minor"]
        if held < 0 or not 0 <= row["refunded_minor"] <= taken:
            self._violated("never more than there is", str(dict(row)), seen)
        if row["authorized_minor"] > row["amount_minor"]:
            self._violated("never more than was asked", str(dict(row)), seen)

    def _check_rules(self, seen: Seen, row: Any) -> None:
        """
        The merchant's own rules: who is never asked for, and what is given back.
        """
        stands = seen.state in STANDS or seen.state == "approved"
        if 0 < row["authorized_minor"] < row["amount_minor"]:
            self.story.count(f"partial approval {seen.state}")
            if stands and not self._accepts_parts:
                self._violated("a part is taken only where that is wanted", seen.state, seen)
        if not self._screens:
            return
        if row["customer_email"] == BLOCKED_EMAIL:
            self.story.count("blocked by the shop")
            if seen.states != ["declined"]:
                self._violated("nobody asks for whom the shop blocks", seen.state, seen)
        if seen.kind not in ("sale", "authorization"):
            return
        for what, result in (("security code", "cvv_result"), ("address", "avs_result")):
            if row[result] == NO_MATCH:
                self.story.count(f"{what} wrong {seen.state}")
                if stands:
                    self._violated("what the rules refuse never stands", seen.state, seen)

    def _check_at_acquirer(self, seen: Seen) -> None:
        """
        What we have ended for good, the acquirer must not hold or keep.
        """
        if seen.state not in ("declined", "not_sent", "reversed", "voided"):
            return
        for trace in seen.traces:
            stands = self._stands(trace)
            if stands:
                what = f"{seen.state}, and the acquirer has {stands}"
                self._violated("what ended is not charged", what, seen)

    # What passes on the wire.

    def sent(self, life: Life, frame: bytes) -> None:
        """
        A process has handed a message to the kernel.
        """
        request = _request(frame)
        if request is None:
            return
        self.story.count(f"sent {request.mti}")
        if request.function in ("0500", "0520"):
            self._check_close(life, request)
        if request.function not in ("0100", "0200") and not _is_forced(request):
            self.story.tell(life, f"writes {request.mti}", *self._subjects(request))
            return
        name = self._by_trace.get(_trace(request))
        self.story.tell(life, f"writes {request.mti}", *self._subjects(request))
        if name is None:
            self.story.violated(
                "commit before you speak",
                f"{request.mti} left before its intent was durable",
                str(_trace(request)),
            )
            return
        seen = self.payments[name]
        # The sweep may be faster by a moment: then the reversal is owed, and it wins at the host;
        # what it has ended as unanswered is a verification, which moves nothing.
        may_be_sent = seen.state in ("processing", "unanswered", *UNDONE)
        if not may_be_sent or _trace(request) != seen.traces[-1]:
            self._violated("nothing is sent for what has ended", seen.state, seen)
        clock = self.clocks.get(life.name)
        if clock is None or clock.seconds_since_step() < CLOCK_SETTLES_SECONDS:
            return
        began = self._began[_trace(request)]
        if (clock.now() - began).total_seconds() > self._send_seconds + SLACK_SECONDS:
            self._violated("nothing is sent after its deadline", f"begun {began}", seen)

    def _check_close(self, life: Life, request: Request) -> None:
        """
        Totals are told of a batch that is being closed, and under a new number of none that is.
        """
        terminal, number = request.key.terminal_id, int(request.fields["60"])
        currency = CURRENCIES[request.fields["50"]]
        rows = self.store.ask(BATCH, terminal, number)
        self.story.tell(life, f"tells totals of {terminal}/{number}")
        if not rows or rows[0]["state"] not in ("totalling", "uploading"):
            what = f"{request.mti} for batch {terminal}/{number}: {rows and rows[0]['state']}"
            self.story.violated("a batch is closed once", what)
        if self.acquirer.read(AGREED, *request.key, request.fields["60"], currency):
            what = f"{request.mti} for batch {terminal}/{number} under a new number"
            self.story.violated("what the acquirer has closed is not asked anew", what)

    def arrives(self, frame: bytes) -> None:
        """
        A message reaches the acquirer.
        """
        self.story.count("arrived")

    def answered(self, frame: bytes) -> None:
        """
        The acquirer has written an answer, so what it booked is durable: look at its books.
        """
        if frame[HEADER_BYTES : HEADER_BYTES + 4] not in (b"0110", b"0210", b"0230"):
            return
        for row in self.acquirer.read(NEW_CHARGES, self._last_charge):
            self._last_charge = row[0]
            self._look_at_charge(row)

    def _look_at_charge(self, row: Any) -> None:
        _, terminal, sent_at, stan, code, held, captured = row
        trace = (terminal, sent_at, stan)
        name = self._by_trace.get(trace)
        self.story.tell("rail", f"books {code}", name or str(trace))
        self.story.count("approved at the acquirer" if held + captured else "declined there")
        if not held + captured:
            return
        if name is None:
            self.story.violated(
                "every approval has a payment", f"{trace} is approved and not ours", str(trace)
            )
            return
        seen = self.payments[name]
        if seen.state in ("declined", "not_sent", "reversed", "voided"):
            what = f"{seen.state}, and now the acquirer approves it"
            self._violated("what ended is not charged", what, seen)

    def _stands(self, trace: Trace) -> int:
        rows = self.acquirer.read(CHARGE, *trace)
        return rows[0][0] if rows else 0

    # What clients are told.

    def said(self, life: Life, send: Send, answer: Answer) -> None:
        """
        A process answers: what it says must be durable already.
        """
        told, _ = _payment_in(send, answer)
        operation = operation_of(send)
        subjects = tuple(filter(None, (told.id if told else None, send.key)))
        state = told.state if told else ""
        self.story.tell(life, f"answers {operation} {answer.status} {state}", *subjects)
        self.story.count(f"answer {answer.status}")
        if answer.status == 500:
            self.story.violated("no internal errors", answer.body.decode(), *subjects)
        if told is None:
            return
        seen = self.payments.get(told.id)
        if seen is None or told.state not in seen.states:
            self.story.violated("commit before you speak", f"answers {told.state}", told.id)
        elif told.confirmation_number not in (None, seen.confirmation):
            self._violated("commit before you speak", "answers another number", seen)

    def told(self, api_key: str, send: Send, answer: Answer) -> None:
        """
        A client has read an answer: from now on it counts on it.
        """
        told, code = _payment_in(send, answer)
        if code:
            self.story.count(f"told {code}")
        if operation_of(send) == "resolveKey" and answer.status == 200 and told is None:
            self._check_fence(send)
        if told is None or told.charged is None or told.id not in self.payments:
            return
        seen = self.payments[told.id]
        if seen.kind == "credit":  # It never charges; what was given is looked at in the books.
            self.story.count(f"told credit {told.state}")
            return
        if told.charged and seen.state in UNDONE:
            self._violated("PAID is never reversed", f"told paid, and is {seen.state}", seen)
        if told.charged and seen.told_charged is False and seen.states.count("not_sent") == 0:
            self._violated("not charged is final", "told not charged, then charged", seen)
        if told.state != "not_sent":
            seen.told_charged = told.charged
        self.story.count("told paid" if told.charged else "told not charged")

    def _check_fence(self, send: Send) -> None:
        """
        A client was told "never seen": from now on nothing is ever charged under this key.
        """
        key = msgspec.json.decode(send.body or b"{}").get("idempotency_key", "")
        self.fenced.add(key)
        self.story.count("told never seen")
        for seen in self.payments.values():
            if seen.key == key:
                self._violated("a fenced key never charges", "told never seen", seen)

    def mailed(self, message_id: str) -> None:
        """
        The mail server took a message.
        """
        self.mails[message_id] = self.mails.get(message_id, 0) + 1

    def _subjects(self, request: Request) -> tuple[str, ...]:
        trace = _trace(request)
        if request.is_reversal or (request.function == "0220" and not _is_forced(request)):
            named = request.fields.get("90", "")
            trace = (request.key.terminal_id, named[10:20], named[4:10])
        name = self._by_trace.get(trace)
        return (name,) if name else (str(trace),)

    def _violated(self, invariant: str, what: str, seen: Seen) -> None:
        self.story.violated(invariant, what, seen.name, seen.key)


def _request(frame: bytes) -> Request | None:
    """
    Return what a frame asks, as the acquirer reads it; None for network management.
    """
    if frame[HEADER_BYTES : HEADER_BYTES + 2] == b"08":
        return None
    try:
        return read(frame[HEADER_BYTES:])
    except UnreadableError:
        return None


def _is_forced(request: Request) -> bool:
    """
    Return whether this charges by a voice approval: an advice that names no original.
    """
    return request.function == "0220" and not request.fields.get("90")


def _trace(request: Request) -> Trace:
    return (request.key.terminal_id, request.key.sent_at, request.key.stan)


def _payment_in(send: Send, answer: Answer) -> tuple[Told | None, str | None]:
    """
    Return the payment that an answer shows, if it shows one, and its problem's code.
    """
    try:
        if answer.status >= 400:
            problem = msgspec.json.decode(answer.body, type=Problem)
            return problem.payment, problem.code
        if send.path == "/v1/resolve":
            return msgspec.json.decode(answer.body, type=Resolved).payment, None
        told = msgspec.json.decode(answer.body, type=Told)
        return (told if told.id.startswith("pay_") else None), None
    except msgspec.DecodeError:
        return None, None
