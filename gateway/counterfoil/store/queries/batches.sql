-- name: begin_close
-- Close an open batch to new traffic and open the next; waits for intents that hold it.
WITH closing AS (
    UPDATE batches
    SET state = 'closing', closing_at = $6, next_try_at = $6, close_cause = $7, close_actor = $8
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = 'open'
    RETURNING merchant_id, acquirer, terminal_id, currency, batch_number
), opened AS (
    INSERT INTO batches
        (merchant_id, acquirer, terminal_id, currency, batch_number, state, opened_at)
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number + 1, 'open', $6 FROM closing
    RETURNING merchant_id, acquirer, terminal_id, currency, batch_number
), history AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor)
    SELECT merchant_id, $9, acquirer, terminal_id, currency, batch_number, $6, 'open', 'closing',
        $7, $8
    FROM closing
    UNION ALL
    SELECT merchant_id, gen_random_uuid(), acquirer, terminal_id, currency, batch_number, $6,
        NULL, 'open', 'opened', $8
    FROM opened
)
SELECT c.batch_number FROM closing AS c, opened AS o;

-- name: batches_to_close
-- Open batches of a merchant that hold anything, opened before a given moment.
SELECT b.acquirer, b.terminal_id, b.currency, b.batch_number, b.opened_at FROM batches AS b
WHERE b.merchant_id = $1 AND b.state = 'open' AND b.opened_at < $2
  AND (EXISTS (SELECT 1 FROM movements AS m
        WHERE m.merchant_id = b.merchant_id AND m.acquirer = b.acquirer
          AND m.terminal_id = b.terminal_id AND m.currency = b.currency
          AND m.batch_number = b.batch_number)
    OR EXISTS (SELECT 1 FROM payments AS p
        WHERE p.merchant_id = b.merchant_id AND p.acquirer = b.acquirer
          AND p.terminal_id = b.terminal_id AND p.currency = b.currency
          AND p.batch_number = b.batch_number AND p.state IN ('processing', 'approved')
          AND p.kind <> 'verification'))
ORDER BY b.acquirer, b.terminal_id, b.currency;

-- name: items_in_batch
-- How many items a batch has or may still get, and whether it takes more.
SELECT (
    SELECT count(*) FROM movements
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5
) + (
    SELECT count(*) FROM payments
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state IN ('processing', 'approved', 'reversing', 'voiding')
      AND kind <> 'verification'
) AS items, EXISTS (
    SELECT 1 FROM batches
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = 'open'
) AS is_open;

-- name: due_batches
-- Batches on their way to being closed whose next step is due. A lease is also over when its
-- process has ended, and when it is ours: who asks leaves out what it has under way.
SELECT merchant_id, acquirer, terminal_id, currency, batch_number FROM batches AS b
WHERE state IN ('closing', 'totalling', 'uploading') AND next_try_at <= $1
  AND (lease_until IS NULL OR lease_until <= $1 OR lease_owner = $4 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = b.lease_owner AND ended.lease_until <= $1))
  AND acquirer = ANY($3::text[])
ORDER BY next_try_at LIMIT $2;

-- name: claim_batch
-- Take the lease on one batch; who comes second gets nothing.
UPDATE batches AS b SET lease_owner = $6, lease_until = $7
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND state IN ('closing', 'totalling', 'uploading')
  AND (lease_until IS NULL OR lease_until <= $8 OR lease_owner = $6 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = b.lease_owner AND ended.lease_until <= $8))
RETURNING *;

-- name: release_batch
-- Hand the lease back and say when to look again.
UPDATE batches SET lease_owner = NULL, lease_until = NULL, next_try_at = $7
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND lease_owner = $6;

-- name: in_flight
-- What a closing batch still waits for: payments without an end, advices not yet accepted.
SELECT (
    SELECT count(*) FROM payments
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state IN ('processing', 'approved', 'reversing', 'voiding')
      AND kind <> 'verification'
) AS payments, (
    SELECT count(*) FROM advices AS a JOIN payments AS p
        ON p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id
    WHERE a.merchant_id = $1 AND p.acquirer = $2 AND p.terminal_id = $3 AND p.currency = $4
      AND a.batch_number = $5 AND a.state = 'owed'
) AS advices;

-- name: batch_reversals
-- What the host counted and took back again (gross), because nobody claimed it: approved sales and
-- forced captures.
SELECT count(*) AS number, COALESCE(sum(authorized_minor), 0)::bigint AS amount_minor
FROM payments
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND kind IN ('sale', 'forced') AND state = 'reversed'
  AND authorized_minor > 0 AND captured_minor = 0;

