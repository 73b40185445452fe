"""
What a report and a statement put into the journal: each row from one account to another.

    report      batched -> in transit: what its lines settle; unexplained -> in transit: the rest;
                in transit -> fees, adjustments; so that in transit is what the bank has to pay
    statement   in transit -> deposited; back again when the money goes back
"""

from counterfoil.settlement.matching import SETTLING, Match, kind_of
from counterfoil.settlement.report_file import Deposit, Report
from counterfoil.store.booking import Transfer


def transfers_of(report: Report, matches: list[Match], paid: dict[str, int]) -> list[Transfer]:
    """
    Return the rows of the journal: what is in transit afterwards is each deposit's net.
    """
    lines: dict[str, list[Match]] = {}
    for each in matches:
        lines.setdefault(each.line.deposit_reference, []).append(each)
    found: list[Transfer] = []
    for deposit in report.deposits:
        found += _line_transfers(deposit, lines.get(deposit.reference, []))
        already = paid.get(deposit.reference, 0)
        found += _signed("unexplained", "in_transit", already, "report_came", deposit)
    deposits = {deposit.reference: deposit for deposit in report.deposits}
    for adjustment in report.adjustments:
        deposit = deposits[adjustment.deposit_reference]
        minor, cause = adjustment.amount_minor, adjustment.kind
        found += _signed("in_transit", "adjustments", minor, cause, deposit)
    return found


def _line_transfers(deposit: Deposit, lines: list[Match]) -> list[Transfer]:
    """
    Return the rows for a deposit's lines: what they settle, what nobody can place, and the fees.
    """
    found: list[Transfer] = []
    for kind in ("capture", "refund"):
        own = [each for each in lines if kind_of(each.line) == kind]
        settled = sum(each.line.amount_minor for each in own if each.outcome in SETTLING)
        others = sum(each.line.amount_minor for each in own if each.outcome not in SETTLING)
        found += _signed("in_transit", "batched", settled, "settled", deposit)
        found += _signed("in_transit", "unexplained", others, "not_matched", deposit)
    fees = fees_of(lines).get(deposit.reference, [0, 0, 0])
    for account, minor in zip(("interchange", "scheme", "markup"), fees, strict=True):
        found += _signed(f"fees_{account}", "in_transit", minor, "fees", deposit)
    return found


def _signed(debit: str, credit: str, minor: int, cause: str, deposit: Deposit) -> list[Transfer]:
    return signed(
        debit, credit, minor, currency=deposit.currency, cause=cause, reference=deposit.reference
    )


def fees_of(matches: list[Match]) -> dict[str, list[int]]:
    """
    Return interchange, scheme fee and markup of each deposit: booked as they came.
    """
    sums: dict[str, list[int]] = {}
    for each in matches:
        line = each.line
        found = sums.setdefault(line.deposit_reference, [0, 0, 0])
        for place, minor in enumerate(
            (line.interchange_minor, line.scheme_fee_minor, line.markup_minor)
        ):
            found[place] += minor
    return sums


def signed(
    debit: str, credit: str, amount_minor: int, *, currency: str, cause: str, reference: str
) -> list[Transfer]:
    """
    Return the transfer of an amount, the other way round when it is negative, none when it is 0.
    """
    if amount_minor == 0:
        return []
    if amount_minor < 0:
        debit, credit = credit, debit
    return [
        Transfer(
            debit=debit,
            credit=credit,
            amount_minor=abs(amount_minor),
            currency=currency,
            cause=cause,
            reference=reference,
        )
    ]
