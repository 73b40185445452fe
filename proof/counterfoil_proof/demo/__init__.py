"""
The demo: shop, gateway, acquirer and mailbox as real processes, and a purchase through all.
"""
