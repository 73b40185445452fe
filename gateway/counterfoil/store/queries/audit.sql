-- name: audit_flows
-- What went from each account to each other: the journal, added up.
SELECT merchant_id, currency, debit_account, credit_account, count(*) AS transfers,
    sum(amount_minor)::bigint AS amount_minor
FROM transfers WHERE $1::uuid IS NULL OR merchant_id = $1
GROUP BY merchant_id, currency, debit_account, credit_account;

-- name: audit_movements_by_state
-- How much stands in each state of a capture or refund.
SELECT merchant_id, currency, kind, state, count(*) AS movements,
    sum(amount_minor)::bigint AS amount_minor
FROM movements WHERE ($1::uuid IS NULL OR merchant_id = $1) AND kind IN ('capture', 'refund')
GROUP BY merchant_id, currency, kind, state;

-- name: audit_payment_sums
-- Payments whose columns are not the sums of their transfers.
WITH booked AS (
    SELECT merchant_id, payment_id, currency,
        COALESCE(sum(CASE WHEN credit_account = 'issuer' THEN amount_minor
            WHEN debit_account = 'issuer' THEN -amount_minor END), 0)::bigint AS authorized,
        COALESCE(sum(CASE WHEN debit_account = 'open' AND credit_account IN ('held', 'released')
                THEN amount_minor
            WHEN debit_account IN ('held', 'released') AND credit_account = 'open'
                THEN -amount_minor END), 0)::bigint AS captured,
        COALESCE(sum(CASE WHEN debit_account = 'released' THEN amount_minor
            WHEN credit_account = 'released' THEN -amount_minor END), 0)::bigint AS released,
        COALESCE(sum(CASE WHEN debit_account = 'refunded' THEN amount_minor
            WHEN credit_account = 'refunded' THEN -amount_minor END), 0)::bigint AS refunded
    FROM transfers
    WHERE payment_id IS NOT NULL AND ($1::uuid IS NULL OR merchant_id = $1)
    GROUP BY merchant_id, payment_id, currency
), columns AS (
    SELECT merchant_id, payment_id, currency, authorized_minor, captured_minor, released_minor,
        refunded_minor
    FROM payments WHERE $1::uuid IS NULL OR merchant_id = $1
), differing AS (
    SELECT merchant_id, payment_id, currency,
        COALESCE(authorized_minor, 0) AS authorized_minor, COALESCE(authorized, 0) AS authorized,
        COALESCE(captured_minor, 0) AS captured_minor, COALESCE(captured, 0) AS captured,
        COALESCE(released_minor, 0) AS released_minor, COALESCE(released, 0) AS released,
        COALESCE(refunded_minor, 0) AS refunded_minor, COALESCE(refunded, 0) AS refunded
    FROM columns FULL JOIN booked USING (merchant_id, payment_id, currency)
    WHERE COALESCE(authorized_minor, 0) <> COALESCE(authorized, 0)
       OR COALESCE(captured_minor, 0) <> COALESCE(captured, 0)
       OR COALESCE(released_minor, 0) <> COALESCE(released, 0)
       OR COALESCE(refunded_minor, 0) <> COALESCE(refunded, 0)
)
SELECT d.merchant_id, d.currency,
    'payment pay_' || replace(d.payment_id::text, '-', '') || ', ' || v.word AS subject,
    to_jsonb(v.booked) AS expected, to_jsonb(v.stands) AS found,
    v.stands - v.booked AS difference_minor
FROM differing AS d CROSS JOIN LATERAL (VALUES
    ('authorized', d.authorized_minor, d.authorized), ('captured', d.captured_minor, d.captured),
    ('released', d.released_minor, d.released), ('refunded', d.refunded_minor, d.refunded)
) AS v (word, stands, booked)
WHERE v.stands <> v.booked
ORDER BY d.merchant_id, d.payment_id, v.word LIMIT $2;

-- name: audit_payment_states
-- Payments whose state or version is not what the last row of their history says.
SELECT p.merchant_id, p.currency,
    'payment pay_' || replace(p.payment_id::text, '-', '') AS subject,
    to_jsonb(COALESCE('version ' || last.version || ' ' || last.to_state, 'no history'))
        AS expected,
    to_jsonb('version ' || p.version || ' ' || p.state) AS found, p.amount_minor AS difference_minor
FROM payments AS p
LEFT JOIN payment_events AS e
    ON e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id AND e.version = p.version
    AND e.to_state = p.state AND e.event_id = p.changed_by
LEFT JOIN payment_events AS more
    ON more.merchant_id = p.merchant_id AND more.payment_id = p.payment_id
    AND more.version = p.version + 1
LEFT JOIN LATERAL (
    SELECT version, to_state FROM payment_events AS h
    WHERE h.merchant_id = p.merchant_id AND h.payment_id = p.payment_id
      AND (e.payment_id IS NULL OR more.payment_id IS NOT NULL)
    ORDER BY version DESC LIMIT 1
) AS last ON true
WHERE ($1::uuid IS NULL OR p.merchant_id = $1)
  AND (e.payment_id IS NULL OR more.payment_id IS NOT NULL)
ORDER BY p.merchant_id, p.payment_id LIMIT $2;

-- name: audit_payment_histories
-- Rows of payments' histories that do not begin where the row before ended.
SELECT e.merchant_id, p.currency,
    'payment pay_' || replace(e.payment_id::text, '-', '') || ', version ' || e.version AS subject,
    to_jsonb(COALESCE(e.state_before, 'a first row')) AS expected,
    to_jsonb(COALESCE(e.from_state, 'a first row')) AS found, p.amount_minor AS difference_minor
FROM (
    SELECT merchant_id, payment_id, version, from_state,
        lag(to_state) OVER history AS state_before,
        lag(version, 1, 0) OVER history AS version_before
    FROM payment_events WHERE $1::uuid IS NULL OR merchant_id = $1
    WINDOW history AS (PARTITION BY merchant_id, payment_id ORDER BY version)
) AS e
LEFT JOIN payments AS p ON p.merchant_id = e.merchant_id AND p.payment_id = e.payment_id
WHERE e.from_state IS DISTINCT FROM e.state_before OR e.version <> e.version_before + 1
   OR p.payment_id IS NULL
