-- Webhooks: where a merchant wants to be told, what is owed there, and every try.

ALTER TABLE vault_keys DROP CONSTRAINT vault_keys_purpose_check;
ALTER TABLE vault_keys ADD CONSTRAINT vault_keys_purpose_check
    CHECK (purpose IN ('card', 'fingerprint', 'confirmation', 'webhook'));

-- types: null means all. The secrets are sealed; the previous one signs too until previous_until.
CREATE TABLE webhook_endpoints (
    merchant_id     uuid NOT NULL,
    endpoint_id     uuid NOT NULL,
    url             text NOT NULL CHECK (length(url) BETWEEN 1 AND 500),
    description     text CHECK (length(description) BETWEEN 1 AND 255),
    types           text[] CHECK (cardinality(types) BETWEEN 1 AND 200),
    state           text NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    secret_key_id   text NOT NULL,
    secret_nonce    bytea NOT NULL CHECK (length(secret_nonce) = 12),
    secret_sealed   bytea NOT NULL,
    previous_key_id text,
    previous_nonce  bytea CHECK (length(previous_nonce) = 12),
    previous_sealed bytea,
    previous_until  timestamptz,
    failing_since   timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, endpoint_id),
    CHECK (num_nulls(previous_key_id, previous_nonce, previous_sealed, previous_until) IN (0, 4))
);
CREATE INDEX webhook_endpoints_enabled ON webhook_endpoints (merchant_id) WHERE state = 'enabled';

CREATE TABLE webhook_endpoint_events (
    merchant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id    uuid NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text,
    to_state    text NOT NULL,
    cause       text NOT NULL,
    actor       text NOT NULL,
    PRIMARY KEY (merchant_id, endpoint_id, event_id)
);
CREATE TRIGGER webhook_endpoint_events_append_only BEFORE UPDATE OR DELETE
    ON webhook_endpoint_events FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER webhook_endpoint_events_never_emptied BEFORE TRUNCATE ON webhook_endpoint_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE FUNCTION note_endpoint_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, data)
    SELECT e.merchant_id, feed_event_id('endpoint', e.endpoint_id, e.event_id::text), 'endpoint',
        e.at, e.from_state, e.to_state, e.cause, e.actor,
        jsonb_build_object('endpoint_id', e.endpoint_id, 'url', w.url)
    FROM inserted AS e JOIN webhook_endpoints AS w
        ON w.merchant_id = e.merchant_id AND w.endpoint_id = e.endpoint_id;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_endpoint_events_noted AFTER INSERT ON webhook_endpoint_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_endpoint_events();

-- One row for each event that an endpoint is owed. tries: since it was last owed; attempts: ever.
CREATE TABLE webhook_deliveries (
    merchant_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    number      bigint NOT NULL,
    type        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('owed', 'delivered', 'gave_up')),
    tries       integer NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL,
    lease_owner uuid,
    lease_until timestamptz,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (merchant_id, delivery_id),
    UNIQUE (merchant_id, endpoint_id, number)
);
CREATE INDEX webhook_deliveries_owed ON webhook_deliveries (merchant_id, endpoint_id, next_try_at)
    WHERE state = 'owed';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE state <> 'owed';

CREATE TABLE webhook_attempts (
    merchant_id  uuid NOT NULL,
    delivery_id  uuid NOT NULL,
    attempt      integer NOT NULL CHECK (attempt > 0),
    at           timestamptz NOT NULL,
    status       integer,
    milliseconds integer NOT NULL CHECK (milliseconds >= 0),
    error        text CHECK (length(error) <= 200),
    PRIMARY KEY (merchant_id, delivery_id, attempt),
    FOREIGN KEY (merchant_id, delivery_id) REFERENCES webhook_deliveries ON DELETE CASCADE
);

-- A mail may be about an endpoint instead of a payment.
ALTER TABLE outbox
    ALTER COLUMN payment_id DROP NOT NULL,
    ADD COLUMN endpoint_id uuid,
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check
        CHECK (kind IN ('mail_customer', 'mail_merchant', 'mail_endpoint_disabled')),
    ADD CONSTRAINT outbox_about_one
        CHECK ((kind = 'mail_endpoint_disabled') = (payment_id IS NULL)
            AND (payment_id IS NULL) <> (endpoint_id IS NULL));
