-- name: totals_to_fold
-- Merchants whose feed has events that no day's total counts yet, each with a head to count from.
WITH due AS MATERIALIZED (
    SELECT h.merchant_id FROM feed_heads AS h LEFT JOIN totals_heads AS t USING (merchant_id)
    WHERE h.last_number > COALESCE(t.folded_number, 0) LIMIT $1
), headed AS (
    INSERT INTO totals_heads (merchant_id, folded_number)
    SELECT merchant_id, 0 FROM due ORDER BY merchant_id
    ON CONFLICT DO NOTHING
)
SELECT merchant_id FROM due;

-- name: fold_totals
-- Count the next $2 events of each merchant's feed into its days, once: the head that is locked says
-- from which number on. An event says how its payment stood afterwards, so what it changed is the
-- difference to the version before: in these events, or in the feed. Until it is
-- acknowledged a payment has neither taken nor given anything. What a clerk was asked about and did not
-- charge (`terminal/sale.py`, is_question) was stopped by nobody. One that tells an older version than was counted
-- (it was noted while another change was committed) tells nothing new.
WITH heads AS MATERIALIZED (
    SELECT t.merchant_id, t.folded_number, m.timezone
    FROM totals_heads AS t JOIN merchants AS m USING (merchant_id)
    WHERE t.merchant_id = ANY($1::uuid[])
    ORDER BY t.merchant_id FOR NO KEY UPDATE OF t SKIP LOCKED
), events AS MATERIALIZED (
    SELECT f.*, (f.at AT TIME ZONE h.timezone)::date AS day, h.folded_number
    FROM heads AS h CROSS JOIN LATERAL (
        SELECT merchant_id, number, type, cause, at, payment_id, version, captured_minor,
            refunded_minor
        FROM feed WHERE merchant_id = h.merchant_id AND number > h.folded_number
        ORDER BY number LIMIT $2
    ) AS f
), touched AS MATERIALIZED (
    SELECT merchant_id, payment_id, folded_number, max(version) <= 2 OR bool_or(cause = 'acknowledged') AS is_new
    FROM events
    WHERE captured_minor IS NOT NULL GROUP BY merchant_id, payment_id, folded_number
), before AS MATERIALIZED (
    SELECT t.merchant_id, t.payment_id, p.currency, COALESCE(b.version, 0) AS version,
        COALESCE(b.captured_minor, 0) AS captured_minor,
        COALESCE(b.refunded_minor, 0) AS refunded_minor,
        p.duplicate_of IS NOT NULL AND p.session_id LIKE 'terminal:%' AS is_question
    FROM touched AS t JOIN payments AS p USING (merchant_id, payment_id)
    LEFT JOIN LATERAL (
        SELECT f.version, f.captured_minor, f.refunded_minor FROM feed AS f
        WHERE NOT t.is_new AND f.merchant_id = t.merchant_id AND f.payment_id = t.payment_id
          AND f.number <= t.folded_number AND f.captured_minor IS NOT NULL
        ORDER BY f.version DESC, f.number DESC LIMIT 1
    ) AS b ON true
), steps AS (
    SELECT e.merchant_id, e.day, b.currency, b.is_question, e.type, e.cause,
        e.captured_minor - lag(e.captured_minor, 1, b.captured_minor) OVER life AS gross_minor,
        e.refunded_minor - lag(e.refunded_minor, 1, b.refunded_minor) OVER life AS refunds_minor
    FROM events AS e JOIN before AS b USING (merchant_id, payment_id)
    WHERE e.version >= b.version AND e.captured_minor IS NOT NULL
    WINDOW life AS (PARTITION BY e.merchant_id, e.payment_id ORDER BY e.version, e.number)
), days AS (
    SELECT merchant_id, day, currency, sum(gross_minor)::bigint AS gross_minor,
        sum(refunds_minor)::bigint AS refunds_minor,
        count(*) FILTER (WHERE type = 'payment.approved') AS approved,
        count(*) FILTER (WHERE type = 'payment.declined' AND cause <> 'screened') AS declined,
        count(*) FILTER (WHERE type = 'payment.declined' AND cause = 'screened' AND NOT is_question)
            AS stopped
    FROM steps GROUP BY merchant_id, day, currency
), counted AS (
    INSERT INTO daily_totals AS d
        (merchant_id, day, currency, gross_minor, refunds_minor, approved, declined, stopped)
    SELECT * FROM days
    WHERE (gross_minor, refunds_minor, approved, declined, stopped) <> (0, 0, 0, 0, 0)
    ORDER BY merchant_id, day, currency
    ON CONFLICT (merchant_id, day, currency) DO UPDATE SET
        gross_minor = d.gross_minor + excluded.gross_minor,
        refunds_minor = d.refunds_minor + excluded.refunds_minor,
        approved = d.approved + excluded.approved, declined = d.declined + excluded.declined,
        stopped = d.stopped + excluded.stopped
), advanced AS (
    UPDATE totals_heads AS t SET folded_number = e.number
    FROM (SELECT merchant_id, max(number) AS number FROM events GROUP BY merchant_id) AS e
    WHERE t.merchant_id = e.merchant_id
)
SELECT count(*) AS events FROM events;

