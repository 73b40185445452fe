-- name: add_link
-- A new payment link, with who made it in the list of changes.
WITH made AS (
    INSERT INTO payment_links (merchant_id, link_id, token_hash, description, order_number, currency,
        amount_minor, amount_minor_min, amount_minor_max, times_max, expires_at, created_at,
        created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
    SELECT $14, merchant_id, created_at, created_by, 'payment_link_made', description FROM made
)
SELECT * FROM made;

-- name: link_by_id
-- One payment link of a merchant, and how often it is being paid just now.
SELECT l.*, (SELECT count(*) FROM checkouts AS c WHERE c.merchant_id = l.merchant_id
    AND c.link_id = l.link_id AND c.state = 'paying') AS paying
FROM payment_links AS l WHERE l.merchant_id = $1 AND l.link_id = $2;

-- name: link_by_token
-- The payment link of an address, and how often it is being paid just now.
SELECT l.*, (SELECT count(*) FROM checkouts AS c WHERE c.merchant_id = l.merchant_id
    AND c.link_id = l.link_id AND c.state = 'paying') AS paying
FROM payment_links AS l WHERE l.token_hash = $1;

-- name: links_page
-- A merchant's payment links, newest first, and how often each is being paid just now.
WITH paying AS MATERIALIZED (
    SELECT link_id, count(*) AS times FROM checkouts
    WHERE merchant_id = $1 AND link_id IS NOT NULL AND state = 'paying' GROUP BY link_id
)
SELECT l.*, COALESCE(p.times, 0) AS paying
FROM (
    SELECT * FROM payment_links
    WHERE merchant_id = $1 AND ($2::uuid IS NULL OR link_id < $2) ORDER BY link_id DESC LIMIT $3
) AS l LEFT JOIN paying AS p USING (link_id)
ORDER BY l.link_id DESC;

-- name: end_link
-- Nobody can pay a link any more; who ended it stands in the list of changes.
WITH ended AS (
    UPDATE payment_links SET ended_at = $3
    WHERE merchant_id = $1 AND link_id = $2 AND ended_at IS NULL
    RETURNING *
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
SELECT $4, merchant_id, $3, $5, 'payment_link_ended', description FROM ended
RETURNING event_id;

-- name: payers_of_link
-- Who paid by a link, newest first.
SELECT c.checkout_id, c.amount_minor, c.currency, c.customer_email, c.updated_at, p.payment_id,
    p.confirmation_number, p.card_brand, p.card_last_four, p.state
FROM (
    SELECT * FROM checkouts WHERE merchant_id = $1 AND link_id = $2 AND state = 'paid'
        AND ($3::uuid IS NULL OR checkout_id < $3)
    ORDER BY checkout_id DESC LIMIT $4
) AS c JOIN payments AS p ON p.merchant_id = c.merchant_id AND p.payment_id = c.payment_id
ORDER BY c.checkout_id DESC;
