-- Our own look at the payment pages, as a browser gets them.

-- One row: when somebody looked last, and why the last try could not.
CREATE TABLE page_looks (
    only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    began_at  timestamptz NOT NULL,
    tried_at  timestamptz NOT NULL,
    looked_at timestamptz,
    failure   text CHECK (length(failure) <= 300)
);

-- What was not as it should be, until a person has seen to it: a page that is right again does not
-- say what it did meanwhile.
CREATE TABLE page_differences (
    difference_id uuid PRIMARY KEY,
    what          text NOT NULL CHECK (length(what) <= 300),
    expected      text NOT NULL CHECK (length(expected) <= 300),
    found         text NOT NULL CHECK (length(found) <= 300),
    times         bigint NOT NULL CHECK (times > 0),
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    seen_to_at    timestamptz,
    seen_to_by    text,
    note          text,
    CHECK (num_nulls(seen_to_at, seen_to_by, note) IN (0, 3))
);
CREATE UNIQUE INDEX page_differences_open ON page_differences (what) WHERE seen_to_at IS NULL;
