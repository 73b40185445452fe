-- How a person finds a payment. What is looked for never changes, and an index is written when a
-- payment has come to an answer that it keeps, once, not at each step of the road: what is under way
-- is found by payments_in_flight. payment_id comes last, so that pages are read in its order.

CREATE INDEX payments_by_last_four ON payments (merchant_id, card_last_four, payment_id)
    WHERE state NOT IN ('processing', 'approved');
CREATE INDEX payments_by_amount ON payments (merchant_id, amount_minor, payment_id)
    WHERE state NOT IN ('processing', 'approved');
CREATE INDEX payments_by_approval ON payments (merchant_id, approval_code, payment_id)
    WHERE approval_code IS NOT NULL AND state NOT IN ('processing', 'approved');
CREATE INDEX payments_by_email ON payments (merchant_id, lower(customer_email), payment_id)
    WHERE customer_email IS NOT NULL AND state NOT IN ('processing', 'approved');

-- Of many payments for one order only a page is read, too.
DROP INDEX payments_order;
CREATE INDEX payments_by_order ON payments (merchant_id, order_number, payment_id)
    WHERE order_number IS NOT NULL;
