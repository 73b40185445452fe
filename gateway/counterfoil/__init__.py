"""
Counterfoil, the processing server.

The folders follow a payment's road: `api` takes the order, `payments` decides,
`routing` picks the acquirer, `network` speaks ISO 8583, `receipts` confirms,
`ledger` books, `events` carries the rest. `store` holds the only SQL.
"""

__version__ = "0.1.0"
