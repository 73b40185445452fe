"""
One run of the benchmark: every part after the other, on one machine, in one installation.
"""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from counterfoil.clock import SystemClock
from counterfoil.ids import Ids
from counterfoil.ledger.audit import audit
from counterfoil.ledger.listing import our_books
from counterfoil.opened import open_database
from counterfoil.store.numbers import OpenBatches
from counterfoil_rail.listing import charges

from counterfoil_proof.bench import codec, machine, pages, pgbench, rows, settled, stored
from counterfoil_proof.bench.figures import Figures, Parts, Tell, one, split, summary
from counterfoil_proof.bench.installation import BASE, BEHIND, PAIR, Installation
from counterfoil_proof.bench.load import Measured
from counterfoil_proof.books import against_charges
from counterfoil_proof.demo import sandbox
from counterfoil_proof.demo.sandbox import ACQUIRER

CONNECTIONS = (1, 16, 64, 256)
COUNTED_CONNECTIONS = 16
LOOK_SECONDS = 0.5
OWED = """
SELECT (SELECT count(*) FROM outbox WHERE state = 'owed') AS mails,
    (SELECT count(*) FROM feed_pending) AS feed_rows
"""
COUNTED = 400  # Payments whose rows are counted.
OWN_SHARE = 0.5  # Of the best rate: where the gateway's own time is measured.
OWN_CONNECTIONS = 128
DIFFERENCES_SHOWN = 20
OPEN_ITEMS = 8_000  # In the open batch when only pages are measured: nearly all that one takes.


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long each part takes, in seconds, and what is left out.
    """

    pgbench_seconds: float
    load_seconds: float
    warm_seconds: float
    own_seconds: float
    codec_seconds: float
    drain_seconds: float
    counted: int = COUNTED
    clients: tuple[int, ...] = pgbench.CLIENTS
    connections: tuple[int, ...] = CONNECTIONS
    two_gateways: bool = False
    many_connections: int = 0
    stored: tuple[int, ...] = ()
    merchants: tuple[int, ...] = ()
    settled: int = 0


QUICK = Size(
    pgbench_seconds=2,
    load_seconds=3,
    warm_seconds=0.5,
    own_seconds=4,
    codec_seconds=1,
    drain_seconds=3,
)
WHOLE = Size(
    pgbench_seconds=10,
    load_seconds=15,
    warm_seconds=3,
    own_seconds=20,
    codec_seconds=4,
    drain_seconds=20,
    two_gateways=True,
    many_connections=1_000,
    stored=(10_000, 1_000_000),
    merchants=stored.MERCHANTS,
    settled=100_000,
)


async def run(folder: Path, size: Size, say: Tell) -> Figures:
    """
    Carry out the benchmark below *folder* and return its figures.

    Raises:
        BenchFailed, ProgramError: It could not be carried out.
    """
    tell = Parts(say)
    tell("Codec, beside pyiso8583")
    coded = codec.measure(size.codec_seconds)
    installation = Installation(folder)
    tell("Starting rail, mailbox and the embedded PostgreSQL")
    async with installation.running(*BASE):
        await sandbox.ensure_merchant(installation.box, installation.configuration)
        described = machine.describe(folder, await _version(installation))
        tell(f"Counting the rows of {size.counted} payments")
        written, confirmed = await _rows(installation, size)
        tell(f"pgbench with {', '.join(map(str, size.clients))} clients")
        beside = await pgbench.measure(installation, size.pgbench_seconds, size.clients)
        tell("The gateway, one process")
        runs = await _gateways(installation, size, say, "gateway")
        owed = await _owed(installation)
        best = max(runs, key=lambda each: each.payments_per_second)
        found: Figures = {}
        if size.two_gateways:
            tell("The gateway, two processes")
            pair = await _gateways(installation, size, say, *PAIR)
            confirmed += sum(each.confirmed for each in pair)
            found["two_processes"] = summary(pair)
        tell("The gateway's own time, at half of the best rate")
        own, owned = await _own_time(installation, size, best.payments_per_second * OWN_SHARE)
        confirmed += owned + sum(each.confirmed for each in runs)
        if size.settled:
            tell(f"Closing and reconciling {size.settled} payments")
            settling, more = await settled.measure(installation, size.settled)
            found["settled"], confirmed = msgspec.to_builtins(settling), confirmed + more
        if size.many_connections:
            tell(f"Memory, with {size.many_connections} connections")
            found["memory"], more = await _memory(installation, size.many_connections)
            confirmed += more
        tell("Audit")
        audited = await _audited(installation, confirmed)
        found |= await _growth(installation, size, tell, best.payments_per_second * OWN_SHARE)
        tell("Stopping")
    ours = rows.by_payment(written)
    theirs = {form: rows.by_payment(each) for form, each in beside.rows.items()}
    return {
        "pgbench_payments_per_second": beside.best,
        "gateway_payments_per_second": best.payments_per_second,
        "ratio": round(best.payments_per_second / beside.best, 3),
        "own_latency_ms_p99": own["steps"]["own"]["p99"],
        "codec_ratio": coded.ratio,
        "rows_per_payment": {
            "equal": all(rows.are_equal(ours, each) for each in theirs.values()),
            "gateway": msgspec.to_builtins(ours),
            "pgbench": msgspec.to_builtins(theirs),
            "shared_by_many": {
                table: msgspec.to_builtins(each)
                for table, each in written.items()
                if table not in ours
            },
        },
        "audit": audited,
        "pgbench": [one(each) for each in beside.runs],
        "one_process": {**summary(runs), "owed_after": owed},
        **found,
        "own_latency": own,
        "codec": msgspec.to_builtins(coded),
        "took_seconds": tell.took_seconds(),
        "machine": {**msgspec.to_builtins(described), "load_after": machine.load()},
    }


async def _version(installation: Installation) -> str:
    connection = await installation.connect()
    try:
        settings = [
            await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")
        ]
        assert settings == ["on", "on"], "what is not durable is not measured"
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


async def _rows(installation: Installation, size: Size) -> tuple[dict[str, rows.Written], int]:
    """
    Count what a payment writes until it has its number: the gateway alone, nobody behind it.
    """
    connection = await installation.connect()
    try:
        await _open_batch(installation, connection)
        before = await pgbench.settled(connection)
        async with installation.running("gateway"):
            measured = await installation.load(COUNTED_CONNECTIONS, payments=size.counted)
        after = await pgbench.settled(connection)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    return rows.per_payment(before, after, measured.confirmed), measured.confirmed


async def _open_batch(
    installation: Installation, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """
    Open the batch, which writes rows that belong to no payment.
    """
    terminal = await connection.fetchrow("SELECT merchant_id, terminal_id FROM terminals")
    assert terminal is not None, "the sandbox has one merchant with one terminal"
    clock = SystemClock()
    async with open_database(installation.configuration) as database:
        batches = OpenBatches(database, clock, Ids(clock))
        await batches.number(terminal["merchant_id"], ACQUIRER, terminal["terminal_id"], "USD")


async def _drained(installation: Installation, seconds_max: float) -> Figures:
    """
    Wait until worker and mailer have done what is owed, or time is up; return what is still owed.
    """
    for _ in range(int(seconds_max / LOOK_SECONDS)):
        if not any((await _owed(installation)).values()):
            break
        await asyncio.sleep(LOOK_SECONDS)
    return await _owed(installation)


async def _owed(installation: Installation) -> Figures:
    connection = await installation.connect()
    try:
        return dict((await connection.fetch(OWED))[0])
    finally:
        await connection.close()


async def _gateways(
    installation: Installation, size: Size, tell: Tell, *names: str
) -> list[Measured]:
    found = []
    async with installation.running(*names, *BEHIND):
        for connections in size.connections:
            measured = await installation.load(
                connections,
                warm_seconds=size.warm_seconds,
                seconds=size.load_seconds,
            )
            tell(f"  {connections} connections: {measured.payments_per_second:.0f} payments/s")
            found.append(measured)
    return found


async def _own_time(installation: Installation, size: Size, rate: float) -> tuple[Figures, int]:
    """
    Measure the gateway's own time in a payment and its acknowledgment, step by step.
    """
    await installation.take_mails_off()
    async with installation.running("gateway with spans", *BEHIND):
        left = await _drained(installation, size.drain_seconds)
        measured = await installation.load(
            OWN_CONNECTIONS, rate=rate, warm_seconds=size.warm_seconds, seconds=size.own_seconds
        )
    after = await _owed(installation)
    lines = installation.spans_path.read_bytes().splitlines()
    whole = [msgspec.json.decode(each, type=dict[str, float]) for each in lines]
    whole = whole[len(whole) - measured.payments :]  # Without the warm-up.
    owed = {"owed_before": left, "owed_after": after}
    return {**owed, "steps": split(whole), "run": one(measured)}, measured.confirmed


async def _memory(installation: Installation, connections: int) -> tuple[Figures, int]:
    """
    Weigh every party with few connections and with many, each of which makes a payment.
    """
    async with installation.running("gateway", *BEHIND):
        few = await installation.load(1, payments=connections, weighs=True)
        many = await installation.load(connections, payments=connections, weighs=True)
    per_thousand = (many.memory_bytes["gateway"] - few.memory_bytes["gateway"]) * 1000 / connections
    return {
        "mib_per_process": {name: _mib(each) for name, each in few.memory_bytes.items()},
        "mib_with_many_connections": {name: _mib(each) for name, each in many.memory_bytes.items()},
        "connections": connections,
        "gateway_mib_per_thousand_connections": _mib(per_thousand),
    }, few.confirmed + many.confirmed


def _mib(count: float) -> float:
    return round(count / 2**20, 1)


async def _growth(installation: Installation, size: Size, tell: Tell, rate: float) -> Figures:
    """
    Measure with much stored and with many merchants. After the audit: copies are not for it.

    All at the same *rate*, so that what a payment costs and how long it takes can be compared.
    """
    terms = {"warm_seconds": size.warm_seconds, "seconds": size.load_seconds, "rate": rate}
    found: Figures = {}
    if size.stored:
        tell(f"Laying and measuring with {', '.join(map(str, size.stored))} stored payments")
        sizes = await stored.at_sizes(installation, size.stored, terms)
        found["by_stored_payments"] = {str(number): one(each) for number, each in sizes.items()}
        tell(f"The merchant's pages, with {max(size.stored)} stored payments")
        laid = {"stored_payments": max(size.stored)}
        found["pages"] = {**laid, **await _pages(installation)}
    if size.merchants:
        tell(f"Measuring with {', '.join(map(str, size.merchants))} merchants")
        counts = await stored.with_merchants(installation, size.merchants, terms)
        found["by_merchants"] = {str(number): one(each) for number, each in counts.items()}
    return found


async def _pages(installation: Installation) -> Figures:
    await pages.lay(installation)
    return dict(msgspec.to_builtins(await pages.measure(installation)))


async def run_pages(
    folder: Path, stored_payments: int, settled_payments: int, say: Tell
) -> Figures:
    """
    Measure nothing but the merchant's pages, below *folder*: so many payments are made, closed and
    reconciled, as many again stand in an open batch, and so many are stored.

    Raises:
        BenchFailed, ProgramError: It could not be carried out.
    """
    tell = Parts(say)
    installation = Installation(folder)
    tell("Starting rail, mailbox and the embedded PostgreSQL")
    async with installation.running(*BASE):
        await sandbox.ensure_merchant(installation.box, installation.configuration)
        described = machine.describe(folder, await _version(installation))
        tell(f"Making, closing and reconciling {settled_payments} payments")
        await settled.measure(installation, settled_payments)
        async with installation.running("gateway"):
            await installation.load(stored.CONNECTIONS, payments=min(settled_payments, OPEN_ITEMS))
        await installation.take_mails_off()
        tell(f"Laying {stored_payments} payments")
        await stored.lay(installation, 1, stored_payments)
        tell("The merchant's pages")
        found = await _pages(installation)
        tell("Stopping")
    return {
        "pages": {"stored_payments": stored_payments, **found},
        "took_seconds": tell.took_seconds(),
        "machine": {**msgspec.to_builtins(described), "load_after": machine.load()},
    }


async def _audited(installation: Installation, confirmed: int) -> Figures:
    """
    Lay our books, the acquirer's and the load generator's count side by side.
    """
    async with open_database(installation.configuration) as database:
        found = await audit(database, now=SystemClock().now())
        ours = await our_books(database)
        async with database.acquire() as connection:
            numbers = await connection.fetchval(
                "SELECT count(*) FROM payments WHERE confirmation_number IS NOT NULL"
            )
    theirs: list[Any] = list(charges(installation.folder))
    differences = [*found.differences, *against_charges(ours, theirs)]
    return {
        "agrees": not differences and numbers == confirmed,
        "differences": msgspec.to_builtins(differences[:DIFFERENCES_SHOWN]),
        "payments": len(ours.payments),
        "confirmation_numbers": numbers,
        "confirmation_numbers_received": confirmed,
        "charges_at_the_acquirer": len(theirs),
    }
