"""
The e-mail that invites somebody to a merchant's pages.

The link in it is a secret, of which only the hash is kept: so the letter is handed to the mail
server at once, while whoever invites waits, and not by way of the outbox.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from counterfoil.people.roles import IN_WORDS, Role
from counterfoil.receipts.letter import Draft, Letter, written

TEXT = """\
{who} invites you to the payment pages of {business}, as {role}.
{words}

Open this link, choose a password, and you are in:

  {link}

It works once, until {until} UTC. If you do not know why you got this, do nothing.
"""


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the letter says.
    """

    message_id: UUID
    who: str
    business: str
    recipient: str
    role: Role
    link: str
    until: datetime


def letter(invited: Invited, sender: str, now: datetime, *, test: bool) -> Letter:
    """
    Return the letter of an invitation.

    Raises:
        ValueError, MessageError: An address is none.
    """
    text = TEXT.format(
        who=invited.who,
        business=invited.business,
        role=invited.role,
        words=IN_WORDS[invited.role],
        link=invited.link,
        until=f"{invited.until:%Y-%m-%d %H:%M}",
    )
    return written(
        Draft(
            outbox_id=invited.message_id,
            at=now,
            sender=sender,
            sender_name=invited.business,
            recipient=invited.recipient,
            subject=f"{'[Test] ' if test else ''}Your invitation to {invited.business}",
            text=text,
        )
    )
