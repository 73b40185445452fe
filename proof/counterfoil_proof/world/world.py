"""
One universe: every process of an installation, its clients and its acquirer, from one seed.
"""

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import time as time_of_day
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import structlog
from counterfoil.clock import Clock
from counterfoil.config import Acquirer as AcquirerSettings
from counterfoil.config import Configuration, Settlement, Timers
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.policy import OFF, Policy
from counterfoil.receipts.letter import Letter
from counterfoil.store.batches import BatchKey, BatchStore
from counterfoil.store.merchants import MerchantStore, NewMerchant, Terminal
from counterfoil.store.screening import Block, ScreeningStore

from counterfoil_proof.world import books
from counterfoil_proof.world.acquirer import Acquirer
from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.database import Store
from counterfoil_proof.world.hooks import Hooks
from counterfoil_proof.world.life import LIFE, KilledError, Life
from counterfoil_proof.world.loop import VirtualLoop
from counterfoil_proof.world.network import Network
from counterfoil_proof.world.processes import Machine, Site, is_expected
from counterfoil_proof.world.reader import Reader
from counterfoil_proof.world.server import Server, configuration, remove
from counterfoil_proof.world.shop import Shop
from counterfoil_proof.world.story import Story
from counterfoil_proof.world.weather import Weather, calm
from counterfoil_proof.world.web import Web
from counterfoil_proof.world.witness import BLOCKED_EMAIL, Witness

T = TypeVar("T")

