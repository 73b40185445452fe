"""
How fast a gateway settles what a crash left in flight, while it goes on selling.
"""
