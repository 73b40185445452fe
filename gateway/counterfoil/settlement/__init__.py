"""
The end of the day: from the merchant's open batch to the deposit in the bank.
"""
