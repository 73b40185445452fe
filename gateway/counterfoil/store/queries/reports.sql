-- name: report_batches
-- Batches whose close began between two moments; with $4 also those that are open still.
SELECT b.*, (
    SELECT e.note FROM batch_events AS e
    WHERE e.merchant_id = b.merchant_id AND e.acquirer = b.acquirer
      AND e.terminal_id = b.terminal_id AND e.currency = b.currency
      AND e.batch_number = b.batch_number AND e.note IS NOT NULL
    ORDER BY e.at DESC LIMIT 1) AS note
FROM batches AS b
WHERE b.merchant_id = $1
  AND ((b.closing_at >= $2 AND b.closing_at < $3) OR ($4 AND b.state = 'open'))
ORDER BY b.acquirer, b.terminal_id, b.currency, b.batch_number LIMIT $5;

-- name: report_batch
-- One batch by its name, at whichever of the merchant's acquirers.
SELECT b.*, (
    SELECT e.note FROM batch_events AS e
    WHERE e.merchant_id = b.merchant_id AND e.acquirer = b.acquirer
      AND e.terminal_id = b.terminal_id AND e.currency = b.currency
      AND e.batch_number = b.batch_number AND e.note IS NOT NULL
    ORDER BY e.at DESC LIMIT 1) AS note
FROM batches AS b
WHERE ($1::uuid IS NULL OR b.merchant_id = $1) AND b.terminal_id = $2 AND b.currency = $3
  AND b.batch_number = $4
ORDER BY b.merchant_id, b.acquirer LIMIT 100;

-- name: report_batch_totals
-- What a batch holds by kind and brand: its items, or what stands in it while it has none yet.
SELECT kind, brand, count(*) AS number, sum(amount_minor)::bigint AS amount_minor FROM (
    SELECT kind, brand, amount_minor FROM batch_items
    WHERE merchant_id = $1 AND acquirer = $2 AND terminal_id = $3 AND currency = $4
      AND batch_number = $5
    UNION ALL
    SELECT m.kind, p.card_brand, m.amount_minor FROM movements AS m
    JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
    WHERE $6 AND m.merchant_id = $1 AND m.acquirer = $2 AND m.terminal_id = $3 AND m.currency = $4
      AND m.batch_number = $5 AND m.kind IN ('capture', 'refund') AND m.state = 'pending'
) AS held GROUP BY kind, brand ORDER BY brand, kind;

-- name: report_pending
-- What stands in a batch that has no items yet, oldest first; it gets its numbers when it is fixed.
SELECT NULL::integer AS item_number, m.kind, m.amount_minor, p.card_brand AS brand, m.rrn, m.state,
    p.payment_id, p.order_number, p.confirmation_number, p.approval_code, p.card_last_four,
    m.created_at
FROM movements AS m
JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
WHERE m.merchant_id = $1 AND m.acquirer = $2 AND m.terminal_id = $3 AND m.currency = $4
  AND m.batch_number = $5 AND m.kind IN ('capture', 'refund') AND m.state = 'pending'
ORDER BY m.movement_id LIMIT $6;

-- name: report_deposits
-- Deposits of a day: announced for it, due on it, or booked by the bank on it.
SELECT reference FROM deposits AS d
WHERE merchant_id = $1 AND (business_date = $2 OR value_date = $2 OR EXISTS (
    SELECT 1 FROM bank_entries AS e
    WHERE e.merchant_id = d.merchant_id AND e.acquirer = d.acquirer
      AND e.reference = d.reference AND e.booked_on = $2))
ORDER BY currency, reference LIMIT $3;
