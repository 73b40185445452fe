"""
The payment pages and links that take no card any more, or not yet: whoever comes there is told.
"""

import asyncio
import re

from barriers import nobody_is_kept_out
from playwright.async_api import Page, Route, expect
from running_demo import Demo
from test_paying_on_the_payment_page import CVV, GOOD, order
from test_the_terminal import slow_issuers

SLOW_MS = 7000
WAITS_TIMEOUT_MS = 30_000
LOOKS_MAX = 200


async def without_refresh(route: Route) -> None:
    """Let a page stand still for whoever looks at it closely."""
    answer = await route.fetch()
    headers = {name: value for name, value in answer.headers.items() if name != "refresh"}
    await route.fulfill(response=answer, headers=headers)


async def test_who_looks_while_the_bank_thinks_is_told_to_wait(page: Page, demo: Demo) -> None:
    """The page looks again by itself, and turns into the confirmation."""
    await order(page, demo)
    with slow_issuers(demo, SLOW_MS):
        other = await page.context.new_page()
        await other.set_viewport_size({"width": 1280, "height": 800})
        for field, text in (("number", GOOD), ("expiry", "12/39"), ("code", CVV)):
            await page.fill(f"#card_{field}", text)
        paid = asyncio.create_task(page.locator(".pay-button").click(timeout=WAITS_TIMEOUT_MS))
        await other.route("**/c/*", without_refresh)
        for _ in range(LOOKS_MAX):  # Until the press has come to the gateway.
            await other.goto(page.url)
            if await other.locator(".waiting").count():
                break
        await expect(other.locator("h1")).to_have_text("Your bank has not answered yet")
        await nobody_is_kept_out(other)
        await other.unroute("**/c/*")
        await other.reload()
        await paid

    for each in (page, other):
        await expect(each.locator("#confirmation-number")).to_have_count(
            1, timeout=WAITS_TIMEOUT_MS
        )


async def test_who_turns_back_has_paid_nothing_and_comes_back_to_the_shop(
    page: Page, demo: Demo
) -> None:
    """The page is over for every tab, and the shop knows."""
    await order(page, demo)
    address = page.url
    await page.get_by_role("button", name="Do not pay, go back").click()
    await expect(page.locator("h1")).to_have_text("You turned back")
    await nobody_is_kept_out(page)

    await page.goto(address)
    await expect(page.locator("#card_number")).to_have_count(0)
    await page.get_by_role("link", name=re.compile("^Back to ")).click()
    await page.wait_for_url(f"{demo.shop}/orders/*")
    await expect(page.locator("main")).to_contain_text("not charged")


async def test_a_link_that_was_ended_takes_nobody_any_further(signed_in: Page, demo: Demo) -> None:
    """Neither who opens it, nor who had its payment page open already."""
    page = signed_in
    await page.goto(f"{demo.web}/links/new")
    await page.fill("#description", "A lecture, one seat")
    await page.fill("#amount", "12")
    await page.get_by_role("button", name="Make the link").click()
    made, address = page.url, await page.input_value("#address")
    shopper = await page.context.new_page()
    await shopper.set_viewport_size({"width": 1280, "height": 800})
    await shopper.goto(address)
    await shopper.locator(".pay-button").click()
    await expect(shopper.locator("#card_number")).to_be_visible()

    await page.goto(made.partition("?")[0])
    await page.get_by_role("link", name="End this link").click()
    await nobody_is_kept_out(page)
    await shopper.reload()
    await expect(shopper.locator("#card_number")).to_be_visible()
    await page.get_by_role("button", name="End this link").click()
    await expect(page.get_by_role("status").first).to_be_visible()
    await shopper.reload()
    await expect(shopper.locator("h1")).to_have_text("This link cannot be paid any more")
    await nobody_is_kept_out(shopper)
    await shopper.goto(address)
    await expect(shopper.locator("h1")).to_have_text("This link has ended")
    await nobody_is_kept_out(shopper)


async def test_an_address_that_leads_nowhere_says_so(page: Page, demo: Demo) -> None:
    """On the payment pages' origin, in the same dress."""
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.goto(f"{demo.checkout}/c/nothing-of-this-name")
    await expect(page.locator("h1")).to_have_text("Not found")
    await nobody_is_kept_out(page)


async def test_a_form_tells_everything_that_is_wrong_at_once(signed_in: Page, demo: Demo) -> None:
    """Where a browser would show the first fault in a bubble and send nothing."""
    page = await signed_in.context.new_page()  # Not watched: a browser complains of each 422.
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.goto(f"{demo.web}/settings")
    await page.fill("#name", "")
    await page.fill("#city", "")
    await page.fill("#email", "x")
    await page.get_by_role("button", name="Save the business").click()

    for field, words in (
        ("name", "Business name: write 1 to 64 characters of one line."),
        ("city", "City: write 1 to 64 characters of one line."),
        ("email", "E-mail address: write a bare address"),
    ):
        await expect(page.locator(f"#{field}")).to_have_accessible_description(re.compile(words))
        await expect(page.get_by_role("alert").get_by_text(words)).to_have_attribute(
            "href", f"#{field}"
        )
    await nobody_is_kept_out(page)
    await page.goto(f"{demo.web}/settings/screening")
    await page.fill("#card_amount", "1.234")
    await page.get_by_role("button", name="Save the rules").click()
    await expect(page.locator("#card_amount")).to_have_accessible_description(
        re.compile("up to 2 decimals")
    )
    await nobody_is_kept_out(page)
    await page.goto(f"{demo.web}/reports?day=nonsense")
    await expect(page.locator("#day")).to_have_accessible_description(re.compile("no day"))
    await nobody_is_kept_out(page)
