-- name: grown_tables
-- Tables of ours that have $2 times the pages that the planner knew of when it last looked, with the
-- statement that lets it look again. Only an owner may say it; one that is locked is left for later.
SELECT c.relname AS name, format('ANALYZE (SKIP_LOCKED) %I.%I', n.nspname, c.relname) AS statement
FROM unnest($1::text[]) AS ours (name)
JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(ours.name))
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE pg_has_role(c.relowner, 'USAGE')
  AND pg_relation_size(c.oid) >= $2::integer * GREATEST(c.relpages, 1)
    * current_setting('block_size')::bigint
ORDER BY c.relname;
