"""
The acquirer speaks another dialect: packed digits behind a TPDU with a retail MAC, EBCDIC with an
AES MAC, or text between STX and ETX. Everything is as it always is.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from .agreement import states
from .conftest import running
from .evenings import Evening, count_and_amount
from .merchants import DECLINED, add_merchant, payment
from .other_dialects import OtherDialect
from .sandboxes import Log

SPOKEN = ["gw87-bcd", "gw87-ebcdic", "gw87-hex"]
HEARD = ["0100", "0200", "0220", "0420", "0500", "0320", "0520"]


@pytest.fixture(scope="module", params=SPOKEN)
def foreign(request: pytest.FixtureRequest) -> Iterator[OtherDialect]:
    """A sandbox in another dialect."""
    for sandbox in running(OtherDialect(request.param), request):
        assert isinstance(sandbox, OtherDialect)
        yield sandbox


async def test_a_day_is_sold_taken_back_and_closed(foreign: OtherDialect) -> None:
    """Sales, captures, refunds, voids and a decline; out of balance, uploaded, closed, agreed."""
    evening = Evening(await add_merchant(foreign))
    rail, gateway = foreign.log("rail"), foreign.log("gateway")
    sold = await evening.sell(1000, 2000, 3000)
    [held, let_go] = await evening.sell(500, 600, capture="manual")
    await evening.change(held, "capture")
    await evening.change(let_go, "void")
    await evening.change(sold[0], "void")
    await evening.change(sold[1], "refund")
    [declined] = await evening.sell(7000, card={**payment()["card"], "number": DECLINED})
    await evening.acquirer.fault("close_out_of_balance")

    closed = await evening.close()
    told = await evening.agreed()

    # 2000, 3000 and the capture of 500 stand, less the refund of 2000.
    assert (closed["state"], closed["ours"]) == ("closed", closed["host"])
    assert count_and_amount(closed["ours"]) == (4, 3500)
    assert declined["state"] == "declined"
    assert Counter(each["state"] for each in told.values()) == {
        "captured": 3,
        "voided": 2,
        "declined": 1,
    }
    assert (await evening.audit_with_everybody())[1]["differences"] == []
    assert [mti for mti in HEARD if not evening.heard(rail, mti)] == []
    _every_mac_was_right(rail, gateway)


async def test_a_sale_that_the_shop_refuses_is_reversed(foreign: OtherDialect) -> None:
    """The reversal has two bitmaps, and its MAC behind the second; so has its repeat."""
    evening = Evening(await add_merchant(foreign))
    rail, gateway = foreign.log("rail"), foreign.log("gateway")

    async with evening.merchant.api() as api, foreign.fault("silent_to_reversals", "1"):
        taken = await evening.charge(api, amount_minor=4200)
        await evening.post(api, f"/v1/payments/{taken['id']}/refuse")
        await rail.says("message", mti="0421", response_code="00")
    told = (await evening.agreed())[taken["idempotency_key"]]

    assert (taken["state"], states(told)[-1]) == ("approved", "reversed")
    assert [each["outcome"] for each in evening.heard(rail, "0420")] == ["silent"]
    _every_mac_was_right(rail, gateway)


def _every_mac_was_right(rail: Log, gateway: Log) -> None:
    assert rail.said("wrong_mac") == []
    assert gateway.said("network.bad_mac") == []
