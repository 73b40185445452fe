"""
Merchants, terminals and API keys; and how fast a revoked key is forgotten.
"""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from counterfoil.payments.payment import PartialApprovals
from counterfoil.store import merchants as remembering
from counterfoil.store.merchants import ApiKey, By, KeyCache, MerchantStore, Terminal, hash_of
from payment_stage import Stage, new_merchant, until

SECRET = "sk_test_" + "x" * 43


def secret() -> str:
    return f"sk_test_{uuid4().hex}{uuid4().hex[:11]}"


async def key_of(stage: Stage, **more: Any) -> str:
    """Give the stage's merchant a key and return its secret."""
    made = secret()
    await stage.merchants.add_key(
        more.get("key_id", uuid4()),
        stage.merchant.merchant_id,
        made,
        "till",
        more.get("expires_at"),
    )
    return made


async def test_a_merchant_is_added_with_its_terminals_or_not_at_all(stage: Stage) -> None:
    """A terminal id that is taken at the acquirer: nothing of the second merchant stays."""
    second = new_merchant()

    with pytest.raises(asyncpg.UniqueViolationError):
        await stage.merchants.add(second, [Terminal(stage.acquirer, "TERM0001", "OTHER")])
    assert await stage.merchants.merchant(second.merchant_id) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"country": "USA"},
        {"region": "ILLI"},
        {"category_code": "59"},
        {"acknowledge_seconds": 4},
        {"acknowledge_seconds": 3601},
    ],
)
async def test_a_merchant_that_no_message_could_carry_is_refused(
    stage: Stage, changes: dict[str, Any]
) -> None:
    """By the database, whoever adds it."""
    with pytest.raises(asyncpg.CheckViolationError):
        await stage.merchants.add(new_merchant(**changes), [])


async def test_merchants_are_listed_page_by_page(stage: Stage) -> None:
    """Each once, in the order in which they were added."""
    added = [new_merchant() for _ in range(5)]
    for each in added:
        await stage.merchants.add(each, [])
    found: list[Any] = []
    while page := await stage.merchants.page(found[-1] if found else None, 2):
        found += [row["merchant_id"] for row in page]

    assert found == sorted(set(found))
    assert {each.merchant_id for each in added} <= set(found)


async def test_a_terminal_can_be_added_later(stage: Stage) -> None:
    """And the next free number follows it."""
    await stage.merchants.add_terminal(
        stage.merchant.merchant_id, Terminal(stage.acquirer, "TERM0002", "SHOP")
    )

    found = await stage.merchants.terminals(stage.merchant.merchant_id)

    assert [each.terminal_id for each in found] == ["TERM0001", "TERM0002"]
    assert await stage.merchants.next_terminal_number(stage.acquirer) == 3


async def test_only_the_hash_of_a_key_is_kept(stage: Stage) -> None:
    """ASVS 11: whoever has the database has no key; people tell keys apart by their ends."""
    made = await key_of(stage)

    rows = await stage.sql("SELECT k::text AS row FROM api_keys AS k")
    hints = [row["hint"] for row in await stage.merchants.keys(stage.merchant.merchant_id)]
    assert not any(made in row["row"] or made[8:24] in row["row"] for row in rows)
    assert hints == [f"sk_test_...{made[-4:]}"]
    assert len(hash_of(made)) == 32


async def test_a_key_leads_to_its_merchant(stage: Stage) -> None:
    """And nobody else's."""
    other = await Stage.set_up(stage.database)
    made, theirs = await key_of(stage), await key_of(other)

    found, foreign = await stage.merchants.key(made), await stage.merchants.key(theirs)

    assert found is not None
    assert foreign is not None
    assert found.merchant == stage.merchant
    assert foreign.merchant == other.merchant
    assert await stage.merchants.key(secret()) is None


async def test_a_key_is_revoked_once(stage: Stage) -> None:
    """An unknown one and one that was revoked before are told apart from a success."""
    key_id = uuid4()
    made = await key_of(stage, key_id=key_id)

    assert await stage.merchants.revoke_key(key_id)
    assert not await stage.merchants.revoke_key(key_id)
    assert not await stage.merchants.revoke_key(uuid4())
    found = await stage.merchants.key(made)
    assert found is not None
    assert found.revoked_at == stage.clock.now()


