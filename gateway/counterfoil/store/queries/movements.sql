-- name: capture
-- Take what is held: claim the key, move the payment, put the capture into the open batch.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id, $9::bigint AS amount_minor,
        $10::timestamptz AS late_until, $11::timestamptz AS at, $12::text AS actor
), target AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state = 'authorized' AND i.amount_minor = p.authorized_minor
    FOR UPDATE OF p
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
        captured_minor = i.amount_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id AND p.state = 'authorized'
    RETURNING p.*
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'capture', 'pending', i.amount_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, open_batch AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, 'authorized', 'captured',
        'captured', i.actor, i.movement_id, 'pending'
    FROM moved AS m, input AS i
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'open', 'held',
        i.amount_minor, m.currency, 'captured', i.at
    FROM moved AS m, input AS i
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, kind, amount_minor,
         batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 'capture',
        i.amount_minor, b.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, open_batch AS b
)
SELECT * FROM moved;

-- name: void
-- Undo before the batch closes. The capture leaves the batch on both sides, the hold is released.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id,
        $9::timestamptz AS late_until, $10::timestamptz AS at, $11::text AS actor
), target AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state IN ('authorized', 'captured') AND p.refunded_minor = 0
    FOR UPDATE OF p
), batch_now AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number) IN (
        SELECT t.merchant_id, t.acquirer, t.terminal_id, t.currency,
            COALESCE(c.batch_number, t.batch_number)
        FROM target AS t LEFT JOIN movements AS c
            ON c.merchant_id = t.merchant_id AND c.payment_id = t.payment_id
            AND c.kind = 'capture')
      AND (b.state = 'open' OR EXISTS (SELECT 1 FROM target WHERE state = 'authorized'))
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, 'void', i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id), batch_now
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET state = 'voiding', version = p.version + 1, changed_by = i.event_id,
        captured_minor = 0, released_minor = p.authorized_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state IN ('authorized', 'captured')
    RETURNING p.*
), undone AS (
    UPDATE movements AS c SET state = 'undone', updated_at = i.at
    FROM moved AS m, input AS i
    WHERE c.merchant_id = m.merchant_id AND c.payment_id = m.payment_id AND c.kind = 'capture'
      AND c.state = 'pending'
    RETURNING c.merchant_id, c.movement_id, c.payment_id
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
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'void', 'pending', m.authorized_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, batch_now AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, t.state, 'voiding',
        'voided', i.actor, i.movement_id, 'pending'
    FROM moved AS m, input AS i, target AS t
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, i.movement_id, 'released',
        CASE t.state WHEN 'captured' THEN 'open' ELSE 'held' END,
        m.authorized_minor, m.currency, 'voided', i.at
    FROM moved AS m, input AS i, target AS t
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, kind, reason_code,
         amount_minor, batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 'void', '17',
        m.amount_minor, b.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i, batch_now AS b
)
SELECT * FROM moved;

-- name: void_credit
-- Take a credit back before its batch closes: it leaves the batch on both sides.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id,
        $9::timestamptz AS late_until, $10::timestamptz AS at, $11::text AS actor
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
    SELECT i.merchant_id, i.idempotency_key, 'void', i.fingerprint, i.payment_id, i.at
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
-- Give captured money back: it enters the open batch as a credit.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS movement_id, $6::uuid AS event_id,
        $7::uuid AS transfer_id, $8::uuid AS advice_id, $9::bigint AS amount_minor,
        $10::text AS rrn, $11::timestamptz AS late_until, $12::timestamptz AS at,
        $13::text AS actor, $14::date AS business_day, $15::integer AS stan
), target AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state = 'captured' AND p.refunded_minor + i.amount_minor <= p.captured_minor
      AND NOT EXISTS (
        SELECT 1 FROM advices AS a
        WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id
          AND a.kind = 'capture' AND a.state = 'owed')
    FOR UPDATE OF p
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM target)
      AND b.state = 'open'
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, 'refund', i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id), open_batch
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET version = p.version + 1, changed_by = i.event_id,
        refunded_minor = p.refunded_minor + i.amount_minor, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id AND p.state = 'captured'
    RETURNING p.*
), movement AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency,
         idempotency_key, acquirer, terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.movement_id, m.payment_id, 'refund', 'pending', i.amount_minor,
        m.currency, i.idempotency_key, m.acquirer, m.terminal_id, b.batch_number, i.rrn, i.at, i.at
    FROM moved AS m, input AS i, open_batch AS b
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
        i.amount_minor, m.currency, 'refunded', i.at
    FROM moved AS m, input AS i
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, kind, amount_minor,
         batch_number, state, business_day, stan, transmitted_at, next_try_at, late_until,
         created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, i.movement_id, m.version, 'refund',
        i.amount_minor, b.batch_number, 'owed', i.business_day, i.stan, i.at, i.at, i.late_until,
        i.at
    FROM moved AS m, input AS i, open_batch AS b
)
SELECT * FROM moved;

-- name: capture_is_owed
-- Whether a capture waits for the acquirer's word.
SELECT advice_id FROM advices
WHERE merchant_id = $1 AND payment_id = $2 AND kind = 'capture' AND state = 'owed' LIMIT 1;
