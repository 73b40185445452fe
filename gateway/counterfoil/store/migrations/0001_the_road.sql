-- The online half of a payment's road, laid out for the end of the day.
--
-- merchant_id comes first in every key of merchant data, so that the same schema
-- can be distributed by it. merchants, terminals, api_keys, processes and
-- vault_keys are small and shared: reference tables.

CREATE TABLE installation (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode            text NOT NULL CHECK (mode IN ('test', 'live')),
    created_at      timestamptz NOT NULL
);

CREATE TABLE merchants (
    merchant_id         uuid PRIMARY KEY,
    name                text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    city                text NOT NULL CHECK (length(city) BETWEEN 1 AND 64),
    region              text NOT NULL CHECK (length(region) <= 3),
    country             text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    category_code       text NOT NULL CHECK (category_code ~ '^[0-9]{4}$'),
    timezone            text NOT NULL,
    cutoff              time NOT NULL,
    email               text NOT NULL,
    acknowledge_seconds integer NOT NULL CHECK (acknowledge_seconds BETWEEN 5 AND 3600),
    created_at          timestamptz NOT NULL
);

-- A terminal id is the acquirer's: no two merchants of one acquirer share it.
CREATE TABLE terminals (
    merchant_id      uuid NOT NULL REFERENCES merchants,
    acquirer         text NOT NULL,
    terminal_id      text NOT NULL CHECK (length(terminal_id) = 8),
    card_acceptor_id text NOT NULL CHECK (length(card_acceptor_id) BETWEEN 1 AND 15),
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, acquirer, terminal_id),
    UNIQUE (acquirer, terminal_id)
);

CREATE TABLE api_keys (
    key_id      uuid PRIMARY KEY,
    merchant_id uuid NOT NULL REFERENCES merchants,
    secret_hash bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    hint        text NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz
);

-- One row per running process; while its lease holds, its intents are its own.
CREATE TABLE processes (
    process_id  uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('gateway', 'worker')),
    host        text NOT NULL,
    pid         integer NOT NULL,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- Data keys, wrapped by the key-encryption key (AES-KW, RFC 3394).
CREATE TABLE vault_keys (
    key_id     text PRIMARY KEY,
    purpose    text NOT NULL CHECK (purpose IN ('card', 'fingerprint', 'confirmation')),
    wrapped    bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE UNIQUE INDEX vault_keys_one_active ON vault_keys (purpose) WHERE retired_at IS NULL;

CREATE TABLE stan_counters (
    merchant_id  uuid NOT NULL,
    acquirer     text NOT NULL,
    terminal_id  text NOT NULL,
    business_day date NOT NULL,
    next_stan    integer NOT NULL CHECK (next_stan BETWEEN 1 AND 1000000),
    PRIMARY KEY (merchant_id, acquirer, terminal_id, business_day)
);

CREATE TABLE confirmation_counters (
    merchant_id uuid PRIMARY KEY,
    next_number bigint NOT NULL CHECK (next_number BETWEEN 0 AND 100000000000)
);

CREATE TABLE batches (
    merchant_id  uuid NOT NULL,
    acquirer     text NOT NULL,
    terminal_id  text NOT NULL,
    currency     text NOT NULL,
    batch_number integer NOT NULL CHECK (batch_number BETWEEN 1 AND 999999),
    state        text NOT NULL CHECK (state IN ('open', 'closing', 'closed', 'needs_a_person')),
    opened_at    timestamptz NOT NULL,
    closing_at   timestamptz,
    closed_at    timestamptz,
    PRIMARY KEY (merchant_id, acquirer, terminal_id, currency, batch_number),
    FOREIGN KEY (merchant_id, acquirer, terminal_id) REFERENCES terminals
);
CREATE UNIQUE INDEX batches_one_open ON batches (merchant_id, acquirer, terminal_id, currency)
    WHERE state = 'open';

-- Every key ever used: by a payment, by a movement, or fenced by resolve before it was seen.
CREATE TABLE idempotency_keys (
    merchant_id     uuid NOT NULL,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    operation       text NOT NULL
        CHECK (operation IN ('payment', 'capture', 'void', 'refund', 'fence')),
    fingerprint     bytea NOT NULL,
    payment_id      uuid CHECK (payment_id IS NOT NULL OR operation = 'fence'),
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key)
);

-- The vault: the only table with card numbers, each sealed to its row.
CREATE TABLE vault_cards (
    merchant_id uuid NOT NULL,
    token       uuid NOT NULL,
    key_id      text NOT NULL,
    nonce       bytea NOT NULL CHECK (length(nonce) = 12),
    ciphertext  bytea NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, token)
);

