"""
Which acquirer a payment goes to, and through which of the merchant's terminals.
"""
