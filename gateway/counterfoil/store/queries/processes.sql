-- name: register_process
-- A process says that it lives, and until when its intents are its own.
INSERT INTO processes (process_id, kind, host, pid, started_at, lease_until)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: renew_process
-- It still lives.
UPDATE processes SET lease_until = $2 WHERE process_id = $1 RETURNING process_id;

-- name: end_process
-- It stops in good order: its lease ends now.
UPDATE processes SET lease_until = $2 WHERE process_id = $1;

-- name: live_processes
-- Who lives.
SELECT process_id, kind, host, pid, started_at, lease_until FROM processes
WHERE lease_until > $1 ORDER BY started_at LIMIT 1000;

-- name: forget_processes
-- Processes that ended long ago and own nothing any more.
DELETE FROM processes AS o WHERE lease_until < $1
  AND NOT EXISTS (SELECT 1 FROM payments AS p
                  WHERE p.state = 'processing' AND p.process_id = o.process_id);

-- name: lease_stans
-- Lease a range of trace numbers of a terminal's day; no row when the million is used up.
INSERT INTO stan_counters AS c (merchant_id, acquirer, terminal_id, business_day, next_stan)
VALUES ($1, $2, $3, $4, 1 + $5)
ON CONFLICT (merchant_id, acquirer, terminal_id, business_day)
DO UPDATE SET next_stan = c.next_stan + $5 WHERE c.next_stan + $5 <= 1000000
RETURNING next_stan - $5 AS first;

-- name: lease_confirmations
-- Lease a range of a merchant's confirmation counter.
INSERT INTO confirmation_counters AS c (merchant_id, next_number) VALUES ($1, $2)
ON CONFLICT (merchant_id) DO UPDATE SET next_number = c.next_number + $2
RETURNING next_number - $2 AS first;

-- name: open_batch
-- The number of the open batch of a terminal and currency.
SELECT batch_number FROM batches
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4 AND state = 'open';

-- name: open_first_batch
-- The first batch of a terminal and currency; later ones are opened by the close.
WITH opened AS (
    INSERT INTO batches
        (merchant_id, acquirer, terminal_id, currency, batch_number, state, opened_at)
    SELECT $1, $2, $3, $4, 1, 'open', $5
    WHERE NOT EXISTS (SELECT 1 FROM batches
        WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4)
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, acquirer, terminal_id, currency, batch_number, opened_at
)
INSERT INTO batch_events
    (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
     to_state, cause, actor)
SELECT merchant_id, gen_random_uuid(), acquirer, terminal_id, currency, batch_number, opened_at,
    NULL, 'open', 'opened', 'gateway'
FROM opened;

-- name: database_time
-- What the database's clock says.
SELECT clock_timestamp() AS now;

-- name: database_started
-- Since when the database server runs.
SELECT pg_postmaster_start_time() AS started;

-- name: connections_allowed
-- How many connections the database server has for everybody but its superusers.
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0) AS allowed;

-- name: safety_settings
-- How the database server keeps what it has acknowledged; one that it does not have is not told.
SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[]) ORDER BY name;

-- name: look_around
-- What a process looks at once a second: the database's clock, and whether nothing may move.
SELECT clock_timestamp() AS now, quarantined_at, quarantine_reason,
    (SELECT count(*) FROM vault_keys) AS vault_keys
FROM installation;

-- name: standing
-- What waits, as people want to know it: approvals, payments under way, mails, files, batches.
SELECT (SELECT count(*) FROM payments WHERE state = 'processing') AS processing,
    (SELECT count(*) FROM payments WHERE state = 'approved') AS unclaimed,
    (SELECT count(*) FROM payments WHERE state = 'approved' AND acknowledge_by <= $1) AS overdue,
    (SELECT count(*) FROM outbox WHERE state = 'owed') AS mails,
    (SELECT count(*) FROM incoming_files WHERE state = 'held' AND aside_at IS NULL) AS files_held,
    (SELECT count(*) FROM batches WHERE state = 'needs_a_person') AS batches_for_a_person,
    (SELECT count(*) FROM findings WHERE state = 'open') AS findings_open,
    (SELECT count(*) FROM page_reports WHERE seen_to_at IS NULL) AS page_reports_open,
    (SELECT count(*) FROM page_differences WHERE seen_to_at IS NULL) AS page_differences_open,
    (SELECT extract(epoch FROM $1 - looked_at)::bigint FROM page_looks) AS page_look_age_seconds,
    (SELECT count(*) FROM webhook_deliveries WHERE state = 'owed') AS webhooks,
    coalesce((SELECT extract(epoch FROM $1 - min(opened_at))::bigint FROM batches
        WHERE state = 'open'), 0) AS oldest_open_batch_seconds,
    coalesce((SELECT extract(epoch FROM $1 - min(created_at))::bigint FROM outbox
        WHERE state = 'owed'), 0) AS oldest_owed_mail_seconds;
