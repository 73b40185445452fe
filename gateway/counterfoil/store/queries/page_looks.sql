-- name: begin_page_look
-- Claim the next look at $1, if the last one is from $2 or before and the last try from $3.
INSERT INTO page_looks AS l (began_at, tried_at) VALUES ($1, $1)
ON CONFLICT (only_one) DO UPDATE SET tried_at = excluded.tried_at
WHERE (l.looked_at IS NULL OR l.looked_at <= $2) AND l.tried_at <= $3
RETURNING tried_at;

-- name: end_page_look
-- Note that somebody has looked, and each difference ($2 to $5): those that are open count on.
WITH looked AS (
    INSERT INTO page_looks AS l (began_at, tried_at, looked_at) VALUES ($1, $1, $1)
    ON CONFLICT (only_one) DO UPDATE SET looked_at = excluded.looked_at, failure = NULL
)
INSERT INTO page_differences AS d
    (difference_id, what, expected, found, times, first_at, last_at)
SELECT n.difference_id, n.what, n.expected, n.found, 1, $1, $1
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[])
    AS n (difference_id, what, expected, found)
ON CONFLICT (what) WHERE seen_to_at IS NULL
DO UPDATE SET times = d.times + 1, last_at = excluded.last_at, expected = excluded.expected,
    found = excluded.found;

-- name: page_look_failed
-- Note why the page could not be looked at.
INSERT INTO page_looks (began_at, tried_at, failure) VALUES ($1, $1, $2)
ON CONFLICT (only_one) DO UPDATE SET failure = excluded.failure;

-- name: page_look
-- When somebody looked last.
SELECT * FROM page_looks;

-- name: open_page_differences
-- What was not as it should be, and nobody has seen to; oldest first.
SELECT * FROM page_differences WHERE seen_to_at IS NULL ORDER BY first_at, what LIMIT $1;

-- name: see_to_page_differences
-- A person has seen to all that is open. The oldest that were seen to are forgotten, so that $4 stay.
WITH forgotten AS (
    DELETE FROM page_differences WHERE difference_id IN (
        SELECT difference_id FROM page_differences WHERE seen_to_at IS NOT NULL
        ORDER BY seen_to_at DESC, difference_id OFFSET $4)
)
UPDATE page_differences SET seen_to_at = $1, seen_to_by = $2, note = $3
WHERE seen_to_at IS NULL RETURNING what;

-- name: newest_open_checkout
-- A payment page that is open for a while yet, the one that is open longest.
SELECT merchant_id, checkout_id FROM checkouts
WHERE state = 'open' AND expires_at > $1 AND declines = 0 AND link_id IS NULL
ORDER BY expires_at DESC LIMIT 1;
