"""
A bank statement as BAI2 (Cash Management Balance Reporting, version 2): what US banks send.

One file, one group, one account. Physical records have at most 80 characters: a text that
does not fit goes on in an 88 record. Amounts are in minor units, without a decimal point.
"""

from counterfoil_rail.settlement.statement import Booking, Statement

SUFFIX = "bai2"
RECORD_CHARACTERS_MAX = 80

OPENING_LEDGER, CLOSING_LEDGER = "010", "015"
ACH_CREDIT = "142"
ACH_DEBIT = "455"
ACH_RETURN = "557"  # Codes from 400 are debits; 257 is the same thing as a credit.
BANK = "SANDBOXBANK"


def write(statement: Statement) -> bytes:
    """
    Return the whole file.
    """
    account = _account(statement)
    total_minor = statement.opening_minor + statement.closing_minor
    total_minor += sum(abs(booking.amount_minor) for booking in statement.bookings)
    made = statement.made_at
    made_on, made_at = made[2:10].replace("-", ""), made[11:16].replace(":", "")
    as_of = statement.day[2:].replace("-", "")
    file_id = f"{statement.number},{RECORD_CHARACTERS_MAX},,2/"
    records = [
        f"01,{BANK},{statement.merchant_id},{made_on},{made_at},{file_id}",
        f"02,{statement.merchant_id},{BANK},1,{as_of},,{statement.currency},2/",
        *account,
        f"49,{total_minor},{len(account) + 1}/",
        f"98,{total_minor},1,{len(account) + 3}/",
        f"99,{total_minor},1,{len(account) + 5}/",
    ]
    return "".join(f"{record}\n" for record in records).encode("ascii")


def _account(statement: Statement) -> list[str]:
    """
    Return the 03 record with both balances, and a 16 for each booking.
    """
    balances = (
        f"{OPENING_LEDGER},{statement.opening_minor},,,{CLOSING_LEDGER},{statement.closing_minor},,"
    )
    records = [f"03,{statement.account_id},{statement.currency},{balances}/"]
    for booking in statement.bookings:
        records += _detail(statement, booking)
    return records


def _detail(statement: Statement, booking: Booking) -> list[str]:
    references = f"{statement.bank_reference(booking)},{booking.reference}"
    detail = f"16,{_type_code(booking)},{abs(booking.amount_minor)},,{references},"
    text = statement.text(booking)
    if len(detail) + len(text) <= RECORD_CHARACTERS_MAX:
        return [f"{detail}{text}"]
    return [f"{detail}/", f"88,{text}"]


def _type_code(booking: Booking) -> str:
    if booking.is_return:
        return ACH_RETURN
    return ACH_CREDIT if booking.amount_minor > 0 else ACH_DEBIT
