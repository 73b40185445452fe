-- The end of the day, version 2 of the books. Amounts are in minor units, days YYYY-MM-DD.

-- The business day: a counter that only `day advance` moves.
CREATE TABLE business_day (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    day         TEXT    NOT NULL,
    statements  TEXT    NOT NULL CHECK (statements IN ('camt053', 'bai2', 'both'))
) STRICT;

CREATE INDEX entry_of_batch ON entry (batch_id);

-- A batch from its first 0500 on; `day` is the business day on which both sides agreed.
-- A forgotten entry is one that a mistake keeps out of the host's totals.
CREATE TABLE closing (
    batch_id     INTEGER PRIMARY KEY REFERENCES batch (id),
    merchant_id  TEXT    NOT NULL,
    acquirer_id  TEXT    NOT NULL,
    state        TEXT    NOT NULL
        CHECK (state IN ('uploading', 'out_of_balance', 'balanced', 'settled')),
    forgotten    INTEGER REFERENCES entry (id),
    day          TEXT,
    CHECK ((day IS NOT NULL) = (state IN ('balanced', 'settled')))
) STRICT;
CREATE INDEX closing_due ON closing (merchant_id) WHERE state = 'balanced';

-- Every 0500 and 0520 that was acted on, with its answer: a repeat gets the same one.
CREATE TABLE reconciliation (
    terminal_id      TEXT NOT NULL,
    sent_at          TEXT NOT NULL,
    stan             TEXT NOT NULL,
    mti              TEXT NOT NULL,
    asked            TEXT NOT NULL,
    response_code    TEXT NOT NULL,
    settlement_date  TEXT NOT NULL,
    further          TEXT NOT NULL,
    PRIMARY KEY (terminal_id, sent_at, stan, mti)
) STRICT, WITHOUT ROWID;

-- Every 0320 that was acted on; an item is taken once.
CREATE TABLE upload (
    terminal_id    TEXT NOT NULL,
    sent_at        TEXT NOT NULL,
    stan           TEXT NOT NULL,
    asked          BLOB NOT NULL,
    entry_id       INTEGER REFERENCES entry (id),
    response_code  TEXT NOT NULL,
    PRIMARY KEY (terminal_id, sent_at, stan)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX upload_taken_once ON upload (entry_id) WHERE response_code = '00';

-- What the acquirer pays to a merchant (or takes, when the net is negative) for one day.
CREATE TABLE deposit (
    id                 INTEGER PRIMARY KEY,
    reference          TEXT    NOT NULL UNIQUE,
    merchant_id        TEXT    NOT NULL,
    currency           TEXT    NOT NULL,
    day                TEXT    NOT NULL,
    value_date         TEXT    NOT NULL CHECK (value_date > day),
    state              TEXT    NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'paid', 'debited', 'returned')),
    items_number       INTEGER NOT NULL DEFAULT 0,
    gross_minor        INTEGER NOT NULL DEFAULT 0,
    refunds_minor      INTEGER NOT NULL DEFAULT 0,
    fees_minor         INTEGER NOT NULL DEFAULT 0,
    adjustments_minor  INTEGER NOT NULL DEFAULT 0,
    net_minor          INTEGER NOT NULL DEFAULT 0,
    UNIQUE (merchant_id, day, currency),
    CHECK (net_minor = gross_minor - refunds_minor - fees_minor + adjustments_minor)
) STRICT;
CREATE INDEX deposit_pending ON deposit (value_date) WHERE state = 'pending';

-- The items of a deposit as the report tells them; a line made up by a mistake has no entry.
CREATE TABLE item (
    id                 INTEGER PRIMARY KEY,
    deposit_id         INTEGER NOT NULL REFERENCES deposit (id),
    entry_id           INTEGER REFERENCES entry (id),
    terminal_id        TEXT    NOT NULL,
    batch              TEXT    NOT NULL,
    kind               TEXT    NOT NULL CHECK (kind IN ('SALE', 'CAPTURE', 'REFUND')),
    rrn                TEXT    NOT NULL,
    brand              TEXT    NOT NULL,
    last4              TEXT    NOT NULL,
    transacted_on      TEXT    NOT NULL,
    approval_code      TEXT    NOT NULL,
    amount_minor       INTEGER NOT NULL,
    interchange_minor  INTEGER NOT NULL CHECK (interchange_minor >= 0),
    scheme_minor       INTEGER NOT NULL CHECK (scheme_minor >= 0),
    markup_minor       INTEGER NOT NULL CHECK (markup_minor >= 0),
    CHECK ((amount_minor < 0) = (kind = 'REFUND'))
) STRICT;
CREATE INDEX item_of_deposit ON item (deposit_id);
CREATE UNIQUE INDEX item_settled_once ON item (entry_id) WHERE entry_id IS NOT NULL;

-- What else a deposit holds: charged back, held in reserve, corrected.
CREATE TABLE adjustment (
    id            INTEGER PRIMARY KEY,
    deposit_id    INTEGER NOT NULL REFERENCES deposit (id),
    kind          TEXT    NOT NULL,
    amount_minor  INTEGER NOT NULL,
    text          TEXT    NOT NULL
) STRICT;
CREATE INDEX adjustment_of_deposit ON adjustment (deposit_id);

-- One settlement report a merchant and day; written once the business day is after `due_day`.
CREATE TABLE report (
    merchant_id  TEXT    NOT NULL,
    day          TEXT    NOT NULL,
    acquirer_id  TEXT    NOT NULL,
    mistakes     TEXT    NOT NULL,
    due_day      TEXT    NOT NULL,
    is_written   INTEGER NOT NULL DEFAULT 0 CHECK (is_written IN (0, 1)),
    PRIMARY KEY (merchant_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_unwritten ON report (due_day) WHERE is_written = 0;

-- The merchant's bank: an account in each currency, its bookings and its statements.
CREATE TABLE bank_account (
    id                 INTEGER PRIMARY KEY,
    merchant_id        TEXT    NOT NULL,
    acquirer_id        TEXT    NOT NULL,
    currency           TEXT    NOT NULL,
    balance_minor      INTEGER NOT NULL DEFAULT 0,
    statements_number  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (merchant_id, currency)
) STRICT;

CREATE TABLE booking (
    id            INTEGER PRIMARY KEY,
    account_id    INTEGER NOT NULL REFERENCES bank_account (id),
    deposit_id    INTEGER NOT NULL REFERENCES deposit (id),
    day           TEXT    NOT NULL,
    is_return     INTEGER NOT NULL DEFAULT 0 CHECK (is_return IN (0, 1)),
    amount_minor  INTEGER NOT NULL CHECK (amount_minor <> 0)
) STRICT;
CREATE INDEX booking_of_day ON booking (account_id, day);

CREATE TABLE statement (
    account_id     INTEGER NOT NULL REFERENCES bank_account (id),
    day            TEXT    NOT NULL,
    number         INTEGER NOT NULL,
    opening_minor  INTEGER NOT NULL,
    closing_minor  INTEGER NOT NULL,
    forms          TEXT    NOT NULL,
    mistakes       TEXT    NOT NULL,
    made_at        TEXT    NOT NULL,
    is_written     INTEGER NOT NULL DEFAULT 0 CHECK (is_written IN (0, 1)),
    PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_unwritten ON statement (day) WHERE is_written = 0;
