"""
The Virtual Terminal: what a clerk sells by hand, from the row that is written first to its end.
"""
