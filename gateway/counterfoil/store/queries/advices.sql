-- name: due_advices
-- What is owed to an acquirer of some kinds and due: of each payment only the oldest, so that order
-- is kept; an older one of another kind is waited for. A lease is also over when its process has
-- ended, and when it is ours and we are not at it ($5).
-- The inner limit is unknown to the planner: it walks the owed in order and stops when enough are
-- found, whatever it believes of their number. What is no join is read for these only. Earlier ones
-- are found by their payment: "not ended" keeps the planner off the index of all owed.
SELECT a.merchant_id, a.advice_id
FROM (
    SELECT merchant_id, advice_id, payment_id, position, step, next_try_at, kind FROM advices
    WHERE state = 'owed' AND next_try_at <= $1 AND advice_id <> ALL($5::uuid[])
      AND (lease_until IS NULL OR lease_until <= $1 OR lease_owner = $4 OR EXISTS (
        SELECT 1 FROM processes AS ended
        WHERE ended.process_id = advices.lease_owner AND ended.lease_until <= $1))
    ORDER BY next_try_at LIMIT (SELECT 1000000000)) AS a
WHERE a.kind = ANY($6::text[])
  AND (SELECT p.acquirer FROM payments AS p
    WHERE p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id) = ANY($3::text[])
  AND (EXISTS (
    SELECT 1 FROM advices AS earlier
    WHERE earlier.merchant_id = a.merchant_id AND earlier.payment_id = a.payment_id
      AND (earlier.position, earlier.step) < (a.position, a.step)
      AND earlier.state NOT IN ('accepted', 'refused'))) IS NOT TRUE
ORDER BY a.next_try_at LIMIT $2;

-- name: claim_advices
-- Take a lease on owed advices of one merchant; who comes second gets fewer rows. What remains after
-- a release (DE 95) is its original's amount less all that was taken back of it so far; what went
-- out before has its end by now, so that a repeat says the same. Other advices are found by their
-- payment: `movement_id` has no index, and a merchant may owe ten thousand.
UPDATE advices AS a
SET lease_owner = $3, lease_until = $4
FROM payments AS p JOIN vault_cards AS v ON v.merchant_id = p.merchant_id AND v.token = p.card_token
WHERE a.merchant_id = $1 AND a.advice_id = ANY($2::uuid[])
  AND a.state = (SELECT 'owed')
  AND (a.lease_until IS NULL OR a.lease_until <= $5 OR a.lease_owner = $3 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = a.lease_owner AND ended.lease_until <= $5))
  AND p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id
RETURNING a.*, p.kind AS payment_kind, p.currency, p.card_token, p.acquirer, p.terminal_id,
    p.stan AS original_stan, p.transmitted_at AS original_transmitted_at, p.rrn AS original_rrn,
    p.local_time, p.approval_code, v.key_id, v.nonce, v.ciphertext,
    -- The rest of a hold does not count: it lapses, and the host may rightly have forgotten it.
    p.authorized_minor > 0 AND NOT (a.kind = 'release' AND a.movement_id IS NULL) AS was_approved,
    EXISTS (SELECT 1 FROM movements AS taken
        WHERE taken.merchant_id = a.merchant_id AND taken.payment_id = a.payment_id
          AND taken.kind = 'capture' AND CASE a.kind
            WHEN 'void' THEN taken.undone_by = a.movement_id AND taken.state = 'undone'
            WHEN 'release' THEN taken.movement_id = a.about_id
                AND taken.state IN ('pending', 'undone')
            ELSE true END) AS was_captured,
    (SELECT rrn FROM movements AS m
     WHERE m.merchant_id = a.merchant_id AND m.movement_id = a.movement_id) AS movement_rrn,
    CASE a.kind WHEN 'release' THEN (SELECT c.stan FROM advices AS c
        WHERE c.merchant_id = a.merchant_id AND c.payment_id = a.payment_id
          AND c.movement_id = a.about_id AND c.kind = 'capture') END AS about_stan,
    CASE a.kind WHEN 'release' THEN (SELECT c.transmitted_at FROM advices AS c
        WHERE c.merchant_id = a.merchant_id AND c.payment_id = a.payment_id
          AND c.movement_id = a.about_id AND c.kind = 'capture') END AS about_transmitted_at,
    CASE a.kind WHEN 'release' THEN COALESCE(
            (SELECT c.amount_minor + c.voided_minor FROM movements AS c
             WHERE c.merchant_id = a.merchant_id AND c.movement_id = a.about_id),
            p.authorized_minor)
        - (SELECT sum(e.taken_back_minor) FROM advices AS e
           WHERE e.merchant_id = a.merchant_id AND e.payment_id = a.payment_id
             AND e.kind = 'release' AND e.state IN ('owed', 'accepted')
             AND e.about_id IS NOT DISTINCT FROM a.about_id
             AND (e.position, e.step) <= (a.position, a.step))::bigint
        END AS remaining_minor;

