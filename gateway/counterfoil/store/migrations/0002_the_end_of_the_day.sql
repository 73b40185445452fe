-- The end of the day: batches that are closed with the acquirer, its report, the bank's statement.

ALTER TABLE merchants ADD COLUMN last_cutoff_at timestamptz;
UPDATE merchants SET last_cutoff_at = created_at;
ALTER TABLE merchants ALTER COLUMN last_cutoff_at SET NOT NULL;

-- open -> closing (waits for what is in flight) -> totalling (items fixed, totals with the host)
-- -> closed, or -> uploading (the host said 95: every item) -> closed; else needs_a_person.
ALTER TABLE batches DROP CONSTRAINT batches_state_check;
ALTER TABLE batches ADD CONSTRAINT batches_state_check CHECK (state IN
    ('open', 'closing', 'totalling', 'uploading', 'closed', 'needs_a_person'));
ALTER TABLE batches
    ADD COLUMN close_cause text,
    ADD COLUMN close_actor text,
    ADD COLUMN frozen_at timestamptz,
    ADD COLUMN our_totals text,
    ADD COLUMN host_totals text,
    ADD COLUMN settlement_date text,
    ADD COLUMN lease_owner uuid,
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN next_try_at timestamptz;
CREATE INDEX batches_at_work ON batches (next_try_at)
    WHERE state IN ('closing', 'totalling', 'uploading');
CREATE INDEX batches_for_a_person ON batches (opened_at) WHERE state = 'needs_a_person';
CREATE INDEX advices_owed_in_batch ON advices (merchant_id, batch_number) WHERE state = 'owed';

CREATE INDEX payments_in_flight ON payments (merchant_id, terminal_id, batch_number)
    WHERE state IN ('processing', 'approved', 'reversing', 'voiding');
CREATE INDEX payments_taken_back ON payments (merchant_id, terminal_id, batch_number)
    WHERE state IN ('voided', 'reversed');
CREATE INDEX payments_authorizations ON payments (merchant_id, terminal_id, batch_number)
    WHERE kind = 'authorization';

-- A terminal id is its acquirer's own: one merchant may have the same at two of them.
ALTER TABLE payments DROP CONSTRAINT payments_merchant_id_terminal_id_rrn_key;
ALTER TABLE payments ADD CONSTRAINT payments_rrn UNIQUE (merchant_id, acquirer, terminal_id, rrn);

-- One row for every change of a batch, as payment_events for payments.
CREATE TABLE batch_events (
    merchant_id  uuid NOT NULL,
    event_id     uuid NOT NULL,
    acquirer     text NOT NULL,
    terminal_id  text NOT NULL,
    currency     text NOT NULL,
    batch_number integer NOT NULL,
    at           timestamptz NOT NULL,
    from_state   text,
    to_state     text NOT NULL,
    cause        text NOT NULL,
    actor        text NOT NULL,
    note         text,
    PRIMARY KEY (merchant_id, event_id)
);
CREATE INDEX batch_events_batch
    ON batch_events (merchant_id, acquirer, terminal_id, currency, batch_number);
CREATE TRIGGER batch_events_append_only BEFORE UPDATE OR DELETE ON batch_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- What a batch holds, fixed before its totals are sent. A movement is in one batch, once.
CREATE TABLE batch_items (
    merchant_id   uuid NOT NULL,
    acquirer      text NOT NULL,
    terminal_id   text NOT NULL,
    currency      text NOT NULL,
    batch_number  integer NOT NULL,
    item_number   integer NOT NULL CHECK (item_number BETWEEN 1 AND 9999),
    movement_id   uuid NOT NULL,
    payment_id    uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('capture', 'refund')),
    amount_minor  bigint NOT NULL CHECK (amount_minor > 0),
    brand         text NOT NULL,
    PRIMARY KEY (merchant_id, acquirer, terminal_id, currency, batch_number, item_number),
    UNIQUE (merchant_id, movement_id)
);

