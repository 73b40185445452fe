-- name: add_endpoint
-- A new endpoint with its sealed secret, unless the merchant has $9 already. Who added it stands in its
-- own history, and in the list of changes.
WITH full_up AS MATERIALIZED (
    SELECT count(*) >= $9::integer AS so FROM webhook_endpoints
    WHERE merchant_id = $1 AND state <> 'deleted'
), made AS (
    INSERT INTO webhook_endpoints
        (merchant_id, endpoint_id, url, description, types, state, secret_key_id, secret_nonce,
         secret_sealed, created_at, updated_at)
    SELECT $1, $2, $3, $4, $5, 'enabled', $6, $7, $8, $10, $10 FROM full_up WHERE NOT so
    ON CONFLICT DO NOTHING
    RETURNING *
), told AS (
    INSERT INTO webhook_endpoint_events
        (merchant_id, endpoint_id, event_id, at, to_state, cause, actor)
    SELECT merchant_id, endpoint_id, $12, $10, 'enabled', 'added', $11 FROM made
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $12, merchant_id, $10, $11, 'webhook_added', url, url FROM made
)
SELECT * FROM made;

-- name: endpoints_of_merchant
-- A merchant's endpoints that are not deleted, in the order in which they were added.
SELECT * FROM webhook_endpoints WHERE merchant_id = $1 AND state <> 'deleted'
ORDER BY endpoint_id LIMIT 100;

-- name: endpoint_by_id
-- One endpoint that is not deleted, only its own merchant's.
SELECT * FROM webhook_endpoints WHERE merchant_id = $1 AND endpoint_id = $2 AND state <> 'deleted';

-- name: change_endpoint
-- Change address, description, filter or state; what is to stay comes in as it is. Whoever enables
-- it lets it begin anew: how long it failed is forgotten. What a deleted one was owed is given up. Who
-- did stands in its history ($9), and in the list of changes: what it is ($9), and its state ($10).
WITH before AS MATERIALIZED (
    SELECT * FROM webhook_endpoints
    WHERE merchant_id = $1 AND endpoint_id = $2 AND state <> 'deleted' FOR UPDATE
), changed AS (
    UPDATE webhook_endpoints AS e
    SET url = $3, description = $4, types = $5, state = $6, updated_at = $7,
        failing_since = CASE WHEN b.state = $6 THEN b.failing_since END
    FROM before AS b
    WHERE e.merchant_id = b.merchant_id AND e.endpoint_id = b.endpoint_id
      AND (b.url, b.description, b.types, b.state) IS DISTINCT FROM ($3, $4, $5, $6)
    RETURNING e.*
), told AS (
    INSERT INTO webhook_endpoint_events
        (merchant_id, endpoint_id, event_id, at, from_state, to_state, cause, actor)
    SELECT c.merchant_id, c.endpoint_id, $9, $7, b.state, c.state, 'changed', $8
    FROM changed AS c, before AS b
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT $9, c.merchant_id, $7, $8, 'webhook_changed', c.url, b.url, c.url
    FROM changed AS c, before AS b
    WHERE (b.url, b.description, b.types) IS DISTINCT FROM (c.url, c.description, c.types)
    UNION ALL
    SELECT $10, c.merchant_id, $7, $8, 'webhook_' || c.state, c.url, NULL, c.url
    FROM changed AS c, before AS b WHERE b.state <> c.state
), dropped AS (
    UPDATE webhook_deliveries AS d SET state = 'gave_up', ended_at = $7
    FROM changed AS c
    WHERE d.merchant_id = c.merchant_id AND d.endpoint_id = c.endpoint_id AND d.state = 'owed'
      AND c.state = 'deleted'
)
SELECT * FROM changed UNION ALL SELECT * FROM before WHERE NOT EXISTS (SELECT 1 FROM changed);

