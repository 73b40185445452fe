-- Every operation, version 3 of the books: forced captures, credits, parts, holds that lapse.
-- Amounts are in minor units.

-- What a charge is worth, part by part: what an issuer has approved is held, captured,
-- released by a reversal or lapsed with its hold. A credit gives what was never taken.
CREATE TABLE charge_3 (
    id                      INTEGER PRIMARY KEY,
    kind                    TEXT    NOT NULL
        CHECK (kind IN ('sale', 'authorization', 'forced', 'credit')),
    state                   TEXT    NOT NULL CHECK (state IN
        ('held', 'captured', 'reversed', 'refunded', 'declined', 'expired', 'credited')),
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
    released_minor          INTEGER NOT NULL CHECK (released_minor >= 0),
    expired_minor           INTEGER NOT NULL CHECK (expired_minor >= 0),
    credited_minor          INTEGER NOT NULL CHECK (credited_minor BETWEEN 0 AND amount_minor),
    batch                   TEXT,
    response_code           TEXT    NOT NULL,
    approval_code           TEXT,
    network_transaction_id  TEXT,
    expires_at              TEXT,
    at                      TEXT    NOT NULL,
    CHECK (held_minor + captured_minor + released_minor + expired_minor = authorized_minor),
    CHECK (kind = 'authorization' OR held_minor + expired_minor = 0),
    CHECK (kind = 'credit' OR credited_minor = 0),
    CHECK (kind <> 'credit' OR authorized_minor = 0),
    CHECK (held_minor = 0 OR expires_at IS NOT NULL),
    CHECK ((state IN ('captured', 'refunded')) = (captured_minor > 0)),
    CHECK ((state = 'held') = (held_minor > 0 AND captured_minor = 0)),
    CHECK ((state = 'credited') = (credited_minor > 0))
) STRICT;
INSERT INTO charge_3
SELECT id, kind, state, mti, terminal_id, merchant_id, stan, sent_at, rrn, card_ref, bin, brand,
       last4, currency, amount_minor, iif(response_code = '00', amount_minor, 0),
       held_minor, captured_minor, refunded_minor,
       iif(response_code = '00', amount_minor - held_minor - captured_minor, 0), 0, 0,
       batch, response_code, approval_code, network_transaction_id,
       iif(kind = 'authorization', strftime('%Y-%m-%dT%H:%M:%fZ', at, '+7 days'), NULL), at
FROM charge;
DROP TABLE charge;
ALTER TABLE charge_3 RENAME TO charge;
CREATE INDEX charge_held_until ON charge (expires_at) WHERE held_minor > 0;

-- A credit may leave a cardholder with less than nothing spent.
CREATE TABLE account_3 (
    card_ref     BLOB    NOT NULL CHECK (length(card_ref) = 32),
    currency     TEXT    NOT NULL,
    bin          TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    last4        TEXT    NOT NULL,
    limit_minor  INTEGER NOT NULL,
    held_minor   INTEGER NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
    spent_minor  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (card_ref, currency),
    CHECK (held_minor + spent_minor <= limit_minor)
) STRICT, WITHOUT ROWID;
INSERT INTO account_3 SELECT * FROM account;
DROP TABLE account;
ALTER TABLE account_3 RENAME TO account;

-- A line of a batch is reversed in parts, up to its amount and never beyond.
DROP INDEX entry_reversed_once;
CREATE INDEX entry_reversals ON entry (reverses) WHERE reverses IS NOT NULL;
CREATE TRIGGER entry_reversed_within_its_amount BEFORE INSERT ON entry
WHEN NEW.reverses IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'more is reversed than the line holds')
    WHERE NEW.amount_minor
        + (SELECT ifnull(sum(amount_minor), 0) FROM entry WHERE reverses = NEW.reverses)
        > (SELECT amount_minor FROM entry WHERE id = NEW.reverses);
END;

-- An issuer that approves a part says which (DE 4 of the answer); null: what was asked.
ALTER TABLE exchange ADD COLUMN approved_minor INTEGER;
