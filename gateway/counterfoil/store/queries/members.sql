-- name: members_of_merchant
-- Who works for a merchant, as what, and when they were seen last.
SELECT m.user_id, m.role, m.added_at, u.name, u.email, seen.seen_at
FROM members AS m JOIN users AS u USING (user_id)
    LEFT JOIN LATERAL (
        SELECT s.seen_at FROM web_sessions AS s
        WHERE s.user_id = m.user_id AND s.merchant_id = m.merchant_id
        ORDER BY s.created_at DESC LIMIT 1) AS seen ON true
WHERE m.merchant_id = $1 AND m.ended_at IS NULL AND ($2::uuid IS NULL OR m.user_id = $2)
ORDER BY u.name, m.user_id LIMIT 500;

-- name: names_of_others
-- Which names histories of these merchants hold already: of whoever works there or did.
SELECT DISTINCT u.name FROM members AS m JOIN users AS u USING (user_id)
WHERE m.merchant_id = ANY($1::uuid[]) AND u.email <> $2
ORDER BY u.name LIMIT 5000;

-- name: pending_invitations
-- Links that still work, newest first.
SELECT invitation_id, email, role, created_at, expires_at FROM invitations
WHERE merchant_id = $1 AND used_at IS NULL AND ended_at IS NULL AND expires_at > $2
ORDER BY created_at DESC LIMIT 100;

-- name: end_invitation
-- A link that works no more, by whom.
WITH ended AS (
    UPDATE invitations SET ended_at = $3
    WHERE merchant_id = $1 AND invitation_id = $2 AND used_at IS NULL AND ended_at IS NULL
    RETURNING *
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before)
SELECT $4, merchant_id, ended_at, $5, 'invitation_ended', email, role FROM ended
RETURNING event_id;

-- name: change_role
-- Another role for a member; the last owner stays one, also when two change each other at once: who
-- comes second waits for the row of the first, and counts it as it is then.
WITH owners AS MATERIALIZED (
    SELECT user_id FROM members
    WHERE merchant_id = $1 AND role = 'owner' AND ended_at IS NULL
    ORDER BY user_id FOR UPDATE
), before AS MATERIALIZED (
    SELECT role FROM members WHERE merchant_id = $1 AND user_id = $2 AND ended_at IS NULL
), changed AS (
    UPDATE members SET role = $3
    WHERE merchant_id = $1 AND user_id = $2 AND ended_at IS NULL AND role <> $3
      AND (user_id NOT IN (SELECT user_id FROM owners) OR (SELECT count(*) FROM owners) > 1)
    RETURNING *
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
SELECT $4, c.merchant_id, $5, $6, 'role_changed', u.name || ' (' || u.email || ')', b.role, c.role
FROM changed AS c JOIN users AS u USING (user_id), before AS b
RETURNING event_id;

-- name: end_member
-- Somebody works for the merchant no more: their browsers are signed out in the same moment, and
-- links that were made for them, or by them, end.
WITH owners AS MATERIALIZED (
    SELECT user_id FROM members
    WHERE merchant_id = $1 AND role = 'owner' AND ended_at IS NULL
    ORDER BY user_id FOR UPDATE
), ended AS (
    UPDATE members SET ended_at = $3
    WHERE merchant_id = $1 AND user_id = $2 AND ended_at IS NULL
      AND (user_id NOT IN (SELECT user_id FROM owners) OR (SELECT count(*) FROM owners) > 1)
    RETURNING *
), signed_out AS (
    UPDATE web_sessions AS s SET ended_at = $3, ended_why = 'works here no more'
    FROM ended AS e
    WHERE s.user_id = e.user_id AND s.merchant_id = e.merchant_id AND s.ended_at IS NULL
), links AS (
    UPDATE invitations AS i SET ended_at = $3
    FROM ended AS e JOIN users AS u USING (user_id)
    WHERE i.merchant_id = e.merchant_id
        AND (i.email = u.email OR i.invited_by = 'user:' || replace(u.user_id::text, '-', ''))
        AND i.used_at IS NULL AND i.ended_at IS NULL
)
INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before)
SELECT $4, e.merchant_id, $3, $5, 'member_ended', u.name || ' (' || u.email || ')', e.role
FROM ended AS e JOIN users AS u USING (user_id)
RETURNING event_id;

-- name: changes_page
-- What was changed, newest first: of everybody or by one actor, of every kind or of one.
SELECT e.*, u.name AS user_name, u.email AS user_email
FROM people_events AS e
    LEFT JOIN users AS u ON e.actor = 'user:' || replace(u.user_id::text, '-', '')
WHERE e.merchant_id = $1 AND ($2::uuid IS NULL OR e.event_id < $2)
  AND ($3::text IS NULL OR e.actor = $3) AND ($4::text IS NULL OR e.what = $4)
ORDER BY e.event_id DESC LIMIT $5;