-- Messages about a batch: its totals (item 0), its items when they are uploaded, its final totals.
-- forgiven: of the attempts, those before a person let the batch go on.
CREATE TABLE batch_messages (
    merchant_id    uuid NOT NULL,
    acquirer       text NOT NULL,
    terminal_id    text NOT NULL,
    currency       text NOT NULL,
    batch_number   integer NOT NULL,
    step           text NOT NULL CHECK (step IN ('totals', 'item', 'final')),
    item_number    integer NOT NULL CHECK (item_number BETWEEN 0 AND 9999),
    business_day   date NOT NULL,
    stan           integer NOT NULL,
    transmitted_at timestamptz NOT NULL,
    attempts       integer NOT NULL,
    forgiven       integer NOT NULL DEFAULT 0,
    response_code  text,
    answered_at    timestamptz,
    PRIMARY KEY (merchant_id, acquirer, terminal_id, currency, batch_number, step, item_number)
);

CREATE INDEX movements_rrn ON movements (merchant_id, terminal_id, rrn);

-- The life of a movement after it was made.
CREATE TABLE movement_events (
    merchant_id uuid NOT NULL,
    movement_id uuid NOT NULL,
    event_id    uuid NOT NULL,
    payment_id  uuid NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    cause       text NOT NULL,
    actor       text NOT NULL,
    PRIMARY KEY (merchant_id, movement_id, event_id)
);
CREATE INDEX movement_events_payment ON movement_events (merchant_id, payment_id);
CREATE TRIGGER movement_events_append_only BEFORE UPDATE OR DELETE ON movement_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- The journal also books what concerns a batch or a deposit and no single payment.
ALTER TABLE transfers ALTER COLUMN payment_id DROP NOT NULL;
ALTER TABLE transfers ADD COLUMN reference text;
ALTER TABLE transfers ADD CONSTRAINT transfers_about_something
    CHECK (payment_id IS NOT NULL OR reference IS NOT NULL);

-- The hash chain over the journal, built by the worker: each block seals the transfers it names.
-- `since` and `until` are the times of its earliest and latest transfer.
CREATE TABLE transfer_blocks (
    merchant_id  uuid NOT NULL,
    block_number bigint NOT NULL CHECK (block_number > 0),
    transfer_ids uuid[] NOT NULL CHECK (cardinality(transfer_ids) BETWEEN 1 AND 10000),
    digests      bytea[] NOT NULL CHECK (cardinality(digests) = cardinality(transfer_ids)),
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    previous     bytea NOT NULL CHECK (length(previous) = 32),
    hash         bytea NOT NULL CHECK (length(hash) = 32),
    at           timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, block_number)
);
CREATE INDEX transfer_blocks_until ON transfer_blocks (until);
-- The journal grows at its end only, so that a block range index finds its newest rows for nothing.
CREATE INDEX transfers_at ON transfers USING brin (at)
    WITH (pages_per_range = 16, autosummarize = on);

-- The digest of a transfer: SHA-256 of its canonical text (ledger/chain.py says how it reads).
CREATE FUNCTION transfer_digest(t transfers) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(convert_to(ROW(
    t.merchant_id, t.transfer_id, t.payment_id, t.movement_id, t.reference, t.debit_account,
    t.credit_account, t.amount_minor, t.currency, t.cause,
    (extract(epoch FROM t.at) * 1000000)::bigint)::text, 'UTF8'));

CREATE TRIGGER transfer_blocks_append_only BEFORE UPDATE OR DELETE ON transfer_blocks
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- The bank accounts whose statements are read, beside the sandbox's (card acceptor id + currency).
CREATE TABLE bank_accounts (
    merchant_id uuid NOT NULL REFERENCES merchants,
    account     text NOT NULL CHECK (length(account) BETWEEN 1 AND 64),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    added_at    timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, account, currency),
    UNIQUE (account, currency)
);