-- name: try_advice
-- Commit that advices are about to be written: each its trace number at the first try, one try more.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::date[], $7::integer[],
        $8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::timestamptz[]
    ) AS t (
        merchant_id, payment_id, advice_id, lease_owner, attempts, business_day, stan,
        transmitted_at, next_try_at, message_id, mti, acquirer, terminal_id,
        content, at)
), advice AS (
    -- One more than the sender has seen: a COMMIT in doubt that runs again counts no try twice.
    UPDATE advices AS a
    SET attempts = a.attempts + 1, business_day = i.business_day, stan = i.stan,
        transmitted_at = i.transmitted_at, next_try_at = i.next_try_at
    FROM input AS i
    WHERE a.merchant_id = i.merchant_id AND a.advice_id = i.advice_id
      AND a.lease_owner = i.lease_owner AND a.attempts = i.attempts
      AND a.state NOT IN ('accepted', 'refused')
    RETURNING i.*, a.attempts AS tries
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT merchant_id, message_id, payment_id, 'sent', mti, acquirer, terminal_id, business_day,
        stan, transmitted_at, content, at
    FROM advice WHERE tries = 1
)
SELECT merchant_id, payment_id FROM advice;

-- name: advice_unanswered
-- Nothing came back, or a refusal that is no end: try again later.
UPDATE advices SET next_try_at = $4, lease_until = NULL, lease_owner = NULL, response_code = $5,
    denials = denials + CASE WHEN $5 = '25' THEN 1 ELSE 0 END
WHERE merchant_id = $1 AND advice_id = $2 AND lease_owner = $3
  AND state = (SELECT 'owed')
RETURNING attempts;

