"""
Where clients reach the gateway: HTTP in, HTTP out, no business rule.
"""
