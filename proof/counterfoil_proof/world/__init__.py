"""
A whole installation in one process, on virtual time: gateways, workers, clients, rail, database.

Everything random comes from one seed, so a story that went wrong can be told again. The code
that runs is the product's own; only time, sockets, the HTTP server and the wire are ours.
"""
