"""
A form of the terminal that came when its sign-in had ended: nothing of it was taken.

The address to which the next sign-in leads says so, and keeps of the form what is neither typed nor
a card: which kind it was, and which saved card was chosen.
"""

import re
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

from counterfoil import ids
from counterfoil.terminal.sale import SaleKind
from counterfoil.web.filters import address
from counterfoil.web.terminal_form import FIELDS_OF
from counterfoil.web.visit import Visit

# What was lost, as addresses name it, and what is said of it.
WORDS = MappingProxyType(
    {
        "sale": (
            "Your sign-in had ended before this was sent. Nothing was charged. The card was not "
            "kept: key it again."
        ),
        "saved": "Your sign-in had ended before this was sent. Nothing was charged. Send it again.",
        "answer": (
            "Your sign-in had ended before your answer came. Nothing was charged by it: open the "
            "sale again, in your last sales."
        ),
        "refund": "Your sign-in had ended before this was sent. Nothing was given back.",
    }
)
_SAVED = re.compile(rf"{ids.SAVED_CARD}_[0-9a-f]{{32}}")


def sale_lost(visit: Visit) -> str:
    """
    Return where the clerk keys the sale of a form again.
    """
    kind, card = visit.form.get("kind", ""), visit.form.get("card", "")
    is_saved = bool(_SAVED.fullmatch(card))
    return address(
        "/terminal",
        {
            "kind": kind if kind in FIELDS_OF and kind != SaleKind.SALE else "",
            "card": card if is_saved else "",
            "lost": "saved" if is_saved else "sale",
        },
    )


def answer_lost(_: Visit) -> str:
    """
    Return where the clerk finds the sale that a page has asked about.
    """
    return "/terminal?lost=answer"


def refund_lost(_: Visit) -> str:
    """
    Return where the payment is looked for again.
    """
    return "/terminal/refund?lost=refund"


def words_of(visit: Visit) -> str:
    """
    Return what the page that *visit* opens has to say of a form that was lost; mostly nothing.
    """
    return WORDS.get(visit.asked("lost"), "")


def words_on_the_way(onward: str) -> str:
    """
    Return what the sign-in that leads *onward* has to say of a form that was lost.
    """
    parts = urlsplit(onward)
    if not parts.path.startswith("/terminal"):
        return ""
    said = parse_qs(parts.query).get("lost", [""])[0]
    if said not in WORDS:
        return ""
    nothing = "given back" if said == "refund" else "charged"
    return f"Your sign-in had ended, and nothing was {nothing}. Sign in again."
