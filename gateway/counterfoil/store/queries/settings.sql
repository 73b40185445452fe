-- name: change_business
-- What a person changes of their business (null keeps a value): each that became another is in the
-- list of changes with what it was, and the gateways that hold the merchant in memory are told.
WITH before AS MATERIALIZED (
    SELECT * FROM merchants WHERE merchant_id = $1 FOR UPDATE
), changed AS (
    UPDATE merchants AS m
    SET name = COALESCE($4, b.name), city = COALESCE($5, b.city), region = COALESCE($6, b.region),
        country = COALESCE($7, b.country), email = COALESCE($8, b.email),
        timezone = COALESCE($9, b.timezone), cutoff = COALESCE($10, b.cutoff),
        acknowledge_seconds = COALESCE($11, b.acknowledge_seconds),
        partial_approvals = COALESCE($12, b.partial_approvals),
        step_up_whole = COALESCE($13, b.step_up_whole)
    FROM before AS b WHERE m.merchant_id = b.merchant_id
    RETURNING m.*
), said AS (
    SELECT n.event_id, n.name, to_jsonb(b) ->> n.name AS before, to_jsonb(c) ->> n.name AS after
    FROM before AS b, changed AS c,
        unnest(ARRAY['name', 'city', 'region', 'country', 'email', 'timezone', 'cutoff',
            'acknowledge_seconds', 'partial_approvals', 'step_up_whole'], $14::uuid[]) AS n (name, event_id)
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT event_id, $1, $2, $3, 'setting_changed', name, before, after FROM said
    WHERE before IS DISTINCT FROM after
    RETURNING about
)
SELECT about AS name, pg_notify('api_keys', '') FROM noted;

-- name: newest_keys
-- A merchant's keys, newest first, without their secrets: those are not here.
SELECT key_id, hint, name, created_at, expires_at, revoked_at FROM api_keys
WHERE merchant_id = $1 ORDER BY key_id DESC LIMIT $2;

-- name: key_of_merchant
-- One key of a merchant.
SELECT key_id, hint, name, created_at, expires_at, revoked_at FROM api_keys
WHERE key_id = $2 AND merchant_id = $1;
