"""
Close a batch: compare totals (0500), or accept what was uploaded instead (0520).

From the first 0500 on nothing enters or leaves the batch. In balance (00) it is
settled with the business day. Out of balance (95) the host waits for every item
(`uploads`), after a new 0500 anew; what the gateway then leaves out goes back to the cardholders.
"""

from collections import Counter

from counterfoil_rail.books import Books
from counterfoil_rail.checks import CURRENCIES
from counterfoil_rail.clock import Moment
from counterfoil_rail.closings import Closing, Closings, Line
from counterfoil_rail.faults import Faults
from counterfoil_rail.message import Answer, Request
from counterfoil_rail.payments import NOT_SUPPORTED
from counterfoil_rail.records import Batch, Charge
from counterfoil_rail.totals import Totals

IN_BALANCE = "00"
OUT_OF_BALANCE = "95"
OTHER_MERCHANT = "03"
ALREADY_CLOSED = "94"  # Also: another request under the key of an earlier one.

_SETTLEMENT_CODES = {IN_BALANCE: "1", OUT_OF_BALANCE: "2"}  # DE 66; 3 for all others.
_ASKED = ("42", "50", "60", "74", "75", "76", "77", "81", "86", "87", "88", "89")


def answer_close(
    request: Request, *, books: Books, closings: Closings, faults: Faults, moment: Moment
) -> Answer:
    """
    Act on a 0500 or 0520 once; a repeat gets the stored answer.
    """
    asked = " ".join(request.fields[number] for number in _ASKED)
    earlier = closings.earlier_close(request.key)
    if earlier is not None:
        earlier_asked, answer = earlier
        return answer if asked == earlier_asked else _answer(ALREADY_CLOSED, moment)
    act = _compare if request.function == "0500" else _accept_upload
    answer = act(request, books=books, closings=closings, faults=faults, moment=moment)
    closings.remember_close(request.key, asked, answer)
    return answer


def _compare(
    request: Request, *, books: Books, closings: Closings, faults: Faults, moment: Moment
) -> Answer:
    """
    End the batch for all traffic and compare the gateway's totals with the host's.
    """
    batch = books.batch(*batch_name(request), at=moment.at)
    merchant_id = request.fields["42"].rstrip()
    closing = closings.find(batch.id) or Closing(batch.id, merchant_id, request.fields["32"])
    if closing.is_in_balance:
        return _answer(ALREADY_CLOSED, moment)
    is_other = closing.merchant_id != merchant_id
    if is_other or closings.has_other_merchant(batch.id, merchant_id):
        return _answer(OTHER_MERCHANT, moment)
    books.end_batch(batch, at=moment.at)
    lines = closings.lines(batch.id)
    standing = [line for line in lines if line.amount_minor]
    if standing and closing.forgotten is None and faults.strikes("forget_item"):
        closing.forgotten = _first_debit(standing).id
    ours = _totals(batch, closing, standing)
    forgotten = [line for line in standing if line.id == closing.forgotten]
    code = _verdict([line for line in lines if line not in forgotten], request, faults)
    if code == IN_BALANCE and not _release(forgotten, request, books, moment):
        code = OUT_OF_BALANCE
    if code == IN_BALANCE:
        closing.agree(moment.day)
    else:
        closings.begin_upload(closing)
    closings.save(closing)
    return _answer(code, moment, ours)


def _accept_upload(
    request: Request, *, books: Books, closings: Closings, faults: Faults, moment: Moment
) -> Answer:
    """
    Compare the gateway's totals with what it has uploaded; then that is the batch.
    """
    closing = closings.find_by_name(*batch_name(request))
    if closing is None or closing.merchant_id != request.fields["42"].rstrip():
        return _answer(NOT_SUPPORTED, moment)
    if closing.is_in_balance:
        return _answer(ALREADY_CLOSED, moment)
    batch = books.batch_by_id(closing.batch_id)
    lines = closings.lines(batch.id)
    standing = [line for line in lines if line.amount_minor]
    left_out = [line for line in standing if not line.is_uploaded]
    code = _verdict([line for line in lines if line not in left_out], request, faults)
    if code == IN_BALANCE and not _release(left_out, request, books, moment):
        code = OUT_OF_BALANCE
    if code == IN_BALANCE:
        closing.agree(moment.day)
    else:
        closing.state = "out_of_balance"
    closings.save(closing)
    return _answer(code, moment, _totals(batch, closing, standing))


