-- name: count_page_report
-- Count one report; no row when this merchant has $8 groups open already and it is of none of them.
INSERT INTO page_reports AS r
    (merchant_id, report_id, page, directive, refused, times, first_at, last_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $7
WHERE $8 > (SELECT count(*) FROM page_reports WHERE merchant_id = $1 AND seen_to_at IS NULL)
   OR EXISTS (SELECT 1 FROM page_reports WHERE merchant_id = $1 AND page = $3 AND directive = $4
        AND refused = $5 AND seen_to_at IS NULL)
ON CONFLICT (merchant_id, page, directive, refused) WHERE seen_to_at IS NULL
DO UPDATE SET times = r.times + excluded.times, last_at = greatest(r.last_at, excluded.last_at)
RETURNING report_id;

-- name: open_page_reports
-- A merchant's reports that nobody has seen to, oldest first; and how often the same was reported
-- before, when that was last seen to and with which note, as far as it is kept (see_to_page_report).
WITH before AS (
    SELECT page, directive, refused, sum(times)::bigint AS times, max(seen_to_at) AS seen_to_at,
        (array_agg(note ORDER BY seen_to_at DESC, report_id))[1] AS note
    FROM page_reports WHERE merchant_id = $1 AND seen_to_at IS NOT NULL
    GROUP BY page, directive, refused
)
SELECT r.report_id, r.page, r.directive, r.refused, r.times, r.first_at, r.last_at,
    before.times AS before_times, before.seen_to_at AS before_seen_to_at,
    before.note AS before_note
FROM page_reports AS r LEFT JOIN before USING (page, directive, refused)
WHERE r.merchant_id = $1 AND r.seen_to_at IS NULL
ORDER BY r.first_at, r.report_id LIMIT $2;

-- name: see_to_page_report
-- A person has looked into it; no row when it was not open. Who did ($5 to $7) is in the list of
-- changes. The merchant's oldest that were seen to are forgotten, so that $8 stay.
WITH seen AS (
    UPDATE page_reports SET seen_to_at = $3, note = $4
    WHERE merchant_id = $1 AND report_id = $2 AND seen_to_at IS NULL
    RETURNING report_id
), noted AS (
    INSERT INTO people_events (event_id, merchant_id, at, actor, what, about, after)
    SELECT $5, $1, $3, $6, 'page_report_seen_to', $7, $4 FROM seen
), forgotten AS (
    DELETE FROM page_reports WHERE merchant_id = $1 AND report_id IN (
        SELECT report_id FROM page_reports WHERE merchant_id = $1 AND seen_to_at IS NOT NULL
        ORDER BY seen_to_at DESC, report_id OFFSET $8)
)
SELECT report_id FROM seen;

-- name: page_reports_by_merchant
-- What waits in the installation, by merchant, and what of the same that merchant has seen to before:
-- for the operator.
SELECT r.*, m.name, before.times AS before_times, before.seen_to_at AS before_seen_to_at,
    before.note AS before_note
FROM page_reports AS r JOIN merchants AS m USING (merchant_id) LEFT JOIN LATERAL (
    SELECT sum(s.times)::bigint AS times, max(s.seen_to_at) AS seen_to_at,
        (array_agg(s.note ORDER BY s.seen_to_at DESC, s.report_id))[1] AS note
    FROM page_reports AS s
    WHERE s.merchant_id = r.merchant_id AND s.page = r.page AND s.directive = r.directive
        AND s.refused = r.refused AND s.seen_to_at IS NOT NULL
) AS before ON true
WHERE r.seen_to_at IS NULL ORDER BY r.last_at DESC, r.report_id LIMIT $1;
