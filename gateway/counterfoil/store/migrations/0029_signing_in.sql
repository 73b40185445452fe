-- Signing in: tries and locks, second factors, recovery codes, and the link for who has lost them.

-- How often somebody tried. A subject is a person, or one of a fixed number of buckets of addresses
-- and of strangers' names, so the table is bounded; rows past `until` are forgotten.
CREATE TABLE sign_in_tries (
    subject   text PRIMARY KEY CHECK (length(subject) <= 64),
    tries     integer NOT NULL CHECK (tries >= 0),
    until     timestamptz NOT NULL
);
CREATE INDEX sign_in_tries_by_end ON sign_in_tries (until);

-- What a password was before: the last few are refused.
CREATE TABLE old_passwords (
    user_id       uuid NOT NULL REFERENCES users,
    replaced_at   timestamptz NOT NULL,
    password_hash text NOT NULL,
    PRIMARY KEY (user_id, replaced_at)
);

-- Somebody whose password was right and who is asked for the second factor: opens nothing else.
CREATE TABLE half_sign_ins (
    token_hash      bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id         uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    challenge       bytea,
    challenge_until timestamptz
);
CREATE INDEX half_sign_ins_by_end ON half_sign_ins (ends_at);
CREATE INDEX half_sign_ins_of_user ON half_sign_ins (user_id);

-- What a passkey is to sign, asked by this browser: once, and for a short while.
ALTER TABLE web_sessions ADD COLUMN challenge bytea, ADD COLUMN challenge_until timestamptz;

-- An authenticator app (TOTP). The secret is sealed to its row; each time step counts once.
CREATE TABLE authenticators (
    authenticator_id uuid PRIMARY KEY,
    user_id          uuid NOT NULL REFERENCES users,
    key_id           text NOT NULL,
    nonce            bytea NOT NULL,
    ciphertext       bytea NOT NULL,
    made_at          timestamptz NOT NULL,
    confirmed_at     timestamptz,
    last_step        bigint NOT NULL DEFAULT 0,
    ended_at         timestamptz
);
CREATE INDEX authenticators_of_user ON authenticators (user_id);
CREATE UNIQUE INDEX authenticators_one_each ON authenticators (user_id)
    WHERE confirmed_at IS NOT NULL AND ended_at IS NULL;

CREATE TABLE passkeys (
    passkey_id    uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users,
    credential_id bytea NOT NULL UNIQUE CHECK (length(credential_id) <= 1023),
    public_key    bytea NOT NULL,
    sign_count    bigint NOT NULL,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    made_at       timestamptz NOT NULL,
    used_at       timestamptz,
    ended_at      timestamptz
);
CREATE INDEX passkeys_of_user ON passkeys (user_id, made_at);

CREATE TABLE recovery_codes (
    user_id   uuid NOT NULL REFERENCES users,
    code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
    made_at   timestamptz NOT NULL,
    used_at   timestamptz,
    PRIMARY KEY (user_id, code_hash)
);

-- A one-time link for who has lost password and factors. Only the hash of its token is kept.
CREATE TABLE sign_in_resets (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    uuid NOT NULL REFERENCES users,
    made_by    text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX sign_in_resets_of_user ON sign_in_resets (user_id);
