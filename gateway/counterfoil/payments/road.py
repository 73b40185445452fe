"""
What a payment meets on its road: the store, the vault, the acquirers, the clock.

`app.py` builds one for each process; every use case takes it as an argument.
"""

from uuid import UUID

import msgspec

from counterfoil.clock import Clock
from counterfoil.config import Timers
from counterfoil.ids import Ids
from counterfoil.measures import Measures
from counterfoil.outside.doors import Doors
from counterfoil.routing.routes import Routes
from counterfoil.store.numbers import ConfirmationLeases, OpenBatches, StanLeases
from counterfoil.store.payments import PaymentStore
from counterfoil.vault import Vault


class Road(msgspec.Struct, frozen=True):
    """
    Everything that stands beside the road of a payment in one process.
    """

    store: PaymentStore
    vault: Vault
    routes: Routes
    stans: StanLeases
    batches: OpenBatches
    confirmations: ConfirmationLeases
    ids: Ids
    clock: Clock
    timers: Timers
    process_id: UUID
    doors: Doors = msgspec.field(default_factory=Doors)
    measures: Measures = msgspec.field(default_factory=Measures)
