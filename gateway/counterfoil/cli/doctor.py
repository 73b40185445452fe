"""
`counterfoil doctor`: what is well, what is not, and what to do about it.
"""

import asyncio
import sys
from datetime import datetime, timedelta

import asyncpg
import msgspec

from counterfoil.checkouts.inventory import not_as_listed
from counterfoil.cli.console import ConfigOption, JsonOption, configuration, run, say, say_json
from counterfoil.cli.findings import Finding, gateways_say, names_here
from counterfoil.clock import Clock, SystemClock
from counterfoil.config import Acquirer, Configuration, ConfigurationRefused
from counterfoil.dialects import dialect_of
from counterfoil.ids import Ids
from counterfoil.keyfile import KeyFileRefused, load_key
from counterfoil.ledger.heads import by_key_id, load_signing_key
from counterfoil.opened import open_database, open_vault
from counterfoil.outside.alarms import facts, owed_to_acquirers
from counterfoil.outside.disk import measure
from counterfoil.outside.held_clock import SKEW_SECONDS_MAX
from counterfoil.outside.page_look import STALE_AFTER
from counterfoil.store.advices import AdviceStore
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.heads import HeadStore
from counterfoil.store.migrate import MigrationRefused, pending
from counterfoil.store.page_looks import PageLookStore
from counterfoil.store.page_reports import PageReportStore
from counterfoil.store.processes import ProcessStore
from counterfoil.vault import VaultClosed

CONNECT_SECONDS_MAX = 3.0
MAIL_AGE = timedelta(hours=1)  # A receipt that waits for longer is somebody's trouble.
SIGNED_WITHIN = timedelta(hours=26)  # Once a UTC day, and a worker may be stopped for a while.
# What is said when no process of a kind lives.
ABSENT = {
    "gateway": "none runs: start `counterfoil up`",
    "worker": "none runs: start `counterfoil up`",
    "mailer": "none runs: a worker sends the e-mails; start `counterfoil mailer` to unburden it",
    "web": "none runs: nobody can open the pages; start `counterfoil web`, if they are wanted",
}


def doctor(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Look at database, disk, keys, clock, links and what is owed; exit 1 if something is ill.
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
    findings += [_key_file(settings), _signing_key(settings), _disk(settings)]
    try:
        async with open_database(settings) as database:
            findings += await _database(database, settings)
    except DatabaseAway as error:
        findings.append(Finding("database", False, str(error)))
    findings += await gateways_say(settings)
    findings += [_dialect(each) for each in settings.acquirer]
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


def _signing_key(settings: Configuration) -> Finding:
    try:
        key = load_signing_key(settings.signing_key_path)
    except KeyFileRefused as error:
        return Finding("signing key", False, str(error))
    return Finding("signing key", True, f"{settings.signing_key_path}, public key {key.key_id}")


async def _signed_heads(database: Database, settings: Configuration, clock: SystemClock) -> Finding:
    store = HeadStore(database)
    unsigned = await store.unsigned(clock.now() - SIGNED_WITHIN)
    in_use = await store.key_in_use()
    if unsigned.since is not None:
        said = (
            f"{unsigned.chains} chain(s) of the journal were not signed since "
            f"{unsigned.since:%Y-%m-%d %H:%M} UTC: does a worker run, and does its log say "
            "heads_not_signed? Run `counterfoil audit`"
        )
        return Finding("signed heads", False, said)
    known = {*by_key_id(settings.former_public_keys), *_own_key_id(settings)}
    if in_use is not None and in_use not in known:
        said = f"signed by key {in_use}, which is not here: put the signing key back from its copy"
        return Finding("signed heads", False, said)
    return Finding("signed heads", True, "every day's" if in_use else "none yet")


def _own_key_id(settings: Configuration) -> list[str]:
    try:
        return [load_signing_key(settings.signing_key_path).key_id]
    except KeyFileRefused:
        return []


async def _database(database: Database, settings: Configuration) -> list[Finding]:
    try:
        missing = await pending(database)
    except MigrationRefused as error:
        return [Finding("database", False, str(error))]
    if missing:
        return [Finding("database", False, "migrations are missing: run `counterfoil migrate`")]
    clock = SystemClock()
    processes = ProcessStore(database, Ids(clock).new())
    since = f"{await processes.database_started():%Y-%m-%d %H:%M:%S} UTC"
    findings = [Finding("database", True, f"answers, and is migrated; it runs since {since}")]
    findings.append(await _settings(processes))
    findings.append(await _clock(processes, clock))
    findings.append(await _vault(database, settings))
    findings.append(await _signed_heads(database, settings, clock))
    alive = await processes.alive(clock.now())
    findings += _alive(alive, settings, clock)
    findings.append(await _owed(AdviceStore(database, processes.process_id, clock), clock))
    findings.append(await _unclaimed(processes, clock))
    findings.append(await _mail(database, clock))
    findings.append(await _quarantine(database))
    findings.append(await _end_of_day(database, clock))
    findings.append(await _payment_pages(database, settings, clock))
    return findings


async def _settings(processes: ProcessStore) -> Finding:
    unsafe = await processes.safety_settings()
    if not unsafe:
        return Finding("database settings", True, "what was committed is kept")
    return Finding(
        "database settings",
        False,
        f"{', '.join(unsafe)}: what was answered may be lost with a crash or a bad disk. Set "
        "fsync, full_page_writes, synchronous_commit and data_checksums on, data_sync_retry off",
    )


async def _end_of_day(database: Database, clock: SystemClock) -> Finding:
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
        f"{row['refused']} of them refused refund(s) that cardholders wait for, the oldest for "
        f"{(clock.now() - row['refused_since']).total_seconds() / 3600:.0f} h: "
        "`counterfoil settlement findings --kind refund_refused`"
        if row["refused"]
        else "",
    ]
    said = "; ".join(filter(None, troubles))
    return Finding("end of the day", not said, said or "nothing held, nothing open")


