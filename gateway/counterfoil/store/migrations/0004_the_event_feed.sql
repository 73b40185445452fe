-- The event feed: what the four histories say, numbered without gaps for each merchant.
--
-- A history's row and its row here are of one commit: triggers write it, once a statement. A
-- number can only be given to what is committed, so that a commit that comes late gets a later
-- number and is never skipped: the worker moves rows from feed_pending into feed.

CREATE TABLE feed_pending (
    merchant_id      uuid NOT NULL,
    noted_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id         uuid NOT NULL,
    source           text NOT NULL,
    at               timestamptz NOT NULL,
    from_state       text,
    to_state         text NOT NULL,
    cause            text NOT NULL,
    actor            text NOT NULL,
    payment_id       uuid,
    version          integer,
    movement_id      uuid,
    movement_state   text,
    authorized_minor bigint,
    captured_minor   bigint,
    released_minor   bigint,
    refunded_minor   bigint,
    data             jsonb,
    PRIMARY KEY (merchant_id, noted_at, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

CREATE TABLE feed_heads (
    merchant_id uuid PRIMARY KEY,
    last_number bigint NOT NULL CHECK (last_number >= 0)
);

CREATE TABLE feed (
    merchant_id      uuid NOT NULL,
    number           bigint NOT NULL CHECK (number > 0),
    event_id         uuid NOT NULL,
    type             text NOT NULL,
    at               timestamptz NOT NULL,
    cause            text NOT NULL,
    actor            text NOT NULL,
    state            text NOT NULL,
    payment_id       uuid,
    version          integer,
    movement_id      uuid,
    movement_state   text,
    authorized_minor bigint,
    captured_minor   bigint,
    released_minor   bigint,
    refunded_minor   bigint,
    data             jsonb,
    PRIMARY KEY (merchant_id, number)
);
CREATE TRIGGER feed_append_only BEFORE UPDATE OR DELETE ON feed
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER feed_never_emptied BEFORE TRUNCATE ON feed
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- An event is named after the key of the row that it comes from: the same row, the same name.
CREATE FUNCTION feed_event_id(source text, one uuid, other text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN md5(source || one::text || other)::uuid;

-- The planner settings: one row of `payments` for each new row, by its key, whatever the tables'
-- sizes were when this was planned. A payment that is under way is no news: who asked, waits.
CREATE FUNCTION note_payment_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, payment_id,
         version, movement_id, movement_state, authorized_minor, captured_minor, released_minor,
         refunded_minor)
    SELECT e.merchant_id, feed_event_id('payment', e.payment_id, e.version::text), 'payment', e.at,
        e.from_state, e.to_state, e.cause, e.actor, e.payment_id, e.version, e.movement_id,
        e.movement_state, p.authorized_minor, p.captured_minor, p.released_minor, p.refunded_minor
    FROM inserted AS e LEFT JOIN payments AS p
        ON p.merchant_id = e.merchant_id AND p.payment_id = e.payment_id
    WHERE e.to_state <> 'processing';
    RETURN NULL;
END $$;

CREATE FUNCTION note_movement_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, payment_id,
         version, movement_id, movement_state, authorized_minor, captured_minor, released_minor,
         refunded_minor)
    SELECT e.merchant_id, feed_event_id('movement', e.movement_id, e.event_id::text), 'movement',
        e.at, e.from_state, p.state, e.cause, e.actor, e.payment_id, p.version, e.movement_id,
        e.to_state, p.authorized_minor, p.captured_minor, p.released_minor, p.refunded_minor
    FROM inserted AS e JOIN payments AS p
        ON p.merchant_id = e.merchant_id AND p.payment_id = e.payment_id;
    RETURN NULL;
END $$;

CREATE FUNCTION note_batch_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, data)
    SELECT merchant_id, feed_event_id('batch', event_id, ''), 'batch', at, from_state, to_state,
        cause, actor, jsonb_build_object('acquirer', acquirer, 'terminal_id', terminal_id,
            'currency', currency, 'batch_number', batch_number)
    FROM inserted;
    RETURN NULL;
