-- name: refused_refund
-- A finding about a refund that was refused, with all that decides what a person may do about it.
SELECT f.kind, f.state, f.resolution, f.amount_minor, f.currency, p.merchant_id, p.payment_id,
    p.state AS payment_state, c.state AS movement_state,
    p.captured_minor - p.refunded_minor - (
        SELECT COALESCE(sum(k.amount_minor), 0) FROM movements AS k
        JOIN advices AS a ON a.merchant_id = k.merchant_id
            AND a.payment_id = k.payment_id AND a.movement_id = k.movement_id
        WHERE k.merchant_id = p.merchant_id AND k.payment_id = p.payment_id
          AND k.kind = 'capture' AND k.state = 'pending'
          AND a.kind = 'capture' AND a.state = 'owed')::bigint AS left_minor,
    (SELECT COALESCE(sum(r.amount_minor), 0) FROM movements AS r
     WHERE r.merchant_id = p.merchant_id AND r.payment_id = p.payment_id AND r.kind = 'refund'
       AND r.idempotency_key IS NOT NULL AND r.state NOT IN ('undone', 'failed')
       AND r.created_at >= (SELECT min(first.opened_at) FROM findings AS first
            WHERE first.merchant_id = f.merchant_id AND first.movement_id = f.movement_id
              AND first.kind = f.kind))::bigint AS by_merchant_minor,
    p.state = 'reversing' AND NOT EXISTS (
        SELECT 1 FROM payment_events AS e
        WHERE e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id
          AND e.cause = 'issuer_approved') AS is_amount_unknown
FROM findings AS f
LEFT JOIN movements AS c ON c.merchant_id = f.merchant_id AND c.movement_id = f.movement_id
LEFT JOIN payments AS p ON p.merchant_id = c.merchant_id AND p.payment_id = c.payment_id
WHERE f.merchant_id = $1 AND f.finding_id = $2;