-- name: advice_answered
-- The acquirer accepted, or refused for good: advices, payments, their movements and the books.
-- Each step hands on what the next one needs: joined anew, a full group would cost its cube.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
        $8::uuid[], $9::uuid[], $10::text[], $11::text[], $12::timestamptz[]
    ) AS t (
        merchant_id, payment_id, advice_id, lease_owner, to_state, response_code, event_id,
        transfer_id, message_id, mti, content, at)
), advice AS (
    UPDATE advices AS a
    SET state = i.to_state, response_code = i.response_code, lease_until = NULL, lease_owner = NULL
    FROM input AS i
    WHERE a.merchant_id = i.merchant_id AND a.advice_id = i.advice_id
      AND a.state NOT IN ('accepted', 'refused') AND a.lease_owner = i.lease_owner
    RETURNING a.*, i.event_id, i.transfer_id, i.message_id, i.mti, i.content, i.at,
        -- What a refused capture had still taken: voids may have lowered or undone it meanwhile.
        CASE WHEN a.kind = 'capture' AND a.state = 'refused' THEN
            (SELECT c.amount_minor FROM movements AS c
             WHERE c.merchant_id = a.merchant_id AND c.movement_id = a.movement_id
               AND c.state = 'pending') END AS gone_minor,
        -- A void is done when the last of its messages is accepted.
        CASE a.kind WHEN 'void' THEN true WHEN 'release' THEN NOT EXISTS (
            SELECT 1 FROM advices AS more
            WHERE more.merchant_id = a.merchant_id AND more.payment_id = a.payment_id
              AND more.movement_id = a.movement_id AND more.advice_id <> a.advice_id
              AND more.state NOT IN ('accepted', 'refused'))
            ELSE false END AS ends_void
), moved AS (
    UPDATE payments AS p
    SET state = CASE
            WHEN a.kind = 'reversal' AND a.state = 'accepted' THEN 'reversed'
            WHEN a.kind = 'void' AND a.state = 'accepted' THEN 'voided'
            WHEN a.gone_minor = p.captured_minor AND p.state = 'captured' THEN 'authorized'
            WHEN a.kind = 'refund' AND a.state = 'accepted' AND p.state = 'voiding' THEN 'voided'
            WHEN a.kind = 'refund' AND a.state = 'accepted' AND p.state = 'reversing' THEN 'reversed'
            ELSE p.state END,
        version = p.version + 1, changed_by = a.event_id, updated_at = a.at,
        released_minor = CASE
            WHEN a.kind = 'reversal' AND a.state = 'accepted' THEN p.authorized_minor
            ELSE p.released_minor END,
        captured_minor = p.captured_minor - COALESCE(a.gone_minor, 0),
        refunded_minor = p.refunded_minor - CASE
            WHEN a.kind = 'refund' AND a.state = 'refused' THEN a.amount_minor ELSE 0 END,
        -- The acquirer does not know the hold any more: the sweep releases what is left of it.
        hold_until = CASE WHEN a.kind = 'capture' AND a.state = 'refused'
                AND a.response_code = '25' THEN LEAST(p.hold_until, a.at)
            ELSE p.hold_until END
    FROM advice AS a
    WHERE p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id
    RETURNING p.merchant_id, p.payment_id, p.version, p.state, p.acquirer, p.terminal_id, p.currency,
        p.authorized_minor, a.kind, a.state AS advice_state, a.movement_id, a.amount_minor,
        a.business_day, a.stan, a.transmitted_at, a.event_id, a.transfer_id, a.message_id, a.mti,
        a.content, a.at, a.gone_minor, a.ends_void,
        (SELECT b.state FROM payments AS b  -- Before this statement: a query sees no change of it.
         WHERE b.merchant_id = p.merchant_id AND b.payment_id = p.payment_id) AS state_before
), movement AS (
    UPDATE movements AS c
    SET state = CASE
            WHEN m.advice_state = 'refused' THEN 'failed'
            WHEN m.ends_void THEN 'done'
            ELSE c.state END,
        updated_at = m.at
    FROM moved AS m
    WHERE c.merchant_id = m.merchant_id AND c.movement_id = m.movement_id
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, m.event_id, m.at, m.state_before, m.state,
        CASE WHEN m.advice_state = 'accepted' THEN 'host_accepted' ELSE m.kind || '_refused' END,
        'acquirer', m.movement_id,
        CASE WHEN m.movement_id IS NULL THEN NULL
            WHEN m.advice_state = 'refused' THEN 'failed'
            WHEN m.ends_void THEN 'done'
            ELSE (SELECT c.state FROM movements AS c
                  WHERE c.merchant_id = m.merchant_id AND c.movement_id = m.movement_id) END
    FROM moved AS m
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT m.merchant_id, m.message_id, m.payment_id, 'received', m.mti, m.acquirer, m.terminal_id,
        m.business_day, m.stan, m.transmitted_at, m.content, m.at
    FROM moved AS m
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, m.transfer_id, m.payment_id, m.movement_id,
        CASE m.kind WHEN 'reversal' THEN 'released' WHEN 'capture' THEN 'held' ELSE 'open' END,
        CASE m.kind WHEN 'reversal' THEN 'held' WHEN 'capture' THEN 'open' ELSE 'refunded' END,
        CASE m.kind WHEN 'reversal' THEN m.authorized_minor WHEN 'capture' THEN m.gone_minor
            ELSE m.amount_minor END,
        m.currency,
        CASE m.kind WHEN 'reversal' THEN 'host_accepted' ELSE m.kind || '_refused' END, m.at
    FROM moved AS m
    WHERE (m.kind = 'reversal' AND m.advice_state = 'accepted' AND m.authorized_minor > 0)
       OR m.gone_minor IS NOT NULL
       OR (m.kind = 'refund' AND m.advice_state = 'refused')
), finding AS (
    -- A refund that no merchant asked for stands for a void or reversal: the payment says "not
    -- charged", and nobody but a person can make that true now.
    INSERT INTO findings
        (merchant_id, finding_id, kind, subject, currency, amount_minor, movement_id, next_step,
         state, opened_at)
    SELECT m.merchant_id, m.event_id, 'refund_refused',
        'refund ' || c.rrn || ' of ' || m.terminal_id || ' instead of a void or reversal',
        m.currency, m.amount_minor, m.movement_id,
        'The acquirer refused it (' || a.response_code || ') and the cardholder has not got the '
            || 'money back. Ask the acquirer why, and how much it took, then `counterfoil '
            || 'settlement refund-again`, or give it back otherwise and `counterfoil settlement '
            || 'returned`.',
        'open', m.at
    FROM moved AS m
    JOIN advice AS a ON a.merchant_id = m.merchant_id AND a.event_id = m.event_id
    JOIN movements AS c ON c.merchant_id = m.merchant_id AND c.movement_id = m.movement_id
    WHERE m.kind = 'refund' AND m.advice_state = 'refused' AND c.idempotency_key IS NULL
), denied AS (
    -- It had approved what it does not know now: one of the two is wrong, a report may say which.
    INSERT INTO findings
        (merchant_id, finding_id, kind, subject, currency, amount_minor, movement_id, next_step,
         state, opened_at)
    SELECT m.merchant_id, m.event_id, 'approval_denied',
        m.kind || ' of ' || p.rrn || ' of ' || m.terminal_id, m.currency, m.amount_minor,
        m.movement_id,
        'The acquirer approved it, and has said ' || a.denials + 1 || ' times since that it '
            || 'does not know it. It counts as taken back. Look for the RRN in the next reports, '
            || 'ask the acquirer, and resolve this with what it said.',
        'open', m.at
    FROM moved AS m
    JOIN advice AS a ON a.merchant_id = m.merchant_id AND a.event_id = m.event_id
    JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
    WHERE m.kind IN ('reversal', 'void', 'release') AND m.advice_state = 'accepted'
      AND a.response_code = '25' AND m.authorized_minor > 0
      AND NOT (m.kind = 'release' AND m.movement_id IS NULL)
    ON CONFLICT DO NOTHING
)
SELECT merchant_id, payment_id FROM moved;

