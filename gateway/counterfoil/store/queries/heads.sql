-- name: chain_ends
-- A page of merchants: where each one's chain ends, its newest signed head, and which hash the
-- block that this head names has now. A few rows of an index for each, however long the chains are.
WITH RECURSIVE merchant AS (
    (SELECT b.merchant_id, 1 AS n FROM transfer_blocks AS b WHERE b.merchant_id > $1
        ORDER BY b.merchant_id LIMIT 1)
    UNION ALL
    SELECT next.merchant_id, m.n + 1 FROM merchant AS m CROSS JOIN LATERAL (
        SELECT b.merchant_id FROM transfer_blocks AS b WHERE b.merchant_id > m.merchant_id
        ORDER BY b.merchant_id LIMIT 1
    ) AS next WHERE m.n < $2
)
SELECT m.merchant_id, e.block_number AS end_number, e.hash AS end_hash, s.hash AS hash_now,
    h.head_number, h.day, h.block_number, h.hash, h.previous, h.key_id, h.signed_at, h.signature
FROM merchant AS m
CROSS JOIN LATERAL (
    SELECT b.block_number, b.hash FROM transfer_blocks AS b
    WHERE b.merchant_id = m.merchant_id ORDER BY b.block_number DESC LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT * FROM signed_heads AS h
    WHERE h.merchant_id = m.merchant_id ORDER BY h.head_number DESC LIMIT 1
) AS h ON true
LEFT JOIN LATERAL (
    SELECT b.hash FROM transfer_blocks AS b
    WHERE b.merchant_id = h.merchant_id AND b.block_number = h.block_number LIMIT 1
) AS s ON true
ORDER BY m.merchant_id;

-- name: keep_signed_heads
-- Keep heads, each merchant's one a day and in order: what another worker has kept stays.
INSERT INTO signed_heads
    (merchant_id, head_number, day, block_number, hash, previous, key_id, signed_at, signature)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::date[], $4::bigint[], $5::bytea[], $6::bytea[],
    $7::text[], $8::timestamptz[], $9::bytea[])
ON CONFLICT DO NOTHING
RETURNING merchant_id;

-- name: signed_heads_after
-- A page of one merchant's heads after a number, in order: what the file outside still lacks.
SELECT merchant_id, head_number, day, block_number, hash, previous, key_id, signed_at, signature
FROM signed_heads WHERE merchant_id = $1 AND head_number > $2 ORDER BY head_number LIMIT $3;

-- name: signing_key_in_use
-- The key of a newest head; no row while nothing was ever signed.
SELECT key_id FROM signed_heads ORDER BY merchant_id DESC, head_number DESC LIMIT 1;

-- name: unsigned_chains
-- How many chains have a block from before $1 that no signed head covers, and since when.
WITH RECURSIVE merchant AS (
    (SELECT b.merchant_id FROM transfer_blocks AS b ORDER BY b.merchant_id LIMIT 1)
    UNION ALL
    SELECT next.merchant_id FROM merchant AS m CROSS JOIN LATERAL (
        SELECT b.merchant_id FROM transfer_blocks AS b WHERE b.merchant_id > m.merchant_id
        ORDER BY b.merchant_id LIMIT 1
    ) AS next
)
SELECT count(*) AS chains, min(u.at) AS since FROM merchant AS m
CROSS JOIN LATERAL (
    SELECT b.at FROM transfer_blocks AS b
    WHERE b.merchant_id = m.merchant_id AND b.block_number > COALESCE((
        SELECT h.block_number FROM signed_heads AS h
        WHERE h.merchant_id = m.merchant_id ORDER BY h.head_number DESC LIMIT 1), 0)
    ORDER BY b.block_number LIMIT 1
) AS u
WHERE u.at < $1;

-- name: audit_signed_heads
-- Every signed head, each merchant's in order.
SELECT merchant_id, head_number, day, block_number, hash, previous, key_id, signed_at, signature
FROM signed_heads WHERE $1::uuid IS NULL OR merchant_id = $1
ORDER BY merchant_id, head_number;

-- name: audit_named_blocks
-- The hashes that these blocks have now.
SELECT b.merchant_id, b.block_number, b.hash
FROM unnest($2::uuid[], $3::bigint[]) AS n (merchant_id, block_number)
JOIN transfer_blocks AS b ON b.merchant_id = n.merchant_id AND b.block_number = n.block_number
WHERE $1::uuid IS NULL OR b.merchant_id = $1;
