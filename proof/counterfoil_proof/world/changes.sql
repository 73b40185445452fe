-- Only in the databases of the proofs: which payments a statement has changed, in order.
-- The witness looks at these and at nothing else after each step.
CREATE UNLOGGED TABLE witness_changes (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merchant_id uuid NOT NULL,
    payment_id  uuid NOT NULL
);
CREATE FUNCTION note_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO witness_changes (merchant_id, payment_id)
        SELECT merchant_id, payment_id FROM fresh ORDER BY merchant_id, payment_id;
    RETURN NULL;
END $$;
CREATE TRIGGER witness_payment_events AFTER INSERT ON payment_events
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_changes();
CREATE TRIGGER witness_movement_events AFTER INSERT ON movement_events
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note_changes();
