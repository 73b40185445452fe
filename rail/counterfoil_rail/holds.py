"""
Let holds lapse: what was authorized and not captured in time is the cardholder's again.

A hold lasts seven days unless the rail is run with another time. What has lapsed is
booked with the next message, at a start, and when the business day is advanced; a
capture that comes later is answered 25.
"""

from counterfoil_rail.books import Books
from counterfoil_rail.records import Charge

HOLD_SECONDS = 7 * 86_400.0
HOLD_SECONDS_MAX = 366 * 86_400.0
LAPSING_MAX = 1000  # At once: more wait for the next message.


def expire_holds(books: Books, *, at: str) -> int:
    """
    Book the holds that have lapsed by *at*, up to LAPSING_MAX; return how many.
    """
    lapsed = books.lapsed_holds(at, LAPSING_MAX)
    for charge in lapsed:
        lapse(charge, books)
        books.save_charge(charge)
    return len(lapsed)


def lapse(charge: Charge, books: Books) -> None:
    """
    End the hold of *charge*; what was captured of it stays.
    """
    books.settle_account(charge, held_minor=-charge.held_minor)
    charge.expired_minor += charge.held_minor
    charge.held_minor = 0
    charge.settle_state()
