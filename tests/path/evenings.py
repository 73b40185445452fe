"""
The end of a merchant's day in a sandbox: what is sold, closed, settled and paid, on both sides.

The rail is asked by the functions behind its commands, which tell from its own books.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from counterfoil import ids
from counterfoil.ledger.audit import Audit, Difference, audit
from counterfoil.ledger.listing import our_books
from counterfoil.opened import open_database
from counterfoil_proof.books import against_charges
from counterfoil_rail.control import ADVANCE_SECONDS_MAX, ask
from counterfoil_rail.listing import charges
from counterfoil_rail.settlement import listing
from counterfoil_rail.settlement.banking_days import is_banking_day
from counterfoil_rail.settlement.day import show
from counterfoil_rail.store import rail_folder

from .agreement import agreed
from .merchants import Merchant, new_key, payment
from .sandboxes import Json, Log, Sandbox, eventually, run

AT_ONCE = 20
DAYS_MAX = 7  # A long weekend and what comes after it.
GONE_THERE = ("reversed", "released")
ITEMS = """
SELECT currency, batch_number, rrn, kind, amount_minor, state FROM movements
WHERE merchant_id = $1 AND kind IN ('capture', 'refund') AND state NOT IN ('undone', 'failed')
"""
FROZEN = """
SELECT i.currency, i.batch_number, m.rrn, i.kind, i.amount_minor
FROM batch_items AS i JOIN movements AS m USING (merchant_id, movement_id)
WHERE i.merchant_id = $1
"""

Item = tuple[str, int, str, str, int]  # Currency, batch, RRN, kind, amount.


class Acquirer:
    """
    The rail of *sandbox*, and the bank behind it.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._state = sandbox.folder
        self._folder = rail_folder(sandbox.folder)
        self._sandbox = sandbox

    async def fault(self, name: str, value: str = "1") -> None:
        """Arm a fault, which counts down by itself."""
        await asyncio.to_thread(ask, self._folder, {"set": [name, value]})

    def batch(self, name: str) -> Json:
        """Return the batch of that name."""
        terminal, currency, number = name.split("/")
        [found] = [
            each
            for each in listing.batches(self._state)
            if (each["terminal_id"], each["currency"], each["number"])
            == (terminal, currency, number)
        ]
        return found

    def charges(self, terminal_id: str) -> list[Json]:
        """Return the charges of a terminal."""
        return [each for each in charges(self._state) if each["terminal_id"] == terminal_id]

    def deposits(self, terminal_id: str) -> list[Json]:
        """Return the deposits that pay for a terminal's items, or take adjustments from it."""
        acceptor = f"MERCHANT{int(terminal_id.removeprefix('TERM')):07d}"
        return [each for each in listing.deposits(self._state) if each["merchant"] == acceptor]

    async def advance(self) -> date:
        """End the business day, and wait until the gateway has what was written."""
        today = await self.end_day()
        await self.is_read()
        return today

    async def end_day(self) -> date:
        """End the business day; return the next one."""
        answer = await asyncio.to_thread(
            ask, self._folder, {"advance": 1}, seconds=ADVANCE_SECONDS_MAX
        )
        return date.fromisoformat(answer["days"][-1][0])

    async def reach_a_day_that_pays_tomorrow(self) -> None:
        """Go on until today and tomorrow are banking days: what is settled now is booked then."""
        today = date.fromisoformat(str(show(self._state)["business_day"]))
        while not (is_banking_day(today) and is_banking_day(today + timedelta(days=1))):
            today = await self.end_day()

    async def pay(self, terminal_id: str) -> None:
        """Go on until the bank has told of all that this terminal is owed, and it is read."""
        today = await self.end_day()
        for _ in range(DAYS_MAX):
            due = [date.fromisoformat(each["value_date"]) for each in self.deposits(terminal_id)]
            if all(each < today for each in due):
                await self.is_read()
                return
            today = await self.end_day()
        raise AssertionError("the bank does not pay")

    async def is_read(self) -> None:
        """Wait until the gateway has taken every file that lies in the folders."""
        digests = await asyncio.to_thread(_digests, self._folder / "files")
        async with self._sandbox.database() as database:

            async def taken() -> bool:
                known = await database.fetchval(
                    "SELECT count(*) FROM incoming_files WHERE digest = ANY($1)", list(digests)
                )
                return bool(known == len(digests))

            await eventually(taken, "the gateway has taken every file")


