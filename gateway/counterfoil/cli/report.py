"""
`counterfoil report`: the end of a day, a batch or a deposit, for people and for programs.
"""

import sys
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import cyclopts
import msgspec

from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
)
from counterfoil.cli.merchant import merchant_id_of
from counterfoil.clock import SystemClock
from counterfoil.money import currency, decimal_text
from counterfoil.opened import open_database
from counterfoil.settlement.report_facts import MerchantReport, Report
from counterfoil.settlement.report_page import as_page, batch_state, deposit_state
from counterfoil.settlement.report_table import as_csv
from counterfoil.settlement.reports import NothingToReport, Reporter

app = cyclopts.App(name="report", help="The end of a day, a batch or a deposit, explained.")

MerchantOption = Annotated[
    str | None, cyclopts.Parameter(name="--merchant", help="Without it all merchants.")
]
CsvOption = Annotated[
    bool, cyclopts.Parameter(name="--csv", negative="", help="Print CSV for a spreadsheet.")
]
HtmlOption = Annotated[
    Path | None, cyclopts.Parameter(name="--html", help="Write a page to print to this file.")
]


@app.command
def day(
    *,
    date: Annotated[
        str | None,
        cyclopts.Parameter(help="YYYY-MM-DD by the merchant's clock; without it today."),
    ] = None,
    merchant: MerchantOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    html: HtmlOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Report a day: the batches closed on it, its deposits, and what does not agree.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    when = _day(date)
    _print(_made(config, lambda of: of.day(when, chosen)), json=json, csv=csv, html=html)


@app.command
def batch(
    batch: Annotated[str, cyclopts.Parameter(help="Such as TERM0001/USD/000001.")],
    *,
    merchant: MerchantOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    html: HtmlOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Report one batch with all its items.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    _print(_made(config, lambda of: of.batch(batch, chosen)), json=json, csv=csv, html=html)


@app.command
def deposit(
    reference: str,
    *,
    merchant: MerchantOption = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    html: HtmlOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Report one deposit: these payments, these refunds, these fees, this net, on that day.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    _print(_made(config, lambda of: of.deposit(reference, chosen)), json=json, csv=csv, html=html)


def _made(config: Path | None, ask: Callable[[Reporter], Awaitable[Report]]) -> Report:
    settings = configuration(config)

    async def made() -> Report:
        async with open_database(settings) as database:
            return await ask(Reporter(database, SystemClock(), mode=settings.mode))

    try:
        return run(made())
    except NothingToReport as error:
        raise CommandRefused(str(error)) from error


def _print(report: Report, *, json: bool, csv: bool, html: Path | None) -> None:
    if sum((json, csv, html is not None)) > 1:
        raise CommandRefused("choose one of --json, --csv and --html")
    if json:
        say_json(msgspec.to_builtins(report))
    elif csv:
        sys.stdout.write(as_csv(report))
    elif html is not None:
        _write(html, as_page(report))
        say(f"Written to {html}: open it in a browser, and print it.")
    else:
        _tell(report)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise CommandRefused(f"cannot write {path}: {error.strerror}") from error


def _tell(report: Report) -> None:
    say(f"{report.kind} {report.subject}")
    if not report.merchants:
        say("Nothing was closed, and no deposit belongs to it.")
    for part in report.merchants:
        _tell_merchant(part)


def _tell_merchant(part: MerchantReport) -> None:
    say(f"\n{part.name} ({part.merchant})")
    for batch in part.batches:
        net = sum(each.net_minor for each in batch.brands)
        say(f"  batch {batch.batch}: {_text(net, batch.currency)}. {batch_state(batch)[1]}")
    for found in part.deposits:
        deposit = found.deposit
        net_text = _text(deposit.net_minor, deposit.currency)
        say(f"  deposit {deposit.reference}: {net_text}. {deposit_state(deposit)[1]}")
    for finding in part.findings:
        say(f"  {_text(finding.amount_minor, finding.currency)} {finding.kind}: {finding.subject}")
        say(f"    next: {finding.next_step}")


def _text(minor: int, code: str) -> str:
    return f"{decimal_text(minor, currency(code))} {code}"


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise CommandRefused(f"{text!r} is no day; write YYYY-MM-DD") from error
