-- name: lock_payments
-- Lock payments before a statement that reads more of them than their row: always in one order.
SELECT p.payment_id FROM payments AS p
JOIN unnest($1::uuid[], $2::uuid[]) AS n (merchant_id, payment_id) USING (merchant_id, payment_id)
ORDER BY p.merchant_id, p.payment_id
FOR NO KEY UPDATE OF p;

-- name: lock_payment_of_finding
-- Lock the payment that a finding is about, if it is about one, before a statement about both.
SELECT p.payment_id FROM findings AS f
JOIN movements AS c ON c.merchant_id = f.merchant_id AND c.movement_id = f.movement_id
JOIN payments AS p ON p.merchant_id = c.merchant_id AND p.payment_id = c.payment_id
WHERE f.merchant_id = $1 AND f.finding_id = $2
FOR NO KEY UPDATE OF p;

-- name: capture
-- Take part or all of what is held: claim the key, move the payment, put the capture into the open
-- batch. With `is_final` the rest of the hold goes back at once.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id, $9::bigint AS amount_minor,
        $10::boolean AS is_final, $11::uuid AS release_transfer_id, $12::uuid AS release_id,
        $13::integer AS captures_max, $14::timestamptz AS late_until, $15::timestamptz AS at,
        $16::text AS actor
), held AS MATERIALIZED (
    SELECT p.*, p.authorized_minor - p.captured_minor - p.released_minor AS held_minor
    FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.kind = (SELECT 'authorization') AND p.state IN ('authorized', 'captured')
      AND p.hold_until > i.at
    FOR NO KEY UPDATE OF p
), target AS MATERIALIZED (
    SELECT h.*, COALESCE(i.amount_minor, h.held_minor) AS takes_minor,
        CASE WHEN i.is_final THEN h.held_minor - COALESCE(i.amount_minor, h.held_minor)
            ELSE 0 END AS lets_go_minor
    FROM held AS h, input AS i
    WHERE COALESCE(i.amount_minor, h.held_minor) BETWEEN 1 AND h.held_minor
      AND (SELECT count(*) FROM movements AS c
            WHERE c.merchant_id = h.merchant_id AND c.payment_id = h.payment_id
              AND c.kind = 'capture') < i.captures_max
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM target)
      AND b.state = 'open'
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, 'capture', i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id), open_batch
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET state = 'captured', version = p.version + 1, changed_by = i.event_id,
        captured_minor = p.captured_minor + t.takes_minor,
        released_minor = p.released_minor + t.lets_go_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id), target AS t
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state IN ('authorized', 'captured')
    RETURNING p.*
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'capture', 'pending', t.takes_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, target AS t, open_batch AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, t.state, 'captured',
        CASE WHEN i.is_final THEN 'captured_final' ELSE 'captured' END, i.actor, i.movement_id,
        'pending'
    FROM moved AS m, input AS i, target AS t
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'open', 'held',
        t.takes_minor, m.currency, 'captured', i.at
    FROM moved AS m, input AS i, target AS t
    UNION ALL
    SELECT m.merchant_id, i.release_transfer_id, m.payment_id, i.movement_id, 'released', 'held',
        t.lets_go_minor, m.currency, 'captured_final', i.at
    FROM moved AS m, input AS i, target AS t WHERE t.lets_go_minor > 0
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, step, kind, amount_minor,
         taken_back_minor, batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 0, 'capture',
        t.takes_minor, NULL::bigint, b.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, target AS t, open_batch AS b
    UNION ALL
    SELECT m.merchant_id, i.release_id, m.payment_id, NULL::uuid, m.version, 1, 'release',
        m.amount_minor, t.lets_go_minor, m.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, target AS t WHERE t.lets_go_minor > 0
)
SELECT * FROM moved;

