-- name: receipt_facts
-- What stands on the receipt of a payment, and who took it. Its key names the clerk's sale, if it is one.
SELECT p.*, m.name AS merchant_name, m.city, m.region, m.country, m.timezone,
    m.email AS merchant_email, s.tax_minor, s.tip_minor, taken.actor AS taken_by
FROM payments AS p
JOIN merchants AS m ON m.merchant_id = p.merchant_id
LEFT JOIN payment_events AS taken
    ON taken.merchant_id = p.merchant_id AND taken.payment_id = p.payment_id AND taken.version = 1
LEFT JOIN terminal_sales AS s
    ON s.merchant_id = p.merchant_id AND s.payment_id = p.payment_id AND s.sale_id =
        CASE WHEN p.idempotency_key ~ '^terminal-[0-9a-f]{32}$'
            THEN substr(p.idempotency_key, 10)::uuid END
WHERE p.merchant_id = $1 AND p.payment_id = $2;

-- name: refunds_on_receipt
-- What was given back of a payment, and stands; oldest first.
SELECT created_at, amount_minor FROM movements
WHERE merchant_id = $1 AND payment_id = $2 AND kind = 'refund' AND state NOT IN ('undone', 'failed')
ORDER BY movement_id LIMIT $3;

-- name: receipt_mails
-- The e-mails of a payment, and what became of each; newest first.
SELECT kind, recipient, state, created_at, sent_at FROM outbox
WHERE merchant_id = $1 AND payment_id = $2
ORDER BY outbox_id DESC LIMIT $3;

-- name: send_receipt_again
-- Owe a receipt once more, and note who asked for it. Nothing while the payment is not decided,
-- beyond $7 copies in all, or beyond $8 since $6. Of two at once, one finds its number taken.
WITH copies AS (
    SELECT count(*) AS ever, count(*) FILTER (WHERE created_at > $6) AS lately
    FROM outbox WHERE merchant_id = $1 AND payment_id = $2 AND kind LIKE 'mail_again_%'
), owed AS (
    INSERT INTO outbox
        (merchant_id, outbox_id, payment_id, kind, recipient, state, next_try_at, created_at)
    SELECT p.merchant_id, $3, p.payment_id, 'mail_again_' || (c.ever + 1), $4, 'owed', $5, $5
    FROM payments AS p CROSS JOIN copies AS c
    WHERE p.merchant_id = $1 AND p.payment_id = $2 AND p.state NOT IN ('processing', 'approved')
      AND c.ever < $7 AND c.lately < $8
    ON CONFLICT (merchant_id, payment_id, kind) DO NOTHING
    RETURNING outbox_id
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT $9, $1, $5, $10, 'receipt_sent', $11, NULL, $4 FROM owed
)
SELECT outbox_id FROM owed;
