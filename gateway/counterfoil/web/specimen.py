"""
A payment page on which nothing can be paid, for the hourly look at what browsers get.

    GET  /c/specimen

It is made by the same endpoint and template as every payment page, of a checkout that is in no
table. A form that is sent to it finds no page.
"""

from datetime import timedelta
from uuid import UUID

from starlette.responses import Response

from counterfoil.checkouts.checkout import Checkout, State
from counterfoil.checkouts.policy import SPECIMEN
from counterfoil.payments.payment import Merchant
from counterfoil.web.payment_page import Shop, page_of
from counterfoil.web.visit import Page, Visit

NOBODY = UUID(int=0)


async def show(visit: Visit) -> Response:
    """
    The page.
    """
    now = visit.desk.clock.now()
    checkout = Checkout(
        amount_minor=100,
        currency="USD",
        description="A specimen: nothing can be paid here.",
        merchant_id=NOBODY,
        checkout_id=NOBODY,
        fingerprint=None,
        link_id=None,
        state=State.OPEN,
        tries=0,
        declines=0,
        payment_id=None,
        trying_since=None,
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(hours=1),
    )
    return await page_of(visit, Shop(checkout, MERCHANT))


MERCHANT = Merchant(
    merchant_id=NOBODY,
    name="Specimen",
    city="",
    region="",
    country="",
    category_code="",
    timezone="UTC",
    email="",
    acknowledge_seconds=180,
)
PAGES = (Page(path=SPECIMEN, endpoint=show, open_to_all=True),)
