"""
Read a bank statement in BAI2, the format of most banks in the United States.

A file (01 to 99) holds groups (02 to 98), a group accounts (03 to 49), an account its
details (16); 88 continues any of them. Every control total and every count is checked.
The words are those of BAI's "Cash Management Balance Reporting Specifications, version 2".
"""

import re
from collections.abc import Sequence
from datetime import date

from counterfoil.money import UnknownCurrency, currency
from counterfoil.settlement.bai2_records import DETAIL, Fields, Record, records_of, split
from counterfoil.settlement.banking_days import next_banking_day
from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.statement import (
    Entry,
    Statement,
    balanced,
    distinct,
    references_of,
    text_of,
)

VERSION = "2"
DEFAULT_CURRENCY = "USD"
OPENING_LEDGER, CLOSING_LEDGER = "010", "015"
UPDATE = "1"  # Group status; 2 deletes, 3 corrects, 4 is a test.
FINAL = frozenset({"", "2", "4"})  # As-of-date modifier; an interim report comes again as final.
DISTRIBUTIONS_MAX = 99
INFORMATION = "890"  # A detail that moves no money.

# What took money before and gives it back, or the other way round, by type code.
RETURNS = {
    "252": "debit reversal",
    "255": "check posted and returned",
    "257": "individual ACH return item",
    "258": "ACH reversal credit",
    "261": "individual rejected credit",
    "266": "return item",
    "552": "credit reversal",
    "555": "deposited item returned",
    "557": "individual ACH return item",
    "558": "ACH reversal debit",
    "561": "individual rejected debit",
    "566": "return item",
}

# Type codes of details, from and to, and what they do to the account.
_SIGNS = ((100, 399, 1), (400, 699, -1), (920, 959, 1), (960, 999, -1))

_ANY = re.compile(r".*")
_NAME = re.compile(r".+")
_TYPE = re.compile(r"[0-9]{3}")
_TYPE_OR_NONE = re.compile(r"([0-9]{3})?")
_AMOUNT = re.compile(r"(\+?[0-9]{1,18})?")
_BALANCE = re.compile(r"([+-]?[0-9]{1,18})?")
_COUNT = re.compile(r"[0-9]{1,9}")
_COUNT_OR_NONE = re.compile(r"[0-9]{0,9}")
_DATE = re.compile(r"[0-9]{6}")
_TIME = re.compile(r"([0-9]{4})?")
_FUNDS_TYPE = re.compile(r"[012SVDZ]?")


def read(content: bytes) -> tuple[Statement, ...]:
    """
    Return the statements in *content*: one for each account of each group, in order.

    Raises:
        FileHeld: It is not such a file, a control total does not agree, or a statement does
            not add up; nothing of it counts.
    """
    records = records_of(content)
    for record, code in ((records[0], "01"), (records[-1], "99")):
        if record.code != code:
            raise FileHeld(
                "the file is not whole", expected=code, found=record.code, record=record.number
            )
    _check_file_header(records[0])
    total, statements = 0, []
    groups = split(records[1:-1], "02", "98")
    for group in groups:
        group_total, found = _group(group)
        total += group_total
        statements += found
    _check_trailer(records, total, len(groups))
    return distinct(statements)


def _check_file_header(record: Record) -> None:
    """
    Hold the file unless its 01 is of version 2.
    """
    fields = Fields(record)
    fields.take("the sender", _ANY)
    fields.take("the receiver", _ANY)
    _date(fields.take("the file's date", _DATE), record)
    fields.take("the file's time", _TIME)
    fields.take("the file id", _NAME)
    fields.take("the record length", _COUNT_OR_NONE)
    fields.take("the block size", _COUNT_OR_NONE)
    version = fields.take("the version", _ANY)
    fields.end()
    if version != VERSION:
        raise FileHeld(
            "another version of BAI", expected=VERSION, found=version, record=record.number
        )


def _group(records: Sequence[Record]) -> tuple[int, list[Statement]]:
    """
    Return a group's control total and its statements.
    """
    header = records[0]
    fields = Fields(header)
    fields.take("the receiver", _ANY)
    originator = fields.take("the originator", _ANY)
    status = fields.take("the group status", _ANY)
    as_of = _date(fields.take("the as-of date", _DATE), header)
    fields.take("the as-of time", _TIME)
    code = fields.take("the currency", _ANY) or DEFAULT_CURRENCY
    modifier = fields.take("the as-of date modifier", _ANY)
    fields.end()
    if status != UPDATE:
        raise FileHeld("a group is no update", expected=UPDATE, found=status, record=header.number)
    if modifier not in FINAL:
        raise FileHeld("a group is no final report: wait for that", record=header.number)
    total, statements = 0, []
    accounts = split(records[1:-1], "03", "49")
    for account in accounts:
        account_total, statement = _account(account, originator, as_of, code)
        total += account_total
        statements.append(statement)
    _check_trailer(records, total, len(accounts))
    return total, statements