-- name: rotate_endpoint
-- A new secret; the one before signs beside it until $6. With who gave it, in both lists.
WITH rotated AS (
    UPDATE webhook_endpoints
    SET previous_key_id = secret_key_id, previous_nonce = secret_nonce,
        previous_sealed = secret_sealed, previous_until = $6,
        secret_key_id = $3, secret_nonce = $4, secret_sealed = $5, updated_at = $7
    WHERE merchant_id = $1 AND endpoint_id = $2 AND state <> 'deleted' AND secret_sealed <> $5
    RETURNING *
), told AS (
    INSERT INTO webhook_endpoint_events
        (merchant_id, endpoint_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, endpoint_id, $9, $7, state, state, 'rotated', $8 FROM rotated
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $9, merchant_id, $7, $8, 'webhook_secret_rotated', url, url FROM rotated
)
SELECT * FROM rotated;

-- name: endpoint_history
-- What became of an endpoint, oldest first.
SELECT at, from_state, to_state, cause, actor FROM webhook_endpoint_events
WHERE merchant_id = $1 AND endpoint_id = $2 ORDER BY at, event_id LIMIT 1000;

-- name: deliveries_page
-- What an endpoint was owed, newest first, before a number.
SELECT d.*, a.at AS last_at, a.status, a.milliseconds, a.error
FROM (
    SELECT * FROM webhook_deliveries
    WHERE merchant_id = $1 AND endpoint_id = $2 AND ($3::bigint IS NULL OR number < $3)
      AND ($4::text IS NULL OR state = $4)
    ORDER BY number DESC LIMIT $5
) AS d
LEFT JOIN LATERAL (
    SELECT * FROM webhook_attempts AS t
    WHERE t.merchant_id = d.merchant_id AND t.delivery_id = d.delivery_id
    ORDER BY t.attempt DESC LIMIT 1
) AS a ON true
ORDER BY d.number DESC;

-- name: attempts_of_deliveries
-- Every try of these deliveries, oldest first.
SELECT delivery_id, attempt, at, status, milliseconds, error FROM webhook_attempts
WHERE merchant_id = $1 AND delivery_id = ANY($2::uuid[]) ORDER BY delivery_id, attempt LIMIT $3;

-- name: replay_delivery
-- Owe a delivery again, from now on, with all its tries before it; one that is owed is due at once.
-- Not to an endpoint that is disabled: nothing is sent to it, so the caller would wait for nothing.
-- Who asked for it ($5, $6) is in the list of changes.
WITH again AS (
    UPDATE webhook_deliveries AS d
    SET state = 'owed', tries = CASE WHEN d.state = 'owed' THEN d.tries ELSE 0 END,
        next_try_at = $4, ended_at = NULL
    FROM webhook_endpoints AS e
    WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.delivery_id = $3
      AND e.merchant_id = d.merchant_id AND e.endpoint_id = d.endpoint_id AND e.state = 'enabled'
    RETURNING d.*, e.url
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $6, merchant_id, $4, $5, 'webhook_replayed', url, 'event ' || number FROM again
)
SELECT *, NULL::timestamptz AS last_at, NULL::integer AS status, NULL::integer AS milliseconds,
    NULL::text AS error
FROM again;

-- name: replay_range
-- Owe again what ended of a range of events, the oldest $7; not to an endpoint that is disabled. With
-- who asked for it ($8, $9).
WITH chosen AS MATERIALIZED (
    SELECT d.merchant_id, d.delivery_id, e.url
    FROM webhook_deliveries AS d JOIN webhook_endpoints AS e
        ON e.merchant_id = d.merchant_id AND e.endpoint_id = d.endpoint_id AND e.state = 'enabled'
    WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.number BETWEEN $3 AND $4
      AND d.state <> 'owed' AND ($5::text IS NULL OR d.state = $5)
    ORDER BY d.number LIMIT $7 FOR UPDATE OF d
), again AS (
    UPDATE webhook_deliveries AS d SET state = 'owed', tries = 0, next_try_at = $6, ended_at = NULL
    FROM chosen AS c
    WHERE d.merchant_id = c.merchant_id AND d.delivery_id = c.delivery_id
    RETURNING d.number, c.url
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $9, $1, $6, $8, 'webhook_replayed', min(url),
        'events ' || min(number) || ' to ' || max(number) || ', ' || count(*) || ' in all'
    FROM again HAVING count(*) > 0
)
SELECT number FROM again;

-- name: due_deliveries
-- What is owed and due, of each endpoint only its oldest few ($4), of one that fails only one, so
-- that no endpoint stands in another's way; at most $5 to endpoints that work, and as many to those
-- that fail, which never fill the others' places. A lease is also over when its process has ended, and
-- when it is ours and we are not at it ($3).
SELECT merchant_id, endpoint_id, delivery_id, failing FROM (
    SELECT d.*, e.failing_since IS NOT NULL AS failing, row_number() OVER (
        PARTITION BY e.failing_since IS NOT NULL ORDER BY d.next_try_at) AS place
    FROM webhook_endpoints AS e CROSS JOIN LATERAL (
        SELECT o.merchant_id, o.endpoint_id, o.delivery_id, o.next_try_at
        FROM webhook_deliveries AS o
        WHERE o.merchant_id = e.merchant_id AND o.endpoint_id = e.endpoint_id AND o.state = 'owed'
          AND o.next_try_at <= $1 AND o.delivery_id <> ALL($3::uuid[])
          AND (o.lease_until IS NULL OR o.lease_until <= $1 OR o.lease_owner = $2 OR EXISTS (
            SELECT 1 FROM processes AS ended
            WHERE ended.process_id = o.lease_owner AND ended.lease_until <= $1))
        ORDER BY o.next_try_at LIMIT CASE WHEN e.failing_since IS NULL THEN $4::integer ELSE 1 END
    ) AS d
    WHERE e.state = 'enabled'
) AS due
WHERE place <= $5::integer ORDER BY next_try_at;

-- name: claim_deliveries
-- Take a lease on owed deliveries of one merchant, one try more, with what their messages need.
UPDATE webhook_deliveries AS o
SET lease_owner = $3, lease_until = $4, tries = o.tries + 1, attempts = o.attempts + 1
FROM webhook_endpoints AS e
WHERE o.merchant_id = $1 AND o.delivery_id = ANY($2::uuid[]) AND o.state = 'owed'
  AND (o.lease_until IS NULL OR o.lease_until <= $5 OR o.lease_owner = $3 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = o.lease_owner AND ended.lease_until <= $5))
  AND e.merchant_id = o.merchant_id AND e.endpoint_id = o.endpoint_id AND e.state = 'enabled'
