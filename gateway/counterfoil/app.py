"""
Puts the parts together: the only module that knows all others.

A *gateway* process takes payments over HTTPS; a *worker* process does what nobody
waits for: the sweep, the advices, the files. Both stand on the same road, and on the ground
that a mailer (`mailing.py`) has too.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from counterfoil.api import serving
from counterfoil.api.application import Checks
from counterfoil.api.bodies import Health, Readiness
from counterfoil.api.desk import Desk
from counterfoil.checkouts.minding import Minder
from counterfoil.checkouts.opening import Checkouts
from counterfoil.clock import Clock, SystemClock
from counterfoil.config import Acquirer, Configuration
from counterfoil.dialects import dialect_of
from counterfoil.events import worker
from counterfoil.events.endpoints import Endpoints
from counterfoil.events.feed import Feed, number_events
from counterfoil.events.posting import CheckedNetwork, Poster, tls_context
from counterfoil.events.totals import fold_totals
from counterfoil.events.webhooks import KEPT, Sender
from counterfoil.events.worker import Duty
from counterfoil.gateways import ALONE, Place
from counterfoil.ground import Lookout, ground, held, leased, watched
from counterfoil.ids import Ids
from counterfoil.keyfile import load_key, make_key
from counterfoil.ledger.chain import Sealer
from counterfoil.ledger.head_file import HeadFile
from counterfoil.ledger.heads import by_key_id
from counterfoil.ledger.signer import Signer
from counterfoil.mailing import mail_duty
from counterfoil.measures import Measures
from counterfoil.network.link import AcquirerLink, LinkSettings
from counterfoil.network.tls import client_context
from counterfoil.opened import open_vault
from counterfoil.outside import metrics, monitors, readiness
from counterfoil.outside.alarms import OwedAlarm
from counterfoil.outside.page_look import Look, fetch_over_https
from counterfoil.outside.watch import Watch
from counterfoil.payments.advices import Forwarder
from counterfoil.payments.late_answers import LateAnswers
from counterfoil.payments.recovery import sweep
from counterfoil.payments.road import Road
from counterfoil.routing.routes import Routes
from counterfoil.settlement import schedule
from counterfoil.settlement.close import Closer
from counterfoil.settlement.folders import Folders
from counterfoil.settlement.incoming import Intake
from counterfoil.settlement.missing_reports import ask_for_reports
from counterfoil.store.advices import AdviceStore
from counterfoil.store.batches import BatchStore
from counterfoil.store.chain import ChainStore
from counterfoil.store.checkouts import CheckoutStore
from counterfoil.store.database import Database
from counterfoil.store.deposits import DepositStore
from counterfoil.store.feed import FeedStore
from counterfoil.store.heads import HeadStore
from counterfoil.store.merchants import KeyCache, MerchantStore
from counterfoil.store.migrate import migrate
from counterfoil.store.numbers import ConfirmationLeases, OpenBatches, StanLeases
from counterfoil.store.outbox import OutboxStore
from counterfoil.store.page_looks import PageLookStore
from counterfoil.store.payments import PaymentStore
from counterfoil.store.processes import ProcessStore
from counterfoil.store.search import SearchStore
from counterfoil.store.settlement import SettlementStore
from counterfoil.store.statistics import look_at_grown
from counterfoil.store.terminal import TerminalStore
from counterfoil.store.totals import TotalsStore
from counterfoil.store.vault_keys import VaultStore
from counterfoil.store.webhooks import DeliveryStore, EndpointStore
from counterfoil.surroundings import THE_MACHINE, Surroundings
from counterfoil.terminal.minding import SaleMinder
from counterfoil.tls import Identity
from counterfoil.vault import PURPOSES, Vault, new_data_key

LATE_ANSWERS_SECONDS_MAX = 3.0  # At the end of a process, for a database that answers.
IDLE_SECONDS = 0.1
CUTOFF_SECONDS = 5.0
WATCH_SECONDS = 60.0
MISSING_REPORTS_SECONDS = 3600.0
SEAL_SECONDS = 30.0
SIGN_SECONDS = 60.0
TIDY_SECONDS = 3600.0
ALARM_SECONDS = 10.0
STATISTICS_SECONDS = 5.0
CHECKOUTS_SECONDS = 1.0
LOOK_SECONDS = 10.0
TERMINAL_SECONDS = 1.0
TOTALS_SECONDS = 2.0
# What moves no money and tells nobody outside.
IN_QUARANTINE = {"seal", "tidy", "owed alarm"}
PROCESSES_KEPT = timedelta(days=7)

log = structlog.get_logger("app")


class Process:
    """
    One running process of the installation: its road and what keeps it alive.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        database: Database,
        merchants: MerchantStore,
        road: Road,
        links: dict[str, AcquirerLink],
        lease: ProcessStore,
        around: Surroundings,
        watch: Watch,
        measures: Measures,
        lookout: Lookout,
        name: str,
    ) -> None:
        self.name = name
        self.configuration = configuration
        self.database = database
        self.merchants = merchants
        self.road = road
        self.links = links
        self.lease = lease
        self.around = around
        self.clock = road.clock
        self.watch = watch
        self.measures = measures
        self._lookout = lookout

    async def readiness(self) -> Readiness:
        """
        Return whether payments are taken, and what a person should know.

        Links are told as they are; database and disk as they were at most LOOK_SECONDS ago:
        however many ask, the database is asked once.
        """
        seen = await self._lookout.look()
        checks = readiness.checks(seen, self.configuration, self.links)
        notes: dict[str, Any] = {
            "process": self.name,
            "acquirers": self.road.routes.health(),
            "steps": self.road.store.depths(),
        }
        notes |= await self._lookout.notes(seen)
        return Readiness(all(each == "ok" for each in checks.values()), checks, notes)

    async def standing(self, under_way: int) -> metrics.Standing:
        """
        Return the gauges of `/metrics`, with *under_way* requests that move money.
        """
        found = await self.readiness()
        standing = metrics.standing_of(
            ready=found.ready, checks=found.checks, notes=found.notes, links=self.links
        )
        standing.one("requests_under_way", under_way)
        return standing


