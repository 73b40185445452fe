-- name: waiting_approvals
-- A merchant's approvals that wait to be claimed, those that are reversed soonest first.
SELECT * FROM payments WHERE merchant_id = $1 AND state = 'approved'
ORDER BY acknowledge_by, payment_id LIMIT $2;

-- name: batches_for_a_person
-- A merchant's batches that do not agree, oldest first, each with what was noted of it last.
SELECT b.*, e.at AS since, e.note
FROM batches AS b
LEFT JOIN LATERAL (
    SELECT h.at, h.note FROM batch_events AS h
    WHERE h.merchant_id = b.merchant_id AND h.acquirer = b.acquirer
      AND h.terminal_id = b.terminal_id AND h.currency = b.currency
      AND h.batch_number = b.batch_number AND h.to_state = 'needs_a_person'
    ORDER BY h.at DESC LIMIT 1
) AS e ON true
WHERE b.merchant_id = $1 AND b.state = 'needs_a_person'
ORDER BY e.at, b.batch_number LIMIT $2;

-- name: held_files_of_merchant
-- A merchant's files that are held, oldest first, without those that were put aside.
SELECT digest, kind, name, reason, received_at FROM incoming_files
WHERE merchant_id = $1 AND state = 'held' AND aside_at IS NULL
ORDER BY received_at, digest LIMIT $2;

-- name: open_findings_of_merchant
-- What does not agree, oldest first.
SELECT * FROM findings WHERE merchant_id = $1 AND state = 'open'
ORDER BY opened_at, finding_id LIMIT $2;

-- name: needs_somebody
-- How many things of a merchant wait for somebody, each counted as far as $2.
SELECT (SELECT count(*) FROM (SELECT 1 FROM payments
        WHERE merchant_id = $1 AND state = 'approved' LIMIT $2) AS a)
    + (SELECT count(*) FROM (SELECT 1 FROM batches
        WHERE merchant_id = $1 AND state = 'needs_a_person' LIMIT $2) AS b)
    + (SELECT count(*) FROM (SELECT 1 FROM incoming_files
        WHERE merchant_id = $1 AND state = 'held' AND aside_at IS NULL LIMIT $2) AS f)
    + (SELECT count(*) FROM (SELECT 1 FROM findings
        WHERE merchant_id = $1 AND state = 'open' LIMIT $2) AS g)
    + (SELECT count(*) FROM (SELECT 1 FROM page_reports
        WHERE merchant_id = $1 AND seen_to_at IS NULL LIMIT $2) AS r)
    + (SELECT count(*) FROM (SELECT 1 FROM page_differences
        WHERE seen_to_at IS NULL LIMIT 1) AS d) AS number;
