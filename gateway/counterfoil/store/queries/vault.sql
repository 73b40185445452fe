-- name: retire_card_key
-- The key under which cards were sealed opens from now on only what it has sealed.
UPDATE vault_keys SET retired_at = $1 WHERE purpose = 'card' AND retired_at IS NULL
RETURNING key_id;

-- name: add_next_card_key
-- A new data key for cards, durable before anybody seals with it; it is the newest by its time.
INSERT INTO vault_keys (key_id, purpose, wrapped, created_at)
SELECT $1, 'card', $2, greatest($3::timestamptz, max(created_at) + interval '1 millisecond')
FROM vault_keys;

-- name: cards_under_other_keys
-- A page of cards that are not sealed under the newest key, after a given one.
SELECT merchant_id, token, key_id, nonce, ciphertext FROM vault_cards
WHERE key_id <> $1 AND ($2::uuid IS NULL OR (merchant_id, token) > ($2, $3::uuid))
ORDER BY merchant_id, token LIMIT $4;

-- name: seal_anew
-- Put cards under the newest key; one that somebody else has put there meanwhile stays as it is.
UPDATE vault_cards AS v
SET key_id = n.key_id, nonce = n.nonce, ciphertext = n.ciphertext
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::bytea[])
    AS n (merchant_id, token, old_key_id, key_id, nonce, ciphertext)
WHERE v.merchant_id = n.merchant_id AND v.token = n.token AND v.key_id = n.old_key_id
RETURNING v.token;

-- name: cards_by_key
-- The inventory: each data key, since when, and how many cards lie under it.
SELECT k.key_id, k.purpose, k.created_at, k.retired_at,
    (SELECT count(*) FROM vault_cards AS c WHERE c.key_id = k.key_id) AS cards
FROM vault_keys AS k ORDER BY k.created_at;
