"""
What a person types to find a payment, understood: an amount, a last four, an order, a number.

One word may mean several things: all of them are looked for, and the page says which. A whole
card number is never looked for, and never kept in an address: its last four are.
"""

import re

import msgspec

from counterfoil import ids
from counterfoil.amounts import WHOLE
from counterfoil.cards import brand, card_number_in, luhn_holds
from counterfoil.money import (
    AMOUNT_MINOR_MAX,
    CURRENCIES,
    Money,
    UnknownCurrency,
    amount_text,
    currency,
)
from counterfoil.receipts.confirmation import is_valid
from counterfoil.receipts.receipt import grouped
from counterfoil.store.search import By, Key

TEXT_CHARACTERS_MAX = 300
ORDER_CHARACTERS_MAX = 64
AMOUNT_DIGITS_MAX = 10  # More are a number of something, and no price.
LAST_FOUR = 4
NUMBER_DIGITS = 12  # Of a confirmation number, and of an RRN.
SYMBOLS = {
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN"),
    "€": ("EUR",),
    "£": ("GBP",),
    "¥": ("JPY", "CNY"),
}
NAMED = {
    "amount": By.AMOUNT,
    "card": By.LAST_FOUR,
    "order": By.ORDER,
    "confirmation": By.CONFIRMATION,
    "approval": By.APPROVAL,
    "rrn": By.RRN,
    "email": By.EMAIL,
}

