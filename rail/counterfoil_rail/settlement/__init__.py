"""
What happens to a batch once both sides agree on it: fees, deposits, report, bank.

All of it happens when the business day is advanced: `day` (one transaction, then the
files) -> `deposits` (fees, net amounts, mistakes) -> `bank` (bookings, statements)
-> `files` (`report`, `camt053`, `bai2`). `listing` and `commands` show it.
"""
