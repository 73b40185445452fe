-- name: lock_merchant
-- One file of a merchant is booked at a time: whoever comes second sees what the first one did.
SELECT merchant_id FROM merchants WHERE merchant_id = $1 FOR NO KEY UPDATE;

-- name: file_by_digest
-- A file that came before, by its exact bytes.
SELECT digest, kind, name, merchant_id, file_id, state, reason FROM incoming_files
WHERE digest = $1;

-- name: known_files
-- Which of these files came before, whatever became of them.
SELECT digest FROM incoming_files WHERE digest = ANY($1::bytea[]);

-- name: file_with_id
-- The file of a merchant that was read under this id.
SELECT digest, name FROM incoming_files
WHERE merchant_id = $1 AND kind = $2 AND file_id = $3 AND state = 'read';

-- name: keep_read
-- Keep a file that is read; no row when somebody else read it meanwhile.
INSERT INTO incoming_files AS f
    (merchant_id, digest, kind, name, file_id, state, content, received_at, changed_at)
VALUES ($1, $2, $3, $4, $5, 'read', $6, $7, $7)
ON CONFLICT (digest) DO UPDATE
SET merchant_id = $1, kind = $3, file_id = $5, state = 'read', reason = NULL, looks_again = false,
    content = $6, changed_at = $7, aside_at = NULL, aside_by = NULL, aside_note = NULL
WHERE f.state = 'held'
RETURNING digest;

-- name: keep_held
-- Keep a file that is held, and why; one that was read stays read, one put aside is held again.
INSERT INTO incoming_files AS f
    (digest, kind, name, merchant_id, file_id, state, reason, looks_again, content, received_at,
     changed_at)
VALUES ($1, $2, $3, $4, $5, 'held', $6, $7, $8, $9, $9)
ON CONFLICT (digest) DO UPDATE
SET kind = $2, merchant_id = $4, file_id = $5, reason = $6, looks_again = $7, changed_at = $9,
    aside_at = NULL, aside_by = NULL, aside_note = NULL
WHERE f.state = 'held'
RETURNING digest;

-- name: held_to_look_at
-- Held files that something has changed for since the last look: a batch that closed, a terminal
-- or an account that was added. $1 makes up for commits that came later than their time says.
SELECT digest FROM incoming_files AS f
WHERE state = 'held' AND looks_again AND ($2 OR EXISTS (
        SELECT 1 FROM batches AS b
        WHERE b.state = 'closed' AND b.closed_at > f.changed_at - $1::interval
          AND (f.merchant_id IS NULL OR b.merchant_id = f.merchant_id))
    OR EXISTS (SELECT 1 FROM terminals AS t WHERE t.created_at > f.changed_at - $1::interval)
    OR EXISTS (SELECT 1 FROM bank_accounts AS a WHERE a.added_at > f.changed_at - $1::interval))
ORDER BY changed_at, digest LIMIT $3;

-- name: held_by_prefix
-- Held files whose digest begins with these hex digits, without those put aside; two are one too many.
SELECT digest FROM incoming_files
WHERE state = 'held' AND aside_at IS NULL AND starts_with(encode(digest, 'hex'), $1)
ORDER BY digest LIMIT 2;

-- name: put_file_aside
-- Nobody waits for this held file any more, a person says; no row when it is held no more.
UPDATE incoming_files
SET aside_at = $2, aside_by = $3, aside_note = $4, looks_again = false, changed_at = $2
WHERE digest = $1 AND state = 'held' AND aside_at IS NULL
RETURNING name;

-- name: file_content
-- The exact bytes of a file.
SELECT name, content FROM incoming_files WHERE digest = $1;

-- name: merchants_of_acceptor
-- Whose card acceptor id (DE 42) this is, at one of these acquirers.
SELECT DISTINCT merchant_id, acquirer FROM terminals
WHERE acquirer = ANY($1::text[]) AND card_acceptor_id = $2
LIMIT 3;

-- name: merchants_of_account
-- Whose bank account this is: one that was added, or the sandbox's (card acceptor id, currency).
SELECT merchant_id FROM bank_accounts WHERE account = $1 AND currency = $2
UNION
SELECT merchant_id FROM terminals
WHERE acquirer = ANY($3::text[]) AND card_acceptor_id || $2 = $1
LIMIT 3;

