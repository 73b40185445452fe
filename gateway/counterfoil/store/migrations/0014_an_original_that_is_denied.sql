-- How often an acquirer has said of what it was to take back that it does not know it: of what it had
-- approved that is no word to believe at once.

ALTER TABLE advices ADD COLUMN denials integer NOT NULL DEFAULT 0 CHECK (denials >= 0);
