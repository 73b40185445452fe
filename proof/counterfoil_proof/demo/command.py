"""
`counterfoil demo`: start everything, buy something, tell the story, stay up.
"""

import asyncio
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import cyclopts
import msgspec
from counterfoil.cards import luhn_holds
from counterfoil.supervisor import ProgramError, Supervisor

from counterfoil_proof.demo import day, panel, ports, sandbox
from counterfoil_proof.demo.day import Day, DayFailed
from counterfoil_proof.demo.narrator import Narrator
from counterfoil_proof.demo.purchase import Purchase, PurchaseFailed, buy, look
from counterfoil_proof.demo.sandbox import Sandbox

CARD = "4242424242424242"
EXIT_NOT_AS_IT_SHOULD = 1
EXIT_REFUSED = 2
PORT_TRIES_MAX = 5
PORT_TAKEN = "address already in use"
CARD_DIGITS = range(12, 20)
REFUSALS = (
    ProgramError,
    PurchaseFailed,
    DayFailed,
    sandbox.FolderInUse,
    ports.NoPortFree,
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
    number = card.replace(" ", "").replace("-", "")
    if not (number.isascii() and number.isdigit() and len(number) in CARD_DIGITS):
        _refuse("--card takes a card number of 12 to 19 digits; see `counterfoil-rail cards`")
    if not luhn_holds(number):
        _refuse("the check digit of --card does not fit: no shop would take it")
    os.umask(0o077)
    teller = Narrator(sys.stderr if json else sys.stdout)
    folder = state.expanduser().absolute()
    try:
        with sandbox.alone(folder):
            told = asyncio.run(_run(folder, teller, once=once, card=number, delay=issuer_delay_ms))
    except OSError as error:
        _refuse(
            f"cannot use {folder} ({error.strerror}: {error.filename or 'a file below it'}): "
            "choose a folder that you may write to with --state"
        )
    except REFUSALS as error:
        _refuse(str(error))
    if once:
        _end(told, json=json)


async def _run(folder: Path, teller: Narrator, *, once: bool, card: str, delay: str) -> Told | None:
    teller.say(f"Counterfoil demo: test mode, no money moves. Everything is below {folder}", "bold")
    for _ in range(PORT_TRIES_MAX):
        chosen, stepped = ports.choose()
        for name, (usual, port) in stepped.items():
            teller.say(f"  port {usual} is busy: {name} takes {port}", "yellow")
        show = _Show(Sandbox(folder, chosen, delay, has_pages=True), teller, card=card, once=once)
        await show.run()
        if not show.port_lost:
            return show.told
        teller.say("  a port was taken by somebody else meanwhile: choosing again", "yellow")
    raise ports.NoPortFree(f"ports were taken {PORT_TRIES_MAX} times in a row: try again")


class _Show:
    """
    One run of the whole sandbox, from the first program started to the last one stopped.
    """

    def __init__(self, box: Sandbox, teller: Narrator, *, card: str, once: bool) -> None:
        self.told: Told | None = None
        self.port_lost = False
        self._box = box
        self._teller = teller
        self._card = card
        self._once = once
        self._began = time.monotonic()
        programs = sandbox.programs(box, sandbox.prepare(box))
        self._supervisor = Supervisor(programs, on_line=self._on_line)

    async def run(self) -> None:
        """
        Start everything, tell the story, stop everything.
        """
        async with panel.serving(self._teller.steps, ports.LOOPBACK, self._box.ports.panel):
            await self._supervisor.run(self._story)
        if not self._once and not self.port_lost:
            again = shlex.join([str(_program()), "demo", "--state", str(self._box.folder)])
            self._teller.say(f"Everything has stopped. `{again}` goes on from here.")

    async def _story(self) -> None:
        box, teller = self._box, self._teller
        teller.say(f"Ready after {time.monotonic() - self._began:.1f} s.", "green")
        purchase = await _purchase(box, self._card, teller)
        ended = await day.close(box, teller)
        await look(box, purchase)  # Again: its road now runs on to the deposit.
        self.told = Told(purchase, ended)
        if not self._once:
            _invite(box, purchase, teller)
            await asyncio.Event().wait()

    def _on_line(self, program: str, line: str) -> None:
        if PORT_TAKEN in line.lower() and self.told is None:
            self.port_lost = True
            self._supervisor.ask_to_stop()
        self._teller.on_line(program, line)


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
    email, password = box.sign_in_path.read_text("utf-8").split()
    teller.say(f"  pages      {box.web_url} (your browser will not know its authority)")
    teller.say(f"  sign in    {email} with {password}, in this demo only")
    teller.say(f"  mailbox    {box.mailbox_url}")
    teller.say(f"  road       {box.panel_url} (each step as it happens: put it beside the shop)")
    teller.say(f"  metrics    {' and '.join(box.metrics_urls)}")
    teller.say(f"  gateway    {box.gateway_url}/openapi.json")
    teller.say(f"  API key    {box.key_path}")
    teller.say(f"  authority  {box.authority_path}")
    teller.say(f"  operate    {_program()} doctor --config {box.configuration_path}")
    teller.say("Purchases you make are told here. Ctrl-C stops everything.")


def _program() -> Path:
    """
    Return where the operator's program is: it need not be on the PATH.
    """
    return Path(sys.executable).with_name("counterfoil")


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