-- name: acquirers_of_merchant
-- At which of these acquirers the merchant has a terminal.
SELECT DISTINCT acquirer FROM terminals
WHERE merchant_id = $1 AND acquirer = ANY($2::text[])
ORDER BY acquirer;

-- name: add_bank_account
-- An account of a merchant's bank, whose statements count from now on, with who added it ($5, $6).
WITH made AS (
    INSERT INTO bank_accounts (merchant_id, account, currency, added_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (merchant_id, account, currency) DO NOTHING
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $5, merchant_id, added_at, $6, 'bank_account_added', account, currency FROM made
)
SELECT account FROM made;

-- name: batches_named
-- The batches that a report names, each with its state here; null when we have no such batch.
SELECT n.terminal_id, n.currency, n.batch_number, b.state, t.card_acceptor_id
FROM unnest($3::text[], $4::text[], $5::integer[]) AS n (terminal_id, currency, batch_number)
LEFT JOIN batches AS b
    ON b.merchant_id = $1 AND b.acquirer = $2 AND b.terminal_id = n.terminal_id
    AND b.currency = n.currency AND b.batch_number = n.batch_number
LEFT JOIN terminals AS t
    ON t.merchant_id = $1 AND t.acquirer = $2 AND t.terminal_id = n.terminal_id
ORDER BY n.terminal_id, n.currency, n.batch_number;

-- name: items_of_lines
-- What we have under the RRNs of a report's lines, refunds negative as there. `said_days` are the days
-- on which an acquirer may say that it was made: that of the sale on the merchant's wall (DE 13) and
-- in UTC (DE 7), and that of its own message, when a capture came later.
SELECT m.movement_id, m.kind, m.state, m.terminal_id, m.batch_number, m.rrn, m.currency,
    CASE m.kind WHEN 'refund' THEN -m.amount_minor ELSE m.amount_minor END AS amount_minor,
    p.approval_code, p.card_last_four,
    ARRAY[left(p.local_time, 4), to_char(p.transmitted_at AT TIME ZONE 'UTC', 'MMDD'),
        to_char((SELECT a.transmitted_at FROM advices AS a
            WHERE a.merchant_id = $1 AND a.payment_id = m.payment_id
              AND a.movement_id = m.movement_id AND a.kind = 'capture') AT TIME ZONE 'UTC',
            'MMDD')] AS said_days,
    EXISTS (SELECT 1 FROM settlement_lines AS s
        WHERE s.merchant_id = $1 AND s.movement_id = m.movement_id
          AND s.outcome IN ('matched', 'amount_differs', 'date_shifted')) AS has_line,
    EXISTS (SELECT 1 FROM findings AS f
        WHERE f.merchant_id = $1 AND f.movement_id = m.movement_id
          AND f.kind = 'missing_there') AS was_missing
FROM unnest($3::text[], $4::text[]) AS n (terminal_id, rrn)
JOIN movements AS m
    ON m.merchant_id = $1 AND m.acquirer = $2 AND m.terminal_id = n.terminal_id AND m.rrn = n.rrn
    AND m.kind IN ('capture', 'refund')
JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id;

-- name: payments_of_lines
-- What became of payments under the RRNs of lines for which we have nothing to settle.
SELECT p.terminal_id, p.rrn, p.state
FROM unnest($3::text[], $4::text[]) AS n (terminal_id, rrn)
JOIN payments AS p
    ON p.merchant_id = $1 AND p.acquirer = $2 AND p.terminal_id = n.terminal_id AND p.rrn = n.rrn;

-- name: settle_movements
-- What a report's lines matched is settled.
WITH settled AS (
    UPDATE movements AS m SET state = 'settled', updated_at = $2
    FROM unnest($3::uuid[]) AS n (movement_id)
    WHERE m.merchant_id = $1 AND m.movement_id = n.movement_id AND m.state = 'batched'
    RETURNING m.movement_id, m.payment_id
), history AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT $1, movement_id, gen_random_uuid(), payment_id, $2, 'batched', 'settled', 'reported',
        'acquirer'
    FROM settled
)
SELECT count(*) AS number FROM settled;

