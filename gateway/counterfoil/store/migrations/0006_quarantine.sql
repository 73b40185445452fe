-- A restored backup has forgotten what came after it: nothing moves until it was compared with the host.

ALTER TABLE installation
    ADD COLUMN quarantined_at timestamptz,
    ADD COLUMN quarantine_reason text,
    ADD COLUMN compared_at timestamptz,
    ADD CONSTRAINT installation_says_why CHECK ((quarantined_at IS NULL) = (quarantine_reason IS NULL));
