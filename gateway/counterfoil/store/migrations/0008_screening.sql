-- Screening: a merchant's rules and block list, what is counted for them, and what they decided.

ALTER TABLE payments
    ADD COLUMN advice_code  text,
    ADD COLUMN screening    text,
    ADD COLUMN duplicate_of uuid;

-- Every version of a merchant's rules (JSON); the highest one holds.
CREATE TABLE screening_policies (
    merchant_id uuid NOT NULL REFERENCES merchants,
    version     integer NOT NULL CHECK (version > 0),
    policy      text NOT NULL,
    actor       text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, version)
);
CREATE TRIGGER screening_policies_append_only BEFORE UPDATE OR DELETE ON screening_policies
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- Who is not served: `value` is what is compared (of a card its keyed fingerprint in hex).
CREATE TABLE screening_blocks (
    merchant_id uuid NOT NULL REFERENCES merchants,
    block_id    uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('card', 'bin', 'email', 'email_domain')),
    value       text NOT NULL CHECK (length(value) BETWEEN 1 AND 254),
    shown       text NOT NULL,
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 255),
    actor       text NOT NULL,
    at          timestamptz NOT NULL,
    ended_at    timestamptz,
    ended_by    text,
    PRIMARY KEY (merchant_id, block_id),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX screening_blocks_now ON screening_blocks (merchant_id, kind, value)
    WHERE ended_at IS NULL;

-- What is counted, for a card, an e-mail address or a network address, each as a keyed digest:
-- tries (an outage takes its try back with weight -1) and declines. Rows are only ever added, and
-- removed when they are older than any window. The key carries everything that a count reads.
CREATE TABLE screening_marks (
    merchant_id  uuid NOT NULL,
    subject      bytea NOT NULL CHECK (length(subject) = 32),
    kind         text NOT NULL CHECK (kind IN ('try', 'decline')),
    at           timestamptz NOT NULL,
    payment_id   uuid NOT NULL,
    weight       smallint NOT NULL CHECK (weight IN (1, -1)),
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    never_again  boolean NOT NULL,
    PRIMARY KEY (merchant_id, subject, kind, at, payment_id, weight)
        INCLUDE (amount_minor, currency, never_again)
);
CREATE INDEX screening_marks_age ON screening_marks USING brin (at);

-- One row for each card, amount, currency and order: the payment that holds it, and until when.
CREATE TABLE duplicate_guards (
    merchant_id uuid NOT NULL,
    digest      bytea NOT NULL CHECK (length(digest) = 32),
    payment_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, digest)
);
CREATE INDEX duplicate_guards_age ON duplicate_guards USING brin (until);