-- Every file that came, with its exact bytes; merchant_id is null while nobody knows whose it is.
-- looks_again: what held it may change (a batch that is not closed yet), so it is tried again.
CREATE TABLE incoming_files (
    digest      bytea PRIMARY KEY CHECK (length(digest) = 32),
    kind        text NOT NULL CHECK (kind IN ('report', 'statement', 'unknown')),
    name        text NOT NULL,
    merchant_id uuid REFERENCES merchants,
    file_id     text,
    state       text NOT NULL CHECK (state IN ('read', 'held')),
    reason      text,
    looks_again boolean NOT NULL DEFAULT false,
    content     bytea NOT NULL,
    received_at timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    CHECK ((state = 'held') = (reason IS NOT NULL)),
    CHECK (state = 'held' OR NOT looks_again),
    CHECK (state = 'held' OR merchant_id IS NOT NULL)
);
CREATE UNIQUE INDEX incoming_files_once ON incoming_files (merchant_id, kind, file_id)
    WHERE state = 'read';
CREATE INDEX incoming_files_held ON incoming_files (changed_at) WHERE state = 'held';
CREATE INDEX incoming_files_newest ON incoming_files (received_at);
CREATE INDEX batches_closed ON batches (closed_at) WHERE state = 'closed';

-- One deposit of an acquirer, as its report announces it. Amounts in minor units.
CREATE TABLE deposits (
    merchant_id       uuid NOT NULL,
    acquirer          text NOT NULL,
    reference         text NOT NULL,
    currency          text NOT NULL,
    file_digest       bytea,
    business_date     date,
    value_date        date,
    gross_minor       bigint NOT NULL,
    refunds_minor     bigint NOT NULL,
    interchange_minor bigint NOT NULL,
    scheme_minor      bigint NOT NULL,
    markup_minor      bigint NOT NULL,
    adjustments_minor bigint NOT NULL,
    net_minor         bigint NOT NULL,
    paid_minor        bigint NOT NULL DEFAULT 0,
    parts             integer NOT NULL DEFAULT 0,
    state             text NOT NULL CHECK (state IN
        ('announced', 'partly_paid', 'funded', 'overpaid', 'returned', 'without_report')),
    updated_at        timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, acquirer, reference),
    CHECK (state = 'without_report' OR net_minor = gross_minor - refunds_minor
        - interchange_minor - scheme_minor - markup_minor + adjustments_minor)
);
CREATE INDEX deposits_newest ON deposits (merchant_id, value_date, acquirer, reference);

CREATE TABLE deposit_events (
    merchant_id uuid NOT NULL,
    event_id    uuid NOT NULL,
    acquirer    text NOT NULL,
    reference   text NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text,
    to_state    text NOT NULL,
    cause       text NOT NULL,
    actor       text NOT NULL,
    PRIMARY KEY (merchant_id, event_id)
);
CREATE INDEX deposit_events_deposit ON deposit_events (merchant_id, acquirer, reference);
CREATE TRIGGER deposit_events_append_only BEFORE UPDATE OR DELETE ON deposit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE deposit_adjustments (
    merchant_id  uuid NOT NULL,
    acquirer     text NOT NULL,
    reference    text NOT NULL,
    number       integer NOT NULL,
    kind         text NOT NULL,
    amount_minor bigint NOT NULL,
    description  text NOT NULL,
    PRIMARY KEY (merchant_id, acquirer, reference, number),
    FOREIGN KEY (merchant_id, acquirer, reference) REFERENCES deposits
);

