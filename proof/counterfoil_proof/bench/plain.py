"""
The rows of a payment as plain INSERTs and one UPDATE a step, without arrays and without guards.

What a program would write that takes one payment at a time and trusts itself: no open batch is
looked for, no key is asked for, nothing is unnested. Each step is still one statement and one
commit, because that is fastest. Beside the product's own statements, so that pgbench is given
whichever of the two it is better at.
"""

Values = dict[str, str]

_INTENDED = {
    "idempotency_keys": {
        "idempotency_key": "idempotency_key",
        "operation": "'payment'",
        "fingerprint": "request_fingerprint",
        "payment_id": "payment_id",
        "created_at": "at",
    },
    "vault_cards": {
        "token": "card_token",
        "key_id": "key_id",
        "nonce": "nonce",
        "ciphertext": "ciphertext",
        "fingerprint": "card_fingerprint",
        "created_at": "at",
    },
    "payment_events": {
        "payment_id": "payment_id",
        "version": "1",
        "event_id": "event_id",
        "at": "at",
        "to_state": "'processing'",
        "cause": "'requested'",
        "actor": "actor",
    },
    "network_messages": {
        "message_id": "message_id",
        "payment_id": "payment_id",
        "direction": "'sent'",
        "mti": "mti",
        "acquirer": "acquirer",
        "terminal_id": "terminal_id",
        "business_day": "business_day",
        "stan": "stan",
        "transmitted_at": "transmitted_at",
        "send_before": "send_before",
        "content": "content",
        "at": "at",
    },
    "payments": {
        **{name: name for name in ("payment_id", "idempotency_key", "kind", "amount_minor")},
        **{name: name for name in ("currency", "order_number", "customer_email", "card_token")},
        **{name: name for name in ("card_brand", "card_bin", "card_last_four", "acquirer")},
        **{name: name for name in ("terminal_id", "batch_number", "business_day", "stan", "rrn")},
        **{name: name for name in ("transmitted_at", "local_time", "process_id", "session_id")},
    }
    | {"state": "'processing'", "version": "1", "changed_by": "event_id"}
    | {"created_at": "at", "updated_at": "at"},
}
_HISTORY = {"payment_id": "payment_id", "event_id": "event_id", "at": "at"}
_TRANSFER = {
    "transfer_id": "transfer_id",
    "payment_id": "payment_id",
    "amount_minor": "amount_minor",
    "currency": "'USD'",
    "at": "at",
}
_SET_APPROVED = (
    "response_code",
    "approval_code",
    "avs_result",
    "cvv_result",
    "network_transaction_id",
    "settlement_date",
    "acknowledge_by",
    "authorized_minor",
)
_CONCLUDED = {
    "payment_events": {
        **_HISTORY,
        "version": "2",
        "from_state": "'processing'",
        "to_state": "'approved'",
        "cause": "'answered'",
        "actor": "'gateway'",
    },
    "network_messages": {
        **{name: name for name in ("message_id", "payment_id", "mti", "acquirer", "terminal_id")},
        **{name: name for name in ("business_day", "stan", "transmitted_at", "content", "at")},
        "direction": "'received'",
    },
    "transfers": {
        **_TRANSFER,
        "debit_account": "'held'",
        "credit_account": "'issuer'",
        "cause": "'answered'",
    },
}
_MAIL = {"payment_id": "payment_id", "state": "'owed'", "next_try_at": "at", "created_at": "at"}
_ACKNOWLEDGED = {
    "payment_events": {
        **_HISTORY,
        "version": "3",
        "from_state": "'approved'",
        "to_state": "'captured'",
        "cause": "'acknowledged'",
        "actor": "actor",
    },
    "movements": {
        **{name: name for name in ("movement_id", "payment_id", "amount_minor", "acquirer")},
        **{name: name for name in ("terminal_id", "batch_number", "rrn")},
        "kind": "'capture'",
        "state": "'pending'",
        "currency": "'USD'",
        "created_at": "at",
        "updated_at": "at",
    },
    "transfers": {
        **_TRANSFER,
        "movement_id": "movement_id",
        "debit_account": "'open'",
        "credit_account": "'held'",
        "cause": "'acknowledged'",
    },
    "outbox": {
        **_MAIL,
        "outbox_id": "merchant_mail_id",
        "kind": "'mail_merchant'",
        "recipient": "merchant_email",
    },
    "outbox ": {
        **_MAIL,
        "outbox_id": "customer_mail_id",
        "kind": "'mail_customer'",
        "recipient": "customer_email",
    },
}


def intend(values: Values) -> str:
    """
    Return the first step; it makes the payment's id and returns it.
    """
    ids = {"payment_id": "one.payment_id", "card_token": "one.card_token"}
    ids |= {"event_id": "one.event_id", "idempotency_key": "one.idempotency_key"}
    made = f"uuidv7() AS event_id, {values['idempotency_key']} AS idempotency_key"
    parts = [f"one AS MATERIALIZED (SELECT uuidv7() AS payment_id, uuidv7() AS card_token, {made})"]
    *first, last = _inserts(_INTENDED, values | ids)
    parts += [f"s{number} AS ({each} FROM one)" for number, each in enumerate(first)]
    return f"WITH {', '.join(parts)} {last} FROM one RETURNING payment_id"


def conclude(values: Values) -> str:
    """
    Return the second step.
    """
    changed = [f"{name} = {values[name]}" for name in _SET_APPROVED]
    return _moved("approved", "processing", changed, _CONCLUDED, values)


def acknowledge(values: Values) -> str:
    """
    Return the third step.
    """
    changed = [
        f"captured_minor = {values['amount_minor']}, acknowledged_at = {values['at']}",
        f"confirmation_number = {values['confirmation_number']}, acknowledged_on_session = true",
    ]
    return _moved("captured", "approved", changed, _ACKNOWLEDGED, values)


def _moved(
    to: str, origin: str, changed: list[str], tables: dict[str, dict[str, str]], values: Values
) -> str:
    update = (
        f"UPDATE payments SET state = '{to}', version = version + 1, "  # noqa: S608 - ours.
        f"changed_by = {values['event_id']}, updated_at = {values['at']}, {', '.join(changed)} "
        f"WHERE merchant_id = {values['merchant_id']} AND payment_id = {values['payment_id']} "
        f"AND state = '{origin}' RETURNING 1"
    )
    parts = [f"moved AS ({update})"]
    parts += [f"s{number} AS ({each})" for number, each in enumerate(_inserts(tables, values))]
    return f"WITH {', '.join(parts)} SELECT 1 FROM moved"  # noqa: S608 - ours.


def _inserts(tables: dict[str, dict[str, str]], values: Values) -> list[str]:
    found = []
    for table, columns in tables.items():
        names = ["merchant_id", *columns]
        chosen = [values["merchant_id"], *(values.get(each, each) for each in columns.values())]
        found.append(f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(chosen)}")
    return found
