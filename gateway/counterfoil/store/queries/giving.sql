-- name: lock_member
-- Who gives waits for themselves: what they give at once adds up.
SELECT user_id FROM members WHERE merchant_id = $1 AND user_id = $2 FOR UPDATE;

-- name: give_unproved
-- What a person gives without a proof ($3 to $5), if it and what they gave so since $7 is within the
-- limit ($8) of that currency; nothing when it is more. A form that comes again counts once, as the
-- largest that it said. What is too old to count is forgotten.
WITH forgotten AS (
    DELETE FROM given_unproved WHERE merchant_id = $1 AND user_id = $2 AND at <= $7 AND form <> $3
)
INSERT INTO given_unproved AS g (merchant_id, user_id, form, currency, amount_minor, at)
SELECT $1, $2, $3, $4, $5::bigint, $6 WHERE $5::bigint + (
    SELECT COALESCE(sum(o.amount_minor), 0) FROM given_unproved AS o
    WHERE o.merchant_id = $1 AND o.user_id = $2 AND o.currency = $4 AND o.at > $7 AND o.form <> $3
) <= $8::bigint
ON CONFLICT (merchant_id, user_id, form) DO UPDATE
    SET amount_minor = GREATEST(g.amount_minor, excluded.amount_minor), at = excluded.at
RETURNING form;