async def prepare_database(database: Database, configuration: Configuration) -> list[str]:
    """
    Migrate, and give a new installation its keys; return the migrations applied.

    Raises:
        MigrationRefused, KeyFileRefused, VaultClosed: As their messages say.
    """
    clock = SystemClock()
    applied = await migrate(database, mode=configuration.mode, clock=clock)
    rows = await database.rows("vault_keys")
    known = {row["purpose"] for row in rows}
    key = load_key(configuration.key_path) if rows else make_key(configuration.key_path)
    for purpose in PURPOSES:
        if purpose not in known:
            made = new_data_key(purpose, key)
            await database.rows(
                "add_vault_key", made.key_id, made.purpose, made.wrapped, clock.now()
            )
    await open_vault(database, configuration)
    await _prepare_signing_key(database, configuration)
    return applied


async def _prepare_signing_key(database: Database, configuration: Configuration) -> None:
    """
    Make the key that signs the journal's heads, where none was used, or one that was replaced.

    A lost one is never replaced in silence, and stops nobody: payments go on, `doctor` is ill.
    """
    if configuration.signing_key_path.exists():
        return
    in_use = await HeadStore(database).key_in_use()
    if in_use is None or in_use in by_key_id(configuration.former_public_keys):
        make_key(configuration.signing_key_path)
    else:
        log.error("signing_key_missing", path=str(configuration.signing_key_path), key=in_use)


async def _learn_keys(vault: Vault, database: Database, configuration: Configuration) -> None:
    """
    Let the vault of a running process know a data key that was made meanwhile.
    """
    vault.learn(await VaultStore(database).keys(), load_key(configuration.key_path))


