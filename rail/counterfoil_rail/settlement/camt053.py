"""
A bank statement as ISO 20022 camt.053.001.08: one account, one day, one Stmt.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from counterfoil_rail.settlement.statement import Booking, Statement

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
SUFFIX = "camt053.xml"

# Currencies whose minor unit is not a hundredth (ISO 4217).
EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}

# ISO 20022 bank transaction codes: family and sub-family of domain PMNT.
ACH_CREDIT = ("RCDT", "ATXN")
ACH_DEBIT = ("IDDT", "PMDD")
ACH_RETURN = ("RCDT", "RRTN")
ACCOUNT_CLOSED = ("AC04", "R02 account closed")  # Why the bank returned a deposit.


def write(statement: Statement) -> bytes:
    """
    Return the whole file.
    """
    document = Element("Document", xmlns=NAMESPACE)
    message = SubElement(document, "BkToCstmrStmt")
    head = SubElement(message, "GrpHdr")
    _add(head, "MsgId", statement.name)
    _add(head, "CreDtTm", statement.made_at)
    body = SubElement(message, "Stmt")
    _add(body, "Id", statement.name)
    _add(body, "ElctrncSeqNb", str(statement.number))
    _add(body, "CreDtTm", statement.made_at)
    account = SubElement(body, "Acct")
    _add(account, "Id/Othr/Id", statement.account_id)
    _add(account, "Ccy", statement.currency)
    _add_balance(body, statement, "OPBD", statement.opening_minor)
    _add_balance(body, statement, "CLBD", statement.closing_minor)
    for booking in statement.bookings:
        _add_entry(body, statement, booking)
    indent(document)
    text: bytes = tostring(document, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"


def decimal(amount_minor: int, currency: str) -> str:
    """
    Write the size of an amount in units of its currency.
    """
    exponent = EXPONENTS.get(currency, 2)
    digits = f"{abs(amount_minor):0{exponent + 1}d}"
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


def _add(parent: Element, path: str, text: str) -> Element:
    """
    Add elements down *path*, the last one with *text*.
    """
    element = parent
    for tag in path.split("/"):
        element = SubElement(element, tag)
    element.text = text
    return element


def _add_amount(parent: Element, statement: Statement, amount_minor: int) -> None:
    amount = _add(parent, "Amt", decimal(amount_minor, statement.currency))
    amount.set("Ccy", statement.currency)
    _add(parent, "CdtDbtInd", "CRDT" if amount_minor >= 0 else "DBIT")


def _add_balance(body: Element, statement: Statement, code: str, amount_minor: int) -> None:
    balance = SubElement(body, "Bal")
    _add(balance, "Tp/CdOrPrtry/Cd", code)
    _add_amount(balance, statement, amount_minor)
    _add(balance, "Dt/Dt", statement.day)


def _add_entry(body: Element, statement: Statement, booking: Booking) -> None:
    entry = SubElement(body, "Ntry")
    _add_amount(entry, statement, booking.amount_minor)
    _add(entry, "Sts/Cd", "BOOK")
    _add(entry, "BookgDt/Dt", statement.day)
    _add(entry, "ValDt/Dt", statement.day)
    _add(entry, "AcctSvcrRef", statement.bank_reference(booking))
    family, sub_family = _transaction_code(booking)
    domain = SubElement(SubElement(entry, "BkTxCd"), "Domn")
    _add(domain, "Cd", "PMNT")
    codes = SubElement(domain, "Fmly")
    _add(codes, "Cd", family)
    _add(codes, "SubFmlyCd", sub_family)
    details = SubElement(SubElement(entry, "NtryDtls"), "TxDtls")
    _add(details, "Refs/EndToEndId", booking.reference)
    _add_amount(details, statement, booking.amount_minor)
    _add(details, "RmtInf/Ustrd", statement.text(booking))
    if booking.is_return:
        reason, text = ACCOUNT_CLOSED
        returned = SubElement(details, "RtrInf")
        _add(returned, "Rsn/Cd", reason)
        _add(returned, "AddtlInf", text)


def _transaction_code(booking: Booking) -> tuple[str, str]:
    if booking.is_return:
        return ACH_RETURN
    return ACH_CREDIT if booking.amount_minor > 0 else ACH_DEBIT