ORDER BY e.merchant_id, e.payment_id, e.version LIMIT $2;

-- name: audit_payment_facts
-- Payments whose columns contradict their state: amounts, acknowledgment, confirmation number.
SELECT p.merchant_id, p.currency,
    'payment pay_' || replace(p.payment_id::text, '-', '') AS subject,
    to_jsonb(f.due) AS expected, to_jsonb('state ' || p.state) AS found,
    f.difference_minor,
    (SELECT 'The acquirer refused the refund that stands for its void or reversal: '
            || '`counterfoil settlement refund-again` or `returned` of the finding fnd_'
            || replace(f.finding_id::text, '-', '')
        FROM findings AS f JOIN movements AS c USING (merchant_id, movement_id)
        WHERE f.merchant_id = p.merchant_id AND c.payment_id = p.payment_id
          AND f.kind = 'refund_refused' AND f.state = 'open'
        ORDER BY f.opened_at LIMIT 1) AS next_step
FROM (
    SELECT * FROM payments
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND NOT CASE
        WHEN state = 'captured' AND kind <> 'credit' THEN authorized_minor = amount_minor
            AND captured_minor > 0
            AND (kind = 'authorization' OR captured_minor + released_minor = authorized_minor)
            AND acknowledged_at IS NOT NULL AND confirmation_number IS NOT NULL
        WHEN state IN ('declined', 'processing', 'not_sent', 'verified', 'unanswered')
            THEN authorized_minor = 0
            AND captured_minor = 0 AND released_minor = 0 AND acknowledged_at IS NULL
            AND confirmation_number IS NULL
        ELSE false END
) AS p CROSS JOIN LATERAL (VALUES
    ('an authorized amount of ' || p.amount_minor,
        p.state IN ('approved', 'authorized', 'captured', 'voiding', 'voided', 'expired')
            AND p.kind <> 'credit' AND p.authorized_minor <> p.amount_minor
            AND (p.response_code IS DISTINCT FROM '10'
                OR p.authorized_minor NOT BETWEEN 1 AND p.amount_minor),
        p.authorized_minor - p.amount_minor),
    ('nothing authorized',
        (p.state IN ('processing', 'not_sent', 'declined', 'verified', 'unanswered')
            OR p.kind = 'credit') AND p.authorized_minor <> 0,
        p.authorized_minor),
    ('something captured',
        p.state = 'captured' AND p.kind <> 'credit' AND p.captured_minor = 0, -p.amount_minor),
    ('all of it given',
        p.state = 'captured' AND p.kind = 'credit' AND p.refunded_minor <> p.amount_minor,
        p.refunded_minor - p.amount_minor),
    ('nothing captured that was not refunded',
        p.state <> 'captured' AND p.captured_minor <> p.refunded_minor,
        p.captured_minor - p.refunded_minor),
    ('all of it released or refunded',
        p.state IN ('voiding', 'voided', 'reversed', 'expired')
            AND p.released_minor + p.refunded_minor <> p.authorized_minor,
        p.released_minor + p.refunded_minor - p.authorized_minor),
    ('all of a sale captured or released',
        p.state = 'captured' AND p.kind IN ('sale', 'forced')
            AND p.captured_minor + p.released_minor <> p.authorized_minor,
        p.captured_minor + p.released_minor - p.authorized_minor),
    ('nothing released before its end',
        p.state IN ('processing', 'not_sent', 'declined', 'approved') AND p.released_minor <> 0,
        p.released_minor),
    ('acknowledged, with a confirmation number',
        p.state IN ('authorized', 'captured', 'voiding', 'voided', 'expired')
            AND (p.acknowledged_at IS NULL OR p.confirmation_number IS NULL)
            -- The acquirer's batch was closed before a credit that nobody claimed was taken back.
            AND NOT (p.kind = 'credit' AND EXISTS (
                SELECT 1 FROM payment_events AS e
                WHERE e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id
                  AND e.cause = 'host_batch_closed')), p.amount_minor),
    ('neither acknowledged nor confirmed',
        p.state NOT IN ('authorized', 'captured', 'voiding', 'voided', 'expired')
            AND (p.acknowledged_at IS NOT NULL OR p.confirmation_number IS NOT NULL),
        p.amount_minor)
) AS f (due, broken, difference_minor)
WHERE f.broken
ORDER BY p.merchant_id, p.payment_id LIMIT $2;

-- name: audit_movement_sums
-- Payments whose captured or refunded amount is not the sum of their captures or refunds.
WITH moved AS (
    SELECT merchant_id, payment_id, currency,
        COALESCE(sum(amount_minor) FILTER (
            WHERE kind = 'capture' AND state NOT IN ('undone', 'failed')), 0)::bigint AS captured,
        COALESCE(sum(amount_minor) FILTER (
            WHERE kind = 'refund' AND state NOT IN ('undone', 'failed')), 0)::bigint AS refunded
    FROM movements WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, payment_id, currency
), columns AS (
    SELECT merchant_id, payment_id, currency, captured_minor, refunded_minor FROM payments
    WHERE $1::uuid IS NULL OR merchant_id = $1
), differing AS (
    SELECT merchant_id, payment_id, currency,
        COALESCE(captured_minor, 0) AS captured_minor, COALESCE(captured, 0) AS captured,
        COALESCE(refunded_minor, 0) AS refunded_minor, COALESCE(refunded, 0) AS refunded
    FROM columns FULL JOIN moved USING (merchant_id, payment_id, currency)
    WHERE COALESCE(captured_minor, 0) <> COALESCE(captured, 0)
       OR COALESCE(refunded_minor, 0) <> COALESCE(refunded, 0)
)
SELECT d.merchant_id, d.currency,
    'payment pay_' || replace(d.payment_id::text, '-', '') || ', ' || v.word AS subject,
    to_jsonb(v.stands) AS expected, to_jsonb(v.moved) AS found,
    v.moved - v.stands AS difference_minor
