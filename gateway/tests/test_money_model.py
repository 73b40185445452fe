"""
Captures, voids, refunds, undoings, closes and lapses in any order, beside a one-page model.

The model knows amounts and nothing of tables: what it allows must be done, what it refuses must be
refused, and afterwards every amount, the journal and the host's own books are the same.
"""

import asyncio
from typing import Any

import hypothesis.strategies as some
import pytest
from counterfoil.ledger.audit import audit
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import movements
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment, held_minor
from counterfoil.payments.recovery import sweep
from counterfoil.payments.refusals import NotNow
from counterfoil.store.database import Database
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledger_day import ClosingLink, close_batch, forward
from payment_stage import Stage
from scripted_link import answered

HELD = 1000
AMOUNTS = some.one_of(some.none(), some.integers(1, 1200), some.integers(1, 60))
EXAMPLES = 25
STEPS = 12


class Model:
    """
    One payment as a merchant thinks of it.
    """

    def __init__(self, kind: Kind) -> None:
        self.is_hold = kind is Kind.AUTHORIZATION
        self.held = HELD if self.is_hold else 0
        self.open: list[int] = [] if self.is_hold else [HELD]
        self.closed = self.refunded = self.released = 0
        self.has_lapsed = False

    @property
    def captured(self) -> int:
        return sum(self.open) + self.closed

    @property
    def is_over(self) -> bool:
        return not (self.held or self.captured)

    def capture(self, amount: int | None, *, final: bool) -> bool:
        amount = self.held if amount is None else amount
        if not self.is_hold or self.has_lapsed or not 0 < amount <= self.held:
            return False
        self.held -= amount
        self.open.append(amount)
        if final:
            self.release_held(self.held)
        return True

    def void(self, amount: int | None) -> bool:
        voidable = [] if self.refunded else self.open
        if amount is None:
            if not (self.held or voidable):
                return False
            self.release_held(self.held)
            if voidable:
                self.released += sum(self.open)
                self.open = []
            return True
        if amount <= self.held:
            self.release_held(amount)
            return True
        for place in reversed(range(len(voidable))):
            if amount <= self.open[place]:
                self.released += amount
                self.open[place] -= amount
                if not self.open[place]:
                    del self.open[place]
                return True
        return False

    def refund(self, amount: int | None) -> bool:
        left = self.captured - self.refunded
        amount = left if amount is None else amount
        if not 0 < amount <= left:
            return False
        self.refunded += amount
        return True

    def undo(self, amount: int | None) -> bool:
        was_voided = self.void(amount)
        if amount is None:
            return self.refund(None) or was_voided
        return was_voided or self.refund(amount)

    def close(self) -> None:
        self.closed += sum(self.open)
        self.open = []

    def lapse(self) -> None:
        self.has_lapsed = True
        self.release_held(self.held)

    def release_held(self, amount: int) -> None:
        self.held -= amount
        self.released += amount


class Host(ClosingLink):
    """
    Keeps books of its own from what it is sent, as the field's own words say.
    """

    def __init__(self) -> None:
        super().__init__()
        self.authorized = self.refunded = 0
        self.taken: dict[str, int] = {}  # By the trace of the message that took it.
        self.is_hold = True

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        amount, refuses = int(str(fields.get(4, "0"))), False
        trace, original = f"{fields[11]}{fields[7]}", str(fields.get(90, ""))[4:20]
        remains = int(str(fields[95])[:12]) if 95 in fields else 0
        if mti in ("0100", "0200"):
            self.authorized, self.is_hold = amount, mti == "0100"
            self.first = trace
            if mti == "0200":
                self.taken[trace] = amount
        elif mti == "0220" and fields[3] == "200000":
            refuses = self.refunded + amount > sum(self.taken.values())
            self.refunded += 0 if refuses else amount
        elif mti == "0220":
            refuses = amount > self.held
            self.taken |= {} if refuses else {trace: amount}
        elif mti == "0420" and original == self.first:
            self.authorized = remains
            if not self.is_hold or not remains:
                self.taken = {self.first: remains} if remains and not self.is_hold else {}
            refuses = self.held < 0
        elif mti == "0420":
            self.taken[original] = remains
        assert not refuses, f"the host would refuse {mti} {dict(fields)}"
        if mti in ("0500", "0501"):
            return await super().request(
                mti, fields, send_before=send_before, answer_within=answer_within
            )
        return answered(mti, fields, "00", f38="A1B2C3")

    @property
    def held(self) -> int:
        return self.authorized - sum(self.taken.values())


