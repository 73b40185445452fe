"""
The people who use the pages: who they are, what they may do, how they prove it.
"""
