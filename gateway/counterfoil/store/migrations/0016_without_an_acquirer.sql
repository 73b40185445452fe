-- A quarantine may be lifted without an acquirer that is gone: who said so, and why, stays to be read.

ALTER TABLE quarantine_comparisons
    ADD COLUMN waived_by text,
    ADD COLUMN waived_reason text,
    ADD CONSTRAINT quarantine_comparisons_says_why
        CHECK ((waived_by IS NULL) = (waived_reason IS NULL));

-- What persons decided about quarantines.
CREATE TABLE quarantine_events (
    event_id uuid PRIMARY KEY,
    at       timestamptz NOT NULL,
    what     text NOT NULL CHECK (what IN ('waived', 'lifted')),
    acquirer text,
    actor    text NOT NULL,
    note     text NOT NULL,
    CONSTRAINT quarantine_events_name_the_waived CHECK ((what = 'waived') = (acquirer IS NOT NULL))
);
CREATE TRIGGER quarantine_events_append_only BEFORE UPDATE OR DELETE ON quarantine_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER quarantine_events_never_emptied BEFORE TRUNCATE ON quarantine_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
