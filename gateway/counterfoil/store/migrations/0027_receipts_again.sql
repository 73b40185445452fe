-- A receipt that is sent again, to the same address or another: each a row of its own. Its number is
-- part of its kind, so that (merchant_id, payment_id, kind) stays unique and limits how many there are.

ALTER TABLE outbox
    DROP CONSTRAINT outbox_kind_check,
    ADD CONSTRAINT outbox_kind_check
        CHECK (kind IN ('mail_customer', 'mail_merchant', 'mail_endpoint_disabled')
            OR kind ~ '^mail_again_[1-9][0-9]?$');
