"""
Take one item of a batch that is out of balance (0320).

DE 90 names the message that made the item: a sale, a capture or a refund. It is taken
when the host has approved just that, and only once.
"""

import hashlib

from counterfoil_rail.books import Books
from counterfoil_rail.captures import NOT_FOUND
from counterfoil_rail.cards import Card
from counterfoil_rail.closes import batch_name
from counterfoil_rail.closings import Closing, Closings
from counterfoil_rail.faults import Faults
from counterfoil_rail.message import Answer, Request
from counterfoil_rail.payments import NOT_SUPPORTED
from counterfoil_rail.records import Entry

TAKEN = "00"
ALREADY_UPLOADED = "94"

_ASKED = ("3", "4", "37", "49", "60", "90")


def take_item(
    request: Request, card: Card, *, books: Books, closings: Closings, faults: Faults
) -> Answer:
    """
    Act on a 0320 once; a repeat gets the stored answer.
    """
    asked = _digest(request, card)
    earlier = closings.earlier_upload(request.key)
    if earlier is not None:
        earlier_asked, code = earlier
        code = code if asked == earlier_asked else ALREADY_UPLOADED
        return Answer(code, note="repeated")
    code, entry = _judge(request, card, books, closings, faults)
    closings.remember_upload(request.key, asked, entry.id if entry else None, code)
    return Answer(code)


def _judge(
    request: Request, card: Card, books: Books, closings: Closings, faults: Faults
) -> tuple[str, Entry | None]:
    """
    Return the response code and, if the item is taken, its entry.
    """
    closing = closings.find_by_name(*batch_name(request))
    if closing is None:
        return NOT_SUPPORTED, None
    entry = _find(request, card, closing, books)
    if entry is None:
        return NOT_FOUND, None
    if closings.is_taken(entry.id):
        return ALREADY_UPLOADED, None
    if closing.is_in_balance:
        return NOT_SUPPORTED, None
    if faults.strikes("upload_refuses"):
        return NOT_FOUND, None
    if closing.forgotten == entry.id:
        closing.forgotten = None
        closings.save(closing)
    return TAKEN, entry


def _find(request: Request, card: Card, closing: Closing, books: Books) -> Entry | None:
    """
    Return the entry that the item is, if the host has it exactly so.
    """
    original = request.original()
    exchange = books.exchange(original)
    if exchange is None or exchange.charge_id is None or exchange.card_ref != card.ref:
        return None
    if closing.merchant_id != request.fields["42"].rstrip():
        return None
    kind = "credit" if request.is_refund else "debit"
    said = (closing.batch_id, kind, original, request.fields["37"])
    for entry in books.entries(books.charge(exchange.charge_id)):
        amounts = (entry.amount_minor, entry.standing_minor)  # Before and after partial voids.
        is_meant = said == (entry.batch_id, entry.kind, entry.key, entry.rrn)
        if is_meant and request.amount_minor in amounts:
            return entry
    return None


def _digest(request: Request, card: Card) -> bytes:
    said = " ".join(request.fields[number] for number in _ASKED)
    return hashlib.sha256(card.ref + said.encode()).digest()
