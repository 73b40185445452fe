"""
What lies around the road: disk, clock, database, backups; and when no new payment is let in.
"""
