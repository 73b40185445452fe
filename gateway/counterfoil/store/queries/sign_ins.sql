-- name: take_try
-- One more try of somebody to sign in (or page of a payment link), taken before it is judged, so that
-- many at once are no more than one after another; nothing when all are used up. Old rows go.
WITH forgotten AS (
    DELETE FROM sign_in_tries WHERE subject IN (
        SELECT subject FROM sign_in_tries WHERE until <= $3 AND subject <> $1
        ORDER BY until LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO sign_in_tries AS t (subject, tries, until) VALUES ($1, 1, $4)
ON CONFLICT (subject) DO UPDATE SET
    tries = CASE WHEN t.until <= $3 THEN 1 ELSE t.tries + 1 END,
    until = CASE WHEN t.until <= $3 THEN $4 WHEN t.tries + 1 >= $2 THEN $5 ELSE t.until END
WHERE t.until <= $3 OR t.tries < $2
RETURNING tries;

-- name: give_tries_back
-- What was tried was right: it does not count.
UPDATE sign_in_tries SET tries = tries - 1 WHERE subject = ANY($1) AND tries > 0;

-- name: note_wrong_try
-- A wrong try, and the lock if it brought one, for each merchant of the person; of a stranger, for
-- none, by whoever tried ($6): at a step-up that is known. What a stranger typed is not kept: it may be
-- a password.
WITH place AS (
    SELECT merchant_id, row_number() OVER (ORDER BY merchant_id) AS number
    FROM members WHERE user_id = $1 AND ended_at IS NULL
    UNION ALL
    SELECT NULL, 1 WHERE $1::uuid IS NULL
), said AS (
    SELECT what, event_id, 1 + (number - 1) / cardinality($2::text[]) AS number
    FROM unnest($3::uuid[]) WITH ORDINALITY AS e (event_id, number)
        JOIN unnest($2::text[]) WITH ORDINALITY AS w (what, nth)
            ON (number - 1) % cardinality($2::text[]) = nth - 1
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
SELECT said.event_id, place.merchant_id, $4, $6, said.what,
    (SELECT email FROM users WHERE user_id = $1), $5
FROM place JOIN said USING (number);

-- name: begin_half_sign_in
-- The password was right: ask for the second factor. Lapsed ones are forgotten.
WITH forgotten AS (
    DELETE FROM half_sign_ins WHERE token_hash IN (
        SELECT token_hash FROM half_sign_ins WHERE ends_at <= $3
        ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO half_sign_ins (token_hash, user_id, created_at, ends_at) VALUES ($1, $2, $3, $4);

-- name: half_sign_in_by_token
-- Who is asked for a second factor, and which ones they have.
SELECT u.user_id, u.email, u.name,
    EXISTS (SELECT FROM authenticators AS a WHERE a.user_id = u.user_id
        AND a.confirmed_at IS NOT NULL AND a.ended_at IS NULL) AS has_authenticator,
    EXISTS (SELECT FROM passkeys AS p WHERE p.user_id = u.user_id AND p.ended_at IS NULL)
        AS has_passkey
FROM half_sign_ins AS h JOIN users AS u USING (user_id)
WHERE h.token_hash = $1 AND h.ends_at > $2 AND u.ended_at IS NULL;

-- name: set_session_challenge
-- What a passkey is to sign for a signed-in browser.
UPDATE web_sessions SET challenge = $2, challenge_until = $3
WHERE session_id = $1 AND ended_at IS NULL;

-- name: take_session_challenge
-- The challenge of a signed-in browser, once.
WITH asked AS MATERIALIZED (
    SELECT session_id, challenge, challenge_until FROM web_sessions
    WHERE session_id = $1 AND challenge IS NOT NULL FOR UPDATE
), taken AS (
    UPDATE web_sessions AS s SET challenge = NULL, challenge_until = NULL
    FROM asked WHERE s.session_id = asked.session_id
)
SELECT challenge FROM asked WHERE challenge_until > $2;

-- name: set_half_challenge
-- What a passkey is to sign for somebody whose password was right.
UPDATE half_sign_ins SET challenge = $2, challenge_until = $3 WHERE token_hash = $1;

-- name: take_half_challenge
-- The challenge of somebody whose password was right, once.
WITH asked AS MATERIALIZED (
    SELECT token_hash, challenge, challenge_until FROM half_sign_ins
    WHERE token_hash = $1 AND challenge IS NOT NULL FOR UPDATE
), taken AS (
    UPDATE half_sign_ins AS h SET challenge = NULL, challenge_until = NULL
    FROM asked WHERE h.token_hash = asked.token_hash
)
SELECT challenge FROM asked WHERE challenge_until > $2;

-- name: add_reset
-- A one-time link for a person who has lost their way in; their browsers are signed out at once, and
-- earlier links end. Each of their merchants is told.
WITH person AS (
    SELECT user_id, email FROM users WHERE email = $2 AND ended_at IS NULL
), earlier AS (
    UPDATE sign_in_resets AS r SET expires_at = $4 FROM person
    WHERE r.user_id = person.user_id AND r.used_at IS NULL AND r.expires_at > $4
), made AS (
    INSERT INTO sign_in_resets (token_hash, user_id, made_by, created_at, expires_at)
    SELECT $1, user_id, $3, $4, $5 FROM person
), ended AS (
    UPDATE web_sessions AS s SET ended_at = $4, ended_why = 'reset' FROM person
    WHERE s.user_id = person.user_id AND s.ended_at IS NULL
), halves AS (
    DELETE FROM half_sign_ins AS h USING person WHERE h.user_id = person.user_id
), place AS (
    SELECT b.merchant_id, row_number() OVER (ORDER BY b.merchant_id) AS number
    FROM members AS b JOIN person USING (user_id) WHERE b.ended_at IS NULL
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
    SELECT e.event_id, place.merchant_id, $4, $3, 'sign_in_reset', person.email
    FROM person, place JOIN unnest($6::uuid[]) WITH ORDINALITY AS e (event_id, number) USING (number)
)
SELECT user_id FROM person;

-- name: reset_by_token
-- Whose link this is, if it stands still.
SELECT u.user_id, u.email, u.name, u.password_hash, u.ended_at IS NULL AS is_somebody
FROM sign_in_resets AS r JOIN users AS u USING (user_id)
WHERE r.token_hash = $1 AND r.used_at IS NULL AND r.expires_at > $2 AND u.ended_at IS NULL;

-- name: use_reset
-- Use up a link, once: a new password, no second factor and no recovery code any more, every browser
-- signed out, no lock.
WITH used AS (
    UPDATE sign_in_resets SET used_at = $2
    WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2
    RETURNING user_id
), person AS MATERIALIZED (
    SELECT u.user_id, u.email, u.password_hash FROM users AS u JOIN used USING (user_id)
    WHERE u.ended_at IS NULL FOR UPDATE OF u
), changed AS (
    UPDATE users AS u SET password_hash = $3, password_changed_at = $2
    FROM person WHERE u.user_id = person.user_id
), kept AS (
    INSERT INTO old_passwords (user_id, replaced_at, password_hash)
    SELECT user_id, $2, password_hash FROM person WHERE password_hash IS NOT NULL
), without_app AS (
    UPDATE authenticators AS a SET ended_at = $2, ciphertext = ''
    FROM person WHERE a.user_id = person.user_id AND a.ended_at IS NULL
), without_passkeys AS (
    UPDATE passkeys AS p SET ended_at = $2
    FROM person WHERE p.user_id = person.user_id AND p.ended_at IS NULL
), without_codes AS (
    DELETE FROM recovery_codes AS c USING person WHERE c.user_id = person.user_id
), ended AS (
    UPDATE web_sessions AS s SET ended_at = $2, ended_why = 'reset'
    FROM person WHERE s.user_id = person.user_id AND s.ended_at IS NULL
), halves AS (
    DELETE FROM half_sign_ins AS h USING person WHERE h.user_id = person.user_id
), unlocked AS (
    DELETE FROM sign_in_tries AS t USING person
    WHERE t.subject = 'user:' || replace(person.user_id::text, '-', '')
), place AS (
    SELECT b.merchant_id, row_number() OVER (ORDER BY b.merchant_id) AS number
    FROM members AS b JOIN person USING (user_id) WHERE b.ended_at IS NULL
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
    SELECT e.event_id, place.merchant_id, $2,
        'user:' || replace(person.user_id::text, '-', ''), 'sign_in_reset_used', person.email
    FROM person, place JOIN unnest($4::uuid[]) WITH ORDINALITY AS e (event_id, number) USING (number)
)
SELECT user_id FROM person;

-- name: passwords_of
-- The hashes of a person's password and of those before it.
SELECT password_hash FROM users WHERE user_id = $1 AND password_hash IS NOT NULL
UNION ALL
(SELECT password_hash FROM old_passwords WHERE user_id = $1 ORDER BY replaced_at DESC LIMIT 3);

-- name: change_password
-- A new password; the one before is remembered, the fourth before forgotten, and every other browser
-- of the person is signed out.
WITH before AS MATERIALIZED (
    SELECT user_id, email, password_hash FROM users
    WHERE user_id = $1 AND ended_at IS NULL AND password_hash IS NOT NULL FOR UPDATE
), changed AS (
    UPDATE users AS u SET password_hash = $2, password_changed_at = $3
    FROM before WHERE u.user_id = before.user_id
), kept AS (
    INSERT INTO old_passwords (user_id, replaced_at, password_hash)
    SELECT user_id, $3, password_hash FROM before
), forgotten AS (
    DELETE FROM old_passwords AS o USING before WHERE o.user_id = before.user_id
        AND o.replaced_at < (SELECT min(r.replaced_at) FROM (
            SELECT replaced_at FROM old_passwords WHERE user_id = $1
            ORDER BY replaced_at DESC LIMIT 2) AS r)
), ended AS (
    UPDATE web_sessions AS s SET ended_at = $3, ended_why = 'password changed'
    FROM before WHERE s.user_id = before.user_id AND s.session_id <> $4 AND s.ended_at IS NULL
    RETURNING s.session_id
), halves AS (
    DELETE FROM half_sign_ins AS h USING before WHERE h.user_id = before.user_id
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
SELECT $5, $6, $3, 'user:' || replace(user_id::text, '-', ''), 'password_changed', email,
    (SELECT count(*) FROM ended) || ' other sign-ins ended'
FROM before
RETURNING event_id;

-- name: change_name
-- Another name of a person, with what it was, at every merchant whose histories name them.
WITH before AS MATERIALIZED (
    SELECT user_id, email, name FROM users WHERE user_id = $1 AND ended_at IS NULL FOR UPDATE
), changed AS (
    UPDATE users AS u SET name = $2 FROM before WHERE u.user_id = before.user_id
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
SELECT n.event_id, n.merchant_id, $5, 'user:' || replace(b.user_id::text, '-', ''), 'name_changed',
    b.email, b.name, $2
FROM before AS b, unnest($3::uuid[], $4::uuid[]) AS n (event_id, merchant_id)
WHERE b.name <> $2;

-- name: sessions_of_user
-- The browsers in which a person is signed in.
SELECT s.session_id, s.address, s.browser, s.created_at, s.seen_at, m.name AS merchant_name
FROM web_sessions AS s JOIN merchants AS m USING (merchant_id)
WHERE s.user_id = $1 AND s.created_at > $3 AND s.ended_at IS NULL AND s.idle_until > $2
    AND s.ends_at > $2
ORDER BY s.created_at DESC LIMIT 100;

-- name: end_own_sessions
-- Sign a person's browsers out: the one named, or all but the one that asks.
WITH ended AS (
    UPDATE web_sessions SET ended_at = $4, ended_why = 'ended by the person'
    WHERE user_id = $1 AND ended_at IS NULL AND session_id <> $2
        AND ($3::uuid IS NULL OR session_id = $3)
    RETURNING session_id
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
SELECT $5, $6, $4, 'user:' || replace($1::text, '-', ''), 'sessions_ended',
    (SELECT count(*) FROM ended)::text
WHERE EXISTS (SELECT FROM ended)
RETURNING event_id;
