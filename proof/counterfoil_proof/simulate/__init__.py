"""
The simulation: days of payments in a world where everything goes wrong, thousands in seconds.
"""
