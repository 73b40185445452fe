"""
A demo storefront that takes its payments with counterfoil-client.

The shop stands at the very start of a payment's road: a shopper orders, the shop writes
the order into its own books, asks the gateway through the client library, and shows the
confirmation number. It knows the client and nothing else of Counterfoil.
"""

__version__ = "0.1.0"