END $$;

CREATE FUNCTION note_deposit_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, data)
    SELECT e.merchant_id, feed_event_id('deposit', e.event_id, ''), 'deposit', e.at, e.from_state,
        e.to_state, e.cause, e.actor, jsonb_build_object('acquirer', e.acquirer, 'reference',
            e.reference, 'currency', d.currency, 'net_minor', d.net_minor, 'paid_minor',
            d.paid_minor)
    FROM inserted AS e LEFT JOIN deposits AS d ON d.merchant_id = e.merchant_id
        AND d.acquirer = e.acquirer AND d.reference = e.reference;
    RETURN NULL;
END $$;

-- What happened before there was a feed: in the order of each payment's versions. Amounts are
-- those of the last version only; what they were before is not known any more.
INSERT INTO feed_pending
    (merchant_id, noted_at, event_id, source, at, from_state, to_state, cause, actor, payment_id,
     version, movement_id, movement_state, authorized_minor, captured_minor, released_minor,
     refunded_minor)
SELECT e.merchant_id, max(e.at) OVER life, feed_event_id('payment', e.payment_id, e.version::text),
    'payment', e.at, e.from_state, e.to_state, e.cause, e.actor, e.payment_id, e.version,
    e.movement_id, e.movement_state, p.authorized_minor, p.captured_minor, p.released_minor,
    p.refunded_minor
FROM payment_events AS e LEFT JOIN payments AS p ON p.merchant_id = e.merchant_id
    AND p.payment_id = e.payment_id AND p.version = e.version
WHERE e.to_state <> 'processing'
WINDOW life AS (PARTITION BY e.merchant_id, e.payment_id ORDER BY e.version);

INSERT INTO feed_pending
    (merchant_id, noted_at, event_id, source, at, from_state, to_state, cause, actor, payment_id,
     version, movement_id, movement_state)
SELECT e.merchant_id, greatest(e.at, seen.at),
    feed_event_id('movement', e.movement_id, e.event_id::text), 'movement', e.at, e.from_state,
    seen.to_state, e.cause, e.actor, e.payment_id, seen.version, e.movement_id, e.to_state
FROM movement_events AS e CROSS JOIN LATERAL (
    SELECT h.version, h.to_state, h.at FROM payment_events AS h
    WHERE h.merchant_id = e.merchant_id AND h.payment_id = e.payment_id AND h.at <= e.at
    ORDER BY h.version DESC LIMIT 1) AS seen;

INSERT INTO feed_pending
    (merchant_id, noted_at, event_id, source, at, from_state, to_state, cause, actor, data)
SELECT merchant_id, at, feed_event_id('batch', event_id, ''), 'batch', at, from_state, to_state,
    cause, actor, jsonb_build_object('acquirer', acquirer, 'terminal_id', terminal_id,
        'currency', currency, 'batch_number', batch_number)
FROM batch_events;

INSERT INTO feed_pending
    (merchant_id, noted_at, event_id, source, at, from_state, to_state, cause, actor, data)
SELECT e.merchant_id, e.at, feed_event_id('deposit', e.event_id, ''), 'deposit', e.at,
    e.from_state, e.to_state, e.cause, e.actor, jsonb_build_object('acquirer', e.acquirer,
        'reference', e.reference, 'currency', d.currency, 'net_minor', NULL, 'paid_minor', NULL)
FROM deposit_events AS e LEFT JOIN deposits AS d ON d.merchant_id = e.merchant_id
    AND d.acquirer = e.acquirer AND d.reference = e.reference;

CREATE TRIGGER payment_events_noted AFTER INSERT ON payment_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_payment_events();
CREATE TRIGGER movement_events_noted AFTER INSERT ON movement_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_movement_events();
CREATE TRIGGER batch_events_noted AFTER INSERT ON batch_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_batch_events();
CREATE TRIGGER deposit_events_noted AFTER INSERT ON deposit_events
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_deposit_events();