-- name: items_without_line
-- Items of the batches that a report names for which no line has come so far. What is settled has
-- one, so only the rest is looked up, one by one: right after a large COPY the planner guesses.
WITH waiting AS MATERIALIZED (
    SELECT i.movement_id, i.kind, i.terminal_id, i.currency, i.batch_number, m.rrn,
        CASE i.kind WHEN 'refund' THEN -i.amount_minor ELSE i.amount_minor END AS amount_minor
    FROM unnest($3::text[], $4::text[], $5::integer[]) AS n (terminal_id, currency, batch_number)
    JOIN batch_items AS i
        ON i.merchant_id = $1 AND i.acquirer = $2 AND i.terminal_id = n.terminal_id
        AND i.currency = n.currency AND i.batch_number = n.batch_number
    JOIN movements AS m
        ON m.merchant_id = $1 AND m.movement_id = i.movement_id AND m.state = 'batched'
)
SELECT w.* FROM waiting AS w LEFT JOIN LATERAL (
    SELECT s.line FROM settlement_lines AS s
    WHERE s.merchant_id = $1 AND s.movement_id = w.movement_id
      AND s.outcome IN ('matched', 'amount_differs', 'date_shifted')
    LIMIT 1) AS l ON true
WHERE l.line IS NULL;

-- name: batches_not_reported
-- Closed batches of a card acceptor that hold something and that no report has named so far.
-- One that was ended by hand has no settlement date of the acquirer's: the day of its close counts.
SELECT b.terminal_id, b.currency, b.batch_number,
    COALESCE(b.settlement_date, to_char(b.closed_at AT TIME ZONE 'UTC', 'MMDD'))
        AS settlement_date, (
    SELECT sum(CASE i.kind WHEN 'refund' THEN -i.amount_minor ELSE i.amount_minor END)::bigint
    FROM batch_items AS i
    WHERE i.merchant_id = $1 AND i.acquirer = $2 AND i.terminal_id = b.terminal_id
      AND i.currency = b.currency AND i.batch_number = b.batch_number) AS amount_minor
FROM batches AS b
JOIN terminals AS t
    ON t.merchant_id = b.merchant_id AND t.acquirer = b.acquirer AND t.terminal_id = b.terminal_id
WHERE b.merchant_id = $1 AND b.acquirer = $2 AND t.card_acceptor_id = $3 AND b.state = 'closed'
  AND EXISTS (SELECT 1 FROM batch_items AS i
        WHERE i.merchant_id = $1 AND i.acquirer = $2 AND i.terminal_id = b.terminal_id
          AND i.currency = b.currency AND i.batch_number = b.batch_number)
  AND NOT EXISTS (SELECT 1 FROM settlement_lines AS s
        WHERE s.merchant_id = $1 AND s.acquirer = $2 AND s.terminal_id = b.terminal_id
          AND s.currency = b.currency AND s.batch_number = b.batch_number)
ORDER BY b.closed_at, b.terminal_id, b.currency, b.batch_number LIMIT $4;

-- name: merchants_without_report
-- Whose batches were closed between two moments, hold something, and are on no report and no list.
SELECT DISTINCT b.merchant_id FROM batches AS b
WHERE b.state = 'closed' AND b.closed_at >= $1 AND b.closed_at < $2
  AND EXISTS (SELECT 1 FROM batch_items AS i
        WHERE i.merchant_id = b.merchant_id AND i.acquirer = b.acquirer
          AND i.terminal_id = b.terminal_id AND i.currency = b.currency
          AND i.batch_number = b.batch_number)
  AND NOT EXISTS (SELECT 1 FROM settlement_lines AS s
        WHERE s.merchant_id = b.merchant_id AND s.acquirer = b.acquirer
          AND s.terminal_id = b.terminal_id AND s.currency = b.currency
          AND s.batch_number = b.batch_number)
  AND NOT EXISTS (SELECT 1 FROM findings AS f
        WHERE f.merchant_id = b.merchant_id AND f.kind = 'batch_missing' AND f.subject =
            b.terminal_id || '/' || b.currency || '/' || lpad(b.batch_number::text, 6, '0'))
LIMIT $3;

-- name: batches_without_report
-- One merchant's batches of that kind, oldest first.
SELECT b.terminal_id, b.currency, b.batch_number, b.settlement_date, b.closed_at, i.amount_minor
FROM batches AS b
CROSS JOIN LATERAL (
    SELECT sum(CASE i.kind WHEN 'refund' THEN -i.amount_minor ELSE i.amount_minor END)::bigint
        AS amount_minor
    FROM batch_items AS i
    WHERE i.merchant_id = $1 AND i.acquirer = b.acquirer AND i.terminal_id = b.terminal_id
      AND i.currency = b.currency AND i.batch_number = b.batch_number) AS i
