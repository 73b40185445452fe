-- name: backup_facts
-- What a backup's manifest says of the database.
SELECT i.mode, (SELECT count(*) FROM schema_migrations)::integer AS migrations,
    (SELECT count(*) FROM payments) AS payments,
    (SELECT max(created_at) FROM payments) AS newest_payment_at
FROM installation AS i;

-- name: count_tables
-- How many tables there are: none in a database into which a backup may be restored.
SELECT count(*) AS tables FROM pg_catalog.pg_tables WHERE schemaname = 'public';

-- name: quarantine_restored
-- The end of a restore, in its transaction: the leases of processes that are gone end as well, and
-- confirmation numbers go on beyond all that may have been given out after the backup: an approval
-- that is kept in quarantine takes one.
WITH gone AS (
    UPDATE public.processes SET lease_until = least(lease_until, now())
), moved AS (
    INSERT INTO public.confirmation_counters AS c (merchant_id, next_number)
    SELECT merchant_id, $2 FROM public.merchants
    ON CONFLICT (merchant_id) DO UPDATE SET next_number = c.next_number + EXCLUDED.next_number
)
UPDATE public.installation
SET quarantined_at = now(), quarantine_reason = $1, compared_at = NULL;

-- name: begin_quarantine
-- A person says that nothing may move, because a backup was restored by other means; confirmation
-- numbers go on beyond all that may have been given out after it.
WITH begun AS (
    UPDATE installation SET quarantined_at = $1, quarantine_reason = $2, compared_at = NULL
    WHERE quarantined_at IS NULL
    RETURNING quarantined_at
), moved AS (
    INSERT INTO confirmation_counters AS c (merchant_id, next_number)
    SELECT m.merchant_id, $3::bigint FROM merchants AS m, begun
    ON CONFLICT (merchant_id) DO UPDATE SET next_number = c.next_number + EXCLUDED.next_number
)
SELECT quarantined_at FROM begun;

-- name: quarantine_standing
-- Whether nothing may move, since when and why, and what is still open.
SELECT i.quarantined_at, i.quarantine_reason,
    (SELECT count(*) FROM findings AS f WHERE f.kind = ANY($1::text[]) AND f.state = 'open') AS open
FROM installation AS i;

-- name: comparisons
-- The last comparison with each acquirer at which somebody has a terminal.
SELECT t.acquirer, c.compared_at, c.charges, c.differences, c.numbers, c.waived_by, c.waived_reason
FROM (SELECT DISTINCT acquirer FROM terminals) AS t
LEFT JOIN quarantine_comparisons AS c USING (acquirer)
ORDER BY t.acquirer LIMIT 1000;

-- name: terminals_of_acquirer
-- Whose each terminal is.
SELECT terminal_id, merchant_id FROM terminals WHERE acquirer = $1;

-- name: payments_of_charges
-- What we have of the charges that a host's journal names.
SELECT p.payment_id, p.order_number, p.terminal_id, p.rrn, p.kind, p.state, p.currency,
    p.amount_minor, p.authorized_minor,
    p.captured_minor, p.released_minor, p.refunded_minor,
    EXISTS (SELECT 1 FROM advices AS a WHERE a.merchant_id = p.merchant_id
        AND a.payment_id = p.payment_id AND a.state NOT IN ('accepted', 'refused')) AS owed
FROM unnest($2::text[], $3::text[]) AS n (terminal_id, rrn)
JOIN terminals AS t ON t.acquirer = $1 AND t.terminal_id = n.terminal_id
JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.acquirer = t.acquirer
    AND p.terminal_id = t.terminal_id AND p.rrn = n.rrn;

-- name: payments_taken_at
-- A page of what we hold or have taken at an acquirer: the host must know each of them.
SELECT p.merchant_id, p.payment_id, p.order_number, p.terminal_id, p.rrn, p.kind, p.state,
    p.currency, p.amount_minor, p.authorized_minor, p.captured_minor, p.released_minor, p.refunded_minor,
    EXISTS (SELECT 1 FROM advices AS a WHERE a.merchant_id = p.merchant_id
        AND a.payment_id = p.payment_id AND a.state NOT IN ('accepted', 'refused')) AS owed
