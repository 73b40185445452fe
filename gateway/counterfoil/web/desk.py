"""
What a page has at hand: the road and the stores, through the same desk as an API call.
"""

import msgspec

from counterfoil.api.desk import Desk
from counterfoil.clock import Clock
from counterfoil.config import Configuration
from counterfoil.people.passwords import Passwords
from counterfoil.store.database import Database
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.people import PeopleStore


class WebDesk(msgspec.Struct, frozen=True, kw_only=True):
    """
    Shared by all pages of a web process. `desk` is the API's: `desk.road`, `desk.money_task`.
    """

    desk: Desk
    configuration: Configuration
    database: Database
    merchants: MerchantStore
    people: PeopleStore
    passwords: Passwords

    @property
    def clock(self) -> Clock:
        """
        The clock of this process.
        """
        return self.desk.road.clock

    @property
    def is_test(self) -> bool:
        """
        Whether no money moves here.
        """
        return self.configuration.mode == "test"
