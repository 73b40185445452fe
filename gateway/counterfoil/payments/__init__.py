"""
The life of a payment: what may follow what, and who moves it.
"""
