"""
Chaos: real processes under load, killed, frozen and cut off; then everybody's books are compared.
"""
