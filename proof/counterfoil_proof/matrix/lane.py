"""
One lane of the matrix: a whole installation of its own, in which one process at a time dies.

Database, rail and mailbox stay up through thousands of deaths; gateway, worker and shop are
forked by the lane's nursery, so that only the one that was killed is started again.
"""

import asyncio
import contextlib
import os
import shutil
import ssl
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from counterfoil.clock import SystemClock
from counterfoil.opened import open_database
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore
from counterfoil.supervisor import Supervisor
from counterfoil.tls import limit_groups, own_identity
from counterfoil_rail.control import ask
from counterfoil_rail.store import rail_folder

from counterfoil_proof.demo import ports
from counterfoil_proof.demo import sandbox as demo
from counterfoil_proof.matrix import agreement, wishes
from counterfoil_proof.matrix.fates import Fates, Result, Target
from counterfoil_proof.matrix.processes import Arm, Child, Nursery
from counterfoil_proof.matrix.scenarios import FROM_HERE, SCENARIOS, Scenario, cutoff_after
from counterfoil_proof.merchants import Account, add_merchant
from counterfoil_proof.points.point import Pass

KINDS = ("gateway", "worker", "shop")
TIMERS = """
[timers]
send_seconds = 1.3
answer_seconds = 1.5
advice_answer_seconds = 1.5
late_seconds = 2.0
lease_seconds = 2.5
sweep_seconds = 0.1
close_answer_seconds = 1.5

[webhooks]
allow_loopback = true

[routing]
technical_retries_max = 1
"""
PATIENCE_SECONDS = 60.0  # For a whole recovery, on a machine that is busy with other things.
POLL_SECONDS = 0.03
SHOP_STARTS_MAX = 12
AGAIN_SECONDS = 0.2
STARTED = ("mailbox", "rail", "database")

Words = dict[str, str]


