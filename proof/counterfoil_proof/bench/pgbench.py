"""
The other side of the comparison: pgbench writes the rows of a payment, one payment at a time.

Twice: with the product's own three statements (intend, conclude, acknowledge) and arrays of one
row, and with plain INSERTs and UPDATEs of the same rows (*plain*); the better one counts. Each
step is a transaction of its own, over the same schema with the same triggers, in a second
database of the same server. What the rows hold is copied from a payment that the gateway has
made, so that they are as long. The look of the screening, which only reads, is spared pgbench.
"""

import asyncio
import itertools
import os
import re
import time
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from counterfoil import ids
from counterfoil.clock import SystemClock
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal
from counterfoil.store.migrate import migrate
from counterfoil.store.numbers import OpenBatches
from counterfoil.store.payments import Acknowledgment, Conclusion, Intent
from counterfoil.store.queries import query

from counterfoil_proof.bench import plain
from counterfoil_proof.bench.installation import BenchFailed, Installation
from counterfoil_proof.bench.machine import cpu_seconds
from counterfoil_proof.bench.rows import Counters, Written, counters, per_payment
from counterfoil_proof.demo.sandbox import ACQUIRER

DATABASE = "bench_pgbench"
CLIENTS = (4, 16, 64)
THREADS = 2
STANS_OF_A_CLIENT = 10_000
RUN_SECONDS_MAX = 300.0
TERMINAL = "TERM0001"
TEMPLATE = """
SELECT p.*, v.key_id, v.nonce, v.ciphertext, v.fingerprint, k.fingerprint AS request_fingerprint,
    (SELECT content FROM network_messages AS m WHERE m.merchant_id = p.merchant_id
     AND m.payment_id = p.payment_id AND direction = 'sent') AS sent,
    (SELECT content FROM network_messages AS m WHERE m.merchant_id = p.merchant_id
     AND m.payment_id = p.payment_id AND direction = 'received') AS received,
    (SELECT recipient FROM outbox AS o WHERE o.merchant_id = p.merchant_id
     AND o.payment_id = p.payment_id AND o.kind = 'mail_merchant') AS merchant_email,
    (SELECT actor FROM payment_events AS e WHERE e.merchant_id = p.merchant_id
     AND e.payment_id = p.payment_id AND version = 1) AS actor
FROM payments AS p
JOIN vault_cards AS v ON v.merchant_id = p.merchant_id AND v.token = p.card_token
JOIN idempotency_keys AS k
    ON k.merchant_id = p.merchant_id AND k.idempotency_key = p.idempotency_key
WHERE p.state = 'captured' LIMIT 1
"""
OTHERS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
 AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
CAPTURED = "SELECT count(*) FROM payments WHERE state = 'captured'"
LOOK_SECONDS = 0.05
LOOKS_MAX = 200
_PARAMETER = re.compile(r"\(SELECT \$1::(\w+)\[\]\)")
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)


class PgbenchRun(msgspec.Struct, frozen=True, kw_only=True):
    """
    One run of pgbench.
    """

    form: str
    clients: int
    payments: int
    seconds: float
    payments_per_second: float
    latency_ms_average: float
    cpu_seconds: dict[str, float]


class PgbenchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """
    All runs of both forms, and the rows that each payment wrote, by form and table.
    """

    runs: list[PgbenchRun]
    rows: dict[str, dict[str, Written]]

    @property
    def best(self) -> float:
        """
        The best rate.
        """
        return max(each.payments_per_second for each in self.runs)


async def measure(
    installation: Installation, seconds: float, clients: tuple[int, ...] = CLIENTS
) -> PgbenchFigures:
    """
    Make the second database and let pgbench write payments into it, *seconds* for each run.

    Raises:
        BenchFailed: pgbench failed, or a payment of it was refused by the guards.
    """
    template = await _template(installation)
    merchant_id, batch_number = await _database(installation)
    scripts: dict[str, Path] = {}
    for form, text in _scripts(template, merchant_id.hex, batch_number).items():
        scripts[form] = installation.folder / f"{form}.pgbench"
        scripts[form].write_text(text, "utf-8")
    connection = await installation.connect(DATABASE)
    try:
        await connection.execute("CHECKPOINT")
        numbers = itertools.count(1)
        for form, script in scripts.items():
            await _run(installation, form, script, 1, seconds / 4, next(numbers))
        await connection.execute("ANALYZE")
        runs: list[PgbenchRun] = []
        written: dict[str, dict[str, Written]] = {}
        for form, script in scripts.items():
            before, known = await settled(connection), await connection.fetchval(CAPTURED)
            mine = [
                await _run(installation, form, script, each, seconds, next(numbers))
                for each in clients
            ]
            payments = sum(each.payments for each in mine)
            if await connection.fetchval(CAPTURED) - known != payments:
                raise BenchFailed(f"pgbench says {payments} payments, the table does not")
            written[form] = per_payment(before, await settled(connection), payments)
            runs += mine
    finally:
        await connection.close()
    return PgbenchFigures(runs=runs, rows=written)


