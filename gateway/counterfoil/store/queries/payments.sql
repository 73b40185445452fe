-- name: intend
-- Commit what is about to be asked of the network: key, card, payment, message, history.
-- Nothing is written for a key that was seen before, nor for a batch that is no longer open, nor in a
-- quarantine, also if this process has not seen it yet.
-- What screening has refused, and what is a duplicate, is written as declined and never asked.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest((SELECT $1::payment_intent[]))
), open_batch AS MATERIALIZED (
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number
    FROM batches AS b
    WHERE (merchant_id, acquirer, terminal_id, currency, batch_number)
        IN (SELECT merchant_id, acquirer, terminal_id, currency, batch_number FROM input)
      AND state = 'open'
      AND NOT EXISTS (SELECT 1 FROM installation WHERE quarantined_at IS NOT NULL)
    FOR SHARE OF b
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT merchant_id, idempotency_key, 'payment', request_fingerprint, payment_id, at
    FROM input JOIN open_batch USING (merchant_id, acquirer, terminal_id, currency, batch_number)
    ORDER BY merchant_id, idempotency_key
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), guarded AS (
    -- One payment holds the guard; it is free when its time is over or its payment charges nobody.
    INSERT INTO duplicate_guards AS g (merchant_id, digest, payment_id, at, until)
    SELECT DISTINCT ON (merchant_id, guard) merchant_id, guard, payment_id, at, guard_until
    FROM input JOIN claimed USING (merchant_id, payment_id)
    WHERE guard IS NOT NULL AND NOT refused
    ORDER BY merchant_id, guard, payment_id
    ON CONFLICT (merchant_id, digest) DO UPDATE SET (payment_id, at, until) = (
        SELECT holder.payment_id, holder.at, holder.until
        FROM (VALUES (true, EXCLUDED.payment_id, EXCLUDED.at, EXCLUDED.until),
                     (false, g.payment_id, g.at, g.until)
        ) AS holder (if_free, payment_id, at, until)
        WHERE holder.if_free = (g.until <= EXCLUDED.at OR EXISTS (
            SELECT 1 FROM payments AS p
            WHERE p.merchant_id = g.merchant_id AND p.payment_id = g.payment_id
              AND p.state IN ('not_sent', 'declined', 'voiding', 'voided', 'reversing',
                'reversed', 'expired', 'unanswered'))))
    RETURNING g.merchant_id, g.digest, g.payment_id
), decided AS MATERIALIZED (
    SELECT i.*, CASE WHEN g.payment_id <> i.payment_id THEN g.payment_id END AS duplicate_of,
        i.refused OR COALESCE(g.payment_id <> i.payment_id, false) AS stopped
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    LEFT JOIN guarded AS g
        ON g.merchant_id = i.merchant_id AND g.digest = i.guard AND NOT i.refused
), tried AS (
    INSERT INTO screening_marks
        (merchant_id, subject, kind, at, payment_id, weight, amount_minor, currency, never_again)
    SELECT merchant_id, subject, 'try', at, payment_id, 1, amount_minor, currency, false
    FROM decided CROSS JOIN LATERAL unnest(ARRAY[card_try, email_try, address_try]) AS s (subject)
    WHERE NOT stopped AND subject IS NOT NULL
    ON CONFLICT DO NOTHING
), sealed AS (
    INSERT INTO vault_cards
        (merchant_id, token, key_id, nonce, ciphertext, fingerprint, created_at)
    SELECT merchant_id, card_token, key_id, nonce, ciphertext, card_fingerprint, at
    FROM decided
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, to_state, cause, actor)
    SELECT merchant_id, payment_id, 1, event_id, at,
        CASE WHEN stopped THEN 'declined' ELSE 'processing' END,
        CASE WHEN stopped THEN 'screened' ELSE 'requested' END, actor
    FROM decided
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, send_before, content, at)
    SELECT merchant_id, message_id, payment_id, 'sent', mti, acquirer, terminal_id, business_day,
        stan, transmitted_at, send_before, content, at
    FROM decided WHERE NOT stopped
)
INSERT INTO payments
    (merchant_id, payment_id, idempotency_key, kind, state, version, changed_by, amount_minor,
     currency, order_number, description, customer_email, card_token, card_brand, card_bin,
     card_last_four, acquirer, terminal_id, batch_number, business_day, stan, rrn, transmitted_at,
     local_time, process_id, session_id, approval_code, screening, duplicate_of,
     created_at, updated_at)
