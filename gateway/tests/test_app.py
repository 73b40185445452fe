"""
Putting the parts together: what a new installation gets, and what keeps a process from starting.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from counterfoil import app
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.keyfile import KeyFileRefused
from counterfoil.outside.watch import Seen
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.migrate import MigrationRefused, migrate
from counterfoil.vault import PURPOSES, VaultClosed
from scripted_link import ScriptedLink


async def prepared(configuration: Configuration) -> list[str]:
    async with app.open_database(configuration) as database:
        return await app.prepare_database(database, configuration)


async def test_a_new_installation_gets_tables_and_keys_once(installation: Configuration) -> None:
    """A second start changes nothing: the same keys open the same cards."""
    first = await prepared(installation)
    key = installation.key_path.read_bytes()
    second = await prepared(installation)

    async with app.open_database(installation) as database:
        rows = await database.rows("vault_keys")
    assert first
    assert second == []
    assert sorted(row["purpose"] for row in rows) == sorted(PURPOSES)
    assert installation.key_path.read_bytes() == key


async def test_two_first_starts_at_once_make_one_installation(installation: Configuration) -> None:
    """Whoever is second finds the first one's keys."""
    await asyncio.gather(prepared(installation), prepared(installation))

    async with app.open_database(installation) as database:
        assert len(await database.rows("vault_keys")) == len(PURPOSES)
        await app.open_vault(database, installation)


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

    async with app.open_database(installation) as database:
        left = await database.rows("live_processes", SystemClock().now())
    assert [row["kind"] for row in alive] == ["gateway"]
    assert left == []
    assert (said.checks["database"], said.checks["clock"], said.checks["disk"]) == ("ok",) * 3
    assert (said.ready, said.checks["links"]) == (False, "no acquirer is configured")
    assert said.notes["waiting"]["unclaimed"] == said.notes["owed_to_acquirers"]["owed"] == 0


# What each kind of process has done to itself when it begins to work.
HARDENED = """
import ctypes, resource, sys
from pathlib import Path
from counterfoil.cli import serve

def run(work):
    work.close()
    print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

serve.run = run
getattr(serve, sys.argv[1])(Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("kind", ["serve", "worker"])
def test_f40_a_process_that_sees_cards_leaves_no_dump(tmp_path: Path, kind: str) -> None:
    """No core file, and nobody without root attaches to its memory (PR_GET_DUMPABLE is 0)."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(f'state = "{tmp_path / "state"}"\n')
    done = subprocess.run(
        [sys.executable, "-c", HARDENED, kind, str(path)],
        env={**os.environ, "COUNTERFOIL_GROUPS_LIMITED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "(0, 0) 0\n", done.stderr
