"""
A merchant's whole day on the real store: payments, a closed batch, the report, the statement.

The acquirer's report and the bank's statement are written here from the formats' descriptions,
from what stands in the batch; everything else is the gateway's own code.
"""

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from counterfoil.config import Acquirer
from counterfoil.ledger.audit import Audit, audit
from counterfoil.ledger.chain import SETTLE, Sealer
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments.lifecycle import Kind
from counterfoil.payments.movements import capture, refund, void
from counterfoil.settlement.close import Closer, begin
from counterfoil.settlement.incoming import Intake, Taken
from counterfoil.store.batches import BatchStore
from counterfoil.store.chain import ChainStore
from counterfoil.store.database import Database
from counterfoil.store.settlement import SettlementStore
from payment_stage import START, Stage
from scripted_link import ScriptedLink, answered

FEES = (60, 10, 30)  # Interchange, scheme fee and markup of each capture.
VALUE_DAY = (START + timedelta(days=1)).date()
NUMBERS = count(1)
ROUNDS_MAX = 200


class ClosingLink(ScriptedLink):
    """
    A host that agrees with every total.
    """

    async def request(
        self, mti: str, fields: Fields, *, send_before: float, answer_within: float
    ) -> Outcome:
        if mti in ("0500", "0501"):
            echo = {f"f{n}": fields[n] for n in (50, 60, *range(74, 78), 81, *range(86, 90), 97)}
            return answered(mti, fields, "00", f15="1123", f66="1", **echo)
        return await super().request(
            mti, fields, send_before=send_before, answer_within=answer_within
        )


class Day:
    """
    A stage whose day goes as far as a test lets it.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.number = next(NUMBERS)
        self.reference = f"CF261123{self.number:06d}"
        self.store = BatchStore(stage.database, uuid4())
        self.sealer = Sealer(ChainStore(stage.database), stage.clock)
        settings = Acquirer(
            name=stage.acquirer,
            mode="test",
            host="127.0.0.1",
            port=1,
            institution_id="123456",
            forwarding_id="987654",
        )
        self.intake = Intake(
            SettlementStore(stage.database), [settings], stage.clock, stage.road.ids
        )

    @classmethod
    async def empty(cls, database: Database) -> "Day":
        """Return a day on which nothing has been sold yet."""
        return cls(await Stage.set_up(database, link=ClosingLink()))

    @classmethod
    async def begun(cls, database: Database) -> "Day":
        """Take three sales (one voided, one refunded), a capture, a hold, and declines."""
        stage = await Stage.set_up(database, link=ClosingLink())
        await stage.paid(amount_minor=4200)
        refunded = await stage.paid(amount_minor=2500)
        await refund(stage.command(refunded), stage.road)
        await void(stage.command(await stage.paid(amount_minor=700)), stage.road)
        held = await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=3000)
        await capture(stage.command(held), stage.road)
        await stage.paid(kind=Kind.AUTHORIZATION, amount_minor=900)
        stage.link.script.append(lambda mti, fields: answered(mti, fields, "05"))
        await stage.take(amount_minor=100)
        while await stage.forwarder().forward():
            pass
        return cls(stage)

    @classmethod
    async def whole(cls, database: Database) -> "Day":
        """Return a day that ended well: closed, settled, funded, sealed."""
        day = await cls.begun(database)
        await day.close()
        await day.settle()
        await day.fund()
        await day.seal()
        return day

    async def close(self) -> None:
        """Close the batch with the host."""
        await close_batch(self.stage)
        states = await self.stage.sql(
            "SELECT state FROM batches WHERE merchant_id = $1 ORDER BY batch_number",
            self.stage.merchant.merchant_id,
        )
        assert [row["state"] for row in states] == ["closed", "open"]

    async def items(self) -> list[Any]:
        """Return what stands in the closed batches, as an acquirer knows it."""
        return await self.stage.sql(
            "SELECT i.kind, i.batch_number, i.amount_minor, m.rrn, p.approval_code, p.card_brand, "
            "p.card_last_four "
            "FROM batch_items AS i JOIN movements AS m USING (merchant_id, movement_id) "
            "JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id "
            "WHERE i.merchant_id = $1 ORDER BY m.rrn",
            self.stage.merchant.merchant_id,
        )

    async def settle(self, *, chargeback_minor: int = 500, **changes: int) -> Taken:
        """Write the acquirer's report and take it; *changes* alter the first line's amount."""
        report = report_of(
            await self.items(),
            self.reference,
            number=self.number,
            chargeback_minor=chargeback_minor,
            **changes,
        )
        taken = await self.intake.take_file(report, f"report-{self.number}.csv")
        assert taken.state == "read", taken.reason
        return taken

    async def net(self) -> int:
        """Return what the bank has to pay."""
        rows = await self.stage.sql(
            "SELECT net_minor FROM deposits WHERE merchant_id = $1 AND reference = $2",
            self.stage.merchant.merchant_id,
            self.reference,
        )
        net: int = rows[0]["net_minor"]
        return net

    async def fund(self, *amounts: int, opening: int = 0) -> Taken:
        """Write the bank's statement, of these amounts or the net, and take it."""
        paid = amounts or (await self.net(),)
        statement = statement_of(self.reference, paid, number=self.number, opening=opening)
        taken = await self.intake.take_file(statement, f"statement-{self.number}.xml")
        assert taken.state == "read", taken.reason
        return taken

    async def seal(self) -> None:
        """Let the journal settle and seal it."""
        self.stage.clock.move(SETTLE.total_seconds() + 1)
        self.sealer = Sealer(ChainStore(self.stage.database), self.stage.clock)
        while await self.sealer.seal():
            pass

    async def audit(self) -> Audit:
        """Audit the merchant's books."""
        stage = self.stage
        return await audit(stage.database, stage.merchant.merchant_id, now=stage.clock.now())

    async def damage(self, statement: str) -> str:
        """Change rows behind the gateway's back; `$1` is the merchant."""
        async with self.stage.database.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            done: str = await connection.execute(statement, self.stage.merchant.merchant_id)
            return done


