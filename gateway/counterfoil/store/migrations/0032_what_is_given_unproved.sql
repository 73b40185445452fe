-- Giving money back: how much a person may give without proving anew who they are.

-- In whole units of whichever currency; 0: a proof each time.
ALTER TABLE merchants ADD COLUMN step_up_whole integer NOT NULL DEFAULT 500
    CONSTRAINT merchants_step_up_in_range CHECK (step_up_whole BETWEEN 0 AND 1000000);

-- What somebody gave back or as a credit without such a proof, once for each form. Rows that are too
-- old to count go when the same person gives again, so a person has those of one day at the most.
CREATE TABLE given_unproved (
    merchant_id  uuid NOT NULL REFERENCES merchants,
    user_id      uuid NOT NULL REFERENCES users,
    form         text NOT NULL CHECK (length(form) BETWEEN 1 AND 64),
    currency     text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    at           timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, user_id, form)
);
