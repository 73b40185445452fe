"""
Taking a payment: what is durable before a byte goes out, and what each outcome makes of it.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from counterfoil.cards import Card
from counterfoil.money import currency
from counterfoil.network.message import Fields, MessageError
from counterfoil.network.outcome import Outcome
from counterfoil.payments.authorize import request_fingerprint, take_payment
from counterfoil.payments.lifecycle import Kind, State
from counterfoil.payments.order import Order
from counterfoil.payments.plan import RETRY_LATER_SECONDS
from counterfoil.payments.refusals import (
    KeyFenced,
    KeyReused,
    NothingWritten,
    OutcomeNotStored,
)
from counterfoil.payments.resolve import resolve
from counterfoil.routing.routes import NoRoute
from counterfoil.store import payments as storing
from counterfoil.store.database import Database, DatabaseAway
from counterfoil.store.merchants import Terminal
from payment_stage import CARD, Stage, batch_key, new_merchant
from scripted_link import ScriptedLink, answered, approve, contradicts, not_sent, says, unknown


async def test_f05_the_intent_is_durable_before_a_byte_goes_out(stage: Stage) -> None:
    """DESIGN 5.1: while the acquirer reads the message, the row, the card and the history stand."""
    seen: list[Any] = []

    async def look(mti: str, fields: Fields) -> Outcome:
        rows = await stage.sql(
            "SELECT p.state, p.stan, p.rrn, m.mti, m.send_before, v.ciphertext, e.cause "
            "FROM payments AS p JOIN network_messages AS m USING (merchant_id, payment_id) "
            "JOIN payment_events AS e USING (merchant_id, payment_id) "
            "JOIN vault_cards AS v ON v.merchant_id = p.merchant_id AND v.token = p.card_token "
            "WHERE p.merchant_id = $1",
            stage.merchant.merchant_id,
        )
        seen.extend(rows)
        return approve(mti, fields)

    stage.link.script.append(look)
    await stage.take()

    assert len(seen) == 1
    assert (seen[0]["state"], seen[0]["mti"], seen[0]["cause"]) == (
        "processing",
        "0200",
        "requested",
    )
    assert seen[0]["send_before"] == stage.clock.now() + timedelta(seconds=5)
    sent = stage.link.asked[0].fields
    assert (f"{seen[0]['stan']:06d}", seen[0]["rrn"]) == (sent[11], sent[37])


async def test_an_approval_waits_to_be_acknowledged(stage: Stage) -> None:
    """Approved, held in the books, without a confirmation number; the deadline runs."""
    payment = await stage.take()

    assert payment.state is State.APPROVED
    assert payment.confirmation_number is None
    assert payment.acknowledge_by == stage.clock.now() + timedelta(seconds=180)
    assert (payment.approval_code, payment.response_code) == ("A1B2C3", "00")
    assert (payment.avs_result, payment.cvv_result, payment.settlement_date) == ("Y", "M", "1123")
    assert payment.authorized_minor == 4200
    assert payment.captured_minor == 0
    assert await stage.transfers() == [("held", "issuer", 4200)]
    assert await stage.causes(payment) == ["requested", "issuer_approved"]


async def test_the_network_transaction_id_is_kept(stage: Stage) -> None:
    """DE 48 tag 20: later payments with the stored card name it."""
    stage.link.script.append(says("00", f38="A1B2C3", f48="2015123456789012345"))
    odd = says("00", f38="A1B2C3", f48="not a tag")
    stage.link.script.append(odd)

    assert (await stage.take()).network_transaction_id == "123456789012345"
    assert (await stage.take()).network_transaction_id is None


@pytest.mark.parametrize(("kind", "mti"), [(Kind.SALE, "0200"), (Kind.AUTHORIZATION, "0100")])
async def test_a_sale_is_a_0200_and_an_authorization_a_0100(
    stage: Stage, kind: Kind, mti: str
) -> None:
    """Protocols 1.5."""
    payment = await stage.take(kind=kind)

    assert payment.kind is kind
    assert stage.link.asked[0].mti == mti


async def test_a_decline_is_a_result(stage: Stage) -> None:
    """Final, nothing held, nothing owed to anybody."""
    stage.link.script.append(says("51"))

    payment = await stage.take()

    assert (payment.state, payment.response_code) == (State.DECLINED, "51")
    assert payment.acknowledge_by is None
    assert await stage.transfers() == []
    assert await stage.advices() == []


@pytest.mark.parametrize(
    ("step", "cause", "reason"),
    [
        (unknown, "answer_missing", "68"),
        (contradicts, "answer_bad", "22"),
        (says("85", f38="A1B2C3"), "answer_bad", "22"),
        (says("68"), "answer_bad", "22"),
        (says("94"), "answer_bad", "22"),
    ],
    ids=["no answer", "bad answer", "verified only", "too late there", "seen before"],
)
async def test_what_is_no_yes_and_no_no_is_reversed(
    stage: Stage, step: Any, cause: str, reason: str
) -> None:
    """DESIGN 5.3: the reversal is owed in the same commit as the outcome."""
    stage.link.script.append(step)

    payment = await stage.take()

    (owed,) = await stage.advices()
    assert payment.state is State.REVERSING
    assert (await stage.causes(payment))[-1] == cause
    assert (owed["kind"], owed["reason_code"], owed["state"]) == ("reversal", reason, "owed")
    assert owed["next_try_at"] == stage.clock.now()
    assert owed["amount_minor"] == 4200
    assert await stage.transfers() == []


async def test_proof_that_nothing_was_sent_is_a_503_and_not_a_reversal(stage: Stage) -> None:
    """Nobody was asked: nothing is owed."""
    stage.link.script.append(not_sent)

    with pytest.raises(NothingWritten, match="nothing was sent"):
        await stage.take(idempotency_key="same")

    use = await stage.road.store.key(stage.merchant.merchant_id, "same")
    assert use is not None
    assert use.payment_id is not None
    payment = await stage.road.store.payment(stage.merchant.merchant_id, use.payment_id)
    assert payment is not None
    assert payment.state is State.NOT_SENT
    assert await stage.advices() == []


async def test_what_was_not_sent_is_tried_again_under_its_key_with_a_new_trace(
    stage: Stage,
) -> None:
    """The same payment, attempt two: a STAN is never used twice."""
    stage.link.script.append(not_sent)
    order = stage.order()
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)

    taken = await take_payment(order, stage.road)

    first, second = stage.link.asked
    assert taken.first
    assert taken.payment.state is State.APPROVED
    assert first.fields[11] != second.fields[11]
    assert first.fields[37] != second.fields[37]
    assert await stage.count("payments") == 1
    assert await stage.causes(taken.payment) == [
        "requested",
        "nothing_written",
        "tried_again",
        "issuer_approved",
    ]


async def test_a_message_that_cannot_be_written_was_not_sent(stage: Stage) -> None:
    """The codec refuses it before a byte: no reversal, no payment that hangs."""

    def refuse(mti: str, fields: Fields) -> Outcome:
        raise MessageError(43, "Field 43 may hold printable ASCII only.")

    stage.link.script.append(refuse)

    with pytest.raises(NothingWritten):
        await stage.take()
    assert await stage.advices() == []


async def test_a_link_that_is_down_writes_nothing(stage: Stage) -> None:
    """No row, no key, no trace number: the same request may come again."""
    stage.link.ready = False

    with pytest.raises(NothingWritten, match="no link to the acquirer is signed on"):
        await stage.take()
    for table in ("payments", "idempotency_keys", "vault_cards", "stan_counters"):
        assert await stage.count(table) == 0


async def test_a_merchant_without_a_terminal_is_told_so(stage: Stage) -> None:
    """Before anything is written."""
    alone = new_merchant()
    await stage.merchants.add(alone, [])
    merchant = await stage.merchants.merchant(alone.merchant_id)
    assert merchant is not None

    with pytest.raises(NoRoute):
        await stage.take(merchant=merchant)


async def test_the_same_request_twice_is_the_same_payment(stage: Stage) -> None:
    """DESIGN 5.2: in its current state, and nobody is asked again."""
    order = stage.order()
    first = await take_payment(order, stage.road)
    await stage.acknowledge(first.payment)

    second = await take_payment(order, stage.another_process().road)

    assert (first.first, second.first) == (True, False)
    assert second.payment.payment_id == first.payment.payment_id
    assert second.payment.state is State.CAPTURED
    assert len(stage.link.asked) == 1


async def test_f06_a_repeat_is_answered_even_while_the_link_is_down(stage: Stage) -> None:
    """What is known needs no acquirer."""
    order = stage.order()
    first = await take_payment(order, stage.road)
    stage.link.ready = False

    second = await take_payment(order, stage.road)

    assert second.payment == first.payment
    assert not second.first


async def test_f12_fifty_copies_of_a_request_at_once_are_one_payment(stage: Stage) -> None:
    """F2: over two processes; the acquirer is asked once, everybody gets the same payment."""
    order = stage.order()
    roads = [stage.road, stage.another_process().road]

    async def slowly(mti: str, fields: Fields) -> Outcome:
        await asyncio.sleep(0.05)
        return approve(mti, fields)

    stage.link.script.append(slowly)
    taken = await asyncio.gather(*(take_payment(order, roads[n % 2]) for n in range(50)))

    assert len({each.payment.payment_id for each in taken}) == 1
    assert sum(each.first for each in taken) == 1
    assert len(stage.link.asked) == 1
    assert await stage.count("payments") == await stage.count("vault_cards") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 4201},
        {"kind": Kind.AUTHORIZATION},
        {"order_number": "1002"},
        {"description": None},
        {"customer_email": "other@example.com"},
        {"postal_code": "62705"},
        {"street": None},
        {"card": Card("4242424242424242", 12, 2030, "927")},
        {"card": Card("4111111111111111", 11, 2030, "927")},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_f13_another_request_under_the_same_key_is_refused(
    stage: Stage, changes: dict[str, Any]
) -> None:
    """422: a key belongs to one request, every part of it."""
    order = stage.order()
    await take_payment(order, stage.road)

    with pytest.raises(KeyReused):
        await take_payment(msgspec.structs.replace(order, **changes), stage.road)


async def test_f13_every_field_of_an_order_is_part_of_the_request(stage: Stage) -> None:
    """Whatever is added to an order later: another value is another request."""
    who_and_how = {"merchant", "idempotency_key", "session_id", "actor"}
    who_and_how |= {"customer_ip", "duplicate_check", "duplicate_seconds"}  # Where, how sure.
    others = {
        "kind": Kind.AUTHORIZATION,
        "amount_minor": 4201,
        "currency": currency("EUR"),
        "card": Card("4242424242424242", 12, 2030, "927"),
        "order_number": "1002",
        "description": "Three books",
        "customer_email": "other@example.com",
        "postal_code": "62705",
        "street": "11 Main",
        "voice_approval_code": "H7K2P9",
    }
    order = stage.order()
    first = request_fingerprint(order, stage.road)

    assert set(Order.__struct_fields__) == who_and_how | set(others)
    for name, value in others.items():
        changed = msgspec.structs.replace(order, **{name: value})
        assert request_fingerprint(changed, stage.road) != first, name


async def test_the_security_code_is_no_part_of_the_request(stage: Stage) -> None:
    """It is not stored, so it cannot be compared: a repeat may leave it out."""
    order = stage.order()
    without = msgspec.structs.replace(order, card=msgspec.structs.replace(CARD, cvv=None))

    assert request_fingerprint(order, stage.road) == request_fingerprint(without, stage.road)


async def test_a_fenced_key_takes_no_payment(stage: Stage) -> None:
    """DESIGN 5.4: whoever resolved it was told "never seen", and that stays true."""
    order = stage.order()
    await resolve(stage.merchant, order.idempotency_key, stage.road)

    with pytest.raises(KeyFenced):
        await take_payment(order, stage.road)
    assert stage.link.asked == []
    assert await stage.count("payments") == 0


async def test_a_terminal_without_trace_numbers_takes_no_payment(stage: Stage) -> None:
    """503, and nothing was written."""
    await use_up(stage, "TERM0001")

    with pytest.raises(NothingWritten, match="has used all trace numbers today"):
        await stage.take()
    assert await stage.count("payments") == 0


async def use_up(stage: Stage, *terminal_ids: str) -> None:
    """Let these terminals have no trace numbers left today."""
    for terminal_id in terminal_ids:
        await stage.sql(
            "INSERT INTO stan_counters VALUES ($1, $2, $3, $4, 1000000)",
            stage.merchant.merchant_id,
            stage.acquirer,
            terminal_id,
            stage.clock.now().date(),
        )


async def test_another_terminal_takes_what_one_has_no_trace_number_for(stage: Stage) -> None:
    """Nothing was written: the merchant's next terminal may, whoever's turn it is."""
    for terminal_id in ("TERM0002", "TERM0003"):
        terminal = Terminal(stage.acquirer, terminal_id, "SHOP")
        await stage.merchants.add_terminal(stage.merchant.merchant_id, terminal)
    await use_up(stage, "TERM0001", "TERM0003")

    taken = [await stage.take() for _ in range(4)]

    assert {each.state for each in taken} == {State.APPROVED}
    assert {each.terminal_id for each in taken} == {"TERM0002"}
    assert await stage.count("payments") == len(stage.link.asked) == 4


async def test_when_no_terminal_has_a_trace_number_the_last_one_says_so(stage: Stage) -> None:
    """503, and why; a time that is worth waiting for."""
    terminal = Terminal(stage.acquirer, "TERM0002", "SHOP")
    await stage.merchants.add_terminal(stage.merchant.merchant_id, terminal)
    await use_up(stage, "TERM0001", "TERM0002")

    with pytest.raises(NothingWritten, match="has used all trace numbers today") as refusal:
        await stage.take()

    assert refusal.value.retry_after_seconds == RETRY_LATER_SECONDS
    assert await stage.count("payments") == 0


async def test_a_batch_that_was_closed_meanwhile_is_passed_on_to_the_next(stage: Stage) -> None:
    """Memory is behind the close: the intent goes into the open batch, on both sides."""
    await stage.take()
    await stage.sql(
        "UPDATE batches SET state = 'closing' WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    await stage.sql(
        "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, state, "
        "opened_at) VALUES ($1, $2, $3, $4, 2, 'open', now())",
        *batch_key(stage),
    )

    payment = await stage.take()

    assert payment.batch_number == 2
    assert stage.link.asked[1].fields[60] == "000002"


async def test_without_an_open_batch_nothing_is_written(stage: Stage) -> None:
    """The statement checks it, whatever a process remembers."""
    first = await stage.take()
    await stage.sql(
        "UPDATE batches SET state = 'closing' WHERE merchant_id = $1", stage.merchant.merchant_id
    )

    with pytest.raises((NothingWritten, AssertionError)):
        await stage.take()
    assert len(stage.link.asked) == 1
    assert await stage.count("payments") == 1
    assert await stage.count("idempotency_keys") == 1
    assert (await stage.read(first)).state is State.APPROVED


async def test_f40_no_message_that_is_kept_shows_the_card(stage: Stage) -> None:
    """Number masked to its last four, expiry and security code hidden, in both directions."""
    payment = await stage.take()

    kept = [json.loads(row["content"]) for row in await stage.road.store.messages(payment)]

    assert len(kept) == 2
    assert {each["2"] for each in kept} == {"************1111"}
    assert kept[0]["14"] == "****"
    assert "0203***" in kept[0]["48"]
    assert "927" not in kept[0]["48"]
    assert "3012" not in json.dumps(kept).replace("003012", "")


async def test_the_merchants_local_time_is_sent(stage: Stage) -> None:
    """DE 13 and 12 by the clock of the shop, DE 7 in UTC."""
    await stage.take()

    fields = stage.link.asked[0].fields
    assert (fields[13], fields[12], fields[7]) == ("1123", "003000", "1123063000")


class Losing(Database):
    """The real database, whose answers to the named statements are lost after the COMMIT."""

    def __init__(self, database: Database, *lost: str) -> None:
        super().__init__(database._pool)
        self.lost = list(lost)

    async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
        found = await super().rows(name, *arguments)
        if name in self.lost:
            self.lost.remove(name)
            raise DatabaseAway(f"no answer to {name}")
        return found


async def test_f07_an_intent_in_doubt_is_found_to_be_ours_and_goes_on(database: Database) -> None:
    """F7: the COMMIT's answer was lost; read again, it is our own: the payment is taken, once."""
    stage = await Stage.set_up(Losing(database, "intend"))

    taken = await take_payment(stage.order(), stage.road)

    assert taken.first
    assert taken.payment.state is State.APPROVED
    assert await stage.count("payments") == len(stage.link.asked) == 1


