"""
Pages out of templates: one environment, its filters, what every page knows.
"""

import hashlib
from datetime import date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    pass_context,
    select_autoescape,
)
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from counterfoil import ids
from counterfoil.checkouts.inventory import STATIC, inventory
from counterfoil.money import amount_text
from counterfoil.people.roles import Right
from counterfoil.receipts.receipt import BRANDS, grouped
from counterfoil.web import words
from counterfoil.web.astray import cardless
from counterfoil.web.attention_words import ENDS
from counterfoil.web.visit import Visit

BULLET = "\N{BULLET}"

# What the menu shows, to whom: path, words, right.
MENU: tuple[tuple[str, str, Right], ...] = (
    ("/terminal", "Terminal", Right.TAKE_PAYMENTS),
    ("/today", "Today", Right.READ_PAYMENTS),
    ("/payments", "Payments", Right.READ_PAYMENTS),
    ("/attention", "Attention", Right.READ_PAYMENTS),
    ("/links", "Payment links", Right.LINKS),
    ("/batches", "Batches", Right.READ_DEPOSITS),
    ("/deposits", "Deposits", Right.READ_DEPOSITS),
    ("/reports", "Reports", Right.READ_DEPOSITS),
    ("/settings", "Settings", Right.SETTINGS),
    ("/developers", "Developers", Right.KEYS),
    ("/people", "People", Right.PEOPLE),
    ("/audit", "Audit", Right.LOGS),
)


def page(visit: Visit, template: str, *, status: int = 200, **facts: Any) -> Response:
    """
    Return the page that *template* makes of *facts*.
    """
    return HTMLResponse(rendered(visit, template, **facts), status)


def rendered(visit: Visit, template: str, **facts: Any) -> str:
    """
    Return what *template* makes of *facts* and of what every page knows.
    """
    guest = visit.guest
    zone = ZoneInfo(guest.merchant.timezone) if guest else ZoneInfo("UTC")
    menu = [each for each in MENU if guest and guest.may(each[2])]
    known = {
        "guest": guest,
        "csrf": visit.csrf,
        "zone": zone,
        "menu": menu,
        "counts": visit.counts,
        "path": visit.request.url.path,
        "is_test": visit.desk.is_test,
        "is_kept": bool(visit.asked("kept")),
        "Right": Right,
    }
    return environment().get_template(template).render(**{**known, **facts})


@cache
def environment() -> Environment:
    """
    Return the environment of all templates of the pages.
    """
    made = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("counterfoil.web"),
                # The receipt's own slip, and styles that stand in a PDF.
                PrefixLoader(
                    {
                        "receipts": PackageLoader("counterfoil.receipts"),
                        "static": PackageLoader("counterfoil.web", "static"),
                    }
                ),
            ]
        ),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": amount_text,
        "time": time_tag,
        "day": day_text,
        "brand": lambda name: BRANDS.get(name, "Card"),
        "grouped": grouped,
        "written": written,
        "cardless": cardless,
    }
    made.globals |= {
        "static": static_url,
        "script": script_tag,
        "style": style_tag,
        "left": words.left_text,
        "ends": ENDS,
        "tone": words.tone,
        "state_words": words.state_words,
        "kind_words": words.kind_words,
    }
    return made


@pass_context
def time_tag(context: Context, at: datetime, form: str = "full") -> Markup:
    """
    Return a time in the merchant's zone, with UTC on hover. *form*: full, short, or clock.
    """
    local = at.astimezone(context["zone"])
    text = {
        "full": f"{local:%d %b %Y, %H:%M:%S} {local.tzname()}",
        "short": f"{local:%d %b, %H:%M}",
        "clock": f"{local:%H:%M}",
    }[form]
    utc = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), utc, text)


def day_text(day: date) -> str:
    """
    Return a day as people read it: `28 Nov 2026`.
    """
    return f"{day:%d %b %Y}"


def written(value: Any, prefix: str) -> str:
    """
    Return an identifier as it stands in addresses: `pay_0198...`.
    """
    return ids.written(prefix, value)


@cache
def static_url(name: str) -> str:
    """
    Return the address of a file of ours, which changes when the file does.
    """
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def script_tag(name: str, *, module: bool = False) -> Markup:
    """
    Return what loads a script of ours, if it is the one that the inventory lists.

    Browsers that keep an integrity policy load none without `crossorigin`.
    """
    when = Markup('type="module"') if module else Markup("defer")
    tag = Markup('<script src="{}" integrity="{}" crossorigin {}></script>')
    return tag.format(static_url(name), inventory()[name].integrity, when)


def style_tag(name: str) -> Markup:
    """
    Return what loads a stylesheet of ours, if it is the one that the inventory lists.
    """
    tag = Markup('<link rel="stylesheet" href="{}" integrity="{}" crossorigin>')
    return tag.format(static_url(name), inventory()[name].integrity)
