"""
The demo's side panel: the road of a payment, live, beside the shop.
"""

from barriers import nobody_is_kept_out
from playwright.async_api import Page, expect
from running_demo import Demo, Watch
from test_every_page_fits import order

NUMBER = "4111111111111111"
ROAD_TIMEOUT_MS = 20_000


async def test_each_step_of_a_purchase_comes_up_beside_the_shop(
    page: Page, watch: Watch, demo: Demo
) -> None:
    """Nobody loads the panel anew; masked messages go by, and the confirmation at the end."""
    panel = await page.context.new_page()
    await panel.set_viewport_size({"width": 1280, "height": 800})
    await panel.goto(demo.panel)
    await expect(panel.locator("#steps > li")).not_to_have_count(0)

    await order(page, demo, NUMBER)
    await expect(page.locator("h1")).to_contain_text("Thank you")

    newest = panel.locator("#steps > li.new")
    committed = newest.filter(has_text="confirmation number committed")
    await expect(committed).to_have_count(1, timeout=ROAD_TIMEOUT_MS)
    said = await panel.locator("#steps").inner_text()
    assert await newest.count() > 3
    assert "0200" in said
    assert "acknowledg" in said
    assert NUMBER not in said
    assert NUMBER[:12] not in said.replace(" ", "")
    await nobody_is_kept_out(panel)
