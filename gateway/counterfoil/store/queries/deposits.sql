-- name: files_page
-- Files that came, newest first; held ones without those that a person has put aside.
SELECT digest, kind, name, merchant_id, file_id, state, reason, looks_again, length(content) AS bytes,
    received_at, changed_at, aside_at, aside_by, aside_note
FROM incoming_files
WHERE ($1::text IS NULL OR state = $1 AND (state <> 'held' OR aside_at IS NULL)) AND ($2::uuid IS NULL OR merchant_id = $2)
ORDER BY received_at DESC, digest LIMIT $3;

-- name: deposits_page
-- A merchant's deposits, newest first.
SELECT d.* FROM deposits AS d
WHERE d.merchant_id = $1 AND ($2::text IS NULL OR d.state = $2)
  AND ($3::text IS NULL OR d.currency = $3)
  AND ($4::text IS NULL OR (d.value_date, d.acquirer, d.reference) < (
    SELECT c.value_date, c.acquirer, c.reference FROM deposits AS c
    WHERE c.merchant_id = $1 AND c.reference = $4 ORDER BY c.acquirer LIMIT 1))
ORDER BY d.value_date DESC, d.acquirer DESC, d.reference DESC LIMIT $5;

-- name: deposit_by_reference
-- One deposit, with the file that announced it.
SELECT d.*, f.name AS report_name, f.file_id AS report_id
FROM deposits AS d LEFT JOIN incoming_files AS f ON f.digest = d.file_digest
WHERE d.merchant_id = $1 AND d.reference = $2
ORDER BY d.acquirer LIMIT 1;

-- name: deposits_with_reference
-- Whose deposit this is.
SELECT merchant_id FROM deposits WHERE reference = $1 LIMIT 2;

-- name: lines_of_deposit
-- What a deposit pays for, line by line, with the payment of ours that a line is about.
SELECT s.*, m.payment_id, m.state AS movement_state, p.order_number, p.confirmation_number
FROM settlement_lines AS s
LEFT JOIN movements AS m ON m.merchant_id = s.merchant_id AND m.movement_id = s.movement_id
LEFT JOIN payments AS p ON p.merchant_id = m.merchant_id AND p.payment_id = m.payment_id
WHERE s.merchant_id = $1 AND s.acquirer = $2 AND s.reference = $3 AND s.line > $4
ORDER BY s.line LIMIT $5;

-- name: line_counts_of_deposit
-- How many lines of a deposit turned out to be what.
SELECT outcome, count(*) AS number FROM settlement_lines
WHERE merchant_id = $1 AND acquirer = $2 AND reference = $3
GROUP BY outcome ORDER BY outcome;

-- name: adjustments_of_deposit
-- A deposit's adjustments, in the report's order.
SELECT kind, amount_minor, description FROM deposit_adjustments
WHERE merchant_id = $1 AND acquirer = $2 AND reference = $3 ORDER BY number LIMIT $4;

-- name: entries_of_deposit
-- What the bank booked for a deposit, oldest first.
SELECT account, statement_id, number, amount_minor, currency, booked_on, value_on, bank_reference,
    description, is_return, outcome
FROM bank_entries
WHERE merchant_id = $1 AND acquirer = $2 AND reference = $3
ORDER BY booked_on, statement_id, number LIMIT $4;

-- name: events_of_deposit
-- A deposit's history, oldest first.
SELECT at, from_state, to_state, cause, actor FROM deposit_events
WHERE merchant_id = $1 AND acquirer = $2 AND reference = $3 ORDER BY at, event_id LIMIT $4;

-- name: findings_page
-- What does not agree, newest first.
SELECT f.* FROM findings AS f
WHERE f.merchant_id = $1 AND ($2::text IS NULL OR f.state = $2)
  AND ($3::text IS NULL OR f.kind = $3)
  AND ($4::uuid IS NULL OR (f.opened_at, f.finding_id) < (
    SELECT c.opened_at, c.finding_id FROM findings AS c
    WHERE c.merchant_id = $1 AND c.finding_id = $4))
ORDER BY f.opened_at DESC, f.finding_id DESC LIMIT $5;

-- name: whose_finding
-- Whose finding this is.
SELECT merchant_id FROM findings WHERE finding_id = $1 LIMIT 1;
