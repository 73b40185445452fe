-- A close that the host has refused may be begun anew by a person: each attempt asks under trace
-- numbers of its own, and what was asked and answered in an earlier one stays as it was.
-- (batch_messages.attempts is something else: how often one message was tried.)

ALTER TABLE batches ADD COLUMN attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0);

ALTER TABLE batch_messages ADD COLUMN attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0);
ALTER TABLE batch_messages DROP CONSTRAINT batch_messages_pkey;
ALTER TABLE batch_messages ADD PRIMARY KEY
    (merchant_id, acquirer, terminal_id, currency, batch_number, attempt, step, item_number);