async def forward(stage: Stage, *, rounds: int = ROUNDS_MAX) -> None:
    """Send what is owed until nothing is."""
    forwarder = stage.forwarder()
    for _ in range(rounds):
        if not await forwarder.forward():
            return


async def close_batch(stage: Stage) -> None:
    """Close the stage's open batch with its host, which agrees."""
    store = BatchStore(stage.database, uuid4())
    stage.clock.move(60)
    keys = await store.to_close(stage.merchant.merchant_id, stage.clock.now())
    await begin(keys, store, stage.road, cause="test", actor="test")
    closer = Closer(stage.road, store, stage.merchants, [stage.acquirer], answer_seconds=1.0)
    for _ in range(3):
        stage.clock.move(1)
        await closer.step()
        await closer.finish()  # Two batches close side by side: neither is half-way afterwards.


async def audited(stage: Stage) -> None:
    """Seal the journal and check that the audit of the stage's merchant finds nothing."""
    stage.clock.move(SETTLE.total_seconds() + 1)
    sealer = Sealer(ChainStore(stage.database), stage.clock)
    while await sealer.seal():
        pass
    found = await audit(stage.database, stage.merchant.merchant_id, now=stage.clock.now())

    assert found.agrees, found.differences


def report_of(
    items: list[Any],
    reference: str,
    *,
    number: int,
    chargeback_minor: int = 0,
    first_more_minor: int = 0,
) -> bytes:
    """Return a settlement report of *items* and a chargeback."""
    file_id = f"MERCHANT0000001-20261123-{number}"
    records = [f"H,COUNTERFOIL-SETTLEMENT,1,123456,MERCHANT0000001,2026-11-23,{file_id}"]
    sums, fees, hashed = [0, 0], [0, 0, 0], 0
    for place, item in enumerate(items, start=1):
        is_refund = item["kind"] == "refund"
        amount = item["amount_minor"] + (first_more_minor if place == 1 else 0)
        own = (0, 0, 0) if is_refund else FEES
        sums[is_refund] += amount
        fees = [total + fee for total, fee in zip(fees, own, strict=True)]
        hashed += int(item["rrn"])
        code = "" if is_refund else item["approval_code"]
        records.append(
            f"P,{place},TERM0001,{item['batch_number']:06d},{'REFUND' if is_refund else 'SALE'},"
            f"{item['rrn']},{code},************{item['card_last_four']},{item['card_brand']},USD,"
            f"{-amount if is_refund else amount},"
            f"{','.join(map(str, own))},{reference},2026-11-23"
        )
    if chargeback_minor:
        records.append(f"A,{reference},CHARGEBACK,USD,{-chargeback_minor},case 77")
    net = sums[0] - sums[1] - sum(fees) - chargeback_minor
    records.append(
        f"D,{reference},USD,{sums[0]},{sums[1]},{sum(fees)},{-chargeback_minor},{net},"
        f"{VALUE_DAY},{len(items)}"
    )
    records.append(
        f"T,{len(records) + 1},{len(items)},{hashed % 10**12:012d},{sums[0] - sums[1]},"
        f"{','.join(map(str, fees))},{net}"
    )
    return ("\n".join(records) + "\n").encode()


def statement_of(
    reference: str, amounts: tuple[int, ...], *, number: int, opening: int = 0
) -> bytes:
    """Return a camt.053 statement that books *amounts* for one deposit."""
    entries = "".join(
        f'<Ntry><Amt Ccy="USD">{_decimal(minor)}</Amt><CdtDbtInd>{_side(minor)}</CdtDbtInd>'
        f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{VALUE_DAY}</Dt></BookgDt>"
        f"<ValDt><Dt>{VALUE_DAY}</Dt></ValDt><AcctSvcrRef>{number}-{place}</AcctSvcrRef>"
        f"<NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls></NtryDtls>"
        "</Ntry>"
        for place, minor in enumerate(amounts, start=1)
    )
    balances = "".join(
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="USD">{_decimal(minor)}</Amt><CdtDbtInd>{_side(minor)}</CdtDbtInd>'
        f"<Dt><Dt>{VALUE_DAY}</Dt></Dt></Bal>"
        for code, minor in (("OPBD", opening), ("CLBD", opening + sum(amounts)))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>M{number}</MsgId><CreDtTm>{VALUE_DAY}T20:00:00Z</CreDtTm></GrpHdr>"
        f"<Stmt><Id>S{number}</Id><ElctrncSeqNb>{number}</ElctrncSeqNb>"
        f"<CreDtTm>{VALUE_DAY}T20:00:00Z</CreDtTm>"
        "<Acct><Id><Othr><Id>MERCHANT0000001USD</Id></Othr></Id><Ccy>USD</Ccy></Acct>"
        f"{balances}{entries}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _decimal(minor: int) -> str:
    return f"{abs(minor) // 100}.{abs(minor) % 100:02d}"


def _side(minor: int) -> str:
    return "DBIT" if minor < 0 else "CRDT"
