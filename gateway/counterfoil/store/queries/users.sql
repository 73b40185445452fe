-- name: add_invitation
-- A one-time link to a merchant's pages, with who made it and for whom.
WITH made AS (
    INSERT INTO invitations (invitation_id, token_hash, merchant_id, email, role, invited_by,
        created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    RETURNING *
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
SELECT $9, merchant_id, created_at, invited_by, 'person_invited', email, role FROM made
RETURNING event_id;

-- name: invitation_by_token
-- The invitation of a link, with the merchant's name, and the person if we know them already.
SELECT i.*, m.name AS merchant_name, u.user_id, u.name AS user_name,
    u.password_hash IS NOT NULL AS has_password
FROM invitations AS i JOIN merchants AS m USING (merchant_id)
    LEFT JOIN users AS u ON u.email = i.email
WHERE i.token_hash = $1;

-- name: accept_invitation
-- Use up a link: the person, their place at the merchant, and who did so, in one; nothing if it was
-- used, ended, or is too old. A password is only given to somebody who has none. Other links of the
-- same address to this merchant end with it, and an owner stays one, whatever a link says. Whom we
-- know keeps their name, unless they choose another here ($7, $8: events, and at which merchants).
WITH links AS MATERIALIZED (
    SELECT o.invitation_id FROM invitations AS i JOIN invitations AS o USING (merchant_id, email)
    WHERE i.token_hash = $1 AND o.used_at IS NULL AND o.ended_at IS NULL
    ORDER BY o.invitation_id FOR UPDATE OF o
), used AS (
    UPDATE invitations SET used_at = $2
    WHERE token_hash = $1 AND used_at IS NULL AND ended_at IS NULL AND expires_at > $2
        AND invitation_id IN (SELECT invitation_id FROM links)
    RETURNING *
), others AS (
    UPDATE invitations AS o SET ended_at = $2 FROM used
    WHERE o.invitation_id IN (SELECT invitation_id FROM links)
        AND o.invitation_id <> used.invitation_id AND o.used_at IS NULL AND o.ended_at IS NULL
), known AS MATERIALIZED (
    SELECT u.name FROM users AS u JOIN used USING (email) WHERE u.password_hash IS NOT NULL
), person AS (
    INSERT INTO users (user_id, email, name, password_hash, password_changed_at, created_at)
    SELECT $3, email, $4, $5, $2, $2 FROM used
    ON CONFLICT (email) DO UPDATE SET
        name = CASE WHEN users.password_hash IS NULL OR cardinality($7::uuid[]) > 0 THEN excluded.name
            ELSE users.name END,
        password_hash = COALESCE(users.password_hash, excluded.password_hash),
        password_changed_at = COALESCE(users.password_changed_at, excluded.password_changed_at)
    RETURNING user_id, email
), place AS (
    INSERT INTO members (merchant_id, user_id, role, added_at)
    SELECT used.merchant_id, person.user_id, used.role, $2 FROM used, person
    ON CONFLICT (merchant_id, user_id) DO UPDATE SET ended_at = NULL,
        role = CASE WHEN members.role = 'owner' AND members.ended_at IS NULL THEN members.role
            ELSE excluded.role END
    RETURNING merchant_id, user_id, role
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $6, place.merchant_id, $2, 'user:' || replace(place.user_id::text, '-', ''),
        'invitation_accepted', person.email, place.role
    FROM place, person
), renamed AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT n.event_id, n.merchant_id, $2, 'user:' || replace(person.user_id::text, '-', ''),
        'name_changed', person.email, known.name, $4
    FROM person, known, unnest($7::uuid[], $8::uuid[]) AS n (event_id, merchant_id)
    WHERE known.name <> $4
)
SELECT user_id, merchant_id, role FROM place;

-- name: user_by_email
-- A person who may sign in.
SELECT user_id, email, name, password_hash,
    EXISTS (SELECT FROM authenticators AS a WHERE a.user_id = u.user_id
        AND a.confirmed_at IS NOT NULL AND a.ended_at IS NULL)
    OR EXISTS (SELECT FROM passkeys AS p WHERE p.user_id = u.user_id AND p.ended_at IS NULL)
        AS has_second_factor
FROM users AS u WHERE email = $1 AND ended_at IS NULL;

-- name: merchants_of_user
-- For whom a person works, and as what.
SELECT m.merchant_id, m.name, b.role FROM members AS b JOIN merchants AS m USING (merchant_id)
WHERE b.user_id = $1 AND b.ended_at IS NULL ORDER BY m.name, m.merchant_id LIMIT 1000;

-- name: merchants_that_knew
-- Whose histories name the person with an address: for whom they work, or did.
SELECT b.merchant_id FROM members AS b JOIN users AS u USING (user_id)
WHERE u.email = $1 ORDER BY b.merchant_id LIMIT 1000;

-- name: merchant_to_open
-- For whom a person goes on when they sign in: for whom they worked last, or the first by name.
SELECT b.merchant_id FROM members AS b JOIN merchants AS m USING (merchant_id)
    LEFT JOIN LATERAL (
        SELECT max(s.seen_at) AS seen_at FROM web_sessions AS s
        WHERE s.user_id = b.user_id AND s.merchant_id = b.merchant_id) AS seen ON true
WHERE b.user_id = $1 AND b.ended_at IS NULL
ORDER BY seen.seen_at DESC NULLS LAST, m.name, m.merchant_id LIMIT 1;

-- name: begin_session
-- A browser is signed in; who, where and when stands in the list of changes. Wrong tries before are
-- forgiven. After a second factor (`$12`) that half of a sign-in is used up, once.
WITH half AS (
    DELETE FROM half_sign_ins WHERE token_hash = $12 AND user_id = $3 AND ends_at > $7
    RETURNING user_id
), begun AS (
    INSERT INTO web_sessions (session_id, token_hash, user_id, merchant_id, address, browser,
        created_at, seen_at, idle_until, ends_at, stepped_up_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $11
    WHERE $12::bytea IS NULL OR EXISTS (SELECT FROM half)
    RETURNING *
), forgiven AS (
    DELETE FROM sign_in_tries AS t USING begun
    WHERE t.subject = 'user:' || replace(begun.user_id::text, '-', '')
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
SELECT $10, merchant_id, created_at, 'user:' || replace(user_id::text, '-', ''), 'signed_in', address,
    browser
FROM begun
RETURNING event_id;

-- name: session_by_token
-- The signed-in browser of a cookie, with the person, their role and the whole merchant; nothing if
-- it has ended, stood idle too long, or the person is no longer a member.
SELECT s.session_id, s.user_id, s.created_at AS signed_in_at, s.seen_at, s.stepped_up_at, s.ends_at,
    u.email AS user_email, u.name AS user_name, b.role,
    EXISTS (SELECT FROM authenticators AS a WHERE a.user_id = s.user_id
        AND a.confirmed_at IS NOT NULL AND a.ended_at IS NULL)
    OR EXISTS (SELECT FROM passkeys AS p WHERE p.user_id = s.user_id AND p.ended_at IS NULL)
        AS has_second_factor,
    EXISTS (SELECT FROM members AS o WHERE o.user_id = s.user_id AND o.merchant_id <> s.merchant_id
        AND o.ended_at IS NULL) AS has_other_merchants, m.*
FROM web_sessions AS s JOIN users AS u USING (user_id)
    JOIN members AS b ON b.merchant_id = s.merchant_id AND b.user_id = s.user_id
    JOIN merchants AS m ON m.merchant_id = s.merchant_id
WHERE s.token_hash = $1 AND s.ended_at IS NULL AND s.idle_until > $2 AND s.ends_at > $2
    AND u.ended_at IS NULL AND b.ended_at IS NULL;

-- name: touch_session
-- A signed-in browser was seen: it may stand idle from now on anew.
UPDATE web_sessions SET seen_at = $2, idle_until = LEAST($3, ends_at)
WHERE session_id = $1 AND ended_at IS NULL;

-- name: renew_session
-- The same browser under a new token: after a step-up, or for another merchant of the person.
WITH renewed AS (
    UPDATE web_sessions AS s
    SET token_hash = $2, merchant_id = $3, stepped_up_at = COALESCE($4, stepped_up_at)
    WHERE session_id = $1 AND ended_at IS NULL AND EXISTS (SELECT FROM members AS b
        WHERE b.merchant_id = $3 AND b.user_id = s.user_id AND b.ended_at IS NULL)
    RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what)
    SELECT $5, merchant_id, $6, 'user:' || replace(user_id::text, '-', ''), $7 FROM renewed
)
SELECT session_id FROM renewed;

-- name: end_session
-- A browser is signed out, by whom and why.
WITH ended AS (
    UPDATE web_sessions SET ended_at = $2, ended_why = $3
    WHERE session_id = $1 AND ended_at IS NULL
    RETURNING *
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
SELECT $4, merchant_id, $2, $5, 'session_ended', $3 FROM ended
RETURNING event_id;

-- name: note_change
-- Something that a person changed, which has no table of its own to say so.
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: people_events_page
-- What was changed, newest first.
SELECT e.*, u.name AS user_name, u.email AS user_email
FROM people_events AS e
    LEFT JOIN users AS u ON e.actor = 'user:' || replace(u.user_id::text, '-', '')
WHERE e.merchant_id = $1 AND ($2::uuid IS NULL OR e.event_id < $2)
ORDER BY e.event_id DESC LIMIT $3;
