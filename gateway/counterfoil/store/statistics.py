"""
The planner's statistics of young tables, taken while they grow.

PostgreSQL keeps the plan of a prepared statement, and of a foreign key check, until the
statistics of one of its tables are taken again. A plan made while the tables were empty reads
them whole; autovacuum looks once a minute, and what it finds then may be outgrown in the next.
"""

import structlog

from counterfoil.store.database import IN_DOUBT, Database, DatabaseAway

# Every table that a payment's road, or a new merchant, adds rows to, and that is never emptied.
GROWING = (
    "advices",
    "api_keys",
    "batches",
    "confirmation_counters",
    "duplicate_guards",
    "feed",
    "feed_heads",
    "idempotency_keys",
    "merchants",
    "movement_events",
    "movements",
    "network_messages",
    "outbox",
    "payment_events",
    "payments",
    "screening_marks",
    "stan_counters",
    "terminals",
    "transfers",
    "vault_cards",
    "webhook_attempts",
    "webhook_deliveries",
)
GROWTH = 4  # So a kept plan meets tables of at most four times the pages, plus one round's growth.
ANALYZE_SECONDS_MAX = 30.0

log = structlog.get_logger("statistics")


async def look_at_grown(database: Database) -> int:
    """
    Take the statistics of every table that has grown GROWTH times since; return 0: a round is all.

    Raises:
        DatabaseAway: No answer in time; nothing is lost but the statistics.
    """
    grown = await _grown(database)
    for name, statement in grown.items():
        try:
            async with database.acquire() as connection:
                await connection.execute(statement, timeout=ANALYZE_SECONDS_MAX)
        except IN_DOUBT as error:
            raise DatabaseAway(
                f"the statistics of {name} were not taken: {type(error).__name__}"
            ) from error
    if grown:  # One that was locked was skipped, and is looked at again in the next round.
        for name in sorted(grown.keys() - (await _grown(database)).keys()):
            log.info("statistics_taken", table=name)
    return 0


async def _grown(database: Database) -> dict[str, str]:
    """
    Return the statement that takes the statistics of each table that has grown.
    """
    rows = await database.rows("grown_tables", list(GROWING), GROWTH)
    return {row["name"]: row["statement"] for row in rows}