SELECT merchant_id, payment_id, idempotency_key, kind,
    CASE WHEN stopped THEN 'declined' ELSE 'processing' END, 1, event_id, amount_minor,
    currency, order_number, description, customer_email, card_token, card_brand, card_bin,
    card_last_four, acquirer, terminal_id, batch_number, business_day, stan, rrn, transmitted_at,
    local_time, process_id, session_id, approval_code, screening, duplicate_of, at, at
FROM decided
RETURNING merchant_id, payment_id, state;

-- name: intend_again
-- A payment of which no byte was written is tried again under its own key, with a new trace number;
-- but not if another payment holds the guard of its order meanwhile. What screening refuses by now
-- is declined, and asked no more.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::date[], $7::integer[],
        $8::text[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::uuid[],
        $14::uuid[], $15::uuid[], $16::text[], $17::timestamptz[], $18::timestamptz[], $19::text[],
        $20::bytea[], $21::bytea[], $22::bytea[], $23::bytea[], $24::timestamptz[],
        $25::boolean[], $26::text[]
    ) AS t (
        merchant_id, payment_id, acquirer, terminal_id, batch_number, business_day, stan,
        rrn, transmitted_at, local_time, mti, content, message_id,
        event_id, process_id, session_id, send_before, at, actor, card_try, email_try,
        address_try, guard, guard_until, refused, screening)
), open_batch AS MATERIALIZED (
    SELECT b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number
    FROM batches AS b
    WHERE (merchant_id, acquirer, terminal_id, batch_number)
        IN (SELECT merchant_id, acquirer, terminal_id, batch_number FROM input)
      AND state = 'open'
      AND NOT EXISTS (SELECT 1 FROM installation WHERE quarantined_at IS NOT NULL)
    FOR SHARE OF b
), guarded AS (
    INSERT INTO duplicate_guards AS g (merchant_id, digest, payment_id, at, until)
    SELECT DISTINCT ON (merchant_id, guard) merchant_id, guard, payment_id, at, guard_until
    FROM input WHERE guard IS NOT NULL AND NOT refused
    ORDER BY merchant_id, guard, payment_id
    ON CONFLICT (merchant_id, digest) DO UPDATE SET (payment_id, at, until) = (
        SELECT holder.payment_id, holder.at, holder.until
        FROM (VALUES (true, EXCLUDED.payment_id, EXCLUDED.at, EXCLUDED.until),
                     (false, g.payment_id, g.at, g.until)
        ) AS holder (if_free, payment_id, at, until)
        WHERE holder.if_free = (
            g.payment_id = EXCLUDED.payment_id OR g.until <= EXCLUDED.at OR EXISTS (
                SELECT 1 FROM payments AS p
                WHERE p.merchant_id = g.merchant_id AND p.payment_id = g.payment_id
                  AND p.state IN ('not_sent', 'declined', 'voiding', 'voided', 'reversing',
                    'reversed', 'expired', 'unanswered'))))
    RETURNING g.merchant_id, g.digest, g.payment_id
), moved AS (
    UPDATE payments AS p
    SET state = CASE WHEN i.refused THEN 'declined' ELSE 'processing' END,
        screening = i.screening, version = p.version + 1, changed_by = i.event_id,
        acquirer = i.acquirer, terminal_id = i.terminal_id, batch_number = i.batch_number,
        business_day = i.business_day, stan = i.stan, rrn = i.rrn,
        transmitted_at = i.transmitted_at, local_time = i.local_time,
        process_id = i.process_id, session_id = i.session_id, updated_at = i.at
    FROM input AS i
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id AND p.state = 'not_sent'
      AND (i.refused OR i.guard IS NULL OR EXISTS (
        SELECT 1 FROM guarded AS g
        WHERE g.merchant_id = i.merchant_id AND g.digest = i.guard
          AND g.payment_id = i.payment_id))
      AND EXISTS (
        SELECT 1 FROM open_batch AS b
        WHERE b.merchant_id = i.merchant_id AND b.acquirer = i.acquirer
          AND b.terminal_id = i.terminal_id AND b.batch_number = i.batch_number
          AND b.currency = p.currency)
    RETURNING p.merchant_id, p.payment_id, p.version, p.state, p.amount_minor, p.currency
), tried AS (
    INSERT INTO screening_marks
        (merchant_id, subject, kind, at, payment_id, weight, amount_minor, currency, never_again)
    SELECT merchant_id, subject, 'try', at, payment_id, 1, amount_minor, currency, false
    FROM moved JOIN input USING (merchant_id, payment_id)
    CROSS JOIN LATERAL unnest(ARRAY[card_try, email_try, address_try]) AS s (subject)
    WHERE NOT refused AND subject IS NOT NULL
    ON CONFLICT DO NOTHING
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, payment_id, version, event_id, at, 'not_sent', state,
        CASE WHEN refused THEN 'screened' ELSE 'tried_again' END, actor
    FROM moved JOIN input USING (merchant_id, payment_id)
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, send_before, content, at)
    SELECT merchant_id, message_id, payment_id, 'sent', mti, acquirer, terminal_id, business_day,
        stan, transmitted_at, send_before, content, at
    FROM input JOIN moved USING (merchant_id, payment_id) WHERE NOT refused
)
SELECT merchant_id, payment_id, state FROM moved;

