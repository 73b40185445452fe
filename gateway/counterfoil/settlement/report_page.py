"""
A report as one HTML page that needs nothing from anywhere else: for the screen, and to print.
"""

from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from counterfoil.money import currency, grouped_text
from counterfoil.receipts.receipt import BRANDS
from counterfoil.settlement.explained import DepositAnswer
from counterfoil.settlement.report_facts import BatchReport, BrandTotal, Report, added

ITEMS_SHOWN_MAX = 500  # Of one batch in the report of a day; `report batch` prints them all.

TITLES = {"day": "End of day", "batch": "Batch", "deposit": "Deposit"}
OUTCOMES = {
    "matched": "matched",
    "missing_here": "not in our books",
    "amount_differs": "another amount",
    "date_shifted": "matched, on another day",
    "duplicate": "settled before",
    "split": "one part",
    "returned": "went back",
    "without_report": "no report yet",
    "unrelated": "not ours",
}
SIGNS = {"good": "✓", "wait": "…", "bad": "!"}


def as_page(report: Report) -> str:
    """
    Return *report* as HTML.
    """
    return (
        _templates()
        .get_template("report.html")
        .render(report=report, title=TITLES[report.kind], shown_max=ITEMS_SHOWN_MAX)
    )


def batch_state(batch: BatchReport) -> tuple[str, str]:
    """
    Return how well a batch stands (good, wait, bad), and in words.
    """
    return batch_words(batch.state, batch.note)


def batch_words(state: str, note: str | None) -> tuple[str, str]:
    """
    Return how well a batch in *state* stands (good, wait, bad), and in words; *note*: its latest.
    """
    match state:
        case "open":
            return "wait", "Open: more may still come, and nothing was compared yet."
        case "closing":
            return "wait", "Closing: waits for payments that have no end yet."
        case "totalling" | "uploading":
            return "wait", "Being compared: the acquirer has not agreed yet."
        case "needs_a_person":
            return "bad", f"Does not agree: {note or 'a person is needed'}."
        case _ if note:
            return "good", f"Closed by hand: {note}"
        case _:
            return "good", "Closed: both sides' totals agree."


def deposit_state(deposit: DepositAnswer) -> tuple[str, str]:
    """
    Return how well a deposit stands (good, wait, bad), and in words.
    """
    code, unit = deposit.currency, currency(deposit.currency)
    net, paid = grouped_text(deposit.net_minor, unit), grouped_text(deposit.paid_minor, unit)
    match deposit.state:
        case "announced":
            return "wait", f"On its way: due on {deposit.value_date}, not in the bank yet."
        case "partly_paid":
            return "wait", f"Partly in the bank: {paid} of {net} {code}."
        case "overpaid":
            return "bad", f"The bank has {paid} {code}, announced were {net}."
        case "returned":
            return "bad", "Went back: the bank took the payment back."
        case "without_report":
            return "bad", f"{paid} {code} came without a report: nobody knows yet what for."
        case _ if deposit.net_minor < 0:
            return "good", "Taken from the bank account, to the cent."
        case _ if deposit.net_minor == 0:
            return "good", "Nothing to pay: it adds up to zero."
        case _:
            return "good", "In the bank, to the cent."


def currencies(brands: list[BrandTotal]) -> list[tuple[BrandTotal, list[BrandTotal]]]:
    """
    Return for each currency its sum, and the brands that make it up.
    """
    sums = added(
        BrandTotal(
            currency=each.currency,
            brand="",
            captures=each.captures,
            captures_minor=each.captures_minor,
            refunds=each.refunds,
            refunds_minor=each.refunds_minor,
            fees_minor=each.fees_minor,
        )
        for each in brands
    )
    return [(each, [one for one in brands if one.currency == each.currency]) for each in sums]


def local(moment: datetime, timezone: str) -> str:
    """
    Return a moment by the merchant's clock.
    """
    here = moment.astimezone(ZoneInfo(timezone))
    return f"{here:%Y-%m-%d %H:%M} {here.tzname()}"


def short(moment: datetime, timezone: str) -> str:
    """
    Return a moment by the merchant's clock, as it stands in a line: `23 Nov 14:09`.
    """
    here = moment.astimezone(ZoneInfo(timezone))
    return f"{here.day} {here:%b %H:%M}"


def brand_name(brand: str) -> str:
    """
    Return a brand as people write it.
    """
    return BRANDS.get(brand, brand)


def in_words(day: date | None) -> str:
    """
    Return a date as people read it: `Mon 23 Nov 2026`.
    """
    return f"{day:%a} {day.day} {day:%b %Y}" if day else "not known"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("counterfoil.settlement"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": lambda minor, code: grouped_text(minor, currency(code)),
        "local": local,
        "short": short,
        "brand": brand_name,
        "day": in_words,
        "batch_state": batch_state,
        "deposit_state": deposit_state,
        "currencies": currencies,
    }
    environment.globals |= {"OUTCOMES": OUTCOMES, "SIGNS": SIGNS}
    return environment
