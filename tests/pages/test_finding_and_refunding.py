"""
A payment is found by its last four and refunded in part, without a mouse.
"""

import re

from playwright.async_api import Page, expect
from running_demo import Demo

TABS_MAX = 60
FOCUSED = """
([selector, words]) => {
  const focused = document.activeElement;
  return (focused?.matches(selector) && focused.textContent.includes(words)) ?? false;
}
"""


async def tab_to(page: Page, selector: str, words: str = "") -> None:
    """Press Tab until something that fits *selector* and has these *words* is focused."""
    for _ in range(TABS_MAX):
        if await page.evaluate(FOCUSED, [selector, words]):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {selector}")


async def test_a_payment_is_found_and_refunded_by_keyboard_alone(
    signed_in: Page, demo: Demo
) -> None:
    """The slash, four digits, Enter; Tab to the payment, to Refund, to the amount."""
    page = signed_in
    await page.goto(f"{demo.web}/payments")
    await page.keyboard.press("/")
    await page.keyboard.type("4242")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Looked for")).to_contain_text("cards that end in 4242")

    await tab_to(page, "tbody tr:last-child a")  # The demo's own, which is the oldest.
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/payments/pay_*")
    await expect(page.locator("ol.road")).to_contain_text("It was claimed, and counts")
    await expect(page.locator("ol.road")).not_to_contain_text("was refunded")

    await tab_to(page, "details.doing > summary", "Refund")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator("#refund-amount")).to_be_focused()
    await page.keyboard.press("Control+A")
    await page.keyboard.type("1.50")
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("status")).to_contain_text("The refund is on its way")
    await expect(page.locator("ol.road")).to_contain_text(re.compile(r"1\.50 \w+ was refunded"))
    await page.goto(f"{demo.web}/today")
    await expect(page.locator(".figure", has_text="Refunded today")).to_contain_text("1.50")


async def test_on_a_telephone_the_kind_of_a_payment_stands_under_its_badge(
    signed_in: Page, demo: Demo
) -> None:
    """At the right edge, and not under the name of the cell."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal?kind=verification")
    for field, text in {"number": "4242424242424242", "expiry": "12/39", "cvv": "926"}.items():
        await page.fill(f"#{field}", text)
    await page.click("#charge")
    await page.wait_for_url("**/terminal/sales/*")

    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{demo.web}/payments?kind=verification")

    badge = await page.locator(".payments td .badge").first.bounding_box()
    kind = page.locator(".payments td .badge + .small").first
    await expect(kind).to_have_text("Card check")
    right = await kind.evaluate(
        "each => { const text = document.createRange(); text.selectNodeContents(each);"
        " const { right, top } = text.getBoundingClientRect(); return { right, top }; }"
    )
    assert badge
    assert abs(right["right"] - badge["x"] - badge["width"]) < 2
    assert right["top"] >= badge["y"] + badge["height"] - 2


async def test_back_after_a_refund_that_was_interrupted_offers_no_second_one(
    signed_in: Page, demo: Demo
) -> None:
    """Before it, the form held what was typed; after it, the page does not say nothing was done."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal")
    order = {"amount": "701.00", "number": "4242424242424242", "expiry": "12/39", "cvv": "926"}
    for field, text in order.items():
        await page.fill(f"#{field}", text)
    await page.click("#charge")
    await page.wait_for_url("**/terminal/sales/*")
    await page.goto(f"{demo.web}/payments?q=701.00")
    await page.locator("tbody a[href^='/payments/pay_']").first.click()
    await page.wait_for_url("**/payments/pay_*")
    payment = page.url.split("?")[0]

    await page.locator("details.doing > summary", has_text="Refund").click()
    await page.fill("#refund-amount", "600.00")
    await page.locator("form[action$=refund] button").click()
    await page.wait_for_url(re.compile("/step-up"))
    await page.fill("#password", demo.owner[1])
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    await expect(page.locator("#refund-amount")).to_have_value("600.00")
    await page.locator("form[action$=refund] button").click()
    await expect(page.get_by_role("status")).to_contain_text("The refund is on its way")

    await page.go_back()
    await page.wait_for_url(payment)
    await expect(page.locator("ol.road")).to_contain_text("600.00 USD was refunded")
    assert await page.get_by_text("Nothing is changed yet").count() == 0
    assert await page.locator("#refund-amount").input_value() == "101.00"