-- name: batch_credit_reversals
-- The same of credits: what was approved had a time within which it was to be acknowledged.
SELECT count(*) AS number, COALESCE(sum(amount_minor), 0)::bigint AS amount_minor
FROM payments
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND kind = 'credit' AND state IN ('voided', 'reversed')
  AND acknowledge_by IS NOT NULL;

-- name: batch_capture_reversals
-- What voids took out of captures of this batch: how often, how many captures were undone, how much.
SELECT COALESCE(sum(voids), 0)::bigint AS number,
    count(*) FILTER (WHERE state = 'undone') AS undone,
    COALESCE(sum(voided_minor + CASE state WHEN 'undone' THEN amount_minor ELSE 0 END), 0)::bigint
        AS amount_minor
FROM movements
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND kind = 'capture' AND state IN ('pending', 'undone') AND voids > 0;

-- name: batch_authorizations
-- Approved authorizations that carried this batch's number.
SELECT count(*) AS number FROM payments
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND kind = 'authorization' AND authorized_minor > 0;

-- name: batch_sums
-- Counts and amounts of the captures and refunds that stand in a batch, by kind and brand.
SELECT m.kind, p.card_brand AS brand, count(*) AS number,
    sum(m.amount_minor)::bigint AS amount_minor
FROM movements AS m JOIN payments AS p
    ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
WHERE m.merchant_id = $1 AND m.acquirer = $2 AND m.terminal_id = $3 AND m.currency = $4
  AND m.batch_number = $5 AND m.kind IN ('capture', 'refund') AND m.state = 'pending'
GROUP BY m.kind, p.card_brand ORDER BY m.kind, p.card_brand;

-- name: freeze_batch
-- Fix the items and the totals, before the host hears of them.
WITH batch AS (
    UPDATE batches
    SET state = 'totalling', frozen_at = $6, our_totals = $7, next_try_at = $6
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = 'closing' AND lease_owner = $8
    RETURNING *
), items AS (
    INSERT INTO batch_items
        (merchant_id, acquirer, terminal_id, currency, batch_number, item_number, movement_id,
         payment_id, kind, amount_minor, brand)
    SELECT m.merchant_id, m.acquirer, m.terminal_id, m.currency, m.batch_number,
        row_number() OVER (ORDER BY m.movement_id), m.movement_id, m.payment_id, m.kind,
        m.amount_minor, p.card_brand
    FROM batch AS b
    JOIN movements AS m
        ON m.merchant_id = b.merchant_id AND m.acquirer = b.acquirer
        AND m.terminal_id = b.terminal_id AND m.currency = b.currency
        AND m.batch_number = b.batch_number AND m.kind IN ('capture', 'refund')
        AND m.state = 'pending'
    JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
), history AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor)
    SELECT merchant_id, $9, acquirer, terminal_id, currency, batch_number, $6, 'closing',
        'totalling', 'nothing_in_flight', 'worker'
    FROM batch
)
SELECT batch_number FROM batch;

-- name: batch_message
-- A message about a batch that was committed before, if it was.
SELECT * FROM batch_messages
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND attempt = $6 AND step = $7 AND item_number = $8;

-- name: try_batch_message
-- Commit that a message about a batch is about to be written: one try more under one trace number.
INSERT INTO batch_messages AS m
    (merchant_id, acquirer, terminal_id, currency, batch_number, attempt, step, item_number,
     business_day, stan, transmitted_at, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
ON CONFLICT
    (merchant_id, acquirer, terminal_id, currency, batch_number, attempt, step, item_number)
DO UPDATE SET attempts = m.attempts + 1
RETURNING *;

-- name: batch_message_not_sent
-- Not one byte of the last try was written: it is none.
UPDATE batch_messages SET attempts = attempts - 1
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND attempt = $6 AND step = $7 AND item_number = $8
  AND attempts > forgiven;

-- name: batch_message_answered
-- What the host said to it.
UPDATE batch_messages SET response_code = $9, answered_at = $10
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND attempt = $6 AND step = $7 AND item_number = $8;

-- name: items_to_upload
-- Items that the host has not answered for yet in this attempt, with what their message needs.
SELECT i.item_number, i.kind, i.amount_minor, i.movement_id, p.payment_id, p.kind AS payment_kind,
    p.card_token, p.approval_code, p.local_time, m.rrn,
    p.stan AS payment_stan, p.transmitted_at AS payment_transmitted_at,
    a.stan AS advice_stan, a.transmitted_at AS advice_transmitted_at
FROM batch_items AS i
JOIN payments AS p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
JOIN movements AS m ON m.merchant_id = i.merchant_id AND m.movement_id = i.movement_id
LEFT JOIN advices AS a ON a.merchant_id = i.merchant_id AND a.payment_id = i.payment_id
    AND a.movement_id = i.movement_id AND a.kind = i.kind
LEFT JOIN batch_messages AS s
    ON s.merchant_id = i.merchant_id AND s.acquirer = i.acquirer
    AND s.terminal_id = i.terminal_id AND s.currency = i.currency
    AND s.batch_number = i.batch_number AND s.attempt = $6 AND s.step = 'item'
    AND s.item_number = i.item_number
WHERE i.merchant_id = $1 AND i.acquirer = $2 AND i.terminal_id = $3 AND i.currency = $4
  AND i.batch_number = $5 AND s.response_code IS NULL
ORDER BY i.item_number LIMIT $7;

-- name: count_items
-- How many items a frozen batch has.
SELECT count(*) AS number FROM batch_items
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5;

-- name: move_batch
-- A batch's next state, with the host's totals when they are known.
WITH batch AS (
    UPDATE batches
    SET state = $7, host_totals = COALESCE($8, host_totals), next_try_at = $9,
        settlement_date = COALESCE($15, settlement_date)
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = $6 AND lease_owner = $10
    RETURNING *
), history AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor, note)
    SELECT merchant_id, $11, acquirer, terminal_id, currency, batch_number, $9, $6, $7, $12,
        $13, $14
    FROM batch
)
SELECT batch_number FROM batch;

