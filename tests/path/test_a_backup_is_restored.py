"""
The database is lost and a backup restored: nothing moves until it was compared with the host.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .merchants import Merchant, add_merchant, card, new_key
from .sandboxes import Json, Sandbox, eventually, run

CALM = """
[timers]
sweep_seconds = 0.2
"""


@pytest.fixture
def lost(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of the story's own, whose database may be lost."""
    sandbox = Sandbox(CALM)
    try:
        sandbox.open()
        yield sandbox
    finally:
        sandbox.close()
    if not request.session.testsfailed:
        sandbox.remove()


async def test_f41_a_restored_gateway_moves_nothing_until_it_was_compared_with_the_host(
    lost: Sandbox,
) -> None:
    """Sold, backed up, sold and acknowledged, lost, restored, compared, lifted, sold again."""
    merchant, backup = await add_merchant(lost), lost.folder / "backup"
    before = await sold(merchant, 3)
    waiting = (await merchant.post_payment("waiting")).json()
    await lost.command("counterfoil", "backup", str(backup))
    after = await sold(merchant, 2)
    async with merchant.api() as api:
        claimed = (await api.post(f"/v1/payments/{waiting['id']}/acknowledge", json={})).json()
    numbers = {each.confirmation_number for each in (*before, *after)}
    await the_database_is_lost(lost)
    lost.configuration.heads_path.write_text("what was signed after the backup\n")
    restored = await lost.command("counterfoil", "restore", str(backup))
    await lost.start("gateway")

    ready, refused, read = await looked_at(merchant, waiting["id"])
    by_hand = [
        await refused_command(lost, "batch", "close"),
        await refused_command(lost, "settlement", "read", str(lost.plan.configuration_path)),
    ]
    assert "quarantine" in restored
    assert "The file of signed heads of the database that was here is now" in restored
    (aside,) = lost.configuration.folder.glob("signed-heads.before-restore-*.txt")
    assert aside.read_text() == "what was signed after the backup\n"
    assert (ready.status_code, "quarantine" in ready.json()["checks"]) == (503, True)
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(503, "quarantined")}
    assert read.json()["state"] == "approved"
    assert all("in quarantine" in each for each in by_hand)

    journal = await host_journal(lost)
    early = await refused_command(lost, "quarantine", "lift")
    found = await compared(lost, journal)
    late = await refused_command(lost, "quarantine", "lift")
    assert "was not compared" in early
    assert "3 difference(s) are open" in late
    assert sorted((each["kind"], each["rrn"]) for each in found) == sorted(
        [("restored_unclaimed", waiting["rrn"])]
        + [("restored_host_only", each.rrn) for each in after]
    )

    await lost.command(
        *("counterfoil", "quarantine", "keep", waiting["id"], "--note", "the order is paid"),
        *("--confirmation-number", claimed["confirmation_number"]),
    )
    for each in await open_findings(lost):
        await lost.command(
            *("counterfoil", "settlement", "resolve", each, "--note", "settled by the acquirer")
        )
    async with lost.database() as database:
        await database.execute(
            "INSERT INTO terminals SELECT merchant_id, 'oldbank', 'OLDBANK1', '1', now() "
            "FROM merchants LIMIT 1"
        )
    gone = await refused_command(lost, "quarantine", "lift")
    assert "oldbank of the backup was not compared" in gone
    assert "--without-acquirer oldbank --reason WHY" in gone
    await lost.command(
        *("counterfoil", "quarantine", "lift", "--without-acquirer", "oldbank"),
        *("--reason", "contract ended in May", "--by", "ada"),
    )
    told = json.loads(await lost.command("counterfoil", "quarantine", "show", "--json"))
    assert [(each["what"], each["actor"]) for each in told["history"]] == [
        ("lifted", "cli:ada"),
        ("waived", "cli:ada"),
    ]
    await lost.takes_payments()
    again = await sold(merchant, 3)

    kept = await merchant.payment(waiting["id"])
    assert (kept["state"], kept["confirmation_number"]) == (
        "captured",
        claimed["confirmation_number"],
    )
    assert numbers.isdisjoint({each.confirmation_number for each in again})
    assert {each.batch_number for each in again}.isdisjoint({each.batch_number for each in before})
    await the_host_used_no_number_twice(lost, merchant)
    await the_old_batch_is_closed(merchant, kept["batch_number"])
    assert "agree" in await lost.command("counterfoil", "audit")


