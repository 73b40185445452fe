-- name: return_origins
-- To which sites a merchant's payment pages may lead back.
SELECT return_origins FROM merchants WHERE merchant_id = $1;

-- name: set_return_origins
-- Change them, with who did so in the list of changes; a repeat changes nothing.
WITH before AS MATERIALIZED (
    SELECT merchant_id, return_origins FROM merchants WHERE merchant_id = $1 FOR UPDATE
), changed AS (
    UPDATE merchants AS m SET return_origins = $2 FROM before AS b
    WHERE m.merchant_id = b.merchant_id AND b.return_origins <> $2
    RETURNING m.merchant_id
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT $3, c.merchant_id, $4, $5, 'return_addresses_set', 'payment pages',
        left(array_to_string(b.return_origins, ' '), 2000), left(array_to_string($2, ' '), 2000)
    FROM changed AS c JOIN before AS b USING (merchant_id)
)
SELECT merchant_id FROM before;

-- name: open_checkout
-- A new checkout with the first row of its history; nothing when its key has one already, or had one
-- that was removed since.
WITH made AS (
    INSERT INTO checkouts (merchant_id, checkout_id, token_hash, idempotency_key, fingerprint,
        link_id, amount_minor, currency, capture, order_number, description, customer_email,
        return_url, cancel_url, expires_at, state, created_at, updated_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'open', $16, $16
    WHERE NOT EXISTS (SELECT FROM checkout_keys_spent AS s
        WHERE s.merchant_id = $1 AND s.idempotency_key = $4)
    ON CONFLICT (merchant_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING *
), told AS (
    INSERT INTO checkout_events
        (merchant_id, checkout_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, checkout_id, $17, created_at, NULL, 'open', 'opened', $18 FROM made
)
SELECT * FROM made;

-- name: checkout_by_id
-- One checkout of a merchant.
SELECT * FROM checkouts WHERE merchant_id = $1 AND checkout_id = $2;

-- name: checkout_by_key
-- The checkout that a merchant's idempotency key has made.
SELECT * FROM checkouts WHERE merchant_id = $1 AND idempotency_key = $2;

-- name: checkout_by_token
-- The checkout of a page's address.
SELECT * FROM checkouts WHERE token_hash = $1;

-- name: checkout_history
-- What became of a checkout, oldest first.
SELECT at, from_state, to_state, cause, actor, payment_id FROM checkout_events
WHERE merchant_id = $1 AND checkout_id = $2 ORDER BY at, event_id LIMIT 200;

-- name: begin_checkout_try
-- One try to pay, by one of all who press the button at once: the row is locked while it is open, not
-- too old ($3), and neither it nor the payer's address ($5) had too many declines ($4; $8 since $7),
-- nor any try since the page was made ($11). A link that may be paid so many times is taken once more
-- in the same step, or nothing is begun.
WITH locked AS MATERIALIZED (
    SELECT merchant_id, checkout_id, link_id FROM checkouts
    WHERE merchant_id = $1 AND checkout_id = $2 AND state = 'open' AND expires_at > $3
      AND declines < $4 AND tries = $11
      AND (SELECT count(*) FROM checkout_declines AS d
        WHERE d.merchant_id = $1 AND d.address_digest = $5 AND d.at > $7) < $8
    FOR UPDATE
), link AS (
    UPDATE payment_links AS l SET taken = l.taken + 1
    FROM locked AS c
    WHERE l.merchant_id = c.merchant_id AND l.link_id = c.link_id AND l.ended_at IS NULL
      AND (l.expires_at IS NULL OR l.expires_at > $3)
      AND (l.times_max IS NULL OR l.taken < l.times_max)
    RETURNING l.link_id
), begun AS (
    UPDATE checkouts AS c
    SET state = 'paying', tries = c.tries + 1, trying_since = $3, updated_at = $3,
        address_digest = $5, customer_email = COALESCE(c.customer_email, $6)
    FROM locked AS o
    WHERE c.merchant_id = o.merchant_id AND c.checkout_id = o.checkout_id
      AND (o.link_id IS NULL OR EXISTS (SELECT FROM link))
    RETURNING c.*
), told AS (
    INSERT INTO checkout_events
        (merchant_id, checkout_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, checkout_id, $9, $3, 'open', 'paying', 'submitted', $10 FROM begun
)
SELECT * FROM begun;

-- name: settle_checkout_try
-- How a try ended, once: paid by its payment, or open again. A link that was not paid is given back.
WITH settled AS (
    UPDATE checkouts
    SET state = $4, payment_id = $5, declines = declines + $6, trying_since = NULL, updated_at = $7
    WHERE merchant_id = $1 AND checkout_id = $2 AND tries = $3 AND state = 'paying'
    RETURNING *
), link AS (
    UPDATE payment_links AS l SET taken = l.taken - 1
    FROM settled AS s
    WHERE l.merchant_id = s.merchant_id AND l.link_id = s.link_id AND s.state <> 'paid'
), declined AS (
    INSERT INTO checkout_declines (merchant_id, checkout_id, try, address_digest, at)
    SELECT merchant_id, checkout_id, tries, address_digest, $7 FROM settled
    WHERE $6::integer > 0 AND address_digest IS NOT NULL
), told AS (
    INSERT INTO checkout_events
        (merchant_id, checkout_id, event_id, at, from_state, to_state, cause, actor, payment_id)
    SELECT merchant_id, checkout_id, $8, $7, 'paying', state, $9, $10, $5 FROM settled
)
SELECT * FROM settled;

-- name: end_checkout
-- An open checkout expires before its time, or is cancelled.
WITH ended AS (
    UPDATE checkouts SET state = $3, updated_at = $4
    WHERE merchant_id = $1 AND checkout_id = $2 AND state = 'open'
    RETURNING *
), told AS (
    INSERT INTO checkout_events
        (merchant_id, checkout_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, checkout_id, $5, $4, 'open', state, $6, $7 FROM ended
)
SELECT * FROM ended;

-- name: expire_checkouts
-- Open checkouts whose time is over, the oldest few; who is being paid just now is left alone.
WITH due AS MATERIALIZED (
    SELECT merchant_id, checkout_id FROM checkouts WHERE state = 'open' AND expires_at <= $1
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE checkouts AS c SET state = 'expired', updated_at = $1 FROM due AS d
    WHERE c.merchant_id = d.merchant_id AND c.checkout_id = d.checkout_id
    RETURNING c.merchant_id, c.checkout_id
)
INSERT INTO checkout_events
    (merchant_id, checkout_id, event_id, at, from_state, to_state, cause, actor)
SELECT merchant_id, checkout_id, gen_random_uuid(), $1, 'open', 'expired', 'time_over', 'worker'
FROM ended
RETURNING checkout_id;

-- name: spent_checkout_key
-- What a key has opened that was removed since.
SELECT fingerprint FROM checkout_keys_spent WHERE merchant_id = $1 AND idempotency_key = $2;

-- name: forget_checkouts
-- Checkouts that ended unpaid before a moment, the oldest few: the row goes, its key stays spent.
WITH due AS MATERIALIZED (
    SELECT merchant_id, checkout_id FROM checkouts
    WHERE state IN ('expired', 'cancelled') AND updated_at < $1
    ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM checkouts AS c USING due AS d
    WHERE c.merchant_id = d.merchant_id AND c.checkout_id = d.checkout_id
    RETURNING c.merchant_id, c.checkout_id, c.idempotency_key, c.fingerprint
), spent AS (
    INSERT INTO checkout_keys_spent (merchant_id, idempotency_key, fingerprint, checkout_id)
    SELECT merchant_id, idempotency_key, fingerprint, checkout_id FROM gone
    WHERE idempotency_key IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT checkout_id FROM gone;

-- name: checkouts_paying
-- Tries under way since before a moment, the oldest few.
SELECT * FROM checkouts WHERE state = 'paying' AND trying_since <= $1
ORDER BY trying_since LIMIT $2;

-- name: declines_of_address
-- How many tries from one address a merchant's payment pages have seen declined since a moment.
SELECT count(*) AS declines FROM checkout_declines
WHERE merchant_id = $1 AND address_digest = $2 AND at > $3;

-- name: forget_checkout_declines
-- Declined tries that count no more.
DELETE FROM checkout_declines WHERE (merchant_id, checkout_id, try) IN (
    SELECT merchant_id, checkout_id, try FROM checkout_declines WHERE at < $1 ORDER BY at LIMIT $2)
RETURNING try;

-- name: keep_shopper_card
-- A card for a shopper's next time.
INSERT INTO shopper_cards
    (merchant_id, token_hash, card_token, brand, last_four, created_at, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: shopper_card
-- The card that a browser's cookie leads to, while it is kept.
SELECT card_token, brand, last_four FROM shopper_cards
WHERE merchant_id = $1 AND token_hash = $2 AND ended_at IS NULL AND ends_at > $3;

-- name: forget_shopper_card
-- The shopper takes it back: the cookie leads nowhere from now on.
UPDATE shopper_cards SET ended_at = $3
WHERE merchant_id = $1 AND token_hash = $2 AND ended_at IS NULL
RETURNING card_token;
