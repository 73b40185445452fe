"""
The rules of the audit: each one query, what it proves, and what to do when it does not hold.

A rule's query (store/queries/audit.sql, chain.sql) returns only what breaks it: merchant_id,
currency, subject, expected, found, difference_minor; so books that agree return nothing.
"""

from datetime import timedelta

import msgspec

from counterfoil.ledger.chain import LATE, THOROUGH_EVERY

STRANDED = timedelta(minutes=10)  # The sweep ends whatever waits for it within a minute.

_FORGED = (
    "No program of ours writes such a row: keep the database as it is, compare it with the last "
    "backup and the server's log, and find out who changed it."
)
_BOOKS = (
    "Compare the payment's history and transfers (counterfoil's API: GET /v1/payments/ID) and "
    "correct the row that contradicts the others; report it, because it is a defect or a forgery."
)
_BATCH = "Compare with `counterfoil batch show TERMINAL/CURRENCY/NUMBER` and ask the acquirer."
_DEPOSIT = (
    "Compare with `counterfoil report deposit REFERENCE` and with the file from the acquirer."
)
_BANK = "Compare with the bank's statement; ask the bank for what is missing."


class Rule(msgspec.Struct, frozen=True):
    """
    One thing that must hold: the query of its name, its sentence, and the next step.

    `after`: it must hold for what is older than this; younger rows are still on their way.
    """

    query: str
    what: str
    next_step: str
    after: timedelta | None = None


RULES = (
    Rule("audit_payment_sums", "a payment's amounts are not the sums of its transfers", _BOOKS),
    Rule("audit_payment_states", "a payment is not where its history ends", _BOOKS),
    Rule("audit_payment_histories", "a payment's history has a gap", _BOOKS),
    Rule("audit_payment_facts", "a payment's amounts contradict its state", _BOOKS),
    Rule("audit_movement_sums", "a payment's captures or refunds do not add up", _BOOKS),
    Rule(
        "audit_acknowledged_without_capture",
        "an acknowledged sale was never captured",
        "The merchant delivers and is not paid: charge the order again, and report the defect.",
    ),
    Rule(
        "audit_not_charged_with_capture",
        "a payment that says not charged has a capture",
        "The cardholder may be charged for nothing: refund it at the acquirer, and report it.",
    ),
    Rule(
        "audit_stranded_payments",
        "nobody does anything about a payment any more",
        "See that a worker runs and audit again. If it stays, ask the acquirer what became of the "
        "payment (its RRN is in GET /v1/payments/ID), and report the defect.",
        STRANDED,
    ),
    Rule(
        "audit_outbox",
        "nobody was told of a confirmed payment",
        "Send the receipt by hand, and report the defect.",
    ),
    Rule("audit_batch_items", "an item of a batch is not what its movement is", _BATCH),
    Rule("audit_left_out_of_batches", "a movement is in no batch that holds it", _BATCH),
    Rule("audit_batch_totals", "a batch's totals are not the sum of its items", _BATCH),
    Rule("audit_batch_journal", "a closed batch stands otherwise in the journal", _BATCH),
    Rule(
        "audit_batch_states",
        "a batch has no agreed end",
        "Settle the difference with the acquirer (`counterfoil batch show`), then end it with "
        "`counterfoil batch resolve`.",
    ),
    Rule("audit_movement_states", "a movement is not where its history ends", _BOOKS),
    Rule("audit_settled_movements", "a movement's state is not what report and bank say", _DEPOSIT),
    Rule("audit_settlement_lines", "a line was matched with something else", _DEPOSIT),
    Rule("audit_untold_lines", "a line settles nothing here and nobody was told", _DEPOSIT),
    Rule("audit_deposit_sums", "a deposit is not the sum of its lines", _DEPOSIT),
    Rule("audit_deposit_journal", "a deposit stands otherwise in the journal", _DEPOSIT),
    Rule("audit_deposit_bank", "a deposit was paid otherwise than the bank says", _BANK),
    Rule("audit_deposit_states", "a deposit is not paid as it says, and nobody was told", _BANK),
    Rule("audit_statements", "a bank statement does not add up or leaves a gap", _BANK),
    Rule("audit_bank_sums", "the bank paid otherwise than the journal says", _BANK),
    Rule("audit_findings", "something found at the end of a day is not resolved", ""),
    Rule("audit_files", "a file that came was changed afterwards", _FORGED),
    Rule("audit_chain_links", "the seal over the journal is broken", _FORGED),
    Rule(
        "audit_sealed_transfers",
        "a transfer was changed or removed after it was sealed",
        _FORGED,
    ),
    Rule(
        "audit_late_transfers",
        "a transfer is sealed late",
        "A running worker looks once a day for what was committed late or dated by a wrong clock, "
        "and seals it: see that one runs, then audit again. If the transfer belongs to no payment, "
        "batch or deposit, find out who wrote it.",
        THOROUGH_EVERY + LATE,
    ),
)

NEXT_STEP_OF_BOOKS = _BOOKS
NEXT_STEP_OF_FLOWS = _FORGED