FROM differing AS d CROSS JOIN LATERAL (VALUES
    ('captured', d.captured_minor, d.captured), ('refunded', d.refunded_minor, d.refunded)
) AS v (word, stands, moved)
WHERE v.stands <> v.moved
ORDER BY d.merchant_id, d.payment_id, v.word LIMIT $2;

-- name: audit_acknowledged_without_capture
-- Sales and forced captures that were acknowledged and have no capture: the merchant delivers and
-- is not paid.
SELECT p.merchant_id, p.currency,
    'payment pay_' || replace(p.payment_id::text, '-', '') AS subject,
    to_jsonb('a capture'::text) AS expected, to_jsonb('none'::text) AS found,
    -p.amount_minor AS difference_minor
FROM payments AS p
LEFT JOIN movements AS m
    ON m.merchant_id = p.merchant_id AND m.payment_id = p.payment_id AND m.kind = 'capture'
WHERE ($1::uuid IS NULL OR p.merchant_id = $1)
  AND p.kind IN ('sale', 'forced') AND p.acknowledged_at IS NOT NULL AND m.movement_id IS NULL
ORDER BY p.merchant_id, p.payment_id LIMIT $2;

-- name: audit_not_charged_with_capture
-- Payments that were declined, reversed or voided and have a capture that nobody refunded.
SELECT m.merchant_id, m.currency,
    'payment pay_' || replace(m.payment_id::text, '-', '') || ', ' || p.state AS subject,
    to_jsonb('no capture that stands'::text) AS expected,
    to_jsonb('a capture of ' || m.amount_minor || ', ' || m.state) AS found,
    m.amount_minor AS difference_minor,
    (SELECT 'The acquirer refused the refund that stands for its void or reversal: '
            || '`counterfoil settlement refund-again` or `returned` of the finding fnd_'
            || replace(f.finding_id::text, '-', '')
        FROM findings AS f JOIN movements AS c USING (merchant_id, movement_id)
        WHERE f.merchant_id = m.merchant_id AND c.payment_id = m.payment_id
          AND f.kind = 'refund_refused' AND f.state = 'open'
        ORDER BY f.opened_at LIMIT 1) AS next_step
FROM movements AS m
JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
WHERE ($1::uuid IS NULL OR m.merchant_id = $1)
  AND m.kind = 'capture' AND p.state <> 'captured'
  AND (m.state NOT IN ('undone', 'failed')
    OR p.state NOT IN ('voiding', 'voided', 'authorized', 'expired'))
  AND (p.captured_minor = 0 OR p.captured_minor <> p.refunded_minor)
ORDER BY m.merchant_id, m.payment_id LIMIT $2;

