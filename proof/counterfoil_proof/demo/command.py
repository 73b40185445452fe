"""
`counterfoil demo`: start everything, buy something, tell the story, stay up.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import cyclopts
import msgspec
from counterfoil.supervisor import ProgramError, Supervisor

from counterfoil_proof.demo import day, ports, sandbox
from counterfoil_proof.demo.day import Day, DayFailed
from counterfoil_proof.demo.narrator import Narrator
from counterfoil_proof.demo.purchase import Purchase, PurchaseFailed, buy, look
from counterfoil_proof.demo.sandbox import Sandbox

CARD = "4242424242424242"
EXIT_NOT_AS_IT_SHOULD = 1
EXIT_REFUSED = 2
REFUSALS = (
    ProgramError,
    PurchaseFailed,
    DayFailed,
    sandbox.FolderInUse,
    ports.NoPortFree,
    OSError,
)


class Told(msgspec.Struct, frozen=True):
    """
    The whole story: the purchase, and the day that ended after it.
    """

    purchase: Purchase
    day: Day


def demo(
    *,
    state: Annotated[
        Path, cyclopts.Parameter(help="Everything lives below this folder; delete it at will.")
    ] = Path(".demo"),
    once: Annotated[
        bool, cyclopts.Parameter(negative="", help="Buy once, then stop everything.")
    ] = False,
    json: Annotated[
        bool,
        cyclopts.Parameter(
            name="--json", negative="", help="With --once: the result as JSON, the story on stderr."
        ),
    ] = False,
    card: Annotated[str, cyclopts.Parameter(help="A test card; `counterfoil-rail cards`.")] = CARD,
    issuer_delay_ms: Annotated[
        str, cyclopts.Parameter(help="How long an issuer takes: 500, or a range.")
    ] = "300-800",
) -> None:
    """
    Run shop, gateway, acquirer and mailbox on this machine, buy something, close the day.

    Exit code 0: the purchase ended as the card's issuer wanted (paid or declined), and shop,
    gateway, acquirer and bank tell the same story. 1: they do not. 2: it could not be tried.
    """
    if json and not once:
        _refuse("--json goes with --once")
    os.umask(0o077)
    teller = Narrator(sys.stderr if json else sys.stdout)
    folder = state.expanduser().absolute()
    try:
        with sandbox.alone(folder):
            told = asyncio.run(_run(folder, teller, once=once, card=card, delay=issuer_delay_ms))
    except REFUSALS as error:
        _refuse(str(error))
    if once:
        _end(told, json=json)


async def _run(folder: Path, teller: Narrator, *, once: bool, card: str, delay: str) -> Told | None:
    began = time.monotonic()
    chosen, stepped = ports.choose()
    box = Sandbox(folder, chosen, delay)
    teller.say(f"Counterfoil demo: test mode, no money moves. Everything is below {folder}", "bold")
    for name, (usual, port) in stepped.items():
        teller.say(f"  port {usual} is busy: {name} takes {port}", "yellow")
    configuration = sandbox.prepare(box)
    supervisor = Supervisor(sandbox.programs(box, configuration), on_line=teller.on_line)
    told: list[Told] = []

    async def story() -> None:
        teller.say(f"Ready after {time.monotonic() - began:.1f} s.", "green")
        purchase = await _purchase(box, card, teller)
        ended = await day.close(box, teller)
        await look(box, purchase)  # Again: its road now runs on to the deposit.
        told.append(Told(purchase, ended))
        if not once:
            _invite(box, purchase, teller)
            await asyncio.Event().wait()

    await supervisor.run(story)
    if not once:
        teller.say("Everything has stopped. `counterfoil demo` goes on from here.")
    return told[0] if told else None


async def _purchase(box: Sandbox, card: str, teller: Narrator) -> Purchase:
    teller.say()
    teller.say("A purchase", "bold")
    teller.step("shop", f"an order, card ending {card[-4:]}; the client's intent is on disk")
    bought = await buy(box, card)
    await look(box, bought)
    seconds = bought.payment_seconds
    if bought.status == "paid":
        number = bought.confirmation_number or ""
        teller.say()
        teller.say(f"  Order {bought.order} is paid after {seconds:.2f} s.", "bold green")
        teller.say(f"  Confirmation number {_grouped(number)}", "bold green")
    else:
        teller.say(f"  Order {bought.order} is {bought.status} after {seconds:.2f} s.", "bold")
    teller.say(
        f"  Receipts: {bought.emails['customer']} to the customer, "
        f"{bought.emails['merchant']} to the merchant."
    )
    for fault in bought.faults:
        teller.problem(f"  Not as it should be: {fault}")
    if not bought.faults:
        teller.say("  Shop, gateway and acquirer tell the same story.")
    return bought


def _invite(box: Sandbox, bought: Purchase, teller: Narrator) -> None:
    teller.say()
    teller.say("Now try it by hand", "bold")
    teller.say(f"  shop       {box.shop_url}")
    teller.say(f"  this order {bought.page}")
    teller.say(f"  mailbox    {box.mailbox_url}")
    teller.say(f"  gateway    {box.gateway_url}/openapi.json")
    teller.say(f"  API key    {box.key_path}")
    teller.say(f"  authority  {box.authority_path}")
    teller.say(f"  operate    COUNTERFOIL_CONFIG={box.configuration_path} counterfoil doctor")
    teller.say("Purchases you make are told here. Ctrl-C stops everything.")


def _grouped(number: str) -> str:
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def _end(told: Told | None, *, json: bool) -> None:
    if told is None:
        _refuse("stopped before the day was done")
    bought, ended = told.purchase, told.day
    faults = [*bought.faults, *ended.faults]
    if json:
        said = {
            "order": bought.order,
            "payment_id": bought.payment_id,
            "rrn": bought.rrn,
            "confirmation_number": bought.confirmation_number,
            "states": bought.states,
            "emails": bought.emails,
            "payment_seconds": bought.payment_seconds,
            "status": bought.status,
            "batch": ended.batch,
            "deposit": ended.deposit,
            "audit": ended.audit,
            "faults": faults,
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    sys.exit(EXIT_NOT_AS_IT_SHOULD if faults else 0)


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"counterfoil demo: {sentence}\n")
    sys.exit(EXIT_REFUSED)