_AMOUNT = re.compile(
    rf"""(?P<before>[$€£¥]|[A-Za-z]{{3}}(?=[ 0-9]))?[ ]?
    (?P<whole>{WHOLE})
    (?:[.,](?P<part>[0-9]{{1,3}}))?
    [ ]?(?P<after>[$€£¥]|[A-Za-z]{{3}})?""",
    re.VERBOSE,
)
_DIGITS = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_CARD = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_APPROVAL = re.compile(r"[A-Za-z0-9]{1,6}")  # By voice, shorter ones are given too.
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was typed, as it may stand in an address, and what it may mean: keys, or one payment.

    `said` has, for each meaning, its words and what to type to mean only that.
    """

    text: str
    keys: tuple[Key, ...] = ()
    payment: str | None = None
    said: tuple[tuple[str, str], ...] = ()
    was_card_number: bool = False


def understand(typed: str, in_use: list[str]) -> Understood:
    """
    Return what *typed* may mean to a merchant who has these currencies *in use*.
    """
    text = " ".join("".join(each if each.isprintable() else " " for each in typed).split())
    text = text[:TEXT_CHARACTERS_MAX]
    if card := _card_number(text):
        last_four = card[-LAST_FOUR:]
        key = Key(by=By.LAST_FOUR, value=last_four)
        return Understood(
            text=f"card:{last_four}",
            keys=(key,),
            said=(_said(key),),
            was_card_number=True,
        )
    if payment := _payment(text):
        return Understood(text=text, payment=payment, said=((f"the payment {payment}", text),))
    keys = tuple(dict.fromkeys(_keys(text, in_use)))
    said = tuple(dict.fromkeys(_said(each) for each in keys))
    return Understood(text=text, keys=keys, said=said)


def _card_number(text: str) -> str | None:
    """
    Return a whole card number that stands in *text*, however it is written.

    One with a wrong digit is one, too, unless somebody says that it is an order.
    """
    for run in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", run[0])
        is_order = text.lower().startswith(f"{By.ORDER}:")
        if brand(digits) != "other" and (luhn_holds(digits) or not is_order):
            return digits
    return card_number_in(text)


def _payment(text: str) -> str | None:
    try:
        return ids.written(ids.PAYMENT, ids.read(ids.PAYMENT, text.lower()))
    except ids.UnreadableId:
        return None


def _keys(text: str, in_use: list[str]) -> list[Key]:
    name, colon, value = text.partition(":")
    if colon and (by := NAMED.get(name.strip().lower())):
        return _of_kind(by, value.strip(), in_use)
    if not text:
        return []
    found = [key for by in By for key in _of_kind(by, text, in_use)]
    sure = [each for each in found if each.by is By.EMAIL or _is_sure_amount(each, text)]
    return sure or found


def _is_sure_amount(key: Key, text: str) -> bool:
    """
    Whether nothing but an amount is written so: with a currency, or with its decimals.
    """
    if key.by is not By.AMOUNT:
        return False
    found = _AMOUNT.fullmatch(text)
    assert found, "an amount was read from it"
    return bool(found["before"] or found["after"] or found["part"])


def _of_kind(by: By, text: str, in_use: list[str]) -> list[Key]:
    """
    Return what *text* means if it is taken for that; nothing if it cannot be.
    """
    digits = re.sub(r"[ -]", "", text) if _DIGITS.fullmatch(text) else ""
    match by:
        case By.AMOUNT:
            return _amounts(text, in_use)
        case By.LAST_FOUR if len(digits) == LAST_FOUR and digits == text:
            return [Key(by=by, value=digits)]
        case By.APPROVAL if _APPROVAL.fullmatch(text):
            return [Key(by=by, value=each) for each in dict.fromkeys((text.upper(), text))]
        case By.EMAIL if _EMAIL.fullmatch(text):
            return [Key(by=by, value=text.lower())]
        case By.ORDER if 1 <= len(text) <= ORDER_CHARACTERS_MAX:
            return [Key(by=by, value=text)]
        case By.CONFIRMATION if is_valid(digits):
            return [Key(by=by, value=digits)]
        case By.RRN if len(digits) == NUMBER_DIGITS:
            return [Key(by=by, value=digits)]
    return []


def _amounts(text: str, in_use: list[str]) -> list[Key]:
    found = _AMOUNT.fullmatch(text)
    if found is None or (found["before"] and found["after"]):
        return []
    whole = found["whole"].replace(",", "")
    if len(whole) > AMOUNT_DIGITS_MAX:
        return []
    codes = _currencies(found["before"] or found["after"], in_use)
    minors = [(code, _minor(whole, found["part"] or "", code)) for code in codes]
    return [
        Key(by=By.AMOUNT, value=minor, currency=code)
        for code, minor in minors
        if minor is not None and minor <= AMOUNT_MINOR_MAX
    ]


def _currencies(said: str | None, in_use: list[str]) -> list[str]:
    """
    Return the currencies that are meant: the one that is named, those of a sign, or all in use.
    """
    if said is None:
        return in_use
    if said in SYMBOLS:
        signed = SYMBOLS[said]
        return [each for each in in_use if each in signed] or [signed[0]]
    return [said.upper()] if said.upper() in CURRENCIES else []


def _minor(whole: str, part: str, code: str) -> int | None:
    """
    Return an amount in minor units; None when the currency has no such small parts.
    """
    try:
        exponent = currency(code).exponent
    except UnknownCurrency:
        return None
    if part[exponent:].strip("0"):
        return None
    return int(whole + part[:exponent].ljust(exponent, "0"))


def _said(key: Key) -> tuple[str, str]:
    value = str(key.value)
    match key.by:
        case By.AMOUNT:
            assert key.currency is not None
            assert isinstance(key.value, int)
            amount = str(Money(key.value, currency(key.currency)))
            return f"the amount {amount_text(key.value, key.currency)}", f"amount:{amount}"
        case By.LAST_FOUR:
            return f"cards that end in {value}", f"card:{value}"
        case By.APPROVAL:
            return f"the approval code {value}", f"approval:{value}"
        case By.EMAIL:
            return f"the e-mail address {value}", f"email:{value}"
        case By.ORDER:
            return f"the order {value}", f"order:{value}"
        case By.CONFIRMATION:
            return f"the confirmation number {grouped(value)}", f"confirmation:{value}"
        case By.RRN:
            return f"the RRN {value}", f"rrn:{value}"