class Evening:
    """
    One merchant, and what is done at the end of its days.
    """

    def __init__(self, merchant: Merchant) -> None:
        self.merchant = merchant
        self.sandbox = merchant.sandbox
        self.acquirer = Acquirer(merchant.sandbox)

    async def sell(self, *amounts: int, **changes: object) -> list[Json]:
        """Sell for each of *amounts*, confirmed; a few at once."""
        room = asyncio.Semaphore(AT_ONCE)

        async with self.merchant.api() as api:

            async def one(amount_minor: int) -> Json:
                async with room:
                    told = await self.charge(api, amount_minor=amount_minor, **changes)
                    if told["state"] != "approved":
                        return told
                    return await self.post(api, f"/v1/payments/{told['id']}/acknowledge")

            return list(await asyncio.gather(*(one(each) for each in amounts)))

    async def charge(self, api: httpx2.AsyncClient, **changes: object) -> Json:
        """Charge a card, and leave it at the first answer."""
        return await self.post(api, "/v1/payments", payment(**changes))

    async def post(self, api: httpx2.AsyncClient, path: str, body: Json | None = None) -> Json:
        """Return the answer to a command under a new key."""
        headers = {"Idempotency-Key": new_key()}
        answer = await api.post(path, json=body or {}, headers=headers)
        told: Json = answer.raise_for_status().json()
        return told

    async def change(self, told: Json, move: str) -> Json:
        """Capture, void or refund a payment."""
        async with self.merchant.api() as api:
            return await self.post(api, f"/v1/payments/{told['id']}/{move}")

    async def listed(self, what: str) -> list[Json]:
        """Return the newest batches, deposits or findings, as the API tells them."""
        async with self.merchant.api() as api:
            answer = await api.get(f"/v1/{what}")
        found: list[Json] = answer.raise_for_status().json()["data"]
        return found

    async def deposit(self, reference: str) -> Json:
        """Return a deposit explained."""
        async with self.merchant.api() as api:
            answer = await api.get(f"/v1/deposits/{reference}")
        told: Json = answer.raise_for_status().json()
        return told

    async def begin_close(self) -> list[str]:
        """Ask for the close; return the names of the batches that it has begun."""
        async with self.merchant.api() as api:
            answer = await api.post("/v1/batches/close", json={})
        return [each["batch"] for each in answer.raise_for_status().json()["data"]]

    async def close(self) -> Json:
        """Close the only batch that holds anything; return how it ended."""
        [name] = await self.begin_close()
        return await self.ended(name)

    async def ended(self, name: str) -> Json:
        """Wait until the batch is closed, or needs a person."""
        found: list[Json] = []

        async def has_ended() -> bool:
            found[:] = [each for each in await self.listed("batches") if each["batch"] == name]
            return found[0]["state"] in ("closed", "needs_a_person")

        await eventually(has_ended, f"batch {name} has ended")
        return found[0]

    async def audit(self) -> Audit:
        """Audit the merchant's books."""
        async with open_database(self.sandbox.configuration) as database:
            return await audit(database, self.merchant.merchant_id, now=datetime.now(UTC))

    async def nightly_differences(self) -> list[Difference]:
        """Return what our books and the rail's charges disagree about."""
        async with open_database(self.sandbox.configuration) as database:
            found = await audit(database, self.number, now=datetime.now(UTC))
            ours = await our_books(database, self.number)
        theirs = self.acquirer.charges(self.merchant.terminal_id)
        return [*found.differences, *against_charges(ours, theirs)]

    async def audit_with_everybody(self) -> tuple[int, Json]:
        """Audit by the operator's command, against the rail's books too; return its exit code."""
        whose = ("--merchant", self.merchant.written_id)
        code, told = await self.told("audit", *whose, "--sandbox", str(self.sandbox.folder))
        return code, told

    async def told(self, *words: str) -> tuple[int, Any]:
        """Run a gateway's command as an operator would; return its exit code and its JSON."""
        code, said, complained = await run(
            "counterfoil",
            *words,
            "--json",
            COUNTERFOIL_CONFIG=str(self.sandbox.plan.configuration_path),
        )
        assert said, complained
        return code, json.loads(said)

    async def agreed(self) -> dict[str, Json]:
        """Compare everybody's books, item by item and batch by batch; return the payments."""
        payments = await agreed(self.merchant)
        async with self.sandbox.database() as database:
            rows = await database.fetch(ITEMS, self.merchant.merchant_id)
            frozen = await database.fetch(FROZEN, self.merchant.merchant_id)
        ours = sorted(tuple(row.values())[:-1] for row in rows)
        theirs = sorted(_items(self.acquirer.charges(self.merchant.terminal_id)))
        assert ours == theirs
        closed = sorted(tuple(row.values())[:-1] for row in rows if row["state"] != "pending")
        assert closed == sorted(tuple(row.values()) for row in frozen)
        captured = sum(each["captured_minor"] for each in payments.values())
        assert captured == sum(item[4] for item in ours if item[3] == "capture")
        return payments

    def heard(self, rail: Log, mti: str) -> list[Json]:
        """Return the messages of this terminal that the rail has had."""
        return rail.said("message", mti=mti, terminal=self.merchant.terminal_id)

    @property
    def number(self) -> Any:
        """The merchant's id in the database."""
        return ids.read(ids.MERCHANT, self.merchant.written_id)


def count_and_amount(side: Json) -> tuple[int, int]:
    """
    Return how many items one side counts, and their net amount.
    """
    return side["count"], side["amount_minor"]


def _items(told: Iterable[Json]) -> Iterable[Item]:
    for charge in told:
        for each in charge["movements"]:
            if each["state"] not in GONE_THERE:
                kind = "refund" if each["kind"] in ("refund", "credit") else "capture"
                batch = int(each["batch"])
                amount = each["amount_minor"] - each["reversed_minor"]
                yield charge["currency"], batch, each["rrn"], kind, amount


def _digests(folder: Path) -> set[bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part"]
    return {hashlib.sha256(path.read_bytes()).digest() for path in files}