async def test_f07_a_second_try_in_doubt_is_found_to_be_ours_and_goes_on(
    database: Database,
) -> None:
    """As for the first: it does not hang until the sweep finds it."""
    stage = await Stage.set_up(Losing(database, "intend_again"), link=ScriptedLink(not_sent))
    order = stage.order()
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)

    taken = await take_payment(order, stage.road)

    assert taken.payment.state is State.APPROVED
    assert len(stage.link.asked) == 2


async def test_f07_an_outcome_in_doubt_is_read_again_before_it_is_told(database: Database) -> None:
    """Approved once, held once."""
    stage = await Stage.set_up(Losing(database, "conclude"))

    payment = await stage.take()

    assert payment.state is State.APPROVED
    assert await stage.transfers() == [("held", "issuer", 4200)]


async def test_f07_an_outcome_that_is_written_again_says_nothing_of_the_next_try(
    database: Database,
) -> None:
    """
    A COMMIT in doubt is run again, and meanwhile the payment was tried anew.

    "Not sent" belongs to the first try: the second one is at the acquirer, and is approved.
    """
    said: list[tuple[Any, ...]] = []

    class Noting(Database):
        async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
            if name == "conclude":
                said.append(arguments)
            return await super().rows(name, *arguments)

    stage = await Stage.set_up(Noting(database._pool), link=ScriptedLink(not_sent))
    order = stage.order()
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)

    async def meanwhile(mti: str, fields: Fields) -> Outcome:
        await database.rows("conclude", *said[0])
        return approve(mti, fields)

    stage.link.script.append(meanwhile)
    taken = await take_payment(order, stage.road)

    assert taken.payment.state is State.APPROVED
    assert await stage.transfers() == [("held", "issuer", 4200)]


