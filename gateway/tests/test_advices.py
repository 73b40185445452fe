"""
Store and forward: what is owed to the acquirer is sent, repeated and ended in order.
"""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from counterfoil.network import response_codes
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import movements
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.advices import SPACING_SECONDS, verdict
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.payment import Payment
from counterfoil.store.advices import Advice, AdviceStore, FinalWord, Try
from counterfoil.store.processes import ProcessStore
from counterfoil.store.queries import query
from payment_stage import ACTOR, START, Stage, until
from scripted_link import approve, contradicts, not_sent, says, unknown

CODES = ["00", "05", "06", "12", "19", "21", "22", "25", "28", "30", "40", "61", "68", "76", "79",
         "90", "91", "92", "94", "95", "96", "", "ZZ"]  # fmt: skip


def advice(kind: str, *, attempts: int = 0, denials: int = 0, was_approved: bool = False) -> Advice:
    return Advice(
        merchant_id=uuid4(),
        advice_id=uuid4(),
        payment_id=uuid4(),
        kind=kind,
        reason_code="68",
        amount_minor=4200,
        batch_number=1,
        stan=None,
        business_day=None,
        transmitted_at=None,
        attempts=attempts,
        denials=denials,
        late_until=START + timedelta(minutes=10),
        created_at=START,
        payment_kind="sale",
        currency="USD",
        card_token=uuid4(),
        acquirer="first-bank",
        terminal_id="TERM0001",
        original_stan=1,
        original_transmitted_at=START,
        original_rrn="632706000001",
        local_time="1123003000",
        approval_code=None,
        movement_rrn=None,
        about_stan=None,
        about_transmitted_at=None,
        remaining_minor=None,
        was_approved=was_approved,
        was_captured=False,
        key_id="card-1",
        nonce=b"",
        ciphertext=b"",
    )


@pytest.mark.parametrize("kind", ["reversal", "void", "release"])
@pytest.mark.parametrize("code", CODES)
def test_a_reversal_ends_accepted_or_not_at_all(kind: str, code: str) -> None:
    """It never ends refused: somebody's money is held until it is accepted."""
    finished = code in ("00", "21", "79")

    assert verdict(advice(kind), code, START) == ("accepted" if finished else None)


@pytest.mark.parametrize("kind", ["reversal", "void"])
@pytest.mark.parametrize(
    ("minutes", "denials", "ends"),
    [(0, 0, False), (0, 5, False), (9.99, 5, False), (10, 1, False), (10, 2, True), (60, 9, True)],
)
def test_f10_original_not_found_ends_a_reversal_only_after_the_late_window_and_three_times(
    kind: str, minutes: float, denials: int, ends: bool
) -> None:
    """Until then the original may still be on its way to the host; silence does not count."""
    asked = advice(kind, attempts=9, denials=denials)

    assert verdict(asked, "25", START + timedelta(minutes=minutes)) == (
        "accepted" if ends else None
    )


def test_a_release_of_a_hold_that_has_lapsed_at_the_host_is_finished() -> None:
    """13: less remains of it than we leave. Of a capture that would be a contradiction."""
    hold = msgspec.structs.replace(advice("release"), payment_kind="authorization")
    capture = msgspec.structs.replace(hold, about_stan=7, about_transmitted_at=START)

    assert verdict(hold, "13", START) == "accepted"
    assert verdict(capture, "13", START) is None
    assert verdict(advice("release"), "13", START) is None
    assert verdict(advice("void"), "13", START) is None


@pytest.mark.parametrize("kind", ["capture", "refund"])
@pytest.mark.parametrize("code", CODES)
def test_a_capture_or_refund_is_accepted_refused_or_tried_again(kind: str, code: str) -> None:
    """Accepted or already there; a technical fault is no end; everything else is a refusal."""
    found = verdict(advice(kind), code, START + timedelta(days=1))

    if code in ("00", "94"):
        assert found == "accepted"
    elif code in response_codes.ADVICE_TRY_AGAIN:
        assert found is None
    else:
        assert found == "refused"