ACQUIRER = "acme"
MERCHANT_ID = UUID(int=1)  # Of the first; the others follow.
LOOK_SECONDS = 5.0
READY_SECONDS_MAX = 300.0
RESTART_SECONDS = 1.0
QUIET_LOOK_SECONDS = 2.0
BUSY_RESTS_SECONDS = (1.0, 4.0)  # Of a worker's duties: no less than this.
QUIET_RESTS_SECONDS = (3.0, 9.0)
QUIET_SECONDS_MAX = 2400.0
RETRIES_BY_HAND_MAX = 3
OnPoint = Callable[["World", Life, str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a universe consists of.

    Attributes:
        screening: The merchants' rules; with any, one e-mail address is blocked too.
    """

    seed: int = 1
    gateways: int = 2
    workers: int = 1
    shops: int = 1
    merchants: int = 1
    terminals: int = 1
    acknowledge_seconds: int = 30
    cutoff: time_of_day = time_of_day(14, 20)
    credits_allowed: bool = False
    partial_approvals: PartialApprovals = PartialApprovals.REVERSE
    screening: Policy = OFF
    owed_per_second_max: float = 500.0
    timers: Timers = Timers(
        send_seconds=2.0,
        answer_seconds=8.0,
        advice_answer_seconds=8.0,
        late_seconds=60.0,
        lease_seconds=6.0,
        orphan_seconds=30.0,
        close_answer_seconds=10.0,
    )


class World:
    """
    A universe that is open. Make one with `opened`.
    """

    def __init__(
        self,
        server: Server,
        plan: Plan,
        loop: VirtualLoop,
        folder: Path,
        *,
        weather: Weather,
        on_point: OnPoint | None,
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.folder = folder
        self.server = server
        self.weather = weather
        self.chance = Chance(plan.seed)
        self.clock = WorldClock(loop)
        self.story = Story(loop)
        self.witness = Witness(
            self.story,
            self.clock,
            send_seconds=plan.timers.send_seconds,
            screens=plan.screening != OFF,
            accepts_parts=plan.partial_approvals is PartialApprovals.ACCEPT,
        )
        self.clock_ahead_seconds = 0.0
        self.retries: Counter[BatchKey] = Counter()
        self._on_point = on_point
        self.database = server.fresh()
        self.store = Store(server, self.database, self.witness.written, loop.time)
        self.network = Network(weather, self.chance, self.witness, self.story.count)
        self.web = Web(weather, self.witness, self.story.count)
        self.acquirer = Acquirer(folder, self.clock, self.chance, on_point=self._passed)
        self.witness.store, self.witness.acquirer = self.store, self.acquirer
        self.hooks = Hooks(self)
        self.readers: list[Reader] = []
        self.site = Site(
            configuration=self._configuration(),
            store=self.store,
            network=self.network,
            web=self.web,
            weather=weather,
            chance=self.chance,
            true_clock=self.clock,
            post=self._post,
            hooks=self.hooks.posting,
            story=self.story,
            on_point=self._passed,
            on_fault=self._fault,
        )
        self.machines = [self._machine("gateway", n) for n in range(1, plan.gateways + 1)]
        self.machines += [self._machine("worker", n) for n in range(1, plan.workers + 1)]
        self.shops: list[Shop] = []

    def machine(self, name: str) -> Machine:
        """
        Return the machine called *name*: `gateway1`, `worker1`.
        """
        return next(each for each in self.machines if each.name == name)

    async def begin(self) -> None:
        """
        Set up merchants, start every process, and wait until payments are taken.
        """
        for number in range(1, self.plan.merchants + 1):
            await self._add_merchant(number)
        await self.up()

    async def up(self) -> None:
        """
        Start whatever is down, until every gateway takes payments.

        Raises:
            TimeoutError: It never does.
        """
        limit = self.loop.time() + READY_SECONDS_MAX
        while True:
            self.keep_alive()
            await asyncio.sleep(RESTART_SECONDS)
            if self.is_ready():
                return
            if self.loop.time() > limit:
                raise TimeoutError(f"no gateway is ready within {READY_SECONDS_MAX:g} s")

    def start_acquirer(self) -> None:
        """
        Start the acquirer's host.
        """
        self.acquirer.start(self.weather.issuer_span)
        self.network.rail = self.acquirer

    def crash(self, victim: Machine | Shop | Acquirer) -> None:
        """
        End a process at once.
        """
        name = victim.life.name if victim.life else "nobody"
        self.story.tell(name, "dies")
        self.story.count(f"crash {name.rstrip('0123456789')}")
        victim.kill()

    def keep_alive(self) -> None:
        """
        Start again whatever has died, after a moment: what a supervisor does.
        """
        if self.acquirer.rail is None:
            self.start_acquirer()
        for machine in self.machines:
            if not machine.is_up:
                self.story.tell(machine.name, "starts")
                machine.start()
        for shop in self.shops:
            if not shop.is_up and not shop.has_left:
                self.story.tell(shop.name, "starts")
                shop.start()

    def is_ready(self) -> bool:
        """
        Whether every gateway listens.
        """
        gateways = [each for each in self.machines if each.kind == "gateway"]
        return len(self.web.gateways) == len(gateways)

    def change_weather(self, weather: Weather) -> None:
        """
        Let what can go wrong be that of *weather* from now on.
        """
        for name in weather.__struct_fields__:
            setattr(self.weather, name, getattr(weather, name))
        if self.acquirer.rail is not None:
            delay = "-".join(str(int(1000 * seconds)) for seconds in weather.issuer_span)
            self.acquirer.rail.faults.set("issuer_delay_ms", delay)

    def calm_down(self) -> None:
        """
        Let nothing go wrong from now on.
        """
        self.change_weather(calm())
        self.network.is_cut = False
        self.store.is_down = False
        for machine in self.machines:
            if machine.life is not None:
                machine.life.thaw()
            machine.clock.step_to(0.0)
        self.acquirer.life.thaw()

    async def settle(self) -> bool:
        """
        Wait in calm weather until nothing is owed any more; False when that never comes.
        """
        self.calm_down()
        self.site.rests_seconds = QUIET_RESTS_SECONDS
        # What was owed while a clock was ahead is put off by as much.
        until = self.loop.time() + QUIET_SECONDS_MAX + self.clock_ahead_seconds
        quiet = 0
        while quiet < 2 and self.loop.time() < until:
            self.keep_alive()
            await asyncio.sleep(QUIET_LOOK_SECONDS)
            quiet = 0 if self._by_hand() or self.owed() else quiet + 1
        self.site.rests_seconds = BUSY_RESTS_SECONDS
        owed = self.owed()
        for each in owed:
            self.story.violated("nothing is stuck", each, *books.subjects_in(each))
        return not owed

    def _by_hand(self) -> int:
        """
        Do what an operator does with a batch that needs a person: let it go on; return how many.
        """
        rows = self.store.ask(books.NEED_A_PERSON)
        for row in rows:
            key = BatchKey(*list(row.values()))
            self.retries[key] += 1
            if self.retries[key] > RETRIES_BY_HAND_MAX:
                self.story.violated("a batch closes in calm weather", key.reference)
                return 0
            self.story.tell("operator", f"retries batch {key.reference}")
            self.story.count("batch that needed a person")
            self.server.run(self._retry(key))
            self.store.memory.wrote_anything()
        return len(rows)

    async def _retry(self, key: BatchKey) -> None:
        database = await self.server.open(self.database)
        event_id = UUID(int=self.chance.stream("operator", self.loop.time()).getrandbits(128))
        batches = BatchStore(database, event_id)
        await batches.retry(key, at=self.clock.now(), actor="cli", event_id=event_id)
        await database.close()

    def owed(self) -> list[str]:
        """
        Return what has no end yet, at the gateway and in the shops.
        """
        found = [str(row["what"]) for row in self.store.ask(books.OWED)]
        due = self.store.ask(books.HOOKS_DUE, self.clock.now())
        found += [str(row["what"]) for row in due]
        here = [each for each in self.shops if not each.has_left and each.is_waiting()]
        found += [f"{shop.name} does not know" for shop in here]
        return found

    async def check(self) -> None:
        """
        Compare everybody's books; only when nothing is owed.
        """
        await books.check(self)

    async def end(self) -> None:
        """
        End every process at once and let go of everything.
        """
        for shop in self.shops:
            shop.kill()
        for machine in self.machines:
            machine.kill()
        self.acquirer.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        """
        Remove the universe's database and files.
        """
        self.store.close()
        self.server.drop(self.database)
        remove(self.folder)

    def _passed(self, life: Life, name: str) -> None:
        if self._on_point is not None:
            self._on_point(self, life, name)

    def _fault(self, life: Life, fault: BaseException) -> None:
        if not is_expected(fault):
            self.story.violated("no process ends by a defect", f"{life}: {fault!r}")
        self.story.tell(life, f"ends: {type(fault).__name__}")

    def _post(self, life: Life, letter: Letter) -> None:
        heads = BytesHeaderParser().parsebytes(letter.content)
        self.witness.mailed(str(heads["Message-ID"]))
        self.story.count("mails")

    def _machine(self, kind: str, number: int) -> Machine:
        clock = WorldClock(self.loop)
        machine = Machine(f"{kind}{number}", kind, clock, self.site)
        self.witness.clocks[machine.name] = clock
        return machine

    def _configuration(self) -> Configuration:
        acquirer = AcquirerSettings(
            name=ACQUIRER,
            mode="test",
            host="acquirer.test",
            port=8583,
            institution_id="123456",
            forwarding_id="987654",
            links=2,
            owed_per_second_max=self.plan.owed_per_second_max,
        )
        files = self.acquirer.files
        return configuration(
            self.folder,
            acquirer=(acquirer,),
            timers=self.plan.timers,
            settlement=Settlement(
                reports=str(files / "reports"),
                statements=str(files / "statements"),
                look_seconds=LOOK_SECONDS,
            ),
        )

    async def _add_merchant(self, number: int) -> None:
        merchant_id = UUID(int=MERCHANT_ID.int + number - 1)
        new = NewMerchant(
            merchant_id=merchant_id,
            name=f"Shop {number}",
            city="Springfield",
            region="IL",
            country="US",
            category_code="5942",
            timezone="UTC",
            cutoff=self.plan.cutoff,
            email=f"owner{number}@shops.test",
            acknowledge_seconds=self.plan.acknowledge_seconds,
        )
        terminals = [
            Terminal(ACQUIRER, f"TERM{number:02d}{each:02d}", f"MERCHANT{number:07d}")
            for each in range(1, self.plan.terminals + 1)
        ]
        secret = f"sk_test_{number:040d}"
        clock: Clock = self.clock

        async def add() -> None:
            database = await self.server.open(self.database)
            store = MerchantStore(database, clock)
            await store.add(new, terminals)
            await store.add_key(UUID(int=1000 + number), merchant_id, secret, "shop", None)
            await store.set(
                merchant_id,
                credits_allowed=self.plan.credits_allowed,
                partial_approvals=self.plan.partial_approvals,
            )
            if self.plan.screening != OFF:
                rules = ScreeningStore(database, clock)
                await rules.set_policy(
                    merchant_id, self.plan.screening, after_version=0, actor="cli"
                )
                await rules.add_block(merchant_id, _block(2000 + number))
            await database.close()

        self.server.run(add())
        stream = self.chance.stream("reader", number)
        self.readers.append(
            Reader(
                f"reader{number}",
                merchant_id,
                secret,
                web=self.web,
                story=self.story,
                chance=stream,
            )
        )
        for each in range(1, self.plan.shops + 1):
            name = f"shop{(number - 1) * self.plan.shops + each}"
            clock_of_shop = WorldClock(self.loop)
            self.shops.append(Shop(name, secret, self.folder, self.site, self.story, clock_of_shop))


def _block(number: int) -> Block:
    return Block(
        block_id=UUID(int=number),
        kind="email",
        value=BLOCKED_EMAIL,
        shown=BLOCKED_EMAIL,
        reason="does not pay",
        actor="cli",
    )


def live(
    server: Server,
    plan: Plan,
    scenario: Callable[[World], Awaitable[T]],
    *,
    weather: Weather | None = None,
    on_point: OnPoint | None = None,
) -> tuple[World, T]:
    """
    Open a universe, let *scenario* happen in it, and end it; return what is left to look at.
    """
    gc.disable()  # A universe's garbage is taken out when it has ended.
    loop = VirtualLoop()
    folder = server.folder / f"universe-{plan.seed}"
    asyncio.set_event_loop(loop)
    remove(folder)
    folder.mkdir(parents=True)
    try:
        world = World(server, plan, loop, folder, weather=weather or calm(), on_point=on_point)
        _log_into(world.story)
        loop.set_exception_handler(lambda _, context: _note_fault(world, context))
        try:
            result = loop.run_until_complete(_whole(world, scenario))
        finally:
            _finish(loop)
            world.close()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        gc.enable()
    return world, result


async def _whole(world: World, scenario: Callable[[World], Awaitable[T]]) -> T:
    try:
        await world.begin()
        return await scenario(world)
    finally:
        await world.end()


def _finish(loop: VirtualLoop) -> None:
    """
    End whatever is left, so that nothing of this universe wakes in the next.
    """
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(_turns())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]


async def _turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def _note_fault(world: World, context: dict[str, Any]) -> None:
    fault = context.get("exception")
    if isinstance(fault, KilledError | asyncio.CancelledError):
        return
    if isinstance(fault, BaseException) and is_expected(fault):
        return
    what = f"{context.get('message')}: {fault!r}"
    world.story.violated("no defects in the background", what)


def _log_into(story: Story) -> None:
    """
    Let what the product logs as an error be part of the story, and nothing else be written.
    """

    def told(_: Any, level: str, event: Any) -> Any:
        if level == "error":
            what = str(event.pop("event", ""))
            said = " ".join(f"{name}={value}" for name, value in event.items())
            subjects = [f"pay_{event['payment']}"] if "payment" in event else []
            story.tell(LIFE.get() or "log", f"logs {what} {said}", *subjects)
        elif event.get("event") == "round_failed" and "Violation" in str(event.get("reason")):
            # A worker survives what the schema refuses, and nobody would ever hear of it.
            story.violated("no round breaks a rule of the schema", str(event.get("reason")))
        raise structlog.DropEvent

    structlog.configure(
        logger_factory=structlog.ReturnLoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        processors=[told],
        cache_logger_on_first_use=False,
    )
