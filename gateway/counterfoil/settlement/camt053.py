"""
Read a bank statement in camt.053 (ISO 20022, bank to customer statement).

Versions 02 to 13, with any prefix or none. Only booked entries count; what is pending or
for information is left out and counted. Amounts come as decimals and become minor units
without a float on the way. Names of elements are ISO 20022's own.
"""

import re
from datetime import date

from counterfoil.money import Currency, UnknownCurrency, currency
from counterfoil.settlement.hardened_xml import Element, parse
from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.statement import (
    STATEMENT_BYTES_MAX,
    Entry,
    Statement,
    balanced,
    distinct,
    references_of,
    text_of,
)

ENTRIES_MAX = 20_000
STATEMENTS_MAX = 1_000

_NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(0[2-9]|1[0-3])")
_AMOUNT = re.compile(r"([0-9]{1,18})(?:\.([0-9]{0,5}))?")  # xs:decimal: 18 digits, 5 of them behind
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_SEQUENCE = re.compile(r"[0-9]{1,18}")
_NOT_BOOKED = frozenset({"PDNG", "INFO", "FUTR"})
_IDENTIFIERS = ("EndToEndId", "TxId", "InstrId", "AcctSvcrRef")


def read(content: bytes) -> tuple[Statement, ...]:
    """
    Return the statements in *content*, in the file's order.

    Raises:
        FileHeld: It is not such a file, or a statement does not add up; nothing of it counts.
    """
    namespace, root = parse(content, STATEMENT_BYTES_MAX)
    if root.name != "Document" or (namespace and not _NAMESPACE.fullmatch(namespace)):
        raise FileHeld("the file is no camt.053 of versions 02 to 13", record=root.line)
    found = list(root.one("BkToCstmrStmt").all("Stmt"))
    if not 0 < len(found) <= STATEMENTS_MAX:
        raise FileHeld(
            "the number of statements", expected=f"1 to {STATEMENTS_MAX}", found=len(found)
        )
    if sum(child.name == "Ntry" for each in found for child in each.children) > ENTRIES_MAX:
        raise FileHeld("the file has too many entries", expected=f"up to {ENTRIES_MAX}")
    return distinct(_statement(each) for each in found)


def _statement(stmt: Element) -> Statement:
    """
    Return one Stmt.
    """
    opening = _balance(stmt, "OPBD") or _balance(stmt, "PRCD")
    closing = _balance(stmt, "CLBD")
    if opening is None or closing is None:
        missing = "opening (OPBD or PRCD)" if opening is None else "closing (CLBD)"
        raise FileHeld(f"a statement has no {missing} balance", record=stmt.line)
    unit = _currency(stmt.text_of("Acct", "Ccy") or closing.one("Amt").currency, stmt)
    booked = [ntry for ntry in stmt.all("Ntry") if _is_booked(ntry)]
    entries = tuple(_entry(ntry, unit) for ntry in booked)
    closed_on = _date(closing.one("Dt"))
    opened_on = _date(opening.one("Dt"))
    if _kind(opening) == "PRCD":  # The day before's closing balance, dated the day before.
        opened_on = min([closed_on, *(entry.booked_on for entry in entries)])
    statement = Statement(
        account=_account(stmt),
        currency=unit.code,
        statement_id=_required(stmt, "Id"),
        sequence=_sequence(stmt),
        opening_minor=_signed(opening, unit),
        closing_minor=_signed(closing, unit),
        booked_from=opened_on,
        booked_to=closed_on,
        entries=entries,
        not_booked=sum(1 for _ in stmt.all("Ntry")) - len(booked),
    )
    return balanced(statement, closing.line)


def _entry(ntry: Element, unit: Currency) -> Entry:
    """
    Return one booked Ntry, which may sum up several transactions (TxDtls).
    """
    details = [each for group in ntry.all("NtryDtls") for each in group.all("TxDtls")]
    remittance = [info for each in details for info in each.all("RmtInf")]
    texts = [line.text for info in remittance for line in info.all("Ustrd") if line.text]
    names = [refs.text_of(name) for refs in _refs(details) for name in _IDENTIFIERS]
    names += [creditor.text_of("Ref") for info in remittance for creditor in _creditor_refs(info)]
    bank_reference = ntry.text_of("AcctSvcrRef") or next(
        (found for refs in _refs(details) if (found := refs.text_of("AcctSvcrRef"))), ""
    )
    texts += [more] if (more := ntry.text_of("AddtlNtryInf")) else []
    text = text_of(texts, ntry.line)
    booked_on = _date(ntry.one("BookgDt"))
    value_date = ntry.maybe("ValDt")
    return Entry(
        amount_minor=_signed(ntry, unit),
        booked_on=booked_on,
        value_on=booked_on if value_date is None else _date(value_date),
        references=references_of([*names, bank_reference, ntry.text_of("NtryRef")], texts),
        bank_reference=bank_reference,
        text=text,
        is_return=_is_reversal(ntry) or any(each.maybe("RtrInf") for each in details),
        code=_code(ntry),
    )