WHERE b.merchant_id = $1 AND b.state = 'closed' AND b.closed_at >= $2 AND b.closed_at < $3
  AND i.amount_minor IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM settlement_lines AS s
        WHERE s.merchant_id = $1 AND s.acquirer = b.acquirer
          AND s.terminal_id = b.terminal_id AND s.currency = b.currency
          AND s.batch_number = b.batch_number)
  AND NOT EXISTS (SELECT 1 FROM findings AS f
        WHERE f.merchant_id = $1 AND f.kind = 'batch_missing' AND f.subject =
            b.terminal_id || '/' || b.currency || '/' || lpad(b.batch_number::text, 6, '0'))
ORDER BY b.closed_at, b.terminal_id, b.currency, b.batch_number LIMIT $4;

-- name: plan_for_many
-- Until the transaction ends: whole sets are hashed. Where statistics are missing the planner takes
-- a hundred thousand rows for a few, and loops over them once for each of them.
SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true),
    set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: analyze_items
-- What a large report is matched with; a table that somebody else is looking at is left to them.
ANALYZE (SKIP_LOCKED) movements, payments;

-- name: analyze_lines
-- The lines that were just added, for the statements that follow.
ANALYZE (SKIP_LOCKED) settlement_lines;

-- name: lines_of_deposits
-- How many lines these deposits have, as far as $4.
SELECT count(*) AS number FROM (
    SELECT 1 FROM unnest($2::text[], $3::text[]) AS n (acquirer, reference)
    CROSS JOIN LATERAL (SELECT 1 FROM settlement_lines AS s
        WHERE s.merchant_id = $1 AND s.acquirer = n.acquirer AND s.reference = n.reference
        LIMIT $4) AS l
    LIMIT $4) AS lines;

-- name: open_findings
-- Put what does not agree on the list; what stands there already is brought up to date.
INSERT INTO findings AS f
    (merchant_id, finding_id, kind, subject, currency, amount_minor, movement_id, reference,
     next_step, state, opened_at)
SELECT $1, n.finding_id, n.kind, n.subject, n.currency, n.amount_minor, n.movement_id, n.reference,
    n.next_step, 'open', $2
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::uuid[], $9::text[],
        $10::text[])
    AS n (finding_id, kind, subject, currency, amount_minor, movement_id, reference, next_step)
ON CONFLICT (merchant_id, kind, subject) WHERE state = 'open' DO UPDATE
SET amount_minor = EXCLUDED.amount_minor, next_step = EXCLUDED.next_step,
    reference = EXCLUDED.reference
WHERE f.amount_minor <> EXCLUDED.amount_minor OR f.next_step <> EXCLUDED.next_step;

-- name: resolve_missing_there
-- What was missing there has come, with this file.
UPDATE findings AS f SET state = 'resolved', resolved_at = $3, resolution = $4
FROM settlement_lines AS s
WHERE s.merchant_id = $1 AND s.file_digest = $2
  AND s.outcome IN ('matched', 'amount_differs', 'date_shifted')
  AND f.merchant_id = $1 AND f.movement_id = s.movement_id AND f.kind = 'missing_there'
  AND f.state = 'open';

-- name: resolve_findings
-- What agrees by now leaves the list of open findings.
UPDATE findings AS f SET state = 'resolved', resolved_at = $2, resolution = $3
FROM unnest($4::text[], $5::text[]) AS n (kind, subject)
WHERE f.merchant_id = $1 AND f.kind = n.kind AND f.subject = n.subject AND f.state = 'open';