-- name: retry_batch
-- A person lets a batch go on. After a "no" to the question with which it stopped: a new attempt,
-- from the totals on, whose messages all get trace numbers of their own. Else in the state in which
-- it stopped, under the same numbers: the host may have acted on them (no answer), or says that it
-- has closed (00, 94), and is never asked again as if it had not. Tries are counted anew.
WITH stopped AS (
    SELECT b.attempt, e.from_state, COALESCE(m.response_code NOT IN ('00', '94'), false) AS refused
    FROM batches AS b
    JOIN batch_events AS e USING (merchant_id, acquirer, terminal_id, currency, batch_number)
    LEFT JOIN batch_messages AS m
        ON m.merchant_id = b.merchant_id AND m.acquirer = b.acquirer
        AND m.terminal_id = b.terminal_id AND m.currency = b.currency
        AND m.batch_number = b.batch_number AND m.attempt = b.attempt AND m.item_number = 0
        AND m.step = CASE e.from_state WHEN 'totalling' THEN 'totals' WHEN 'uploading' THEN 'final' END
    WHERE b.merchant_id = $1 AND b.acquirer = $2 AND b.terminal_id = $3 AND b.currency = $4
      AND b.batch_number = $5 AND e.to_state = 'needs_a_person'
    ORDER BY e.at DESC, e.event_id DESC LIMIT 1
), batch AS (
    UPDATE batches AS b
    SET state = CASE WHEN s.refused THEN 'totalling' ELSE s.from_state END,
        attempt = b.attempt + s.refused::integer,
        next_try_at = $6, lease_owner = NULL, lease_until = NULL
    FROM stopped AS s
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = 'needs_a_person' AND b.attempt = s.attempt
    RETURNING b.*, s.refused
), forgiven AS (
    UPDATE batch_messages AS m SET forgiven = m.attempts
    FROM batch AS b
    WHERE m.merchant_id = b.merchant_id AND m.acquirer = b.acquirer
      AND m.terminal_id = b.terminal_id AND m.currency = b.currency
      AND m.batch_number = b.batch_number AND m.attempt = b.attempt
), history AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor, note)
    SELECT merchant_id, $8, acquirer, terminal_id, currency, batch_number, $6, 'needs_a_person',
        state, CASE WHEN refused THEN 'begun_anew' ELSE 'retried' END, $7, $9
    FROM batch
)
SELECT state, attempt FROM batch;

-- name: batch_closed
-- Both sides agree: the batch, its movements, their history and the books, in one commit.
WITH batch AS (
    UPDATE batches
    SET state = 'closed', closed_at = $6, host_totals = COALESCE($7, host_totals),
        settlement_date = COALESCE($8, settlement_date), lease_owner = NULL, lease_until = NULL, next_try_at = NULL
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND state = $9
    RETURNING *
), moved AS (
    UPDATE movements AS m SET state = 'batched', updated_at = $6
    FROM batch AS b JOIN batch_items AS i
        USING (merchant_id, acquirer, terminal_id, currency, batch_number)
    WHERE m.merchant_id = i.merchant_id AND m.movement_id = i.movement_id AND m.state = 'pending'
    RETURNING m.merchant_id, m.movement_id, m.payment_id, m.kind, m.amount_minor
), movement_history AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, movement_id, gen_random_uuid(), payment_id, $6, 'pending', 'batched',
        $10, $11
    FROM moved
), history AS (
    INSERT INTO batch_events
        (merchant_id, event_id, acquirer, terminal_id, currency, batch_number, at, from_state,
         to_state, cause, actor, note)
    SELECT merchant_id, $12, acquirer, terminal_id, currency, batch_number, $6, $9, 'closed', $10,
        $11, $15
    FROM batch
), sums AS (
    SELECT merchant_id, kind, sum(amount_minor)::bigint AS amount_minor FROM moved
    GROUP BY merchant_id, kind
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, debit_account, credit_account, amount_minor, currency, cause,
         at, reference)
    SELECT s.merchant_id,
        CASE s.kind WHEN 'capture' THEN $13::uuid ELSE $14::uuid END,
        CASE s.kind WHEN 'capture' THEN 'batched' ELSE 'open' END,
        CASE s.kind WHEN 'capture' THEN 'open' ELSE 'batched' END,
        s.amount_minor, b.currency, 'batch_closed', $6,
        b.terminal_id || '/' || b.currency || '/' || lpad(b.batch_number::text, 6, '0')
    FROM sums AS s JOIN batch AS b USING (merchant_id)
)
SELECT (SELECT count(*) FROM moved) AS items FROM batch;