-- name: owe_refund_instead
-- The host's batch is closed, so it can not take the money back by a reversal: what was captured
-- stands again, and a refund of it is owed; of a reversal what the issuer approved, or, where nobody
-- knows that, what was asked.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS advice_id, $3::uuid AS lease_owner,
        $4::text AS response_code, $5::uuid AS event_id, $6::uuid AS message_id, $7::text AS mti,
        $8::text AS content, $9::uuid AS refund_id, $10::uuid AS refund_advice_id,
        $11::text AS rrn, $12::date AS business_day, $13::integer AS stan, $14::uuid[] AS transfer_ids,
        $15::uuid AS capture_id, $16::timestamptz AS late_until, $17::timestamptz AS at,
        $18::uuid AS release_id
), asked AS MATERIALIZED (
    SELECT a.* FROM advices AS a JOIN input AS i USING (merchant_id, advice_id)
    WHERE a.state = (SELECT 'owed') AND a.lease_owner = i.lease_owner
      AND a.kind IN ('reversal', 'void', 'release')
), before AS MATERIALIZED (
    SELECT p.* FROM payments AS p JOIN asked USING (merchant_id, payment_id)
), restored AS MATERIALIZED (
    SELECT c.merchant_id, c.movement_id, c.state,
        CASE a.kind WHEN 'release' THEN a.taken_back_minor ELSE c.amount_minor END AS amount_minor
    FROM asked AS a JOIN movements AS c
        ON c.merchant_id = a.merchant_id AND c.payment_id = a.payment_id AND c.kind = 'capture'
    WHERE CASE a.kind
        WHEN 'void' THEN c.undone_by = a.movement_id AND c.state = 'undone'
        WHEN 'release' THEN c.movement_id = a.about_id AND c.state IN ('pending', 'undone')
        ELSE false END
), back AS MATERIALIZED (
    -- A void's own part of the hold stays released, and the acquirer must still hear of it.
    SELECT n.amount_minor, CASE a.kind WHEN 'void' THEN v.amount_minor - n.amount_minor ELSE 0 END
        AS hold_minor
    FROM asked AS a JOIN before AS b USING (merchant_id, payment_id)
    LEFT JOIN movements AS v ON v.merchant_id = a.merchant_id AND v.movement_id = a.movement_id
    CROSS JOIN LATERAL (SELECT CASE
        WHEN a.kind <> 'reversal' THEN (SELECT sum(amount_minor)::bigint FROM restored)
        WHEN b.authorized_minor > 0 THEN b.authorized_minor
        ELSE b.amount_minor END AS amount_minor) AS n
    WHERE n.amount_minor > 0
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM before)
      AND b.state = 'open'
    FOR SHARE OF b
), advice AS (
    -- Only with an open batch in hand: a close that came between leaves the advice owed.
    UPDATE advices AS a
    SET state = 'refused', response_code = i.response_code, lease_until = NULL, lease_owner = NULL
    FROM input AS i, open_batch, back
    WHERE a.merchant_id = i.merchant_id AND a.advice_id = i.advice_id
      AND a.state = (SELECT 'owed')
      AND a.lease_owner = i.lease_owner AND a.kind IN ('reversal', 'void', 'release')
    RETURNING a.*
), moved AS (
    UPDATE payments AS p
    SET state = CASE p.state WHEN 'authorized' THEN 'captured' ELSE p.state END,
        version = p.version + 1, changed_by = i.event_id,
        authorized_minor = GREATEST(p.authorized_minor, n.amount_minor),
        captured_minor = p.captured_minor + n.amount_minor,
        released_minor = CASE a.kind WHEN 'reversal' THEN 0
            ELSE p.released_minor - n.amount_minor END,
        refunded_minor = p.refunded_minor + n.amount_minor, updated_at = i.at
    FROM advice AS a, input AS i, back AS n
    WHERE p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id
    RETURNING p.*
), void AS (
    UPDATE movements AS c
    SET state = CASE WHEN a.kind = 'void' OR c.amount_minor = n.amount_minor THEN 'failed'
            ELSE c.state END,
        amount_minor = CASE WHEN a.kind = 'void' OR c.amount_minor = n.amount_minor
            THEN c.amount_minor ELSE c.amount_minor - n.amount_minor END,
        updated_at = i.at
    FROM moved AS m, input AS i, advice AS a, back AS n
    WHERE c.merchant_id = m.merchant_id AND c.movement_id = a.movement_id AND c.kind = 'void'
    RETURNING c.merchant_id, c.movement_id, c.payment_id, c.state
), withdrawn AS (
    -- The capture that is not undone is not held again either: the hold is lowered by less, or this
    -- ends as refused before it is sent.
    UPDATE advices AS o
    SET state = CASE WHEN o.taken_back_minor = n.amount_minor THEN 'refused' ELSE o.state END,
        taken_back_minor = CASE WHEN o.taken_back_minor = n.amount_minor THEN o.taken_back_minor
            ELSE o.taken_back_minor - n.amount_minor END
    FROM moved AS m, advice AS a, back AS n
    WHERE o.merchant_id = m.merchant_id AND o.payment_id = m.payment_id
      AND o.movement_id = a.movement_id AND a.kind = 'release' AND o.kind = 'release'
      AND o.about_id IS NULL AND o.state = 'owed'
), capture_again AS (
    UPDATE movements AS c
    SET state = 'pending', undone_by = NULL, voids = c.voids - 1, updated_at = i.at,
        amount_minor = CASE r.state WHEN 'undone' THEN c.amount_minor
            ELSE c.amount_minor + r.amount_minor END,
        voided_minor = CASE r.state WHEN 'undone' THEN c.voided_minor
            ELSE c.voided_minor - r.amount_minor END
    FROM moved AS m, input AS i, restored AS r
    WHERE c.merchant_id = m.merchant_id AND c.movement_id = r.movement_id
    RETURNING c.merchant_id, c.movement_id, c.payment_id, r.state AS was
), told AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT c.merchant_id, c.movement_id, i.event_id, c.payment_id, i.at, 'undone', 'pending',
        'host_batch_closed', 'acquirer'
    FROM capture_again AS c CROSS JOIN input AS i WHERE c.was = 'undone'
    UNION ALL
    SELECT v.merchant_id, v.movement_id, i.event_id, v.payment_id, i.at, 'pending', 'failed',
        'host_batch_closed', 'acquirer'
    FROM void AS v CROSS JOIN input AS i WHERE v.state = 'failed'
), made AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency, acquirer,
         terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.capture_id, m.payment_id, 'capture', 'pending', n.amount_minor,
        m.currency, m.acquirer, m.terminal_id, m.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, advice AS a, back AS n WHERE a.kind = 'reversal'
    UNION ALL
    SELECT m.merchant_id, i.refund_id, m.payment_id, 'refund', 'pending', n.amount_minor,
        m.currency, m.acquirer, m.terminal_id, b.batch_number, i.rrn, i.at, i.at
    FROM moved AS m, input AS i, back AS n, open_batch AS b
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, b.state, m.state,
        'host_batch_closed', 'acquirer', i.refund_id, 'pending'
    FROM moved AS m, input AS i, before AS b
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT m.merchant_id, i.message_id, m.payment_id, 'received', i.mti, m.acquirer, m.terminal_id,
        a.business_day, a.stan, a.transmitted_at, i.content, i.at
    FROM moved AS m, input AS i, advice AS a
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_ids[1], m.payment_id, NULL::uuid, 'held', 'issuer',
        n.amount_minor, m.currency, 'host_batch_closed', i.at
    FROM moved AS m, input AS i, before AS b, back AS n WHERE b.authorized_minor = 0
    UNION ALL
    SELECT m.merchant_id, i.transfer_ids[2], m.payment_id, NULL::uuid, 'open',
        CASE a.kind WHEN 'reversal' THEN 'held' ELSE 'released' END,
        n.amount_minor, m.currency, 'host_batch_closed', i.at
    FROM moved AS m, input AS i, advice AS a, back AS n
    UNION ALL
    SELECT m.merchant_id, i.transfer_ids[3], m.payment_id, i.refund_id, 'refunded', 'open',
        n.amount_minor, m.currency, 'host_batch_closed', i.at
    FROM moved AS m, input AS i, back AS n
), owed AS (
    INSERT INTO advices
        (merchant_id, advice_id, payment_id, movement_id, position, step, kind, amount_minor,
         taken_back_minor, batch_number, state, business_day, stan, transmitted_at, next_try_at,
         late_until, created_at)
    SELECT m.merchant_id, i.refund_advice_id, m.payment_id, i.refund_id, m.version, 0, 'refund',
        n.amount_minor, NULL::bigint, b.batch_number, 'owed', i.business_day, i.stan, i.at, i.at,
        i.late_until, i.at
    FROM moved AS m, input AS i, back AS n, open_batch AS b
    UNION ALL
    SELECT m.merchant_id, i.release_id, m.payment_id, NULL::uuid, m.version, 1, 'release',
        m.amount_minor, n.hold_minor, m.batch_number, 'owed', NULL::date, NULL::integer,
        NULL::timestamptz, i.at, i.late_until, i.at
    FROM moved AS m, input AS i, back AS n WHERE n.hold_minor > 0
)
SELECT payment_id FROM moved;