-- name: ask_again
-- A technical "no" was definite: keep it, and ask once more under a new trace number, still processing.
-- The guard is the trace that was answered, so that a second run changes nothing.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::integer[], $4::date[], $5::timestamptz[], $6::text[],
        $7::text[], $8::uuid[], $9::text[], $10::text[], $11::integer[], $12::date[],
        $13::integer[], $14::text[], $15::timestamptz[], $16::text[], $17::text[], $18::text[],
        $19::uuid[], $20::uuid[], $21::timestamptz[], $22::timestamptz[]
    ) AS t (
        merchant_id, payment_id, from_stan, from_day, from_transmitted_at, answer_mti,
        answer_content, answer_id, acquirer, terminal_id, batch_number, business_day,
        stan, rrn, transmitted_at, local_time, mti, content,
        message_id, event_id, send_before, at)
), open_batch AS MATERIALIZED (
    SELECT b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number
    FROM batches AS b
    WHERE (merchant_id, acquirer, terminal_id, batch_number)
        IN (SELECT merchant_id, acquirer, terminal_id, batch_number FROM input)
      AND state = 'open'
    FOR SHARE OF b
), moved AS (
    UPDATE payments AS p
    SET version = p.version + 1, changed_by = i.event_id, batch_number = i.batch_number,
        business_day = i.business_day, stan = i.stan, rrn = i.rrn,
        transmitted_at = i.transmitted_at, local_time = i.local_time, updated_at = i.at
    FROM input AS i
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state = (SELECT 'processing') AND p.acquirer = i.acquirer
      AND p.terminal_id = i.terminal_id
      AND p.business_day = i.from_day AND p.stan = i.from_stan
      AND EXISTS (
        SELECT 1 FROM open_batch AS b
        WHERE b.merchant_id = i.merchant_id AND b.acquirer = i.acquirer
          AND b.terminal_id = i.terminal_id AND b.batch_number = i.batch_number
          AND b.currency = p.currency)
    RETURNING p.merchant_id, p.payment_id, p.version
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, payment_id, version, event_id, at, 'processing', 'processing',
        'asked_again', 'gateway'
    FROM moved JOIN input USING (merchant_id, payment_id)
), answer AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT merchant_id, answer_id, payment_id, 'received', answer_mti, acquirer, terminal_id,
        from_day, from_stan, from_transmitted_at, answer_content, at
    FROM input JOIN moved USING (merchant_id, payment_id)
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, send_before, content, at)
    SELECT merchant_id, message_id, payment_id, 'sent', mti, acquirer, terminal_id, business_day,
        stan, transmitted_at, send_before, content, at
    FROM input JOIN moved USING (merchant_id, payment_id)
)
SELECT merchant_id, payment_id FROM moved;

