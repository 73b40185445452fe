-- What each day took and gave back, counted from the event feed by the worker, off the road of a
-- payment: totals_heads says how far, so that each event is counted once.

CREATE TABLE daily_totals (
    merchant_id   uuid NOT NULL,
    day           date NOT NULL,
    currency      text NOT NULL,
    gross_minor   bigint NOT NULL,
    refunds_minor bigint NOT NULL,
    approved      bigint NOT NULL,
    declined      bigint NOT NULL,
    stopped       bigint NOT NULL,
    PRIMARY KEY (merchant_id, day, currency)
);

CREATE TABLE totals_heads (
    merchant_id   uuid PRIMARY KEY,
    folded_number bigint NOT NULL CHECK (folded_number >= 0)
);

-- What the feed tells of one payment: how it stood before a change, and who was told of it.
CREATE INDEX feed_of_payment ON feed (merchant_id, payment_id, version, number)
    WHERE payment_id IS NOT NULL;
