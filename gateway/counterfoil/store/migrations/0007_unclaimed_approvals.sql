-- The list of approvals that were reversed because nobody claimed them.

CREATE INDEX payment_events_unclaimed ON payment_events (merchant_id, payment_id)
    WHERE cause = 'unclaimed';
