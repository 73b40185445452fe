"""
A person buys something in the demo's shop, with a browser and with the keyboard alone.
"""

import re

from playwright.async_api import Page, expect
from running_demo import Demo, Watch

GOOD = "4111111111111111"
NO_FUNDS = "4000000000009995"
CVV = "926"
CUSTOMER = "grace@shopper.example"
TABS_MAX = 40


# Whether what has the focus shows it, by itself or by what it stands in.
FOCUS_SHOWS = """
() => {
  for (let each = document.activeElement; each !== document.body; each = each.parentElement) {
    const { outlineStyle, outlineWidth } = getComputedStyle(each);
    if (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2) return true;
  }
  return false;
}
"""


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what has the focus is *selector*, and see that it shows."""
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        if await page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            assert await page.evaluate(FOCUS_SHOWS), f"nobody sees the focus on {selector}"
            return
    raise AssertionError(f"no Tab leads to {selector}")


async def fill_in(page: Page, card: str) -> None:
    """Type everything that the form asks for, from field to field, and press Enter."""
    typed = {
        "name": "Grace Hopper",
        "email": CUSTOMER,
        "card_number": card,
        "card_expiry": "12/39",
        "card_cvv": CVV,
    }
    for name, value in typed.items():
        await tab_to(page, f"#{name}")
        await page.keyboard.press("Control+A")
        await page.keyboard.type(value)
    await page.keyboard.press("Enter")


async def nothing_of_the_card_is_left(page: Page, watch: Watch, card: str) -> None:
    """Neither on the page, nor in an address, nor where a browser keeps things."""
    assert card not in await page.content()
    assert not any(card in url or CVV in url for url in watch.urls)
    kept = await page.context.storage_state()
    assert kept == {"cookies": [], "origins": []}
    assert await page.evaluate("history.state") is None
    assert await page.evaluate("sessionStorage.length") == 0


async def test_an_order_is_paid_with_the_keyboard_alone(page: Page, watch: Watch, demo: Demo):
    """From the window to the confirmation number; nothing of the card stays behind."""
    await page.goto(demo.shop)
    await tab_to(page, ".skip")
    await tab_to(page, ".product h2 a")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/products/*")
    await tab_to(page, "#quantity")
    await page.keyboard.type("2")
    await tab_to(page, "button[type=submit]")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/checkout?*")
    await fill_in(page, GOOD)
    await page.wait_for_url("**/orders/*")

    await expect(page.locator("h1")).to_have_text("Thank you, Grace Hopper")
    number = page.locator("#confirmation-number")
    assert re.fullmatch(r"\d{12}", await number.get_attribute("value") or "")
    assert await number.inner_text() == await number.get_attribute("value")
    await expect(page.locator(".facts")).to_contain_text("Visa ending in 1111")
    await expect(page.locator(".sums")).to_contain_text("2 ×")
    await nothing_of_the_card_is_left(page, watch, GOOD)


async def test_going_back_does_not_bring_the_card_back(page: Page, watch: Watch, demo: Demo):
    """The form is empty where the card was: whoever sits down next cannot read or send it."""
    await page.goto(f"{demo.shop}/checkout?product=daybook&quantity=1")
    await fill_in(page, GOOD)
    await page.wait_for_url("**/orders/*")

    await page.go_back()

    assert await page.input_value("#card_number") == ""
    assert await page.input_value("#card_cvv") == ""
    assert await page.input_value("#card_expiry") == ""
    await nothing_of_the_card_is_left(page, watch, GOOD)


async def test_a_declined_card_is_explained_and_another_one_tried(
    page: Page, watch: Watch, demo: Demo
):
    """In words for the shopper; what was typed is there again, but for the card."""
    await page.goto(f"{demo.shop}/checkout?product=daybook&quantity=1")
    await fill_in(page, NO_FUNDS)
    await page.wait_for_url("**/orders/*")

    await expect(page.locator("h1")).to_have_text("Your card was not charged")
    await expect(page.locator(".lead")).to_contain_text(re.compile("fund|money|limit"))
    await expect(page.locator("#confirmation-number")).to_have_count(0)
    await nothing_of_the_card_is_left(page, watch, NO_FUNDS)
    await tab_to(page, ".actions .button:first-child")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/checkout?*")
    assert await page.input_value("#card_number") == ""
    await fill_in(page, GOOD)
    await page.wait_for_url("**/orders/*")
    await expect(page.locator("#confirmation-number")).to_have_count(1)


async def test_a_form_with_mistakes_says_which(page: Page, watch: Watch, demo: Demo):
    """A list of links to the fields, a word at each, and the card is not repeated."""
    wrong = GOOD[:-1] + "2"
    await page.goto(f"{demo.shop}/checkout?product=daybook&quantity=1")
    await page.fill("#name", "Grace Hopper")
    await page.fill("#email", "nobody")
    await page.fill("#card_number", wrong)
    await page.fill("#card_expiry", "12/20")
    await page.click("button[type=submit]")

    await expect(page).to_have_title(re.compile("^Error: Checkout"))
    links = page.locator(".faults a")
    await expect(links).to_have_count(4)
    for at in range(4):
        field = await links.nth(at).get_attribute("href") or ""
        described = await page.locator(field).get_attribute("aria-describedby") or ""
        fault = page.locator(f"#{described.split()[0]}")
        await expect(fault).to_have_text(await links.nth(at).inner_text())
        assert await page.locator(field).get_attribute("aria-invalid") == "true"
    assert await page.input_value("#name") == "Grace Hopper"
    assert await page.input_value("#card_number") == ""
    assert wrong not in await page.content()
    # A refused form is answered with 422, and Chromium notes that on the console.
    assert all("422" in each for each in watch.complaints)
    watch.complaints.clear()