async def test_an_outcome_that_cannot_be_stored_is_told_to_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 5.1: to the client it is still under way, though the acquirer has said yes."""

    class Away(Losing):
        async def rows(self, name: str, *arguments: Any) -> list[asyncpg.Record]:
            if name == "conclude":
                raise DatabaseAway("gone")
            return await super().rows(name, *arguments)

    monkeypatch.setattr(storing, "CONCLUDE_SECONDS_MAX", 0.2)
    stage = await Stage.set_up(Away(database))
    order = stage.order()

    with pytest.raises(OutcomeNotStored):
        await take_payment(order, stage.road)
    taken = await take_payment(order, stage.road)
    assert taken.payment.state is State.PROCESSING


async def test_f08_an_outcome_that_comes_after_the_sweep_changes_nothing(stage: Stage) -> None:
    """A late approval is never turned into a payment: the reversal stands."""

    async def too_late(mti: str, fields: Fields) -> Outcome:
        await stage.sql(
            "UPDATE payments SET state = 'reversing' WHERE merchant_id = $1",
            stage.merchant.merchant_id,
        )
        return answered(mti, fields, "00", f38="A1B2C3")

    stage.link.script.append(too_late)

    payment = await stage.take()

    assert payment.state is State.REVERSING
    assert payment.approval_code is None
    assert await stage.transfers() == []


async def test_a_repeat_of_a_paid_key_is_answered_when_the_terminal_is_used_up(
    stage: Stage,
) -> None:
    """What stands in the way of a new payment says nothing about one that was made."""
    order = stage.order()
    first = await take_payment(order, stage.road)
    await stage.acknowledge(first.payment)
    await stage.sql(
        "UPDATE stan_counters SET next_stan = 1000000 WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )

    again = await take_payment(order, stage.another_process().road)

    assert again.payment.payment_id == first.payment.payment_id
    assert (again.payment.state, again.first) == (State.CAPTURED, False)


async def test_a_repeat_of_a_paid_key_is_answered_when_the_queue_is_full(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 "nothing was sent" would be a lie that makes the shop charge anew."""
    order = stage.order()
    first = await take_payment(order, stage.road)
    monkeypatch.setattr("counterfoil.store.writer.QUEUE_ROWS_MAX", 0)

    again = await take_payment(order, stage.road)

    assert again.payment.payment_id == first.payment.payment_id


async def test_a_payment_that_was_not_sent_is_tried_in_the_batch_that_is_open_now(
    stage: Stage,
) -> None:
    """Another process closed the one we remember."""
    stage.link.script.append(not_sent)
    order = stage.order()
    with pytest.raises(NothingWritten):
        await take_payment(order, stage.road)
    await stage.sql(
        "UPDATE batches SET state = 'closed' WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    await stage.sql(
        "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, state, "
        "opened_at) VALUES ($1, $2, $3, $4, 2, 'open', now())",
        *batch_key(stage),
    )

    taken = await take_payment(order, stage.road)

    assert (taken.payment.state, taken.payment.batch_number) == (State.APPROVED, 2)