-- name: audit_stranded_payments
-- Payments and movements for which nobody does anything any more: no advice is owed, or the time
-- within which the sweep ends them is over since before $3.
WITH advised AS (
    SELECT merchant_id, payment_id, movement_id, bool_or(state = 'owed') AS is_owed
    FROM advices WHERE state IN ('owed', 'accepted') AND ($1::uuid IS NULL OR merchant_id = $1)
    GROUP BY merchant_id, payment_id, movement_id
), owing AS (
    SELECT DISTINCT merchant_id, payment_id FROM advised WHERE is_owed
), stranded AS (
    SELECT p.merchant_id, p.payment_id, p.currency, p.state AS what, p.amount_minor,
        CASE p.state WHEN 'processing' THEN 'an end within minutes'
            WHEN 'approved' THEN 'an acknowledgment, or a reversal'
            ELSE 'an advice that is owed' END AS due,
        CASE p.state WHEN 'approved' THEN p.acknowledge_by ELSE p.updated_at END AS since
    FROM payments AS p
    LEFT JOIN owing AS o ON o.merchant_id = p.merchant_id AND o.payment_id = p.payment_id
    WHERE ($1::uuid IS NULL OR p.merchant_id = $1) AND CASE p.state
        WHEN 'processing' THEN p.updated_at < $3::timestamptz
        WHEN 'approved' THEN p.acknowledge_by < $3
        WHEN 'reversing' THEN o.payment_id IS NULL
        WHEN 'voiding' THEN o.payment_id IS NULL
        ELSE false END
    UNION ALL
    SELECT m.merchant_id, m.payment_id, m.currency, m.kind || ' mov_'
        || replace(m.movement_id::text, '-', '') || ', pending', m.amount_minor,
        'an advice that is owed or accepted', m.updated_at
    FROM movements AS m
    JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
    LEFT JOIN advised AS a ON a.merchant_id = m.merchant_id AND a.movement_id = m.movement_id
    WHERE ($1::uuid IS NULL OR m.merchant_id = $1) AND m.state = 'pending'
      AND a.movement_id IS NULL
      AND ((m.kind = 'refund' AND p.kind <> 'credit')
        OR (m.kind = 'capture' AND p.kind = 'authorization' AND p.state = 'captured'))
)
SELECT merchant_id, currency,
    'payment pay_' || replace(payment_id::text, '-', '') || ', ' || what AS subject,
    to_jsonb(due) AS expected,
    to_jsonb('none since ' || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
        AS found,
    amount_minor AS difference_minor,
    (SELECT 'The acquirer refused the refund that stands for its void or reversal: '
            || '`counterfoil settlement refund-again` or `returned` of the finding fnd_'
            || replace(f.finding_id::text, '-', '')
        FROM findings AS f JOIN movements AS c USING (merchant_id, movement_id)
        WHERE f.merchant_id = stranded.merchant_id AND c.payment_id = stranded.payment_id
          AND f.kind = 'refund_refused' AND f.state = 'open'
        ORDER BY f.opened_at LIMIT 1) AS next_step
FROM stranded ORDER BY merchant_id, payment_id, what LIMIT $2;

-- name: audit_outbox
-- Confirmed payments of which merchant or customer was never to be told.
SELECT p.merchant_id, p.currency,
    'payment pay_' || replace(p.payment_id::text, '-', '') AS subject,
    to_jsonb(CASE WHEN m.outbox_id IS NULL THEN 'an e-mail to the merchant'
        ELSE 'an e-mail to the customer' END) AS expected,
    to_jsonb('none'::text) AS found, p.amount_minor AS difference_minor
FROM payments AS p
LEFT JOIN outbox AS m ON m.merchant_id = p.merchant_id AND m.payment_id = p.payment_id
    AND m.kind = 'mail_merchant'
LEFT JOIN outbox AS c ON c.merchant_id = p.merchant_id AND c.payment_id = p.payment_id
    AND c.kind = 'mail_customer'
WHERE ($1::uuid IS NULL OR p.merchant_id = $1) AND p.confirmation_number IS NOT NULL
  AND (m.outbox_id IS NULL OR (p.customer_email IS NOT NULL AND c.outbox_id IS NULL))
ORDER BY p.merchant_id, p.payment_id LIMIT $2;

-- name: audit_batch_items
-- Items of batches that are not what their movement is.
SELECT i.merchant_id, i.currency,
    i.terminal_id || '/' || i.currency || '/' || lpad(i.batch_number::text, 6, '0') || ' item '
        || i.item_number AS subject,
    to_jsonb(COALESCE(m.kind || ' ' || m.amount_minor || ' ' || m.currency || ', ' || m.state
        || ' in batch ' || m.batch_number, 'no such movement')) AS expected,
    to_jsonb(i.kind || ' ' || i.amount_minor || ' ' || i.currency || ' in a batch that is '
        || COALESCE(b.state, 'not there')) AS found,
    CASE i.kind WHEN 'refund' THEN -i.amount_minor ELSE i.amount_minor END
        - CASE WHEN m.amount_minor IS NULL OR (m.kind = i.kind AND m.amount_minor = i.amount_minor)
            THEN 0 WHEN m.kind = 'refund' THEN -m.amount_minor ELSE m.amount_minor END
        AS difference_minor
FROM batch_items AS i
LEFT JOIN batches AS b
    ON b.merchant_id = i.merchant_id AND b.acquirer = i.acquirer AND b.terminal_id = i.terminal_id
    AND b.currency = i.currency AND b.batch_number = i.batch_number
LEFT JOIN movements AS m ON m.merchant_id = i.merchant_id AND m.movement_id = i.movement_id
WHERE ($1::uuid IS NULL OR i.merchant_id = $1) AND (
    m.movement_id IS NULL OR b.batch_number IS NULL OR m.payment_id <> i.payment_id
    OR m.kind <> i.kind OR m.amount_minor <> i.amount_minor OR m.currency <> i.currency
    OR m.acquirer <> i.acquirer OR m.terminal_id <> i.terminal_id
    OR m.batch_number <> i.batch_number
    OR (b.state = 'closed' AND m.state NOT IN ('batched', 'settled', 'funded'))
    OR (b.state <> 'closed' AND m.state <> 'pending'))
ORDER BY i.merchant_id, i.terminal_id, i.batch_number, i.item_number LIMIT $2;

-- name: audit_left_out_of_batches
-- Captures and refunds that should be an item of a batch and are not.
SELECT m.merchant_id, m.currency,
    m.kind || ' mov_' || replace(m.movement_id::text, '-', '') || ', ' || m.state AS subject,
    to_jsonb('an item of ' || m.terminal_id || '/' || m.currency || '/'
        || lpad(m.batch_number::text, 6, '0')) AS expected,
    to_jsonb('none, the batch is ' || COALESCE(b.state, 'not there')) AS found,
    CASE m.kind WHEN 'refund' THEN m.amount_minor ELSE -m.amount_minor END AS difference_minor
FROM movements AS m
LEFT JOIN batch_items AS i
    ON i.merchant_id = m.merchant_id AND i.movement_id = m.movement_id
LEFT JOIN batches AS b
    ON b.merchant_id = m.merchant_id AND b.acquirer = m.acquirer AND b.terminal_id = m.terminal_id
    AND b.currency = m.currency AND b.batch_number = m.batch_number
WHERE ($1::uuid IS NULL OR m.merchant_id = $1) AND m.kind IN ('capture', 'refund')
  AND i.movement_id IS NULL
  AND (m.state IN ('batched', 'settled', 'funded')
    OR (m.state = 'pending' AND (b.state IS NULL OR b.state NOT IN ('open', 'closing'))))
ORDER BY m.merchant_id, m.movement_id LIMIT $2;

-- name: audit_batch_totals
-- Batches whose totals, ours or the acquirer's, are not the sum of their items.
-- A void of a part is a reversal more, and no item less.
WITH standing AS (
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number, 1 AS number,
        CASE kind WHEN 'refund' THEN -amount_minor ELSE amount_minor END AS net_minor
    FROM batch_items WHERE $1::uuid IS NULL OR merchant_id = $1
    UNION ALL
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number,
        CASE state WHEN 'undone' THEN 1 ELSE 0 END - voids, 0
    FROM movements
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND kind = 'capture' AND voids > 0
      AND state <> 'failed'
), items AS (
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number, sum(number)::bigint AS number,
        sum(net_minor)::bigint AS net_minor
    FROM standing GROUP BY merchant_id, acquirer, terminal_id, currency, batch_number
), sides AS (
    SELECT b.merchant_id, b.acquirer, b.terminal_id, b.currency, b.batch_number, s.side,
        s.totals::jsonb AS totals
    FROM batches AS b CROSS JOIN LATERAL (VALUES
        ('our totals', b.our_totals, b.state NOT IN ('open', 'closing')),
        ('the acquirer''s totals', b.host_totals, b.state = 'closed' AND NOT EXISTS (
            SELECT 1 FROM batch_events AS e
            WHERE e.merchant_id = b.merchant_id AND e.acquirer = b.acquirer
              AND e.terminal_id = b.terminal_id AND e.currency = b.currency
              AND e.batch_number = b.batch_number AND e.to_state = 'closed'
              AND e.cause = 'by_hand'))
    ) AS s (side, totals, compared)
    WHERE s.compared AND ($1::uuid IS NULL OR b.merchant_id = $1)
), sums AS (
    SELECT *,
        (totals->>'debits_minor')::bigint - (totals->>'debit_reversals_minor')::bigint
            - (totals->>'credits_minor')::bigint + (totals->>'credit_reversals_minor')::bigint
            AS net_minor,
        (totals->>'debits')::bigint - (totals->>'debit_reversals')::bigint
            + (totals->>'credits')::bigint - (totals->>'credit_reversals')::bigint AS number
    FROM sides
)
SELECT s.merchant_id, s.currency,
    s.terminal_id || '/' || s.currency || '/' || lpad(s.batch_number::text, 6, '0') || ', '
        || s.side AS subject,
    to_jsonb(COALESCE(i.number, 0) || ' items, ' || COALESCE(i.net_minor, 0)) AS expected,
    to_jsonb(COALESCE(s.number || ' items, ' || s.net_minor, 'none')) AS found,
    COALESCE(s.net_minor, 0) - COALESCE(i.net_minor, 0) AS difference_minor
FROM sums AS s
LEFT JOIN items AS i USING (merchant_id, acquirer, terminal_id, currency, batch_number)
WHERE (COALESCE(i.number, 0), COALESCE(i.net_minor, 0))
    IS DISTINCT FROM (s.number, s.net_minor)
ORDER BY s.merchant_id, s.terminal_id, s.currency, s.batch_number LIMIT $2;

-- name: audit_batch_journal
-- Closed batches whose transfers into the journal are not the sum of their items.
WITH items AS (
    SELECT i.merchant_id, i.currency,
        i.terminal_id || '/' || i.currency || '/' || lpad(i.batch_number::text, 6, '0') AS reference,
        sum(CASE i.kind WHEN 'refund' THEN -i.amount_minor ELSE i.amount_minor END)::bigint
            AS net_minor
    FROM batch_items AS i
    JOIN batches AS b USING (merchant_id, acquirer, terminal_id, currency, batch_number)
    WHERE b.state = 'closed' AND ($1::uuid IS NULL OR i.merchant_id = $1)
    GROUP BY i.merchant_id, i.currency, i.terminal_id, i.batch_number
), booked AS (
    SELECT merchant_id, currency, COALESCE(reference, 'without a reference') AS reference,
        sum(CASE debit_account WHEN 'batched' THEN amount_minor ELSE -amount_minor END)::bigint
            AS net_minor
    FROM transfers
    WHERE ($1::uuid IS NULL OR merchant_id = $1)
      AND ((debit_account = 'batched' AND credit_account = 'open')
        OR (debit_account = 'open' AND credit_account = 'batched'))
    GROUP BY merchant_id, currency, COALESCE(reference, 'without a reference')
)
SELECT merchant_id, currency, reference AS subject,
    to_jsonb(COALESCE(i.net_minor, 0)) AS expected, to_jsonb(COALESCE(j.net_minor, 0)) AS found,
    COALESCE(j.net_minor, 0) - COALESCE(i.net_minor, 0) AS difference_minor
FROM items AS i FULL JOIN booked AS j USING (merchant_id, currency, reference)
WHERE COALESCE(i.net_minor, 0) <> COALESCE(j.net_minor, 0)
ORDER BY merchant_id, reference LIMIT $2;

-- name: audit_batch_states
-- Batches that are not in the state their history led to, or that need a person.
WITH history AS (
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number,
        array_agg(from_state) AS left_states, array_agg(to_state) AS reached
    FROM batch_events WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, acquirer, terminal_id, currency, batch_number
), judged AS (
    SELECT b.*,
        cardinality(array_positions(h.reached, b.state)) AS times_reached,
        cardinality(array_positions(h.left_states, b.state)) AS times_left
    FROM batches AS b
    LEFT JOIN history AS h USING (merchant_id, acquirer, terminal_id, currency, batch_number)
    WHERE $1::uuid IS NULL OR b.merchant_id = $1
), items AS (
    SELECT merchant_id, acquirer, terminal_id, currency, batch_number,
        sum(CASE kind WHEN 'refund' THEN -amount_minor ELSE amount_minor END)::bigint AS net_minor
    FROM batch_items WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, acquirer, terminal_id, currency, batch_number
)
SELECT j.merchant_id, j.currency,
    j.terminal_id || '/' || j.currency || '/' || lpad(j.batch_number::text, 6, '0') AS subject,
    to_jsonb(CASE j.state WHEN 'needs_a_person' THEN 'totals on which both sides agree'
        ELSE 'the state that its history led to' END) AS expected,
    to_jsonb('state ' || j.state) AS found, COALESCE(i.net_minor, 0) AS difference_minor
FROM judged AS j
LEFT JOIN items AS i USING (merchant_id, acquirer, terminal_id, currency, batch_number)
WHERE j.state = 'needs_a_person'
   OR CASE j.state
        WHEN 'open' THEN COALESCE(j.times_left, 0) <> 0
        ELSE COALESCE(j.times_reached, 0) - COALESCE(j.times_left, 0) <> 1 END
ORDER BY j.merchant_id, j.terminal_id, j.currency, j.batch_number LIMIT $2;

-- name: audit_movement_states
-- Captures and refunds that are not in the state their history led to.
WITH history AS (
    SELECT e.merchant_id, e.movement_id,
        sum((e.to_state = m.state)::integer - (e.from_state = m.state)::integer) AS times
    FROM movement_events AS e
    JOIN movements AS m ON m.merchant_id = e.merchant_id AND m.movement_id = e.movement_id
    WHERE $1::uuid IS NULL OR e.merchant_id = $1
    GROUP BY e.merchant_id, e.movement_id
)
SELECT m.merchant_id, m.currency,
    m.kind || ' mov_' || replace(m.movement_id::text, '-', '') AS subject,
    to_jsonb('the state that its history led to'::text) AS expected,
    to_jsonb('state ' || m.state) AS found,
    CASE m.kind WHEN 'refund' THEN -m.amount_minor ELSE m.amount_minor END AS difference_minor
FROM movements AS m
LEFT JOIN history AS h ON h.merchant_id = m.merchant_id AND h.movement_id = m.movement_id
WHERE ($1::uuid IS NULL OR m.merchant_id = $1) AND m.kind IN ('capture', 'refund')
  AND CASE
    WHEN m.state IN ('batched', 'settled', 'funded') THEN COALESCE(h.times, 0) <> 1
    WHEN m.state = 'pending' THEN COALESCE(h.times, 0) <> 0
    -- What failed, or was undone, may be told by the payment's history instead.
    ELSE COALESCE(h.times, 0) NOT IN (0, 1) END
ORDER BY m.merchant_id, m.movement_id LIMIT $2;

-- name: audit_settled_movements
-- Captures and refunds whose state is not what the acquirer's report and the bank say of them.
SELECT m.merchant_id, m.currency,
    m.kind || ' mov_' || replace(m.movement_id::text, '-', '') AS subject,
    to_jsonb(CASE
        WHEN l.movement_id IS NULL THEN 'batched: no line of a report names it'
        WHEN d.state IN ('funded', 'overpaid') THEN 'funded: deposit ' || l.reference || ' is paid'
        ELSE 'settled: deposit ' || l.reference || ' is ' || COALESCE(d.state, 'not there')
        END) AS expected,
    to_jsonb('state ' || m.state) AS found,
    CASE m.kind WHEN 'refund' THEN -m.amount_minor ELSE m.amount_minor END AS difference_minor
FROM movements AS m
LEFT JOIN settlement_lines AS l
    ON l.merchant_id = m.merchant_id AND l.movement_id = m.movement_id
    AND l.outcome IN ('matched', 'date_shifted')
LEFT JOIN deposits AS d
    ON d.merchant_id = l.merchant_id AND d.acquirer = l.acquirer AND d.reference = l.reference
WHERE ($1::uuid IS NULL OR m.merchant_id = $1)
  AND (l.movement_id IS NOT NULL OR m.state IN ('settled', 'funded'))
  AND m.state <> CASE
    WHEN l.movement_id IS NULL THEN 'batched'
    WHEN d.state IN ('funded', 'overpaid') THEN 'funded' ELSE 'settled' END
ORDER BY m.merchant_id, m.movement_id LIMIT $2;

-- name: audit_settlement_lines
-- Lines of reports that were matched with something that is not the same.
SELECT l.merchant_id, l.currency,
    'report of deposit ' || l.reference || ', line ' || l.line AS subject,
    to_jsonb(COALESCE(m.kind || ' ' || CASE m.kind WHEN 'refund' THEN -m.amount_minor
        ELSE m.amount_minor END || ' ' || m.currency || ', RRN ' || m.rrn, 'no such movement'))
        AS expected,
    to_jsonb(l.kind || ' ' || l.amount_minor || ' ' || l.currency || ', RRN ' || l.rrn) AS found,
    l.amount_minor - COALESCE(
        CASE m.kind WHEN 'refund' THEN -m.amount_minor ELSE m.amount_minor END, 0)
        AS difference_minor
FROM settlement_lines AS l
LEFT JOIN movements AS m ON m.merchant_id = l.merchant_id AND m.movement_id = l.movement_id
WHERE ($1::uuid IS NULL OR l.merchant_id = $1) AND l.outcome IN ('matched', 'date_shifted')
  AND (m.movement_id IS NULL OR m.kind <> l.kind OR m.currency <> l.currency OR m.rrn <> l.rrn
    OR m.terminal_id <> l.terminal_id OR m.acquirer <> l.acquirer
    OR CASE m.kind WHEN 'refund' THEN -m.amount_minor ELSE m.amount_minor END <> l.amount_minor)
ORDER BY l.merchant_id, l.reference, l.line LIMIT $2;

-- name: audit_deposit_sums
-- Deposits that are not the sum of the report's lines and adjustments.
WITH lines AS (
    SELECT merchant_id, acquirer, reference, currency,
        COALESCE(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0)::bigint AS gross,
        COALESCE(-sum(amount_minor) FILTER (WHERE amount_minor < 0), 0)::bigint AS refunds,
        sum(interchange_minor)::bigint AS interchange, sum(scheme_minor)::bigint AS scheme,
        sum(markup_minor)::bigint AS markup
    FROM settlement_lines WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, acquirer, reference, currency
), adjusted AS (
    SELECT merchant_id, acquirer, reference, sum(amount_minor)::bigint AS adjustments
    FROM deposit_adjustments WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, acquirer, reference
), announced AS (
    SELECT * FROM deposits WHERE $1::uuid IS NULL OR merchant_id = $1
)
SELECT merchant_id, currency, 'deposit ' || reference || ', ' || v.word AS subject,
    to_jsonb(COALESCE(v.summed, 0)) AS expected, to_jsonb(COALESCE(v.stands, 0)) AS found,
    COALESCE(v.stands, 0) - COALESCE(v.summed, 0) AS difference_minor
FROM announced AS d
FULL JOIN lines AS l USING (merchant_id, acquirer, reference, currency)
LEFT JOIN adjusted AS a USING (merchant_id, acquirer, reference)
CROSS JOIN LATERAL (VALUES
    ('gross', d.gross_minor, l.gross), ('refunds', d.refunds_minor, l.refunds),
    ('interchange', d.interchange_minor, l.interchange), ('scheme fees', d.scheme_minor, l.scheme),
    ('markup', d.markup_minor, l.markup),
    ('adjustments', d.adjustments_minor, a.adjustments),
    ('net', CASE WHEN d.state <> 'without_report' THEN d.net_minor END,
        CASE WHEN d.state <> 'without_report' THEN
            COALESCE(l.gross, 0) - COALESCE(l.refunds, 0) - COALESCE(l.interchange, 0)
            - COALESCE(l.scheme, 0) - COALESCE(l.markup, 0) + COALESCE(a.adjustments, 0) END)
) AS v (word, stands, summed)
WHERE COALESCE(v.stands, 0) <> COALESCE(v.summed, 0)
ORDER BY merchant_id, reference, v.word LIMIT $2;

-- name: audit_deposit_journal
-- Deposits whose fees, adjustments, net or payments stand otherwise in the journal.
WITH booked AS (
    SELECT merchant_id, currency, COALESCE(reference, 'without a reference') AS reference,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'in_transit')::bigint AS in_transit,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'fees_interchange')::bigint
            AS interchange,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'fees_scheme')::bigint AS scheme,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'fees_markup')::bigint AS markup,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'adjustments')::bigint AS adjustments,
        sum(a.sign * t.amount_minor) FILTER (WHERE a.account = 'deposited')::bigint AS deposited
    FROM transfers AS t
    CROSS JOIN LATERAL (VALUES (t.debit_account, 1), (t.credit_account, -1)) AS a (account, sign)
    WHERE ($1::uuid IS NULL OR merchant_id = $1)
      AND (t.debit_account IN ('in_transit', 'deposited', 'adjustments', 'fees_interchange',
            'fees_scheme', 'fees_markup')
        OR t.credit_account IN ('in_transit', 'deposited', 'adjustments', 'fees_interchange',
            'fees_scheme', 'fees_markup'))
    GROUP BY merchant_id, currency, COALESCE(reference, 'without a reference')
), announced AS (
    SELECT merchant_id, currency, reference,
        sum(CASE state WHEN 'without_report' THEN 0 ELSE net_minor - paid_minor END)::bigint
            AS in_transit,
        sum(interchange_minor)::bigint AS interchange, sum(scheme_minor)::bigint AS scheme,
        sum(markup_minor)::bigint AS markup, sum(adjustments_minor)::bigint AS adjustments,
        sum(paid_minor)::bigint AS paid
    FROM deposits WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, currency, reference
)
SELECT merchant_id, currency, 'deposit ' || reference || ', ' || v.word AS subject,
    to_jsonb(COALESCE(v.due, 0)) AS expected, to_jsonb(COALESCE(v.booked, 0)) AS found,
    COALESCE(v.booked, 0) - COALESCE(v.due, 0) AS difference_minor