-- Every line of a report and what it turned out to be. Refunds are negative. An item of ours is
-- settled by at most one line; movement_id of a duplicate names the item that it repeats.
CREATE TABLE settlement_lines (
    merchant_id       uuid NOT NULL,
    acquirer          text NOT NULL,
    file_digest       bytea NOT NULL,
    line              integer NOT NULL,
    reference         text NOT NULL,
    terminal_id       text NOT NULL,
    batch_number      integer NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('capture', 'refund')),
    rrn               text NOT NULL,
    approval_code     text,
    last_four         text NOT NULL,
    brand             text NOT NULL,
    currency          text NOT NULL,
    amount_minor      bigint NOT NULL,
    interchange_minor bigint NOT NULL,
    scheme_minor      bigint NOT NULL,
    markup_minor      bigint NOT NULL,
    transacted_on     date NOT NULL,
    movement_id       uuid,
    outcome           text NOT NULL CHECK (outcome IN
        ('matched', 'missing_here', 'amount_differs', 'date_shifted', 'duplicate')),
    PRIMARY KEY (merchant_id, file_digest, line),
    CHECK ((movement_id IS NULL) = (outcome = 'missing_here'))
);
CREATE INDEX settlement_lines_deposit ON settlement_lines (merchant_id, acquirer, reference, line);
CREATE INDEX settlement_lines_batch
    ON settlement_lines (merchant_id, acquirer, terminal_id, currency, batch_number);
CREATE UNIQUE INDEX settlement_lines_movement ON settlement_lines (merchant_id, movement_id)
    WHERE outcome IN ('matched', 'amount_differs', 'date_shifted');

-- The bank's words: each statement with its balances, each entry with what it turned out to be.
CREATE TABLE bank_statements (
    merchant_id   uuid NOT NULL,
    account       text NOT NULL,
    statement_id  text NOT NULL,
    currency      text NOT NULL,
    file_digest   bytea NOT NULL,
    opening_minor bigint NOT NULL,
    closing_minor bigint NOT NULL,
    first_day     date NOT NULL,
    last_day      date NOT NULL,
    PRIMARY KEY (merchant_id, account, statement_id)
);

CREATE TABLE bank_entries (
    merchant_id  uuid NOT NULL,
    account      text NOT NULL,
    statement_id text NOT NULL,
    number       integer NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    booked_on    date NOT NULL,
    value_on     date NOT NULL,
    bank_reference text NOT NULL,
    description  text NOT NULL,
    is_return    boolean NOT NULL,
    acquirer     text,
    reference    text,
    outcome      text NOT NULL CHECK (outcome IN
        ('matched', 'split', 'amount_differs', 'date_shifted', 'returned', 'without_report',
         'unrelated')),
    PRIMARY KEY (merchant_id, account, statement_id, number),
    FOREIGN KEY (merchant_id, account, statement_id) REFERENCES bank_statements
);
CREATE INDEX bank_entries_deposit ON bank_entries (merchant_id, acquirer, reference);

-- What does not agree, with the next step for a person; resolved ones stay.
CREATE TABLE findings (
    merchant_id  uuid NOT NULL,
    finding_id   uuid NOT NULL,
    kind         text NOT NULL,
    subject      text NOT NULL,
    currency     text NOT NULL,
    amount_minor bigint NOT NULL,
    movement_id  uuid,
    reference    text,
    next_step    text NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'resolved')),
    opened_at    timestamptz NOT NULL,
    resolved_at  timestamptz,
    resolution   text,
    PRIMARY KEY (merchant_id, finding_id)
);
CREATE UNIQUE INDEX findings_once ON findings (merchant_id, kind, subject) WHERE state = 'open';
CREATE INDEX findings_movement ON findings (merchant_id, movement_id)
    WHERE movement_id IS NOT NULL;
CREATE INDEX findings_newest ON findings (merchant_id, opened_at, finding_id);

-- Nor may a whole table of theirs be emptied.
CREATE TRIGGER payment_events_never_emptied BEFORE TRUNCATE ON payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER network_messages_never_emptied BEFORE TRUNCATE ON network_messages
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER transfers_never_emptied BEFORE TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER batch_events_never_emptied BEFORE TRUNCATE ON batch_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER movement_events_never_emptied BEFORE TRUNCATE ON movement_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER deposit_events_never_emptied BEFORE TRUNCATE ON deposit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER transfer_blocks_never_emptied BEFORE TRUNCATE ON transfer_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
