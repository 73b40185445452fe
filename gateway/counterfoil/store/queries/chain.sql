-- name: newest_sealed
-- The time of the latest transfer that is sealed.
SELECT max(until) AS until FROM transfer_blocks;

-- name: loose_transfers
-- Transfers dated between two moments that no block names, the oldest first, with their digests.
WITH sealed AS MATERIALIZED (
    SELECT merchant_id, unnest(transfer_ids) AS transfer_id FROM transfer_blocks WHERE until >= $1
), loose AS MATERIALIZED (
    SELECT j.merchant_id, j.transfer_id, j.at FROM transfers AS j
    WHERE j.at >= $1 AND j.at <= $2 AND NOT EXISTS (
        SELECT 1 FROM sealed AS s
        WHERE s.merchant_id = j.merchant_id AND s.transfer_id = j.transfer_id)
    ORDER BY j.at LIMIT $3
)
SELECT l.merchant_id, l.transfer_id, l.at, d.digest
FROM loose AS l CROSS JOIN LATERAL (
    -- The limit keeps this a look-up by key: for a few thousand the planner would read all transfers.
    SELECT transfer_digest(t) AS digest FROM transfers AS t
    WHERE t.merchant_id = l.merchant_id AND t.transfer_id = l.transfer_id LIMIT 1) AS d;

-- name: chain_heads
-- Where the chains of these merchants end.
SELECT h.merchant_id, h.block_number, h.hash FROM unnest($1::uuid[]) AS m (merchant_id)
CROSS JOIN LATERAL (
    SELECT b.merchant_id, b.block_number, b.hash FROM transfer_blocks AS b
    WHERE b.merchant_id = m.merchant_id ORDER BY b.block_number DESC LIMIT 1
) AS h;

-- name: keep_blocks
-- More blocks, all or none; the number of one is taken when another worker was quicker. There is
-- a row for each transfer, in its place, with all of its block: one sort, and no join to go wrong.
INSERT INTO transfer_blocks
    (merchant_id, block_number, transfer_ids, digests, since, until, previous, hash, at)
SELECT merchant_id, block_number, array_agg(transfer_id ORDER BY place),
    array_agg(digest ORDER BY place), since, until, previous, hash, at
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bytea[], $5::timestamptz[],
    $6::timestamptz[], $7::bytea[], $8::bytea[], $9::timestamptz[]) WITH ORDINALITY
    AS t (merchant_id, block_number, transfer_id, digest, since, until, previous, hash, at, place)
GROUP BY merchant_id, block_number, since, until, previous, hash, at
ORDER BY merchant_id, block_number;

-- name: audit_chains
-- How long each merchant's chain is, and the hash at its end.
SELECT b.merchant_id, b.block_number AS blocks, s.transfers, b.hash FROM transfer_blocks AS b
JOIN (
    SELECT merchant_id, max(block_number) AS block_number,
        sum(cardinality(transfer_ids))::bigint AS transfers
    FROM transfer_blocks WHERE $1::uuid IS NULL OR merchant_id = $1 GROUP BY merchant_id
) AS s ON s.merchant_id = b.merchant_id AND s.block_number = b.block_number
ORDER BY b.merchant_id;

-- name: audit_chain_links
-- Blocks whose number, link to the block before, or own hash is not what it must be.
SELECT merchant_id, NULL::text AS currency, 'block ' || block_number AS subject,
    to_jsonb(left(encode(due, 'hex'), 16)) AS expected,
    to_jsonb(left(encode(hash, 'hex'), 16)) AS found, NULL::bigint AS difference_minor
FROM (
    SELECT b.merchant_id, b.block_number, b.hash, b.previous,
        lag(b.block_number, 1, 0::bigint) OVER chain AS number_before,
        lag(b.hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS hash_before,
        (SELECT sha256(b.previous || int8send(b.block_number) || string_agg(d.digest, ''
            ORDER BY d.n)) FROM unnest(b.digests) WITH ORDINALITY AS d (digest, n)) AS due
    FROM transfer_blocks AS b WHERE $1::uuid IS NULL OR b.merchant_id = $1
    WINDOW chain AS (PARTITION BY b.merchant_id ORDER BY b.block_number)
) AS links
WHERE block_number <> number_before + 1 OR previous <> hash_before OR due <> hash
ORDER BY merchant_id, block_number LIMIT $2;

-- name: audit_sealed_transfers
-- Transfers that are no longer as they were sealed: changed, or removed.
WITH sealed AS (
    SELECT b.merchant_id, b.block_number, s.transfer_id, s.digest FROM transfer_blocks AS b
    CROSS JOIN LATERAL unnest(b.transfer_ids, b.digests) AS s (transfer_id, digest)
    WHERE $1::uuid IS NULL OR b.merchant_id = $1
), judged AS (
    SELECT s.merchant_id, s.transfer_id, s.block_number, t.currency, t.amount_minor,
        t.debit_account, t.credit_account,
        CASE WHEN t.transfer_id IS NULL THEN 'removed' ELSE 'changed' END AS fault
    FROM sealed AS s
    LEFT JOIN (SELECT journal, journal.* FROM transfers AS journal
        WHERE $1::uuid IS NULL OR merchant_id = $1) AS t
        ON t.merchant_id = s.merchant_id AND t.transfer_id = s.transfer_id
    WHERE t.transfer_id IS NULL OR transfer_digest(t.journal) <> s.digest
)
SELECT merchant_id, currency, 'transfer ' || transfer_id AS subject,
    to_jsonb('as sealed in block ' || block_number) AS expected,
    to_jsonb(fault || COALESCE(': ' || amount_minor || ' from ' || credit_account || ' to '
        || debit_account, '')) AS found,
    amount_minor AS difference_minor
FROM judged ORDER BY merchant_id, transfer_id LIMIT $2;

-- name: audit_late_transfers
-- Transfers dated before $3 that no block names, although the daily look at everything has passed.
WITH sealed AS (
    SELECT merchant_id, unnest(transfer_ids) AS transfer_id FROM transfer_blocks
    WHERE $1::uuid IS NULL OR merchant_id = $1
)
SELECT t.merchant_id, t.currency, 'transfer ' || t.transfer_id AS subject,
    to_jsonb('sealed within a day'::text) AS expected,
    to_jsonb('in no block: ' || t.amount_minor || ' from ' || t.credit_account || ' to '
        || t.debit_account) AS found,
    t.amount_minor AS difference_minor
FROM transfers AS t
LEFT JOIN sealed AS s ON s.merchant_id = t.merchant_id AND s.transfer_id = t.transfer_id
WHERE ($1::uuid IS NULL OR t.merchant_id = $1) AND t.at < $3 AND s.transfer_id IS NULL
ORDER BY t.merchant_id, t.transfer_id LIMIT $2;