@asynccontextmanager
async def process(
    configuration: Configuration,
    kind: str,
    *,
    known_as: str | None = None,
    database: Database | None = None,
    around: Surroundings = THE_MACHINE,
) -> AsyncIterator[Process]:
    """
    Lend a whole process of *kind* (`gateway` or `worker`): database, vault, links, lease.

    It is *known_as* its kind, or by a name of its own. A *database* that is passed in is not closed
    here.

    Raises:
        DatabaseAway, MigrationRefused, KeyFileRefused, VaultClosed: It cannot start.
    """
    async with AsyncExitStack() as stack:
        below = await stack.enter_async_context(ground(configuration, around, database))
        database, clock, ids, lease = below.database, below.clock, below.ids, below.lease
        vault = await open_vault(database, configuration)
        below.watch.mind_keys(partial(_learn_keys, vault, database, configuration))
        merchants = MerchantStore(database, clock)
        measures = Measures()
        store = PaymentStore(database, clock, measures=measures)
        answers = {
            each.name: LateAnswers(
                each.name,
                store,
                ids,
                clock,
                late_seconds=configuration.timers.late_seconds,
                faults=(asyncpg.PostgresError,),
            )
            for each in configuration.acquirer
        }
        links = {
            each.name: _link(each, configuration, around, answers[each.name], clock, measures)
            for each in configuration.acquirer
        }
        routes = Routes(
            merchants,
            {each.name: each for each in configuration.acquirer},
            links,
            clock,
            rules=configuration.route,
            settings=configuration.routing,
        )
        road = Road(
            store=store,
            vault=vault,
            routes=routes,
            stans=StanLeases(database),
            batches=OpenBatches(database, clock, ids, processes=configuration.api.processes),
            confirmations=ConfirmationLeases(database, vault.confirmation_key),
            ids=ids,
            clock=clock,
            timers=configuration.timers,
            process_id=lease.process_id,
            doors=below.doors,
            measures=measures,
        )
        await stack.enter_async_context(leased(below, kind))
        for name, link in links.items():
            stack.push_async_callback(_seen_to, name, answers[name])
            await link.start()
            stack.push_async_callback(link.stop)
        yield Process(
            configuration=configuration,
            database=database,
            merchants=merchants,
            road=road,
            links=links,
            lease=lease,
            around=around,
            watch=below.watch,
            measures=measures,
            lookout=Lookout(below),
            name=known_as or kind,
        )


def _link(
    acquirer: Acquirer,
    configuration: Configuration,
    around: Surroundings,
    answers: LateAnswers,
    clock: Clock,
    measures: Measures,
) -> AcquirerLink:
    settings = LinkSettings(
        host=acquirer.host,
        port=acquirer.port,
        institution_id=acquirer.forwarding_id,
        connections=acquirer.links,
        late_seconds=configuration.timers.late_seconds,
    )
    dialect = dialect_of(acquirer)
    log.info(
        "network.dialect",
        acquirer=acquirer.name,
        dialect=dialect.profile.name,
        digest=dialect.digest,
        mac_check_value=dialect.mac_check_value,
    )
    return AcquirerLink(
        settings,
        dialect,
        clock,
        tls=_tls(acquirer),
        on_late=answers.late,
        on_unmatched=answers.unmatched,
        on_event=partial(_log_event, acquirer.name, measures),
        shows_messages=configuration.log_level == "debug",
        chance=around.chance,
        sockets=around.sockets,
    )


async def _seen_to(acquirer: str, answers: LateAnswers) -> None:
    """
    Let a process that stops see to what came last: nobody sends a late answer again.
    """
    try:
        async with asyncio.timeout(LATE_ANSWERS_SECONDS_MAX):
            await answers.drain()
    except TimeoutError:
        log.error("late_answer_not_kept", acquirer=acquirer, reason="the process ends")


def _tls(acquirer: Acquirer) -> ssl.SSLContext | None:
    if not acquirer.tls:
        return None
    return client_context(
        Path(acquirer.authority) if acquirer.authority else None,
        certificate=Path(acquirer.certificate) if acquirer.certificate else None,
        key=Path(acquirer.private_key) if acquirer.private_key else None,
    )


# Every message of every payment: for a person who looks, not for a day's log.
_QUIET = {"sent", "answered"}
_LOUD = {"connect_failed", "link_down", "unmatched", "bad_frame", "bad_answer", "no_answer"}
_LOUD |= {"bad_mac", "mac_refused", "key_requested", "key_refused"}


def _log_event(acquirer: str, measures: Measures, name: str, **details: Any) -> None:
    measures.links.add(acquirer, name)
    logger = log.warning if name in _LOUD else log.debug if name in _QUIET else log.info
    logger(f"network.{name}", acquirer=acquirer, **details)


async def run_gateway(
    configuration: Configuration, identity: Identity, place: Place = ALONE
) -> None:
    """
    Be a gateway process until told to stop: the only one here, or in its *place* among others.
    """
    api = configuration.api
    listener = serving.bind(api.host, api.port, shared=place.shares_port)
    with contextlib.closing(listener):
        await _serve_on(listener, configuration, identity, place)