FROM announced AS d FULL JOIN booked AS j USING (merchant_id, currency, reference)
CROSS JOIN LATERAL (VALUES
    ('not paid yet', d.in_transit, j.in_transit), ('interchange', d.interchange, j.interchange),
    ('scheme fees', d.scheme, j.scheme), ('markup', d.markup, j.markup),
    ('adjustments', -d.adjustments, j.adjustments), ('paid', d.paid, j.deposited)
) AS v (word, due, booked)
WHERE COALESCE(v.due, 0) <> COALESCE(v.booked, 0)
ORDER BY merchant_id, reference, v.word LIMIT $2;

-- name: audit_deposit_bank
-- Deposits whose paid amount or number of parts is not what the bank's statements say.
WITH entries AS (
    SELECT merchant_id, acquirer, reference, currency, sum(amount_minor)::bigint AS paid
    FROM bank_entries
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND reference IS NOT NULL
    GROUP BY merchant_id, acquirer, reference, currency
), announced AS (
    SELECT merchant_id, acquirer, reference, currency, paid_minor FROM deposits
    WHERE $1::uuid IS NULL OR merchant_id = $1
)
SELECT merchant_id, currency, 'deposit ' || reference AS subject,
    to_jsonb(COALESCE(e.paid, 0)) AS expected, to_jsonb(COALESCE(d.paid_minor, 0)) AS found,
    COALESCE(d.paid_minor, 0) - COALESCE(e.paid, 0) AS difference_minor
