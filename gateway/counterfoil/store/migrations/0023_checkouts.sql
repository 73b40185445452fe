-- Payment pages: checkouts that a shop asks for, links that anybody may pay, cards that shoppers keep.

-- To which sites a payment page may lead back: exact origins.
ALTER TABLE merchants
    ADD COLUMN return_origins text[] NOT NULL DEFAULT '{}' CHECK (cardinality(return_origins) <= 20);

-- taken: how often it was paid, or is being paid just now. Without an amount the payer says how much.
CREATE TABLE payment_links (
    merchant_id      uuid NOT NULL REFERENCES merchants,
    link_id          uuid NOT NULL,
    token_hash       bytea NOT NULL CHECK (length(token_hash) = 32),
    description      text NOT NULL CHECK (length(description) BETWEEN 1 AND 255),
    order_number     text CHECK (length(order_number) BETWEEN 1 AND 64),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor     bigint CHECK (amount_minor BETWEEN 1 AND 999999999999),
    amount_minor_min bigint CHECK (amount_minor_min BETWEEN 1 AND 999999999999),
    amount_minor_max bigint CHECK (amount_minor_max BETWEEN 1 AND 999999999999),
    times_max        integer CHECK (times_max > 0),
    taken            integer NOT NULL DEFAULT 0 CHECK (taken >= 0),
    expires_at       timestamptz,
    created_at       timestamptz NOT NULL,
    created_by       text NOT NULL,
    ended_at         timestamptz,
    PRIMARY KEY (merchant_id, link_id),
    CONSTRAINT payment_links_not_too_often CHECK (times_max IS NULL OR taken <= times_max),
    CONSTRAINT payment_links_amount_or_bounds CHECK (
        num_nonnulls(amount_minor_min, amount_minor_max)
            = CASE WHEN amount_minor IS NULL THEN 2 ELSE 0 END
        AND (amount_minor IS NOT NULL OR amount_minor_min <= amount_minor_max))
);
CREATE INDEX payment_links_by_token ON payment_links (token_hash);

-- tries: how many were begun; the last one's number names its payment's key. payment_id: the payment
-- of the last try that ended, which is the one that paid when the state says so. Of the page's
-- address only the token's hash is kept: the token is made of the vault's key and the id.
CREATE TABLE checkouts (
    merchant_id     uuid NOT NULL REFERENCES merchants,
    checkout_id     uuid NOT NULL,
    token_hash      bytea NOT NULL CHECK (length(token_hash) = 32),
    idempotency_key text CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    fingerprint     bytea CHECK (length(fingerprint) = 32),
    link_id         uuid,
    amount_minor    bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 999999999999),
    currency        text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    capture         text NOT NULL CHECK (capture IN ('automatic', 'manual')),
    order_number    text CHECK (length(order_number) BETWEEN 1 AND 64),
    description     text CHECK (length(description) BETWEEN 1 AND 255),
    customer_email  text CHECK (length(customer_email) BETWEEN 3 AND 254),
    return_url      text CHECK (length(return_url) BETWEEN 1 AND 500),
    cancel_url      text CHECK (length(cancel_url) BETWEEN 1 AND 500),
    state           text NOT NULL CHECK (state IN ('open', 'paying', 'paid', 'expired', 'cancelled')),
    tries           integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    declines        integer NOT NULL DEFAULT 0 CHECK (declines BETWEEN 0 AND tries),
    payment_id      uuid,
    address_digest  bytea CHECK (length(address_digest) = 32),
    trying_since    timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, checkout_id),
    FOREIGN KEY (merchant_id, link_id) REFERENCES payment_links,
    CONSTRAINT checkouts_paid_by_a_payment CHECK (state <> 'paid' OR payment_id IS NOT NULL),
    CONSTRAINT checkouts_says_since_when CHECK ((state = 'paying') = (trying_since IS NOT NULL)),
    CONSTRAINT checkouts_key_with_its_request
        CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
);
CREATE INDEX checkouts_by_token ON checkouts (token_hash);
CREATE UNIQUE INDEX checkouts_by_key ON checkouts (merchant_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX checkouts_of_link ON checkouts (merchant_id, link_id, checkout_id DESC)
    WHERE link_id IS NOT NULL;
CREATE INDEX checkouts_paying ON checkouts (trying_since) WHERE state = 'paying';
CREATE INDEX checkouts_open ON checkouts (expires_at) WHERE state = 'open';

-- What is paid stays paid, by the same payment; what has expired or was cancelled stays so.
CREATE FUNCTION refuse_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'checkout % is %', OLD.checkout_id, OLD.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'checkouts_end_for_good';
END $$;
CREATE TRIGGER checkouts_end_for_good BEFORE UPDATE ON checkouts FOR EACH ROW
    WHEN (OLD.state IN ('paid', 'expired', 'cancelled')) EXECUTE FUNCTION refuse_reopening();

CREATE TABLE checkout_events (
    merchant_id uuid NOT NULL,
    checkout_id uuid NOT NULL,
    event_id    uuid NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text,
    to_state    text NOT NULL,
    cause       text NOT NULL,
    actor       text NOT NULL,
    payment_id  uuid,
    PRIMARY KEY (merchant_id, checkout_id, event_id)
);
CREATE TRIGGER checkout_events_append_only BEFORE UPDATE OR DELETE ON checkout_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER checkout_events_never_emptied BEFORE TRUNCATE ON checkout_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- Only how a checkout ended is news: tries tell themselves, as payments.
CREATE FUNCTION note_checkout_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, data)
    SELECT e.merchant_id, feed_event_id('checkout', e.checkout_id, e.event_id::text), 'checkout',
        e.at, e.from_state, e.to_state, e.cause, e.actor,
        jsonb_build_object('checkout_id', c.checkout_id, 'amount_minor', c.amount_minor,
            'currency', c.currency, 'order', c.order_number, 'payment_id', e.payment_id,
            'link_id', c.link_id)
    FROM inserted AS e JOIN checkouts AS c
        ON c.merchant_id = e.merchant_id AND c.checkout_id = e.checkout_id
    WHERE e.to_state IN ('paid', 'expired', 'cancelled');
    RETURN NULL;
END $$;
CREATE TRIGGER checkout_events_noted AFTER INSERT ON checkout_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_checkout_events();

-- Declined tries by the address that made them (its keyed digest), to slow down who tries out cards.
CREATE TABLE checkout_declines (
    merchant_id    uuid NOT NULL,
    checkout_id    uuid NOT NULL,
    try            integer NOT NULL,
    address_digest bytea NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, checkout_id, try)
);
CREATE INDEX checkout_declines_of_address ON checkout_declines (merchant_id, address_digest, at);
CREATE INDEX checkout_declines_by_age ON checkout_declines (at);

-- A card that a shopper keeps for the next time at one merchant: a token in the browser's cookie
-- leads to it, and here is its hash. The number stays in the vault; no security code is anywhere.
CREATE TABLE shopper_cards (
    merchant_id uuid NOT NULL REFERENCES merchants,
    token_hash  bytea NOT NULL CHECK (length(token_hash) = 32),
    card_token  uuid NOT NULL,
    brand       text NOT NULL,
    last_four   text NOT NULL CHECK (last_four ~ '^[0-9]{4}$'),
    created_at  timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (merchant_id, token_hash)
);
