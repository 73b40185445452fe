-- name: find_by_time
-- Payments between two ids, in the order in which they were made: the newest $5, or ($4) the oldest.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND payment_id > $2 AND payment_id < $3 AND NOT $4::boolean
 ORDER BY payment_id DESC LIMIT $5)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND payment_id > $2 AND payment_id < $3 AND $4::boolean
 ORDER BY payment_id LIMIT $5);

-- name: find_by_last_four
-- Payments with cards that end so, between two ids; those that are under way too.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND card_last_four = $2 AND payment_id > $3 AND payment_id < $4 AND NOT $5::boolean
 ORDER BY payment_id DESC LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND card_last_four = $2 AND payment_id > $3 AND payment_id < $4 AND $5::boolean
 ORDER BY payment_id LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved') AND card_last_four = $2
   AND payment_id > $3 AND payment_id < $4
 LIMIT $6);

-- name: find_by_amount
-- Payments of this amount in minor units, between two ids; those that are under way too.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND amount_minor = $2 AND payment_id > $3 AND payment_id < $4 AND NOT $5::boolean
 ORDER BY payment_id DESC LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND amount_minor = $2 AND payment_id > $3 AND payment_id < $4 AND $5::boolean
 ORDER BY payment_id LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved') AND amount_minor = $2
   AND payment_id > $3 AND payment_id < $4
 LIMIT $6);

-- name: find_by_approval
-- Payments with this approval code, between two ids; those that are under way too.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND approval_code = $2 AND payment_id > $3 AND payment_id < $4 AND NOT $5::boolean
 ORDER BY payment_id DESC LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved') AND approval_code = $2 AND payment_id > $3 AND payment_id < $4 AND $5::boolean
 ORDER BY payment_id LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved') AND approval_code = $2
   AND payment_id > $3 AND payment_id < $4
 LIMIT $6);

-- name: find_by_email
-- Payments of a customer with this e-mail address, between two ids; those that are under way too.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved')
   AND lower(customer_email) = $2 AND payment_id > $3 AND payment_id < $4 AND NOT $5::boolean
 ORDER BY payment_id DESC LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state NOT IN ('processing', 'approved')
   AND lower(customer_email) = $2 AND payment_id > $3 AND payment_id < $4 AND $5::boolean
 ORDER BY payment_id LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND state IN ('processing', 'approved') AND lower(customer_email) = $2
   AND payment_id > $3 AND payment_id < $4
 LIMIT $6);

-- name: find_by_order
-- Payments for this order, between two ids.
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND order_number = $2 AND payment_id > $3 AND payment_id < $4 AND NOT $5::boolean
 ORDER BY payment_id DESC LIMIT $6)
UNION ALL
(SELECT payment_id FROM payments
 WHERE merchant_id = $1 AND order_number = $2 AND payment_id > $3 AND payment_id < $4 AND $5::boolean
 ORDER BY payment_id LIMIT $6);

-- name: find_by_confirmation
-- The payment with this confirmation number.
SELECT payment_id FROM payments
WHERE merchant_id = $1 AND confirmation_number = $2 AND payment_id > $3 AND payment_id < $4;

-- name: find_by_rrn
-- Payments with this retrieval reference number, at whichever of the merchant's terminals.
SELECT p.payment_id FROM terminals AS t JOIN payments AS p
    ON p.merchant_id = t.merchant_id AND p.acquirer = t.acquirer AND p.terminal_id = t.terminal_id
WHERE t.merchant_id = $1 AND p.merchant_id = $1 AND p.rrn = $2 AND p.payment_id > $3
  AND p.payment_id < $4;

-- name: payments_among
-- Of these payments those that are as they were asked for, newest first.
SELECT * FROM payments
WHERE merchant_id = $1 AND payment_id = ANY($2::uuid[])
  AND ($3::text[] IS NULL OR state = ANY($3)) AND ($4::boolean IS NULL OR refunded_minor > 0)
  AND ($5::text IS NULL OR kind = $5) AND ($6::text IS NULL OR card_brand = $6)
  AND ($7::text IS NULL OR currency = $7) AND ($8::text IS NULL OR acquirer = $8)
  AND ($9::timestamptz IS NULL OR created_at >= $9)
  AND ($10::timestamptz IS NULL OR created_at < $10)
  AND ($11::boolean IS NULL
    OR (duplicate_of IS NOT NULL AND session_id LIKE 'terminal:%') = $11)
  AND ($12::text IS NULL OR order_number = $12)
  AND ($13::text IS NULL OR confirmation_number = $13) AND ($14::text IS NULL OR rrn = $14)
ORDER BY payment_id DESC;

-- name: currencies_in_use
-- In which currencies a merchant takes payments: each has an open batch.
SELECT DISTINCT currency FROM batches WHERE merchant_id = $1 AND state = 'open' ORDER BY currency;