FROM announced AS d FULL JOIN entries AS e USING (merchant_id, acquirer, reference, currency)
WHERE COALESCE(e.paid, 0) <> COALESCE(d.paid_minor, 0)
ORDER BY merchant_id, reference LIMIT $2;

-- name: audit_deposit_states
-- Deposits whose state contradicts what was paid, or that are not paid and stand on no list.
SELECT d.merchant_id, d.currency, 'deposit ' || d.reference || ', ' || d.state AS subject,
    to_jsonb(d.net_minor) AS expected, to_jsonb(d.paid_minor) AS found,
    d.paid_minor - d.net_minor AS difference_minor
FROM deposits AS d
WHERE ($1::uuid IS NULL OR d.merchant_id = $1) AND (
    (d.state = 'without_report') <> (d.file_digest IS NULL)
    OR (d.state = 'funded' AND d.paid_minor <> d.net_minor)
    OR (d.state = 'announced' AND (d.paid_minor <> 0 OR d.parts <> 0))
    OR (d.state <> 'funded' AND d.state <> 'without_report' AND d.paid_minor = d.net_minor)
    OR ((d.state IN ('partly_paid', 'overpaid', 'returned', 'without_report') OR EXISTS (
            SELECT 1 FROM bank_statements AS s
            WHERE s.merchant_id = d.merchant_id AND s.currency = d.currency
              AND s.last_day > d.value_date + 2 AND d.state = 'announced'))
        AND NOT EXISTS (
            SELECT 1 FROM findings AS f
            WHERE f.merchant_id = d.merchant_id AND f.subject = 'deposit ' || d.reference)))
