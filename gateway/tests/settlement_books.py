"""
A merchant's closed batches, and the files that an acquirer and a bank would send about them.

Rows are made in bulk, as the road of a payment would have left them: payments, captures and
refunds, closed batches and their journal. The files are written from the formats' descriptions,
knowing nothing of the readers.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from xml.sax.saxutils import escape

import asyncpg
from counterfoil.clock import Clock
from counterfoil.config import Acquirer
from counterfoil.ids import Ids
from counterfoil.money import currency, decimal_text
from counterfoil.settlement.incoming import Intake, Taken
from counterfoil.store.database import Database
from counterfoil.store.deposits import DepositStore
from counterfoil.store.merchants import MerchantStore, Terminal
from counterfoil.store.settlement import SettlementStore
from payment_stage import HandClock, Stage, new_merchant

DAY = date(2026, 11, 23)
VALUE = date(2026, 11, 24)
TERMINAL = "TERM0001"


class Item(NamedTuple):
    """A capture or refund of ours; the amount is positive."""

    movement_id: UUID
    payment_id: UUID
    kind: str
    rrn: str
    amount_minor: int
    batch_number: int
    currency: str


class Line(NamedTuple):
    """What the acquirer says of one item; refunds are negative."""

    kind: str
    rrn: str
    amount_minor: int
    batch_number: int = 1
    currency: str = "USD"
    fees: tuple[int, int, int] = (63, 5, 10)
    approval: str = "A1B2C3"
    last_four: str = "1111"
    on: date = DAY
    terminal_id: str = TERMINAL


class Paid(NamedTuple):
    """What the bank says it booked; a return or debit is negative."""

    amount_minor: int
    reference: str
    on: date = VALUE
    is_return: bool = False
    text: str = "ACH SETTLEMENT"


def line_of(item: Item, **changes: Any) -> Line:
    """Return the line that settles *item*."""
    is_refund = item.kind == "refund"
    line = Line(
        "REFUND" if is_refund else "SALE",
        item.rrn,
        -item.amount_minor if is_refund else item.amount_minor,
        item.batch_number,
        item.currency,
        (0, 0, 0) if is_refund else (63, 5, 10),
    )
    return line._replace(**changes)


def net_of(lines: Sequence[Line], adjustments: Sequence[tuple[str, int]] = ()) -> int:
    """Return what is paid for *lines*."""
    return sum(each.amount_minor - sum(each.fees) for each in lines) + sum(
        amount for _, amount in adjustments
    )


class Books:
    """
    One merchant with closed batches, at an acquirer of its own.
    """

    def __init__(
        self, database: Database, merchant_id: UUID, acquirer: str, acceptor: str, clock: Clock
    ) -> None:
        self.database = database
        self.merchant_id = merchant_id
        self.acquirer = acquirer
        self.acceptor = acceptor
        self.clock = clock
        self._ids = Ids(clock)
        self.store = SettlementStore(database)
        self.deposits = DepositStore(database)
        self._rrn = 632_700_000_000
        self._statements = 0
        self.balance_minor = 0
        settings = Acquirer(
            name=acquirer,
            mode="test",
            host="127.0.0.1",
            port=1,
            institution_id="123456",
            forwarding_id="987654",
        )
        self.intake = Intake(self.store, [settings], clock, Ids(clock))

    @classmethod
    async def set_up(cls, database: Database) -> "Books":
        clock = HandClock()
        acquirer = f"acquirer-{uuid4().hex[:12]}"
        acceptor = f"M{uuid4().hex[:14].upper()}"
        merchant = new_merchant()
        await MerchantStore(database, clock).add(merchant, [Terminal(acquirer, TERMINAL, acceptor)])
        return cls(database, merchant.merchant_id, acquirer, acceptor, clock)

    @classmethod
    async def of_stage(cls, stage: Stage) -> "Books":
        """Return the books of a merchant that stands on a stage, with an acceptor id of its own."""
        merchant_id = stage.merchant.merchant_id
        acceptor = f"M{uuid4().hex[:14].upper()}"
        await stage.sql(
            "UPDATE terminals SET card_acceptor_id = $2 WHERE merchant_id = $1",
            merchant_id,
            acceptor,
        )
        return cls(stage.database, merchant_id, stage.acquirer, acceptor, stage.clock)

    async def batch(
        self,
        *items: tuple[str, int],
        number: int = 1,
        code: str = "USD",
        state: str = "closed",
        settlement_date: str = "1123",
    ) -> list[Item]:
        """Make a batch of *items* (kind, amount), closed with the acquirer."""
        made = [self._item(kind, amount, number, code) for kind, amount in items]
        now = self.clock.now()
        is_closed = state == "closed"
        async with self.database.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, "
                "state, opened_at, closed_at, settlement_date) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
                *(self.merchant_id, self.acquirer, TERMINAL, code, number, state, now),
                *((now, settlement_date) if is_closed else (None, None)),
            )
            await self._insert(connection, made, "batched" if is_closed else "pending")
            for kind, debit, credit in (
                ("capture", "batched", "open"),
                ("refund", "open", "batched"),
            ):
                total = sum(each.amount_minor for each in made if each.kind == kind)
                if is_closed and total:
                    await connection.execute(
                        "INSERT INTO transfers (merchant_id, transfer_id, debit_account, "
                        "credit_account, amount_minor, currency, cause, at, reference) "
                        "VALUES ($1, $2, $3, $4, $5, $6, 'batch_closed', $7, $8)",
                        *(self.merchant_id, uuid4(), debit, credit, total, code, now),
                        f"{TERMINAL}/{code}/{number:06d}",
                    )
        return made

    async def close(self, number: int, code: str = "USD") -> None:
        """Close a batch that was made open or closing."""
        where = (self.merchant_id, self.acquirer, TERMINAL, code, number)
        await self.sql(
            "UPDATE batches SET state = 'closed', closed_at = $6, settlement_date = '1123' "
            "WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4 "
            "AND batch_number = $5",
            *where,
            self.clock.now(),
        )
        await self.sql(
            "UPDATE movements SET state = 'batched' WHERE merchant_id = $1 AND acquirer = $2 "
            "AND terminal_id = $3 AND currency = $4 AND batch_number = $5 AND state = 'pending'",
            *where,
        )

    def _item(self, kind: str, amount: int, number: int, code: str) -> Item:
        self._rrn += 1
        movement_id, payment_id = self._ids.new(), self._ids.new()
        return Item(movement_id, payment_id, kind, f"{self._rrn:012d}", amount, number, code)

    async def _insert(self, connection: asyncpg.Connection, items: list[Item], state: str) -> None:
        now = self.clock.now()
        await connection.copy_records_to_table(
            "payments",
            records=[
                (
                    self.merchant_id, each.payment_id, uuid4().hex, "sale", "captured", 1, uuid4(),
                    each.amount_minor, each.currency, each.amount_minor, each.amount_minor,
                    uuid4(), "visa", "411111", "1111", self.acquirer, TERMINAL, each.batch_number,
                    DAY, 1, each.rrn, now, "1123063000", uuid4(), "session", "00", "A1B2C3", now,
                    now,
                )
                for each in items
            ],
            columns=[
                "merchant_id", "payment_id", "idempotency_key", "kind", "state", "version",
                "changed_by", "amount_minor", "currency", "authorized_minor", "captured_minor",
                "card_token", "card_brand", "card_bin", "card_last_four", "acquirer",
                "terminal_id", "batch_number", "business_day", "stan", "rrn", "transmitted_at",
                "local_time", "process_id", "session_id", "response_code", "approval_code",
                "created_at", "updated_at",
            ],
        )  # fmt: skip
        await connection.copy_records_to_table(
            "movements",
            records=[
                (
                    self.merchant_id, each.movement_id, each.payment_id, each.kind, state,
                    each.amount_minor, each.currency, self.acquirer, TERMINAL, each.batch_number,
                    each.rrn, now, now,
                )
                for each in items
            ],
            columns=[
                "merchant_id", "movement_id", "payment_id", "kind", "state", "amount_minor",
                "currency", "acquirer", "terminal_id", "batch_number", "rrn", "created_at",
                "updated_at",
            ],
        )  # fmt: skip
        await connection.copy_records_to_table(
            "batch_items",
            records=[
                (
                    self.merchant_id, self.acquirer, TERMINAL, each.currency, each.batch_number,
                    number, each.movement_id, each.payment_id, each.kind, each.amount_minor, "visa",
                )
                for number, each in enumerate(items, start=1)
            ],
            columns=[
                "merchant_id", "acquirer", "terminal_id", "currency", "batch_number",
                "item_number", "movement_id", "payment_id", "kind", "amount_minor", "brand",
            ],
        )  # fmt: skip

    def report(
        self,
        *groups: tuple[str, Sequence[Line]],
        adjustments: dict[str, Sequence[tuple[str, int]]] | None = None,
        day: date = DAY,
        value: date = VALUE,
        number: int = 1,
        institution: str = "123456",
        acceptor: str | None = None,
    ) -> bytes:
        """Write the report of a day: deposits by reference, each with its lines."""
        whose = acceptor or self.acceptor
        records = [
            f"H,COUNTERFOIL-SETTLEMENT,1,{institution},{whose},{day},{whose}-{day:%Y%m%d}-{number}"
        ]
        everything = [line for _, lines in groups for line in lines]
        place = nets = 0
        for reference, lines in groups:
            for line in lines:
                place += 1
                records.append(
                    f"P,{place},{line.terminal_id},{line.batch_number:06d},{line.kind},{line.rrn},"
                    f"{line.approval},************{line.last_four},visa,{line.currency},"
                    f"{line.amount_minor},{','.join(map(str, line.fees))},{reference},{line.on}"
                )
            given = (adjustments or {}).get(reference, ())
            code = lines[0].currency if lines else "USD"
            records += [f"A,{reference},{kind},{code},{minor},told" for kind, minor in given]
            net = net_of(lines, given)
            nets += net
            records.append(
                f"D,{reference},{code},{sum(max(each.amount_minor, 0) for each in lines)},"
                f"{sum(max(-each.amount_minor, 0) for each in lines)},"
                f"{sum(sum(each.fees) for each in lines)},{sum(minor for _, minor in given)},"
                f"{net},{value},{len(lines)}"
            )
        fees = [sum(each.fees[at] for each in everything) for at in range(3)]
        hash_total = sum(int(each.rrn) for each in everything) % 10**12
        records.append(
            f"T,{len(records) + 1},{place},{hash_total:012d},"
            f"{sum(each.amount_minor for each in everything)},{','.join(map(str, fees))},{nets}"
        )
        return "".join(f"{record}\n" for record in records).encode()

    def statement(
        self,
        *entries: Paid,
        code: str = "USD",
        day: date | None = None,
        account: str | None = None,
        opening_minor: int | None = None,
        name: str | None = None,
    ) -> bytes:
        """Write the next statement as camt.053; it opens with what the last one closed with."""
        self._statements += 1
        on = day or VALUE + timedelta(days=self._statements - 1)
        opening = self.balance_minor if opening_minor is None else opening_minor
        closing = opening + sum(each.amount_minor for each in entries)
        self.balance_minor = closing
        unit = currency(code)

        def amount(minor: int) -> str:
            side = "CRDT" if minor >= 0 else "DBIT"
            text = decimal_text(abs(minor), unit)
            return f'<Amt Ccy="{code}">{text}</Amt><CdtDbtInd>{side}</CdtDbtInd>'

        def balance(kind: str, minor: int) -> str:
            kinds = f"<Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
            return f"<Bal>{kinds}{amount(minor)}<Dt><Dt>{on}</Dt></Dt></Bal>"

        booked = "".join(
            f"<Ntry>{amount(each.amount_minor)}<Sts><Cd>BOOK</Cd></Sts>"
            f"<BookgDt><Dt>{on}</Dt></BookgDt><ValDt><Dt>{each.on}</Dt></ValDt>"
            f"<AcctSvcrRef>B{place}</AcctSvcrRef><NtryDtls><TxDtls>"
            f"<Refs><EndToEndId>{each.reference or 'NOTPROVIDED'}</EndToEndId></Refs>"
            f"<RmtInf><Ustrd>{escape(each.text)}</Ustrd></RmtInf>"
            + ("<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>" if each.is_return else "")
            + "</TxDtls></NtryDtls></Ntry>"
            for place, each in enumerate(entries, start=1)
        )
        return (
            '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
            f"<GrpHdr><MsgId>{self._statements}</MsgId></GrpHdr>"
            f"<Stmt><Id>{name or f'S-{self._statements}'}</Id><Acct><Id><Othr><Id>"
            f"{account or self.acceptor + code}</Id></Othr></Id><Ccy>{code}</Ccy></Acct>"
            f"{balance('OPBD', opening)}{balance('CLBD', closing)}{booked}"
            "</Stmt></BkToCstmrStmt></Document>"
        ).encode()

    async def take(self, content: bytes, name: str = "file") -> Taken:
        return await self.intake.take_file(content, name)

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.database.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows

    async def of(self, table: str, order: str = "1") -> list[asyncpg.Record]:
        """Return the merchant's rows of *table*."""
        return await self.sql(
            f"SELECT * FROM {table} WHERE merchant_id = $1 ORDER BY {order}", self.merchant_id
        )

    async def outcomes(self) -> list[str]:
        """Return what the report's lines turned out to be, in their order."""
        rows = await self.of("settlement_lines", "reference, line")
        return [row["outcome"] for row in rows]

    async def entry_outcomes(self) -> list[str]:
        rows = await self.of("bank_entries", "booked_on, statement_id, number")
        return [row["outcome"] for row in rows]

    async def movement_states(self, items: Sequence[Item]) -> list[str]:
        states = {row["movement_id"]: row["state"] for row in await self.of("movements")}
        return [states[each.movement_id] for each in items]

    async def findings(self, state: str = "open") -> list[tuple[str, int]]:
        """Return kind and amount of the findings in *state*."""
        rows = await self.of("findings", "kind, subject")
        return [(row["kind"], row["amount_minor"]) for row in rows if row["state"] == state]

    async def deposit(self, reference: str) -> asyncpg.Record:
        found = await self.deposits.deposit(self.merchant_id, reference)
        assert found is not None
        return found

    async def history(self, reference: str) -> list[tuple[str | None, str]]:
        rows = await self.sql(
            "SELECT from_state, to_state FROM deposit_events WHERE merchant_id = $1 "
            "AND reference = $2 ORDER BY at, event_id",
            self.merchant_id,
            reference,
        )
        return [(row["from_state"], row["to_state"]) for row in rows]

    async def balances(self, reference: str | None = None) -> dict[str, int]:
        """Return the journal's balances (debits less credits), of one deposit or of all."""
        found: dict[str, int] = {}
        for row in await self.of("transfers"):
            if reference in (None, row["reference"]):
                debit, credit, amount = (
                    row["debit_account"],
                    row["credit_account"],
                    row["amount_minor"],
                )
                found[debit] = found.get(debit, 0) + amount
                found[credit] = found.get(credit, 0) - amount
        return {account: minor for account, minor in found.items() if minor}

    async def everything(self) -> dict[str, int]:
        """Return how many rows every table of the settlement has of this merchant."""
        return {table: len(await self.of(table)) for table in TABLES}


TABLES = (
    "settlement_lines",
    "deposits",
    "deposit_events",
    "deposit_adjustments",
    "bank_statements",
    "bank_entries",
    "findings",
    "transfers",
    "movement_events",
)
