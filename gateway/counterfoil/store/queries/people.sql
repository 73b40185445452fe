-- name: installation
-- Of which mode the data here is.
SELECT mode FROM installation;

-- name: found_installation
-- Stamp a new database with its mode.
INSERT INTO installation (mode, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: add_merchant
-- A new merchant, with who added it ($12, $13).
WITH made AS (
    INSERT INTO merchants
        (merchant_id, name, city, region, country, category_code, timezone, cutoff, email,
         acknowledge_seconds, created_at, last_cutoff_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
    SELECT $12, merchant_id, created_at, $13, 'merchant_added', name FROM made
    WHERE $12::uuid IS NOT NULL
)
SELECT merchant_id FROM made;

-- name: set_merchant
-- Change what an operator allows (null keeps it); the gateways that hold it in memory are told. What
-- became another is in the list of changes, with who changed it ($4, $5, $6).
WITH before AS MATERIALIZED (
    SELECT * FROM merchants WHERE merchant_id = $1 FOR UPDATE
), changed AS (
    UPDATE merchants AS m
    SET credits_allowed = COALESCE($2, b.credits_allowed),
        partial_approvals = COALESCE($3, b.partial_approvals)
    FROM before AS b WHERE m.merchant_id = b.merchant_id
    RETURNING m.*
), said AS (
    SELECT n.event_id, n.name, to_jsonb(b) ->> n.name AS before, to_jsonb(c) ->> n.name AS after
    FROM before AS b, changed AS c,
        unnest(ARRAY['credits_allowed', 'partial_approvals'], $4::uuid[]) AS n (name, event_id)
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT event_id, $1, $5::timestamptz, $6::text, 'setting_changed', name, before, after FROM said
    WHERE event_id IS NOT NULL AND before IS DISTINCT FROM after
)
SELECT merchant_id, pg_notify('api_keys', '') FROM changed;

-- name: add_terminal
-- A terminal of a merchant at an acquirer, with who added it ($6, $7).
WITH made AS (
    INSERT INTO terminals (merchant_id, acquirer, terminal_id, card_acceptor_id, created_at)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $6, merchant_id, created_at, $7, 'terminal_added', terminal_id,
        acquirer || ' as ' || card_acceptor_id
    FROM made WHERE $6::uuid IS NOT NULL
)
SELECT terminal_id FROM made;

-- name: merchants_page
-- Merchants in the order in which they were added.
SELECT * FROM merchants WHERE $1::uuid IS NULL OR merchant_id > $1
ORDER BY merchant_id LIMIT $2;

-- name: merchant_by_id
-- One merchant.
SELECT * FROM merchants WHERE merchant_id = $1;

-- name: acceptor_of_another
-- Whether a card acceptor id is another merchant's at the same acquirer: its reports name only it.
SELECT merchant_id FROM terminals
WHERE acquirer = $1 AND card_acceptor_id = $2 AND merchant_id <> $3 LIMIT 1;

-- name: terminals_of_merchant
-- A merchant's terminals.
SELECT acquirer, terminal_id, card_acceptor_id FROM terminals WHERE merchant_id = $1
ORDER BY acquirer, terminal_id LIMIT 100;

-- name: next_terminal_number
-- The next free terminal number of an acquirer, for terminals named by us.
SELECT count(*) + 1 AS number FROM terminals WHERE acquirer = $1;

-- name: batches_of_merchant
-- A merchant's batches, newest first.
SELECT acquirer, terminal_id, currency, batch_number, state, opened_at FROM batches
WHERE merchant_id = $1 ORDER BY opened_at DESC, batch_number DESC LIMIT 20;

-- name: add_key
-- A new API key: only its hash is kept; nothing when it was made before. With who made it ($8, $9).
WITH made AS (
    INSERT INTO api_keys (key_id, merchant_id, secret_hash, hint, name, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id) DO NOTHING
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $8, merchant_id, created_at, $9, 'key_made', hint, name FROM made
    WHERE $8::uuid IS NOT NULL
)
SELECT key_id FROM made;

-- name: keys_of_merchant
-- A merchant's keys, without their secrets: those are not here.
SELECT key_id, merchant_id, hint, name, created_at, expires_at, revoked_at FROM api_keys
WHERE $1::uuid IS NULL OR merchant_id = $1 ORDER BY key_id LIMIT 1000;

-- name: revoke_key
-- End a key now, of $3 if a merchant is named; the gateways that hold it in memory are told. With
-- who ended it ($4, $5).
WITH ended AS (
    UPDATE api_keys SET revoked_at = $2
    WHERE key_id = $1 AND revoked_at IS NULL AND ($3::uuid IS NULL OR merchant_id = $3)
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before)
    SELECT $4, merchant_id, revoked_at, $5, 'key_revoked', hint, name FROM ended
    WHERE $4::uuid IS NOT NULL
)
SELECT key_id, pg_notify('api_keys', '') FROM ended;

-- name: key_by_hash
-- Whose key this is, with the merchant it belongs to.
SELECT k.key_id, k.expires_at, k.revoked_at, m.*
FROM api_keys AS k JOIN merchants AS m USING (merchant_id) WHERE k.secret_hash = $1;

-- name: vault_keys
-- The wrapped data keys.
SELECT key_id, purpose, wrapped, retired_at FROM vault_keys ORDER BY created_at;

-- name: add_vault_key
-- A new data key, wrapped; the first for its purpose wins.
INSERT INTO vault_keys (key_id, purpose, wrapped, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: sealed_card
-- One sealed card.
SELECT key_id, nonce, ciphertext FROM vault_cards WHERE merchant_id = $1 AND token = $2;

-- name: end_of_day_troubles
-- What waits for a person: files held, batches not agreed, findings open.
SELECT (SELECT count(*) FROM incoming_files WHERE state = 'held' AND aside_at IS NULL) AS held,
    (SELECT count(*) FROM batches WHERE state = 'needs_a_person') AS batches,
    (SELECT count(*) FROM findings WHERE state = 'open') AS findings,
    (SELECT count(*) FROM findings WHERE state = 'open' AND kind = 'refund_refused') AS refused,
    (SELECT min(opened_at) FROM findings WHERE state = 'open' AND kind = 'refund_refused')
        AS refused_since;
