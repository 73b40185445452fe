"""
The books: the chart of accounts, the seal over the journal, and the audit that proves both.
"""