async def refused(stage: Stage) -> Payment:
    """Return a payment whose reversal is owed."""
    payment = await stage.take()
    return await refuse(stage.merchant, payment.payment_id, actor=ACTOR, road=stage.road)


async def one_advice(stage: Stage) -> asyncpg.Record:
    (found,) = await stage.advices()
    return found


async def test_an_accepted_reversal_ends_the_payment(stage: Stage) -> None:
    """Reversed, released in the books, and both messages kept."""
    payment = await refused(stage)

    tried = await stage.forwarder().forward()

    now = await stage.read(payment)
    assert tried == 1
    assert (now.state, now.released_minor) == (State.REVERSED, 4200)
    assert await stage.transfers() == [("held", "issuer", 4200), ("released", "held", 4200)]
    assert (await one_advice(stage))["state"] == "accepted"
    assert [each["mti"] for each in await stage.road.store.messages(payment)] == [
        "0200", "0210", "0420", "0430",
    ]  # fmt: skip
    assert (await stage.causes(payment))[-2:] == ["refused", "host_accepted"]


async def test_a_reversal_names_the_sale_as_it_was_sent(stage: Stage) -> None:
    """DE 90 and DE 37 of the original, DE 38 if there was one, a STAN of its own."""
    await refused(stage)
    await stage.forwarder().forward()

    sale, reversal = stage.link.asked
    assert (sale.mti, reversal.mti) == ("0200", "0420")
    assert str(reversal.fields[90]) == (
        f"0200{sale.fields[11]}{sale.fields[7]}00000123456" + "00000987654"
    )
    assert reversal.fields[37] == sale.fields[37]
    assert reversal.fields[38] == "A1B2C3"
    assert reversal.fields[39] == "17"
    assert reversal.fields[11] != sale.fields[11]
    assert reversal.fields[2] == "4111111111111111"


async def test_a_reversal_of_what_was_never_approved_books_nothing(stage: Stage) -> None:
    """Nothing was held, as far as we know: nothing is released."""
    stage.link.script.append(unknown)
    payment = await stage.take()

    await stage.forwarder().forward()

    assert (await stage.read(payment)).state is State.REVERSED
    assert await stage.transfers() == []


@pytest.mark.parametrize("step", [unknown, not_sent, contradicts, says("91"), says("25")])
async def test_f11_what_was_not_accepted_is_repeated_as_it_was(stage: Stage, step: Any) -> None:
    """0421: the same STAN, time and content; only the repeat digit changes."""
    payment = await refused(stage)
    stage.link.script.append(step)
    forwarder = stage.forwarder()

    await forwarder.forward()
    at_once = await forwarder.forward()
    stage.clock.move(SPACING_SECONDS[0] * 1.21)
    again = await forwarder.forward()

    _, first, second = stage.link.asked
    assert (at_once, again) == (0, 1)
    assert (first.mti, second.mti) == ("0420", "0421")
    assert first.fields == second.fields
    assert (await stage.read(payment)).state is State.REVERSED
    assert (await one_advice(stage))["attempts"] == 2


async def test_pauses_grow_and_never_end(stage: Stage) -> None:
    """5, 15, 30, 60 and then every 300 seconds, each a fifth more or less: never given up."""
    await refused(stage)
    stage.link.script.extend([unknown] * 8)
    forwarder = stage.forwarder()
    pauses = []
    for _ in range(8):
        await forwarder.forward()
        pauses.append(
            ((await one_advice(stage))["next_try_at"] - stage.clock.now()).total_seconds()
        )
        stage.clock.move(361)

    for pause, seconds in zip(pauses, [*SPACING_SECONDS, 300, 300, 300], strict=True):
        assert seconds * 0.8 <= pause <= seconds * 1.2
    assert (await one_advice(stage))["state"] == "owed"