async def _payment_pages(database: Database, settings: Configuration, clock: Clock) -> Finding:
    """
    Say what of the payment pages is not as it should be, and when somebody looked last.
    """
    changed, store = not_as_listed(), PageLookStore(database, Ids(clock))
    reported = await PageReportStore(database, Ids(clock)).of_all()
    differing, last = await store.open(), await store.last()
    troubles = [
        f"not as listed on this machine: {', '.join(changed)}: see `counterfoil pages inventory`"
        if changed
        else "",
        f"{len(differing)} difference(s) to what browsers should get, such as "
        f"{differing[0]['what']}: take no cards there, `counterfoil pages look`"
        if differing
        else "",
        f"nobody could look at them for {STALE_AFTER.total_seconds() / 3600:.0f} h: "
        f"{last.failure or 'does a worker run?'}"
        if settings.web.enabled and last and last.is_older_than(STALE_AFTER, clock.now())
        else "",
        f"{len(reported)} thing(s) that browsers refused: `counterfoil pages reports`"
        if reported
        else "",
    ]
    if said := "; ".join(filter(None, troubles)):
        return Finding("payment pages", False, said)
    if last is None or last.looked_at is None:
        return Finding("payment pages", True, "as listed; nobody has looked at them yet")
    age = (clock.now() - last.looked_at).total_seconds() / 60
    return Finding("payment pages", True, f"as they should be, {age:.0f} min ago")


async def _clock(processes: ProcessStore, clock: SystemClock) -> Finding:
    skew = abs((await processes.database_time() - clock.now()).total_seconds())
    return Finding("clock", skew <= SKEW_SECONDS_MAX, f"{skew:.2f} s off the database's")


async def _vault(database: Database, settings: Configuration) -> Finding:
    try:
        await open_vault(database, settings)
    except (VaultClosed, KeyFileRefused) as error:
        return Finding("vault", False, str(error))
    return Finding("vault", True, "the key file opens it")


