-- name: batches_before
-- A merchant's batches as pages list them, newest first, from one on; each with its latest note.
SELECT b.*, e.note
FROM (
    SELECT * FROM batches
    WHERE merchant_id = $1 AND ($2::text[] IS NULL OR state = ANY($2))
      AND ($3::text IS NULL OR (opened_at, acquirer, terminal_id, currency, batch_number) < (
        SELECT c.opened_at, c.acquirer, c.terminal_id, c.currency, c.batch_number
        FROM batches AS c
        WHERE c.merchant_id = $1 AND c.acquirer = $3 AND c.terminal_id = $4 AND c.currency = $5
          AND c.batch_number = $6))
    ORDER BY opened_at DESC, acquirer DESC, terminal_id DESC, currency DESC, batch_number DESC
    LIMIT $7
) AS b
LEFT JOIN LATERAL (
    SELECT h.note FROM batch_events AS h
    WHERE h.merchant_id = b.merchant_id AND h.acquirer = b.acquirer
      AND h.terminal_id = b.terminal_id AND h.currency = b.currency
      AND h.batch_number = b.batch_number AND h.note IS NOT NULL
    ORDER BY h.at DESC LIMIT 1
) AS e ON true
ORDER BY b.opened_at DESC, b.acquirer DESC, b.terminal_id DESC, b.currency DESC,
    b.batch_number DESC;

-- name: batch_and_note
-- One batch, with its latest note.
SELECT b.*, (
    SELECT e.note FROM batch_events AS e
    WHERE e.merchant_id = b.merchant_id AND e.acquirer = b.acquirer
      AND e.terminal_id = b.terminal_id AND e.currency = b.currency
      AND e.batch_number = b.batch_number AND e.note IS NOT NULL
    ORDER BY e.at DESC LIMIT 1) AS note
FROM batches AS b
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5;

-- name: batch_holds
-- What stands in a batch that is not fixed yet.
SELECT count(*) FILTER (WHERE kind = 'capture') AS captures,
    COALESCE(sum(amount_minor) FILTER (WHERE kind = 'capture'), 0)::bigint AS captures_minor,
    count(*) FILTER (WHERE kind = 'refund') AS refunds,
    COALESCE(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0)::bigint AS refunds_minor
FROM movements
WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
  AND batch_number = $5 AND kind IN ('capture', 'refund') AND state = 'pending';

-- name: batch_items_after
-- Items of a batch that is fixed, from one number on.
SELECT i.item_number, i.kind, i.amount_minor, i.brand, m.rrn, m.state, p.payment_id,
    p.order_number, p.confirmation_number, p.card_last_four, m.created_at
FROM (
    SELECT * FROM batch_items
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND item_number > $6
    ORDER BY item_number LIMIT $7
) AS i
JOIN payments AS p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
JOIN movements AS m ON m.merchant_id = i.merchant_id AND m.movement_id = i.movement_id
ORDER BY i.item_number;

-- name: batch_pending_after
-- What stands in a batch that is not fixed yet, oldest first, from one movement on.
SELECT m.movement_id, m.kind, m.amount_minor, p.card_brand AS brand, m.rrn, m.state, p.payment_id,
    p.order_number, p.confirmation_number, p.card_last_four, m.created_at
FROM (
    SELECT * FROM movements
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5 AND kind IN ('capture', 'refund') AND state = 'pending'
      AND ($6::uuid IS NULL OR movement_id > $6)
    ORDER BY movement_id LIMIT $7
) AS m
JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
ORDER BY m.movement_id;

-- name: batch_history
-- The life of a batch, oldest first, with the person's name where a person did it.
SELECT e.at, e.from_state, e.to_state, e.cause, e.actor, e.note, u.name AS user_name
FROM batch_events AS e
LEFT JOIN users AS u
    ON u.user_id = CASE WHEN e.actor LIKE 'user:%' THEN substr(e.actor, 6)::uuid END
WHERE e.merchant_id = $1 AND e.acquirer = $2 AND e.terminal_id = $3 AND e.currency = $4
  AND e.batch_number = $5
ORDER BY e.at, e.event_id LIMIT 200;

-- name: findings_of_deposit
-- What does not agree about a deposit or one of its lines, still open.
SELECT * FROM findings
WHERE merchant_id = $1 AND state = 'open' AND (reference = $2 OR subject = $3)
ORDER BY opened_at, finding_id LIMIT $4;

-- name: report_days
-- On which of the last days, by the merchant's clock, batches were closed and deposits due.
SELECT day, sum(batches)::integer AS batches, sum(deposits)::integer AS deposits FROM (
    SELECT (closing_at AT TIME ZONE $2)::date AS day, 1 AS batches, 0 AS deposits FROM batches
    WHERE merchant_id = $1 AND closing_at >= $3
    UNION ALL
    SELECT value_date, 0, 1 FROM deposits
    WHERE merchant_id = $1 AND value_date BETWEEN $4::date AND $5::date
) AS found
GROUP BY day ORDER BY day DESC LIMIT 100;
