-- A void takes a part out of a capture, so what an event says of a movement's amount is noted, too.

ALTER TABLE feed_pending ADD COLUMN movement_amount_minor bigint;
ALTER TABLE feed ADD COLUMN movement_amount_minor bigint;

CREATE OR REPLACE FUNCTION note_payment_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, payment_id,
         version, movement_id, movement_state, movement_amount_minor, authorized_minor,
         captured_minor, released_minor, refunded_minor)
    SELECT e.merchant_id, feed_event_id('payment', e.payment_id, e.version::text), 'payment', e.at,
        e.from_state, e.to_state, e.cause, e.actor, e.payment_id, e.version, e.movement_id,
        e.movement_state,
        CASE WHEN e.movement_id IS NOT NULL THEN (
            SELECT m.amount_minor FROM movements AS m
            WHERE m.merchant_id = e.merchant_id AND m.movement_id = e.movement_id) END,
        p.authorized_minor, p.captured_minor, p.released_minor, p.refunded_minor
    FROM inserted AS e LEFT JOIN payments AS p
        ON p.merchant_id = e.merchant_id AND p.payment_id = e.payment_id
    WHERE e.to_state <> 'processing';
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION note_movement_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO feed_pending
        (merchant_id, event_id, source, at, from_state, to_state, cause, actor, payment_id,
         version, movement_id, movement_state, movement_amount_minor, authorized_minor,
         captured_minor, released_minor, refunded_minor)
    SELECT e.merchant_id, feed_event_id('movement', e.movement_id, e.event_id::text), 'movement',
        e.at, e.from_state, p.state, e.cause, e.actor, e.payment_id, p.version, e.movement_id,
        e.to_state, m.amount_minor, p.authorized_minor, p.captured_minor, p.released_minor,
        p.refunded_minor
    FROM inserted AS e
    JOIN payments AS p ON p.merchant_id = e.merchant_id AND p.payment_id = e.payment_id
    JOIN movements AS m ON m.merchant_id = e.merchant_id AND m.movement_id = e.movement_id;
    RETURN NULL;
END $$;
