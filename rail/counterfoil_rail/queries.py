"""
The named queries of the rail's books: all SQL there is, beside the schema.

Statements that name every column of a row take the names from the row's type.
"""

from dataclasses import fields

from counterfoil_rail.records import Batch, Charge

CHARGE_COLUMNS = [field.name for field in fields(Charge)]
BATCH_COLUMNS = [field.name for field in fields(Batch)]


def _insert(table: str, *columns: str) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 -- names.


def _update(table: str, columns: list[str]) -> str:
    pairs = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE {table} SET {pairs} WHERE id = ?"  # noqa: S608 -- names.


CHARGE_CHANGES = [
    "state",
    "held_minor",
    "captured_minor",
    "refunded_minor",
    "released_minor",
    "expired_minor",
    "credited_minor",
    "batch",
]
BATCH_CHANGES = BATCH_COLUMNS[5:]

# A charge once decided, and what becomes of it later.
ADD_CHARGE = _insert("charge", *CHARGE_COLUMNS)
SAVE_CHARGE = _update("charge", CHARGE_CHANGES)
FIND_CHARGE = f"SELECT {', '.join(CHARGE_COLUMNS)} FROM charge WHERE id = ?"  # noqa: S608

# A batch opens with its first use; its totals are written once a turn.
ADD_BATCH = _insert("batch", *BATCH_COLUMNS)
SAVE_BATCH = _update("batch", BATCH_CHANGES)
FIND_BATCH = (
    f"SELECT {', '.join(BATCH_COLUMNS)} FROM batch"  # noqa: S608
    " WHERE terminal_id = ? AND currency = ? AND number = ?"
)

# Holds whose time is over, a number of them at a time.
LAPSED_HOLDS = (
    f"SELECT {', '.join(CHARGE_COLUMNS)} FROM charge"  # noqa: S608
    " WHERE held_minor > 0 AND expires_at <= ? ORDER BY expires_at, id LIMIT ?"
)
END_HOLDS = """
    UPDATE charge SET expires_at = ?1 WHERE held_minor > 0 AND (?2 IS NULL OR rrn = ?2)
"""

# Lines of batches; a line is reversed in parts, up to its amount (a trigger says so).
ADD_ENTRY = _insert(
    "entry",
    "batch_id",
    "charge_id",
    "kind",
    "amount_minor",
    "mti",
    "stan",
    "sent_at",
    "rrn",
    "reverses",
    "at",
)
ENTRIES_OF_CHARGE = """
    SELECT entry.id, batch_id, kind, amount_minor, entry.terminal_id, sent_at, stan, mti, rrn,
           amount_minor - ifnull((SELECT sum(amount_minor) FROM entry AS undo
                                  WHERE undo.reverses = entry.id), 0) AS standing_minor,
           closed_at IS NOT NULL AS is_closed
    FROM (SELECT entry.*, charge.terminal_id FROM entry JOIN charge ON charge.id = charge_id
          WHERE charge_id = ?) AS entry
    JOIN batch ON batch.id = batch_id
    WHERE kind IN ('debit', 'credit')
    ORDER BY entry.id
"""

# An account moves only within its limit: no row changes when it would go beyond.
MOVE_ACCOUNT = """
    UPDATE account SET held_minor = held_minor + ?3, spent_minor = spent_minor + ?4
    WHERE card_ref = ?1 AND currency = ?2
      AND held_minor + spent_minor + ?3 + ?4 <= limit_minor
"""
ROOM_OF_ACCOUNT = """
    SELECT limit_minor - held_minor - spent_minor FROM account
    WHERE card_ref = ? AND currency = ?
"""
ADD_ACCOUNT = """
    INSERT INTO account (card_ref, currency, bin, issuer, last4, limit_minor)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

# Requests that were acted on, and reversals whose original never came.
ADD_EXCHANGE = _insert(
    "exchange",
    "terminal_id",
    "sent_at",
    "stan",
    "mti",
    "card_ref",
    "processing_code",
    "amount_minor",
    "charge_id",
    "response_code",
    "approval_code",
    "settlement_date",
    "verification",
    "network_transaction_id",
    "approved_minor",
)
FIND_EXCHANGE = """
    SELECT card_ref, processing_code, amount_minor, charge_id, response_code, approval_code,
           settlement_date, verification, network_transaction_id, approved_minor
    FROM exchange WHERE terminal_id = ? AND sent_at = ? AND stan = ? AND mti = ?
"""
ADD_TOMBSTONE = _insert(
    "tombstone", "terminal_id", "sent_at", "stan", "mti", "rrn", "amount_minor", "reason", "at"
)
FIND_TOMBSTONE = """
    SELECT 1 FROM tombstone WHERE terminal_id = ? AND sent_at = ? AND stan = ? AND mti = ?
"""

# Which batch a line stands in, and the host's own close of open batches.
BATCH_NAME = "SELECT terminal_id, currency, number FROM batch WHERE id = ?"
CLOSE_BATCHES = """
    UPDATE batch SET closed_at = ?1
    WHERE closed_at IS NULL
      AND (?2 IS NULL OR (terminal_id, currency, number) = (?2, ?3, ?4))
"""

# Ids are counted in memory; this is where the count goes on.
LAST_CHARGE_ID = "SELECT ifnull(max(id), 0) FROM charge"
LAST_BATCH_ID = "SELECT ifnull(max(id), 0) FROM batch"
