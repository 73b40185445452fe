"""
What changes by itself while somebody looks does so under the policy of the pages.
"""

import asyncio

from playwright.async_api import Page
from running_demo import Demo

WAITS_SECONDS_MAX = 15.0
POLL_SECONDS = 0.3
MARK = "part => { part.firstElementChild.dataset.old = 'yes'; part.lastWords = null; }"


async def test_a_list_is_fetched_again_and_put_in_its_place(signed_in: Page, demo: Demo) -> None:
    """Text becomes marks by the one rule that the policy names; nothing is complained about."""
    await signed_in.goto(f"{demo.web}/attention")
    part = signed_in.locator("[data-live]")
    await part.evaluate(MARK)
    for _ in range(round(WAITS_SECONDS_MAX / POLL_SECONDS)):
        if not await part.locator("[data-old]").count():
            break
        await asyncio.sleep(POLL_SECONDS)

    assert await part.locator("[data-old]").count() == 0
    assert await part.inner_text()
