-- What was compared with each acquirer after a restore, and the numbers that its host has seen.

CREATE TABLE quarantine_comparisons (
    acquirer    text PRIMARY KEY,
    compared_at timestamptz NOT NULL,
    charges     bigint NOT NULL CHECK (charges >= 0),
    differences bigint NOT NULL CHECK (differences >= 0),
    numbers     text NOT NULL
);
