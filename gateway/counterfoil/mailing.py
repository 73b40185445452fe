"""
The mailer process: sends what the outbox owes, and does nothing else.

Nobody at a till waits for a receipt, and to write and send one costs as much as a good part of
the payment. So it is done by a process that gives way to everybody. It has no vault, no key and no
link. While none lives, a worker stands in; a guard in the statement that finds what is due says
whose it is, and a lease on each row that it goes out once.
"""

import msgspec

from counterfoil.api.bodies import Health, Readiness
from counterfoil.clock import Clock
from counterfoil.config import Configuration
from counterfoil.events.worker import Duty, work
from counterfoil.ground import (
    LEASES_RENEWED_PER_LIFE,
    Ground,
    Lookout,
    ground,
    held,
    leased,
    watched,
)
from counterfoil.measures import Measures
from counterfoil.outside import metrics, monitors, readiness
from counterfoil.receipts.mail import Deliver, Mailer
from counterfoil.store.outbox import OutboxStore
from counterfoil.surroundings import THE_MACHINE, Surroundings

CONNECTIONS_MAX = 4  # To the database: what is due, what was sent, its lease, its look around.
IDLE_SECONDS = 0.1
MATTERS = ("database", "quarantine")  # A full disk or a skewed clock stops no mail.


def mail_duty(
    outbox: OutboxStore, configuration: Configuration, clock: Clock, deliver: Deliver | None
) -> Duty:
    """
    Return the duty that sends the mails which *outbox* finds due.
    """
    mailer = Mailer(
        outbox,
        configuration.mail,
        clock,
        test=configuration.mode == "test",
        deliver=deliver,
        fresh_seconds=configuration.timers.lease_seconds / LEASES_RENEWED_PER_LIFE,
    )
    return Duty("mail", mailer.send_due, IDLE_SECONDS, mailer.part)


def duties(below: Ground) -> list[Duty]:
    """
    Return everything that a mailer does.
    """
    outbox = OutboxStore(below.database, below.lease.process_id, below.clock)
    mail = mail_duty(outbox, below.configuration, below.clock, below.around.deliver)
    return [held(mail, below.doors)]


async def run_mailer(configuration: Configuration, around: Surroundings = THE_MACHINE) -> None:
    """
    Be a mailer process until told to stop.

    Raises:
        DatabaseAway, MigrationRefused: It cannot start.
    """
    measures, settings = Measures(), configuration.metrics
    async with (
        ground(_with_few_connections(configuration), around) as below,
        leased(below, "mailer"),
        watched(below.watch),
        monitors.listening(pages_of(below, measures), settings.host, settings.mailer_port),
    ):
        await work(duties(below), measures)


def _with_few_connections(configuration: Configuration) -> Configuration:
    database = configuration.database
    few = min(database.connections_max, CONNECTIONS_MAX)
    return msgspec.structs.replace(
        configuration, database=msgspec.structs.replace(database, connections_max=few)
    )


def pages_of(below: Ground, measures: Measures) -> monitors.Pages:
    """
    Return what monitors may ask a mailer; it is ready when it can send what is owed.
    """
    lookout = Lookout(below)

    async def found() -> Readiness:
        seen = await lookout.look()
        known = readiness.machine_checks(seen, below.configuration)
        checks = {name: words for name, words in known.items() if name in MATTERS}
        notes = {"process": "mailer", **await lookout.notes(seen)}
        return Readiness(all(each == "ok" for each in checks.values()), checks, notes)

    async def metrics_page() -> monitors.Page:
        now = await found()
        standing = metrics.standing_of(
            ready=now.ready, checks=now.checks, notes=now.notes, links={}
        )
        return 200, metrics.CONTENT_TYPE, metrics.exposition(measures, standing, "mailer")

    async def ready_page() -> monitors.Page:
        now = await found()
        return monitors.json_page(200 if now.ready else 503, now)

    async def health_page() -> monitors.Page:
        return monitors.json_page(200, Health())

    return {"/metrics": metrics_page, "/readyz": ready_page, "/healthz": health_page}