-- name: void
-- Take back what the plan says: of the hold, of captures in the open batch, or all of the payment;
-- an undo of everything also refunds what is closed. The plan was made from one version of the
-- payment; whoever comes later makes another.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::text AS operation, $8::integer AS version, $9::text AS to_state,
        $10::bigint AS held_minor, $11::uuid AS transfer_id, $12::integer AS batch_number,
        $13::timestamptz AS late_until, $14::timestamptz AS at, $15::text AS actor,
        $26::bigint AS refund_minor, $27::uuid AS refund_id, $28::uuid AS refund_transfer_id,
        $29::uuid AS refund_advice_id, $30::text AS rrn, $31::date AS business_day,
        $32::integer AS stan
), part AS MATERIALIZED (
    SELECT * FROM unnest($16::uuid[], $17::bigint[], $18::uuid[])
        AS n (capture_id, amount_minor, transfer_id)
), advice AS MATERIALIZED (
    SELECT * FROM unnest($19::uuid[], $20::text[], $21::text[], $22::bigint[], $23::bigint[],
        $24::uuid[], $25::integer[]) WITH ORDINALITY
        AS n (advice_id, kind, reason_code, amount_minor, taken_back_minor, about_id,
            batch_number, step)
), taken AS MATERIALIZED (
    SELECT COALESCE((SELECT sum(amount_minor) FROM part), 0)::bigint AS captured_minor
), target AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.version = i.version AND p.state IN ('authorized', 'captured')
      -- Only what the acquirer has as captured can be given back.
      AND (i.refund_minor = 0 OR i.refund_minor <= p.captured_minor - p.refunded_minor - (
        SELECT captured_minor FROM taken) - (
        SELECT COALESCE(sum(c.amount_minor), 0) FROM movements AS c
        JOIN advices AS a ON a.merchant_id = c.merchant_id
            AND a.payment_id = c.payment_id AND a.movement_id = c.movement_id
        WHERE c.merchant_id = p.merchant_id AND c.payment_id = p.payment_id
          AND c.kind = 'capture' AND c.state = 'pending' AND a.kind = 'capture'
          AND a.state = 'owed' AND c.movement_id NOT IN (SELECT capture_id FROM part)))
    FOR NO KEY UPDATE OF p
), batch_now AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number) IN (
        SELECT t.merchant_id, t.acquirer, t.terminal_id, t.currency, i.batch_number
        FROM target AS t, input AS i)
      AND (b.state = 'open'
        OR (SELECT refund_minor FROM input) = 0 AND NOT EXISTS (SELECT 1 FROM part))
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, i.operation, i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target AS t USING (merchant_id, payment_id), batch_now
    WHERE NOT EXISTS (
        SELECT 1 FROM part AS c LEFT JOIN movements AS m
            ON m.merchant_id = t.merchant_id AND m.movement_id = c.capture_id
            AND m.payment_id = t.payment_id AND m.kind = 'capture' AND m.state = 'pending'
            AND m.amount_minor >= c.amount_minor AND m.batch_number = i.batch_number
        WHERE m.movement_id IS NULL)
      -- What is taken out of a capture is known to the acquirer before more is, or all: if it has
      -- closed the capture's batch, the capture stands and is refunded.
      AND (NOT EXISTS (SELECT 1 FROM part) AND i.to_state <> 'voiding' OR NOT EXISTS (
        SELECT 1 FROM advices AS o
        WHERE o.merchant_id = t.merchant_id AND o.payment_id = t.payment_id
          AND o.state = 'owed' AND o.about_id IS NOT NULL))
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET state = i.to_state, version = p.version + 1, changed_by = i.event_id,
        captured_minor = p.captured_minor - s.captured_minor,
        released_minor = p.released_minor + s.captured_minor + i.held_minor,
        refunded_minor = p.refunded_minor + i.refund_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id), taken AS s
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.version = i.version AND p.state IN ('authorized', 'captured')
    RETURNING p.*
), lowered AS (
    UPDATE movements AS c
    SET state = CASE WHEN c.amount_minor = n.amount_minor THEN 'undone' ELSE 'pending' END,
        undone_by = CASE WHEN c.amount_minor = n.amount_minor THEN i.movement_id END,
        amount_minor = CASE WHEN c.amount_minor = n.amount_minor THEN c.amount_minor
            ELSE c.amount_minor - n.amount_minor END,
        voided_minor = CASE WHEN c.amount_minor = n.amount_minor THEN c.voided_minor
            ELSE c.voided_minor + n.amount_minor END,
        voids = c.voids + 1, updated_at = i.at
    FROM moved AS m, input AS i, part AS n
    WHERE c.merchant_id = m.merchant_id AND c.movement_id = n.capture_id AND c.state = 'pending'
    RETURNING c.merchant_id, c.movement_id, c.payment_id, c.state
), told AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT c.merchant_id, c.movement_id, i.event_id, c.payment_id, i.at, 'pending', 'undone',
        'voided', i.actor
    FROM lowered AS c, input AS i WHERE c.state = 'undone'
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'void', 'pending',
        i.held_minor + s.captured_minor, m.currency, i.idempotency_key, m.acquirer, m.terminal_id,
        b.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, taken AS s, batch_now AS b
    UNION ALL
    SELECT m.merchant_id, i.refund_id, m.payment_id, 'refund', 'pending', i.refund_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, i.rrn, i.at, i.at
    FROM moved AS m, input AS i, batch_now AS b WHERE i.refund_minor > 0
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, t.state, m.state,
        'voided', i.actor, i.movement_id, 'pending'
    FROM moved AS m, input AS i, target AS t
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'released', 'held',
        i.held_minor, m.currency, 'voided', i.at
    FROM moved AS m, input AS i WHERE i.held_minor > 0
    UNION ALL
    SELECT m.merchant_id, n.transfer_id, m.payment_id, i.movement_id, 'released', 'open',
        n.amount_minor, m.currency, 'voided', i.at
    FROM moved AS m, input AS i, part AS n
    UNION ALL
    SELECT m.merchant_id, i.refund_transfer_id, m.payment_id, i.refund_id, 'refunded', 'open',
        i.refund_minor, m.currency, 'refunded', i.at
    FROM moved AS m, input AS i WHERE i.refund_minor > 0
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, step, kind, reason_code,
         amount_minor, taken_back_minor, about_id, batch_number, state, business_day, stan,
         transmitted_at, next_try_at, late_until, created_at)
    SELECT m.merchant_id, a.advice_id, m.payment_id, i.movement_id, m.version, a.step::integer,
        a.kind, a.reason_code, a.amount_minor, a.taken_back_minor, a.about_id, a.batch_number,
        'owed', NULL::date, NULL::integer, NULL::timestamptz, i.at, i.late_until, i.at
    FROM moved AS m, input AS i, advice AS a
    UNION ALL
    SELECT m.merchant_id, i.refund_advice_id, m.payment_id, i.refund_id, m.version,
        (SELECT count(*) FROM advice)::integer + 1, 'refund', NULL::text, i.refund_minor,
        NULL::bigint, NULL::uuid, b.batch_number, 'owed', i.business_day, i.stan, i.at, i.at,
        i.late_until, i.at
    FROM moved AS m, input AS i, batch_now AS b WHERE i.refund_minor > 0
)
SELECT * FROM moved;

