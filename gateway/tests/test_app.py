"""
Putting the parts together: what a new installation gets, and what keeps a process from starting.
"""

import asyncio
import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from counterfoil import app
from counterfoil.clock import SystemClock
from counterfoil.config import Acquirer, Configuration, Seal
from counterfoil.keyfile import KeyFileRefused
from counterfoil.ledger.heads import by_key_id, head_of, is_signed_by, load_signing_key, signed
from counterfoil.network.message import Message
from counterfoil.opened import open_database, open_vault
from counterfoil.outside.watch import Seen
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.heads import HeadStore
from counterfoil.store.migrate import MigrationRefused, migrate
from counterfoil.store.payments import PaymentStore
from counterfoil.vault import PURPOSES, VaultClosed
from scripted_link import ScriptedLink
from structlog.testing import capture_logs


async def prepared(configuration: Configuration) -> list[str]:
    async with open_database(configuration) as database:
        return await app.prepare_database(database, configuration)


async def keep_block(
    database: Database, merchant_id: UUID, since: datetime, until: datetime, block_hash: bytes
) -> None:
    """Seal a transfer that nobody else knows of."""
    row = (merchant_id, 1, uuid4(), b"", since, until, bytes(32), block_hash, until)
    await database.many("keep_blocks", [row])


async def test_a_new_installation_gets_tables_and_keys_once(installation: Configuration) -> None:
    """A second start changes nothing: the same keys open the same cards."""
    first = await prepared(installation)
    key = installation.key_path.read_bytes()
    second = await prepared(installation)

    async with open_database(installation) as database:
        rows = await database.rows("vault_keys")
    assert first
    assert second == []
    assert sorted(row["purpose"] for row in rows) == sorted(PURPOSES)
    assert installation.key_path.read_bytes() == key


async def test_two_first_starts_at_once_make_one_installation(installation: Configuration) -> None:
    """Whoever is second finds the first one's keys."""
    await asyncio.gather(prepared(installation), prepared(installation))

    async with open_database(installation) as database:
        assert len(await database.rows("vault_keys")) == len(PURPOSES)
        await open_vault(database, installation)


async def test_f35_a_lost_key_file_is_not_replaced(installation: Configuration) -> None:
    """F35: a new key would open nothing and hide that the old one is gone."""
    await prepared(installation)
    installation.key_path.unlink()

    with pytest.raises(KeyFileRefused, match="escrow copy"):
        await prepared(installation)
    assert not installation.key_path.exists()


async def test_f35_another_installations_key_file_is_refused(installation: Configuration) -> None:
    """With what to do; nothing was changed."""
    await prepared(installation)
    installation.key_path.write_bytes(bytes(32))

    with pytest.raises(VaultClosed, match="Restore the right one"):
        await prepared(installation)


async def test_f39_a_lost_signing_key_is_not_replaced(installation: Configuration) -> None:
    """It is made once, before the first head; a new one would hide the loss. Payments go on."""
    await prepared(installation)
    path, first = installation.signing_key_path, installation.signing_key_path.read_bytes()
    assert path.parent == installation.key_path.parent
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    await prepared(installation)
    second = load_signing_key(path)
    assert path.read_bytes() != first, "nothing was signed with it"

    async with open_database(installation) as database:
        at = SystemClock().now()
        head = signed(second, uuid4(), 1, bytes(32), after=None, at=at)
        await HeadStore(database).keep([head])
        await keep_block(database, head.merchant_id, at - timedelta(days=9), at, bytes(32))
    path.unlink()
    await prepared(installation)
    async with app.process(installation, "gateway"):
        assert not path.exists()

    named = (second.public.hex(),)
    replaced = msgspec.structs.replace(installation, seal=Seal(former_keys=named))
    await prepared(replaced)
    assert load_signing_key(path).key_id != second.key_id


async def test_two_first_starts_at_once_make_one_signing_key(installation: Configuration) -> None:
    """Whoever is second finds the first one's."""
    await asyncio.gather(prepared(installation), prepared(installation))
    key = installation.signing_key_path.read_bytes()
    await prepared(installation)

    assert installation.signing_key_path.read_bytes() == key


