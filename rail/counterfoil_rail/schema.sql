-- The rail's own books. Every amount is in minor units of its currency.
-- No card number and no CVV: a card is its keyed digest, its BIN and its last four digits
-- (never side by side, so that they do not read as one number in the raw file).

-- What a cardholder has with the issuer: one row per card and currency.
CREATE TABLE account (
    card_ref     BLOB    NOT NULL CHECK (length(card_ref) = 32),
    currency     TEXT    NOT NULL,
    bin          TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    last4        TEXT    NOT NULL,
    limit_minor  INTEGER NOT NULL,
    held_minor   INTEGER NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
    spent_minor  INTEGER NOT NULL DEFAULT 0 CHECK (spent_minor >= 0),
    PRIMARY KEY (card_ref, currency),
    CHECK (held_minor + spent_minor <= limit_minor)
) STRICT, WITHOUT ROWID;

-- A merchant's batch on one terminal in one currency, with the totals a close compares.
CREATE TABLE batch (
    id                         INTEGER PRIMARY KEY,
    terminal_id                TEXT    NOT NULL,
    currency                   TEXT    NOT NULL,
    number                     TEXT    NOT NULL,
    opened_at                  TEXT    NOT NULL,
    closed_at                  TEXT,
    credits_number             INTEGER NOT NULL DEFAULT 0,
    credits_reversal_number    INTEGER NOT NULL DEFAULT 0,
    debits_number              INTEGER NOT NULL DEFAULT 0,
    debits_reversal_number     INTEGER NOT NULL DEFAULT 0,
    authorizations_number      INTEGER NOT NULL DEFAULT 0,
    credits_minor              INTEGER NOT NULL DEFAULT 0,
    credits_reversal_minor     INTEGER NOT NULL DEFAULT 0,
    debits_minor               INTEGER NOT NULL DEFAULT 0,
    debits_reversal_minor      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (terminal_id, currency, number)
) STRICT;

-- One 0100 or 0200 that an issuer decided.
CREATE TABLE charge (
    id                      INTEGER PRIMARY KEY,
    kind                    TEXT    NOT NULL CHECK (kind IN ('sale', 'authorization')),
    state                   TEXT    NOT NULL
        CHECK (state IN ('held', 'captured', 'reversed', 'refunded', 'declined')),
    mti                     TEXT    NOT NULL,
    terminal_id             TEXT    NOT NULL,
    merchant_id             TEXT    NOT NULL,
    stan                    TEXT    NOT NULL,
    sent_at                 TEXT    NOT NULL,
    rrn                     TEXT    NOT NULL,
    card_ref                BLOB    NOT NULL CHECK (length(card_ref) = 32),
    bin                     TEXT    NOT NULL,
    brand                   TEXT    NOT NULL,
    last4                   TEXT    NOT NULL,
    currency                TEXT    NOT NULL,
    amount_minor            INTEGER NOT NULL CHECK (amount_minor > 0),
    authorized_minor        INTEGER NOT NULL CHECK (authorized_minor BETWEEN 0 AND amount_minor),
    held_minor              INTEGER NOT NULL CHECK (held_minor >= 0),
    captured_minor          INTEGER NOT NULL CHECK (captured_minor >= 0),
    refunded_minor          INTEGER NOT NULL CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    batch                   TEXT,
    response_code           TEXT    NOT NULL,
    approval_code           TEXT,
    network_transaction_id  TEXT,
    at                      TEXT    NOT NULL,
    CHECK (held_minor + captured_minor <= authorized_minor),
    CHECK (state IN ('held', 'captured', 'refunded') OR held_minor + captured_minor = 0)
) STRICT;

-- What a batch holds: sales and captures are debits, refunds credits; a void is a
-- reversal entry beside what it reverses (gross counting), never a deletion.
CREATE TABLE entry (
    id            INTEGER PRIMARY KEY,
    batch_id      INTEGER NOT NULL REFERENCES batch (id),
    charge_id     INTEGER NOT NULL REFERENCES charge (id),
    kind          TEXT    NOT NULL
        CHECK (kind IN ('debit', 'debit_reversal', 'credit', 'credit_reversal')),
    amount_minor  INTEGER NOT NULL CHECK (amount_minor > 0),
    mti           TEXT    NOT NULL,
    stan          TEXT    NOT NULL,
    sent_at       TEXT    NOT NULL,
    rrn           TEXT    NOT NULL,
    reverses      INTEGER REFERENCES entry (id),
    at            TEXT    NOT NULL
) STRICT;
CREATE INDEX entry_of_charge ON entry (charge_id);
CREATE UNIQUE INDEX entry_reversed_once ON entry (reverses) WHERE reverses IS NOT NULL;

-- Every request that was acted on, with what its answer said: a repeat gets the same one.
CREATE TABLE exchange (
    terminal_id             TEXT    NOT NULL,
    sent_at                 TEXT    NOT NULL,
    stan                    TEXT    NOT NULL,
    mti                     TEXT    NOT NULL,
    card_ref                BLOB    NOT NULL,
    processing_code         TEXT    NOT NULL,
    amount_minor            INTEGER NOT NULL,
    charge_id               INTEGER REFERENCES charge (id),
    response_code           TEXT    NOT NULL,
    approval_code           TEXT,
    settlement_date         TEXT,
    verification            TEXT,
    network_transaction_id  TEXT,
    PRIMARY KEY (terminal_id, sent_at, stan, mti)
) STRICT, WITHOUT ROWID;

-- A reversal that came before (or instead of) its original: the original is refused for ever.
CREATE TABLE tombstone (
    terminal_id   TEXT    NOT NULL,
    sent_at       TEXT    NOT NULL,
    stan          TEXT    NOT NULL,
    mti           TEXT    NOT NULL,
    rrn           TEXT    NOT NULL,
    amount_minor  INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    at            TEXT    NOT NULL,
    PRIMARY KEY (terminal_id, sent_at, stan, mti)
) STRICT, WITHOUT ROWID;
