-- name: ask_terminal_sale
-- What a clerk asks for, with the first row of its history; nothing when it was written before.
WITH asked AS (
    INSERT INTO terminal_sales (merchant_id, sale_id, user_id, digest, kind, entry, amount_minor,
        currency, tax_minor, tip_minor, order_number, description, customer_email, customer_name,
        postal_code, street, voice_approval_code, keep_card, charge_again, refunded_payment_id,
        state, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        $20, 'asked', $21, $21)
    ON CONFLICT DO NOTHING
    RETURNING *
), told AS (
    INSERT INTO terminal_sale_events
        (merchant_id, sale_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, sale_id, $22, created_at, NULL, 'asked', 'submitted', $23 FROM asked
)
SELECT * FROM asked;

-- name: terminal_sale
-- One sale of a merchant.
SELECT * FROM terminal_sales WHERE merchant_id = $1 AND sale_id = $2;

-- name: parts_of_amounts
-- What clerks named as tax and tip in these sales, by the payment that came of each.
SELECT payment_id, tax_minor, tip_minor FROM terminal_sales
WHERE merchant_id = $1 AND sale_id = ANY($2::uuid[]) AND payment_id IS NOT NULL
  AND tax_minor + tip_minor > 0;

-- name: note_terminal_approval
-- The terminal has the approval: from now on whoever goes on with the sale claims it.
WITH noted AS (
    UPDATE terminal_sales SET state = 'approved', payment_id = $3, updated_at = $4
    WHERE merchant_id = $1 AND sale_id = $2 AND state = 'asked'
    RETURNING *
), told AS (
    INSERT INTO terminal_sale_events
        (merchant_id, sale_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, sale_id, $5, $4, 'asked', 'approved', 'issuer_approved', $6 FROM noted
)
SELECT * FROM noted;

-- name: settle_terminal_sale
-- How a sale ended, once.
WITH before AS MATERIALIZED (
    SELECT merchant_id, sale_id, state AS from_state FROM terminal_sales
    WHERE merchant_id = $1 AND sale_id = $2 AND state IN ('asked', 'approved')
    FOR UPDATE
), settled AS (
    UPDATE terminal_sales AS s
    SET state = $3, payment_id = COALESCE($4, s.payment_id), said = $5, updated_at = $6
    FROM before AS b WHERE s.merchant_id = b.merchant_id AND s.sale_id = b.sale_id
    RETURNING s.*
), told AS (
    INSERT INTO terminal_sale_events
        (merchant_id, sale_id, event_id, at, from_state, to_state, cause, actor)
    SELECT s.merchant_id, s.sale_id, $7, $6, b.from_state, s.state, $8, $9
    FROM settled AS s JOIN before AS b USING (merchant_id, sale_id)
)
SELECT * FROM settled;

-- name: terminal_sale_history
-- What became of a sale, oldest first.
SELECT at, from_state, to_state, cause, actor FROM terminal_sale_events
WHERE merchant_id = $1 AND sale_id = $2 ORDER BY at, event_id LIMIT 20;

-- name: answer_terminal_question
-- What the clerk said to "charge again?", once: its row of history has the sale's own id.
INSERT INTO terminal_sale_events
    (merchant_id, sale_id, event_id, at, from_state, to_state, cause, actor)
SELECT merchant_id, sale_id, sale_id, $3, state, state, $4, $5
FROM terminal_sales WHERE merchant_id = $1 AND sale_id = $2
ON CONFLICT DO NOTHING;

-- name: answer_of_terminal_question
-- What was said to it, if anything was.
SELECT cause FROM terminal_sale_events WHERE merchant_id = $1 AND sale_id = $2 AND event_id = $2;

-- name: unfinished_terminal_sales
-- Sales without an end that were begun before a moment, the oldest few.
SELECT * FROM terminal_sales WHERE state IN ('asked', 'approved') AND created_at <= $1
ORDER BY created_at LIMIT $2;

-- name: last_terminal_sales
-- A clerk's own last sales, newest first, with how their payments stand now.
SELECT s.*, p.card_brand, p.card_last_four, p.state AS payment_state, p.kind AS payment_kind,
    p.captured_minor, p.refunded_minor,
    p.duplicate_of IS NOT NULL AND p.session_id LIKE 'terminal:%' AS is_question
FROM terminal_sales AS s LEFT JOIN payments AS p
    ON p.merchant_id = s.merchant_id AND p.payment_id = COALESCE(s.payment_id, s.refunded_payment_id)
WHERE s.merchant_id = $1 AND s.user_id = $2
ORDER BY s.sale_id DESC LIMIT $3;

-- name: currencies_of_merchant
-- Each currency in which a merchant ever had a batch, with how many of its latest $2 payments.
SELECT currency, sum(payments)::bigint AS payments FROM (
    SELECT DISTINCT currency, 0 AS payments FROM batches WHERE merchant_id = $1
    UNION ALL
    SELECT currency, count(*) FROM (
        SELECT currency FROM payments WHERE merchant_id = $1 ORDER BY payment_id DESC LIMIT $2
    ) AS latest GROUP BY currency
) AS taken GROUP BY currency;

-- name: refundable_payments
-- Of a merchant's last payments ($2) those of which something can be given back, newest first.
SELECT * FROM (
    SELECT payment_id, kind, state, amount_minor, currency, captured_minor, refunded_minor,
        card_brand, card_last_four, confirmation_number, order_number, created_at
    FROM payments WHERE merchant_id = $1 ORDER BY payment_id DESC LIMIT $2) AS latest
WHERE state = 'captured' AND kind <> 'credit' AND captured_minor > refunded_minor
ORDER BY payment_id DESC LIMIT $3;

-- name: payments_named
-- The payment with a confirmation number, or the payments of an order, newest first.
SELECT payment_id, kind, state, amount_minor, currency, captured_minor, refunded_minor,
    card_brand, card_last_four, confirmation_number, order_number, created_at
FROM payments WHERE merchant_id = $1 AND confirmation_number = $2
UNION
SELECT payment_id, kind, state, amount_minor, currency, captured_minor, refunded_minor,
    card_brand, card_last_four, confirmation_number, order_number, created_at
FROM payments WHERE merchant_id = $1 AND order_number = $3 AND confirmation_number IS NOT NULL
ORDER BY payment_id DESC LIMIT $4;

-- name: keep_saved_card
-- A card for the customer's next time: the token of the vault, and what may be shown. Nothing when this
-- customer's card is kept already, with the same date.
INSERT INTO saved_cards (merchant_id, card_id, card_token, brand, last_four, expiry_month,
    expiry_year, customer_email, customer_name, created_at, created_by)
SELECT new.merchant_id, $2, new.token, $4, $5, $6, $7, $8, $9, $10, $11
FROM vault_cards AS new
WHERE new.merchant_id = $1 AND new.token = $3 AND NOT EXISTS (
    SELECT 1 FROM saved_cards AS s JOIN vault_cards AS kept
        ON kept.merchant_id = s.merchant_id AND kept.token = s.card_token
    WHERE s.merchant_id = $1 AND s.ended_at IS NULL AND kept.fingerprint = new.fingerprint
      AND (s.expiry_month, s.expiry_year) = ($6, $7)
      AND lower(s.customer_email) IS NOT DISTINCT FROM lower($8)
      AND lower(s.customer_name) IS NOT DISTINCT FROM lower($9))
ON CONFLICT DO NOTHING;

-- name: newest_saved_cards
-- The saved cards that were kept last.
SELECT * FROM saved_cards WHERE merchant_id = $1 AND ended_at IS NULL
ORDER BY card_id DESC LIMIT $2;

-- name: saved_cards
-- The saved cards of customers whose address or name begins with $2, the last kept first; of very
-- many ($4) those that come first by the alphabet. Nothing that begins so comes after $3, byte by
-- byte: a range is read from the index whatever the text is, and LIKE with a parameter is not.
SELECT * FROM saved_cards WHERE merchant_id = $1 AND card_id IN (
    (SELECT card_id FROM saved_cards
     WHERE merchant_id = $1 AND ended_at IS NULL
       AND lower(customer_email) ~>=~ $2 AND lower(customer_email) ~<~ $3
     ORDER BY lower(customer_email) USING ~<~ LIMIT $4)
    UNION
    (SELECT card_id FROM saved_cards
     WHERE merchant_id = $1 AND ended_at IS NULL
       AND lower(customer_name) ~>=~ $2 AND lower(customer_name) ~<~ $3
     ORDER BY lower(customer_name) USING ~<~ LIMIT $4))
ORDER BY card_id DESC LIMIT $5;

-- name: saved_card
-- One saved card, while it is kept.
SELECT * FROM saved_cards WHERE merchant_id = $1 AND card_id = $2 AND ended_at IS NULL;

-- name: forget_saved_card
-- Nobody pays with it any more, and who took it away stays with it.
UPDATE saved_cards SET ended_at = $3, ended_by = $4
WHERE merchant_id = $1 AND card_id = $2 AND ended_at IS NULL
RETURNING card_id;
