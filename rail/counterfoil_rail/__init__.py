"""
An acquirer host with two issuers in a box: Counterfoil's sandbox and its witness.

A gateway connects over TCP and speaks ISO 8583; what the host accepted stands in
books of its own. It shares no code with the gateway: even the codec is another one.

The path of a message: `link` (frames) -> `host` (turns, duplicates) -> `payments`,
`captures`, `reversals` (what each message does) -> `books` (what is durable)
-> `delivery` (the answer, and the faults that may befall it). A batch ends by `closes`
and `uploads`; `settlement` then pays for it.
"""
