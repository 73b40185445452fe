"""
What a clerk types on the terminal, and what is wrong with it.

A card leaves this module in one piece and nowhere else. A field that holds a card number or a track
where none belongs is emptied before anybody could keep it or show it again.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from counterfoil import amounts, money
from counterfoil.amounts import amount_or_fault
from counterfoil.cards import PAN_DIGITS_MIN, Card, expired, says_number
from counterfoil.terminal.sale import Entry, SaleKind, Wanted
from counterfoil.web import terminal_texts
from counterfoil.web.astray import TRACK, holds_card
from counterfoil.web.payment_form import (
    code_in,
    fault_of_code,
    fault_of_number,
    number_in,
    read_expiry,
)
from counterfoil.web.terminal_texts import TEXTS

SHOWN_CHARACTERS_MAX = 300

# In the order of the form: Enter goes from one to the next.
_WHOLE = ("amount", "number", "expiry", "cvv", "postal_code", "street")
_TOLD = ("email", "order", "note", "tax", "tip", "keep", "name")
FIELDS_OF = MappingProxyType(
    {
        SaleKind.SALE: (*_WHOLE, *_TOLD),
        SaleKind.AUTHORIZATION: (*_WHOLE, *_TOLD),
        SaleKind.FORCED: ("amount", "voice_code", "number", "expiry", *_TOLD),
        SaleKind.VERIFICATION: (*_WHOLE[1:], "email", "order", "note", "keep", "name"),
        SaleKind.CREDIT: ("amount", "number", "expiry", "email", "order", "note"),
    }
)
_CARD_FIELDS = ("number", "expiry", "cvv")


SWIPED_ASTRAY = (
    "A card was swiped into a field, and nothing of it was kept. Swipe again when the page has "
    "loaded, with scripts allowed, or type the number."
)
PARTS = "Tax and tip are parts of the amount: together they are more."
WHOSE_CARD = "Write the customer's name or e-mail, to find the card again."
NUMBER_ASTRAY = "This looks like a card number: it belongs into the card's field only."


class Checked(msgspec.Struct, frozen=True):
    """
    A form without faults: what is wanted, and the card.
    """

    wanted: Wanted
    card: Card


def shown(form: Mapping[str, str], kind: SaleKind) -> dict[str, str]:
    """
    Return what of *form* may be shown again: never a card, wherever it was typed.
    """
    names = (*FIELDS_OF[kind], "currency")
    texts = {name: form.get(name, "")[:SHOWN_CHARACTERS_MAX] for name in names}
    astray = {*_CARD_FIELDS, *_saying(texts, _number(texts))}
    return {
        name: "" if name in astray or _holds_card(name, text) else text
        for name, text in texts.items()
    }


def check(
    form: Mapping[str, str], kind: SaleKind, now: datetime, saved: Card | None = None
) -> Checked | dict[str, str]:
    """
    Return the form, or what is wrong with each of its fields; *saved* is a card that was chosen.
    """
    fields, faults = FIELDS_OF[kind], _astray(form, kind)
    texts = {name: terminal_texts.as_sent(name, form.get(name, "").strip()) for name in fields}
    sums = _amounts(form, texts, kind, faults)
    said = _said(texts, faults)
    card = _card(texts, now, faults) if saved is None else _with_code(saved, texts, now, faults)
    if card is not None and saved is None:
        faults |= dict.fromkeys(_saying(texts, card.number), NUMBER_ASTRAY)
    keeps = "keep" in fields and form.get("keep") == "on" and saved is None
    if keeps and not (texts["email"] or texts["name"]):
        faults.setdefault("name", WHOSE_CARD)
    if faults or card is None:
        return {name: faults[name] for name in ("card", *fields, "currency") if name in faults}
    entry = Entry.SAVED if saved else _entry(form)
    return Checked(Wanted(kind=kind, entry=entry, keep_card=keeps, **sums, **said), card)


def rules() -> dict[str, Any]:
    """
    Return what the page's script checks before it sends, and in which words.
    """
    said = {"parts": PARTS, "whose": WHOSE_CARD}
    return {"amounts": amounts.for_scripts(), **terminal_texts.for_scripts(), "said": said}


def _astray(form: Mapping[str, str], kind: SaleKind) -> dict[str, str]:
    faults = {}
    for name in (*FIELDS_OF[kind], "currency"):
        text = form.get(name, "")
        if TRACK.search(text):
            faults["number"] = SWIPED_ASTRAY
        elif name not in _CARD_FIELDS and _holds_card(name, text):
            faults[name] = NUMBER_ASTRAY
    return faults


def _holds_card(name: str, text: str) -> bool:
    return holds_card(text) or holds_card(terminal_texts.as_sent(name, text))


def _amounts(
    form: Mapping[str, str], texts: dict[str, str], kind: SaleKind, faults: dict[str, str]
) -> dict[str, Any]:
    code = form.get("currency", "")
    if code not in money.CURRENCIES:
        faults["currency"] = "Choose a currency of the list."
        return {}
    unit, read = money.currency(code), {"amount": 0, "tax": 0, "tip": 0}
    for name in read:
        if name not in texts or (name != "amount" and not texts[name]):
            continue
        found = amount_or_fault(texts[name], unit, may_be_zero=name != "amount")
        if isinstance(found, str):
            faults.setdefault(name, found)
        else:
            read[name] = found
    if "amount" not in faults and read["tax"] + read["tip"] > read["amount"]:
        faults.setdefault("tip" if read["tip"] else "tax", PARTS)
    return {
        "amount_minor": 0 if kind is SaleKind.VERIFICATION else read["amount"],
        "currency": code,
        "tax_minor": read["tax"],
        "tip_minor": read["tip"],
    }


def _said(texts: dict[str, str], faults: dict[str, str]) -> dict[str, Any]:
    """
    Return the texts that go along.
    """
    for name in TEXTS.keys() & texts.keys():
        if fault := terminal_texts.fault_of(name, texts[name]):
            faults.setdefault(name, fault)
    return {rule.column: texts.get(name) or None for name, rule in TEXTS.items()}


def _card(texts: dict[str, str], now: datetime, faults: dict[str, str]) -> Card | None:
    number = _number(texts)
    if fault := fault_of_number(number):
        faults.setdefault("number", fault)
    expiry = read_expiry(texts["expiry"], now)
    if isinstance(expiry, str):
        faults.setdefault("expiry", expiry)
    code = code_in(texts.get("cvv", "")) or None
    if code and (fault := fault_of_code(code, number)):
        faults.setdefault("cvv", fault)
    if isinstance(expiry, str) or any(name in faults for name in _CARD_FIELDS):
        return None
    return Card(number, *expiry, code)


def _with_code(saved: Card, texts: dict[str, str], now: datetime, faults: dict[str, str]) -> Card:
    if expired(saved.expiry_month, saved.expiry_year, now):
        faults["card"] = "The saved card has expired: ask for another one."
    code = code_in(texts.get("cvv", "")) or None
    if code and (fault := fault_of_code(code, saved.number)):
        faults.setdefault("cvv", fault)
    return Card(saved.number, saved.expiry_month, saved.expiry_year, code)


def _saying(texts: dict[str, str], number: str) -> list[str]:
    """
    Return which fields say the *number* of the form's own card, but for the card's.
    """
    if len(number) < PAN_DIGITS_MIN:
        return []
    return [
        name
        for name, text in texts.items()
        if name not in _CARD_FIELDS and says_number(text, number)
    ]


def _number(texts: Mapping[str, str]) -> str:
    return number_in(texts.get("number", ""))


def _entry(form: Mapping[str, str]) -> Entry:
    return Entry.SWIPED if form.get("entry") == Entry.SWIPED else Entry.KEYED
