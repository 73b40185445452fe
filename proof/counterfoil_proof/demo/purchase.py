"""
Buy something in the demo's shop as a browser would, and look at what everybody noted.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
from counterfoil_client import AsyncClient, CounterfoilError, Payment
from counterfoil_shop.app import books_path, folder_of
from counterfoil_shop.books import read_all

from counterfoil_proof.demo.sandbox import BUSINESS_EMAIL, Sandbox

PRODUCT = "counterfoil-book"
ENDS_OF_THE_DAY = ("batched", "settled", "funded")
CUSTOMER = "ada@shopper.example"
PAGE_SECONDS_MAX = 60.0
UNDECIDED_SECONDS_MAX = 60.0
BOOKS_SECONDS_MAX = 30.0
MAIL_SECONDS_MAX = 15.0
MAIL_SETTLE_SECONDS = 0.5
POLL_SECONDS = 0.1


class PurchaseFailed(Exception):
    """
    The purchase did not go as it should; the message says where.
    """


class Purchase(msgspec.Struct, kw_only=True):
    """
    What came of it, in everybody's words.
    """

    order: str
    status: str
    payment_id: str | None
    rrn: str | None
    confirmation_number: str | None
    amount_minor: int
    payment_seconds: float
    page: str
    states: list[dict[str, str]] = msgspec.field(default_factory=list)
    emails: dict[str, int] = msgspec.field(default_factory=dict)
    faults: list[str] = msgspec.field(default_factory=list)


async def buy(sandbox: Sandbox, card: str) -> Purchase:
    """
    Place an order in the shop with *card* and wait until it is decided.

    Raises:
        PurchaseFailed: The shop refused the form, or did not decide in time.
    """
    async with _visiting("the shop", sandbox.shop_url) as browser:
        form = await _form(browser)
        began = time.monotonic()
        placed = await browser.post(
            "/checkout", data={**form, **_typed(card)}, headers={"Origin": sandbox.shop_url}
        )
        if placed.status_code != httpx2.codes.SEE_OTHER:
            raise PurchaseFailed(f"the shop did not take the form: {_faults(placed.text)}")
        page = placed.headers["location"]
        order = await _decided(browser, page)
        took = time.monotonic() - began
    return Purchase(
        order=order["order"],
        status=order["status"],
        payment_id=order["payment_id"],
        rrn=order["rrn"],
        confirmation_number=order["confirmation_number"],
        amount_minor=order["amount_minor"],
        payment_seconds=round(took, 3),
        page=f"{sandbox.shop_url}{urlsplit(page).path}?{urlsplit(page).query}",
    )


async def look(sandbox: Sandbox, bought: Purchase) -> None:
    """
    Add the gateway's history and the mails, and compare everybody's books.
    """
    payment = await _payment(sandbox, bought)
    if payment is not None:
        bought.states = _states(payment)
    expected = 1 if bought.status == "paid" else 0
    bought.emails = await _emails(sandbox, bought.order, expected)
    compared = await _compared(sandbox, bought, payment)
    bought.faults = [*compared, *_mail_faults(bought, expected)]


@asynccontextmanager
async def _visiting(whom: str, url: str) -> AsyncIterator[httpx2.AsyncClient]:
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=PAGE_SECONDS_MAX) as browser:
            yield browser
    except httpx2.HTTPError as error:
        raise PurchaseFailed(f"{whom} does not answer as it should: {error}") from error


async def _form(browser: httpx2.AsyncClient) -> dict[str, str]:
    answer = await browser.get("/checkout", params={"product": PRODUCT, "quantity": "1"})
    answer.raise_for_status()
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text)
    return dict(hidden)


def _typed(card: str) -> dict[str, str]:
    amex = card.startswith(("34", "37"))
    return {
        "name": "Ada Lovelace",
        "email": CUSTOMER,
        "card_number": card,
        "card_expiry": "12/30",
        "card_cvv": "1234" if amex else "123",
        "postal_code": "97201",
    }


def _faults(page: str) -> str:
    found = re.findall(r'class="fault" id="[^"]+">([^<]+)<', page)
    return " ".join(found) or "no reason was given"


async def _decided(browser: httpx2.AsyncClient, page: str) -> dict[str, Any]:
    parts = urlsplit(page)
    token = parse_qs(parts.query)["token"][0]
    deadline = time.monotonic() + UNDECIDED_SECONDS_MAX
    while time.monotonic() < deadline:
        answer = await browser.get(f"{parts.path}.json", params={"token": token})
        answer.raise_for_status()
        order: dict[str, Any] = answer.json()
        if order["status"] != "unknown":
            return order
        await asyncio.sleep(POLL_SECONDS)
    raise PurchaseFailed(f"order {parts.path} was not decided within {UNDECIDED_SECONDS_MAX:g} s")


async def _payment(sandbox: Sandbox, bought: Purchase) -> Payment | None:
    if bought.payment_id is None:
        return None
    key = sandbox.key_path.read_text("utf-8").strip()
    journal = sandbox.folder / "shop" / "look.db"
    try:
        async with AsyncClient(
            sandbox.gateway_url, key, ca=sandbox.authority_path, journal=journal
        ) as client:
            return await client.get(bought.payment_id)
    except CounterfoilError as error:
        raise PurchaseFailed(f"the gateway does not tell about the payment: {error}") from error


def _states(payment: Payment) -> list[dict[str, str]]:
    """
    Return each state once, with the time it was entered: the payment's, then its capture's.
    """
    captures = {each.id for each in payment.movements if each.kind == "capture"}
    states: list[dict[str, str]] = []
    for each in payment.states:
        state = each.state
        if each.movement in captures and each.movement_state in ENDS_OF_THE_DAY:
            state = each.movement_state
        if not states or state not in {known["state"] for known in states}:
            states.append({"state": state, "at": each.at.isoformat().replace("+00:00", "Z")})
    return states


async def _emails(sandbox: Sandbox, order: str, expected: int) -> dict[str, int]:
    """
    Count the receipts for *order*: wait for those expected, and a moment more for any too many.
    """
    deadline = time.monotonic() + MAIL_SECONDS_MAX
    async with _visiting("the mailbox", sandbox.mailbox_url) as browser:
        while time.monotonic() < deadline:
            if all(count >= expected for count in (await _count(browser, order)).values()):
                break
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.sleep(MAIL_SETTLE_SECONDS)
        return await _count(browser, order)


async def _count(browser: httpx2.AsyncClient, order: str) -> dict[str, int]:
    answer = await browser.get("/messages.json")
    answer.raise_for_status()
    receipts = [
        str(each["to"])
        for each in answer.json()
        if str(each["subject"]).endswith(f"for order {order}")
    ]
    return {
        "customer": sum(CUSTOMER in each for each in receipts),
        "merchant": sum(BUSINESS_EMAIL in each for each in receipts),
    }


async def _compared(sandbox: Sandbox, bought: Purchase, payment: Payment | None) -> list[str]:
    """
    Return where shop, gateway and rail do not tell the same story.
    """
    faults = []
    shop = {
        str(each.number): each.status for each in read_all(books_path(folder_of(sandbox.folder)))
    }
    if shop.get(bought.order) != bought.status:
        faults.append(f"the shop's book says {shop.get(bought.order)}, its page {bought.status}")
    if payment is None:
        return [*faults, "the order has no payment"]
    charges = [each for each in await _rail_charges(sandbox) if each["rrn"] == bought.rrn]
    expected = {"paid": "captured", "not_paid": "declined"}.get(bought.status)
    found = [each["state"] for each in charges]
    if bought.status == "paid" and payment.state != "captured":
        faults.append(f"the shop is paid and the gateway says {payment.state}")
    if bought.status == "not_paid" and payment.charged is not False:
        faults.append(f"the shop is not paid and the gateway says {payment.state}")
    if payment.state == "declined" or bought.status == "paid":
        if found != [expected]:
            faults.append(f"the rail's book says {found or 'nothing'} instead of {expected}")
        elif charges[0]["amount_minor"] != bought.amount_minor:
            faults.append(f"the rail charged {charges[0]['amount_minor']}")
    return faults


async def _rail_charges(sandbox: Sandbox) -> list[dict[str, Any]]:
    """
    Ask the rail for its books by its own command: it is a witness, not a library.
    """
    asking = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "counterfoil_rail", "books", "--json", "--state", str(sandbox.folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(asking.communicate(), BOOKS_SECONDS_MAX)
    charges: list[dict[str, Any]] = json.loads(told)
    return charges


def _mail_faults(bought: Purchase, expected: int) -> list[str]:
    return [
        f"{count} receipts reached the {whom} instead of {expected}"
        for whom, count in bought.emails.items()
        if count != expected
    ]
