"""
What changes by itself while somebody looks does so under the policy of the pages.
"""

import asyncio
import re

from playwright.async_api import Page, expect
from running_demo import Demo

WAITS_SECONDS_MAX = 15.0
NUMBER = "4242424242424242"
POLL_SECONDS = 0.3
OTHER_COUNTS = """
for (const each of document.querySelectorAll("[data-waiting]")) {
  each.hidden = false;
  each.firstChild.data = "99";
}
"""
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


async def test_the_menu_of_an_open_page_tells_what_waits(signed_in: Page, demo: Demo) -> None:
    """Without a reload: the number beside Attention is the one that the page's own part brings."""
    await signed_in.goto(f"{demo.web}/today")
    count = signed_in.locator(".menu [data-waiting]").first
    waits = await count.evaluate("each => each.hidden ? '0' : each.firstChild.data")
    await signed_in.evaluate(OTHER_COUNTS)

    await expect(count).not_to_contain_text("99", timeout=WAITS_SECONDS_MAX * 1000)
    assert await count.evaluate("each => each.hidden ? '0' : each.firstChild.data") == waits


async def test_a_batch_that_is_closed_says_so_by_itself(signed_in: Page, demo: Demo) -> None:
    """Who closed it waits for the acquirer's word on the page, and reloads nothing."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal")
    for name, text in (("amount", "7.31"), ("number", NUMBER), ("expiry", "12/30")):
        await page.fill(f"#{name}", text)
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("heading", name="Paid: 7.31 USD")).to_be_visible()
    await page.goto(f"{demo.web}/batches?state=open")
    await page.locator("table a[href^='/batches/']").first.click()
    await page.get_by_role("link", name="Close now").click()
    await page.get_by_role("button", name="Close now").click()

    await expect(page).to_have_url(re.compile(r"done=closing$"))
    await expect(page.locator(".stack .badge").first).to_have_text(
        "Closed", timeout=WAITS_SECONDS_MAX * 1000
    )
    await expect(page.get_by_text("its word appears here")).to_have_count(0)
    await expect(page.locator("[data-live]")).to_have_attribute("data-every", "0")