async def settled(connection: "asyncpg.Connection[asyncpg.Record]") -> Counters:
    """
    Read the counters when nobody else is connected any more.
    """
    for _ in range(LOOKS_MAX):
        if not await connection.fetchval(OTHERS):
            return await counters(connection)
        await asyncio.sleep(LOOK_SECONDS)
    raise BenchFailed("somebody stays connected to the database: rows cannot be counted")


async def _template(installation: Installation) -> asyncpg.Record:
    connection = await installation.connect()
    try:
        found = await connection.fetchrow(TEMPLATE)
    finally:
        await connection.close()
    if found is None:
        raise BenchFailed("the gateway has made no payment that pgbench could copy")
    return found


async def _database(installation: Installation) -> tuple[Any, int]:
    """
    Make a database of the same schema with one merchant, one terminal and an open batch.
    """
    connection = await installation.connect()
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    clock = SystemClock()
    made = ids.Ids(clock)
    parameters: dict[str, Any] = {**installation.postgres.dsn_parameters(), "database": DATABASE}
    database = await Database.open(**parameters)
    try:
        await migrate(database, mode="test", clock=clock)
        merchant_id = made.new()
        merchant = NewMerchant(
            merchant_id=merchant_id,
            name="Row by Row",
            city="Portland",
            region="OR",
            country="US",
            category_code="5943",
            timezone="America/Los_Angeles",
            cutoff=clock_time(23),
            email="owner@rowbyrow.example",
            acknowledge_seconds=180,
        )
        terminal = Terminal(ACQUIRER, TERMINAL, "MERCHANT0000001")
        await MerchantStore(database, clock).add(merchant, [terminal])
        batches = OpenBatches(database, clock, made)
        return merchant_id, await batches.number(merchant_id, ACQUIRER, TERMINAL, "USD")
    finally:
        await database.close()