-- name: credit_stands
-- The host's batch is closed, so it can not take a credit back, and nobody may charge the card for
-- it: it stands. Its refund is in the batch in which the host has counted it.
WITH input AS MATERIALIZED (
    SELECT $1::uuid AS merchant_id, $2::uuid AS advice_id, $3::uuid AS lease_owner,
        $4::text AS response_code, $5::uuid AS event_id, $6::uuid AS message_id, $7::text AS mti,
        $8::text AS content, $9::uuid AS refund_id, $10::uuid AS transfer_id,
        $11::timestamptz AS at
), advice AS (
    UPDATE advices AS a
    SET state = 'refused', response_code = i.response_code, lease_until = NULL, lease_owner = NULL
    FROM input AS i
    WHERE a.merchant_id = i.merchant_id AND a.advice_id = i.advice_id
      AND a.state = (SELECT 'owed')
      AND a.lease_owner = i.lease_owner AND a.kind IN ('reversal', 'void')
    RETURNING a.*
), before AS MATERIALIZED (
    SELECT p.merchant_id, p.payment_id, p.state
    FROM payments AS p JOIN advice AS a USING (merchant_id, payment_id)
), moved AS (
    UPDATE payments AS p
    SET state = 'captured', version = p.version + 1, changed_by = i.event_id,
        refunded_minor = p.amount_minor, updated_at = i.at
    FROM advice AS a, input AS i
    WHERE p.merchant_id = a.merchant_id AND p.payment_id = a.payment_id AND p.kind = 'credit'
      AND p.state IN ('voiding', 'reversing')
    RETURNING p.*
), again AS (
    UPDATE movements AS c
    SET state = CASE c.kind WHEN 'void' THEN 'failed' ELSE 'pending' END, updated_at = i.at
    FROM moved AS m, input AS i
    WHERE c.merchant_id = m.merchant_id AND c.payment_id = m.payment_id
      AND (c.kind, c.state) IN (('void', 'pending'), ('refund', 'undone'))
    RETURNING c.merchant_id, c.movement_id, c.payment_id, c.kind, c.state
), told AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT c.merchant_id, c.movement_id, i.event_id, c.payment_id, i.at,
        CASE c.kind WHEN 'void' THEN 'pending' ELSE 'undone' END, c.state, 'host_batch_closed',
        'acquirer'
    FROM again AS c CROSS JOIN input AS i
), made AS (
    INSERT INTO movements
        (merchant_id, movement_id, payment_id, kind, state, amount_minor, currency, acquirer,
         terminal_id, batch_number, rrn, created_at, updated_at)
    SELECT m.merchant_id, i.refund_id, m.payment_id, 'refund', 'pending', m.amount_minor,
        m.currency, m.acquirer, m.terminal_id, m.batch_number, m.rrn, i.at, i.at
    FROM moved AS m, input AS i, advice AS a WHERE a.kind = 'reversal'
), history AS (
    INSERT INTO payment_events
        (merchant_id, payment_id, version, event_id, at, from_state, to_state, cause, actor,
         movement_id, movement_state)
    SELECT m.merchant_id, m.payment_id, m.version, i.event_id, i.at, b.state, 'captured',
        'host_batch_closed', 'acquirer', a.movement_id,
        CASE WHEN a.movement_id IS NOT NULL THEN 'failed' END
    FROM moved AS m, input AS i, advice AS a, before AS b
), message AS (
    INSERT INTO network_messages
        (merchant_id, message_id, payment_id, direction, mti, acquirer, terminal_id, business_day,
         stan, transmitted_at, content, at)
    SELECT m.merchant_id, i.message_id, m.payment_id, 'received', i.mti, m.acquirer, m.terminal_id,
        a.business_day, a.stan, a.transmitted_at, i.content, i.at
    FROM moved AS m, input AS i, advice AS a
), posted AS (
    INSERT INTO transfers
        (merchant_id, transfer_id, payment_id, movement_id, debit_account, credit_account,
         amount_minor, currency, cause, at)
    SELECT m.merchant_id, i.transfer_id, m.payment_id, a.movement_id, 'refunded', 'open',
        m.amount_minor, m.currency, 'host_batch_closed', i.at
    FROM moved AS m, input AS i, advice AS a
)
SELECT payment_id FROM moved;

