"""
The journal's table and every statement on it. The only SQL in this library, but for locks.
"""

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE intent (
  account TEXT NOT NULL,  -- whose key: the API key's fingerprint
  key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  kind TEXT NOT NULL CHECK (kind IN ('sale', 'authorization', 'forced', 'credit', 'capture', 'void',
    'refund', 'undo')),
  state TEXT NOT NULL CHECK (state IN
    ('intended', 'not_sent', 'approved', 'finished', 'refused', 'never_sent')),
  is_open INTEGER GENERATED ALWAYS AS (state IN ('intended', 'not_sent', 'approved')) VIRTUAL,
  owner TEXT,             -- the open journal that is working on it, or that closed it
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  payment_id TEXT,
  order_number TEXT,
  amount_minor INTEGER CHECK (amount_minor > 0),
  currency TEXT CHECK (length(currency) = 3),
  last4 TEXT CHECK (length(last4) = 4),
  payment BLOB,           -- the gateway's last word, JSON
  created_at REAL NOT NULL,
  changed_at REAL NOT NULL,
  PRIMARY KEY (account, key)
)
"""

INDEX = "CREATE INDEX intent_open_or_owned ON intent (account, is_open, owner)"

VERSION_NOW = "PRAGMA user_version"
VERSION_SET = "PRAGMA user_version = 2"

# Version 1 knew fewer kinds, and SQLite cannot change a CHECK: its rows go into a new table.
SET_ASIDE = "ALTER TABLE intent RENAME TO intent_of_version_1"
BRING_OVER = """
INSERT INTO intent (account, key, kind, state, owner, fingerprint, payment_id, order_number,
  amount_minor, currency, last4, payment, created_at, changed_at)
SELECT account, key, kind, state, owner, fingerprint, payment_id, order_number,
  amount_minor, currency, last4, payment, created_at, changed_at
FROM intent_of_version_1
"""
DROP_OLD = "DROP TABLE intent_of_version_1"

# One intent by its key.
FIND = """
SELECT state, owner, payment, key, kind, fingerprint, payment_id, order_number,
  amount_minor, currency, last4
FROM intent WHERE account = ? AND key = ?
"""

# A new intent, or one that is proved not to have charged and begins again.
WRITE = """
INSERT OR REPLACE INTO intent (account, key, kind, state, owner, fingerprint, payment_id,
  order_number, amount_minor, currency, last4, payment, created_at, changed_at)
VALUES (?, ?, ?, 'intended', ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)
"""

# An open intent changes hands.
OWN = "UPDATE intent SET owner = ? WHERE account = ? AND key = ? AND is_open"

# Where an intent stands now. What is closed stays as it is.
RECORD = """
UPDATE intent SET state = ?, payment = coalesce(?, payment), changed_at = ?
WHERE account = ? AND key = ? AND is_open
"""

# A call ended without an outcome: whoever recovers may take it.
LET_GO = "UPDATE intent SET owner = NULL WHERE account = ? AND key = ? AND is_open"

# Open intents, oldest first.
OPEN_KEYS = """
SELECT key, owner FROM intent WHERE account = ? AND is_open ORDER BY created_at LIMIT ?
"""

# Who closed intents and did not say goodbye, and when it was last seen.
LAST_SEEN = """
SELECT owner, max(changed_at) FROM intent
WHERE account = ? AND NOT is_open AND owner IS NOT NULL AND owner <> ? GROUP BY owner
"""

# What a dead owner closed shortly before it died.
LAST_CLOSED = """
SELECT state, owner, payment, key, kind, fingerprint, payment_id, order_number,
  amount_minor, currency, last4
FROM intent
WHERE account = ? AND owner = ? AND NOT is_open AND changed_at >= ?
ORDER BY changed_at LIMIT ?
"""

# The heir of what is told again; what a dead owner closed long before needs nobody.
INHERIT = """
UPDATE intent SET owner = CASE WHEN changed_at >= ? THEN ? END
WHERE account = ? AND owner = ? AND NOT is_open
"""

# Goodbye: everything closed here was handed over.
HANDED_OVER = "UPDATE intent SET owner = NULL WHERE account = ? AND owner = ? AND NOT is_open"

# Old closed intents.
FORGET = "DELETE FROM intent WHERE NOT is_open AND changed_at < ?"

# Open intents of other API keys: recovery does not touch them.
OTHERS = "SELECT count(*) FROM intent WHERE account <> ? AND is_open"

# A replaced API key: the same merchant's intents go on under the new one.
ADOPT = "UPDATE OR IGNORE intent SET account = ? WHERE account = ?"
