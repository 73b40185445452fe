"""
Rows that a payment writes, table by table, as PostgreSQL counts them (pg_stat).
"""

import asyncpg
import msgspec

TOLERANCE = 0.01  # A batch that is full and closed meanwhile writes rows of its own.
ONE_PAYMENT = 0.5  # Below so many rows a payment it is a lease or a heartbeat of many.
COUNTERS = """
SELECT relname, n_tup_ins, n_tup_upd FROM pg_stat_user_tables
"""

Counters = dict[str, tuple[int, int]]


class Written(msgspec.Struct, frozen=True):
    """
    Rows of one table for each payment.
    """

    inserted: float
    updated: float


async def counters(connection: "asyncpg.Connection[asyncpg.Record]") -> Counters:
    """
    Return how many rows were inserted and updated so far, by table.

    A process tells PostgreSQL its counts when it disconnects: ask when the writers have ended.
    """
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    rows = await connection.fetch(COUNTERS)
    return {row["relname"]: (row["n_tup_ins"], row["n_tup_upd"]) for row in rows}


def per_payment(before: Counters, after: Counters, payments: int) -> dict[str, Written]:
    """
    Return what each payment wrote, by table.
    """
    found = {}
    for table, (inserted, updated) in sorted(after.items()):
        was = before.get(table, (0, 0))
        each = Written(
            round((inserted - was[0]) / payments, 3), round((updated - was[1]) / payments, 3)
        )
        if each.inserted or each.updated:
            found[table] = each
    return found


def by_payment(written: dict[str, Written]) -> dict[str, Written]:
    """
    Return the tables that every payment writes to; the others are leases, shared by many.
    """
    return {
        table: each
        for table, each in written.items()
        if each.inserted + each.updated >= ONE_PAYMENT
    }


def are_equal(ours: dict[str, Written], theirs: dict[str, Written]) -> bool:
    """
    Whether both write the same number of rows to the same tables.
    """
    return ours.keys() == theirs.keys() and all(
        abs(ours[table].inserted - theirs[table].inserted) < TOLERANCE
        and abs(ours[table].updated - theirs[table].updated) < TOLERANCE
        for table in ours
    )
