"""
ISO 8583: the messages and the links to the acquirers.

The message side (fields, encodings, message, masking, tlv, content, generic, compiled_*,
codec, framing) does no I/O; `dialect` reads the data that is shipped beside it. The link
side (outcome, mux, tls, connection, hub, line, link) carries those messages over TCP.
Import the module you need: nothing is loaded here, so that a command that only decodes a
message starts fast.
"""