RETURNING o.delivery_id, o.number, o.tries, o.attempts, e.endpoint_id, e.url, e.secret_key_id,
    e.secret_nonce, e.secret_sealed, e.previous_key_id, e.previous_nonce, e.previous_sealed,
    e.previous_until, e.failing_since;

-- name: delivery_ended
-- One try with its result, what it means for the delivery, and for its endpoint: it works again, it
-- fails, or it is disabled, with history and a mail. $9: disable when it fails since before then.
WITH delivery AS (
    UPDATE webhook_deliveries
    SET state = $4, next_try_at = $5, lease_owner = NULL, lease_until = NULL,
        ended_at = CASE WHEN $4 = 'owed' THEN NULL ELSE $6::timestamptz END
    WHERE merchant_id = $1 AND delivery_id = $2 AND lease_owner = $3 AND state = 'owed'
    RETURNING *
), attempt AS (
    INSERT INTO webhook_attempts
        (merchant_id, delivery_id, attempt, at, status, milliseconds, error)
    SELECT merchant_id, delivery_id, attempts, $7, $10::integer, $11::integer, $12::text
    FROM delivery
), working AS (
    UPDATE webhook_endpoints AS e SET failing_since = NULL
    FROM delivery AS d
    WHERE e.merchant_id = d.merchant_id AND e.endpoint_id = d.endpoint_id
      AND d.state = 'delivered' AND e.failing_since IS NOT NULL
), failing AS (
    UPDATE webhook_endpoints AS e SET failing_since = $6
    FROM delivery AS d
    WHERE e.merchant_id = d.merchant_id AND e.endpoint_id = d.endpoint_id
      AND d.state <> 'delivered' AND e.failing_since IS NULL AND NOT $8::boolean
), disabled AS (
    UPDATE webhook_endpoints AS e SET state = 'disabled', updated_at = $6
    FROM delivery AS d
    WHERE e.merchant_id = d.merchant_id AND e.endpoint_id = d.endpoint_id
      AND d.state <> 'delivered' AND e.state = 'enabled'
      AND ($8 OR e.failing_since <= $9)
    RETURNING e.*
), told AS (
    INSERT INTO webhook_endpoint_events
        (merchant_id, endpoint_id, event_id, at, from_state, to_state, cause, actor)
    SELECT merchant_id, endpoint_id, $13::uuid, $6, 'enabled', 'disabled',
        CASE WHEN $8 THEN 'gone' ELSE 'failing' END, 'worker'
    FROM disabled
), mail AS (
    INSERT INTO outbox
        (merchant_id, outbox_id, endpoint_id, kind, recipient, state, next_try_at, created_at)
    SELECT d.merchant_id, $14::uuid, d.endpoint_id, 'mail_endpoint_disabled', m.email, 'owed', $6,
        $6
    FROM disabled AS d JOIN merchants AS m ON m.merchant_id = d.merchant_id
)
SELECT d.state, EXISTS (SELECT 1 FROM disabled) AS disabled FROM delivery AS d;

-- name: event_by_number
-- One event of the feed, with the facts of its payment and movement.
SELECT f.*, p.kind, p.amount_minor, p.currency, p.order_number, p.card_brand, p.card_last_four,
    m.kind AS movement_kind, m.amount_minor AS movement_amount_now
FROM feed AS f
LEFT JOIN payments AS p ON p.merchant_id = f.merchant_id AND p.payment_id = f.payment_id
LEFT JOIN movements AS m ON m.merchant_id = f.merchant_id AND m.movement_id = f.movement_id
WHERE f.merchant_id = $1 AND f.number = $2;

-- name: forget_deliveries
-- Deliveries that ended long ago, with their tries; the feed keeps the events.
DELETE FROM webhook_deliveries WHERE (merchant_id, delivery_id) IN (
    SELECT merchant_id, delivery_id FROM webhook_deliveries
    WHERE state <> 'owed' AND ended_at < $1 ORDER BY ended_at LIMIT $2)
RETURNING delivery_id;