-- name: resolve_finding
-- A person has cleared it up; no row when it was not open. A refused refund that stands for a void or
-- reversal is still owed, unless the merchant has given that much back by itself since and the
-- acquirer has taken it; what another such finding was resolved with counts for that one only. Who did
-- ($5 to $7) is in the list of changes.
WITH found AS MATERIALIZED (
    SELECT f.*, c.payment_id FROM findings AS f
    LEFT JOIN movements AS c ON c.merchant_id = f.merchant_id AND c.movement_id = f.movement_id
    WHERE f.merchant_id = $1 AND f.finding_id = $2 AND f.state = 'open'
), refused AS MATERIALIZED (
    -- Of the same payment: since when each was found, and whether it was ended by refunds.
    SELECT c.movement_id, c.amount_minor, min(e.opened_at) AS since,
        c.state = 'failed' AND bool_and(e.state = 'resolved') AS by_refunds
    FROM found JOIN movements AS c USING (merchant_id, payment_id)
    JOIN findings AS e ON e.merchant_id = c.merchant_id AND e.movement_id = c.movement_id
        AND e.kind = 'refund_refused'
    GROUP BY c.movement_id, c.amount_minor, c.state
), given AS MATERIALIZED (
    SELECT r.amount_minor, r.created_at FROM found JOIN movements AS r USING (merchant_id, payment_id)
    WHERE r.kind = 'refund' AND r.idempotency_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM advices AS a
        WHERE a.merchant_id = r.merchant_id AND a.payment_id = r.payment_id
          AND a.movement_id = r.movement_id AND a.kind = 'refund' AND a.state = 'accepted')
), resolved AS (
    UPDATE findings AS f SET state = 'resolved', resolved_at = $3, resolution = $4
    FROM found
    WHERE f.merchant_id = $1 AND f.finding_id = $2 AND f.state = 'open'
      AND (f.kind <> 'refund_refused' OR (
        f.amount_minor <= (SELECT sum(amount_minor) FROM given
            WHERE created_at >= (SELECT since FROM refused WHERE movement_id = f.movement_id))
        AND f.amount_minor
            + (SELECT COALESCE(sum(amount_minor), 0) FROM refused WHERE by_refunds)
            <= (SELECT sum(amount_minor) FROM given
                WHERE created_at >= (SELECT min(since) FROM refused))))
    RETURNING f.finding_id
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $5, $1, $3, $6, 'finding_resolved', $7, $4 FROM resolved
)
SELECT finding_id FROM resolved;

-- name: book_transfers
-- Rows of the journal that concern a deposit.
INSERT INTO transfers
    (merchant_id, transfer_id, debit_account, credit_account, amount_minor, currency, cause, at,
     reference)
SELECT $1, n.transfer_id, n.debit, n.credit, n.amount_minor, n.currency, n.cause, $2, n.reference
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[])
    AS n (transfer_id, debit, credit, amount_minor, currency, cause, reference);

-- name: deposits_by_reference
-- A merchant's deposits with these references, at whichever acquirer.
SELECT * FROM deposits WHERE merchant_id = $1 AND reference = ANY($2::text[])
ORDER BY acquirer, reference;

-- name: announce_deposits
-- What a report says will be paid; one that was paid before its report came keeps what was paid.
INSERT INTO deposits AS d
    (merchant_id, acquirer, file_digest, business_date, updated_at, state, reference, currency,
     value_date, gross_minor, refunds_minor, interchange_minor, scheme_minor, markup_minor,
     adjustments_minor, net_minor)
SELECT $1, $2, $3, $4, $5, 'announced', n.*
FROM unnest($6::text[], $7::text[], $8::date[], $9::bigint[], $10::bigint[], $11::bigint[],
        $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[]) AS n
ON CONFLICT (merchant_id, acquirer, reference) DO UPDATE
SET file_digest = EXCLUDED.file_digest, business_date = EXCLUDED.business_date,
    value_date = EXCLUDED.value_date, gross_minor = EXCLUDED.gross_minor,
    refunds_minor = EXCLUDED.refunds_minor, interchange_minor = EXCLUDED.interchange_minor,
    scheme_minor = EXCLUDED.scheme_minor, markup_minor = EXCLUDED.markup_minor,
    adjustments_minor = EXCLUDED.adjustments_minor, net_minor = EXCLUDED.net_minor,
    updated_at = EXCLUDED.updated_at
WHERE d.state = 'without_report'
RETURNING reference;

-- name: add_adjustments
-- What else a deposit holds: charged back, held in reserve, corrected.
INSERT INTO deposit_adjustments
    (merchant_id, acquirer, reference, number, kind, amount_minor, description)
SELECT $1, $2, n.*
FROM unnest($3::text[], $4::integer[], $5::text[], $6::bigint[], $7::text[]) AS n;

-- name: add_paid_deposits
-- Deposits that the bank has and no report: all we know is what came.
INSERT INTO deposits
    (merchant_id, updated_at, state, gross_minor, refunds_minor, interchange_minor, scheme_minor,
     markup_minor, adjustments_minor, net_minor, acquirer, reference, currency, value_date)
