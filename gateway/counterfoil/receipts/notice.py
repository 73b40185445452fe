"""
A notice by e-mail that is no receipt: something of the merchant's needs a person.

Goes the receipts' way: one row in the outbox, written with what causes it.
"""

from datetime import datetime

from counterfoil.receipts.letter import Draft, Letter, written
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


def endpoint_disabled(owed: OwedMail, sender: str, now: datetime, *, test: bool) -> Letter:
    """
    Return the e-mail that tells a merchant that a webhook endpoint was disabled.

    Raises:
        ValueError, MessageError: An address is none.
    """
    draft = Draft(
        outbox_id=owed.outbox_id,
        at=now,
        sender=sender,
        sender_name="Payments",
        recipient=owed.recipient,
        subject=f"{'[Test] ' if test else ''}A webhook endpoint was disabled",
        text=ENDPOINT_DISABLED.format(url=owed.facts["endpoint_url"]),
    )
    return written(draft)
