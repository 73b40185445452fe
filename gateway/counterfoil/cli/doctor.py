"""
`counterfoil doctor`: what is well, what is not, and what to do about it.
"""

import asyncio
import sys
from datetime import timedelta

import asyncpg
import msgspec

from counterfoil import app
from counterfoil.cli.console import ConfigOption, JsonOption, configuration, run, say, say_json
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.keyfile import KeyFileRefused, load_key
from counterfoil.store.advices import AdviceStore
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.migrate import MigrationRefused, pending
from counterfoil.store.processes import ProcessStore
from counterfoil.vault import VaultClosed

CONNECT_SECONDS_MAX = 3.0
OWED_ALARM = timedelta(minutes=15)
SKEW_SECONDS_MAX = 1.0


class Finding(msgspec.Struct, frozen=True):
    """
    One thing that was looked at: what it is, whether it is well, what was seen.
    """

    name: str
    well: bool
    seen: str


def doctor(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Look at database, keys, clock, processes, links and what is owed; exit 1 if something is ill.
    """
    findings = run(_examine(configuration(config)))
    if json:
        say_json([msgspec.structs.asdict(each) for each in findings])
    else:
        for each in findings:
            say(f"{'ok  ' if each.well else 'ILL '} {each.name}: {each.seen}")
    sys.exit(0 if all(each.well for each in findings) else 1)


async def _examine(settings: Configuration) -> list[Finding]:
    findings = [Finding("configuration", True, f"{settings.mode} mode, state in {settings.folder}")]
    findings.append(_key_file(settings))
    try:
        async with app.open_database(settings) as database:
            findings += await _database(database, settings)
    except DatabaseAway as error:
        findings.append(Finding("database", False, str(error)))
    findings += [await _acquirer(each.name, each.host, each.port) for each in settings.acquirer]
    if not settings.acquirer:
        findings.append(Finding("acquirers", False, "none configured: add an [[acquirer]]"))
    return findings


def _key_file(settings: Configuration) -> Finding:
    try:
        load_key(settings.key_path)
    except KeyFileRefused as error:
        return Finding("key file", False, str(error))
    return Finding("key file", True, f"{settings.key_path}, readable by its owner only")


async def _database(database: Database, settings: Configuration) -> list[Finding]:
    try:
        missing = await pending(database)
    except MigrationRefused as error:
        return [Finding("database", False, str(error))]
    if missing:
        return [Finding("database", False, "migrations are missing: run `counterfoil migrate`")]
    clock = SystemClock()
    processes = ProcessStore(database, Ids(clock).new())
    findings = [Finding("database", True, "answers, and is migrated")]
    findings.append(await _clock(processes, clock))
    findings.append(await _vault(database, settings))
    findings += _alive(await processes.alive(clock.now()))
    findings.append(await _owed(AdviceStore(database, processes.process_id, clock), clock))
    findings.append(await _end_of_day(database))
    return findings


async def _end_of_day(database: Database) -> Finding:
    row = await database.row("end_of_day_troubles")
    assert row is not None
    troubles = [
        f"{row['held']} file(s) held: `counterfoil settlement held`" if row["held"] else "",
        f"{row['batches']} batch(es) need a person: `counterfoil batch list`"
        if row["batches"]
        else "",
        f"{row['findings']} open finding(s): `counterfoil settlement findings`"
        if row["findings"]
        else "",
    ]
    said = "; ".join(filter(None, troubles))
    return Finding("end of the day", not said, said or "nothing held, nothing open")


async def _clock(processes: ProcessStore, clock: SystemClock) -> Finding:
    skew = abs((await processes.database_time() - clock.now()).total_seconds())
    return Finding("clock", skew <= SKEW_SECONDS_MAX, f"{skew:.2f} s off the database's")


async def _vault(database: Database, settings: Configuration) -> Finding:
    try:
        await app.open_vault(database, settings)
    except (VaultClosed, KeyFileRefused) as error:
        return Finding("vault", False, str(error))
    return Finding("vault", True, "the key file opens it")


def _alive(rows: list[asyncpg.Record]) -> list[Finding]:
    findings = []
    for kind in ("gateway", "worker"):
        pids = [str(row["pid"]) for row in rows if row["kind"] == kind]
        seen = f"pid {', '.join(pids)}" if pids else "none runs: start `counterfoil up`"
        findings.append(Finding(f"{kind} processes", bool(pids), seen))
    return findings


async def _owed(advices: AdviceStore, clock: SystemClock) -> Finding:
    owed, oldest = await advices.owed()
    if not owed or oldest is None:
        return Finding("owed to acquirers", True, "nothing")
    age = clock.now() - oldest
    return Finding(
        "owed to acquirers",
        age < OWED_ALARM,
        f"{owed} message(s), the oldest for {age.total_seconds():.0f} s",
    )


async def _acquirer(name: str, host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except OSError as error:  # A timeout is one too.
        return Finding(f"acquirer {name}", False, f"{host}:{port} does not answer ({error})")
    return Finding(f"acquirer {name}", True, f"{host}:{port} answers")
