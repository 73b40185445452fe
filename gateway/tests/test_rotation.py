"""
The vault's card key is rotated while everything goes on, and whatever is killed.
"""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from counterfoil.clock import SystemClock
from counterfoil.outside.doors import Doors
from counterfoil.outside.rotation import rotate, seal_all_anew
from counterfoil.outside.watch import Watch
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.store import vault_keys
from counterfoil.store.database import Database
from counterfoil.store.vault_keys import VaultStore
from counterfoil.vault import PURPOSES, Vault, VaultClosed, new_data_key
from payment_stage import ACTOR, CARD, KEY_ENCRYPTION_KEY, Stage


class Killed(Exception):
    """
    The process that rotates ends here.
    """


class Dying(VaultStore):
    """
    A store whose process is killed before its n-th statement.
    """

    def __init__(self, database: Database, at: int) -> None:
        super().__init__(database)
        self._left = at

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed

    async def rotate(self, *arguments: Any) -> None:
        self._step()
        await super().rotate(*arguments)

    async def seal_anew(self, cards: Any) -> int:
        self._step()
        return await super().seal_anew(cards)


@pytest.fixture
async def installed(database: Database) -> Stage:
    """A stage whose vault is the database's own; earlier tests' cards and keys are gone."""
    for statement in ("DELETE FROM vault_cards", "DELETE FROM vault_keys"):
        async with database.acquire() as connection:
            await connection.execute(statement)
    for purpose in PURPOSES:
        made = new_data_key(purpose, KEY_ENCRYPTION_KEY)
        now = SystemClock().now()
        await database.rows("add_vault_key", made.key_id, made.purpose, made.wrapped, now)
    stage = await Stage.set_up(database)
    vault = Vault(await VaultStore(database).keys(), KEY_ENCRYPTION_KEY)
    stage.road = msgspec.structs.replace(stage.road, vault=vault)
    return stage


async def under(stage: Stage, key_id: str) -> tuple[int, int]:
    """Return how many cards lie under *key_id*, and how many under others."""
    rows = await stage.sql("SELECT key_id FROM vault_cards")
    mine = sum(row["key_id"] == key_id for row in rows)
    return mine, len(rows) - mine


@pytest.mark.parametrize("killed_at", range(5))
async def test_f34_a_rotation_that_is_killed_at_any_step_leaves_every_card_readable(
    installed: Stage, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the new key, before each page: every card opens, and the next run ends the work."""
    monkeypatch.setattr(vault_keys, "CARDS_AT_ONCE_MAX", 2)
    stage = installed
    payments = [await stage.take() for _ in range(7)]
    dying = Dying(stage.database, killed_at)
    with pytest.raises(Killed):
        await seal_all_anew(dying, await rotate(dying, KEY_ENCRYPTION_KEY, SystemClock()))

    store = VaultStore(stage.database)
    between = Vault(await store.keys(), KEY_ENCRYPTION_KEY)
    opened = [await stage.road.store.card(each, between) for each in payments]
    if killed_at == 0:
        between = await rotate(store, KEY_ENCRYPTION_KEY, SystemClock())
    done = await seal_all_anew(store, between)
    again = [await stage.road.store.card(each, between) for each in payments]

    assert {each.number for each in (*opened, *again)} == {CARD.number}
    assert done == 7 - max(0, killed_at - 1) * 2
    assert await under(stage, between.card_key_id) == (7, 0)


async def test_f34_payments_go_on_while_the_key_is_rotated(
    installed: Stage, tmp_path: Path
) -> None:
    """Processes learn of the new key by themselves; what they sealed before it opens as well."""
    stage = installed
    store = VaultStore(stage.database)

    async def learn() -> None:
        stage.road.vault.learn(await store.keys(), KEY_ENCRYPTION_KEY)

    # Doors of its own: the stage's clock is no machine's.
    watch = Watch(stage.database, stage.clock, Doors(), tmp_path, full_percent=100.0)
    watch.mind_keys(learn)
    await watch.look()
    before = await stage.take()

    selling = asyncio.gather(*(stage.take() for _ in range(20)))
    newest = await rotate(store, KEY_ENCRYPTION_KEY, SystemClock())
    await seal_all_anew(store, newest)
    sold = await selling
    await watch.look()
    after = await stage.take()
    for each in (before, *sold, after):
        await refuse(stage.merchant, each.payment_id, actor=ACTOR, road=stage.road)
    await stage.forwarder().forward()

    assert stage.road.vault.card_key_id == newest.card_key_id
    assert {(await stage.read(each)).state for each in (before, *sold, after)} == {State.REVERSED}
    await seal_all_anew(store, newest)
    assert await under(stage, newest.card_key_id) == (22, 0)


async def test_f34_a_card_under_the_new_key_belongs_to_its_row_alone(installed: Stage) -> None:
    """The additional data bind merchant, token and the new key's id."""
    stage = installed
    await stage.take()
    await stage.take()
    store = VaultStore(stage.database)
    vault = await rotate(store, KEY_ENCRYPTION_KEY, SystemClock())
    await seal_all_anew(store, vault)
    one, other = await stage.sql("SELECT * FROM vault_cards ORDER BY token")

    with pytest.raises(VaultClosed, match="does not belong to its row"):
        vault.open(
            one["merchant_id"], UUID(str(one["token"])), other["key_id"], other["nonce"],
            other["ciphertext"],
        )  # fmt: skip


async def test_the_inventory_says_which_key_has_how_many_cards(installed: Stage) -> None:
    """For whoever wants to know whether a rotation is done."""
    stage = installed
    await stage.take()
    store = VaultStore(stage.database)
    vault = await rotate(store, KEY_ENCRYPTION_KEY, SystemClock())
    await seal_all_anew(store, vault)

    listed = {
        (row["purpose"], row["retired_at"] is None): row["cards"] for row in await store.inventory()
    }

    assert listed[("card", True)] == 1
    assert listed[("card", False)] == 0