async def _serve_on(
    listener: socket.socket, configuration: Configuration, identity: Identity, place: Place
) -> None:
    lent = process(configuration, "gateway", known_as=place.name)
    async with lent as running, AsyncExitStack() as stack:
        await stack.enter_async_context(watched(running.watch))
        desk = desk_of(running)
        settings = configuration.metrics
        pages = pages_of(running, "gateway", lambda: desk.under_way)
        await stack.enter_async_context(
            monitors.listening(pages, settings.host, place.metrics_port(settings.gateway_port))
        )
        await serving.serve(
            desk,
            readiness_of(running),
            listener=listener,
            identity=identity,
            serving_path=place.serving_path(configuration.folder),
        )


def pages_of(running: Process, kind: str, under_way: Callable[[], int]) -> monitors.Pages:
    """
    Return what monitors may ask a process of *kind*.
    """

    async def metrics_page() -> monitors.Page:
        standing = await running.standing(under_way())
        text = metrics.exposition(running.measures, standing, kind)
        return 200, metrics.CONTENT_TYPE, text

    async def ready_page() -> monitors.Page:
        found = await running.readiness()
        return monitors.json_page(200 if found.ready else 503, found)

    async def health_page() -> monitors.Page:
        return monitors.json_page(200, Health())

    return {"/metrics": metrics_page, "/readyz": ready_page, "/healthz": health_page}


def desk_of(running: Process) -> Desk:
    """
    Return what the endpoints of a gateway process have at hand.
    """
    configuration = running.configuration
    return Desk(
        road=running.road,
        keys=KeyCache(running.merchants, running.database, running.clock),
        batches=BatchStore(running.database, running.lease.process_id),
        deposits=DepositStore(running.database),
        feed=Feed(FeedStore(running.database), running.clock),
        endpoints=endpoints_of(
            running.database, running.road.vault, configuration, running.clock, running.road.ids
        ),
        checkouts=checkouts_of(
            running.database, running.road.vault, configuration, running.clock, running.road.ids
        ),
        search=partial(SearchStore, running.database),
        mode=configuration.mode,
        body_bytes_max=configuration.api.body_bytes_max,
        payments_at_once_max=configuration.api.payments_at_once_max,
    )


def endpoints_of(
    database: Database, vault: Vault, configuration: Configuration, clock: Clock, ids: Ids
) -> Endpoints:
    """
    Return the webhook endpoints of the installation.
    """
    return Endpoints(
        EndpointStore(database),
        vault,
        clock,
        ids,
        loopback=configuration.webhooks.allow_loopback,
    )


def checkouts_of(
    database: Database, vault: Vault, configuration: Configuration, clock: Clock, ids: Ids
) -> Checkouts:
    """
    Return the checkouts of the installation.
    """
    return Checkouts(
        CheckoutStore(database, ids),
        vault,
        clock,
        ids,
        origin=configuration.checkout_origin,
        is_test=configuration.mode == "test",
    )


def readiness_of(running: Process) -> Checks:
    """
    Return the question whether a gateway process can take payments.
    """
    return running.readiness


async def run_worker(configuration: Configuration) -> None:
    """
    Be a worker process until told to stop.
    """
    async with process(configuration, "worker") as running:
        settings = configuration.metrics
        pages = pages_of(running, "worker", lambda: 0)
        async with (
            watched(running.watch),
            monitors.listening(pages, settings.host, settings.worker_port),
        ):
            aside = [
                statistics(running),
                signing(running),
                minding(running),
                minding_the_terminal(running),
                totals(running),
                *looking(running),
            ]
            await worker.work([*duties(running), *aside], running.measures)
        await running.road.store.drain()


def statistics(running: Process) -> Duty:
    """
    Return the duty that minds the planner, which no duty of `duties` depends on.

    It stands apart, because samples are random: a simulated world must not have it.
    """
    return Duty("statistics", partial(look_at_grown, running.database), STATISTICS_SECONDS)


def totals(running: Process) -> Duty:
    """
    Return the duty that counts days, in quarantine too: it only adds up what the feed tells.

    It stands apart, because nothing waits for it: a page adds what is not counted yet by itself.
    """
    return Duty("totals", partial(fold_totals, TotalsStore(running.database)), TOTALS_SECONDS)


def signing(running: Process) -> Duty:
    """
    Return the duty that signs the journal's heads, once a day, in quarantine too.

    It stands apart, because nothing waits for it and its file is one of this machine.
    """
    configuration = running.configuration
    signer = Signer(
        HeadStore(running.database),
        running.clock,
        key_path=configuration.signing_key_path,
        former_keys=configuration.former_public_keys,
        file=HeadFile(configuration.heads_path),
    )
    return Duty("sign heads", signer.sign, SIGN_SECONDS)