-- name: void_credit
-- Take a credit back before its batch closes: it leaves the batch on both sides.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id,
        $9::timestamptz AS late_until, $10::timestamptz AS at, $11::text AS actor,
        $12::text AS operation
), target AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.kind = 'credit' AND p.state = 'captured'
    FOR UPDATE OF p
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number) IN (
        SELECT g.merchant_id, g.acquirer, g.terminal_id, g.currency, g.batch_number
        FROM movements AS g JOIN target AS t USING (merchant_id, payment_id)
        WHERE g.kind = 'refund' AND g.state = 'pending')
      AND b.state = 'open'
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, i.operation, i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id), open_batch
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET state = 'voiding', version = p.version + 1, changed_by = i.event_id,
        refunded_minor = 0, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id AND p.state = 'captured'
    RETURNING p.*
), undone AS (
    UPDATE movements AS g SET state = 'undone', updated_at = i.at
    FROM moved AS m, input AS i
    WHERE g.merchant_id = m.merchant_id AND g.payment_id = m.payment_id AND g.kind = 'refund'
      AND g.state = 'pending'
    RETURNING g.merchant_id, g.movement_id, g.payment_id
), told AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT u.merchant_id, u.movement_id, i.event_id, u.payment_id, i.at, 'pending', 'undone',
        'voided', i.actor
    FROM undone AS u, input AS i
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'void', 'pending', m.amount_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, open_batch AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, 'captured', 'voiding',
        'voided', i.actor, i.movement_id, 'pending'
    FROM moved AS m, input AS i
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'open', 'refunded',
        m.amount_minor, m.currency, 'voided', i.at
    FROM moved AS m, input AS i
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, kind, reason_code,
         amount_minor, batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 'void', '17',
        m.amount_minor, b.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, open_batch AS b
)
SELECT * FROM moved;