-- name: batch_by_number
-- One batch, and how many items it has.
SELECT b.*, (
    SELECT count(*) FROM batch_items AS i
    WHERE i.merchant_id = b.merchant_id AND i.acquirer = b.acquirer
      AND i.terminal_id = b.terminal_id AND i.currency = b.currency
      AND i.batch_number = b.batch_number) AS items
FROM batches AS b WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3
  AND currency = $4 AND batch_number = $5;

-- name: batches_page
-- A merchant's batches, newest first.
SELECT b.*, (
    SELECT count(*) FROM batch_items AS i
    WHERE i.merchant_id = b.merchant_id AND i.acquirer = b.acquirer
      AND i.terminal_id = b.terminal_id AND i.currency = b.currency
      AND i.batch_number = b.batch_number) AS items
FROM batches AS b
WHERE merchant_id = $1 AND ($2::text IS NULL OR state = $2)
ORDER BY opened_at DESC, terminal_id, currency, batch_number DESC LIMIT $3;

-- name: items_of_batch
-- The items of a batch with what a report shows of each, and what the host said to its last upload.
SELECT i.item_number, i.kind, i.amount_minor, i.brand, m.rrn, m.state, p.payment_id,
    p.order_number, p.confirmation_number, p.approval_code, p.card_last_four, m.created_at,
    s.response_code AS upload_response
FROM batch_items AS i
JOIN payments AS p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
JOIN movements AS m ON m.merchant_id = i.merchant_id AND m.movement_id = i.movement_id
JOIN batches AS b
    ON b.merchant_id = i.merchant_id AND b.acquirer = i.acquirer
    AND b.terminal_id = i.terminal_id AND b.currency = i.currency
    AND b.batch_number = i.batch_number
LEFT JOIN batch_messages AS s
    ON s.merchant_id = i.merchant_id AND s.acquirer = i.acquirer
    AND s.terminal_id = i.terminal_id AND s.currency = i.currency
    AND s.batch_number = i.batch_number AND s.attempt = b.attempt AND s.step = 'item'
    AND s.item_number = i.item_number
WHERE i.merchant_id = $1 AND i.acquirer = $2 AND i.terminal_id = $3 AND i.currency = $4
  AND i.batch_number = $5
ORDER BY i.item_number LIMIT 10000;

-- name: merchants_at_cutoff
-- Every merchant with its cutoff and when the last one was kept.
SELECT merchant_id, cutoff, timezone, last_cutoff_at FROM merchants
WHERE $1::uuid IS NULL OR merchant_id > $1 ORDER BY merchant_id LIMIT $2;

-- name: keep_cutoff
-- The cutoff at this moment was kept; only one worker gets a row.
UPDATE merchants SET last_cutoff_at = $3
WHERE merchant_id = $1 AND last_cutoff_at = $2
RETURNING merchant_id;

-- name: long_open_batches
-- Open batches with an item that waits too long, those that close for too long or need a person.
SELECT merchant_id, acquirer, terminal_id, currency, batch_number, state, opened_at, closing_at
FROM batches AS b
WHERE (state = 'open' AND EXISTS (
        SELECT 1 FROM movements AS m
        WHERE m.merchant_id = b.merchant_id AND m.acquirer = b.acquirer
          AND m.terminal_id = b.terminal_id AND m.currency = b.currency
          AND m.batch_number = b.batch_number AND m.kind IN ('capture', 'refund')
          AND m.state = 'pending' AND m.created_at <= $1))
   OR (state IN ('closing', 'totalling', 'uploading') AND closing_at <= $2)
   OR state = 'needs_a_person'
ORDER BY opened_at LIMIT 100;