ORDER BY d.merchant_id, d.reference LIMIT $2;

-- name: audit_unexplained
-- Per merchant and currency: what lines, and deposits without a report, left unexplained.
SELECT merchant_id, currency, -sum(amount_minor)::bigint AS amount_minor FROM (
    SELECT merchant_id, currency, amount_minor FROM settlement_lines
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND outcome NOT IN ('matched', 'date_shifted')
    UNION ALL
    SELECT merchant_id, currency, paid_minor FROM deposits
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND file_digest IS NULL
) AS unexplained GROUP BY merchant_id, currency;

-- name: audit_untold_lines
-- Lines of reports that settle nothing here, and that nobody was told of.
SELECT l.merchant_id, l.currency,
    'report of deposit ' || l.reference || ', line ' || l.line || ', ' || l.outcome AS subject,
    to_jsonb('a finding'::text) AS expected, to_jsonb('none'::text) AS found,
    l.amount_minor AS difference_minor
FROM settlement_lines AS l
WHERE ($1::uuid IS NULL OR l.merchant_id = $1) AND l.outcome NOT IN ('matched', 'date_shifted')
  AND NOT EXISTS (
    SELECT 1 FROM incoming_files AS i
    JOIN findings AS f ON f.merchant_id = l.merchant_id AND f.kind = l.outcome
        AND starts_with(f.subject, i.file_id || ' line ' || l.line || ':')
    WHERE i.digest = l.file_digest)
