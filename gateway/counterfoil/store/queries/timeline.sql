-- name: mails_of_payment
-- What was mailed about a payment, oldest first.
SELECT kind, recipient, state, attempts, created_at, sent_at FROM outbox
WHERE merchant_id = $1 AND payment_id = $2 ORDER BY outbox_id LIMIT $3;

-- name: deliveries_of_payment
-- Which webhooks were told of a payment, in the order of the feed; without endpoints none is asked for.
SELECT f.number, f.type, d.state, d.attempts, d.created_at, d.ended_at, e.url
FROM feed AS f
JOIN webhook_endpoints AS e ON e.merchant_id = f.merchant_id
JOIN webhook_deliveries AS d ON d.merchant_id = f.merchant_id
    AND d.endpoint_id = e.endpoint_id AND d.number = f.number
WHERE f.merchant_id = $1 AND f.payment_id = $2
ORDER BY f.number LIMIT $3;

-- name: deposits_of_movements
-- In which deposits the movements of a payment were settled.
SELECT movement_id, acquirer, reference FROM settlement_lines
WHERE merchant_id = $1 AND movement_id = ANY($2::uuid[])
  AND outcome IN ('matched', 'amount_differs', 'date_shifted');

-- name: names_of_actors
-- The names of keys, people and payment links, by how histories name them; only the merchant's own.
SELECT 'key_' || replace(key_id::text, '-', '') AS actor, name FROM api_keys
WHERE merchant_id = $1 AND key_id = ANY($2::uuid[])
UNION ALL
SELECT 'user:' || replace(u.user_id::text, '-', ''), u.name
FROM members AS m JOIN users AS u USING (user_id)
WHERE m.merchant_id = $1 AND m.user_id = ANY($2::uuid[])
UNION ALL
SELECT 'checkout:' || replace(c.checkout_id::text, '-', ''), l.description
FROM checkouts AS c JOIN payment_links AS l USING (merchant_id, link_id)
WHERE c.merchant_id = $1 AND c.checkout_id = ANY($2::uuid[]);