FROM payments AS p
WHERE p.acquirer = $1 AND p.state IN ('authorized', 'captured')
  AND ($2::timestamptz IS NULL OR p.created_at >= $2)
  AND ($3::uuid IS NULL OR (p.merchant_id, p.payment_id) > ($3, $4::uuid))
ORDER BY p.merchant_id, p.payment_id LIMIT $5;

-- name: open_restored_findings
-- Put differences on the list; what stands there is brought up to date, what was resolved stays so.
INSERT INTO findings AS f
    (merchant_id, finding_id, kind, subject, currency, amount_minor, next_step, state, opened_at)
SELECT $1, n.finding_id, n.kind, n.subject, n.currency, n.amount_minor, n.next_step, 'open', $2
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[])
    AS n (finding_id, kind, subject, currency, amount_minor, next_step)
WHERE NOT EXISTS (
    SELECT 1 FROM findings AS r, installation AS i
    WHERE r.merchant_id = $1 AND r.kind = n.kind AND r.subject = n.subject
      AND r.state = 'resolved' AND r.resolved_at >= i.quarantined_at
      AND r.resolution <> 'agrees by now')
ON CONFLICT (merchant_id, kind, subject) WHERE state = 'open' DO UPDATE
SET amount_minor = EXCLUDED.amount_minor, next_step = EXCLUDED.next_step
WHERE f.amount_minor <> EXCLUDED.amount_minor OR f.next_step <> EXCLUDED.next_step;

-- name: note_comparison
-- A comparison is done: when, with how much, the host's numbers; what was not found again agrees now.
WITH noted AS (
    INSERT INTO quarantine_comparisons AS c (acquirer, compared_at, charges, differences, numbers)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (acquirer) DO UPDATE
    SET compared_at = EXCLUDED.compared_at, charges = EXCLUDED.charges,
        differences = EXCLUDED.differences, numbers = EXCLUDED.numbers, waived_by = NULL,
        waived_reason = NULL
)
UPDATE findings AS f
SET state = 'resolved', resolved_at = $2, resolution = 'agrees by now'
FROM terminals AS t
WHERE t.acquirer = $1 AND f.merchant_id = t.merchant_id
  AND left(f.subject, 8) = t.terminal_id AND f.kind = ANY($6::text[]) AND f.state = 'open'
  AND NOT EXISTS (SELECT 1 FROM unnest($7::uuid[], $8::text[]) AS n (merchant_id, subject)
      WHERE n.merchant_id = f.merchant_id AND n.subject = f.subject);

-- name: resolve_restored_finding
-- A person has decided what becomes of one payment.
UPDATE findings SET state = 'resolved', resolved_at = $4, resolution = $5
WHERE merchant_id = $1 AND subject = $2 AND kind = ANY($3::text[]) AND state = 'open';

-- name: move_stans
-- A terminal's trace numbers of a day go on from $5 at least; a used-up day stays used up.
INSERT INTO stan_counters AS c (merchant_id, acquirer, terminal_id, business_day, next_stan)
VALUES ($1, $2, $3, $4, least(1000000, $5::integer))
ON CONFLICT (merchant_id, acquirer, terminal_id, business_day)
DO UPDATE SET next_stan = greatest(c.next_stan, EXCLUDED.next_stan);

-- name: move_batch_past_host
-- The host has seen the open batch: it is closed as usual, and one beyond the host's last is opened.
-- So is the first one here of a terminal and currency of which the host knows batches.
WITH ended AS (
    UPDATE batches
    SET state = 'closing', closing_at = $6::timestamptz, next_try_at = $6::timestamptz, close_cause = 'restored',
        close_actor = 'cli'
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND state = 'open' AND batch_number <= $5
    RETURNING merchant_id, acquirer, terminal_id, currency, batch_number
), opened AS (
    INSERT INTO batches
        (merchant_id, acquirer, terminal_id, currency, batch_number, state, opened_at)
    SELECT $1, $2, $3, $4, $5 + 1, 'open', $6::timestamptz
    WHERE EXISTS (SELECT 1 FROM ended) OR NOT EXISTS (
        SELECT 1 FROM batches WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3
        AND currency = $4)
    RETURNING merchant_id, acquirer, terminal_id, currency, batch_number
), told AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor)
    SELECT merchant_id, $7::uuid, acquirer, terminal_id, currency, batch_number, $6::timestamptz, 'open', 'closing',
        'restored', 'cli'
    FROM ended
    UNION ALL
    SELECT merchant_id, $8::uuid, acquirer, terminal_id, currency, batch_number, $6::timestamptz, NULL, 'open',
        'opened', 'cli'
    FROM opened
)
SELECT batch_number FROM opened;

