-- name: begin_authenticator
-- The secret of an authenticator app that is being set up, sealed; one that was begun before goes.
WITH dropped AS (
    DELETE FROM authenticators WHERE user_id = $2 AND confirmed_at IS NULL
)
INSERT INTO authenticators (authenticator_id, user_id, key_id, nonce, ciphertext, made_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (SELECT FROM authenticators WHERE user_id = $2 AND confirmed_at IS NOT NULL
    AND ended_at IS NULL)
RETURNING authenticator_id;

-- name: authenticator_begun
-- What is being set up, if it was begun a short while ago.
SELECT authenticator_id, key_id, nonce, ciphertext FROM authenticators
WHERE user_id = $1 AND confirmed_at IS NULL AND ended_at IS NULL AND made_at > $2
ORDER BY made_at DESC LIMIT 1;

-- name: confirm_authenticator
-- The app shows the right code: from now on it is asked for. The step of that code is used up.
WITH confirmed AS (
    UPDATE authenticators AS a SET confirmed_at = $3, last_step = $4
    WHERE authenticator_id = $1 AND user_id = $2 AND confirmed_at IS NULL AND ended_at IS NULL
        AND NOT EXISTS (SELECT FROM authenticators AS o WHERE o.user_id = $2
            AND o.confirmed_at IS NOT NULL AND o.ended_at IS NULL)
    RETURNING user_id
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what)
SELECT $5, $6, $3, 'user:' || replace(user_id::text, '-', ''), 'authenticator_added' FROM confirmed
RETURNING event_id;

-- name: authenticator_of
-- A person's authenticator app.
SELECT authenticator_id, key_id, nonce, ciphertext, confirmed_at FROM authenticators
WHERE user_id = $1 AND confirmed_at IS NOT NULL AND ended_at IS NULL;

-- name: use_step
-- A code's time step counts once; nothing when it, or a later one, was used.
UPDATE authenticators SET last_step = $2
WHERE authenticator_id = $1 AND ended_at IS NULL AND last_step < $2
RETURNING authenticator_id;

-- name: end_authenticator
-- The app is no factor any more, and its secret is gone.
WITH ended AS (
    UPDATE authenticators SET ended_at = $2, ciphertext = ''
    WHERE user_id = $1 AND confirmed_at IS NOT NULL AND ended_at IS NULL
    RETURNING user_id
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what)
SELECT $3, $4, $2, 'user:' || replace(user_id::text, '-', ''), 'authenticator_removed' FROM ended
RETURNING event_id;

-- name: add_passkey
-- A passkey of a person; nothing when it is known, or there are too many.
WITH made AS (
    INSERT INTO passkeys (passkey_id, user_id, credential_id, public_key, sign_count, name, made_at)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE (SELECT count(*) FROM passkeys WHERE user_id = $2 AND ended_at IS NULL) < $8
    ON CONFLICT (credential_id) DO NOTHING
    RETURNING user_id, name
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
SELECT $9, $10, $7, 'user:' || replace(user_id::text, '-', ''), 'passkey_added', name FROM made
RETURNING event_id;

-- name: passkeys_of
-- A person's passkeys.
SELECT passkey_id, credential_id, public_key, sign_count, name, made_at, used_at FROM passkeys
WHERE user_id = $1 AND ended_at IS NULL ORDER BY made_at LIMIT 100;

-- name: passkey_by_credential
-- Whose passkey this is, while it counts.
SELECT p.passkey_id, p.user_id, p.public_key, p.sign_count
FROM passkeys AS p JOIN users AS u USING (user_id)
WHERE p.credential_id = $1 AND p.ended_at IS NULL AND u.ended_at IS NULL;

-- name: use_passkey
-- A passkey has signed; nothing when its count went back, as that of a copy does.
UPDATE passkeys SET sign_count = $2, used_at = $3
WHERE passkey_id = $1 AND ended_at IS NULL AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0))
RETURNING passkey_id;

-- name: end_passkey
-- A passkey of a person is no factor any more.
WITH ended AS (
    UPDATE passkeys SET ended_at = $3
    WHERE passkey_id = $2 AND user_id = $1 AND ended_at IS NULL
    RETURNING user_id, name
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
SELECT $4, $5, $3, 'user:' || replace(user_id::text, '-', ''), 'passkey_removed', name FROM ended
RETURNING event_id;

-- name: replace_recovery_codes
-- New recovery codes of a person, hashed; those before are worth nothing.
WITH dropped AS (
    DELETE FROM recovery_codes WHERE user_id = $1
), made AS (
    INSERT INTO recovery_codes (user_id, code_hash, made_at)
    SELECT $1, code_hash, $3 FROM unnest($2::bytea[]) AS c (code_hash)
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what)
VALUES ($4, $5, $3, 'user:' || replace($1::uuid::text, '-', ''), 'recovery_codes_made');

-- name: use_recovery_code
-- A recovery code, once; each merchant of the person is told.
WITH used AS (
    UPDATE recovery_codes SET used_at = $3
    WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL
    RETURNING user_id
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what)
    SELECT e.event_id, p.merchant_id, $3, 'user:' || replace($1::uuid::text, '-', ''),
        'recovery_code_used'
    FROM used, (
        SELECT merchant_id, row_number() OVER (ORDER BY merchant_id) AS number
        FROM members WHERE user_id = $1 AND ended_at IS NULL
    ) AS p JOIN unnest($4::uuid[]) WITH ORDINALITY AS e (event_id, number) USING (number)
)
SELECT user_id FROM used;

-- name: recovery_codes_left
-- How many recovery codes a person still has.
SELECT count(*) AS count FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL;