-- name: conclude
-- Commit what the network said, or that it said nothing: state, history, message, hold, owed reversal.
-- The guard is the trace that was asked: what is said of one try is never said of the next.
-- What was moved brings what it was moved by along, so that nothing is joined again.
WITH moved AS (
    UPDATE payments AS p
    SET state = i.to_state, version = p.version + 1, changed_by = i.event_id,
        authorized_minor = i.authorized_minor,
        response_code = i.response_code,
        approval_code = COALESCE(i.approval_code, p.approval_code),
        avs_result = i.avs_result, cvv_result = i.cvv_result,
        network_transaction_id = i.network_transaction_id, settlement_date = i.settlement_date,
        acknowledge_by = i.acknowledge_by, advice_code = i.advice_code,
        screening = COALESCE(i.screening, p.screening), hold_until = i.hold_until,
        updated_at = i.at
    FROM unnest((SELECT $1::payment_conclusion[])) AS i
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state = (SELECT 'processing')
      AND p.stan = i.stan AND p.transmitted_at = i.transmitted_at
    RETURNING p.*, i.cause, i.mti, i.content, i.message_id, i.transfer_id, i.advice_id,
        i.reason_code, i.late_until, i.mark, i.never_again, i.card_subject, i.email_subject,
        i.address_subject
), marked AS (
    -- A decline counts against the card; an outage takes the try back, as of when that was made:
    -- both leave a window together.
    INSERT INTO screening_marks
        (merchant_id, subject, kind, at, payment_id, weight, amount_minor, currency, never_again)
    SELECT m.merchant_id, s.subject, CASE m.mark WHEN 'outage' THEN 'try' ELSE m.mark END,
        CASE m.mark WHEN 'outage' THEN COALESCE((
            SELECT max(t.at) FROM screening_marks AS t
            WHERE t.merchant_id = m.merchant_id AND t.subject = s.subject AND t.kind = 'try'
              AND t.at >= m.created_at AND t.payment_id = m.payment_id AND t.weight = 1),
            m.updated_at) ELSE m.updated_at END,
        m.payment_id, CASE m.mark WHEN 'outage' THEN -1 ELSE 1 END, m.amount_minor, m.currency,
        m.never_again
    FROM moved AS m
    CROSS JOIN LATERAL
        unnest(ARRAY[m.card_subject, m.email_subject, m.address_subject]) AS s (subject)
    WHERE m.mark IS NOT NULL AND s.subject IS NOT NULL
    ON CONFLICT DO NOTHING
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, payment_id, version, changed_by, updated_at, 'processing', state,
        cause, 'gateway'
    FROM moved
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT merchant_id, message_id, payment_id, 'received', mti, acquirer, terminal_id,
        business_day, stan, transmitted_at, content, updated_at
    FROM moved WHERE mti IS NOT NULL
), held AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, debit_account, credit_account, amount_minor,
         currency, cause, at)
    SELECT merchant_id, transfer_id, payment_id, 'held', 'issuer', authorized_minor,
        currency, cause, updated_at
    FROM moved WHERE authorized_minor > 0
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, position, kind, reason_code, amount_minor,
         batch_number, state, next_try_at, late_until, created_at)
    SELECT merchant_id, advice_id, payment_id, 1, 'reversal', reason_code, amount_minor,
        batch_number, 'owed', updated_at, late_until, updated_at
    FROM moved WHERE state = 'reversing'
)
SELECT merchant_id, payment_id, idempotency_key, kind, state, version, changed_by, amount_minor,
    currency, authorized_minor, captured_minor, released_minor, refunded_minor, order_number,
    description, customer_email, card_token, card_brand, card_bin, card_last_four, acquirer,
    terminal_id, batch_number, business_day, stan, rrn, transmitted_at, local_time,
    process_id, session_id, response_code, approval_code, avs_result, cvv_result,
    network_transaction_id, settlement_date, acknowledge_by, acknowledged_at,
    acknowledged_on_session, confirmation_number, hold_until, created_at, updated_at,
    advice_code, screening, duplicate_of
FROM moved;

