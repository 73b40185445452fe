"""
Who looks at a page: a person, in a role, at a merchant, in one signed-in browser.
"""

from datetime import datetime, time
from uuid import UUID

import msgspec

from counterfoil.payments.payment import Merchant
from counterfoil.people.roles import RIGHTS, Right, Role


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """
    A signed-in person. `cutoff` is the merchant's, in its zone; `step_up_whole` how much, in whole
    units of a currency, is given back in a day without proving anew who one is.
    """

    session_id: UUID
    user_id: UUID
    email: str
    name: str
    role: Role
    merchant: Merchant
    cutoff: time
    signed_in_at: datetime
    seen_at: datetime
    stepped_up_at: datetime | None
    ends_at: datetime
    has_second_factor: bool
    has_other_merchants: bool
    step_up_whole: int

    @property
    def actor(self) -> str:
        """
        Who it was, as histories name it.
        """
        return f"user:{self.user_id.hex}"

    def may(self, right: Right) -> bool:
        """
        Return whether this person may do that, here.
        """
        return right in RIGHTS[self.role]


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a one-time link says; `user_name` is set when we know the person already.
    """

    invitation_id: UUID
    merchant_id: UUID
    merchant_name: str
    email: str
    role: Role
    expires_at: datetime
    used_at: datetime | None
    ended_at: datetime | None
    user_name: str | None
    has_password: bool

    def stands(self, now: datetime) -> bool:
        """
        Return whether it can be used still.
        """
        return self.used_at is None and self.ended_at is None and now < self.expires_at


class Account(msgspec.Struct, frozen=True):
    """
    A person as far as signing in needs it.
    """

    user_id: UUID
    email: str
    name: str
    password_hash: str | None
    has_second_factor: bool


class Half(msgspec.Struct, frozen=True):
    """
    A person whose password was right, and the second factors they may be asked for.
    """

    user_id: UUID
    email: str
    name: str
    has_authenticator: bool
    has_passkey: bool