-- name: waive_comparison
-- A person goes on without an acquirer that nobody can be compared with any more: only in quarantine,
-- and not when it was compared or waived already. Its numbers stay where they are.
WITH waived AS (
    INSERT INTO quarantine_comparisons AS c
        (acquirer, compared_at, charges, differences, numbers, waived_by, waived_reason)
    SELECT $1, $2, 0, 0, '[]', $3, $4 FROM installation AS i
    WHERE i.quarantined_at IS NOT NULL AND EXISTS (SELECT 1 FROM terminals WHERE acquirer = $1)
    ON CONFLICT (acquirer) DO UPDATE
    SET compared_at = EXCLUDED.compared_at, charges = 0, differences = 0, numbers = '[]',
        waived_by = EXCLUDED.waived_by, waived_reason = EXCLUDED.waived_reason
    WHERE c.compared_at < (SELECT quarantined_at FROM installation)
    RETURNING acquirer
)
INSERT INTO quarantine_events (event_id, at, what, acquirer, actor, note)
SELECT $5, $2, 'waived', acquirer, $3, $4 FROM waived
RETURNING acquirer;

-- name: quarantine_history
-- What persons decided about quarantines, newest first.
SELECT at, what, acquirer, actor, note FROM quarantine_events ORDER BY at DESC, event_id DESC LIMIT 100;

-- name: lift_quarantine
-- Everything may move again: each acquirer was compared after the restore, and nothing is open.
-- Readers may know numbers of the feed that were given after the backup: every feed goes on beyond
-- them, with an event that says so before any other (by its early time in the queue).
WITH was AS MATERIALIZED (
    SELECT quarantined_at, quarantine_reason FROM installation FOR UPDATE
), lifted AS (
    UPDATE installation AS i
    SET quarantined_at = NULL, quarantine_reason = NULL, compared_at = $2
    FROM was
    WHERE was.quarantined_at IS NOT NULL AND i.quarantined_at IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM findings WHERE kind = ANY($1::text[]) AND state = 'open')
      AND NOT EXISTS (
        SELECT 1 FROM terminals AS t LEFT JOIN quarantine_comparisons AS c USING (acquirer)
        WHERE c.compared_at IS NULL OR c.compared_at < i.quarantined_at)
    RETURNING i.compared_at, was.quarantine_reason
), noted AS (
    INSERT INTO quarantine_events (event_id, at, what, actor, note)
    SELECT $4, $2, 'lifted', $5, quarantine_reason FROM lifted
), moved AS (
    INSERT INTO feed_heads AS h (merchant_id, last_number)
    SELECT m.merchant_id, $3::bigint FROM merchants AS m, lifted ORDER BY m.merchant_id
    ON CONFLICT (merchant_id) DO UPDATE SET last_number = h.last_number + EXCLUDED.last_number
), told AS (
    INSERT INTO feed_pending
        (merchant_id, noted_at, event_id, source, at, to_state, cause, actor)
    SELECT m.merchant_id, 'epoch', gen_random_uuid(), 'feed', $2::timestamptz,
        'resumed', 'restored', 'cli'
    FROM merchants AS m, lifted
)
SELECT compared_at FROM lifted;

-- name: keep_approval
-- A person knows that an approval was claimed after the backup: it gets time to be claimed again.
WITH kept AS (
    UPDATE payments AS p
    SET version = p.version + 1, changed_by = $4, acknowledge_by = $2, updated_at = $3
    FROM installation AS i
    WHERE p.payment_id = $1 AND p.state = 'approved' AND i.quarantined_at IS NOT NULL
    RETURNING p.merchant_id, p.payment_id, p.version
)
INSERT INTO payment_events
    (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
SELECT merchant_id, payment_id, version, $4, $3, 'approved', 'approved', 'kept_by_a_person', $5
FROM kept
RETURNING merchant_id;

-- name: merchant_of_payment
-- Whose payment this is, for an operator who knows only its id.
SELECT merchant_id FROM payments WHERE payment_id = $1 LIMIT 1;
