"""
A sandbox with a second acquirer: another rail, with books of its own, behind a link of its own.
"""

import os
import sys
from pathlib import Path

from counterfoil.clock import SystemClock
from counterfoil.installation import Serving
from counterfoil.opened import open_database
from counterfoil.store.merchants import MerchantStore, Terminal
from counterfoil.supervisor import Program, Supervisor
from counterfoil_proof.demo.ports import LOOPBACK
from counterfoil_proof.demo.sandbox import ACQUIRER
from counterfoil_rail.listing import charges

from .merchants import Merchant, add_merchant
from .sandboxes import Json, Sandbox, free_ports

SECOND = "second"
SECOND_RAIL = "second_rail"

SETTINGS = """
[timers]
send_seconds = 20.0
answer_seconds = 8.0
advice_answer_seconds = 6.0
late_seconds = 8.0
lease_seconds = 4.0
sweep_seconds = 0.2

[[acquirer]]
name = "{second}"
mode = "test"
host = "{host}"
port = {port}
institution_id = "222222"
forwarding_id = "987654"

[[route]]
acquirers = ["{first}", "{second}"]
"""


class TwoRails(Sandbox):
    """
    The usual sandbox, and a second rail that its gateway knows as the second choice.
    """

    def __init__(self) -> None:
        self.second_port = free_ports().rail
        super().__init__(
            SETTINGS.format(first=ACQUIRER, second=SECOND, host=LOOPBACK, port=self.second_port)
        )

    @property
    def second_state(self) -> Path:
        """Where the second rail keeps its books."""
        return self.folder / SECOND

    def open(self) -> None:
        """Start everything, the second rail too."""
        super().open()
        self._wait(self._start(SECOND_RAIL))

    def close(self) -> None:
        """Stop everything that still runs."""
        self._wait(self._stop(SECOND_RAIL))
        super().close()

    async def second_books(self, merchant: Merchant) -> list[Json]:
        """Return what the second rail's books say of *merchant*."""
        found = charges(self.second_state)
        return [each for each in found if each["terminal_id"] == merchant.terminal_id]

    async def _start(self, part: str) -> None:
        if part != SECOND_RAIL:
            await super()._start(part)
            return
        state = self.second_state
        state.mkdir(mode=0o700, exist_ok=True)
        words = ["serve", "--state", str(state), "--port", str(self.second_port)]
        program = Program(
            name=SECOND_RAIL,
            argv=[sys.executable, "-m", "counterfoil_rail", *words],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            log_path=state / "rail" / "log" / "rail.log",
            ready=Serving(state / "rail" / "serving.json"),
        )
        self._supervisors[part] = Supervisor([program])
        await self._supervisors[part].start()


async def add_merchant_at_both(sandbox: TwoRails) -> Merchant:
    """
    Add a merchant with the same terminal id at both acquirers.
    """
    merchant = await add_merchant(sandbox, acknowledge_seconds=60)
    terminal = Terminal(SECOND, merchant.terminal_id, f"AT2ND{merchant.terminal_id}")
    async with open_database(sandbox.configuration) as database:
        store = MerchantStore(database, SystemClock())
        await store.add_terminal(merchant.merchant_id, terminal)
    return merchant
