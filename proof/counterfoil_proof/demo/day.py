"""
The end of the demo's day: close the batch, let the acquirer's days pass, explain the deposit.

Everything is asked for by the commands that an operator has, so that the demo shows
nothing that they could not do.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import msgspec
from counterfoil.money import currency, decimal_text

from counterfoil_proof.demo.narrator import Narrator
from counterfoil_proof.demo.sandbox import Sandbox

COMMAND_SECONDS_MAX = 180.0
DAYS_MAX = 10  # A long weekend with a holiday, and the day after it.
READ_SECONDS_MAX = 10.0
POLL_SECONDS = 0.3
LINES_TOLD_MAX = 50
SUMS = (
    ("gross", 1),
    ("refunds", -1),
    ("interchange", -1),
    ("scheme", -1),
    ("markup", -1),
    ("adjustments", 1),
    ("net", 1),
)


class DayFailed(Exception):
    """
    The day could not be closed or explained; the message says where it stopped.
    """


class Day(msgspec.Struct, kw_only=True):
    """
    What came of the day: batches, the deposit that paid them, and the audit's word.
    """

    batch: dict[str, Any] | None = None
    deposit: dict[str, Any] | None = None
    audit: Any = None
    faults: list[str] = msgspec.field(default_factory=list)


async def close(box: Sandbox, teller: Narrator) -> Day:
    """
    Close the day and follow its money until the bank has paid it.
    """
    day = Day()
    teller.say()
    teller.say("The end of the day", "bold")
    closed = await _gateway(box, "batch", "close", "--json", fails=True)
    if closed:
        await _follow(box, day, closed, teller)
    else:
        teller.step("gateway", "nothing to close: no payment was captured")
    day.audit = await _audit(box, teller)
    if day.audit != "agrees":
        day.faults.append("the audit names differences")
    return day


async def _follow(box: Sandbox, day: Day, closed: list[dict[str, Any]], teller: Narrator) -> None:
    for batch in closed:
        ours, host = batch["ours"] or {}, batch["host"] or {}
        teller.step(
            "gateway",
            f"batch {batch['batch']} is {batch['state']}: ours {ours.get('count')} items, "
            f"{batch['net']} {batch['currency']}; the host counts {host.get('count')}",
        )
        if batch["state"] != "closed":
            day.faults.append(f"batch {batch['batch']} is {batch['state']}")
    day.batch = {side: _summed(closed, side) for side in ("ours", "host")}
    paid = {batch["batch"] for batch in closed if batch["state"] == "closed"}
    if not paid:
        return  # One that needs a person is paid when somebody has seen to it.
    deposit = await _until_funded(box, paid, teller)
    if deposit is None:
        day.faults.append("the batch was not paid")
        return
    _explain(deposit, teller)
    day.deposit = {
        "reference": deposit["reference"],
        "amount_minor": deposit["net_minor"],
        "fees_minor": deposit["fees_minor"],
        "payments": sum(1 for line in deposit["lines"] if line["kind"] == "capture"),
    }


def _summed(closed: list[dict[str, Any]], side: str) -> dict[str, int]:
    sides = [batch[side] or {"count": 0, "amount_minor": 0} for batch in closed]
    return {
        "count": sum(each["count"] for each in sides),
        "amount_minor": sum(each["amount_minor"] for each in sides),
    }


async def _until_funded(box: Sandbox, batches: set[str], teller: Narrator) -> dict[str, Any] | None:
    """
    Let the acquirer's business days pass until the deposit that pays *batches* is funded.
    """
    for _ in range(DAYS_MAX):
        read = len(await _gateway(box, "settlement", "files", "--json"))
        told = (await _rail(box, "day", "advance", "--json"))[-1]
        teller.step(
            "acquirer",
            f"its business day is now {told['business_day']}; "
            f"reports and statements written: {told['files']}",
        )
        await _until_read(box, read + told["files"])
        if deposit := await _funded(box, batches):
            return deposit
    return None


async def _until_read(box: Sandbox, files: int) -> None:
    """
    Wait until the gateway's worker has read what the acquirer and the bank have written.
    """
    deadline = time.monotonic() + READ_SECONDS_MAX
    while time.monotonic() < deadline:
        if len(await _gateway(box, "settlement", "files", "--json")) >= files:
            return
        await asyncio.sleep(POLL_SECONDS)


async def _funded(box: Sandbox, batches: set[str]) -> dict[str, Any] | None:
    for deposit in await _gateway(box, "settlement", "deposits", "--json"):
        if deposit["state"] == "funded":
            whole = await _gateway(box, "settlement", "deposit", deposit["reference"], "--json")
            if batches & {line["batch"] for line in whole["lines"]}:
                return dict(whole)
    return None


def _explain(deposit: dict[str, Any], teller: Narrator) -> None:
    teller.step("bank", f"deposit {deposit['reference']} has arrived; line by line:")
    unit = currency(deposit["currency"])
    for line in deposit["lines"][:LINES_TOLD_MAX]:
        card = f"{line['brand']} {line['last_four']}"
        amount = decimal_text(line["amount_minor"], unit)
        teller.say(f"           {line['kind']:<8} {line['rrn']}  {card:<16} {amount:>10}")
    for name, sign in SUMS:
        amount = decimal_text(sign * deposit[f"{name}_minor"], unit)
        teller.say(f"           {name:<39} {amount:>10} {unit.code}")


async def _audit(box: Sandbox, teller: Narrator) -> Any:
    said = await _gateway(box, "audit", "--json", "--sandbox", str(box.folder), fails=True)
    if said["agrees"]:
        teller.step("audit", "gateway, report, bank, acquirer and shop agree to the cent")
        return "agrees"
    for each in said["differences"]:
        teller.problem(f"  audit: {json.dumps(each)}")
    return said["differences"]


async def _gateway(box: Sandbox, *words: str, fails: bool = False) -> Any:
    environment = {**os.environ, "COUNTERFOIL_CONFIG": str(box.configuration_path)}
    environment.pop("DATABASE_URL", None)
    return await _command("counterfoil.cli.main", words, environment, fails=fails)


async def _rail(box: Sandbox, *words: str) -> Any:
    return await _command("counterfoil_rail", (*words, "--state", str(box.folder)), None)


async def _command(
    module: str, words: tuple[str, ...], environment: dict[str, str] | None, *, fails: bool = False
) -> Any:
    """
    Run a command and return the JSON it prints; *fails*: it may exit 1 and still print it.
    """
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complaint = await asyncio.wait_for(running.communicate(), COMMAND_SECONDS_MAX)
    except TimeoutError as error:
        running.kill()
        raise DayFailed(
            f"`{' '.join(words)}` took longer than {COMMAND_SECONDS_MAX:g} s"
        ) from error
    if running.returncode and not (fails and running.returncode == 1):
        raise DayFailed(f"`{' '.join(words)}` failed: {complaint.decode()[-500:].strip()}")
    try:
        return json.loads(said)
    except ValueError as error:
        raise DayFailed(f"`{' '.join(words)}` printed no JSON") from error
