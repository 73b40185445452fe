"""
From the closed batch to the merchant's bank account, and what is said of every mistake on the way.

All mistakes are made first, a business day for each, and the bank pays; then each is looked at.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from .evenings import Acquirer, Evening
from .merchants import add_merchant
from .sandboxes import Sandbox, eventually

FIRST, SECOND = 1000, 2000  # Two sales by Visa, and their fees by the rail's table.
FEES_FIRST, FEES_SECOND = 41, 63
NET = FIRST + SECOND - FEES_FIRST - FEES_SECOND
DAYS_AFTER = 6  # For a deposit that comes back after a long weekend.
EVERY_STATEMENT = "1000"
OF_STATEMENTS = ("statement_bad_balance", "statement_twice")


class Ending(msgspec.Struct, frozen=True):
    """
    How a mistake ends: the deposit and its net, the two sales, what is listed, and what is held.

    `word` is the one that some line or booking of the deposit is given for it.
    """

    deposit: str
    net_minor: int
    sales: tuple[str, str] = ("funded", "funded")
    findings: tuple[tuple[str, int], ...] = ()
    held: str | None = None
    value: str = "1"
    word: str | None = None


SETTLED, BATCHED = ("settled", "settled"), ("batched", "batched")
NO_REPORT = (("without_report", NET),)
MISTAKES = {
    "statement_bad_balance": Ending(
        "announced",
        NET,
        SETTLED,
        (("not_paid", NET), ("statement_missing", NET)),
        "do not give the closing balance",
        EVERY_STATEMENT,
    ),
    "statement_twice": Ending("funded", NET, value=EVERY_STATEMENT),
    "report_missing_line": Ending(
        "funded", SECOND - FEES_SECOND, ("batched", "funded"), (("missing_there", FIRST),)
    ),
    "report_extra_line": Ending(
        "funded", NET + FIRST - FEES_FIRST, findings=(("missing_here", FIRST),), word="missing_here"
    ),
    "report_amount_differs": Ending(
        "funded", NET + 100, ("batched", "funded"), (("amount_differs", 100),)
    ),
    "report_duplicate_line": Ending(
        "funded", NET + FIRST - FEES_FIRST, findings=(("duplicate", FIRST),), word="duplicate"
    ),
    "report_date_shifted": Ending("funded", NET, word="date_shifted"),
    "report_bad_trailer": Ending(
        "without_report", NET, BATCHED, NO_REPORT, "sum of amounts does not agree"
    ),
    "report_truncated": Ending("without_report", NET, BATCHED, NO_REPORT, "cut off"),
    "report_other_merchant": Ending("without_report", NET, BATCHED, NO_REPORT, "OTHERMERCHANT01"),
    "report_unknown_batch": Ending(
        "without_report", NET, BATCHED, NO_REPORT, "not this merchant's"
    ),
    "report_twice": Ending("funded", NET),
    "report_late": Ending("funded", NET),
    "deposit_without_report": Ending("without_report", NET, BATCHED, NO_REPORT),
    "deposit_split": Ending("funded", NET, word="split"),
    "deposit_short": Ending("partly_paid", NET, SETTLED, (("amount_differs", -1), ("not_paid", 1))),
    "deposit_returned": Ending("returned", NET, SETTLED, (("returned", NET),), word="returned"),
    "chargeback": Ending("funded", NET - 300, value="300"),
    "adjustment": Ending("funded", NET - 9000, value="CORRECTION:-9000"),
}


@pytest.fixture(scope="module")
def evenings(brisk: Sandbox) -> dict[str, Evening]:
    """Make every mistake, each to a merchant of its own, and let the bank pay."""
    return asyncio.run(_play(brisk))


async def test_a_deposit_is_the_sum_of_its_lines_to_the_cent(evening: Evening) -> None:
    """These payments, this refund of an earlier day, these fees, this net, on that day."""
    acquirer = evening.acquirer
    [first] = await evening.sell(5000)
    await evening.close()
    await acquirer.pay(evening.merchant.terminal_id)
    await evening.change(first, "refund")
    await evening.sell(FIRST, SECOND)
    await evening.close()
    await acquirer.pay(evening.merchant.terminal_id)

    newest, oldest = await evening.listed("deposits")
    told = await evening.deposit(newest["reference"])
    [theirs] = [
        each
        for each in acquirer.deposits(evening.merchant.terminal_id)
        if each["reference"] == newest["reference"]
    ]
    code, audited = await evening.audit_with_everybody()

    assert (oldest["state"], told["state"]) == ("funded", "funded")
    assert (told["gross_minor"], told["refunds_minor"]) == (FIRST + SECOND, 5000)
    assert told["fees_minor"] == theirs["fees"] == FEES_FIRST + FEES_SECOND
    assert told["net_minor"] == told["paid_minor"] == theirs["net"] == NET - 5000
    assert sorted(each["amount_minor"] for each in told["lines"]) == [-5000, FIRST, SECOND]
    assert {each["outcome"] for each in told["lines"]} == {"matched"}
    [entry] = told["entries"]
    assert (entry["amount_minor"], entry["outcome"]) == (NET - 5000, "matched")
    assert (code, audited["differences"]) == (0, [])


async def test_a_bank_that_writes_bai2_is_understood_as_well(evening: Evening) -> None:
    """Most banks of the United States send nothing else."""
    async with _statements_as(evening.sandbox, "bai2"):
        await evening.sell(FIRST, SECOND)
        await evening.close()
        await evening.acquirer.pay(evening.merchant.terminal_id)

        [deposit] = await evening.listed("deposits")
        told = await evening.deposit(deposit["reference"])

    [entry] = told["entries"]
    number = evening.merchant.terminal_id.removeprefix("TERM")
    folder = evening.sandbox.folder / "rail" / "files" / "statements"
    suffixes = {path.suffix for path in folder.glob(f"MERCHANT{int(number):07d}*")}
    assert suffixes == {".bai2"}
    assert (deposit["state"], entry["amount_minor"]) == ("funded", NET)
    assert (await evening.audit()).differences == []


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_every_mistake_ends_in_a_state_of_its_own(
    evenings: dict[str, Evening], mistake: str
) -> None:
    """Nothing is booked by halves, and what does not agree is listed with its amount."""
    evening, ending = evenings[mistake], MISTAKES[mistake]

    [deposit] = await evening.listed("deposits")
    told = await evening.deposit(deposit["reference"])
    findings = await evening.listed("findings")
    audited = await evening.audit()
    held = await _held(evening)

    open_ones = [each for each in findings if each["state"] == "open"]
    listed = sorted((each["kind"], each["amount_minor"]) for each in open_ones)
    net = deposit["paid_minor" if deposit["state"] == "without_report" else "net_minor"]
    assert (deposit["state"], net) == (ending.deposit, ending.net_minor)
    assert await _sales(evening) == ending.sales
    assert listed == sorted(ending.findings)
    assert {ending.word} - {None} <= {each["outcome"] for each in told["lines"] + told["entries"]}
    assert all(each["next_step"] for each in findings)
    assert len(held) == bool(ending.held)
    assert all(str(ending.held) in each for each in held)
    assert audited.agrees == (not ending.findings)
    named = [each.difference_minor for each in audited.differences]
    assert {minor for _, minor in ending.findings} <= set(named)


async def _play(sandbox: Sandbox) -> dict[str, Evening]:
    acquirer = Acquirer(sandbox)
    await acquirer.end_day()  # What other stories left is settled now.
    evenings = {}
    for name, ending in MISTAKES.items():
        await acquirer.reach_a_day_that_pays_tomorrow()
        evening = evenings[name] = Evening(await add_merchant(sandbox))
        for amount_minor in (FIRST, SECOND):
            await evening.sell(amount_minor)
        await evening.close()
        if name in OF_STATEMENTS:
            await acquirer.end_day()
        await acquirer.fault(name, ending.value)
        await acquirer.end_day()
        await acquirer.fault(name, "0")
    for _ in range(DAYS_AFTER):
        await acquirer.end_day()
    await acquirer.is_read()
    return evenings


async def _sales(evening: Evening) -> tuple[str, ...]:
    async with evening.sandbox.database() as database:
        rows = await database.fetch(
            "SELECT state FROM movements WHERE merchant_id = $1 ORDER BY amount_minor",
            evening.number,
        )
    return tuple(row["state"] for row in rows)


async def _held(evening: Evening) -> list[str]:
    """Return why files of this merchant are held."""
    acceptor = f"MERCHANT{int(evening.merchant.terminal_id.removeprefix('TERM')):07d}"
    async with evening.sandbox.database() as database:
        rows = await database.fetch(
            "SELECT reason FROM incoming_files WHERE state = 'held' AND name LIKE $1",
            f"{acceptor}%",
        )
    return [row["reason"] for row in rows]


@asynccontextmanager
async def _statements_as(sandbox: Sandbox, form: str) -> AsyncIterator[None]:
    """Let the bank write its statements in another form."""
    await _choose(sandbox, form)
    try:
        yield
    finally:
        await _choose(sandbox, "camt053")


async def _choose(sandbox: Sandbox, form: str) -> None:
    """Start a rail with that choice, which it keeps, in place of the sandbox's."""
    await sandbox.stop("rail")
    words = ("serve", "--port", "0", "--statements", form, "--quiet")
    rail = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "counterfoil_rail", *words, *sandbox.state),
        stderr=asyncio.subprocess.DEVNULL,
    )
    serving = sandbox.folder / "rail" / "serving.json"

    async def serves() -> bool:
        return serving.exists() and bool(json.loads(serving.read_text())["pid"] == rail.pid)

    await eventually(serves, "the rail serves")
    rail.terminate()
    await rail.wait()
    await sandbox.start("rail")
    await sandbox.takes_payments()
