-- A held file for which nobody waits any more (its sender has sent it anew, or it was none of ours) is
-- put aside by a person: who, when and why stay beside it, and it no longer counts as held.

ALTER TABLE incoming_files
    ADD COLUMN aside_at timestamptz,
    ADD COLUMN aside_by text,
    ADD COLUMN aside_note text,
    ADD CONSTRAINT incoming_files_says_why_aside CHECK (
        (aside_at IS NULL) = (aside_by IS NULL) AND (aside_at IS NULL) = (aside_note IS NULL));