-- name: acknowledge
-- The merchant has it: allocate the confirmation number, owe the e-mails, and put what the host
-- took (a sale, a forced capture) or gave (a credit) into the batch that it counted it in.
WITH moved AS (
    UPDATE payments AS p
    SET state = CASE p.kind WHEN 'authorization' THEN 'authorized' ELSE 'captured' END,
        version = p.version + 1, changed_by = i.event_id,
        captured_minor = CASE WHEN p.kind IN ('sale', 'forced') THEN p.authorized_minor ELSE 0 END,
        refunded_minor = CASE p.kind WHEN 'credit' THEN p.amount_minor ELSE 0 END,
        confirmation_number = i.confirmation_number, acknowledged_at = i.at,
        acknowledged_on_session = (p.session_id = i.session_id), updated_at = i.at
    FROM unnest((SELECT $1::payment_acknowledgment[])) AS i
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state = (SELECT 'approved') AND i.at < p.acknowledge_by
    RETURNING p.*, i.actor, i.movement_id, i.transfer_id, i.customer_mail_id, i.merchant_mail_id,
        i.merchant_email
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, payment_id, version, changed_by, updated_at, 'approved', state,
        'acknowledged', actor
    FROM moved
), taken AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency, acquirer,
         terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT merchant_id, movement_id, payment_id,
        CASE kind WHEN 'credit' THEN 'refund' ELSE 'capture' END, 'pending',
        CASE kind WHEN 'credit' THEN refunded_minor ELSE captured_minor END,
        currency, acquirer, terminal_id, batch_number, rrn, updated_at, updated_at
    FROM moved WHERE kind IN ('sale', 'forced', 'credit')
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT merchant_id, transfer_id, payment_id, movement_id,
        CASE kind WHEN 'credit' THEN 'refunded' ELSE 'open' END,
        CASE kind WHEN 'credit' THEN 'open' ELSE 'held' END,
        CASE kind WHEN 'credit' THEN refunded_minor ELSE captured_minor END,
        currency, 'acknowledged', updated_at
    FROM moved WHERE kind IN ('sale', 'forced', 'credit')
), mail AS (
    INSERT INTO outbox
        (merchant_id, outbox_id, payment_id, kind, recipient, state, next_try_at, created_at)
    SELECT m.merchant_id, o.outbox_id, m.payment_id, o.kind, o.recipient, 'owed',
        m.updated_at, m.updated_at
    FROM moved AS m CROSS JOIN LATERAL (VALUES
        (m.merchant_mail_id, 'mail_merchant', m.merchant_email),
        (m.customer_mail_id, 'mail_customer', m.customer_email)) AS o (outbox_id, kind, recipient)
    WHERE o.recipient IS NOT NULL
)
SELECT merchant_id, payment_id, idempotency_key, kind, state, version, changed_by, amount_minor,
    currency, authorized_minor, captured_minor, released_minor, refunded_minor, order_number,
    description, customer_email, card_token, card_brand, card_bin, card_last_four, acquirer,
    terminal_id, batch_number, business_day, stan, rrn, transmitted_at, local_time,
    process_id, session_id, response_code, approval_code, avs_result, cvv_result,
    network_transaction_id, settlement_date, acknowledge_by, acknowledged_at,
    acknowledged_on_session, confirmation_number, hold_until, created_at, updated_at,
    advice_code, screening, duplicate_of
FROM moved;

-- name: reverse
-- Owe the network a reversal: nobody claimed it, somebody refused it, or nobody knows.
-- A verification moves nothing, so nothing is owed: nobody answered it, and that is its end.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[],
        $7::uuid[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[]
    ) AS t (
        merchant_id, payment_id, event_id, from_state, unclaimed_since, cause,
        advice_id, reason_code, late_until, at, actor)
), moved AS (
    UPDATE payments AS p
    SET state = CASE p.kind WHEN 'verification' THEN 'unanswered' ELSE 'reversing' END,
        version = p.version + 1, changed_by = i.event_id, updated_at = i.at
    FROM input AS i
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state = i.from_state
      AND (i.unclaimed_since IS NULL OR p.acknowledge_by <= i.unclaimed_since)
    RETURNING p.*
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, i.from_state, m.state,
        i.cause, i.actor
    FROM moved AS m JOIN input AS i USING (merchant_id, payment_id)
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, position, kind, reason_code, amount_minor,
         batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, 1, 'reversal', i.reason_code, m.amount_minor,
        m.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m JOIN input AS i USING (merchant_id, payment_id)
    WHERE m.state = 'reversing'
)
SELECT * FROM moved;

