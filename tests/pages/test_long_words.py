"""
What people write fits, however long a word of it is: no page scrolls sideways, and no table.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from running_demo import Demo
from test_the_books_by_keyboard import change

LONG = "W" * 50
TOO_WIDE = """
() => [document.documentElement, ...document.querySelectorAll(".table")]
  .filter(each => each.checkVisibility())
  .map(each => [each.getAttribute("aria-label"), each.scrollWidth - each.clientWidth])
  .filter(([, wider]) => wider > 0)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def named(signed_in: Page, demo: Demo) -> AsyncIterator[Page]:
    """The demo's owner has a name of fifty letters, for a while."""
    name = await signed_in.locator(".whose a").first.text_content()
    await change(demo, f"UPDATE users SET name = '{LONG}'")
    yield signed_in
    await change(demo, f"UPDATE users SET name = '{name}'")


async def it_fits(page: Page) -> None:
    """Assert that nothing is wider than its window, on a desk and on a telephone."""
    for width in (1280, 360):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate(TOO_WIDE) == [], f"{page.url} at {width} px"
    await page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.parametrize("path", ["/people", "/audit", "/today", "/me"])
async def test_a_name_as_long_as_a_line_is_broken(named: Page, demo: Demo, path: str) -> None:
    """Where people are listed, where what they did is, and in the frame."""
    await named.goto(f"{demo.web}{path}")

    await expect(named.locator("body")).to_contain_text(LONG)
    await it_fits(named)


async def test_where_the_money_is_fits_with_refunds(signed_in: Page, demo: Demo) -> None:
    """Batch and deposit stand under how it stands."""
    page = signed_in
    await page.goto(f"{demo.web}/payments")
    await page.locator("tbody tr:last-child a").click()
    for _ in range(2):
        await page.locator("details.doing > summary", has_text="Refund").click()
        await page.fill("#refund-amount", "0.01")
        await page.get_by_role("button", name="Refund").click()
        await expect(page.get_by_role("status")).to_contain_text("The refund is on its way")

    where = page.get_by_role("region", name="Batches and deposits")
    await expect(where.get_by_role("row", name="Refund")).not_to_have_count(0)
    await expect(where).to_contain_text("Batch TERM0001/USD/")
    await it_fits(page)


async def test_what_an_address_check_says_stays_in_its_badge_on_a_telephone(
    signed_in: Page, demo: Demo
) -> None:
    """It is a sentence, and goes on in the next line."""
    page = signed_in
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{demo.web}/payments")
    await page.locator("tbody tr:last-child a").click()

    said = page.locator(".badge", has_text="The postal code fits. No street was given.")
    await expect(said).to_be_visible()
    wider = "all => all.filter(each => each.scrollWidth > each.clientWidth).length"
    assert await page.locator(".badge").evaluate_all(wider) == 0
