"""
A notice by e-mail that is no receipt: something of the merchant's needs a person.

Goes the receipts' way: one row in the outbox, written with what causes it.
"""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from counterfoil.store.outbox import OwedMail

ENDPOINT_DISABLED = """\
The webhook endpoint
  {url}
was disabled: it has not taken a message for days, or it has answered 410 Gone.

Nothing is lost. Every event stays in the feed (GET /v1/events), from the number where your systems
stopped. When the endpoint works again, enable it:

  PATCH /v1/webhook-endpoints/<its id>   {{"state": "enabled"}}

Messages that it is still owed are then sent.
"""


def endpoint_disabled(owed: OwedMail, sender: str, now: datetime, *, test: bool) -> EmailMessage:
    """
    Return the e-mail that tells a merchant that a webhook endpoint was disabled.
    """
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{owed.outbox_id.hex}@{sender.rpartition('@')[2]}>"
    message["Date"] = format_datetime(now)
    message["From"] = Address(display_name="Payments", addr_spec=sender)
    message["To"] = Address(addr_spec=owed.recipient)
    message["Subject"] = f"{'[Test] ' if test else ''}A webhook endpoint was disabled"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(ENDPOINT_DISABLED.format(url=owed.facts["endpoint_url"]))
    return message