-- name: end_refused_refund
-- A person ends the finding of a refused refund, owed instead of a void or reversal: it is asked
-- again, in the open batch under a new trace number, or the money went back outside of the acquirer
-- ($9). Where no approval was read, the person may know that less was taken ($8): what was booked
-- too much is taken back first. The finding is resolved with it, so that twice is once.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS finding_id, $3::uuid AS event_id,
        $4::uuid[] AS transfer_ids, $5::timestamptz AS at, $6::text AS actor,
        $7::text AS resolution, $8::bigint AS taken_minor, $9::boolean AS outside
), target AS MATERIALIZED (
    SELECT p.merchant_id, p.payment_id, p.acquirer, p.terminal_id, p.currency,
        p.state AS state_before, c.movement_id, c.batch_number AS own_batch,
        COALESCE(i.taken_minor, c.amount_minor) AS gives_minor,
        c.amount_minor - COALESCE(i.taken_minor, c.amount_minor) AS less_minor, (
            SELECT k.movement_id FROM movements AS k
            WHERE k.merchant_id = p.merchant_id AND k.payment_id = p.payment_id
              AND k.kind = 'capture' AND k.state = 'pending' AND k.amount_minor = c.amount_minor
              AND NOT EXISTS (SELECT 1 FROM batch_items AS b
                WHERE b.merchant_id = k.merchant_id AND b.movement_id = k.movement_id)
            LIMIT 1) AS capture_id,
        p.captured_minor = c.amount_minor AND p.authorized_minor = c.amount_minor
            AND p.refunded_minor = 0 AND p.state = 'reversing' AND NOT EXISTS (
                SELECT 1 FROM payment_events AS e
                WHERE e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id
                  AND e.cause = 'issuer_approved') AS is_amount_unknown
    FROM input AS i
    JOIN findings AS f ON f.merchant_id = i.merchant_id AND f.finding_id = i.finding_id
        AND f.kind = 'refund_refused' AND f.state = 'open'
    JOIN movements AS c ON c.merchant_id = f.merchant_id AND c.movement_id = f.movement_id
        AND c.kind = 'refund' AND c.state = 'failed'
    JOIN payments AS p ON p.merchant_id = c.merchant_id AND p.payment_id = c.payment_id
    WHERE COALESCE(i.taken_minor, c.amount_minor) BETWEEN 1 AND c.amount_minor
      AND p.captured_minor - p.refunded_minor - (
            SELECT COALESCE(sum(k.amount_minor), 0) FROM movements AS k
            JOIN advices AS a ON a.merchant_id = k.merchant_id
                AND a.payment_id = k.payment_id AND a.movement_id = k.movement_id
            WHERE k.merchant_id = p.merchant_id AND k.payment_id = p.payment_id
              AND k.kind = 'capture' AND k.state = 'pending'
              AND a.kind = 'capture' AND a.state = 'owed') >= c.amount_minor
      -- What the merchant gave back by itself meanwhile may be the same money.
      AND NOT EXISTS (
            SELECT 1 FROM movements AS r
            WHERE r.merchant_id = p.merchant_id AND r.payment_id = p.payment_id
              AND r.kind = 'refund' AND r.idempotency_key IS NOT NULL
              AND r.state NOT IN ('undone', 'failed')
              AND r.created_at >= (SELECT min(first.opened_at) FROM findings AS first
                WHERE first.merchant_id = f.merchant_id AND first.movement_id = f.movement_id
                  AND first.kind = f.kind))
    FOR NO KEY UPDATE OF f, p
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM target)
      AND b.state = 'open'
    FOR SHARE OF b
), resolved AS (
    UPDATE findings AS f
    SET state = 'resolved', resolved_at = i.at, resolution = i.resolution
    FROM input AS i, target AS t LEFT JOIN open_batch AS b ON true
    WHERE f.merchant_id = t.merchant_id AND f.finding_id = i.finding_id AND f.state = 'open'
      AND (i.outside OR b.batch_number IS NOT NULL)
      AND (t.less_minor = 0 OR (t.is_amount_unknown AND t.capture_id IS NOT NULL))
    RETURNING t.*, CASE WHEN i.outside THEN t.own_batch ELSE b.batch_number END AS batch_number,
        CASE WHEN i.outside THEN 'done' ELSE 'pending' END AS to_state,
        CASE WHEN i.outside THEN 'returned_outside' ELSE 'refund_again' END AS cause
), moved AS (
    UPDATE payments AS p
    SET version = p.version + 1, changed_by = i.event_id, updated_at = i.at,
        state = CASE WHEN i.outside AND p.state = 'voiding' THEN 'voided'
            WHEN i.outside AND p.state = 'reversing' THEN 'reversed' ELSE p.state END,
        authorized_minor = p.authorized_minor - r.less_minor,
        captured_minor = p.captured_minor - r.less_minor,
        refunded_minor = p.refunded_minor + r.gives_minor
    FROM resolved AS r, input AS i
    WHERE p.merchant_id = r.merchant_id AND p.payment_id = r.payment_id
    RETURNING p.*
), movement AS (
    UPDATE movements AS c
    SET state = CASE c.kind WHEN 'refund' THEN r.to_state ELSE c.state END,
        batch_number = CASE c.kind WHEN 'refund' THEN r.batch_number ELSE c.batch_number END,
        amount_minor = r.gives_minor, updated_at = i.at
    FROM resolved AS r, input AS i
    WHERE c.merchant_id = r.merchant_id
      AND (c.movement_id = r.movement_id OR (c.movement_id = r.capture_id AND r.less_minor > 0))
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, r.state_before, m.state,
        r.cause, i.actor, r.movement_id, r.to_state
    FROM moved AS m, resolved AS r, input AS i
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_ids[1], m.payment_id, r.movement_id, 'refunded',
        CASE WHEN i.outside THEN 'outside' ELSE 'open' END, r.gives_minor, m.currency, r.cause, i.at
    FROM moved AS m, resolved AS r, input AS i
    UNION ALL
    SELECT m.merchant_id, i.transfer_ids[2], m.payment_id, r.capture_id, 'held', 'open',
        r.less_minor, m.currency, r.cause, i.at
    FROM moved AS m, resolved AS r, input AS i WHERE r.less_minor > 0
    UNION ALL
    SELECT m.merchant_id, i.transfer_ids[3], m.payment_id, NULL::uuid, 'issuer', 'held',
        r.less_minor, m.currency, r.cause, i.at
    FROM moved AS m, resolved AS r, input AS i WHERE r.less_minor > 0
), owed AS (
    UPDATE advices AS o
    SET state = 'owed', batch_number = r.batch_number, amount_minor = r.gives_minor,
        business_day = NULL, stan = NULL, transmitted_at = NULL, attempts = 0,
        next_try_at = i.at, response_code = NULL
    FROM resolved AS r, input AS i
    WHERE o.merchant_id = r.merchant_id AND o.payment_id = r.payment_id AND NOT i.outside
      AND o.movement_id = r.movement_id AND o.kind = 'refund' AND o.state = 'refused'
)
SELECT payment_id FROM moved;