def _account(
    records: Sequence[Record], originator: str, as_of: date, group_currency: str
) -> tuple[int, Statement]:
    """
    Return an account's control total and its statement.
    """
    header, details = records[0], records[1:-1]
    fields = Fields(header)
    account = fields.take("the account number", _NAME)
    code = fields.take("the currency", _ANY) or group_currency
    total, balances = _summaries(fields, header, as_of)
    fields.end()
    entries: list[Entry] = []
    for record in details:
        amount, entry = _detail(record, as_of)
        total += amount
        entries += [] if entry is None else [entry]
    _check_trailer(records, total, None)
    statement = Statement(
        account=account,
        currency=_currency(code, header),
        statement_id=f"{originator}-{as_of:%Y%m%d}",
        sequence=None,
        opening_minor=_balance(balances, "opening", OPENING_LEDGER, header),
        closing_minor=_balance(balances, "closing", CLOSING_LEDGER, header),
        booked_from=as_of,
        booked_to=as_of,
        entries=tuple(entries),
        not_booked=len(details) - len(entries),
    )
    return total, balanced(statement, header.number)


def _summaries(fields: Fields, header: Record, as_of: date) -> tuple[int, dict[str, int]]:
    """
    Return the sum of an account's balances and summaries, and the two ledger balances by type.
    """
    total = 0
    balances: dict[str, int] = {}
    while fields.left():
        kind = fields.take("a type code", _TYPE_OR_NONE)
        amount = fields.take("a balance", _BALANCE)
        fields.take("an item count", _COUNT_OR_NONE)
        _value_date(fields, header, as_of)
        total += int(amount or 0)
        if kind in balances:
            raise FileHeld(f"an account has two balances {kind}", record=header.number)
        if kind in {OPENING_LEDGER, CLOSING_LEDGER} and amount:
            balances[kind] = int(amount)
    return total, balances


def _detail(record: Record, as_of: date) -> tuple[int, Entry | None]:
    """
    Return the amount of a 16 as the control total counts it, and its entry if it moves money.
    """
    if record.code != DETAIL:
        raise FileHeld(
            "a record is out of place", expected=DETAIL, found=record.code, record=record.number
        )
    fields = Fields(record)
    code = fields.take("a type code", _TYPE)
    amount = int(fields.take("an amount", _AMOUNT) or 0)
    value_on = _value_date(fields, record, as_of)
    bank_reference = fields.take("a bank reference", _ANY)
    customer_reference = fields.take("a customer reference", _ANY)
    lines = fields.text()
    text = text_of(lines, record.number)
    if code == INFORMATION:
        return amount, None
    return amount, Entry(
        amount_minor=_sign(code, record) * amount,
        booked_on=as_of,
        value_on=value_on,
        references=references_of([customer_reference, bank_reference], lines),
        bank_reference=bank_reference,
        text=text,
        is_return=code in RETURNS,
        code=code,
    )


def _value_date(fields: Fields, record: Record, as_of: date) -> date:
    """
    Take a funds type with what belongs to it, and return when the money counts.
    """
    kind = fields.take("a funds type", _FUNDS_TYPE)
    if kind == "V":
        value_on = _date(fields.take("a value date", _DATE), record)
        fields.take("a value time", _TIME)
        return value_on
    if kind == "S":
        for name in ("an immediate amount", "a one-day amount", "a later amount"):
            fields.take(name, _BALANCE)
    if kind == "D":
        distributions = int(fields.take("a number of distributions", _COUNT))
        if distributions > DISTRIBUTIONS_MAX:
            raise FileHeld("an amount has too many distributions", record=record.number)
        for _ in range(distributions):
            fields.take("a number of days", _COUNT)
            fields.take("an available amount", _BALANCE)
    return next_banking_day(as_of, int(kind)) if kind in {"1", "2"} else as_of


def _check_trailer(records: Sequence[Record], total: int, members: int | None) -> None:
    """
    Hold the file unless the last of *records* (49, 98 or 99) agrees with them.

    *members* counts groups or accounts; an account's trailer has no such count.
    """
    trailer = records[-1]
    fields = Fields(trailer)
    of = f" of the record {trailer.code}"
    _agree("the control total" + of, total, fields.take("a control total", _BALANCE), trailer)
    if members is not None:
        _agree("the number of members" + of, members, fields.take("a number", _COUNT), trailer)
    lines = sum(len(record.pieces) for record in records)
    _agree("the number of records" + of, lines, fields.take("a number", _COUNT), trailer)
    fields.end()


def _agree(what: str, expected: int, found: str, record: Record) -> None:
    """
    Hold the file unless the number *found* is what was *expected*.
    """
    if not found or int(found) != expected:
        raise FileHeld(
            f"{what} does not agree", expected=expected, found=found, record=record.number
        )


def _sign(code: str, record: Record) -> int:
    """
    Return 1 for a type code that credits the account, -1 for one that debits it.
    """
    for first, last, sign in _SIGNS:
        if first <= int(code) <= last:
            return sign
    raise FileHeld("a type code is neither credit nor debit", found=code, record=record.number)


def _balance(balances: dict[str, int], name: str, kind: str, header: Record) -> int:
    """
    Return the opening or closing ledger balance.
    """
    if kind not in balances:
        raise FileHeld(f"an account has no {name} ledger balance ({kind})", record=header.number)
    return balances[kind]


def _currency(code: str, header: Record) -> str:
    """
    Return the letters of a currency that is known.
    """
    try:
        return currency(code).code
    except UnknownCurrency:
        raise FileHeld(
            "the currency is not on the list of ISO 4217", record=header.number
        ) from None


def _date(text: str, record: Record) -> date:
    """
    Return a YYMMDD as a date of this century.
    """
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        raise FileHeld("a date does not exist", found=text, record=record.number) from None
