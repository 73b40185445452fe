"""
An owner invites a clerk, who comes by the link: by keyboard alone.
"""

import re

from barriers import nobody_is_kept_out
from playwright.async_api import Browser, Page, expect
from running_demo import Demo, Watch
from test_signing_in_by_keyboard import at, press, type_into

PASSWORD = "gravel lantern oboe thistle"
CLERK = "carol@shop.example"


async def test_a_clerk_is_invited_and_ended_by_keyboard(
    signed_in: Page, browser: Browser, demo: Demo, watch: Watch
) -> None:
    """The link works once; the clerk sees the terminal, no people; ended, they are out at once."""
    page = signed_in
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{demo.web}/people")
    await type_into(page, "E-mail address", CLERK)
    await press(page, "Invite")
    link = page.get_by_role("link", name=re.compile("welcome"))
    await expect(link).to_be_visible()
    await nobody_is_kept_out(page)
    address = await link.text_content()
    assert address

    context = await browser.new_context(
        ignore_https_errors=True, locale="en-GB", reduced_motion="reduce"
    )
    clerk = await context.new_page()
    await clerk.set_viewport_size({"width": 360, "height": 800})
    await clerk.goto(address)
    await nobody_is_kept_out(clerk)
    await type_into(clerk, "Your name", "Carol Shaw")
    await type_into(clerk, "Password", PASSWORD)
    await clerk.keyboard.press("Enter")
    await clerk.wait_for_url(lambda url: "/welcome" not in url)
    refused = await clerk.goto(f"{demo.web}/people")
    assert refused
    assert refused.status == 403
    await clerk.goto(address)
    await expect(clerk.get_by_role("heading", level=1)).to_have_text("This link has ended")

    await page.goto(f"{demo.web}/people")
    await press(page, "Change Carol Shaw")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Carol Shaw")
    await press(page, "End their work here")
    await page.wait_for_url(at(r"/people/[0-9a-f]{32}/end"))
    await nobody_is_kept_out(page)
    await press(page, "End their work here")
    await page.wait_for_url(re.compile("/step-up"))
    await type_into(page, "Password", demo.owner[1])
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("kept=yes"))
    await press(page, "End their work here")
    await page.wait_for_url(at(r"/people\?done=ended"))
    await page.goto(f"{demo.web}/audit")
    await expect(page.get_by_text("ended the work of Carol Shaw").first).to_be_visible()
    await clerk.goto(f"{demo.web}/me")
    await clerk.wait_for_url(re.compile(r"/sign-in\?next=/me"))
    await context.close()
