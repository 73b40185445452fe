"""
What a restored installation and its acquirer know differently, payment by payment.

Pure: two halves in, a difference out. By terminal and RRN: what the host has and we do not
was made after the backup; what we hold and the host does not is wrong; what waits here and is
taken there may have been acknowledged after the backup, and nobody here can know.
"""

from typing import Literal
from uuid import UUID

import msgspec

from counterfoil import ids
from counterfoil.outside.host_journal import Charge

DifferenceKind = Literal[
    "restored_host_only",
    "restored_missing_there",
    "restored_state_differs",
    "restored_unclaimed",
]
KINDS: tuple[DifferenceKind, ...] = (
    "restored_host_only",
    "restored_missing_there",
    "restored_state_differs",
    "restored_unclaimed",
)
UNDECIDED = ("processing", "approved")
OWED = ("reversing", "voiding")
TAKEN = ("authorized", "captured")
AMOUNTLESS = ("verification", "credit")

NEXT_STEPS: dict[DifferenceKind, str] = {
    "restored_host_only": (
        "Made after the backup. Ask the merchant for the order: if it was delivered, have the "
        "acquirer settle it apart, or charge it anew; if not, have the acquirer reverse it. After "
        "the lift its batch is closed with what we know, and a host drops what we do not name. "
        "Then resolve this finding with what was agreed."
    ),
    "restored_missing_there": (
        "Ask the acquirer what became of it; nothing will be paid for it. Then resolve this "
        "finding with what was agreed."
    ),
    "restored_state_differs": (
        "It was changed after the backup (captured, voided or refunded). Bring our side to the "
        "host's by hand after the lift, or the host's to ours with the acquirer. Then resolve "
        "this finding with what was agreed."
    ),
    "restored_unclaimed": (
        "It may have been acknowledged, and the goods delivered, after the backup. Ask the "
        "merchant: if the order is paid, `counterfoil quarantine keep PAYMENT`; if not, resolve "
        "this finding, and it is reversed after the lift."
    ),
}


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """
    A payment as the restored database has it. `owed`: something of it is still to be sent.
    """

    payment_id: UUID
    order_number: str | None
    terminal_id: str
    rrn: str
    kind: str
    state: str
    currency: str
    amount_minor: int
    authorized_minor: int
    captured_minor: int
    released_minor: int
    refunded_minor: int
    owed: bool

    @property
    def held_minor(self) -> int:
        """
        What is still held for it.
        """
        return self.authorized_minor - self.captured_minor - self.released_minor


class Difference(msgspec.Struct, frozen=True):
    """
    One thing that a person must look at.
    """

    kind: DifferenceKind
    terminal_id: str
    rrn: str
    currency: str
    amount_minor: int
    words: str

    @property
    def subject(self) -> str:
        """
        What it is about, the same at each comparison.
        """
        return f"{self.terminal_id} {self.rrn}"


def difference(ours: Ours | None, theirs: Charge | None) -> Difference | None:
    """
    Return what differs between the two halves of one payment, or None.
    """
    if ours is None:
        assert theirs is not None, "one half at least"
        if not theirs.has_money:
            return None
        money = theirs.held_minor or theirs.captured_minor or theirs.credited_minor
        return Difference(
            "restored_host_only", theirs.terminal_id, theirs.rrn, theirs.currency, money,
            f"the host has a {theirs.kind}, {theirs.state}, and we do not know it",
        )  # fmt: skip
    kind, words = _known(ours, theirs)
    if kind is None:
        return None
    which = ids.written(ids.PAYMENT, ours.payment_id)
    order = f", order {ours.order_number}" if ours.order_number else ""
    return Difference(
        kind, ours.terminal_id, ours.rrn, ours.currency, ours.amount_minor,
        f"{which}{order}: {words}",
    )  # fmt: skip


def _known(ours: Ours, theirs: Charge | None) -> tuple[DifferenceKind | None, str]:
    there = theirs.state if theirs else "unknown"
    money = theirs is not None and theirs.has_money
    said = f"{ours.state} here, {there} there"
    if ours.state in OWED:
        return None, said  # What is owed is sent again, and the host knows a repeat.
    if ours.owed and not _is_ahead(ours, theirs):
        return None, said
    if ours.state in UNDECIDED:
        return ("restored_unclaimed" if money else None), said
    if ours.state not in TAKEN:
        return ("restored_state_differs" if money else None), said
    if not money and there != "refunded":
        gone = "restored_missing_there" if theirs is None else "restored_state_differs"
        return gone, said  # type: ignore[return-value]
    assert theirs is not None
    if ours.kind in AMOUNTLESS or _amounts(ours) == _amounts(theirs):
        return None, said
    return "restored_state_differs", f"{said}; {_words(ours)} here, {_words(theirs)} there"


def _is_ahead(ours: Ours, theirs: Charge | None) -> bool:
    """
    Whether the host has more behind it than what we still owe can explain.

    Refunds count here from when they are owed, and nothing that is owed to a payment that is
    taken ends all of its money: so the host may only be behind us.
    """
    if ours.state not in TAKEN or ours.kind in AMOUNTLESS:
        return False
    if theirs is not None and theirs.refunded_minor > ours.refunded_minor:
        return True
    gone = theirs is None or not (theirs.has_money or theirs.refunded_minor)
    return gone and bool(ours.held_minor or ours.captured_minor)


def _amounts(half: Ours | Charge) -> tuple[int, int, int]:
    return half.held_minor, half.captured_minor, half.refunded_minor


def _words(half: Ours | Charge) -> str:
    held, captured, refunded = _amounts(half)
    return f"{held} held, {captured} captured, {refunded} refunded"