CREATE TABLE payments (
    merchant_id             uuid NOT NULL,
    payment_id              uuid NOT NULL,
    idempotency_key         text NOT NULL,
    kind                    text NOT NULL CHECK (kind IN ('sale', 'authorization')),
    state                   text NOT NULL CHECK (state IN (
        'processing', 'not_sent', 'declined', 'approved', 'authorized', 'captured',
        'voiding', 'voided', 'reversing', 'reversed', 'expired')),
    version                 integer NOT NULL CHECK (version > 0),
    changed_by              uuid NOT NULL,
    amount_minor            bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 999999999999),
    currency                text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    authorized_minor        bigint NOT NULL DEFAULT 0 CHECK (authorized_minor BETWEEN 0 AND amount_minor),
    captured_minor          bigint NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    released_minor          bigint NOT NULL DEFAULT 0 CHECK (released_minor >= 0),
    refunded_minor          bigint NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
    order_number            text,
    description             text,
    customer_email          text,
    card_token              uuid NOT NULL,
    card_brand              text NOT NULL,
    card_bin                text NOT NULL CHECK (length(card_bin) = 6),
    card_last_four          text NOT NULL CHECK (length(card_last_four) = 4),
    acquirer                text NOT NULL,
    terminal_id             text NOT NULL,
    batch_number            integer NOT NULL,
    business_day            date NOT NULL,
    stan                    integer NOT NULL,
    rrn                     text NOT NULL CHECK (length(rrn) = 12),
    transmitted_at          timestamptz NOT NULL,
    local_time              text NOT NULL CHECK (length(local_time) = 10),
    process_id              uuid NOT NULL,
    session_id              text NOT NULL,
    response_code           text,
    approval_code           text,
    avs_result              text,
    cvv_result              text,
    network_transaction_id  text,
    settlement_date         text,
    acknowledge_by          timestamptz,
    acknowledged_at         timestamptz,
    acknowledged_on_session boolean,
    confirmation_number     text CHECK (confirmation_number ~ '^[0-9]{12}$'),
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, payment_id),
    UNIQUE (merchant_id, terminal_id, rrn),
    CHECK (captured_minor + released_minor <= authorized_minor),
    CHECK (refunded_minor <= captured_minor),
    CHECK (state <> 'approved' OR acknowledge_by IS NOT NULL)
);
CREATE UNIQUE INDEX payments_confirmation ON payments (merchant_id, confirmation_number)
    WHERE confirmation_number IS NOT NULL;
CREATE INDEX payments_order ON payments (merchant_id, order_number)
    WHERE order_number IS NOT NULL;
CREATE INDEX payments_unanswered ON payments (created_at) WHERE state = 'processing';
CREATE INDEX payments_unclaimed ON payments (acknowledge_by) WHERE state = 'approved';

-- The table of legal moves (payments/lifecycle.py has the same; a test compares them).
CREATE FUNCTION refuse_illegal_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % cannot move from % to %', OLD.payment_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_legal_moves';
END $$;
CREATE TRIGGER payments_legal_moves BEFORE UPDATE OF state ON payments FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'processing>not_sent', 'processing>declined', 'processing>approved',
        'processing>reversing', 'not_sent>processing', 'approved>authorized',
        'approved>captured', 'approved>reversing', 'authorized>captured',
        'authorized>voiding', 'authorized>expired', 'captured>voiding', 'captured>authorized',
        'voiding>voided', 'reversing>reversed', 'reversed>reversing'))
    EXECUTE FUNCTION refuse_illegal_move();

CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: write a new row that corrects the old one', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TABLE movements (
    merchant_id     uuid NOT NULL,
    movement_id     uuid NOT NULL,
    payment_id      uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('capture', 'void', 'refund')),
    state           text NOT NULL
        CHECK (state IN ('pending', 'batched', 'settled', 'funded', 'done', 'undone', 'failed')),
    amount_minor    bigint NOT NULL CHECK (amount_minor > 0),
    currency        text NOT NULL,
    idempotency_key text,
    acquirer        text NOT NULL,
    terminal_id     text NOT NULL,
    batch_number    integer NOT NULL,
    rrn             text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, movement_id),
    FOREIGN KEY (merchant_id, payment_id) REFERENCES payments
);
CREATE INDEX movements_payment ON movements (merchant_id, payment_id);
CREATE INDEX movements_batch
    ON movements (merchant_id, acquirer, terminal_id, currency, batch_number);

