"""
The product's processes in a world: gateways and workers, started again whenever they die.

Each is the product's own `app.process` on the world's clock, database, sockets and mail server.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from counterfoil import app
from counterfoil.api.application import Call, application
from counterfoil.config import Configuration
from counterfoil.events.webhooks import Post as HookPost
from counterfoil.events.worker import Duty, keep_at
from counterfoil.receipts.letter import Letter
from counterfoil.store.database import DatabaseAway
from counterfoil.surroundings import Surroundings

from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.database import Store, WorldDatabase
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.network import Network
from counterfoil_proof.world.story import Story
from counterfoil_proof.world.weather import Weather
from counterfoil_proof.world.web import Web

GRACE_SECONDS = 10.0
Post = Callable[[Life, Letter], None]


class Machine:
    """
    A place where one process of the installation runs, life after life.
    """

    def __init__(self, name: str, kind: str, clock: WorldClock, site: "Site") -> None:
        self.name = name
        self.kind = kind
        self.clock = clock
        self.life: Life | None = None
        self.lives = 0
        self.application: Call
        self._site = site
        self._stopping = asyncio.Event()
        self._main: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self.life is not None and not self.life.is_dead

    def start(self) -> Life:
        """
        Start a process here.
        """
        assert not self.is_up, f"{self.name} runs already"
        self.lives += 1
        life = Life(self.name, self.lives, on_point=self._site.on_point)
        life.at_death(self._gone)
        self.life = life
        self._stopping = asyncio.Event()
        self._main = life.spawn(self._run(life))
        self._main.add_done_callback(self._ended)
        return life

    def kill(self) -> None:
        """
        End its process at once.
        """
        if self.life is not None:
            self.life.kill()

    async def stop(self) -> None:
        """
        End its process in good order.
        """
        if self.life is None or self._main is None or self.life.is_dead:
            return
        self.life.thaw()
        self._stopping.set()
        await asyncio.wait([self._main])
        self.life.kill()

    def _gone(self) -> None:
        self._site.web.gateways.pop(self.name, None)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """
        A process that ends by itself says why: a database that is away, or a defect.
        """
        assert self.life is not None
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._site.on_fault(self.life, fault)
        if not self.life.is_dead:
            self.life.kill()

    async def _run(self, life: Life) -> None:
        site = self._site
        chance = site.chance.stream(self.name, self.lives)
        database = WorldDatabase(
            site.store,
            life,
            site.true_clock,
            site.weather,
            site.chance.stream("db", life),
            site.story.count,
        )
        around = Surroundings(
            clock=self.clock,
            random_bytes=chance.randbytes,
            chance=chance.random,
            sockets=site.network.socket,
            deliver=site.delivery(life),
            post=site.hooks(life),
        )
        running = app.process(site.configuration, self.kind, database=database, around=around)
        async with running as process:
            if self.kind == "gateway":
                await self._serve(process)
            else:
                await self._work(process, chance)

    async def _serve(self, process: app.Process) -> None:
        """
        What `api.serving.serve` does, without its sockets.
        """
        desk = app.desk_of(process)
        listening = asyncio.create_task(desk.keys.listen())
        self.application = application(desk, app.readiness_of(process))
        assert self.life is not None
        self._site.web.gateways[self.name] = _Listening(self.life, self.application)
        try:
            await self._stopping.wait()
        finally:
            self._gone()
            listening.cancel()
            await desk.finish(GRACE_SECONDS)
            await desk.road.store.drain()

    async def _work(self, process: app.Process, chance: Random) -> None:
        """
        What `events.worker.work` does, without its signals.
        """
        duties = [self._site.paced(each, chance) for each in app.duties(process)]
        async with asyncio.TaskGroup() as group:
            for duty in duties:
                group.create_task(keep_at(duty, self._stopping))
        await process.road.store.drain()


class _Listening:
    """
    A gateway process, as the balancer knows it.
    """

    def __init__(self, life: Life, application: Call) -> None:
        self.life = life
        self.application = application


class PacedDuty:
    """
    A duty that rests as long as the world says: a day with short rests costs too much.
    """

    def __init__(self, duty: Duty, rest: Callable[[float], float]) -> None:
        self.name = duty.name
        self.round = duty.round
        self.finish = duty.finish
        self._rests = duty.pause_seconds
        self._rest = rest

    @property
    def pause_seconds(self) -> float:
        """How long to rest this time."""
        return self._rest(self._rests)


class Site:
    """
    What all processes of a universe share.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        store: Store,
        network: Network,
        web: Web,
        weather: Weather,
        chance: Chance,
        true_clock: WorldClock,
        post: Post,
        hooks: Callable[[Life], HookPost],
        story: Story,
        on_point: Callable[[Life, str], None],
        on_fault: Callable[[Life, BaseException], None],
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.network = network
        self.web = web
        self.weather = weather
        self.chance = chance
        self.true_clock = true_clock
        self.story = story
        self.on_point = on_point
        self.on_fault = on_fault
        self.rests_seconds = (1.0, 4.0)  # Of a worker's duties: no less than this.
        self.hooks = hooks
        self._post = post

    def delivery(self, life: Life) -> Any:
        """
        Return the way to the mail server for one process.
        """
        chance = self.chance.stream("mail", life)

        async def deliver(letter: Letter) -> None:
            await asyncio.sleep(chance.uniform(*self.weather.web_span))
            life.check()
            lost = chance.random() < self.weather.mail_lost
            if lost and chance.random() < 0.5:
                raise ConnectionRefusedError("the mail server does not listen")
            self._post(life, letter)
            if lost:
                raise ConnectionResetError("the mail server's word was lost")

        return deliver

    def paced(self, duty: Duty, chance: Random) -> Any:
        """
        Return *duty* with rests that this world can afford.
        """
        return PacedDuty(duty, lambda rest: max(rest, chance.uniform(*self.rests_seconds)))


def is_expected(fault: BaseException) -> bool:
    """
    Return whether a process may end by *fault*: its supervisor starts it again.
    """
    if isinstance(fault, BaseExceptionGroup):
        return all(is_expected(each) for each in fault.exceptions)
    return isinstance(fault, DatabaseAway | ConnectionError | asyncio.CancelledError)