def looking(running: Process) -> list[Duty]:
    """
    Return the duty that looks at the payment pages once an hour, in quarantine too; none where
    there are no pages.

    It stands apart, because a simulated world has no pages.
    """
    configuration = running.configuration
    if not configuration.web.enabled:
        return []
    look = Look(
        PageLookStore(running.database, running.road.ids),
        running.road.vault,
        running.clock,
        origin=configuration.checkout_origin,
        fetch=partial(fetch_over_https, configuration),
    )
    return [Duty("look at pages", look.look_if_due, LOOK_SECONDS)]


def minding(running: Process) -> Duty:
    """
    Return the duty that looks after payment pages: what is too old, and where a process has died.

    It stands apart, because a simulated world has no pages.
    """
    road = running.road
    minder = Minder(road, CheckoutStore(running.database, road.ids), running.merchants)
    return held(Duty("checkouts", minder.look, CHECKOUTS_SECONDS), road.doors)


def minding_the_terminal(running: Process) -> Duty:
    """
    Return the duty that writes how clerks' sales ended, where a web process has died.

    It stands apart, because a simulated world has no pages.
    """
    road = running.road
    minder = SaleMinder(road, TerminalStore(running.database, road.ids), running.merchants)
    return held(Duty("terminal", minder.look, TERMINAL_SECONDS), road.doors)


def duties(running: Process) -> list[Duty]:
    """
    Return everything that a worker does; it sends mail only while no mailer lives.
    """
    road, timers, owner = running.road, running.road.timers, running.lease.process_id
    configuration = running.configuration
    acquirers = list(running.links)
    advices = AdviceStore(running.database, owner, running.clock)
    forwarder = Forwarder(road, advices, running.merchants, acquirers, chance=running.around.chance)
    batches = BatchStore(running.database, owner)
    closer = Closer(
        road, batches, running.merchants, acquirers, answer_seconds=timers.close_answer_seconds
    )

    settlement, files = configuration.settlement, SettlementStore(running.database)
    folders = Folders(
        Intake(files, configuration.acquirer, running.clock, road.ids),
        files,
        reports=settlement.reports,
        statements=settlement.statements,
    )

    deliveries = DeliveryStore(running.database, owner)
    poster = _poster(configuration)
    sender = Sender(
        deliveries,
        road.vault,
        running.around.post or poster.post,
        running.clock,
        road.ids.new,
        mode=configuration.mode,
        chance=running.around.chance,
    )

    async def hooks_ended() -> None:
        await sender.finish()
        await poster.close()

    async def watched() -> int:
        await schedule.watch(batches, road)
        return 0

    async def asked() -> int:
        await ask_for_reports(files, running.clock, road.ids)
        return 0

    async def tidied() -> int:
        await running.lease.forget(running.clock.now() - PROCESSES_KEPT)
        await road.store.screening.forget()
        while await deliveries.forget(running.clock.now() - KEPT):
            continue
        return 0

    everything = [
        Duty("sweep", partial(sweep, road), timers.sweep_seconds),
        Duty("forward", forwarder.forward, IDLE_SECONDS),
        Duty(
            "number events",
            partial(number_events, FeedStore(running.database), running.clock),
            IDLE_SECONDS,
        ),
        mail_duty(
            OutboxStore(running.database, owner, running.clock, stands_in=True),
            configuration,
            running.clock,
            running.around.deliver,
        ),
        Duty("webhooks", sender.send_due, IDLE_SECONDS, hooks_ended),
        Duty("cutoffs", partial(schedule.keep_cutoffs, batches, road), CUTOFF_SECONDS),
        Duty("close", closer.step, IDLE_SECONDS, closer.finish),
        Duty("read folders", folders.read_folders, settlement.look_seconds),
        Duty("missing reports", asked, MISSING_REPORTS_SECONDS),
        Duty("watch", watched, WATCH_SECONDS),
        Duty("seal", Sealer(ChainStore(running.database), running.clock).seal, SEAL_SECONDS),
        Duty("tidy", tidied, TIDY_SECONDS),
        Duty("owed alarm", OwedAlarm(advices, running.clock).look, ALARM_SECONDS),
    ]
    return [each if each.name in IN_QUARANTINE else held(each, road.doors) for each in everything]


def _poster(configuration: Configuration) -> Poster:
    settings = configuration.webhooks
    return Poster(CheckedNetwork(loopback=settings.allow_loopback), tls_context(settings.authority))