async def _run(
    installation: Installation,
    form: str,
    script: Path,
    clients: int,
    seconds: float,
    number: int,
) -> PgbenchRun:
    parameters = installation.postgres.dsn_parameters()
    argv = ["--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={clients}"]
    argv += [f"--jobs={min(THREADS, clients)}", f"--time={max(1, round(seconds))}"]
    argv += [f"--define=run={number}", "--define=n=0"]
    # A long folder's sockets are named by a handle of this process: pgbench has another "self".
    host = str(parameters["host"]).replace("/proc/self/", f"/proc/{os.getpid()}/")
    argv += [f"--host={host}", f"--username={parameters['user']}", DATABASE]
    running = await asyncio.create_subprocess_exec(
        str(installation.postgres.binaries() / "pgbench"),
        *argv,
        env={**os.environ, "PGPASSWORD": parameters["password"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    watched = installation.watched()["postgres"]
    before = cpu_seconds(watched), os.times()
    began = time.perf_counter()
    try:
        said, complaint = await asyncio.wait_for(running.communicate(), RUN_SECONDS_MAX)
    except TimeoutError as error:
        raise BenchFailed(f"pgbench took longer than {RUN_SECONDS_MAX:g} s") from error
    finally:
        if running.returncode is None:
            running.kill()
    text = said.decode()
    rate, done, latency = _TPS.search(text), _DONE.search(text), _LATENCY.search(text)
    if running.returncode or not (rate and done and latency):
        raise BenchFailed(f"pgbench failed: {complaint.decode()[-800:].strip()}")
    return PgbenchRun(
        form=form,
        clients=clients,
        payments=int(done[1]),
        payments_per_second=round(float(rate[1]), 1),
        latency_ms_average=float(latency[1]),
        seconds=round(time.perf_counter() - began, 3),
        cpu_seconds={
            "pgbench": round(
                os.times().children_user
                - before[1].children_user
                + os.times().children_system
                - before[1].children_system,
                3,
            ),
            "postgres": round(cpu_seconds(watched) - before[0], 3),
        },
    )


def _scripts(row: asyncpg.Record, merchant: str, batch_number: int) -> dict[str, str]:
    """
    Return both scripts of one payment. `:stan` is of this client and run alone.
    """
    common = {
        "merchant_id": f"'{merchant}'::uuid",
        "payment_id": "(:payment_id)::uuid",
        "stan": ":stan",
        "transmitted_at": "timestamptz '2026-01-01T12:00:00Z'",
        "at": "now()",
    }
    intended = _intended(row, batch_number) | common
    concluded = _concluded(row) | common
    acknowledged = _acknowledged(row) | common
    shared = intended | {"amount_minor": str(row["amount_minor"])}
    forms = {
        "own": (
            _statement("intend", Intent, intended | {"payment_id": "uuidv7()"}),
            _statement("conclude", Conclusion, concluded),
            _statement("acknowledge", Acknowledgment, acknowledged),
        ),
        "plain": (
            plain.intend(intended),
            plain.conclude(shared | concluded),
            plain.acknowledge(shared | acknowledged),
        ),
    }
    begin = f"\\set n :n + 1\n\\set stan :client_id * {STANS_OF_A_CLIENT} + :n\n"
    return {
        form: f"{begin}{intend} \\gset\n{conclude};\n{acknowledge};\n"
        for form, (intend, conclude, acknowledge) in forms.items()
    }


def _statement(name: str, step: type[msgspec.Struct], values: dict[str, str]) -> str:
    """
    Return a query with one row in the array that it takes. One line: pgbench ends there.
    """
    row = ", ".join(values.get(column, "NULL") for column in step.__struct_fields__)
    lines = [line.partition("-- ")[0] for line in query(name).splitlines()]
    text = " ".join(" ".join(lines).split()).rstrip().removesuffix(";")
    return _PARAMETER.sub(lambda found: f"ARRAY[ROW({row})::{found[1]}]", text)


def _intended(row: asyncpg.Record, batch_number: int) -> dict[str, str]:
    made = "uuidv7()"
    return {
        "idempotency_key": "('bench-' || uuidv7()::text)",
        "request_fingerprint": _bytes(row["request_fingerprint"]),
        "kind": "'sale'",
        "amount_minor": str(row["amount_minor"]),
        "currency": "'USD'",
        "order_number": "('order-' || (:run)::text || '-' || lpad((:stan)::text, 12, '0'))",
        "customer_email": _text(row["customer_email"]),
        "card_token": made,
        "card_brand": _text(row["card_brand"]),
        "card_bin": _text(row["card_bin"]),
        "card_last_four": _text(row["card_last_four"]),
        "key_id": _text(row["key_id"]),
        "nonce": _bytes(row["nonce"]),
        "ciphertext": _bytes(row["ciphertext"]),
        "card_fingerprint": _bytes(row["fingerprint"]),
        "acquirer": f"'{ACQUIRER}'",
        "terminal_id": f"'{TERMINAL}'",
        "batch_number": str(batch_number),
        "business_day": "(date '2026-01-01' + (:run)::integer)",
        "rrn": "lpad(((:run)::bigint * 1000000 + (:stan)::bigint)::text, 12, '0')",
        "local_time": _text(row["local_time"]),
        "mti": "'0200'",
        "content": _text(row["sent"]),
        "message_id": made,
        "event_id": made,
        "process_id": f"'{row['process_id']}'::uuid",
        "session_id": _text(row["session_id"]),
        "send_before": "now() + interval '5 s'",
        "actor": _text(row["actor"]),
        "refused": "false",
    }


def _concluded(row: asyncpg.Record) -> dict[str, str]:
    made = "uuidv7()"
    return {
        "event_id": made,
        "to_state": "'approved'",
        "cause": "'answered'",
        "response_code": _text(row["response_code"]),
        "approval_code": _text(row["approval_code"]),
        "avs_result": _text(row["avs_result"]),
        "cvv_result": _text(row["cvv_result"]),
        "network_transaction_id": _text(row["network_transaction_id"]),
        "settlement_date": _text(row["settlement_date"]),
        "acknowledge_by": "now() + interval '180 s'",
        "mti": "'0210'",
        "content": _text(row["received"]),
        "message_id": made,
        "transfer_id": made,
        "advice_id": made,
        "late_until": "now() + interval '600 s'",
        "authorized_minor": str(row["authorized_minor"]),
        "never_again": "false",
    }


def _acknowledged(row: asyncpg.Record) -> dict[str, str]:
    made = "uuidv7()"
    return {
        "event_id": made,
        "confirmation_number": "lpad(((:run)::bigint * 1000000 + (:stan)::bigint)::text, 12, '0')",
        "session_id": _text(row["session_id"]),
        "movement_id": made,
        "transfer_id": made,
        "customer_mail_id": made,
        "merchant_mail_id": made,
        "merchant_email": _text(row["merchant_email"]),
        "actor": _text(row["actor"]),
    }


def _text(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def _bytes(value: bytes | None) -> str:
    return "NULL" if value is None else f"'\\x{value.hex()}'::bytea"
