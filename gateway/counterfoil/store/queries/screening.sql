-- name: screen
-- What is known of each payment that is about to be asked for: what was counted, what is blocked.
-- A rule that is off has no window (NULL) and reads nothing. Counts stop at a thousand rows.
-- The array stands in a SELECT, so that the planner cannot count it: then the general plan costs no
-- more than one made for small groups, and is kept. To plan this costs more than to run it.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest((SELECT $1::payment_look[]))
)
SELECT i.merchant_id, i.payment_id, found.*, blocks.kinds AS blocked
FROM input AS i
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE same) AS same_month,
        count(*) FILTER (WHERE same AND m.at > i.day_since) AS same_day,
        COALESCE(bool_or(m.never_again) FILTER (WHERE same), false) AS never_again,
        sum(m.weight) FILTER (WHERE who = 'card' AND tries) AS card_tries,
        sum(m.weight * m.amount_minor) FILTER (WHERE who = 'card' AND tries AND alike) AS card_minor,
        sum(m.weight) FILTER (WHERE who = 'email' AND tries) AS email_tries,
        sum(m.weight * m.amount_minor) FILTER (WHERE who = 'email' AND tries AND alike)
            AS email_minor,
        sum(m.weight) FILTER (WHERE who = 'address' AND tries) AS address_tries,
        sum(m.weight * m.amount_minor) FILTER (WHERE who = 'address' AND tries AND alike)
            AS address_minor,
        count(*) FILTER (WHERE who = 'card' AND NOT tries AND m.at > i.declines_since)
            AS card_declines,
        count(*) FILTER (WHERE who = 'email' AND NOT tries) AS email_declines,
        count(*) FILTER (WHERE who = 'address' AND NOT tries) AS address_declines
    FROM (VALUES
        ('card', 'try', i.card, i.card_since),
        ('email', 'try', i.email, i.email_since),
        ('address', 'try', i.address, i.address_since),
        ('card', 'decline', i.card, i.month_since),
        ('email', 'decline', i.email, i.declines_since),
        ('address', 'decline', i.address, i.declines_since)
    ) AS w (who, kind, subject, since)
    CROSS JOIN LATERAL (
        SELECT m.at, m.weight, m.amount_minor, m.never_again, w.kind = 'try' AS tries,
            m.currency = i.currency AS alike,
            w.who = 'card' AND w.kind = 'decline' AND m.currency = i.currency
                AND m.amount_minor = i.amount_minor AS same
        FROM screening_marks AS m
        WHERE m.merchant_id = i.merchant_id AND m.subject = w.subject AND m.kind = w.kind
          AND m.at > w.since
        ORDER BY m.at DESC LIMIT 1000) AS m
) AS found
CROSS JOIN LATERAL (
    SELECT array_agg(s.kind) AS kinds
    FROM (VALUES ('card', encode(i.card, 'hex')), ('bin', left(i.bin, 4)), ('bin', left(i.bin, 5)),
        ('bin', i.bin), ('email', i.email_text), ('email_domain', i.email_domain)
    ) AS who (kind, value)
    JOIN screening_blocks AS s ON s.merchant_id = i.merchant_id AND s.kind = who.kind
        AND s.value = who.value AND s.ended_at IS NULL
) AS blocks;

-- name: merchant_volume
-- How many payments a merchant has taken since a moment (the id tells the time), and how much.
SELECT count(*) AS payments,
    COALESCE(sum(amount_minor) FILTER (WHERE currency = $3), 0)::bigint AS amount_minor
FROM (
    SELECT amount_minor, currency FROM payments
    WHERE merchant_id = $1 AND payment_id >= $2
      AND state IN ('processing', 'approved', 'authorized', 'captured')
      AND kind IN ('sale', 'authorization', 'forced')
    LIMIT 10001) AS taken;

-- name: screening_policy
-- The rules that hold for a merchant.
SELECT version, policy, actor, at FROM screening_policies
WHERE merchant_id = $1 ORDER BY version DESC LIMIT 1;

-- name: add_screening_policy
-- A new version of a merchant's rules, unless somebody else has written one since it was read; with
-- who changed them, for the list of all changes ($6).
WITH written AS (
    INSERT INTO screening_policies (merchant_id, version, policy, actor, at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before, after)
    SELECT $6, w.merchant_id, w.at, w.actor, 'screening_changed', 'version ' || w.version,
        left(b.policy, 2000), left(w.policy, 2000)
    FROM written AS w LEFT JOIN screening_policies AS b
        ON b.merchant_id = w.merchant_id AND b.version = w.version - 1
    WHERE $6::uuid IS NOT NULL
)
SELECT version FROM written;

-- name: add_block
-- Serve somebody no more; nothing is added to what is blocked already. With who did so ($9).
WITH blocked AS (
    INSERT INTO screening_blocks (merchant_id, block_id, kind, value, shown, reason, actor, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (merchant_id, kind, value) WHERE ended_at IS NULL DO NOTHING RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $9, merchant_id, at, actor, 'blocked', shown, reason FROM blocked
    WHERE $9::uuid IS NOT NULL
)
SELECT block_id FROM blocked;

-- name: end_block
-- Serve somebody again; with who did so ($5).
WITH ended AS (
    UPDATE screening_blocks SET ended_at = $3, ended_by = $4
    WHERE merchant_id = $1 AND block_id = $2 AND ended_at IS NULL RETURNING *
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, before)
    SELECT $5, merchant_id, ended_at, ended_by, 'unblocked', shown, reason FROM ended
    WHERE $5::uuid IS NOT NULL
)
SELECT block_id FROM ended;

-- name: blocks_of_merchant
-- A merchant's block list, newest first; with what was ended, if asked for.
SELECT block_id, kind, shown, reason, actor, at, ended_at, ended_by FROM screening_blocks
WHERE merchant_id = $1 AND ($2 OR ended_at IS NULL) ORDER BY at DESC LIMIT 1000;

-- name: forget_marks
-- Remove what no window reaches any more.
DELETE FROM screening_marks WHERE at < $1;

-- name: forget_guards
-- Remove guards whose time is over.
DELETE FROM duplicate_guards WHERE until < $1;

-- name: fingerprint_of_payment
-- The keyed fingerprint of the card of a payment, and what may be shown of it.
SELECT v.fingerprint, p.card_brand, p.card_last_four
FROM payments AS p JOIN vault_cards AS v
    ON v.merchant_id = p.merchant_id AND v.token = p.card_token
WHERE p.merchant_id = $1 AND p.payment_id = $2;