-- name: undo_approval
-- Reverse an approval that nobody has claimed, under the key of an undo: both, or neither.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS payment_id, $3::text AS idempotency_key,
        $4::bytea AS fingerprint, $5::uuid AS event_id, $6::uuid AS advice_id,
        $7::text AS reason_code, $8::timestamptz AS late_until, $9::timestamptz AS at,
        $10::text AS actor
), target AS MATERIALIZED (
    SELECT p.merchant_id, p.payment_id FROM payments AS p
    JOIN input AS i USING (merchant_id, payment_id)
    WHERE p.state = (SELECT 'approved')
    FOR NO KEY UPDATE OF p
), claimed AS (
    INSERT INTO idempotency_keys
        (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
    SELECT i.merchant_id, i.idempotency_key, 'undo', i.fingerprint, i.payment_id, i.at
    FROM input AS i JOIN target USING (merchant_id, payment_id)
    ON CONFLICT DO NOTHING
    RETURNING merchant_id, payment_id
), moved AS (
    UPDATE payments AS p
    SET state = 'reversing', version = p.version + 1, changed_by = i.event_id, updated_at = i.at
    FROM input AS i JOIN claimed USING (merchant_id, payment_id)
    WHERE p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
      AND p.state = (SELECT 'approved')
    RETURNING p.*
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, 'approved', 'reversing',
        'refused', i.actor
    FROM moved AS m, input AS i
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, position, kind, reason_code, amount_minor,
         batch_number, state, next_try_at, late_until, created_at)
    SELECT m.merchant_id, i.advice_id, m.payment_id, 1, 'reversal', i.reason_code, m.amount_minor,
        m.batch_number, 'owed', i.at, i.late_until, i.at
    FROM moved AS m, input AS i
)
SELECT * FROM moved;

-- name: owe_again
-- The host approves what it had not found when it was asked to reverse it (25), whether that has
-- ended the reversal already or not: it is owed anew, under a new trace number, because a repeat
-- would be answered like the first. Whoever holds its lease loses it: a 25 under way is no end.
WITH target AS MATERIALIZED (
    SELECT p.merchant_id, p.payment_id, p.state, a.advice_id, a.state AS advice_state,
        a.response_code
    FROM terminals AS t
    JOIN payments AS p ON p.merchant_id = t.merchant_id AND p.acquirer = t.acquirer
        AND p.terminal_id = t.terminal_id
    JOIN advices AS a ON a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id
        AND a.kind = 'reversal'
    WHERE t.acquirer = $1 AND t.terminal_id = $2 AND p.rrn = $3 AND p.stan = $4
      AND to_char(p.transmitted_at AT TIME ZONE 'UTC', 'MMDDHH24MISS') = $5
    FOR NO KEY UPDATE OF p, a
), moved AS (
    UPDATE payments AS p
    SET state = 'reversing', version = p.version + 1, changed_by = $6, updated_at = $8
    FROM target AS t
    WHERE p.merchant_id = t.merchant_id AND p.payment_id = t.payment_id
      AND (t.state, t.advice_state) IN (('reversed', 'accepted'), ('reversing', 'owed'))
      AND t.response_code = '25'
    RETURNING p.*
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor)
    SELECT m.merchant_id, m.payment_id, m.version, $6, $8, t.state, 'reversing', 'approved_late',
        'acquirer'
    FROM moved AS m, target AS t
), owed AS (
    UPDATE advices AS a
    SET state = 'owed', response_code = NULL, attempts = 0, denials = 0, business_day = NULL,
        stan = NULL,
        transmitted_at = NULL, next_try_at = $8, lease_owner = NULL, lease_until = NULL,
        late_until = $7
    FROM moved AS m, target AS t
    WHERE a.merchant_id = m.merchant_id AND a.advice_id = t.advice_id
)
SELECT * FROM moved;

-- name: payment_by_id
-- One payment, only its own merchant's.
SELECT * FROM payments WHERE merchant_id = $1 AND payment_id = $2;

-- name: key_by_name
-- What an idempotency key was used for.
SELECT operation, fingerprint, payment_id FROM idempotency_keys
WHERE merchant_id = $1 AND idempotency_key = $2;