-- name: refund
-- Give captured money back, all of what is left or a part: it enters the open batch as a credit.
-- Only what the acquirer has as captured can be given back.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id, $9::bigint AS amount_minor,
        $10::text AS rrn, $11::timestamptz AS late_until, $12::timestamptz AS at,
        $13::text AS actor, $14::date AS business_day, $15::integer AS stan,
        $16::text AS operation
), captured AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state = 'captured'
    FOR NO KEY UPDATE OF p
), target AS MATERIALIZED (
    SELECT p.*, COALESCE(i.amount_minor, p.captured_minor - p.refunded_minor) AS gives_minor
    FROM captured AS p, input AS i
    WHERE COALESCE(i.amount_minor, p.captured_minor - p.refunded_minor) BETWEEN 1
        AND p.captured_minor - p.refunded_minor - (
            SELECT COALESCE(sum(c.amount_minor), 0) FROM movements AS c
            JOIN advices AS a ON a.merchant_id = c.merchant_id
                AND a.payment_id = c.payment_id AND a.movement_id = c.movement_id
            WHERE c.merchant_id = p.merchant_id AND c.payment_id = p.payment_id
              AND c.kind = 'capture' AND c.state = 'pending'
              AND a.kind = 'capture' AND a.state = 'owed')
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM target)
      AND b.state = 'open'
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, i.operation, i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id), open_batch
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET version = p.version + 1, changed_by = i.event_id,
        refunded_minor = p.refunded_minor + t.gives_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id), target AS t
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id AND p.state = 'captured'
    RETURNING p.*
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'refund', 'pending', t.gives_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, i.rrn, i.at, i.at
    FROM moved AS m, input AS i, target AS t, open_batch AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, 'captured', 'captured',
        'refunded', i.actor, i.movement_id, 'pending'
    FROM moved AS m, input AS i
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'refunded', 'open',
        t.gives_minor, m.currency, 'refunded', i.at
    FROM moved AS m, input AS i, target AS t
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, kind, amount_minor,
         batch_number, state, business_day, stan, transmitted_at, next_try_at, late_until,
         created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 'refund',
        t.gives_minor, b.batch_number, 'owed', i.business_day, i.stan, i.at, i.at, i.late_until,
        i.at
    FROM moved AS m, input AS i, target AS t, open_batch AS b
)
SELECT * FROM moved;

-- name: unconfirmed_captures
-- How much of what was captured the acquirer has not accepted yet, and whether it still has to
-- hear of something that was taken out of a capture.
SELECT COALESCE(sum(c.amount_minor) FILTER (WHERE c.state = 'pending'), 0)::bigint
        AS amount_minor,
    COALESCE(bool_or(a.about_id IS NOT NULL), false) AS is_lowered
FROM advices AS a LEFT JOIN movements AS c
    ON c.merchant_id = a.merchant_id AND c.movement_id = a.movement_id AND c.kind = 'capture'
    AND a.kind = 'capture'
WHERE a.merchant_id = $1 AND a.payment_id = $2 AND a.state = 'owed';

-- name: lapsed_holds
-- Authorizations of which something is still held, past the time that issuers hold it; not while
-- the acquirer still has to hear what was taken out of a capture: it may say that the capture stands.
SELECT merchant_id, payment_id FROM payments AS p
WHERE state IN ('authorized', 'captured') AND captured_minor + released_minor < authorized_minor
  AND hold_until <= $1
  AND NOT EXISTS (
    SELECT 1 FROM advices AS o
    WHERE o.merchant_id = p.merchant_id AND o.payment_id = p.payment_id
      AND o.state NOT IN ('accepted', 'refused') AND o.about_id IS NOT NULL)
ORDER BY hold_until LIMIT $2;

-- name: expire
-- The hold has lapsed: what is still held is released, and the acquirer is told.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::uuid AS event_id,
        $4::uuid AS transfer_id, $5::uuid AS advice_id, $6::timestamptz AS late_until,
        $7::timestamptz AS at, $8::text AS actor
), target AS MATERIALIZED (
    SELECT p.*, p.authorized_minor - p.captured_minor - p.released_minor AS held_minor
    FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state IN ('authorized', 'captured') AND p.hold_until <= i.at
      AND p.authorized_minor - p.captured_minor - p.released_minor > 0
      AND NOT EXISTS (
        SELECT 1 FROM advices AS o
        WHERE o.merchant_id = p.merchant_id AND o.payment_id = p.payment_id
          AND o.state NOT IN ('accepted', 'refused') AND o.about_id IS NOT NULL)
    FOR NO KEY UPDATE OF p
), moved AS (
    UPDATE payments AS p
    SET state = CASE t.state WHEN 'authorized' THEN 'expired' ELSE 'captured' END,
        version = p.version + 1, changed_by = i.event_id,
        released_minor = p.released_minor + t.held_minor, updated_at = i.at
    FROM input AS i, target AS t
    WHERE p.merchant_id = t.merchant_id AND p.payment_id = t.payment_id AND p.state = t.state
    RETURNING p.*
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, t.state, m.state, 'expired',
        i.actor
    FROM moved AS m, input AS i, target AS t
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, debit_account, credit_account, amount_minor,
         currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, 'released', 'held', t.held_minor,
        m.currency, 'expired', i.at
    FROM moved AS m, input AS i, target AS t
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, position, kind, amount_minor, taken_back_minor,
         batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, m.version, 'release', m.amount_minor,
        t.held_minor, m.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, target AS t
)
SELECT * FROM moved;