class Lane:
    """
    An open lane.
    """

    def __init__(self, folder: Path) -> None:
        chosen, _ = ports.choose()
        self.plan = demo.Sandbox(folder, chosen, "0", TIMERS)
        self.configuration = demo.prepare(self.plan)
        self.folder = folder
        self.clock = SystemClock()
        self.programs = {each.name: each for each in demo.programs(self.plan, self.configuration)}
        self.supervisors: dict[str, Supervisor] = {}
        self.nursery = Nursery(folder, self.plan.configuration_path, self._grant)
        self.children: dict[str, Child] = {}
        self.account: Account | None = None
        self._database: Database | None = None
        self._started = 0
        self._browser: httpx2.AsyncClient | None = None
        self._fates: Fates | None = None
        self._calm: dict[str, str] | None = None  # The rail's faults before the first run.
        self._ending = contextlib.AsyncExitStack()
        self._is_open = False

    async def whole(self) -> None:
        """
        Start everything, or again what a former run has left down; return when payments are taken.
        """
        if self._is_open:
            await self._start_again()
        else:
            await self.open()
        await asyncio.to_thread(self._disarm)

    async def open(self) -> None:
        """
        Start everything, and return when payments are taken.
        """
        for name in STARTED:
            self._ending.push_async_callback(self.stop, name)
            await self.start(name)
        self._database = await self._ending.enter_async_context(open_database(self.configuration))
        own_identity(self.configuration.folder / "tls", self.configuration.api.names, self.clock)
        limit_groups(self.configuration.folder)
        environment = {**os.environ, "COUNTERFOIL_GROUPS_LIMITED": "1", "PYTHONUNBUFFERED": "1"}
        self._ending.push_async_callback(self.nursery.close)
        await self.nursery.open(environment)
        trust = ssl.create_default_context(cafile=self.plan.authority_path)
        self._browser = httpx2.AsyncClient(base_url=self.plan.gateway_url, verify=trust)
        self._ending.push_async_callback(self._browser.aclose)
        for kind in ("gateway", "worker"):
            self.fork(kind)
        await self.takes_payments()
        self._is_open = True

    async def close(self) -> None:
        """
        End everything, each whatever becomes of the others.
        """
        try:
            await self._ending.aclose()
        finally:
            ports.release(self.plan.ports)

    def remove(self) -> None:
        """
        Remove the folder.
        """
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database(self) -> Database:
        """
        The installation's database.
        """
        assert self._database is not None
        return self._database

    async def start(self, name: str) -> None:
        """
        Start one program that is not killed, and return when it is ready.
        """
        if name not in self.supervisors:
            program = msgspec.structs.replace(self.programs[name], after=())
            self.supervisors[name] = Supervisor([program])
            await self.supervisors[name].start()

    async def stop(self, name: str) -> None:
        """
        Stop it.
        """
        if name in self.supervisors:
            await self.supervisors.pop(name).stop()

    def fork(self, kind: str, arms: Sequence[Arm] = (), words: Words | None = None) -> Child:
        """
        Start a gateway, a worker or a shop.
        """
        self._started += 1
        log = self.folder / "gateway" / "logs" / f"{kind}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        child = self.nursery.fork(f"{kind}-{self._started}", kind, log=log, words=words, arms=arms)
        self.children[kind] = child
        return child

    async def takes_payments(self) -> None:
        """
        Wait until the gateway is ready: database, clock and link.
        """
        assert self._browser is not None
        browser = self._browser

        async def ready() -> bool:
            gateway = self.children["gateway"]
            assert not gateway.ended.done(), f"the gateway does not start: {self.folder}"
            try:
                return bool((await browser.get("/readyz")).status_code == 200)
            except httpx2.TransportError:
                return False

        await eventually(ready, "the gateway takes payments")

    async def record(self, scenario: str) -> Result:
        """
        Run a scenario in which nobody dies; its result has all that was passed.
        """
        return await self._run(scenario, None)

    async def run(self, target: Target) -> Result:
        """
        Run a scenario in which one process is killed, or frozen, at one pass.
        """
        return await self._run(target.scenario, target)

    async def _run(self, name: str, target: Target | None) -> Result:
        scenario = SCENARIOS[name]
        self.account = await self._merchant(scenario)
        self._fates = Fates(self, scenario, target)
        began = time.monotonic()
        wrong: list[str] = []
        try:
            await self._fates.begin(self._words(name))
            await self._shop_is_done()
            await self._is_quiet()
            if await self._fates.came_late():
                await self._is_quiet()
            if await self._fates.all_go_on():
                await self._is_quiet()
        except (AssertionError, TimeoutError) as stuck:
            wrong.append(f"not recovered: {stuck or 'somebody said nothing any more'}")
        came_to_its_end = not wrong
        reached_at = self._fates.reached_at
        recovered_seconds = time.monotonic() - (reached_at or began)
        passed = {} if target else await self._passed()
        await self._fates.end()
        if not wrong:
            wrong = await agreement.disagreements(self, scenario)
        return Result(
            target=target,
            scenario=name,
            is_reached=reached_at is not None,
            recovered_seconds=recovered_seconds,
            wrong=wrong,
            merchant=self.account.written_id,
            came_to_its_end=came_to_its_end,
            passed=passed,
        )

    async def _shop_is_done(self) -> None:
        assert self._fates is not None
        for _ in range(SHOP_STARTS_MAX):
            shop = self.children["shop"]
            status = await asyncio.wait_for(asyncio.shield(shop.ended), PATIENCE_SECONDS)
            if status == 0:
                return
            await asyncio.sleep(AGAIN_SECONDS)
            self._fates.next_life("shop")
        raise AssertionError(f"the shop ended {SHOP_STARTS_MAX} times with work left")

    async def _is_quiet(self) -> None:
        assert self.account is not None
        merchant_id, owed = self.account.merchant_id, list[str]()

        async def quiet() -> bool:
            owed[:] = await agreement.owed(self.database, merchant_id)
            return not owed

        try:
            await eventually(quiet, "nothing is owed any more")
        except AssertionError as error:
            raise AssertionError(f"{error}: {owed}") from None

    async def _start_again(self) -> None:
        for name in STARTED:
            await self.start(name)
        for kind in ("gateway", "worker"):
            if self.children[kind].ended.done():
                self.fork(kind)
        await self.takes_payments()

    def _disarm(self) -> None:
        """
        Disarm what a former run has armed at the rail and nobody met: it was that run's fault.
        """
        rail = rail_folder(self.folder)
        armed: dict[str, str] = ask(rail, {})["faults"]
        if self._calm is None:
            self._calm = armed
        for name, value in armed.items():
            if value != self._calm[name]:
                ask(rail, {"set": [name, self._calm[name]]})

    async def _merchant(self, scenario: Scenario) -> Account:
        more: dict[str, Any] = {}
        if scenario.cutoff_seconds is not None:
            at = cutoff_after(scenario.cutoff_seconds)
            more = {"timezone": "UTC", "cutoff": at.time().replace(tzinfo=None)}
        account = await add_merchant(
            self.database,
            self.clock,
            acquirer=demo.ACQUIRER,
            label="matrix",
            acknowledge_seconds=scenario.acknowledge_seconds,
            **more,
        )
        if scenario.credits:
            store = MerchantStore(self.database, self.clock)
            await store.set(account.merchant_id, credits_allowed=True)
        return account

    def _words(self, scenario: str) -> dict[str, str]:
        assert self.account is not None
        return {
            "scenario": scenario,
            "gateway": self.plan.gateway_url,
            "key": self.account.key,
            "authority": str(self.plan.authority_path),
            "folder": str(self.book_folder),
            "state": str(self.folder),
        }

    @property
    def book_folder(self) -> Path:
        """
        Where the present merchant's shop keeps its book and its journal.
        """
        assert self.account is not None
        return self.folder / "shop" / self.account.merchant_id.hex

    async def _passed(self) -> dict[str, list[Pass]]:
        assert self._fates is not None
        passed = {kind: await self.children[kind].passes() for kind in ("gateway", "worker")}
        passed["shop"] = self.children["shop"].passed
        return {kind: [*self._fates.passed_before[kind], *passed[kind]] for kind in KINDS}

    async def _grant(self, wish: str) -> None:
        if wish.startswith("restart "):
            assert self._fates is not None
            await self._fates.restart(wish.removeprefix("restart "))
        elif wish == FROM_HERE:
            assert self._fates is not None
            await self._fates.from_here()
        else:
            await wishes.grant(self, wish)

    def now(self) -> datetime:
        """
        Return the time.
        """
        return datetime.now(UTC)


async def eventually(
    holds: Callable[[], Coroutine[Any, Any, bool]],
    what: str,
    seconds_max: float = PATIENCE_SECONDS,
) -> None:
    """
    Wait until *holds* does.

    Raises:
        AssertionError: Not within *seconds_max*.
    """
    until = time.monotonic() + seconds_max
    while not await holds():
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds_max:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)
