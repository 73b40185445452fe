-- What browsers say that they refused on a merchant's payment pages.

-- Grouped by page, directive and what was refused: how often, first and last. Never an address of a
-- page, a query, a sample of a script or anything that was typed.
CREATE TABLE page_reports (
    merchant_id uuid NOT NULL,
    report_id   uuid NOT NULL,
    page        text NOT NULL CHECK (length(page) <= 40),
    directive   text NOT NULL CHECK (length(directive) <= 40),
    refused     text NOT NULL CHECK (length(refused) <= 120),
    times       bigint NOT NULL CHECK (times > 0),
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    seen_to_at  timestamptz,
    note        text,
    PRIMARY KEY (merchant_id, report_id),
    CHECK (num_nulls(seen_to_at, note) IN (0, 2))
);
CREATE UNIQUE INDEX page_reports_open ON page_reports (merchant_id, page, directive, refused)
    WHERE seen_to_at IS NULL;
