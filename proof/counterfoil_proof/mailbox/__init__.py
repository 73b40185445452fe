"""
The sandbox mailbox: takes the demo's mail by SMTP, keeps it, and shows it on pages.

It stands at the end of a payment's road, in place of the world's mail servers. Nothing
is ever sent on: what arrives stays in DIR/mailbox/messages/, one .eml file a message.
"""

from counterfoil_proof.mailbox.server import serve

__all__ = ["serve"]