async def test_the_worker_signs_heads_and_says_so_among_its_duties(
    installation: Configuration,
) -> None:
    """With the key of the state folder, into the file of the state folder."""
    await prepared(installation)
    merchant_id, at = uuid4(), SystemClock().now()
    async with app.process(installation, "worker") as running:
        await keep_block(running.database, merchant_id, at, at, b"h" * 32)
        duty = app.signing(running)
        await duty.round()

    (line,) = installation.heads_path.read_text().splitlines()
    head = head_of(line)
    assert head is not None
    assert (head.merchant_id, head.block, head.hash) == (merchant_id, 1, b"h" * 32)
    keys = by_key_id([load_signing_key(installation.signing_key_path).public])
    assert is_signed_by(head, keys)


async def refused(configuration: Configuration) -> Any:
    async with app.process(configuration, "gateway"):
        raise AssertionError("it started")


async def test_a_process_does_not_start_on_a_database_that_lacks_migrations(
    installation: Configuration,
) -> None:
    """It says what to run."""
    with pytest.raises(MigrationRefused, match="run `counterfoil migrate`"):
        await refused(installation)


async def test_a_process_does_not_start_on_the_other_modes_data(
    installation: Configuration, empty: dict[str, str]
) -> None:
    """Test and live never share a database."""
    database = await Database.open(**empty)
    await migrate(database, mode="live", clock=SystemClock())
    await database.close()

    with pytest.raises(MigrationRefused, match="does not hold test data"):
        await refused(installation)


async def test_without_a_database_nothing_starts(tmp_path: Path) -> None:
    """The embedded one does not run: it says how to start it."""
    with pytest.raises(DatabaseAway, match="counterfoil up"):
        await refused(Configuration(state=str(tmp_path)))