@pytest.mark.parametrize("kind", ["reversal", "void", "release"])
@pytest.mark.parametrize(("denials", "ends"), [(0, False), (8, False), (9, True)])
def test_f10_an_acquirer_that_denies_what_it_approved_is_not_believed_at_once(
    kind: str, denials: int, ends: bool
) -> None:
    """It said yes, and we have seen it: one of its two words is wrong."""
    asked = advice(kind, attempts=20, denials=denials, was_approved=True)

    found = verdict(asked, "25", START + timedelta(hours=1))

    assert found == ("accepted" if ends else None)


async def test_f10_a_denied_approval_is_asked_for_again_and_then_needs_a_person(
    stage: Stage,
) -> None:
    """Silence in between does not count as a denial; the finding names RRN and amount."""
    payment = await refused(stage)
    stage.clock.move(601)
    forwarder = stage.forwarder()
    stage.link.script.extend([says("25")] * 5 + [unknown] * 5 + [says("25")] * 4)
    for _ in range(14):
        await forwarder.forward()
        stage.clock.move(361)
    before = (await stage.read(payment)).state
    none = await findings(stage)
    stage.link.script.append(says("25"))
    await forwarder.forward()
    (found,) = await findings(stage)

    assert (before, none) == (State.REVERSING, [])
    assert (await stage.read(payment)).state is State.REVERSED
    assert (found["kind"], found["state"]) == ("approval_denied", "open")
    assert payment.rrn in found["subject"]
    assert found["amount_minor"] == payment.amount_minor
    assert "10 times" in found["next_step"]


async def test_f10_an_acquirer_that_finds_it_at_last_takes_it_back(stage: Stage) -> None:
    """A host that has denied it twice is asked again, and then it is truly gone there."""
    payment = await refused(stage)
    stage.clock.move(601)
    forwarder = stage.forwarder()
    stage.link.script.extend([says("25"), says("25"), approve])
    for _ in range(3):
        await forwarder.forward()
        stage.clock.move(361)

    assert (await stage.read(payment)).state is State.REVERSED
    assert (await one_advice(stage))["response_code"] == "00"
    assert await findings(stage) == []


