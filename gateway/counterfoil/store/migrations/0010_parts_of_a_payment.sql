-- Captures, voids and refunds of parts; holds that lapse.

-- Until when the issuer is taken to hold an authorization; what is still held then is released.
ALTER TABLE payments ADD COLUMN hold_until timestamptz;
UPDATE payments SET hold_until = created_at + interval '7 days'
WHERE kind = 'authorization' AND authorized_minor > 0;
ALTER TABLE payments ADD CONSTRAINT payments_expired_holds_nothing
    CHECK (state <> 'expired' OR (captured_minor = 0 AND released_minor = authorized_minor));
CREATE INDEX payments_holds ON payments (hold_until)
    WHERE state IN ('authorized', 'captured')
      AND captured_minor + released_minor < authorized_minor;

-- amount_minor of a capture is what stands of it; voids have taken voided_minor out of it before.
-- `voids` counts the reversals that stand beside it in the acquirer's batch; `undone_by` is the
-- void that took the rest.
ALTER TABLE movements
    ADD COLUMN voided_minor bigint NOT NULL DEFAULT 0 CHECK (voided_minor >= 0),
    ADD COLUMN voids integer NOT NULL DEFAULT 0 CHECK (voids >= 0),
    ADD COLUMN undone_by uuid,
    ADD CONSTRAINT movements_only_captures_are_voided
        CHECK (kind = 'capture' OR (voided_minor = 0 AND voids = 0 AND undone_by IS NULL)),
    ADD CONSTRAINT movements_voided_in_parts CHECK (voids > 0 OR voided_minor = 0);
UPDATE movements SET voids = 1 WHERE kind = 'capture' AND state = 'undone';
UPDATE movements AS c SET undone_by = v.movement_id
FROM movements AS v
WHERE v.merchant_id = c.merchant_id AND v.payment_id = c.payment_id AND v.kind = 'void'
  AND c.kind = 'capture' AND c.state = 'undone';

-- A release is a 0420 that takes back a part: of the hold, or of the capture `about_id`. What
-- remains (DE 95) follows from all that was taken back of the same before. Several advices of one
-- change go out by their `step`.
ALTER TABLE advices
    ADD COLUMN step integer NOT NULL DEFAULT 0 CHECK (step >= 0),
    ADD COLUMN about_id uuid,
    ADD COLUMN taken_back_minor bigint CHECK (taken_back_minor > 0),
    DROP CONSTRAINT advices_kind_check,
    ADD CONSTRAINT advices_kind_check
        CHECK (kind IN ('reversal', 'void', 'release', 'capture', 'refund')),
    ADD CONSTRAINT advices_parts CHECK ((kind = 'release') = (taken_back_minor IS NOT NULL)),
    ADD CONSTRAINT advices_about CHECK (about_id IS NULL OR kind = 'release'),
    DROP CONSTRAINT advices_merchant_id_payment_id_position_key,
    ADD CONSTRAINT advices_order UNIQUE (merchant_id, payment_id, position, step);

ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_operation_check;
ALTER TABLE idempotency_keys ADD CONSTRAINT idempotency_keys_operation_check
    CHECK (operation IN ('payment', 'capture', 'void', 'refund', 'undo', 'fence'));