SELECT $1, $2, 'without_report', 0, 0, 0, 0, 0, 0, 0, n.*
FROM unnest($3::text[], $4::text[], $5::text[], $6::date[]) AS n;

-- name: add_deposit_events
-- One row for every change of a deposit.
INSERT INTO deposit_events
    (merchant_id, at, actor, event_id, acquirer, reference, from_state, to_state, cause)
SELECT $1, $2, $3, n.*
FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) AS n;

-- name: move_deposits
-- Deposits' states, and what has come of them so far.
UPDATE deposits AS d
SET state = n.state, paid_minor = n.paid_minor, parts = n.parts, updated_at = $2
FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[])
    AS n (acquirer, reference, state, paid_minor, parts)
WHERE d.merchant_id = $1 AND d.acquirer = n.acquirer AND d.reference = n.reference
  AND (d.state, d.paid_minor, d.parts) IS DISTINCT FROM (n.state, n.paid_minor, n.parts);

-- name: move_paid_movements
-- What a deposit paid for is funded, or settled again when the money went back.
WITH moved AS (
    UPDATE movements AS m SET state = $4, updated_at = $2
    FROM unnest($5::text[], $6::text[]) AS n (acquirer, reference)
    JOIN settlement_lines AS s
        ON s.merchant_id = $1 AND s.acquirer = n.acquirer AND s.reference = n.reference
        AND s.outcome IN ('matched', 'date_shifted')
    WHERE m.merchant_id = $1 AND m.movement_id = s.movement_id AND m.state = $3
    RETURNING m.movement_id, m.payment_id
), history AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT $1, movement_id, gen_random_uuid(), payment_id, $2, $3, $4, $7, 'bank' FROM moved
)
SELECT count(*) AS number FROM moved;

-- name: statements_of_account
-- Statements of an account that were read and cover one of these days, or have this id.
SELECT statement_id, currency, first_day, last_day, opening_minor, closing_minor
FROM bank_statements
WHERE merchant_id = $1 AND account = $2
  AND (statement_id = $3 OR (currency = $4 AND (last_day = $6
    OR (first_day < $6 AND last_day > $5))))
LIMIT 1;

-- name: add_bank_statement
-- One statement of one account.
INSERT INTO bank_statements
    (merchant_id, account, statement_id, currency, file_digest, opening_minor, closing_minor,
     first_day, last_day)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: entries_of_deposits
-- All that the bank booked for these deposits, oldest first.
SELECT e.account, e.statement_id, e.number, e.acquirer, e.reference, e.amount_minor, e.value_on,
    e.outcome
FROM unnest($2::text[], $3::text[]) AS n (acquirer, reference)
JOIN bank_entries AS e
    ON e.merchant_id = $1 AND e.acquirer = n.acquirer AND e.reference = n.reference
ORDER BY e.booked_on, e.statement_id, e.number;

-- name: set_entry_outcomes
-- What entries turned out to be, now that more is known.
UPDATE bank_entries AS e SET outcome = n.outcome
FROM unnest($2::text[], $3::text[], $4::integer[], $5::text[])
    AS n (account, statement_id, number, outcome)
WHERE e.merchant_id = $1 AND e.account = n.account AND e.statement_id = n.statement_id
  AND e.number = n.number;

-- name: statement_gaps
-- Statements of an account that do not open with what the one before closed with.
SELECT statement_id, first_day, opening_minor, before_minor FROM (
    SELECT statement_id, first_day, last_day, opening_minor,
        lag(closing_minor) OVER (ORDER BY first_day, last_day, statement_id) AS before_minor
    FROM bank_statements
    WHERE merchant_id = $1 AND account = $2 AND currency = $3) AS ordered
WHERE opening_minor <> before_minor
ORDER BY first_day LIMIT $4;

-- name: open_gaps
-- The gaps of an account that stand on the list.
SELECT subject FROM findings
WHERE merchant_id = $1 AND kind = 'statement_missing' AND reference = $2 AND state = 'open';

-- name: deposits_not_paid
-- Deposits in a currency that the bank should have booked before a given day.
SELECT acquirer, reference, net_minor, paid_minor, value_date FROM deposits
WHERE merchant_id = $1 AND currency = $2 AND state IN ('announced', 'partly_paid')
  AND value_date < $3
ORDER BY value_date, reference LIMIT $4;
