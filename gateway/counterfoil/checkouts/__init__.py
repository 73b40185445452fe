"""
Payment pages that we host: checkouts that a shop asks for, and links that anybody may pay.
"""
