-- Checkouts that ended unpaid are removed some time afterwards, with what a shopper typed there; their
-- history stays. A key holds for ever: what it opened is never opened again.

CREATE TABLE checkout_keys_spent (
    merchant_id     uuid NOT NULL REFERENCES merchants,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    fingerprint     bytea NOT NULL CHECK (length(fingerprint) = 32),
    checkout_id     uuid NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key)
);
CREATE INDEX checkouts_unpaid ON checkouts (updated_at) WHERE state IN ('expired', 'cancelled');