async def findings(stage: Stage) -> list[asyncpg.Record]:
    """Return the merchant's findings."""
    rows: list[asyncpg.Record] = await stage.sql(
        "SELECT * FROM findings WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    return rows


async def test_f10_the_original_not_found_is_believed_after_the_late_window(stage: Stage) -> None:
    """Of what nobody has seen approved: the payment is then reversed."""
    stage.link.script.extend([unknown, says("25"), says("25"), says("25")])
    payment = await stage.take()
    forwarder = stage.forwarder()
    await forwarder.forward()
    stage.clock.move(601)
    await forwarder.forward()
    before = (await stage.read(payment)).state
    stage.clock.move(601)
    await forwarder.forward()

    assert before is State.REVERSING
    assert (await stage.read(payment)).state is State.REVERSED


async def test_the_reversal_is_durable_before_it_is_written(stage: Stage) -> None:
    """Its trace number and its masked message stand before the first byte."""
    await refused(stage)
    seen: list[asyncpg.Record] = []

    async def look(mti: str, fields: Fields) -> Outcome:
        seen.extend(await stage.advices())
        seen.extend(
            await stage.sql(
                "SELECT * FROM network_messages WHERE merchant_id = $1 AND mti = '0420'",
                stage.merchant.merchant_id,
            )
        )
        return approve(mti, fields)

    stage.link.script.append(look)
    await stage.forwarder().forward()

    owed, message = seen
    assert (owed["attempts"], owed["stan"]) == (1, message["stan"])
    assert "************1111" in message["content"]
    assert "4111111111111111" not in message["content"]


async def test_a_void_ends_voided(stage: Stage) -> None:
    """State, movement and history; the books moved when the void was committed."""
    payment = await stage.paid()
    await movements.void(stage.command(payment), stage.road)
    before = await stage.transfers()

    await stage.forwarder().forward()

    found = {each.kind: each.state for each in await stage.road.store.movements(payment)}
    assert (await stage.read(payment)).state is State.VOIDED
    assert found == {"capture": "undone", "void": "done"}
    assert await stage.transfers() == before


async def test_an_accepted_capture_or_refund_leaves_its_movement_in_the_batch(
    stage: Stage,
) -> None:
    """It is settled with the batch, not by this answer."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await movements.capture(stage.command(payment), stage.road)
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass
    await movements.refund(stage.command(payment), stage.road)

    while await forwarder.forward():
        pass

    now = await stage.read(payment)
    assert [each["state"] for each in await stage.advices()] == ["accepted"] * 2
    assert [each.state for each in await stage.road.store.movements(payment)] == ["pending"] * 2
    assert (now.captured_minor, now.refunded_minor) == (4200, 4200)
    assert [each.mti for each in stage.link.asked] == ["0100", "0220", "0220"]


async def test_a_capture_names_its_authorization(stage: Stage) -> None:
    """DE 90 begins with 0100; a refund of it too."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await movements.capture(stage.command(payment), stage.road)
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass
    await movements.refund(stage.command(payment), stage.road)
    while await forwarder.forward():
        pass

    hold, capture, refund = stage.link.asked
    assert str(capture.fields[90])[:10] == f"0100{hold.fields[11]}"
    assert capture.fields[90] == refund.fields[90]
    assert (capture.fields[3], refund.fields[3]) == ("000000", "200000")
    assert capture.fields[37] == hold.fields[37] != refund.fields[37]


async def test_a_refused_refund_gives_the_right_to_refund_back(stage: Stage) -> None:
    """Books and amount as before, the movement failed; another try may be made."""
    payment = await stage.paid()
    await movements.refund(stage.command(payment), stage.road)
    stage.link.script.append(says("61"))

    await stage.forwarder().forward()

    now = await stage.read(payment)
    assert (now.state, now.refunded_minor) == (State.CAPTURED, 0)
    assert (await stage.transfers())[-2:] == [
        ("refunded", "open", 4200),
        ("open", "refunded", 4200),
    ]
    assert (await stage.road.store.movements(payment))[-1].state == "failed"
    assert (await stage.causes(payment))[-1] == "refund_refused"
    assert (await movements.refund(stage.command(payment), stage.road)).first


async def test_advices_of_one_payment_keep_their_order(stage: Stage) -> None:
    """The capture before the void, however long the capture takes."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await movements.capture(stage.command(payment), stage.road)
    await movements.void(stage.command(payment), stage.road)
    stage.link.script.extend([unknown, unknown])
    forwarder = stage.forwarder()
    for _ in range(3):
        await forwarder.forward()
        await forwarder.forward()
        stage.clock.move(20)
    await forwarder.forward()

    assert [each.mti for each in stage.link.asked[1:]] == ["0220", "0221", "0221", "0420"]
    assert (await stage.read(payment)).state is State.VOIDED


async def test_f11_one_payments_trouble_holds_up_no_others(stage: Stage) -> None:
    """The host refuses one for ever; the next one goes through in the same round."""
    stuck, other = await refused(stage), await refused(stage)

    def by_number(mti: str, fields: Fields) -> Outcome:
        return (says("96") if fields[37] == stuck.rrn else approve)(mti, fields)

    stage.link.script.extend([by_number] * 2)
    await stage.forwarder().forward()

    assert (await stage.read(stuck)).state is State.REVERSING
    assert (await stage.read(other)).state is State.REVERSED


async def test_f11_one_poisoned_reversal_holds_up_no_thousand_others(stage: Stage) -> None:
    """The host refuses one for ever: the others wait for no back-off, and it is never dropped."""
    await stage.take()
    payments = await asyncio.gather(*(refused(stage) for _ in range(1001)))
    poison, *others = payments

    def by_number(mti: str, fields: Fields) -> Outcome:
        return (says("96") if fields[37] == poison.rrn else approve)(mti, fields)

    stage.link.script.extend([by_number] * 2000)
    forwarder, began = stage.forwarder(), stage.clock.now()
    while await forwarder.forward():
        continue

    (still,) = [row for row in await stage.advices() if row["state"] == "owed"]
    assert still["payment_id"] == poison.payment_id
    assert (still["attempts"], still["response_code"]) == (1, "96")
    assert {(await stage.read(each)).state for each in others} == {State.REVERSED}
    sent = Counter((asked.mti, asked.fields[37]) for asked in stage.link.asked)
    assert {sent["0420", each.rrn] for each in payments} == {1}
    assert not any(mti == "0421" for mti, _ in sent)
    assert stage.clock.now() == began  # Nobody's next try was in the future but the poison's.
    assert still["next_try_at"] > began


MANY_MORE = """
INSERT INTO advices (merchant_id, advice_id, payment_id, position, kind, reason_code, amount_minor,
    batch_number, state, next_try_at, late_until, created_at)
SELECT $1, gen_random_uuid(), gen_random_uuid(), 1, 'reversal', '68', 4200, 1, 'owed', now(), now(),
    now()
FROM generate_series(1, 10000)
"""
OTHERS_ENDED = "UPDATE advices SET state = 'accepted' WHERE merchant_id <> $1 AND state = 'owed'"
PAGES_EACH_MAX = 60


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", ["due_advices", "claim_advices"])
@pytest.mark.parametrize("known", ["nothing", "before", "now"])
async def test_twenty_of_ten_thousand_are_claimed_without_reading_the_others(
    stage: Stage, name: str, mode: str, known: str
) -> None:
    """
    Whatever statistics the planner has, of few or of all: what is read grows with what is taken.
    """
    for _ in range(20):
        await refused(stage)
    ids = "{" + ",".join(str(row["advice_id"]) for row in await stage.advices()) + "}"
    merchant, owner = stage.merchant.merchant_id, uuid4()
    arguments = {
        "due_advices": f"now(), 20, '{{{stage.acquirer}}}', '{owner}', '{{}}', '{{reversal}}'",
        "claim_advices": f"'{merchant}', '{ids}', '{owner}', now(), now()",
    }[name]
    async with stage.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(OTHERS_ENDED, merchant)
            if known == "before":
                await connection.execute("ANALYZE advices, payments, processes, vault_cards")
            await connection.execute(MANY_MORE, merchant)
            if known == "now":
                await connection.execute("ANALYZE advices, payments, processes, vault_cards")
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            await connection.execute("PREPARE it AS " + query(name))
            (explained,) = await connection.fetchrow(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE it({arguments})"
            )
            await connection.execute("DEALLOCATE it")
        finally:
            await transaction.rollback()
    plan = msgspec.json.decode(explained)[0]["Plan"]

    assert plan["Actual Rows"] == 20
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < PAGES_EACH_MAX * 20


async def test_f22_what_one_worker_holds_another_one_does_not_get(stage: Stage) -> None:
    """Leased by a guarded UPDATE: the second gets nothing, until the lease is over."""
    for _ in range(5):
        await refused(stage)
    now = stage.clock.now()
    one, other = (AdviceStore(stage.database, uuid4(), stage.clock) for _ in range(2))

    async def claim(store: AdviceStore, at: Any) -> list[Advice]:
        return await store.claim([stage.acquirer], at, at + timedelta(seconds=45), 100)

    first, second = await claim(one, now), await claim(other, now)
    third = await claim(other, now + timedelta(seconds=45))

    assert [len(first), len(second), len(third)] == [5, 0, 5]


async def test_f22_two_workers_at_once_share_what_is_owed(stage: Stage) -> None:
    """Each advice is sent once."""
    for _ in range(20):
        await refused(stage)

    tried = await asyncio.gather(*(stage.forwarder().forward() for _ in range(4)))

    assert sum(tried) == 20
    assert sum(each.mti == "0420" for each in stage.link.asked) == 20
    assert not any(each.mti == "0421" for each in stage.link.asked)


async def test_f22_a_worker_whose_lease_is_over_writes_nothing(stage: Stage) -> None:
    """It was frozen; another one has the work; its late word changes nothing."""
    payment = await refused(stage)
    frozen, awake = (AdviceStore(stage.database, uuid4(), stage.clock) for _ in range(2))
    now = stage.clock.now()
    (held,) = await frozen.claim([stage.acquirer], now, now + timedelta(seconds=1), 10)
    later = now + timedelta(seconds=2)
    (taken,) = await awake.claim([stage.acquirer], later, later + timedelta(seconds=45), 10)

    tried = await frozen.about_to_try(attempt(held, frozen.owner, later))
    put_back = await frozen.unanswered(held, later, None)
    ended = await frozen.answered(final_word(held, frozen.owner, later))

    assert (tried, put_back, ended) == (False, None, False)
    assert (await stage.read(payment)).state is State.REVERSING
    assert taken.advice_id == held.advice_id


async def test_f07_a_try_that_is_committed_again_counts_once(stage: Stage) -> None:
    """A COMMIT in doubt is run again and refused: nothing is sent now, the repeat comes later."""
    await refused(stage)
    store, now = AdviceStore(stage.database, uuid4(), stage.clock), stage.clock.now()
    (held,) = await store.claim([stage.acquirer], now, now + timedelta(seconds=45), 10)
    again = attempt(held, store.owner, now)

    tries = [await store.about_to_try(again) for _ in range(2)]

    assert tries == [True, False]
    assert (await one_advice(stage))["attempts"] == 1


def attempt(held: Advice, owner: UUID, at: datetime) -> Try:
    """Return the try that *owner* would commit."""
    return Try(
        merchant_id=held.merchant_id,
        payment_id=held.payment_id,
        advice_id=held.advice_id,
        lease_owner=owner,
        attempts=held.attempts,
        business_day=at.date(),
        stan=77,
        transmitted_at=at,
        next_try_at=at,
        message_id=uuid4(),
        mti="0420",
        acquirer=held.acquirer,
        terminal_id=held.terminal_id,
        content="{}",
        at=at,
    )


def final_word(held: Advice, owner: UUID, at: datetime) -> FinalWord:
    """Return the acceptance that *owner* would commit."""
    return FinalWord(
        merchant_id=held.merchant_id,
        payment_id=held.payment_id,
        advice_id=held.advice_id,
        lease_owner=owner,
        to_state="accepted",
        response_code="00",
        event_id=uuid4(),
        transfer_id=uuid4(),
        message_id=uuid4(),
        mti="0430",
        content="{}",
        at=at,
    )


async def test_f11_a_worker_that_died_after_its_try_is_followed_by_a_repeat(stage: Stage) -> None:
    """F11: the next one sends 0421 under the same trace number."""
    payment = await refused(stage)
    forever: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def never(mti: str, fields: Fields) -> Outcome:
        return await forever

    stage.link.script.append(never)
    dying = asyncio.create_task(stage.forwarder().forward())
    await until(lambda: len(stage.link.asked) == 2)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    early = await stage.forwarder().forward()
    stage.clock.move(46)
    await stage.forwarder().forward()

    _, first, second = stage.link.asked
    assert early == 0
    assert (first.mti, second.mti) == ("0420", "0421")
    assert first.fields == second.fields
    assert (await stage.read(payment)).state is State.REVERSED


async def test_what_an_ended_process_held_is_free_at_once(stage: Stage) -> None:
    """Nobody waits for the lease of a worker that has stopped."""
    await refused(stage)
    now, later = stage.clock.now(), stage.clock.now() + timedelta(seconds=45)
    process = ProcessStore(stage.database, uuid4())
    await process.register("worker", now, later)
    await AdviceStore(stage.database, process.process_id, stage.clock).claim(
        [stage.acquirer], now, later, 10
    )
    heir = AdviceStore(stage.database, uuid4(), stage.clock)

    before = await heir.claim([stage.acquirer], now, later, 10)
    await process.end(now)
    after = await heir.claim([stage.acquirer], now, later, 10)

    assert (len(before), len(after)) == (0, 1)


async def test_nothing_is_claimed_while_the_link_is_down(stage: Stage) -> None:
    """A try that cannot be made is not counted."""
    await refused(stage)
    stage.link.ready = False

    assert await stage.forwarder().forward() == 0
    assert (await one_advice(stage))["attempts"] == 0


@pytest.mark.parametrize(
    "trouble",
    [
        "DELETE FROM terminals WHERE merchant_id = $1",
        "UPDATE stan_counters SET next_stan = 1000000 WHERE merchant_id = $1",
        "UPDATE vault_cards SET ciphertext = '\\x00' WHERE merchant_id = $1",
    ],
    ids=["terminal", "trace numbers", "card"],
)
async def test_an_advice_that_cannot_be_sent_is_put_back_and_ends_no_worker(
    stage: Stage, trouble: str
) -> None:
    """No terminal any more, no trace number today, a damaged card: said, and tried again."""
    await refused(stage)
    process = stage.another_process()
    if "terminals" in trouble:
        await stage.sql("DELETE FROM batches WHERE merchant_id = $1", stage.merchant.merchant_id)
    await stage.sql(trouble, stage.merchant.merchant_id)

    tried = await process.forwarder().forward()

    found = await one_advice(stage)
    assert tried == 1
    assert len(stage.link.asked) == 1
    assert found["state"] == "owed"
    assert found["lease_until"] is None
    assert found["next_try_at"] > stage.clock.now()


async def test_what_is_owed_can_be_counted(stage: Stage) -> None:
    """For the operator: how much, and since when."""
    store = AdviceStore(stage.database, uuid4(), stage.clock)
    long_ago = START - timedelta(days=1)
    before = await store.owed(10, long_ago)
    await refused(stage)

    after = await store.owed(10, long_ago)

    assert (after.owed, after.reversals) == (before.owed + 1, before.reversals + 1)
    assert after.oldest is not None


async def test_a_refused_capture_gives_the_hold_back(stage: Stage) -> None:
    """The payment is authorized again, its books too; nobody is told of money that never comes."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await movements.capture(stage.command(payment), stage.road)
    stage.link.script.append(says("61"))

    await stage.forwarder().forward()

    now = await stage.read(payment)
    assert (now.state, now.captured_minor) == ("authorized", 0)
    assert ("held", "open", 4200) in await stage.transfers()
    assert [each.state for each in await stage.road.store.movements(payment)] == ["failed"]


async def test_a_capture_for_a_batch_that_the_host_closed_goes_into_the_next(stage: Stage) -> None:
    """Response 40 is no refusal of the money: a new number, a new trace, the same capture."""
    payment = await stage.paid(kind=Kind.AUTHORIZATION)
    await movements.capture(stage.command(payment), stage.road)
    stage.link.script.append(says("40"))
    forwarder = stage.forwarder()

    while await forwarder.forward():
        pass

    first, second = stage.link.asked[-2:]
    assert (first.fields[60], second.fields[60]) == ("000001", "000002")
    assert first.fields[11] != second.fields[11]
    assert [each["state"] for each in await stage.advices()] == ["accepted"]
    assert [each.batch_number for each in await stage.road.store.movements(payment)] == [2]