class Counted:
    """The store of merchants, with how often it was asked, and a moment to stop at."""

    def __init__(self, store: MerchantStore) -> None:
        self.store = store
        self.asked = 0
        self.hold: asyncio.Event | None = None

    async def key(self, secret: str) -> ApiKey | None:
        self.asked += 1
        found = await self.store.key(secret)
        if self.hold:
            await self.hold.wait()
        return found


class Listening:
    """A cache of keys that hears of revocations."""

    def __init__(self, stage: Stage) -> None:
        self.store = Counted(stage.merchants)
        self.cache = KeyCache(self.store, stage.database, stage.clock)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.cache.listen())

    async def __aenter__(self) -> "Listening":
        await until(lambda: self.cache._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_key_is_read_once_and_then_remembered(stage: Stage) -> None:
    """No question to the database for every payment."""
    made = await key_of(stage)
    async with Listening(stage) as gateway:
        found = [await gateway.cache.key(made) for _ in range(5)]

    assert gateway.store.asked == 1
    assert {each.merchant.merchant_id for each in found if each} == {stage.merchant.merchant_id}


async def test_a_revoked_key_is_forgotten_everywhere_at_once(stage: Stage) -> None:
    """Two gateway processes hear of it; the next request is refused, not the one in a minute."""
    key_id = uuid4()
    made = await key_of(stage, key_id=key_id)
    async with Listening(stage) as one, Listening(stage) as other:
        await asyncio.gather(one.cache.key(made), other.cache.key(made))
        await stage.merchants.revoke_key(key_id)
        await until(lambda: not one.cache._kept and not other.cache._kept)
        found = [await each.cache.key(made) for each in (one, other)]

    assert all(each and each.revoked_at for each in found)


async def test_a_changed_setting_is_known_everywhere_at_once(stage: Stage) -> None:
    """A gateway that remembers the merchant hears of it; the next request goes by the new one."""
    made = await key_of(stage)
    async with Listening(stage) as gateway:
        before = await gateway.cache.key(made)
        changed = await stage.merchants.set(stage.merchant.merchant_id, credits_allowed=True)
        await until(lambda: not gateway.cache._kept)
        after = await gateway.cache.key(made)

    assert changed
    assert before
    assert after
    assert (before.merchant.credits_allowed, after.merchant.credits_allowed) == (False, True)
    assert after.merchant.partial_approvals is PartialApprovals.REVERSE


async def test_settings_of_nobody_are_not_changed(stage: Stage) -> None:
    """The command says so instead of "done"."""
    assert not await stage.merchants.set(uuid4(), credits_allowed=True)


async def test_a_key_read_before_its_revocation_is_not_remembered_after_it(stage: Stage) -> None:
    """The answer was on its way while the word of the revocation overtook it."""
    key_id = uuid4()
    made = await key_of(stage, key_id=key_id)
    async with Listening(stage) as gateway:
        gateway.store.hold = asyncio.Event()
        reading = asyncio.create_task(gateway.cache.key(made))
        await until(lambda: gateway.store.asked)
        await asyncio.sleep(0.05)
        await stage.merchants.revoke_key(key_id)
        await until(lambda: gateway.cache._revocations)
        gateway.store.hold.set()
        await reading
        gateway.store.hold = None
        found = await gateway.cache.key(made)

    assert found is not None
    assert found.revoked_at is not None


async def test_nothing_is_remembered_for_longer_than_a_minute(stage: Stage) -> None:
    """A changed merchant is seen at last, even if nobody tells."""
    made = await key_of(stage)
    async with Listening(stage) as gateway:
        await gateway.cache.key(made)
        stage.clock.move(remembering.KEY_SECONDS_MAX + 1)
        await gateway.cache.key(made)

    assert gateway.store.asked == 2


async def test_an_unknown_key_is_not_remembered(stage: Stage) -> None:
    """It may be made a moment later."""
    made = secret()
    async with Listening(stage) as gateway:
        before = await gateway.cache.key(made)
        await stage.merchants.add_key(uuid4(), stage.merchant.merchant_id, made, "till", None)
        after = await gateway.cache.key(made)

    assert before is None
    assert after is not None


async def test_nothing_is_remembered_while_nobody_would_tell(stage: Stage) -> None:
    """Without the line to the database every request asks it."""
    made = await key_of(stage)
    store = Counted(stage.merchants)
    cache = KeyCache(store, stage.database, stage.clock)  # type: ignore[arg-type]

    for _ in range(3):
        await cache.key(made)

    assert store.asked == 3


async def test_a_lost_line_is_opened_again_and_everything_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever revoked meanwhile was not heard."""
    monkeypatch.setattr(remembering, "LISTEN_AGAIN_SECONDS", 0.01)
    made = await key_of(stage)
    async with Listening(stage) as gateway:
        await gateway.cache.key(made)
        remembered = len(gateway.cache._kept)
        await stage.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            "current_database() AND query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        )
        await until(lambda: not gateway.cache._kept)
        await until(lambda: gateway.cache._listening)
        await gateway.cache.key(made)
        again = len(gateway.cache._kept)

    assert (remembered, again) == (1, 1)


async def test_memory_for_keys_has_a_maximum(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(remembering, "KEYS_KEPT_MAX", 2)
    made = [await key_of(stage) for _ in range(3)]
    async with Listening(stage) as gateway:
        for each in made:
            await gateway.cache.key(each)

        assert list(gateway.cache._kept) == [hash_of(each) for each in made[1:]]


async def test_a_key_may_have_an_end(stage: Stage) -> None:
    """It is kept with the key, for whoever checks."""
    end = stage.clock.now() + timedelta(days=1)
    made = await key_of(stage, expires_at=end)

    found = await stage.merchants.key(made)

    assert found is not None
    assert found.expires_at == end


async def test_who_added_a_merchant_and_its_terminals_is_in_its_list_of_changes(
    stage: Stage,
) -> None:
    """Each with what was added; where one is refused, no row says that it was added."""
    by = By("cli:ada", (uuid4(), uuid4()))
    merchant, first = new_merchant(), Terminal(stage.acquirer, "TERM7001", f"M{uuid4().hex[:14]}")
    refused = Terminal(stage.acquirer, "TERM0001", f"M{uuid4().hex[:14]}")

    await stage.merchants.add(merchant, [first], by)
    second = Terminal(stage.acquirer, "TERM7002", first.card_acceptor_id)
    await stage.merchants.add_terminal(merchant.merchant_id, second, By("cli:bob", (uuid4(),)))
    with pytest.raises(asyncpg.UniqueViolationError):
        await stage.merchants.add_terminal(merchant.merchant_id, refused, By("cli:bob", (uuid4(),)))

    rows = await stage.sql(
        "SELECT actor, what, about, after FROM people_events WHERE merchant_id = $1",
        merchant.merchant_id,
    )
    where = f"{stage.acquirer} as {first.card_acceptor_id}"
    assert {tuple(row.values()) for row in rows} == {
        ("cli:ada", "merchant_added", merchant.name, None),
        ("cli:ada", "terminal_added", "TERM7001", where),
        ("cli:bob", "terminal_added", "TERM7002", where),
    }


async def test_what_an_operator_changes_is_in_the_merchants_list_of_changes(stage: Stage) -> None:
    """Keys and what is allowed, with what was before; what stays is not."""
    by, merchant_id = By("cli:ada", (uuid4(), uuid4())), stage.merchant.merchant_id
    key_id, made = uuid4(), secret()

    await stage.merchants.add_key(key_id, merchant_id, made, "till", None, by)
    await stage.merchants.set(
        merchant_id,
        credits_allowed=True,
        partial_approvals=PartialApprovals.REVERSE,
        by=By("cli:ada", (uuid4(), uuid4())),
    )
    assert await stage.merchants.revoke_key(key_id, By("cli:bob", (uuid4(),)))
    assert not await stage.merchants.revoke_key(key_id, By("cli:bob", (uuid4(),)))

    rows = await stage.sql(
        "SELECT actor, what, before, after FROM people_events WHERE merchant_id = $1", merchant_id
    )
    assert {tuple(row.values()) for row in rows} == {
        ("cli:ada", "key_made", None, "till"),
        ("cli:ada", "setting_changed", "false", "true"),
        ("cli:bob", "key_revoked", "till", None),
    }