-- name: days_of_merchant
-- A merchant's days from $2 on: what is counted, and beside it what the feed tells since, as far as
-- $3 events; the rest of the feed, if there is more, is `behind`. Worked out as in fold_totals; what
-- waits for its number comes last.
WITH head AS MATERIALIZED (
    SELECT m.merchant_id, m.timezone, COALESCE(t.folded_number, 0) AS folded_number,
        COALESCE(h.last_number, 0) AS last_number
    FROM merchants AS m LEFT JOIN totals_heads AS t USING (merchant_id)
    LEFT JOIN feed_heads AS h USING (merchant_id)
    WHERE m.merchant_id = $1
), events AS MATERIALIZED (
    SELECT n.*, (n.at AT TIME ZONE h.timezone)::date AS day, h.folded_number
    FROM head AS h CROSS JOIN LATERAL (
        (SELECT number, type, cause, at, payment_id, version, captured_minor, refunded_minor
         FROM feed WHERE merchant_id = $1 AND number > h.folded_number ORDER BY number LIMIT $3)
        UNION ALL
        (SELECT 9223372036854775807, CASE WHEN source = 'payment'
                AND from_state IS DISTINCT FROM to_state THEN 'payment.' || to_state END,
            cause, at, payment_id, version, captured_minor, refunded_minor
         FROM feed_pending
         WHERE merchant_id = $1 AND h.last_number - h.folded_number <= $3
         ORDER BY noted_at, version, event_id LIMIT $3)
    ) AS n
), touched AS MATERIALIZED (
    SELECT payment_id, folded_number, max(version) <= 2 OR bool_or(cause = 'acknowledged') AS is_new
    FROM events
    WHERE captured_minor IS NOT NULL GROUP BY payment_id, folded_number
), before AS MATERIALIZED (
    SELECT t.payment_id, p.currency, COALESCE(b.version, 0) AS version,
        COALESCE(b.captured_minor, 0) AS captured_minor,
        COALESCE(b.refunded_minor, 0) AS refunded_minor,
        p.duplicate_of IS NOT NULL AND p.session_id LIKE 'terminal:%' AS is_question
    FROM touched AS t JOIN payments AS p ON p.merchant_id = $1 AND p.payment_id = t.payment_id
    LEFT JOIN LATERAL (
        SELECT f.version, f.captured_minor, f.refunded_minor FROM feed AS f
        WHERE NOT t.is_new AND f.merchant_id = $1 AND f.payment_id = t.payment_id
          AND f.number <= t.folded_number AND f.captured_minor IS NOT NULL
        ORDER BY f.version DESC, f.number DESC LIMIT 1
    ) AS b ON true
), steps AS (
    SELECT e.day, b.currency, b.is_question, e.type, e.cause,
        e.captured_minor - lag(e.captured_minor, 1, b.captured_minor) OVER life AS gross_minor,
        e.refunded_minor - lag(e.refunded_minor, 1, b.refunded_minor) OVER life AS refunds_minor
    FROM events AS e JOIN before AS b USING (payment_id)
    WHERE e.version >= b.version AND e.captured_minor IS NOT NULL
    WINDOW life AS (PARTITION BY e.payment_id ORDER BY e.version, e.number)
)
SELECT d.day, d.currency, sum(d.gross_minor)::bigint AS gross_minor,
    sum(d.refunds_minor)::bigint AS refunds_minor, sum(d.approved)::bigint AS approved,
    sum(d.declined)::bigint AS declined, sum(d.stopped)::bigint AS stopped,
    (SELECT greatest(last_number - folded_number - $3, 0) FROM head) AS behind
FROM (
    SELECT day, currency, gross_minor, refunds_minor, approved, declined, stopped
    FROM daily_totals WHERE merchant_id = $1 AND day >= $2
    UNION ALL
    SELECT day, currency, gross_minor, refunds_minor, (type = 'payment.approved')::integer,
        (type = 'payment.declined' AND cause <> 'screened')::integer,
        (type = 'payment.declined' AND cause = 'screened' AND NOT is_question)::integer
    FROM steps WHERE day >= $2
) AS d
GROUP BY d.day, d.currency ORDER BY d.currency, d.day;
