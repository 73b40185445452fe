-- What one payment hands to a step of its road: the statement takes an array of these. One array of
-- whole rows costs client and server less than an array for each column.
--
-- None of them is ever altered: a process of the version before still sends the rows that it knows.
-- A step that needs another column gets a type of a new name. Nor does `payments` ever get a column
-- named like one of theirs that it lacks: statements return both side by side.

CREATE TYPE payment_look AS (
    merchant_id uuid, payment_id uuid, card bytea, email bytea, address bytea, amount_minor bigint,
    currency text, at timestamptz, card_since timestamptz, email_since timestamptz,
    address_since timestamptz, declines_since timestamptz, month_since timestamptz,
    day_since timestamptz, bin text, email_text text, email_domain text
);

CREATE TYPE payment_intent AS (
    merchant_id uuid, payment_id uuid, idempotency_key text, request_fingerprint bytea, kind text,
    amount_minor bigint, currency text, order_number text, description text, customer_email text,
    card_token uuid, card_brand text, card_bin text, card_last_four text, key_id text, nonce bytea,
    ciphertext bytea, card_fingerprint bytea, acquirer text, terminal_id text,
    batch_number integer, business_day date, stan integer, rrn text, transmitted_at timestamptz,
    local_time text, mti text, content text, message_id uuid, event_id uuid, process_id uuid,
    session_id text, send_before timestamptz, at timestamptz, actor text, approval_code text,
    refused boolean, screening text, guard bytea, guard_until timestamptz, card_try bytea,
    email_try bytea, address_try bytea
);

CREATE TYPE payment_conclusion AS (
    merchant_id uuid, payment_id uuid, stan integer, transmitted_at timestamptz, event_id uuid,
    to_state text, cause text, response_code text, approval_code text, avs_result text,
    cvv_result text, network_transaction_id text, settlement_date text, acknowledge_by timestamptz,
    mti text, content text, message_id uuid, transfer_id uuid, advice_id uuid, reason_code text,
    late_until timestamptz, at timestamptz, authorized_minor bigint, advice_code text,
    screening text, mark text, never_again boolean, card_subject bytea, email_subject bytea,
    address_subject bytea, hold_until timestamptz
);

CREATE TYPE payment_acknowledgment AS (
    merchant_id uuid, payment_id uuid, event_id uuid, confirmation_number text, session_id text,
    movement_id uuid, transfer_id uuid, customer_mail_id uuid, merchant_mail_id uuid,
    merchant_email text, at timestamptz, actor text
);