-- name: claim_key
-- Note what a key was used for.
INSERT INTO idempotency_keys
    (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING merchant_id;

-- name: fence_key
-- Close a key that was never seen: whoever comes with it later is refused.
INSERT INTO idempotency_keys
    (merchant_id, idempotency_key, operation, fingerprint, payment_id, created_at)
VALUES ($1, $2, 'fence', ''::bytea, NULL, $3)
ON CONFLICT DO NOTHING
RETURNING merchant_id;

-- name: history_of_payment
-- Every change of a payment, oldest first.
SELECT version, at, from_state, to_state, cause, actor, movement_id, movement_state
FROM payment_events WHERE merchant_id = $1 AND payment_id = $2 ORDER BY version LIMIT 1000;

-- name: movement_history_of_payment
-- Every later change of a payment's movements, oldest first.
SELECT movement_id, at, to_state, cause, actor FROM movement_events
WHERE merchant_id = $1 AND payment_id = $2 ORDER BY at LIMIT 1000;

-- name: movements_of_payment
-- The captures, voids and refunds of a payment, oldest first.
SELECT * FROM movements WHERE merchant_id = $1 AND payment_id = $2
ORDER BY movement_id LIMIT 1000;

-- name: placed
-- Where the movements of some payments stand: whether something that was taken or given is in an
-- open batch, so that it can be voided, and how often each was captured.
SELECT m.payment_id, count(*) FILTER (WHERE m.kind = 'capture')::int AS captures,
    bool_or(m.kind IN ('capture', 'refund') AND m.state = 'pending' AND b.state = 'open')
        AS in_open_batch
FROM movements AS m JOIN batches AS b
    USING (merchant_id, acquirer, terminal_id, currency, batch_number)
WHERE m.merchant_id = $1 AND m.payment_id = ANY ($2::uuid[])
GROUP BY m.payment_id;

-- name: messages_of_payment
-- The masked messages of a payment, oldest first.
SELECT direction, mti, stan, transmitted_at, content, at
FROM network_messages WHERE merchant_id = $1 AND payment_id = $2 ORDER BY message_id LIMIT 1000;

-- name: keep_received
-- Keep a message that changes nothing (a late answer), masked, beside the one it answers: trace
-- numbers come again every day, so its transmission time (DE 7) and RRN must be that one's too.
INSERT INTO network_messages
    (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
     stan, transmitted_at, content, at)
SELECT m.merchant_id, $4, m.payment_id, 'received', $5, m.acquirer, m.terminal_id, m.business_day,
    m.stan, m.transmitted_at, $6, $7
FROM network_messages AS m JOIN terminals AS t
    ON t.merchant_id = m.merchant_id AND t.acquirer = m.acquirer AND t.terminal_id = m.terminal_id
WHERE t.acquirer = $1 AND t.terminal_id = $2 AND m.stan = $3 AND m.direction = 'sent'
  AND m.business_day BETWEEN $7::timestamptz::date - 2 AND $7::timestamptz::date + 2
  AND to_char(m.transmitted_at AT TIME ZONE 'UTC', 'MMDDHH24MISS') = $8
  AND m.content::jsonb ->> '37' = $9
ORDER BY m.at DESC LIMIT 1
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: unclaimed_payments
-- Approvals whose time to be acknowledged has passed.
SELECT merchant_id, payment_id FROM payments
WHERE state = 'approved' AND acknowledge_by <= $1 ORDER BY acknowledge_by LIMIT $2;

-- name: unclaimed_page
-- A page of a merchant's approvals that nobody claims: waiting still, or reversed for it.
WITH waiting AS (
    SELECT payment_id, NULL::timestamptz AS reversed_at FROM payments
    WHERE merchant_id = $1 AND state = 'approved' AND ($2::uuid IS NULL OR payment_id < $2)
    ORDER BY payment_id DESC LIMIT $3
), over AS (
    SELECT payment_id, at FROM payment_events
    WHERE merchant_id = $1 AND cause = 'unclaimed' AND ($2::uuid IS NULL OR payment_id < $2)
    ORDER BY payment_id DESC LIMIT $3
)
SELECT p.*, f.reversed_at
FROM (SELECT * FROM waiting UNION ALL SELECT * FROM over) AS f
JOIN payments AS p ON p.merchant_id = $1 AND p.payment_id = f.payment_id
ORDER BY p.payment_id DESC LIMIT $3;

-- name: orphaned_payments
-- Intents without an answer whose process has ended, or that are older than any answer could be.
SELECT p.merchant_id, p.payment_id FROM payments AS p
LEFT JOIN processes AS o ON o.process_id = p.process_id
WHERE p.state = 'processing'
  AND (o.process_id IS NULL OR o.lease_until <= $1 OR p.updated_at <= $2)
ORDER BY p.created_at LIMIT $3;
