-- People who use the pages: who they are, for which merchants and in which role, their sessions, and
-- an append-only list of everything that was changed about people, keys and settings.

ALTER TABLE processes
    DROP CONSTRAINT processes_kind_check,
    ADD CONSTRAINT processes_kind_check CHECK (kind IN ('gateway', 'worker', 'mailer', 'web'));

-- One person, for any number of merchants. Without a password hash: invited and not yet come.
CREATE TABLE users (
    user_id             uuid PRIMARY KEY,
    email               text NOT NULL CHECK (length(email) BETWEEN 6 AND 254 AND email = lower(email)),
    name                text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    password_hash       text,
    password_changed_at timestamptz,
    created_at          timestamptz NOT NULL,
    ended_at            timestamptz
);
CREATE UNIQUE INDEX users_by_email ON users (email);

CREATE TABLE members (
    merchant_id uuid NOT NULL REFERENCES merchants,
    user_id     uuid NOT NULL REFERENCES users,
    role        text NOT NULL CHECK (role IN ('owner', 'manager', 'clerk', 'bookkeeper', 'developer')),
    added_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (merchant_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

-- A one-time link: of an invitation, or of the first owner. Only the hash of its token is kept.
CREATE TABLE invitations (
    invitation_id uuid PRIMARY KEY,
    token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    merchant_id   uuid NOT NULL REFERENCES merchants,
    email         text NOT NULL CHECK (length(email) BETWEEN 6 AND 254 AND email = lower(email)),
    role          text NOT NULL CHECK (role IN ('owner', 'manager', 'clerk', 'bookkeeper', 'developer')),
    invited_by    text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    ended_at      timestamptz
);
CREATE INDEX invitations_of_merchant ON invitations (merchant_id, created_at DESC);

-- A signed-in browser. Only the hash of the cookie's token is kept.
CREATE TABLE web_sessions (
    session_id    uuid PRIMARY KEY,
    token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    user_id       uuid NOT NULL REFERENCES users,
    merchant_id   uuid NOT NULL REFERENCES merchants,
    address       text NOT NULL CHECK (length(address) <= 64),
    browser       text NOT NULL CHECK (length(browser) <= 200),
    created_at    timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    idle_until    timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    stepped_up_at timestamptz,
    ended_at      timestamptz,
    ended_why     text,
    CONSTRAINT web_sessions_says_why_ended CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX web_sessions_of_user ON web_sessions (user_id, created_at DESC);

-- Who changed what about people, keys and settings: written with each change, never without it.
CREATE TABLE people_events (
    event_id    uuid PRIMARY KEY,
    merchant_id uuid,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    what        text NOT NULL,
    about       text,
    before      text CHECK (length(before) <= 2000),
    after       text CHECK (length(after) <= 2000)
);
CREATE INDEX people_events_of_merchant ON people_events (merchant_id, event_id DESC);
CREATE TRIGGER people_events_append_only BEFORE UPDATE OR DELETE ON people_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER people_events_never_emptied BEFORE TRUNCATE ON people_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
