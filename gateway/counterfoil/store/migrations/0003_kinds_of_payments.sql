-- Verifications, forced captures and credits; and the merchant's settings that go with them.

ALTER TABLE merchants
    ADD COLUMN credits_allowed boolean NOT NULL DEFAULT false,
    ADD COLUMN partial_approvals text NOT NULL DEFAULT 'reverse'
        CHECK (partial_approvals IN ('accept', 'reverse'));

ALTER TABLE payments
    DROP CONSTRAINT payments_kind_check,
    ADD CONSTRAINT payments_kind_check CHECK (
        kind IN ('sale', 'authorization', 'verification', 'forced', 'credit')),
    DROP CONSTRAINT payments_state_check,
    ADD CONSTRAINT payments_state_check CHECK (state IN (
        'processing', 'not_sent', 'declined', 'approved', 'authorized', 'captured',
        'voiding', 'voided', 'reversing', 'reversed', 'expired', 'verified', 'unanswered')),
    DROP CONSTRAINT payments_amount_minor_check,
    ADD CONSTRAINT payments_amount_minor_check CHECK (
        CASE kind WHEN 'verification' THEN amount_minor = 0
            ELSE amount_minor BETWEEN 1 AND 999999999999 END),
    DROP CONSTRAINT payments_check2,
    -- A credit gives what was never taken: all of it, or (voided) nothing, and it holds nothing.
    ADD CONSTRAINT payments_refunded CHECK (
        CASE kind WHEN 'credit' THEN refunded_minor IN (0, amount_minor)
            ELSE refunded_minor <= captured_minor END),
    ADD CONSTRAINT payments_credit_holds_nothing CHECK (kind <> 'credit' OR authorized_minor = 0),
    -- A verification is never approved, so it never waits, is never taken and never reversed.
    ADD CONSTRAINT payments_verification_states CHECK (
        CASE kind WHEN 'verification'
            THEN state IN ('processing', 'not_sent', 'declined', 'verified', 'unanswered')
            ELSE state NOT IN ('verified', 'unanswered') END);

DROP TRIGGER payments_legal_moves ON payments;
CREATE TRIGGER payments_legal_moves BEFORE UPDATE OF state ON payments FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'processing>not_sent', 'processing>declined', 'processing>approved',
        'processing>reversing', 'processing>verified', 'processing>unanswered',
        'not_sent>processing', 'approved>authorized',
        'approved>captured', 'approved>reversing', 'authorized>captured',
        'authorized>voiding', 'authorized>expired', 'captured>voiding', 'captured>authorized',
        'voiding>voided', 'reversing>reversed', 'reversed>reversing'))
    EXECUTE FUNCTION refuse_illegal_move();
