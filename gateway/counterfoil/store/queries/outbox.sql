-- name: due_mail
-- E-mails that are owed and due, and on which nobody works. A lease is also over when its process
-- has ended, and when it is left from an earlier round of the one who asks. Who only stands in ($4)
-- finds none while a mailer lives; and nobody whose own process's lease ends by $5: it could not keep
-- what it claims.
SELECT merchant_id, outbox_id FROM outbox AS o
WHERE state = 'owed' AND next_try_at <= $1
  AND (lease_until IS NULL OR lease_until <= $1 OR lease_owner = $3 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = o.lease_owner AND ended.lease_until <= $1))
  AND NOT ($4 AND EXISTS (
    SELECT 1 FROM processes AS mailer WHERE mailer.kind = 'mailer' AND mailer.lease_until > $1))
  AND NOT EXISTS (
    SELECT 1 FROM processes AS own WHERE own.process_id = $3 AND own.lease_until <= $5)
ORDER BY next_try_at LIMIT $2;

-- name: own_mail
-- An e-mail that was claimed, if it is still its claimer's: nobody else has it, nobody has sent it, and
-- neither its lease nor that of the claimer's process ends by $4.
SELECT outbox_id FROM outbox
WHERE merchant_id = $1 AND outbox_id = $2 AND lease_owner = $3 AND lease_until > $4
  AND state = (SELECT 'owed')
  AND NOT EXISTS (
    SELECT 1 FROM processes AS own WHERE own.process_id = $3 AND own.lease_until <= $4);

-- name: claim_mail
-- Take a lease on owed e-mails, with what a receipt or a notice needs; of all merchants at once, because
-- with many merchants few mails are of the same one.
UPDATE outbox AS o
SET lease_owner = $3, lease_until = $4, attempts = o.attempts + 1
FROM unnest($1::uuid[], $2::uuid[]) AS due (merchant_id, outbox_id)
JOIN outbox AS about
    ON about.merchant_id = due.merchant_id AND about.outbox_id = due.outbox_id
JOIN merchants AS m ON m.merchant_id = due.merchant_id
LEFT JOIN payments AS p
    ON p.merchant_id = about.merchant_id AND p.payment_id = about.payment_id
LEFT JOIN terminal_sales AS s
    ON s.merchant_id = p.merchant_id AND s.payment_id = p.payment_id AND s.sale_id =
        CASE WHEN p.idempotency_key ~ '^terminal-[0-9a-f]{32}$'
            THEN substr(p.idempotency_key, 10)::uuid END
LEFT JOIN webhook_endpoints AS e
    ON e.merchant_id = about.merchant_id AND e.endpoint_id = about.endpoint_id
WHERE o.merchant_id = due.merchant_id AND o.outbox_id = due.outbox_id
  AND o.state = (SELECT 'owed')
  AND (o.lease_until IS NULL OR o.lease_until <= $5 OR o.lease_owner = $3 OR EXISTS (
    SELECT 1 FROM processes AS ended
    WHERE ended.process_id = o.lease_owner AND ended.lease_until <= $5))
RETURNING o.merchant_id AS mail_merchant_id, o.outbox_id, o.kind AS mail_kind, o.recipient,
    o.attempts, p.*, m.name AS merchant_name, m.city, m.region, m.country, m.timezone,
    m.email AS merchant_email, s.tax_minor, s.tip_minor, e.url AS endpoint_url;

-- name: mail_sent
-- The mail server took them.
UPDATE outbox AS o
SET state = 'sent', sent_at = i.at, lease_until = NULL, last_error = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[])
    AS i (merchant_id, outbox_id, lease_owner, at)
WHERE o.merchant_id = i.merchant_id AND o.outbox_id = i.outbox_id
  AND o.lease_owner = i.lease_owner AND o.state = (SELECT 'owed')
RETURNING o.merchant_id, o.outbox_id AS payment_id;

-- name: mail_failed
-- It did not: try again later, or give up and say so.
UPDATE outbox
SET state = $4, next_try_at = $5, last_error = $6, lease_until = NULL
WHERE merchant_id = $1 AND outbox_id = $2 AND lease_owner = $3
  AND state = (SELECT 'owed')
RETURNING outbox_id;

-- name: owed_mail
-- How many e-mails are owed, since when the oldest is, and what the mail server last said of it.
SELECT count(*) AS owed, min(created_at) AS since,
    (array_agg(last_error ORDER BY created_at))[1] AS last_error
FROM outbox WHERE state = 'owed';
