-- Once a day the end of each chain of blocks is signed with a key that is not in the database, and
-- the head before it is part of what is signed: whoever rewrites the chain, or takes a head out of
-- the middle, cannot sign it anew. ledger/heads.py says what is signed; the same lines stand in a
-- file outside of the database, so that removing the newest rows is noticed, too.

CREATE TABLE signed_heads (
    merchant_id  uuid NOT NULL,
    head_number  bigint NOT NULL CHECK (head_number > 0),
    day          date NOT NULL,
    block_number bigint NOT NULL CHECK (block_number > 0),
    hash         bytea NOT NULL CHECK (length(hash) = 32),
    previous     bytea NOT NULL CHECK (length(previous) = 32),
    key_id       text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    signed_at    timestamptz NOT NULL,
    signature    bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (merchant_id, head_number),
    CONSTRAINT signed_heads_once_a_day UNIQUE (merchant_id, day)
);
CREATE TRIGGER signed_heads_append_only BEFORE UPDATE OR DELETE ON signed_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER signed_heads_never_emptied BEFORE TRUNCATE ON signed_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
