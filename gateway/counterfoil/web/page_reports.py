"""
Where browsers report what they refused on a payment page.

    POST /reports    204, whatever comes of it

Whoever reports may have made it up. So it counts only if it names a page that there is, and then
for that page's merchant; and so many a minute, grouped, and in so many groups at the most.
"""

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil.checkouts.policy import REPORTS
from counterfoil.checkouts.reports import BODY_BYTES_MAX, TYPES, Budget, Report, Unreadable, read
from counterfoil.store.links import LinkStore
from counterfoil.store.page_reports import PageReportStore
from counterfoil.web.desk import WebDesk
from counterfoil.web.forms import read_body

log = structlog.get_logger("web")


def route(desk: WebDesk, origin: str) -> Route:
    """
    Return the route for pages of *origin*.
    """
    taking = Taking(desk, origin)
    return Route(REPORTS, taking.take, methods=["POST"])


class Taking:
    """
    Takes reports, and counts what became of each.
    """

    def __init__(self, desk: WebDesk, origin: str) -> None:
        self._desk = desk
        self._origin = origin
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
            found = read(await read_body(request, BODY_BYTES_MAX), origin=self._origin)
        except Unreadable:
            self._note("unreadable")
            raise HTTPException(400, "This is no report.") from None
        for _ in range(found.of_extensions):
            self._note("extension")
        for _ in range(found.of_strangers):
            self._note("stranger")
        for report, times in found.reports.items():
            self._note(await self._count(report, times))
        return Response(status_code=204)

    async def _count(self, report: Report, times: int) -> str:
        of_checkout = report.refusal.page.startswith("/c/")
        store = self._desk.desk.checkouts.store if of_checkout else self._links
        whose = await store.of_token(report.token)
        if whose is None:
            return "stranger"
        if not self._budget.takes(report.token, times):
            return "dropped"
        now = self._desk.clock.now()
        stored = await self._store.count(whose.merchant_id, report.refusal, times, now)
        log.warning("page_report", **report.refusal._asdict(), times=times, stored=stored)
        return "stored" if stored else "dropped"

    def _note(self, outcome: str) -> None:
        self._desk.desk.road.measures.reports.add(outcome)
