"""
The end of the day on paper: batches, deposits and what does not agree, of one day or one of them.

The last thing on the road that a merchant sees. This module gathers the facts; `report_table`
writes them as CSV, `report_page` as a page to print, and JSON is the facts themselves.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from counterfoil import ids
from counterfoil.clock import Clock
from counterfoil.settlement.batches import reference_of, side
from counterfoil.settlement.explained import (
    DepositLine,
    FindingAnswer,
    explained,
    finding_answer,
    line_of,
    summary,
)
from counterfoil.settlement.report_facts import (
    BatchReport,
    BrandTotal,
    DepositReport,
    MerchantReport,
    Report,
    ReportItem,
    added,
)
from counterfoil.store.batches import totals_of
from counterfoil.store.database import Database
from counterfoil.store.deposits import LINES_PAGE_MAX, DepositStore
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.reports import ReportStore

FINDINGS_MAX = 1_000
MERCHANTS_PAGE = 100


class NothingToReport(Exception):
    """
    There is no such merchant, batch or deposit, or there are several; the sentence says which.
    """


class Reporter:
    """
    Gathers reports from one installation's books.
    """

    def __init__(self, database: Database, clock: Clock, *, mode: Literal["test", "live"]) -> None:
        self._merchants = MerchantStore(database, clock)
        self._deposits = DepositStore(database)
        self._reports = ReportStore(database)
        self._clock = clock
        self._mode = mode

    async def day(
        self, day: date | None, merchant_id: UUID | None = None, *, is_short: bool = False
    ) -> Report:
        """
        Report the batches whose close began on *day*, by the merchant's clock, and its deposits.

        Without *day* each merchant's today, with the batches that are open still. A short one has
        neither the items of batches nor the lines of deposits.

        Raises:
            NothingToReport: There is no such merchant.
        """
        found = []
        for row in await self._chosen(merchant_id):
            part = await self._merchant_day(row, day, is_short=is_short)
            if merchant_id or part.batches or part.deposits:
                found.append(part)
        subject = day.isoformat() if day else f"{self._clock.now():%Y-%m-%d}"
        return self._report("day", subject, found)

    async def batch(
        self, name: str, merchant_id: UUID | None = None, acquirer: str | None = None
    ) -> Report:
        """
        Report one batch with all its items; *acquirer* tells two of the same name apart.

        Raises:
            NothingToReport: There is none of that name, or several.
        """
        terminal_id, currency, number = _batch_name(name)
        found = await self._reports.batch(merchant_id, terminal_id, currency, number)
        rows = [row for row in found if acquirer in (None, row["acquirer"])]
        if len(rows) != 1:
            raise NothingToReport(
                f"several merchants or acquirers have a batch {name}: choose with --merchant"
                if rows
                else f"there is no batch {name}: counterfoil batch list"
            )
        batch = await self._batch(rows[0])
        owner = (await self._chosen(rows[0]["merchant_id"]))[0]
        return self._report("batch", batch.batch, [self._part(owner, [batch], [], [])])

    async def deposit(self, reference: str, merchant_id: UUID | None = None) -> Report:
        """
        Report one deposit, line by line.

        Raises:
            NothingToReport: There is none of that reference, or several.
        """
        owners = [merchant_id] if merchant_id else await self._deposits.merchants_of(reference)
        if len(owners) > 1:
            raise NothingToReport(
                f"several merchants have a deposit {reference}: choose with --merchant"
            )
        found = await self._deposit(owners[0], reference) if owners else None
        if found is None:
            raise NothingToReport(
                f"there is no deposit {reference}: counterfoil settlement deposits"
            )
        owner = (await self._chosen(owners[0]))[0]
        findings = [
            each
            for each in await self._findings(owners[0])
            if reference in (each.reference, each.subject.removeprefix("deposit "))
        ]
        return self._report("deposit", reference, [self._part(owner, [], [found], findings)])

    def _report(
        self,
        kind: Literal["day", "batch", "deposit"],
        subject: str,
        merchants: list[MerchantReport],
    ) -> Report:
        return Report(
            kind=kind,
            subject=subject,
            mode=self._mode,
            made_at=self._clock.now(),
            merchants=merchants,
        )

    async def _merchant_day(
        self, row: asyncpg.Record, day: date | None, *, is_short: bool
    ) -> MerchantReport:
        zone = ZoneInfo(row["timezone"])
        today = self._clock.now().astimezone(zone).date()
        since, until = _bounds(day or today, zone)
        merchant_id = row["merchant_id"]
        batches = [
            await self._batch(each, is_short=is_short)
            for each in await self._reports.batches(
                merchant_id, since, until, with_open=(day or today) == today
            )
        ]
        deposits = [
            found
            for reference in await self._reports.deposits(merchant_id, day or today)
            if (found := await self._deposit(merchant_id, reference, is_short=is_short))
        ]
        held = [each for each in batches if each.brands or each.state != "open"]
        return self._part(row, held, deposits, await self._findings(merchant_id))

    def _part(
        self,
        row: asyncpg.Record,
        batches: list[BatchReport],
        deposits: list[DepositReport],
        findings: list[FindingAnswer],
    ) -> MerchantReport:
        place = (row["city"], row["region"], row["country"])
        return MerchantReport(
            merchant=ids.written(ids.MERCHANT, row["merchant_id"]),
            name=row["name"],
            place=", ".join(each for each in place if each),
            timezone=row["timezone"],
            brands=added(each for batch in batches for each in batch.brands),
            batches=batches,
            deposits=deposits,
            findings=findings,
        )

    async def _batch(self, row: asyncpg.Record, *, is_short: bool = False) -> BatchReport:
        ours, host = totals_of(row["our_totals"]), totals_of(row["host_totals"])
        return BatchReport(
            batch=reference_of(row),
            acquirer=row["acquirer"],
            currency=row["currency"],
            state=row["state"],
            note=row["note"],
            cause=row["close_cause"],
            settlement_date=row["settlement_date"],
            opened_at=row["opened_at"],
            closing_at=row["closing_at"],
            closed_at=row["closed_at"],
            ours=side(ours),
            host=side(host),
            brands=added(
                _brand_total(row["currency"], each) for each in await self._reports.totals(row)
            ),
            items=[] if is_short else [_item(each) for each in await self._reports.items(row)],
        )

    async def _deposit(
        self, merchant_id: UUID, reference: str, *, is_short: bool = False
    ) -> DepositReport | None:
        row = await self._deposits.deposit(merchant_id, reference)
        if row is None:
            return None
        if is_short:
            return DepositReport(deposit=summary(row), brands=[])
        whole = await explained(row, self._deposits, limit=LINES_PAGE_MAX)
        lines: list[DepositLine] = list(whole.lines or [])
        is_more = isinstance(whole.next_line, int)
        while is_more:  # Everything else was read with the first page.
            page = await self._deposits.lines(row, after=lines[-1].line, limit=LINES_PAGE_MAX)
            lines += map(line_of, page)
            is_more = len(page) == LINES_PAGE_MAX
        return DepositReport(
            deposit=msgspec.structs.replace(whole, lines=lines, next_line=None),
            brands=added(_line_total(row["currency"], line) for line in lines),
        )

    async def _findings(self, merchant_id: UUID) -> list[FindingAnswer]:
        rows = await self._deposits.findings(merchant_id, state="open", limit=FINDINGS_MAX)
        return [finding_answer(row) for row in rows]

    async def _chosen(self, merchant_id: UUID | None) -> list[asyncpg.Record]:
        if merchant_id:
            row = await self._merchants.row(merchant_id)
            if row is None:
                raise NothingToReport("there is no such merchant: counterfoil merchant list")
            return [row]
        found: list[asyncpg.Record] = []
        while page := await self._merchants.page(
            found[-1]["merchant_id"] if found else None, MERCHANTS_PAGE
        ):
            found += page
        return found


def _brand_total(currency: str, row: asyncpg.Record) -> BrandTotal:
    number, minor = row["number"], row["amount_minor"]
    if row["kind"] == "refund":
        return BrandTotal(
            currency=currency, brand=row["brand"], refunds=number, refunds_minor=minor
        )
    return BrandTotal(currency=currency, brand=row["brand"], captures=number, captures_minor=minor)


def _line_total(currency: str, line: DepositLine) -> BrandTotal:
    fees = line.interchange_minor + line.scheme_minor + line.markup_minor
    is_refund = line.kind == "refund"
    return BrandTotal(
        currency=currency,
        brand=line.brand,
        captures=0 if is_refund else 1,
        captures_minor=0 if is_refund else line.amount_minor,
        refunds=1 if is_refund else 0,
        refunds_minor=-line.amount_minor if is_refund else 0,
        fees_minor=fees,
    )


def _item(row: asyncpg.Record) -> ReportItem:
    return ReportItem(
        item=row["item_number"],
        at=row["created_at"],
        kind=row["kind"],
        amount_minor=-row["amount_minor"] if row["kind"] == "refund" else row["amount_minor"],
        brand=row["brand"],
        last_four=row["card_last_four"],
        rrn=row["rrn"],
        approval_code=row["approval_code"],
        order=row["order_number"],
        confirmation_number=row["confirmation_number"],
        payment=ids.written(ids.PAYMENT, row["payment_id"]),
        state=row["state"],
    )


def _bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """
    Return when *day* begins and ends there, in UTC.
    """
    begins = datetime.combine(day, datetime.min.time(), zone)
    ends = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    return begins.astimezone(UTC), ends.astimezone(UTC)


def _batch_name(name: str) -> tuple[str, str, int]:
    parts = name.rsplit("/", 2)  # A terminal's id may hold one too.
    if len(parts) != len(("terminal", "currency", "number")) or not parts[2].isdecimal():
        raise NothingToReport(f"{name!r} is no batch: write TERMINAL/CURRENCY/NUMBER")
    return parts[0], parts[1].upper(), min(int(parts[2]), 999_999)
