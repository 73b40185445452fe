"""
Roles, and what each may do.

A route names one right; a role is a set of rights; what is in no set nobody may do.
"""

from enum import StrEnum
from types import MappingProxyType


class Right(StrEnum):
    """
    Something that a person may be allowed to do at a merchant.
    """

    TAKE_PAYMENTS = "take payments"
    FINISH = "claim or refuse what others began"
    READ_PAYMENTS = "read payments"
    REFUND = "refund"  # Voids, captures and credits too: whatever moves money that was taken.
    CLOSE_BATCH = "close batches"
    READ_DEPOSITS = "read batches, deposits and reports"
    EXPORT = "export"
    LINKS = "payment links"
    SETTINGS = "settings"
    KEYS = "keys"
    WEBHOOKS = "webhooks"
    PEOPLE = "people"
    LOGS = "audit page"


class Role(StrEnum):
    """
    What somebody is at a merchant.
    """

    OWNER = "owner"
    MANAGER = "manager"
    CLERK = "clerk"
    BOOKKEEPER = "bookkeeper"
    DEVELOPER = "developer"


_CLERK = frozenset({Right.TAKE_PAYMENTS})
_BOOKKEEPER = frozenset({Right.READ_PAYMENTS, Right.READ_DEPOSITS, Right.EXPORT})
_MANAGER = _CLERK | _BOOKKEEPER | {Right.FINISH, Right.REFUND, Right.CLOSE_BATCH, Right.LINKS}
_DEVELOPER = frozenset({Right.READ_PAYMENTS, Right.KEYS, Right.WEBHOOKS, Right.LOGS})

RIGHTS = MappingProxyType(
    {
        Role.OWNER: frozenset(Right),
        Role.MANAGER: _MANAGER,
        Role.CLERK: _CLERK,
        Role.BOOKKEEPER: _BOOKKEEPER,
        Role.DEVELOPER: _DEVELOPER,
    }
)

IN_WORDS = MappingProxyType(
    {
        Role.OWNER: "Everything, people and settings too.",
        Role.MANAGER: "Takes payments, refunds, closes batches, reads everything.",
        Role.CLERK: "Takes payments, and sees those of their own.",
        Role.BOOKKEEPER: "Reads and exports payments, batches and deposits.",
        Role.DEVELOPER: "Keys, webhooks, and what was changed.",
    }
)