-- The history: one row for every change, never changed itself.
CREATE TABLE payment_events (
    merchant_id    uuid NOT NULL,
    payment_id     uuid NOT NULL,
    version        integer NOT NULL,
    event_id       uuid NOT NULL,
    at             timestamptz NOT NULL,
    from_state     text,
    to_state       text NOT NULL,
    cause          text NOT NULL,
    actor          text NOT NULL,
    movement_id    uuid,
    movement_state text,
    PRIMARY KEY (merchant_id, payment_id, version)
);
CREATE TRIGGER payment_events_append_only BEFORE UPDATE OR DELETE ON payment_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- Every message intended for, or received from, an acquirer; masked.
CREATE TABLE network_messages (
    merchant_id    uuid NOT NULL,
    message_id     uuid NOT NULL,
    payment_id     uuid NOT NULL,
    direction      text NOT NULL CHECK (direction IN ('sent', 'received')),
    mti            text NOT NULL CHECK (mti ~ '^[0-9]{4}$'),
    acquirer       text NOT NULL,
    terminal_id    text NOT NULL,
    business_day   date NOT NULL,
    stan           integer NOT NULL CHECK (stan BETWEEN 1 AND 999999),
    transmitted_at timestamptz NOT NULL,
    send_before    timestamptz,
    content        text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, message_id)
);
CREATE UNIQUE INDEX network_messages_stan
    ON network_messages (merchant_id, acquirer, terminal_id, business_day, stan)
    WHERE direction = 'sent';
CREATE INDEX network_messages_payment ON network_messages (merchant_id, payment_id);
CREATE TRIGGER network_messages_append_only BEFORE UPDATE OR DELETE ON network_messages
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- The double-entry journal: a transfer balances by its form.
CREATE TABLE transfers (
    merchant_id    uuid NOT NULL,
    transfer_id    uuid NOT NULL,
    payment_id     uuid NOT NULL,
    movement_id    uuid,
    debit_account  text NOT NULL,
    credit_account text NOT NULL,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    currency       text NOT NULL,
    cause          text NOT NULL,
    at             timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, transfer_id),
    CHECK (debit_account <> credit_account)
);
CREATE INDEX transfers_payment ON transfers (merchant_id, payment_id);
CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- What is owed to the acquirer: stored, and forwarded until it is accepted.
CREATE TABLE advices (
    merchant_id    uuid NOT NULL,
    advice_id      uuid NOT NULL,
    payment_id     uuid NOT NULL,
    movement_id    uuid,
    position       integer NOT NULL CHECK (position > 0),
    kind           text NOT NULL CHECK (kind IN ('reversal', 'void', 'capture', 'refund')),
    reason_code    text,
    amount_minor   bigint NOT NULL CHECK (amount_minor > 0),
    batch_number   integer NOT NULL,
    state          text NOT NULL CHECK (state IN ('owed', 'accepted', 'refused')),
    business_day   date,
    stan           integer,
    transmitted_at timestamptz,
    attempts       integer NOT NULL DEFAULT 0,
    next_try_at    timestamptz NOT NULL,
    lease_owner    uuid,
    lease_until    timestamptz,
    response_code  text,
    late_until     timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, advice_id),
    UNIQUE (merchant_id, payment_id, position),
    FOREIGN KEY (merchant_id, payment_id) REFERENCES payments,
    CHECK ((stan IS NULL) = (transmitted_at IS NULL))
);
CREATE UNIQUE INDEX advices_one_reversal ON advices (merchant_id, payment_id)
    WHERE kind IN ('reversal', 'void');
CREATE INDEX advices_owed ON advices (next_try_at) WHERE state = 'owed';

-- What is owed to people: e-mail now, webhooks later; written with the change that causes it.
CREATE TABLE outbox (
    merchant_id uuid NOT NULL,
    outbox_id   uuid NOT NULL,
    payment_id  uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('mail_customer', 'mail_merchant')),
    recipient   text NOT NULL,
    state       text NOT NULL CHECK (state IN ('owed', 'sent', 'gave_up')),
    attempts    integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL,
    lease_owner uuid,
    lease_until timestamptz,
    last_error  text,
    created_at  timestamptz NOT NULL,
    sent_at     timestamptz,
    PRIMARY KEY (merchant_id, outbox_id),
    UNIQUE (merchant_id, payment_id, kind)
);
CREATE INDEX outbox_owed ON outbox (next_try_at) WHERE state = 'owed';
