"""
The schema's own guards: what the database refuses, whoever asks.
"""

import re
from itertools import product
from typing import Any

import asyncpg
import msgspec
import pytest
from counterfoil.payments.lifecycle import MOVES, State
from counterfoil.store.payments import Acknowledgment, Conclusion, Intent
from counterfoil.store.screening import Look
from payment_stage import Stage

APPEND_ONLY = [
    "payment_events", "network_messages", "transfers", "batch_events", "movement_events",
    "transfer_blocks", "deposit_events", "quarantine_events", "signed_heads", "checkout_events",
    "terminal_sale_events",
]  # fmt: skip


@pytest.mark.parametrize("table", ["payment_events", "network_messages", "transfers"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}"])
async def test_history_messages_and_journal_are_never_rewritten(
    stage: Stage, table: str, statement: str
) -> None:
    """DESIGN 5.6: whoever wants to correct something writes a new row."""
    await stage.paid()
    before = await stage.count(table)

    with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
        await stage.sql(statement.format(table))
    assert before == await stage.count(table) > 0


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_every_append_only_table_has_its_guard(stage: Stage, table: str) -> None:
    """For changing and for deleting."""
    rows = await stage.sql(
        "SELECT event_manipulation FROM information_schema.triggers "
        "WHERE event_object_table = $1 AND action_timing = 'BEFORE'",
        table,
    )

    assert {"UPDATE", "DELETE"} <= {row["event_manipulation"] for row in rows}


async def test_a_move_that_the_table_does_not_list_is_refused(stage: Stage) -> None:
    """Every pair of states there is, by a hand-written UPDATE."""
    payment = await stage.paid()
    refused, made = [], []
    for before, after in product(State, State):
        if before is after:
            continue
        (refused if await refuses(stage, payment.payment_id, before, after) else made).append(
            (before, after)
        )

    assert set(made) == MOVES
    assert len(refused) == len(State) * (len(State) - 1) - len(MOVES)


async def refuses(stage: Stage, payment_id: Any, before: State, after: State) -> bool:
    """Try the move in a transaction that is taken back; say whether the database refused it."""
    async with stage.database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(
                "ALTER TABLE payments DROP CONSTRAINT payments_verification_states"
            )
            await connection.execute("ALTER TABLE payments DISABLE TRIGGER payments_legal_moves")
            await connection.execute(
                "UPDATE payments SET state = $1, captured_minor = 0, "
                "released_minor = authorized_minor WHERE payment_id = $2",
                before.value,
                payment_id,
            )
            await connection.execute("ALTER TABLE payments ENABLE TRIGGER payments_legal_moves")
            await connection.execute(
                "UPDATE payments SET state = $1 WHERE payment_id = $2", after.value, payment_id
            )
        except asyncpg.CheckViolationError as error:
            return error.constraint_name == "payments_legal_moves"
        finally:
            await transaction.rollback()
    return False


@pytest.mark.parametrize(
    "change",
    [
        "captured_minor = authorized_minor + 1",
        "captured_minor = amount_minor, released_minor = 1",
        "refunded_minor = captured_minor + 1",
        "refunded_minor = -1",
        "authorized_minor = amount_minor + 1",
        "amount_minor = 0",
        "amount_minor = 1000000000000",
        "currency = 'usd'",
        "card_bin = card_bin || '11'",
        "card_last_four = '4111111111111111'",
        "confirmation_number = '1234'",
        "state = 'paid'",
        "state = 'verified'",
        "kind = 'credit'",
        "kind = 'verification'",
        "rrn = '1'",
    ],
)
async def test_amounts_and_forms_are_guarded_by_the_database(stage: Stage, change: str) -> None:
    """Authorized = captured + released + still held; nothing is given back that was not taken."""
    payment = await stage.paid()

    with pytest.raises(asyncpg.CheckViolationError):
        await stage.sql(f"UPDATE payments SET {change} WHERE payment_id = $1", payment.payment_id)


async def test_a_transfer_balances_by_its_form(stage: Stage) -> None:
    """From one account to another, never to itself, never nothing, never negative."""
    await stage.paid()
    copy = (
        "INSERT INTO transfers (merchant_id, transfer_id, payment_id, debit_account, "
        "credit_account, amount_minor, currency, cause, at) SELECT merchant_id, "
        "gen_random_uuid(), payment_id, {}, amount_minor * {}, currency, cause, at "
        "FROM transfers WHERE merchant_id = $1 LIMIT 1"
    )

    for accounts, factor in (("'held', 'held'", 1), ("'held', 'open'", 0), ("'held', 'open'", -1)):
        with pytest.raises(asyncpg.CheckViolationError):
            await stage.sql(copy.format(accounts, factor), stage.merchant.merchant_id)


async def test_there_is_one_open_batch_for_a_terminal_and_currency(stage: Stage) -> None:
    """A second one would split a day on one side only."""
    await stage.paid()

    with pytest.raises(asyncpg.UniqueViolationError, match="batches_one_open"):
        await stage.sql(
            "INSERT INTO batches (merchant_id, acquirer, terminal_id, currency, batch_number, "
            "state, opened_at) SELECT merchant_id, acquirer, terminal_id, currency, 2, 'open', "
            "opened_at FROM batches WHERE merchant_id = $1",
            stage.merchant.merchant_id,
        )


async def test_a_payment_is_reversed_or_voided_once(stage: Stage) -> None:
    """However many sweeps and clerks see it."""
    payment = await stage.take()
    row = (
        "INSERT INTO advices (merchant_id, advice_id, payment_id, position, kind, reason_code, "
        "amount_minor, batch_number, state, next_try_at, late_until, created_at) VALUES "
        "($1, gen_random_uuid(), $2, $3, $4, '17', 1, 1, 'owed', now(), now(), now())"
    )
    await stage.sql(row, payment.merchant_id, payment.payment_id, 1, "reversal")

    for position, kind in ((2, "reversal"), (3, "void")):
        with pytest.raises(asyncpg.UniqueViolationError, match="advices_one_reversal"):
            await stage.sql(row, payment.merchant_id, payment.payment_id, position, kind)


async def test_two_acquirers_may_name_their_terminals_alike(stage: Stage) -> None:
    """A terminal id is the acquirer's own: one merchant may have TERM0001 at both."""
    one, other = await stage.take(), await stage.take()

    await stage.sql(
        "UPDATE payments SET acquirer = 'another', rrn = $2 WHERE payment_id = $1",
        other.payment_id,
        one.rrn,
    )


async def test_f40_nothing_in_the_database_could_be_a_card_number(stage: Stage) -> None:
    """DESIGN 5.7: after sales, declines and refunds, no column of no table shows one."""
    await stage.paid()
    await stage.take()
    tables = await stage.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    for (table,) in tables:
        rows = await stage.sql(f'SELECT t::text AS row FROM "{table}" AS t')
        for row in rows:
            assert "4111111111111111" not in row["row"]
            assert not re.search(r"(?<![0-9a-f])927(?![0-9a-f-])", row["row"]), table


async def test_every_key_of_merchant_data_begins_with_the_merchant(stage: Stage) -> None:
    """DESIGN 7: the same schema can be distributed over many machines by it."""
    rows = await stage.sql(
        "SELECT c.relname AS name, a.attname AS first, i.indisunique AS is_unique "
        "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
        "WHERE n.nspname = 'public' AND i.indisunique"
    )
    shared = {
        "installation", "merchants", "terminals", "api_keys", "processes", "vault_keys",
        "schema_migrations", "incoming_files", "bank_accounts", "quarantine_comparisons",
        "quarantine_events", "users", "invitations", "web_sessions", "people_events",
        "sign_in_tries", "old_passwords", "half_sign_ins", "authenticators", "passkeys",
        "recovery_codes", "sign_in_resets", "page_looks", "page_differences",
    }  # fmt: skip
    wrong = {row["name"] for row in rows if row["first"] != "merchant_id"} - shared

    assert wrong == set()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("payment_look", Look),
        ("payment_intent", Intent),
        ("payment_conclusion", Conclusion),
        ("payment_acknowledgment", Acknowledgment),
    ],
)
async def test_a_row_type_has_the_columns_that_its_step_hands_in(
    stage: Stage, name: str, row: type[msgspec.Struct]
) -> None:
    """In the same order: a row is handed in without the names of its columns."""
    found = await stage.sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = "
        "(SELECT typrelid FROM pg_type WHERE oid = $1::regtype) ORDER BY attnum",
        name,
    )

    assert [each["attname"] for each in found] == list(row.__struct_fields__)


async def test_payments_has_no_column_that_only_a_row_type_has(stage: Stage) -> None:
    """Statements return both side by side, and a name of two would be a name of none."""
    found = await stage.sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'payments'::regclass AND attnum > 0"
    )
    columns = {each["attname"] for each in found}
    beside = {"actor", "at", "cause", "content", "mark", "message_id", "mti", "reason_code"}
    beside |= {"transfer_id", "advice_id", "movement_id", "late_until", "never_again"}
    beside |= {"customer_mail_id", "merchant_mail_id", "merchant_email"}
    beside |= {"card_subject", "email_subject", "address_subject"}

    assert columns & beside == set()
