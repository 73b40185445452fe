"""
Findings in words: what does not agree, and what a person does next.
"""

from datetime import date
from uuid import UUID

from counterfoil import ids
from counterfoil.money import amount_text
from counterfoil.settlement.matching import Item, Match
from counterfoil.store.booking import Finding

# What we know of a line that we have nothing for, by the word of the matching.
_WHY = {
    "undone": "Here the payment was voided before its batch closed, and the acquirer settles it "
    "all the same. Send them the void with its time, and ask for the money to go back to the "
    "cardholder.",
    "failed": "Here the acquirer refused this refund, and now it settles it. Ask them which of the "
    "two is true before the shopper is refunded in another way.",
    "voided": "Here the payment was voided. Send the acquirer the void with its time, and ask for "
    "the money to go back to the cardholder.",
    "voiding": "Here the payment was voided. Send the acquirer the void with its time, and ask for "
    "the money to go back to the cardholder.",
    "reversed": "Here the payment was reversed, and the shopper was told that nobody is charged. "
    "Send the acquirer the reversal with its answer, and ask for the money to go back to the "
    "cardholder.",
    "reversing": "Here the payment is being reversed, and the shopper was told that nobody is "
    "charged. Ask the acquirer to give the money back to the cardholder.",
    "declined": "Here the payment was declined. Ask the acquirer why it is settled.",
    "not_sent": "Here the payment was never sent. Ask the acquirer where it came from.",
    "expired": "Here the authorization lapsed without a capture. Ask the acquirer who captured it.",
    "authorized": "Here the payment is authorized and was not captured. Ask the acquirer who "
    "captured it.",
    "other_card": "Our payment with this RRN has another card. Ask the acquirer whose payment it "
    "is.",
    "other_approval_code": "Our payment with this RRN has another approval code. Ask the acquirer "
    "which of the two they mean.",
    "unknown": "We have no such payment. Ask the acquirer whose it is; until then the money counts "
    "as unexplained.",
}

DUPLICATE = (
    "This item has its line already. Ask the acquirer to take the second one back; look for a "
    "correction in a later report."
)
MISSING_THERE = (
    "The report names the batch, but not this item. Wait for the next report; if it is not there, "
    "send the acquirer this RRN and ask when it is paid."
)
BATCH_MISSING = (
    "The batch was closed by both sides for that day, and the day's report does not name it. The "
    "report may be late: if the next one does not name it either, send the acquirer its number."
)


def batch_name(terminal_id: str, code: str, batch_number: int) -> str:
    """
    Return a batch's name: TERM0001/USD/000007.
    """
    return f"{terminal_id}/{code}/{batch_number:06d}"


def line_finding(match: Match, file_id: str) -> Finding | None:
    """
    Return what is to be said about a line, or None if it settles its item.
    """
    line = match.line
    match match.outcome:
        case "missing_here":
            minor, next_step = line.amount_minor, _reason(match.why or "unknown")
        case "duplicate":
            minor, next_step = line.amount_minor, DUPLICATE
        case "amount_differs":
            assert match.item is not None
            minor, next_step = _difference(match.item, match)
        case _:
            return None
    return Finding(
        kind=match.outcome,
        subject=f"{file_id} line {line.number}: {line.kind} {line.rrn} of {line.terminal_id}",
        currency=line.currency,
        amount_minor=minor,
        movement_id=match.item.movement_id if match.item else None,
        reference=line.deposit_reference,
        next_step=next_step,
    )


def _reason(why: str) -> str:
    return _WHY.get(why, f"Here the payment is {why}. Ask the acquirer why it is settled.")


def _difference(item: Item, match: Match) -> tuple[int, str]:
    """
    Return by how much a line differs from its item, and what to do.
    """
    line = match.line
    ours = amount_text(item.amount_minor, item.currency)
    theirs = amount_text(line.amount_minor, line.currency)
    same = item.currency == line.currency
    minor = line.amount_minor - item.amount_minor if same else line.amount_minor
    return minor, (
        f"Here it is {ours}, in the report {theirs}. Send the acquirer the receipt and ask for a "
        "correction; until then the money counts as unexplained."
    )


def missing_there(
    movement_id: UUID, kind: str, batch: str, rrn: str, minor: int, code: str
) -> Finding:
    """
    Return what is said of an item without a line.
    """
    return Finding(
        kind="missing_there",
        subject=f"{batch}: {kind} {rrn} ({ids.written(ids.MOVEMENT, movement_id)})",
        currency=code,
        amount_minor=minor,
        movement_id=movement_id,
        next_step=MISSING_THERE,
    )


def batch_missing(batch: str, minor: int, code: str) -> Finding:
    """
    Return what is said of a whole batch without a line.
    """
    return Finding(
        kind="batch_missing",
        subject=batch,
        currency=code,
        amount_minor=minor,
        next_step=BATCH_MISSING,
    )


def deposit_subject(reference: str) -> str:
    """
    Return what a finding about a whole deposit is about.
    """
    return f"deposit {reference}"


def deposit_finding(
    state: str, reference: str, code: str, *, net_minor: int, paid_minor: int
) -> Finding | None:
    """
    Return what is to be said about a deposit in this state, or None if all is well.
    """
    net, paid = amount_text(net_minor, code), amount_text(paid_minor, code)
    match state:
        case "partly_paid":
            kind, minor = "amount_differs", paid_minor - net_minor
            next_step = (
                f"Of {net} the bank has {paid}. The rest may come as a second part; if it is not "
                "in the next statement, ask the acquirer for it."
            )
        case "overpaid":
            kind, minor = "amount_differs", paid_minor - net_minor
            next_step = (
                f"The report says {net}, the bank has {paid}. Ask the acquirer what the rest is "
                "for; they may take it back."
            )
        case "returned":
            kind, minor = "returned", net_minor - paid_minor
            next_step = (
                "The money went back. Ask the bank for the reason and the acquirer for a new "
                "payment; check the account that they pay to."
            )
        case "without_report":
            kind, minor = "without_report", paid_minor
            next_step = (
                "The money came, its report did not. The report may be late; look at "
                "`counterfoil settlement held`, then ask the acquirer for it."
            )
        case _:
            return None
    return Finding(
        kind=kind,
        subject=deposit_subject(reference),
        currency=code,
        amount_minor=minor,
        reference=reference,
        next_step=next_step,
    )


def not_paid(reference: str, code: str, missing_minor: int, value_date: date) -> Finding:
    """
    Return what is said of a deposit that the bank should have booked by now.
    """
    return Finding(
        kind="not_paid",
        subject=deposit_subject(reference),
        currency=code,
        amount_minor=missing_minor,
        reference=reference,
        next_step=f"It was to come on {value_date}, and the bank's statements do not have it. Ask "
        "the acquirer whether it was sent, and to which account.",
    )


def statement_missing(
    account: str, statement_id: str, code: str, minor: int, first_day: date
) -> Finding:
    """
    Return what is said of a statement that does not go on where the one before ended.
    """
    return Finding(
        kind="statement_missing",
        subject=f"account {account} statement {statement_id}",
        currency=code,
        amount_minor=minor,
        reference=account,
        next_step=f"It does not open on {first_day} with what the one before closed with: a "
        "statement is missing between them. Look at `counterfoil settlement held`, then ask the "
        "bank for it.",
    )
