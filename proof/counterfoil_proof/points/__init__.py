"""
Crash points: every durable step, network write and reply of the product, by name.

The names are put on from outside (`seams`): the shipped code knows nothing of them. What must
have a name is read from the product itself (`catalogue`), so that a new step without a point
is found. A point that is passed is recorded, and may end the process there (`point`).
"""
