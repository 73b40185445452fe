"""
The benchmark: whole payments a second beside the database's own rate, and what each costs.
"""
