"""
The pages for people: merchants' own, and the payment pages of their customers.

A process of its own (`counterfoil web`), so that nothing which a browser asks for stands in the way
of a payment. Money moves by the same use cases as through the API.
"""
