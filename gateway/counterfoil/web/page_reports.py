"""
Where browsers report what they refused on a page.

    POST /reports    204, whatever comes of it

Whoever reports may have made it up. So it counts only if it names a payment page that there is, and
then for that page's merchant, or on the merchants' own origin for the merchant of who is signed in;
and so many a minute, grouped, and in so many groups at the most.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil.checkouts.policy import REPORTS
from counterfoil.checkouts.reports import (
    BODY_BYTES_MAX,
    TYPES,
    Budget,
    Report,
    ReportedPage,
    Unreadable,
    merchant_page,
    payment_page,
    read,
)
from counterfoil.store.links import LinkStore
from counterfoil.store.page_reports import PageReportStore
from counterfoil.web import session
from counterfoil.web.desk import WebDesk
from counterfoil.web.forms import read_body

log = structlog.get_logger("web")


def route(desk: WebDesk, origin: str, *, shoppers: bool) -> Route:
    """
    Return the route for pages of *origin*: payment pages for *shoppers*, or merchants' own.
    """
    taking = Taking(desk, origin, shoppers=shoppers)
    return Route(REPORTS, taking.take, methods=["POST"])


class Taking:
    """
    Takes reports, and counts what became of each.
    """

    def __init__(self, desk: WebDesk, origin: str, *, shoppers: bool) -> None:
        self._desk = desk
        self._origin = origin
        self._shoppers = shoppers
        self._store = PageReportStore(desk.database, desk.desk.road.ids)
        self._links = LinkStore(desk.database, desk.desk.road.ids)
        self._budget = Budget(desk.clock)

    async def take(self, request: Request) -> Response:
        """
        Take one body.
        """
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "Reports come from pages of this site.")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in TYPES:
            raise HTTPException(415, "This is no report.")
        try:
            body = await read_body(request, BODY_BYTES_MAX)
            page_of = payment_page if self._shoppers else merchant_page
            found = read(body, origins=self._names(request), page_of=page_of)
        except Unreadable:
            self._note("unreadable")
            raise HTTPException(400, "This is no report.") from None
        for _ in range(found.of_extensions):
            self._note("extension")
        for _ in range(found.of_strangers):
            self._note("stranger")
        whose = await self._whose(request, found.reports)
        for report, times in found.reports.items():
            self._note(await self._count(report, times, whose[_page(report)]))
        return Response(status_code=204)

    def _names(self, request: Request) -> tuple[str, str]:
        """
        Return the origin, by its own name and by the one that was asked: a port may be forwarded.
        """
        asked = urlsplit(self._origin)._replace(netloc=request.headers.get("host", ""))
        return self._origin, asked.geturl()

    async def _count(self, report: Report, times: int, merchant_id: UUID | None) -> str:
        if merchant_id is None:
            return "stranger"
        if not self._budget.takes(report.token or merchant_id.hex, times):
            return "dropped"
        now = self._desk.clock.now()
        stored = await self._store.count(merchant_id, report.refusal, times, now)
        log.warning("page_report", **report.refusal._asdict(), times=times, stored=stored)
        return "stored" if stored else "dropped"

    async def _whose(
        self, request: Request, reports: Iterable[Report]
    ) -> dict[ReportedPage, UUID | None]:
        """
        Return whose each page is: one look for each, and one at the session for all together.
        """
        pages = {_page(report) for report in reports}
        if self._shoppers:
            return {page: await self._payee(page) for page in pages}
        if not pages:
            return {}
        guest, _ = await session.guest_of(request, self._desk, seen=False)
        return dict.fromkeys(pages, guest.merchant.merchant_id if guest else None)

    async def _payee(self, page: ReportedPage) -> UUID | None:
        of_checkout = page.page.startswith("/c/")
        store = self._desk.desk.checkouts.store if of_checkout else self._links
        found = await store.of_token(page.token)
        return found.merchant_id if found else None

    def _note(self, outcome: str) -> None:
        self._desk.desk.road.measures.reports.add(outcome)


def _page(report: Report) -> ReportedPage:
    return ReportedPage(report.refusal.page, report.token)
