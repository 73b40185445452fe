"""
Whole payments in other dialects, which the real rail speaks by a codec and a MAC of its own.
"""

from pathlib import Path

import pytest
from counterfoil.payments.acknowledge import acknowledge, refuse
from counterfoil.payments.lifecycle import State
from counterfoil.store.database import Database
from dialect_stage import NAMES
from payment_stage import ACTOR
from rail_stage import at_the_rail


@pytest.mark.parametrize("dialect", [name for name in NAMES if name != "gw87"])
async def test_a_sale_is_approved_and_another_is_taken_back_in_each_dialect(
    database: Database, tmp_path: Path, dialect: str
) -> None:
    """Approved and acknowledged; approved and refused; both books say the same."""
    async with at_the_rail(database, tmp_path, dialect=dialect) as at:
        kept = await at.stage.take()
        given_back = await at.stage.take()
        assert (kept.state, given_back.state) == (State.APPROVED, State.APPROVED)

        await acknowledge(
            at.stage.merchant, kept.payment_id, session_id="s", actor=ACTOR, road=at.stage.road
        )
        await refuse(at.stage.merchant, given_back.payment_id, actor=ACTOR, road=at.stage.road)
        await at.settle()

        assert (await at.stage.read(given_back)).state is State.REVERSED
        assert sorted(map(str, at.charge_states())) == ["captured", "reversed"]
        assert at.link.wrong_macs == 0
        assert at.rail.host.counts["wrong_mac"] == 0
