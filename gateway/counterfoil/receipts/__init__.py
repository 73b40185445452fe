"""
What the merchant and the customer keep: confirmation number, receipt, e-mail.
"""
