"""
Payments: one search box that understands what a person knows, filters, pages, and a file of them.
"""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import RedirectResponse, Response, StreamingResponse

from counterfoil import ids
from counterfoil.payments.payment import Payment
from counterfoil.people.roles import Right
from counterfoil.receipts.receipt import BRANDS
from counterfoil.store.search import PAGE_MAX, SCANNED_MAX, Between, Found, SearchStore
from counterfoil.store.terminal import TerminalStore
from counterfoil.terminal.sale import Parts
from counterfoil.web.filters import KIND_NAMES, NAMES, STANDING, Asked, address, asked
from counterfoil.web.payments_csv import HEADINGS, csv_line, csv_row
from counterfoil.web.rendering import page
from counterfoil.web.search import TEXT_CHARACTERS_MAX, Understood, understand
from counterfoil.web.visit import Page, Visit

SHOWN_MAX = 25
CSV_ROWS_MAX = 50_000


async def search(visit: Visit) -> Response:
    """
    Lead from the form to an address that can be kept: a card number never stands in it.
    """
    values = {name: visit.form.get(name, "").strip()[:TEXT_CHARACTERS_MAX] for name in NAMES}
    understood = understand(values["q"], [])
    values["q"] = understood.text
    if understood.was_card_number:
        values["card-number"] = "yes"
    return RedirectResponse(address("/payments", values), 303)


async def list_payments(visit: Visit) -> Response:
    """
    A page of payments, newest first.
    """
    acquirers, store = await _acquirers(visit), _store(visit)
    wanted = asked(visit, acquirers)
    in_use = await store.currencies()
    understood = understand(wanted.values["q"], in_use)
    if understood.was_card_number:
        values = {**wanted.values, "q": understood.text, "card-number": "yes"}
        return RedirectResponse(address("/payments", values), 303)
    if understood.payment:
        return RedirectResponse(f"/payments/{understood.payment}", 303)
    found = await _find(store, understood, wanted, SHOWN_MAX)
    return page(
        visit,
        "payments.html",
        status=422 if wanted.faults else 200,
        wanted=wanted,
        understood=understood,
        was_card_number=visit.asked("card-number") == "yes",
        found=found,
        links=_links(wanted, found),
        choices=_choices(in_use, acquirers),
        scanned_max=SCANNED_MAX,
        csv=wanted.address("/payments.csv"),
        csv_rows_max=CSV_ROWS_MAX,
    )


async def payments_csv(visit: Visit) -> Response:
    """
    What the page would show, all of it up to CSV_ROWS_MAX rows, for a spreadsheet.
    """
    wanted = asked(visit, await _acquirers(visit))
    if wanted.faults:
        return await list_payments(visit)
    understood = understand(wanted.values["q"], await _store(visit).currencies())
    await visit.desk.people.note(visit.who, visit.desk.clock.now(), "payments_exported")
    name = f"payments-{visit.desk.clock.now():%Y-%m-%d}.csv"
    return StreamingResponse(
        _lines(visit, understood, wanted),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _lines(visit: Visit, understood: Understood, wanted: Asked) -> AsyncIterator[str]:
    """
    Yield the file in pieces, so that it never stands in memory as a whole.
    """
    store = _store(visit)
    yield "\N{BYTE ORDER MARK}" + csv_line(HEADINGS)
    between = Between(low=wanted.between.low, high=wanted.between.high)
    rows, found = 0, await _find(store, understood, wanted, PAGE_MAX, between)
    while True:
        yield await _written_lines(visit, found.payments)
        rows += len(found.payments)
        last = found.looked_until or (found.payments[-1].payment_id if found.payments else None)
        if not found.more or last is None:
            return
        if rows >= CSV_ROWS_MAX:
            yield csv_line([f"Cut after {rows} payments: choose fewer days."])
            return
        between = Between(low=between.low, high=last)
        found = await _find(store, understood, wanted, PAGE_MAX, between)


async def _written_lines(visit: Visit, payments: list[Payment]) -> str:
    merchant = visit.who.merchant
    terminal = TerminalStore(visit.desk.database, visit.desk.desk.road.ids)
    parts = await terminal.parts(merchant.merchant_id, payments)
    return "".join(
        csv_line(csv_row(each, merchant.timezone, parts.get(each.payment_id, Parts())))
        for each in payments
    )


async def _find(
    store: SearchStore,
    understood: Understood,
    wanted: Asked,
    limit: int,
    between: Between | None = None,
) -> Found:
    """
    Return a page of what was asked for; words and filters that can mean nothing find nothing.
    """
    if wanted.faults or (understood.text and not understood.keys):
        return Found(payments=[], more=False)
    return await store.find(understood.keys, wanted.narrowing, between or wanted.between, limit)


def _links(wanted: Asked, found: Found) -> dict[str, str | None]:
    """
    Return the addresses of the pages beside this one. What lies in the direction from which one
    came is there; what lies ahead is there if there is more.
    """
    came_from_older = wanted.between.from_oldest
    moved = wanted.is_beyond
    first, last = (found.payments[0], found.payments[-1]) if found.payments else (None, None)
    before = last.payment_id if last else None
    after = first.payment_id if first else None
    if found.looked_until and came_from_older:
        after = found.looked_until
    elif found.looked_until:
        before = found.looked_until
    has_older = came_from_older or found.more
    has_newer = found.more if came_from_older else moved
    return {
        "older": wanted.address(before=_written(before)) if before and has_older else None,
        "newer": wanted.address(after=_written(after)) if after and has_newer else None,
        "newest": wanted.address() if moved else None,
    }


def _written(payment_id: Any) -> str:
    return ids.written(ids.PAYMENT, payment_id)


async def _acquirers(visit: Visit) -> list[str]:
    terminals = await visit.desk.merchants.terminals(visit.who.merchant.merchant_id)
    return sorted({each.acquirer for each in terminals})


def _choices(in_use: list[str], acquirers: list[str]) -> dict[str, list[tuple[str, str]]]:
    """
    Return what each filter offers.
    """
    return {
        "standing": [(name, words) for name, (words, _) in STANDING.items()],
        "kind": list(KIND_NAMES.items()),
        "card": [(name, words) for name, words in BRANDS.items() if name != "other"],
        "currency": [(each, each) for each in in_use],
        "acquirer": [(each, each) for each in acquirers],
    }


def _store(visit: Visit) -> SearchStore:
    return SearchStore(visit.desk.database, visit.who.merchant.merchant_id)


PAGES = (
    Page(path="/payments", endpoint=list_payments, right=Right.READ_PAYMENTS),
    Page(path="/payments.csv", endpoint=payments_csv, right=Right.EXPORT),
    Page(
        path="/payments/search",
        endpoint=search,
        right=Right.READ_PAYMENTS,
        method="POST",
        only_asks=True,
    ),
)