async def test_f35_a_backup_is_not_restored_without_its_key_nor_over_anything(
    lost: Sandbox,
) -> None:
    """Another key, a damaged dump, a database that is there: refused, and nothing was changed."""
    merchant, backup = await add_merchant(lost), lost.folder / "backup"
    await sold(merchant, 1)
    await lost.command("counterfoil", "backup", str(backup))
    over_a_backup = await refused_command(lost, "backup", str(backup))
    over_a_running = await refused_command(lost, "restore", str(backup))
    key = lost.configuration.key_path
    kept = key.read_bytes()
    await lost.stop("gateway")
    over_a_stopped = await refused_command(lost, "restore", str(backup))
    shutil.rmtree(lost.configuration.folder / "postgres")
    key.write_bytes(bytes(32))
    another_key = await refused_command(lost, "restore", str(backup))
    key.write_bytes(kept)
    dump = backup / "database.sql.gz"
    content = dump.read_bytes()
    dump.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    damaged = await refused_command(lost, "restore", str(backup))
    nothing = not (lost.configuration.folder / "postgres").exists()
    dump.write_bytes(content)
    await lost.command("counterfoil", "restore", str(backup))

    assert "exists already" in over_a_backup
    assert "never overwrites" in over_a_running
    assert "never overwrites" in over_a_stopped
    assert "does not open data key" in another_key
    assert "digest differs" in damaged
    assert nothing
    assert kept not in content
    await lost.start("gateway")


async def sold(merchant: Merchant, number: int) -> list[Json]:
    async with merchant.client() as client:
        return [await client.sale(4200 + each, "USD", card()) for each in range(number)]


async def the_database_is_lost(sandbox: Sandbox) -> None:
    await sandbox.stop("gateway")
    shutil.rmtree(sandbox.configuration.folder / "postgres")


async def looked_at(merchant: Merchant, payment_id: str) -> tuple[Json, list[Json], Json]:
    """Return /readyz, what calls that change something get, and a payment as it is read."""
    async with merchant.api() as api:
        ready = await api.get("/readyz")
        headers = {"Idempotency-Key": new_key()}
        refused = [
            await merchant.post_payment(),
            await api.post(f"/v1/payments/{payment_id}/acknowledge", json={}),
            await api.post(f"/v1/payments/{payment_id}/void", json={}, headers=headers),
            await api.post("/v1/resolve", json={"idempotency_key": "of-after-the-backup"}),
        ]
        return ready, refused, await api.get(f"/v1/payments/{payment_id}")


async def host_journal(sandbox: Sandbox) -> Path:
    said = await sandbox.command("counterfoil-rail", "journal", *sandbox.state)
    path = sandbox.folder / "host.jsonl"
    await asyncio.to_thread(path.write_text, said)
    return path


async def compared(sandbox: Sandbox, journal: Path) -> list[Json]:
    code, said, complained = await run(
        *("counterfoil", "quarantine", "compare", "--host-journal", str(journal), "--json"),
        COUNTERFOIL_CONFIG=str(sandbox.plan.configuration_path),
    )
    assert code == 1, complained
    differences: list[Json] = json.loads(said)["differences"]
    return differences


async def open_findings(sandbox: Sandbox) -> list[str]:
    said = await sandbox.command("counterfoil", "settlement", "findings", "--json")
    return [each["id"] for each in json.loads(said)]


async def refused_command(sandbox: Sandbox, *words: str) -> str:
    code, _, complained = await run(
        "counterfoil", *words, COUNTERFOIL_CONFIG=str(sandbox.plan.configuration_path)
    )
    assert code == 2, complained
    return complained


async def the_host_used_no_number_twice(sandbox: Sandbox, merchant: Merchant) -> None:
    charges = await sandbox.rail_books({merchant.terminal_id})
    for name in ("rrn", "stan"):
        assert len({each[name] for each in charges}) == len(charges)


async def the_old_batch_is_closed(merchant: Merchant, number: str) -> None:
    """With the host: item by item, since it had more in it than we know."""

    async def closed() -> bool:
        async with merchant.api() as api:
            batches = (await api.get("/v1/batches")).json()["data"]
        states = {each["batch"].rpartition("/")[2]: each["state"] for each in batches}
        return bool(states[number] == "closed")

    await eventually(closed, f"batch {number} is closed")