def _alive(
    rows: list[asyncpg.Record], settings: Configuration, clock: SystemClock
) -> list[Finding]:
    """
    Say which processes hold a lease and when each last renewed it: one that was killed holds its
    own until that ends. Of several gateways that share a port here, each is named.
    """
    names, lease_seconds = names_here(settings.folder), settings.timers.lease_seconds
    findings = []
    for kind, else_said in ABSENT.items():
        pids = [
            f"{names.get((row['host'], row['pid']), '')}pid {row['pid']} (last sign of life "
            f"{_silent_seconds(row['lease_until'], lease_seconds, clock):.0f} s ago)"
            for row in rows
            if row["kind"] == kind
        ]
        well = bool(pids) or kind in ("mailer", "web")
        findings.append(Finding(f"{kind} processes", well, ", ".join(pids) or else_said))
    return findings


def _silent_seconds(lease_until: datetime, lease_seconds: float, clock: SystemClock) -> float:
    return max(0.0, lease_seconds - (lease_until - clock.now()).total_seconds())


async def _owed(advices: AdviceStore, clock: SystemClock) -> Finding:
    owed = await owed_to_acquirers(advices, clock)
    if not owed.owed:
        return Finding("owed to acquirers", True, "nothing")
    said = (
        f"{owed.owed} message(s), {owed.reversals} of them reversals, the oldest for "
        f"{facts(owed, clock)['oldest_seconds']} s, tried at most {owed.tries_max} time(s)"
    )
    if owed.overdue:
        said += f"; {owed.overdue} overdue: look at the link, ask the acquirer, go on sending"
    return Finding("owed to acquirers", not owed.overdue, said)


async def _unclaimed(processes: ProcessStore, clock: SystemClock) -> Finding:
    waiting = await processes.standing(clock.now())
    late = waiting["overdue"]
    return Finding(
        "approvals",
        late == 0,
        f"{waiting['unclaimed']} wait to be acknowledged"
        + (f", {late} of them overdue: does a worker run?" if late else ""),
    )


async def _mail(database: Database, clock: SystemClock) -> Finding:
    row = await database.row("owed_mail")
    assert row is not None
    if not row["owed"]:
        return Finding("mail", True, "nothing waits")
    age = clock.now() - row["since"]
    said = f"{row['owed']} e-mail(s) wait, the oldest for {age.total_seconds():.0f} s"
    if age < MAIL_AGE:
        return Finding("mail", True, said)
    why = row["last_error"] or "not tried yet: does a mailer run, or a worker?"
    return Finding("mail", False, f"{said} ({why}): look at the mail server and `[mail]`")


def _disk(settings: Configuration) -> Finding:
    folder = settings.folder
    while not folder.exists():
        folder = folder.parent  # A first start makes the rest.
    try:
        disk = measure(folder)
    except OSError as error:
        return Finding("disk", False, f"{settings.folder} cannot be looked at ({error.strerror})")
    limit = settings.database.full_percent
    said = disk.words()
    if disk.is_full(limit):
        said += f"; from {limit:g} % on no new payment is taken: make room"
    ballast = settings.folder / "postgres" / "ballast"
    if settings.database.url is None and ballast.parent.exists() and not ballast.exists():
        said += "; the ballast was given up: it is made again when the database starts with room"
        return Finding("disk", False, said)
    return Finding("disk", not disk.is_full(limit), said)


async def _quarantine(database: Database) -> Finding:
    row = await database.row("look_around")
    assert row is not None
    if row["quarantined_at"] is None:
        return Finding("quarantine", True, "none")
    since = f"since {row['quarantined_at']:%Y-%m-%d %H:%M} UTC: {row['quarantine_reason']}"
    return Finding("quarantine", False, f"{since}; see `counterfoil quarantine show`")


def _dialect(acquirer: Acquirer) -> Finding:
    name = f"dialect of {acquirer.name}"
    try:
        dialect = dialect_of(acquirer)
    except (ConfigurationRefused, KeyFileRefused) as error:
        return Finding(name, False, str(error))
    mac = f"MAC key {dialect.mac_check_value}" if dialect.mac_check_value else "no MAC"
    return Finding(name, True, f"{dialect.profile.name}, digest {dialect.digest}, {mac}")


async def _acquirer(name: str, host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except OSError as error:  # A timeout is one too.
        return Finding(f"acquirer {name}", False, f"{host}:{port} does not answer ({error})")
    return Finding(f"acquirer {name}", True, f"{host}:{port} answers")