def batch_name(request: Request) -> tuple[str, str, str]:
    """
    Return terminal, currency and number of the batch that an end-of-day message is about.
    """
    fields = request.fields
    currency = fields["49"] if request.function == "0320" else fields["50"]
    return request.key.terminal_id, CURRENCIES[currency], fields["60"]


def _verdict(lines: list[Line], request: Request, faults: Faults) -> str:
    """
    Return 00 when what stands is the same on both sides, unless a mistake says otherwise.

    What was taken back whole in several parts may be counted gross or not at all.
    """
    standing = [line for line in lines if line.amount_minor]
    if Totals.of_request(request.fields).standing not in {_sums(lines), _sums(standing)}:
        return OUT_OF_BALANCE
    return OUT_OF_BALANCE if faults.strikes("close_out_of_balance") else IN_BALANCE


def _sums(lines: list[Line]) -> tuple[int, int, int, int]:
    debits = [line for line in lines if line.kind == "debit"]
    credits_ = [line for line in lines if line.kind == "credit"]
    return (
        sum(line.number for line in debits),
        sum(line.amount_minor for line in debits),
        sum(line.number for line in credits_),
        sum(line.amount_minor for line in credits_),
    )


def _totals(batch: Batch, closing: Closing, standing: list[Line]) -> Totals:
    """
    Return the host's own totals, less a line that a mistake has made it forget.
    """
    totals = Totals.of_batch(batch)
    for line in standing:
        if line.id == closing.forgotten:
            reversed_minor = line.gross_minor - line.amount_minor
            totals = totals.without(line.kind, line.gross_minor, line.reversals, reversed_minor)
    return totals


def _first_debit(standing: list[Line]) -> Line:
    return next((entry for entry in standing if entry.kind == "debit"), standing[0])


def _release(entries: list[Line], request: Request, books: Books, moment: Moment) -> bool:
    """
    Give back what the gateway does not know of: a reversal beside each entry.

    False, and nothing is done, when a charge or an account does not bear it: somebody has
    to look.
    """
    charges = {entry.charge_id: books.charge(entry.charge_id) for entry in entries}
    if not _can_release(entries, charges, books):
        return False
    for entry in sorted(entries, key=_credits_first):
        charge = charges[entry.charge_id]
        books.add_entry(
            "debit_reversal" if entry.kind == "debit" else "credit_reversal",
            books.batch(*batch_name(request), at=moment.at),
            charge.id,
            entry.amount_minor,
            key=request.key,
            rrn=entry.rrn,
            at=moment.at,
            reverses=entry.id,
            at_close=True,
        )
        _give_back(entry, charge, books)
    for charge in charges.values():
        books.save_charge(charge)
    return True


def _credits_first(entry: Line) -> tuple[bool, int]:
    """
    Order entries so that what was refunded stands again before its sale is undone.
    """
    return entry.kind == "debit", entry.id


def _can_release(entries: list[Line], charges: dict[int, Charge], books: Books) -> bool:
    captured: Counter[int] = Counter()
    refunded: Counter[int] = Counter()
    taken: Counter[tuple[bytes, str]] = Counter()
    for entry in entries:
        charge = charges[entry.charge_id]
        if entry.kind == "debit":
            captured[charge.id] += entry.amount_minor
            continue
        taken[charge.card_ref, charge.currency] += entry.amount_minor
        if charge.kind != "credit":
            refunded[charge.id] += entry.amount_minor
    return all(
        captured[charge.id] - refunded[charge.id] <= charge.refundable_minor
        for charge in charges.values()
    ) and all(books.room(*account) >= amount for account, amount in taken.items())


def _give_back(entry: Line, charge: Charge, books: Books) -> None:
    """
    Undo one line: a sale is reversed, a capture held again, a refund or credit taken back.
    """
    amount = entry.amount_minor
    if entry.kind == "credit":
        books.settle_account(charge, spent_minor=amount)
        if charge.kind == "credit":
            charge.reverse()
            return
        charge.refunded_minor -= amount
    else:
        held_minor = amount if charge.kind == "authorization" else 0
        books.settle_account(charge, held_minor=held_minor, spent_minor=-amount)
        charge.uncapture(amount)
    charge.settle_state()


def _answer(code: str, moment: Moment, ours: Totals | None = None) -> Answer:
    further = {"66": _SETTLEMENT_CODES.get(code, "3")} | (ours.fields() if ours else {})
    return Answer(code, settlement_date=moment.business_day, further=further)