ORDER BY l.merchant_id, l.reference, l.line LIMIT $2;

-- name: audit_statements
-- Bank statements that do not add up, or leave a gap that nobody was told of.
WITH entries AS (
    SELECT merchant_id, account, statement_id, sum(amount_minor)::bigint AS amount_minor
    FROM bank_entries WHERE $1::uuid IS NULL OR merchant_id = $1
    GROUP BY merchant_id, account, statement_id
), statements AS (
    SELECT s.merchant_id, s.account, s.statement_id, s.currency, s.opening_minor, s.closing_minor,
        EXISTS (SELECT 1 FROM findings AS f
            WHERE f.merchant_id = s.merchant_id AND f.kind = 'statement_missing'
              AND f.subject = 'account ' || s.account || ' statement ' || s.statement_id) AS is_told,
        lag(s.closing_minor) OVER days AS closed_before, COALESCE(e.amount_minor, 0) AS amount_minor
    FROM bank_statements AS s
    LEFT JOIN entries AS e USING (merchant_id, account, statement_id)
    WHERE $1::uuid IS NULL OR s.merchant_id = $1
    WINDOW days AS (PARTITION BY s.merchant_id, s.account, s.currency
        ORDER BY s.first_day, s.last_day, s.statement_id)
)
SELECT s.merchant_id, s.currency, 'statement ' || s.statement_id || ', ' || v.word AS subject,
    to_jsonb(v.due) AS expected, to_jsonb(v.stands) AS found, v.stands - v.due AS difference_minor
FROM statements AS s CROSS JOIN LATERAL (VALUES
    ('closing balance', s.opening_minor + s.amount_minor, s.closing_minor),
    ('opening balance', CASE WHEN NOT s.is_told THEN s.closed_before END, s.opening_minor)
) AS v (word, due, stands)
WHERE v.due <> v.stands
ORDER BY s.merchant_id, s.account, s.statement_id LIMIT $2;

-- name: audit_bank_sums
-- Currencies of merchants whose deposits at the bank are not what the journal says was deposited.
WITH entries AS (
    SELECT merchant_id, currency, sum(amount_minor)::bigint AS paid FROM bank_entries
    WHERE ($1::uuid IS NULL OR merchant_id = $1) AND outcome <> 'unrelated'
    GROUP BY merchant_id, currency
), booked AS (
    SELECT merchant_id, currency, sum(CASE debit_account WHEN 'deposited' THEN amount_minor
        ELSE -amount_minor END)::bigint AS deposited
    FROM transfers
    WHERE ($1::uuid IS NULL OR merchant_id = $1)
      AND 'deposited' IN (debit_account, credit_account)
    GROUP BY merchant_id, currency
)
SELECT merchant_id, currency, 'everything deposited' AS subject,
    to_jsonb(COALESCE(e.paid, 0)) AS expected, to_jsonb(COALESCE(j.deposited, 0)) AS found,
    COALESCE(j.deposited, 0) - COALESCE(e.paid, 0) AS difference_minor
FROM entries AS e FULL JOIN booked AS j USING (merchant_id, currency)
WHERE COALESCE(e.paid, 0) <> COALESCE(j.deposited, 0)
ORDER BY merchant_id, currency LIMIT $2;

-- name: audit_findings
-- What stands on the list of things that do not agree, each with its own next step.
SELECT merchant_id, currency, kind || ': ' || subject AS subject,
    to_jsonb('agreement'::text) AS expected, to_jsonb('open since ' || opened_at::date) AS found,
    amount_minor AS difference_minor, next_step
FROM findings WHERE state = 'open' AND ($1::uuid IS NULL OR merchant_id = $1)
ORDER BY merchant_id, opened_at LIMIT $2;

-- name: audit_files
-- Files that came and are no longer the bytes that came (held ones may be kept without them).
SELECT merchant_id, NULL::text AS currency, kind || ' ' || name AS subject,
    to_jsonb(left(encode(digest, 'hex'), 16)) AS expected,
    to_jsonb(left(encode(sha256(content), 'hex'), 16)) AS found, NULL::bigint AS difference_minor
FROM incoming_files
WHERE ($1::uuid IS NULL OR merchant_id = $1) AND sha256(content) <> digest
  AND (state = 'read' OR length(content) > 0)
ORDER BY received_at LIMIT $2;

-- name: audit_settings
-- Memory and hands for one large reader, until its transaction ends. Each rule reads whole tables:
-- hashing them is never slow, and nested loops are, wherever statistics are missing or old.
SELECT set_config('work_mem', '128MB', true), set_config('hash_mem_multiplier', '2', true),
    set_config('max_parallel_workers_per_gather', '2', true), set_config('jit', 'off', true),
    set_config('enable_nestloop', 'off', true),
    set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: audit_terminals
-- The terminals whose books are audited.
SELECT terminal_id FROM terminals WHERE $1::uuid IS NULL OR merchant_id = $1
ORDER BY terminal_id LIMIT $2;

-- name: audit_listed_payments
-- Every payment with its sums, for a comparison with other parties' books; and whether any
-- message about it is still owed.
SELECT p.merchant_id, p.payment_id, p.terminal_id, p.rrn, p.currency, p.state, p.amount_minor,
    p.authorized_minor - p.captured_minor - p.released_minor AS held_minor, p.captured_minor,
    p.refunded_minor, p.order_number, p.confirmation_number,
    p.state IN ('processing', 'approved', 'reversing', 'voiding') OR EXISTS (
        SELECT 1 FROM advices AS a
        WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id AND a.state = 'owed')
        AS is_under_way
FROM payments AS p WHERE $1::uuid IS NULL OR p.merchant_id = $1
ORDER BY p.merchant_id, p.payment_id LIMIT $2;

-- name: audit_listed_deposits
-- Every deposit, for a comparison with other parties' books.
SELECT merchant_id, reference, currency, state, gross_minor, refunds_minor,
    interchange_minor + scheme_minor + markup_minor AS fees_minor, adjustments_minor, net_minor,
    paid_minor
FROM deposits WHERE $1::uuid IS NULL OR merchant_id = $1
ORDER BY merchant_id, reference LIMIT $2;