class Commands(RuleBasedStateMachine):
    """
    What a merchant, a clock and a worker may do to one payment.
    """

    database: Database
    loop: asyncio.AbstractEventLoop

    @initialize(kind=some.sampled_from([Kind.SALE, Kind.AUTHORIZATION]))
    def begin(self, kind: Kind) -> None:
        self.host = Host()
        self.stage = self.run(Stage.set_up(self.database, link=self.host))
        self.payment: Payment = self.run(self.stage.paid(kind=kind, amount_minor=HELD))
        self.model = Model(kind)

    def run(self, what: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(what, 30))

    @rule(amount=AMOUNTS, final=some.booleans(), told=some.booleans())
    def capture(self, amount: int | None, final: bool, told: bool) -> None:
        self.do("capture", amount, self.model.capture(amount, final=final), told, is_final=final)

    @rule(amount=AMOUNTS, told=some.booleans())
    def void(self, amount: int | None, told: bool) -> None:
        self.do("void", amount, self.model.void(amount), told)

    @rule(amount=AMOUNTS, told=some.booleans())
    def refund(self, amount: int | None, told: bool) -> None:
        self.do("refund", amount, self.model.refund(amount), told)

    @rule(amount=AMOUNTS, told=some.booleans())
    def undo(self, amount: int | None, told: bool) -> None:
        self.do("undo", amount, self.model.undo(amount), told)

    @rule()
    def close(self) -> None:
        self.run(forward(self.stage))
        self.run(close_batch(self.stage))
        self.model.close()

    @rule()
    def lapse(self) -> None:
        self.stage.clock.move(8 * 86_400)
        self.run(sweep(self.stage.road))
        self.model.lapse()

    def do(self, name: str, amount: int | None, works: bool, told: bool, **more: Any) -> None:
        """Run a command, and expect of it what the model said."""
        # What an acquirer may still refuse is not refunded, nor lowered again: let it hear first.
        if told or name != "capture":
            self.run(forward(self.stage))
        command = self.stage.command(self.payment, amount_minor=amount, **more)
        try:
            self.run(getattr(movements, name)(command, self.stage.road))
            done = True
        except NotNow:
            done = False
        assert done == works, f"{name} {amount}"

    @invariant()
    def amounts_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        found, model = self.run(self.stage.read(self.payment)), self.model
        assert (
            held_minor(found), found.captured_minor, found.released_minor, found.refunded_minor,
        ) == (model.held, model.captured, model.released, model.refunded)  # fmt: skip
        charges = found.state in (State.AUTHORIZED, State.CAPTURED)
        assert charges is not model.is_over
        assert (found.state is State.CAPTURED) is bool(model.captured)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        self.run(forward(self.stage))
        model, host = self.model, self.host
        assert (host.held, sum(host.taken.values()), host.refunded) == (
            model.held, model.captured, model.refunded,
        )  # fmt: skip
        now = self.stage.clock.now()
        found = self.run(audit(self.database, self.stage.merchant.merchant_id, now=now))
        wrong = [each for each in found.differences if "sealed" not in each.what]
        assert not wrong, wrong


@pytest.mark.timeout(300)  # Three hundred commands and their closes, on however busy a machine.
def test_f15_any_order_of_captures_voids_refunds_undos_and_closes_is_that_of_the_model(
    parameters: dict[str, str],
) -> None:
    """Hypothesis tries orders and amounts, and makes the shortest story of one that goes wrong."""
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(Database.open(**parameters))
    bound = type("BoundCommands", (Commands,), {"database": database, "loop": loop})
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            bound,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(database.close())
        loop.close()