async def test_a_storm_of_probes_asks_the_database_once(
    installation: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And still tells of a link what it is at that moment."""
    await prepared(installation)
    async with app.process(installation, "gateway") as running:
        looks: list[Seen] = []
        look = running.watch.look

        async def counted() -> Seen:
            looks.append(await look())
            return looks[-1]

        monkeypatch.setattr(running.watch, "look", counted)
        link = ScriptedLink()
        running.links["north"] = link  # type: ignore[assignment]
        up = await asyncio.gather(*(running.readiness() for _ in range(50)))
        link.ready = False
        down = await running.readiness()

    assert len(looks) == 1
    assert {each.checks["link north"] for each in up} == {"ok"}
    assert down.checks["link north"] == "not signed on"


async def test_a_process_lives_in_the_database_while_it_runs(installation: Configuration) -> None:
    """Its lease is there until its end; without an acquirer it is not ready."""
    await prepared(installation)
    async with app.process(installation, "gateway") as running:
        alive = await running.lease.alive(running.clock.now())
        said = await running.readiness()

    async with open_database(installation) as database:
        left = await database.rows("live_processes", SystemClock().now())
    assert [row["kind"] for row in alive] == ["gateway"]
    assert left == []
    assert (said.checks["database"], said.checks["clock"], said.checks["disk"]) == ("ok",) * 3
    assert (said.ready, said.checks["links"]) == (False, "no acquirer is configured")
    assert said.notes["waiting"]["unclaimed"] == said.notes["owed_to_acquirers"]["owed"] == 0


NICE_MAX = 19
# What each kind of process has done to itself when it begins to work.
HARDENED = """
import ctypes, gc, os, resource, sys
from pathlib import Path
from counterfoil.cli import serve

def run(work):
    work.close()
    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    print(os.nice(0))
    print(gc.get_threshold()[0], gc.get_freeze_count())
    print(os.sched_getscheduler(0) if hasattr(os, "SCHED_IDLE") else 0)

serve.run = run
getattr(serve, sys.argv[1])(Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("kind", ["serve", "worker", "mailer"])
def test_f40_a_process_that_sees_cards_leaves_no_dump(tmp_path: Path, kind: str) -> None:
    """No core file, and nobody without root attaches to its memory (PR_GET_DUMPABLE is 0)."""
    assert begun(kind, tmp_path)[0] == "(0, 0) 0"


@pytest.mark.parametrize(("kind", "niceness"), [("serve", 0), ("worker", 3), ("mailer", 7)])
def test_a_worker_gives_way_as_it_is_told_and_a_gateway_never(
    tmp_path: Path, kind: str, niceness: int
) -> None:
    """On a machine that is busy the shopper at the till goes first."""
    said = begun(kind, tmp_path, "[worker]\nniceness = 3\n[mail]\nniceness = 7\n")[1]

    assert int(said) == min(os.nice(0) + niceness, NICE_MAX)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux schedules what is idle")
@pytest.mark.parametrize(("niceness", "is_idle"), [(18, False), (19, True)])
def test_a_mailer_that_gives_way_to_everybody_does_so_at_once(
    tmp_path: Path, niceness: int, is_idle: bool
) -> None:
    """Merely nice, it would finish its slice of milliseconds while a payment waits."""
    said = begun("mailer", tmp_path, f"[mail]\nniceness = {niceness}\n")[3]

    assert (int(said) == os.SCHED_IDLE) == is_idle


@pytest.mark.parametrize("kind", ["serve", "worker", "mailer"])
def test_a_process_looks_for_garbage_seldom_and_not_among_what_was_loaded(
    tmp_path: Path, kind: str
) -> None:
    """Python's own threshold of 700 costs a busy gateway a seventh of its time."""
    threshold, frozen = map(int, begun(kind, tmp_path)[2].split())

    assert threshold >= 10_000
    assert frozen >= 10_000


def begun(kind: str, folder: Path, settings: str = "") -> list[str]:
    """Return what a process of *kind* has done to itself, in the lines of HARDENED."""
    path = folder / "counterfoil.toml"
    path.write_text(f'state = "{folder / "state"}"\n{settings}')
    done = subprocess.run(
        [sys.executable, "-c", HARDENED, kind, str(path)],
        env={**os.environ, "COUNTERFOIL_GROUPS_LIMITED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("seconds_max", "owed", "told"),
    [(3.0, ["a reversal"], []), (0.05, [], ["the process ends"])],
    ids=["kept", "told"],
)
async def test_the_last_answer_of_a_process_is_kept_or_told(
    installation: Configuration,
    monkeypatch: pytest.MonkeyPatch,
    seconds_max: float,
    owed: list[str],
    told: list[str],
) -> None:
    """Nobody sends it again: what it makes owed is durable before the database is let go."""
    written: list[str] = []

    class Ending(ScriptedLink):
        def __init__(self, *_: object, **told: Any) -> None:
            super().__init__()
            self.hand_over = told["on_unmatched"]

        async def start(self) -> None:
            pass

        async def stop(self) -> None:
            """The last answer comes after the sign-off."""
            names = {7: "1127203000", 11: "000001", 37: "633120000001", 39: "00", 41: "TERM0001"}
            self.hand_over(Message("0210", names))

    async def slowly(*_: object) -> None:
        await asyncio.sleep(0.2)
        written.append("a reversal")

    monkeypatch.setattr(app, "AcquirerLink", Ending)
    monkeypatch.setattr(app, "LATE_ANSWERS_SECONDS_MAX", seconds_max)
    monkeypatch.setattr(PaymentStore, "owe_again", slowly)
    north = Acquirer(
        name="north",
        mode="test",
        host="127.0.0.1",
        port=1,
        institution_id="123456",
        forwarding_id="987654",
    )
    await prepared(installation)
    with capture_logs() as logs:
        async with app.process(msgspec.structs.replace(installation, acquirer=(north,)), "gateway"):
            pass

    assert written == owed
    lost = [each for each in logs if each["event"] == "late_answer_not_kept"]
    assert [each["reason"] for each in lost] == told
    assert {each["acquirer"] for each in lost} <= {"north"}