def _refs(details: list[Element]) -> list[Element]:
    """
    Return the Refs of all *details*.
    """
    return [refs for each in details if (refs := each.maybe("Refs")) is not None]


def _creditor_refs(remittance: Element) -> list[Element]:
    """
    Return the structured creditor references (Strd/CdtrRefInf).
    """
    return [info for each in remittance.all("Strd") for info in each.all("CdtrRefInf")]


def _is_booked(ntry: Element) -> bool:
    """
    Say whether an entry is booked; up to version 07 the status is the text of Sts itself.
    """
    status = ntry.one("Sts")
    code = status.text_of("Cd") or status.text
    if code != "BOOK" and code not in _NOT_BOOKED:
        raise FileHeld("an entry is neither booked nor pending", found=code, record=status.line)
    return code == "BOOK"


def _is_reversal(ntry: Element) -> bool:
    """
    Say whether the entry takes an earlier one back; CdtDbtInd already has the sign of this one.
    """
    indicator = ntry.maybe("RvslInd")
    if indicator is not None and indicator.text not in {"true", "false", "1", "0"}:
        raise FileHeld("RvslInd is neither true nor false", record=indicator.line)
    return indicator is not None and indicator.text in {"true", "1"}


def _code(ntry: Element) -> str:
    """
    Return the bank transaction code: `PMNT-RCDT-ESCT`, or the bank's own.
    """
    codes = ntry.maybe("BkTxCd")
    if codes is None:
        return ""
    parts = ("Domn", "Cd"), ("Domn", "Fmly", "Cd"), ("Domn", "Fmly", "SubFmlyCd")
    standard = "-".join(filter(None, (codes.text_of(*path) for path in parts)))
    return standard or codes.text_of("Prtry", "Cd")


def _balance(stmt: Element, kind: str) -> Element | None:
    """
    Return the statement's only balance of this kind, or None.
    """
    found = [balance for balance in stmt.all("Bal") if _kind(balance) == kind]
    if len(found) > 1:
        raise FileHeld(f"a statement has two {kind} balances", record=found[1].line)
    return found[0] if found else None


def _kind(balance: Element) -> str:
    """
    Return which balance it is: OPBD, CLBD, ... or empty for one of the bank's own.
    """
    return balance.one("Tp").text_of("CdOrPrtry", "Cd")


def _signed(holder: Element, unit: Currency) -> int:
    """
    Return the amount of a Bal or Ntry in minor units: credits positive, debits negative.
    """
    indicator = holder.one("CdtDbtInd")
    if indicator.text not in {"CRDT", "DBIT"}:
        raise FileHeld("CdtDbtInd is neither CRDT nor DBIT", record=indicator.line)
    amount = _minor(holder.one("Amt"), unit)
    return amount if indicator.text == "CRDT" else -amount


def _minor(amount: Element, unit: Currency) -> int:
    """
    Return a decimal text as minor units of *unit*.
    """
    found = _AMOUNT.fullmatch(amount.text)
    if found is None:
        raise FileHeld("an amount is no decimal number", record=amount.line)
    if amount.currency != unit.code:
        raise FileHeld(
            "an amount is not in the account's currency",
            expected=unit.code,
            found=amount.currency,
            record=amount.line,
        )
    whole, fraction = found[1], found[2] or ""
    kept, beyond = fraction[: unit.exponent], fraction[unit.exponent :]
    if beyond.strip("0"):
        raise FileHeld(f"an amount has more decimals than {unit.code}", record=amount.line)
    return int(whole + kept.ljust(unit.exponent, "0"))


def _date(holder: Element) -> date:
    """
    Return the day of a date or of a date and time (Dt or DtTm).
    """
    text = holder.text_of("Dt") or holder.text_of("DtTm")
    found = _DATE.fullmatch(text)
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise FileHeld(
            f"{holder.name} holds no date that exists", found=text, record=holder.line
        ) from None


def _account(stmt: Element) -> str:
    """
    Return the account's IBAN, or its number at the bank.
    """
    identity = stmt.one("Acct", "Id")
    return identity.text_of("IBAN") or _required(identity, "Othr", "Id")


def _sequence(stmt: Element) -> int | None:
    """
    Return the statement's electronic sequence number, if it has one.
    """
    number = stmt.maybe("ElctrncSeqNb")
    if number is None:
        return None
    if not _SEQUENCE.fullmatch(number.text):
        raise FileHeld("ElctrncSeqNb is no number", record=number.line)
    return int(number.text)


def _required(holder: Element, *path: str) -> str:
    """
    Return the text at *path*, which must not be empty.
    """
    found = holder.one(*path)
    if not found.text:
        raise FileHeld(f"{found.name} is empty", record=found.line)
    return found.text


def _currency(code: str, stmt: Element) -> Currency:
    """
    Return the account's currency.
    """
    try:
        return currency(code)
    except UnknownCurrency:
        raise FileHeld(
            "the account's currency is not on the list of ISO 4217", record=stmt.line
        ) from None
