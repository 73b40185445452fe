"""
The installation that is measured: the demo's own programs, without a shop, some of them anew.

    load generator ──► gateway, or two on its port ──► rail (issuer delay 0)
                       worker ──► rail
                       mailer ──► mailbox
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from counterfoil.config import Configuration
from counterfoil.gateways import places
from counterfoil.store.embedded import EmbeddedPostgres
from counterfoil.supervisor import Program, Supervisor

from counterfoil_proof.bench.load import Measured, Plan
from counterfoil_proof.bench.machine import cpu_seconds
from counterfoil_proof.demo import ports, sandbox

BASE = ("mailbox", "rail", "database")
BEHIND = ("worker", "mailer")  # Who does what nobody waits for.
PAIR = ("gateway 1 of 2", "gateway 2 of 2")
LOAD_SECONDS_MAX = 600.0
LOOK_SECONDS = 1.0
LOOKS_MAX = 120
AT_REST = 0.2  # Of a processor.
TAKEN_OFF = "UPDATE outbox SET state = 'sent', sent_at = now() WHERE state = 'owed'"


class BenchFailed(Exception):
    """
    The benchmark could not be carried out; the message says where.
    """


class Installation:
    """
    Programs by name, each under a supervisor of its own, and what the load generator must know.
    """

    def __init__(self, folder: Path) -> None:
        chosen, _ = ports.choose()
        self.box = sandbox.Sandbox(folder, chosen, "0", keeps_mail=False, has_pages=True)
        self.configuration: Configuration = sandbox.prepare(self.box)
        self.folder = folder
        self.spans_path = folder / "spans.jsonl"
        self._supervisors: dict[str, Supervisor] = {}
        known = {each.name: each for each in sandbox.programs(self.box, self.configuration)}
        self._programs = {name: _plain(each) for name, each in known.items() if name != "shop"}
        self._programs |= self._pair()
        self._programs["gateway with spans"] = self._wrapped(self._programs["gateway"])

    @property
    def postgres(self) -> EmbeddedPostgres:
        """
        The embedded PostgreSQL.
        """
        return EmbeddedPostgres(self.configuration.folder / "postgres")

    async def connect(self, database: str | None = None) -> "asyncpg.Connection[asyncpg.Record]":
        """
        Connect to the installation's database, or to another of its server.
        """
        parameters: dict[str, Any] = dict(self.postgres.dsn_parameters())
        if database is not None:
            parameters = {**parameters, "database": database}
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**parameters)
        return connection

    async def take_mails_off(self) -> None:
        """
        Take the e-mails that are owed off the queue: what they cost belongs to what was before.
        """
        connection = await self.connect()
        try:
            await connection.execute(TAKEN_OFF)
        finally:
            await connection.close()

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        """
        Let programs run meanwhile.
        """
        started: list[str] = []
        try:
            for name in names:
                self._supervisors[name] = Supervisor([self._programs[name]])
                started.append(name)
                await self._supervisors[name].start()
            yield
        finally:
            for name in reversed(started):
                await self._supervisors.pop(name).stop()

    def watched(self) -> dict[str, list[int]]:
        """
        Return the process ids of what runs, by party; all gateways are one party.
        """
        found: dict[str, list[int]] = {}
        for name, supervisor in self._supervisors.items():
            [status] = supervisor.status()
            party = {"database": "postgres"}.get(name, name.split("-")[0].split(" ")[0])
            if status.pid is not None:
                found.setdefault(party, []).append(status.pid)
        return found

    async def at_rest(self) -> None:
        """
        Wait until what is left of before is done: what it costs belongs to other payments.
        """
        watched = [pid for pids in self.watched().values() for pid in pids]
        spent = cpu_seconds(watched)
        for _ in range(LOOKS_MAX):
            await asyncio.sleep(LOOK_SECONDS)
            before, spent = spent, cpu_seconds(watched)
            if spent - before < AT_REST * LOOK_SECONDS:
                return

    def key(self) -> str:
        """
        Return the merchant's secret.
        """
        return self.box.key_path.read_text("utf-8").strip()

    async def load(
        self, connections: int, *, keys: Iterable[str] = (), **terms: object
    ) -> Measured:
        """
        Run the load generator in a process of its own. *terms*: as in `Plan`.

        Raises:
            BenchFailed: It did not come to an end, or nothing was paid.
        """
        plan = msgspec.convert(
            {
                "port": self.box.ports.gateway,
                "keys": list(keys) or [self.key()],
                "authority": str(self.box.authority_path),
                "connections": connections,
                "watched": self.watched(),
                "seed": connections,
                **terms,
            },
            Plan,
        )
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "counterfoil_proof.bench.load"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, complaint = await asyncio.wait_for(
                running.communicate(msgspec.json.encode(plan)), LOAD_SECONDS_MAX
            )
        except TimeoutError as error:
            raise BenchFailed(f"the load took longer than {LOAD_SECONDS_MAX:g} s") from error
        finally:
            if running.returncode is None:
                running.kill()
        if running.returncode:
            raise BenchFailed(f"the load generator failed: {complaint.decode()[-500:].strip()}")
        measured = msgspec.json.decode(said, type=Measured)
        if not measured.payments:
            raise BenchFailed(f"no payment was made; the first answer: {measured.first_refusal}")
        return measured

    def _pair(self) -> dict[str, Program]:
        """
        Return two gateway processes on one port, as `[api] processes = 2` has them run.
        """
        api = msgspec.structs.replace(self.configuration.api, processes=len(PAIR))
        configuration = msgspec.structs.replace(self.configuration, api=api)
        known = {each.name: each for each in sandbox.programs(self.box, configuration)}
        pair = zip(PAIR, places(len(PAIR)), strict=True)
        return {name: _without_metrics(_renamed(_plain(known[of.name]), name)) for name, of in pair}

    def _wrapped(self, known: Program) -> Program:
        argv = [sys.executable, "-m", "counterfoil_proof.bench.spans", str(self.spans_path)]
        program = msgspec.structs.replace(known, argv=[*argv, "--", "serve"])
        return _renamed(program, "gateway with spans")


def _plain(known: Program) -> Program:
    """
    Return a program that starts by itself, with the log level that is shipped.
    """
    env = {**(known.env or {}), "COUNTERFOIL_LOG_LEVEL": "info"}
    return msgspec.structs.replace(known, after=(), env=env)


def _without_metrics(known: Program) -> Program:
    """
    Return a program that shows nothing to monitors: the port after the gateway's is another's.
    """
    return msgspec.structs.replace(
        known, env={**(known.env or {}), "COUNTERFOIL_METRICS_GATEWAY_PORT": "0"}
    )


def _renamed(known: Program, name: str) -> Program:
    assert known.log_path is not None
    log_path = known.log_path.with_name(f"{name.replace(' ', '-')}.log")
    return msgspec.structs.replace(known, name=name, log_path=log_path)
