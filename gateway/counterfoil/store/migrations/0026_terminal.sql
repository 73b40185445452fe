-- The Virtual Terminal: what clerks ask for, durable before the network is asked, and saved cards.

-- What is asked, and never the card. digest: what makes two submits of one form the same. payment_id:
-- known once the answer is noted; until then the payment is found by its key, which the id names.
CREATE TABLE terminal_sales (
    merchant_id         uuid NOT NULL REFERENCES merchants,
    sale_id             uuid NOT NULL,
    user_id             uuid NOT NULL REFERENCES users,
    digest              bytea NOT NULL CHECK (length(digest) = 32),
    kind                text NOT NULL CHECK (kind IN (
        'sale', 'authorization', 'forced', 'verification', 'credit', 'refund')),
    entry               text NOT NULL CHECK (entry IN ('keyed', 'swiped', 'saved', 'payment')),
    amount_minor        bigint NOT NULL CHECK (amount_minor BETWEEN 0 AND 999999999999),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    tax_minor           bigint NOT NULL CHECK (tax_minor >= 0),
    tip_minor           bigint NOT NULL CHECK (tip_minor >= 0),
    order_number        text CHECK (length(order_number) BETWEEN 1 AND 64),
    description         text CHECK (length(description) BETWEEN 1 AND 255),
    customer_email      text CHECK (length(customer_email) BETWEEN 3 AND 254),
    customer_name       text CHECK (length(customer_name) BETWEEN 1 AND 64),
    postal_code         text CHECK (length(postal_code) BETWEEN 1 AND 10),
    street              text CHECK (length(street) BETWEEN 1 AND 40),
    voice_approval_code text CHECK (length(voice_approval_code) BETWEEN 1 AND 6),
    keep_card           boolean NOT NULL,
    charge_again        boolean NOT NULL,
    refunded_payment_id uuid,
    state               text NOT NULL CHECK (state IN (
        'asked', 'approved', 'done', 'declined', 'reversed', 'not_sent', 'unanswered')),
    payment_id          uuid,
    said                text CHECK (length(said) BETWEEN 1 AND 300),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, sale_id),
    CONSTRAINT terminal_sales_parts_of_the_amount CHECK (tax_minor + tip_minor <= amount_minor),
    CONSTRAINT terminal_sales_refund_names_its_payment
        CHECK ((kind = 'refund') = (refunded_payment_id IS NOT NULL)),
    CONSTRAINT terminal_sales_forced_has_its_code
        CHECK ((kind = 'forced') = (voice_approval_code IS NOT NULL)),
    CONSTRAINT terminal_sales_approved_by_a_payment
        CHECK (state NOT IN ('approved', 'done') OR payment_id IS NOT NULL),
    CONSTRAINT terminal_sales_card_kept_for_somebody
        CHECK (NOT keep_card OR num_nonnulls(customer_email, customer_name) > 0)
);
CREATE INDEX terminal_sales_of_user ON terminal_sales (merchant_id, user_id, sale_id DESC);
CREATE INDEX terminal_sales_unfinished ON terminal_sales (created_at)
    WHERE state IN ('asked', 'approved');

-- The table of legal moves (terminal/sale.py has the same; a test compares them).
CREATE FUNCTION refuse_illegal_sale_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'sale % cannot move from % to %', OLD.sale_id, OLD.state, NEW.state
        USING ERRCODE = 'check_violation', CONSTRAINT = 'terminal_sales_legal_moves';
END $$;
CREATE TRIGGER terminal_sales_legal_moves BEFORE UPDATE ON terminal_sales FOR EACH ROW
    WHEN ((OLD.state || '>' || NEW.state) NOT IN (
        'asked>approved', 'asked>done', 'asked>declined', 'asked>reversed', 'asked>not_sent',
        'asked>unanswered', 'approved>done', 'approved>reversed'))
    EXECUTE FUNCTION refuse_illegal_sale_move();

CREATE TABLE terminal_sale_events (
    merchant_id uuid NOT NULL,
    sale_id     uuid NOT NULL,
    event_id    uuid NOT NULL,
    at          timestamptz NOT NULL,
    from_state  text,
    to_state    text NOT NULL,
    cause       text NOT NULL,
    actor       text NOT NULL,
    PRIMARY KEY (merchant_id, sale_id, event_id)
);
CREATE TRIGGER terminal_sale_events_append_only BEFORE UPDATE OR DELETE ON terminal_sale_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER terminal_sale_events_never_emptied BEFORE TRUNCATE ON terminal_sale_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- A card that a customer agreed to leave with the merchant: the number stays in the vault, and no
-- security code is anywhere. Its id is that of the sale with which it came.
CREATE TABLE saved_cards (
    merchant_id    uuid NOT NULL REFERENCES merchants,
    card_id        uuid NOT NULL,
    card_token     uuid NOT NULL,
    brand          text NOT NULL,
    last_four      text NOT NULL CHECK (last_four ~ '^[0-9]{4}$'),
    expiry_month   smallint NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year    smallint NOT NULL CHECK (expiry_year BETWEEN 2000 AND 2099),
    customer_email text CHECK (length(customer_email) BETWEEN 3 AND 254),
    customer_name  text CHECK (length(customer_name) BETWEEN 1 AND 64),
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    ended_at       timestamptz,
    ended_by       text,
    PRIMARY KEY (merchant_id, card_id),
    CONSTRAINT saved_cards_of_somebody CHECK (num_nonnulls(customer_email, customer_name) > 0),
    CONSTRAINT saved_cards_says_who_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX saved_cards_by_email ON saved_cards (merchant_id, lower(customer_email) text_pattern_ops)
    WHERE ended_at IS NULL;
CREATE INDEX saved_cards_by_name ON saved_cards (merchant_id, lower(customer_name) text_pattern_ops)
    WHERE ended_at IS NULL;