-- name: move_advice_to_open_batch
-- The host has closed the batch of a capture or refund by itself: it goes into the open one, and
-- what was voided of it follows.
WITH target AS MATERIALIZED (
    SELECT a.merchant_id, a.advice_id, a.movement_id, p.payment_id, p.acquirer, p.terminal_id,
        p.currency
    FROM advices AS a JOIN payments AS p USING (merchant_id, payment_id)
    WHERE a.merchant_id = $1 AND a.advice_id = $2 AND a.lease_owner = $3
  AND a.state = (SELECT 'owed')
      AND a.kind IN ('capture', 'refund')
), open_batch AS MATERIALIZED (
    SELECT b.batch_number FROM batches AS b
    WHERE (b.merchant_id, b.acquirer, b.terminal_id, b.currency)
        IN (SELECT merchant_id, acquirer, terminal_id, currency FROM target)
      AND b.state = 'open'
    FOR SHARE OF b
), moved AS (
    UPDATE movements AS c SET batch_number = b.batch_number, updated_at = $4
    FROM target AS t, open_batch AS b
    WHERE c.merchant_id = t.merchant_id AND c.movement_id = t.movement_id AND c.state = 'pending'
    RETURNING c.merchant_id, c.movement_id, c.payment_id, c.batch_number
), told AS (
    INSERT INTO movement_events
        (merchant_id, movement_id, event_id, payment_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, movement_id, $5, payment_id, $4, 'pending', 'pending',
        'host_batch_closed', 'acquirer'
    FROM moved
), followed AS (
    UPDATE advices AS o SET batch_number = m.batch_number
    FROM moved AS m
    WHERE o.merchant_id = m.merchant_id AND o.payment_id = m.payment_id
      AND o.about_id = m.movement_id AND o.state = 'owed'
)
UPDATE advices AS a
SET batch_number = m.batch_number, business_day = NULL, stan = NULL, transmitted_at = NULL,
    attempts = 0, next_try_at = $4, lease_owner = NULL, lease_until = NULL
FROM moved AS m
WHERE a.merchant_id = $1 AND a.advice_id = $2 AND a.lease_owner = $3
  AND a.state = (SELECT 'owed')
RETURNING a.advice_id;

-- name: owed_advices
-- How many advices are owed and since when the oldest is; how many were tried too often or are too old.
SELECT count(*) AS owed, count(*) FILTER (WHERE kind = 'reversal') AS reversals,
    min(created_at) AS oldest, min(created_at) FILTER (WHERE kind = 'reversal') AS oldest_reversal,
    coalesce(max(attempts), 0) AS tries_max,
    count(*) FILTER (WHERE attempts >= $1 OR created_at <= $2) AS overdue
FROM advices WHERE state = 'owed';
