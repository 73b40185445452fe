-- name: feeds_to_number
-- Merchants with events that have no number yet, each with a head to count from.
WITH RECURSIVE due AS (
    (SELECT merchant_id FROM feed_pending ORDER BY merchant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT p.merchant_id FROM feed_pending AS p WHERE p.merchant_id > d.merchant_id
        ORDER BY p.merchant_id LIMIT 1)
    FROM due AS d WHERE d.merchant_id IS NOT NULL
), chosen AS MATERIALIZED (
    SELECT merchant_id FROM due WHERE merchant_id IS NOT NULL LIMIT $1
), headed AS (
    INSERT INTO feed_heads (merchant_id, last_number)
    SELECT merchant_id, 0 FROM chosen ORDER BY merchant_id
    ON CONFLICT DO NOTHING
)
SELECT merchant_id FROM chosen;

-- name: number_events
-- Give many merchants' events their numbers. The heads are locked first, in one order, so that
-- numbers are committed in theirs and two workers never wait for each other; what another worker
-- has taken meanwhile is gone and gets no second number. Of several merchants only those are served
-- who have fewer than $2 events: all of them. Who has more is behind, and is served alone: the
-- oldest $2. Within a payment the order is that of its versions, whatever the database's clock did:
-- a version takes the earlier ones along. What an endpoint wants to hear of is owed from here on.
WITH heads AS MATERIALIZED (
    SELECT merchant_id, last_number FROM feed_heads WHERE merchant_id = ANY($1::uuid[])
    ORDER BY merchant_id FOR UPDATE
), waiting AS MATERIALIZED (
    SELECT p.*, count(*) OVER (PARTITION BY p.merchant_id) AS events
    FROM heads AS h CROSS JOIN LATERAL (
        SELECT merchant_id, noted_at, event_id, payment_id, version FROM feed_pending
        WHERE merchant_id = h.merchant_id ORDER BY noted_at, version, event_id LIMIT $2
    ) AS p
), oldest AS MATERIALIZED (
    SELECT * FROM waiting WHERE events < $2 OR cardinality($1) = 1
), earlier AS MATERIALIZED (
    -- IS TRUE keeps this a look-up in a hash table, whatever the planner knows of the backlog.
    SELECT e.merchant_id, e.noted_at, e.event_id, e.payment_id, e.version FROM feed_pending AS e
    WHERE cardinality($1) = 1 AND (SELECT count(*) FROM oldest) = $2
      AND e.merchant_id = ($1)[1] AND e.noted_at >= (SELECT max(noted_at) FROM oldest)
      AND (e.payment_id IN (SELECT payment_id FROM oldest)) IS TRUE
), due AS MATERIALIZED (
    SELECT merchant_id, noted_at, event_id FROM oldest
    UNION
    SELECT e.merchant_id, e.noted_at, e.event_id
    FROM earlier AS e JOIN oldest AS o ON o.merchant_id = e.merchant_id
        AND o.payment_id = e.payment_id AND e.version < o.version
), taken AS (
    DELETE FROM feed_pending AS p USING due AS d
    WHERE p.merchant_id = d.merchant_id AND p.noted_at = d.noted_at AND p.event_id = d.event_id
    RETURNING p.*
), turns AS (
    SELECT t.*, m.kind AS movement_kind, max(t.noted_at) OVER (
        PARTITION BY t.merchant_id, COALESCE(t.payment_id, t.event_id) ORDER BY t.version) AS turn
    FROM taken AS t LEFT JOIN movements AS m
        ON m.merchant_id = t.merchant_id AND m.movement_id = t.movement_id
), named AS (
    SELECT t.*, row_number() OVER (
            PARTITION BY merchant_id ORDER BY turn, version, source DESC, event_id) AS place,
        CASE
            WHEN source = 'movement' AND from_state = movement_state
                THEN movement_kind || ' stays ' || cause
            WHEN source = 'movement' THEN movement_kind || ' ' || movement_state
            WHEN source = 'endpoint' AND from_state = to_state THEN source || ' ' || cause
            WHEN from_state = to_state AND movement_kind IS NOT NULL
                THEN movement_kind || ' ' || cause
            WHEN source = 'payment' AND from_state = to_state THEN 'hold ' || cause
            WHEN cause = 'voided' AND to_state = 'authorized' THEN 'void voided'
            WHEN cause = 'capture_refused' THEN 'capture capture_refused'
            ELSE source || ' ' || to_state END AS word
    FROM turns AS t
), numbered AS (
    INSERT INTO feed
        (merchant_id, number, event_id, type, at, cause, actor, state, payment_id, version,
         movement_id, movement_state, movement_amount_minor, authorized_minor, captured_minor,
         released_minor, refunded_minor, data)
    SELECT n.merchant_id, h.last_number + n.place, n.event_id,
        COALESCE(w.type, n.source || '.changed'), n.at, n.cause, n.actor, n.to_state,
        n.payment_id, n.version, n.movement_id, n.movement_state, n.movement_amount_minor,
        n.authorized_minor, n.captured_minor, n.released_minor, n.refunded_minor, n.data
    FROM named AS n JOIN heads AS h USING (merchant_id)
    LEFT JOIN unnest($3::text[], $4::text[]) AS w (word, type) ON w.word = n.word
    RETURNING merchant_id, number, type
), owed AS (
    INSERT INTO webhook_deliveries
        (merchant_id, delivery_id, endpoint_id, number, type, state, next_try_at, created_at)
    SELECT n.merchant_id, gen_random_uuid(), e.endpoint_id, n.number, n.type, 'owed', $5, $5
    FROM numbered AS n JOIN webhook_endpoints AS e
        ON e.merchant_id = n.merchant_id AND e.state = 'enabled'
        AND (e.types IS NULL OR n.type = ANY(e.types))
), counted AS (
    UPDATE feed_heads AS h SET last_number = h.last_number + t.events
    FROM (SELECT merchant_id, count(*) AS events FROM taken GROUP BY merchant_id) AS t
    WHERE h.merchant_id = t.merchant_id
)
SELECT (SELECT count(*) FROM numbered) AS events,
    ARRAY(SELECT DISTINCT merchant_id FROM waiting WHERE events >= $2) AS behind;

-- name: feed_page
-- A merchant's events after a number, oldest first, with the facts of their payments and movements.
SELECT f.*, p.kind, p.amount_minor, p.currency, p.order_number, p.card_brand, p.card_last_four,
    m.kind AS movement_kind, m.amount_minor AS movement_amount_now
FROM (
    SELECT * FROM feed WHERE merchant_id = $1 AND number > $2 ORDER BY number LIMIT $3
) AS f
LEFT JOIN payments AS p ON p.merchant_id = f.merchant_id AND p.payment_id = f.payment_id
LEFT JOIN movements AS m ON m.merchant_id = f.merchant_id AND m.movement_id = f.movement_id
ORDER BY f.number;

-- name: feed_head
-- The number of a merchant's latest event.
SELECT last_number FROM feed_heads WHERE merchant_id = $1;
