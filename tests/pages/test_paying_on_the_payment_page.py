"""
A person pays on the gateway's payment page, by keyboard, with and without JavaScript.
"""

import re
from collections.abc import AsyncIterator

import pytest_asyncio
from barriers import nobody_is_kept_out
from playwright.async_api import Browser, Page, expect
from running_demo import Demo, Watch
from test_buying_in_the_shop import tab_to

GOOD = "4111111111111111"
NO_FUNDS = "4000000000009995"
CVV = "926"


@pytest_asyncio.fixture(loop_scope="session")
async def plain(browser: Browser, demo: Demo) -> AsyncIterator[Page]:
    """A browser that runs no scripts; it is watched like every other."""
    context = await browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    context.set_default_timeout(10_000)
    page = await context.new_page()
    watch = Watch(page, demo)
    yield page
    watch.saw_nothing_wrong()
    assert not any(GOOD in url or f"={CVV}" in url for url in watch.urls)
    await context.close()


async def order(page: Page, demo: Demo) -> None:
    """Order a daybook in the shop, and come to the payment page."""
    await page.goto(f"{demo.shop}/checkout?product=daybook&quantity=1")
    await page.fill("#name", "Grace Hopper")
    await page.fill("#email", "grace@shopper.example")
    await page.get_by_role("button", name="Pay on the payment page").click()
    await page.wait_for_url(f"{demo.checkout}/c/*")


async def type_card(page: Page, number: str) -> None:
    """Type a card from field to field, and press Enter on the last one."""
    for field, text in (("card_number", number), ("card_expiry", "1239"), ("card_code", CVV)):
        await tab_to(page, f"#{field}")
        await page.keyboard.type(text)
    await page.keyboard.press("Enter")


async def test_a_keyboard_pays_without_javascript_and_comes_back_to_the_shop(
    plain: Page, demo: Demo
):
    """From the shop's form to the page, the number, and the shop's own page of the order."""
    await order(plain, demo)
    await type_card(plain, GOOD)

    await expect(plain.locator("h1")).to_contain_text("Paid. Thank you.")
    number = await plain.locator("#confirmation-number").get_attribute("value") or ""
    assert re.fullmatch(r"\d{12}", number)
    assert GOOD not in await plain.content()
    await tab_to(plain, ".outcome a.button")
    await plain.keyboard.press("Enter")
    await plain.wait_for_url(f"{demo.shop}/orders/*")
    await expect(plain.locator("h1")).to_have_text("Thank you, Grace Hopper")
    assert await plain.locator("#confirmation-number").get_attribute("value") == number
    assert "signature" not in plain.url


async def test_a_declined_card_is_told_and_another_one_pays(page: Page, watch: Watch, demo: Demo):
    """The number is grouped as it is typed, and gone afterwards; nobody is kept out."""
    await order(page, demo)
    await nobody_is_kept_out(page)
    await page.locator("#card_number").press_sequentially("378282246310005")
    assert await page.input_value("#card_number") == "3782 822463 10005"
    await expect(page.locator("#brand-seen")).to_have_text("American Express")
    await page.fill("#card_number", "")
    await page.reload()
    await type_card(page, NO_FUNDS)

    await expect(page.get_by_role("alert")).to_contain_text("Your card was not charged")
    await nobody_is_kept_out(page)
    for field in ("card_number", "card_expiry", "card_code"):
        assert await page.input_value(f"#{field}") == ""
    await type_card(page, GOOD)
    await expect(page.locator("#confirmation-number")).to_have_count(1)
    await nobody_is_kept_out(page)
    await page.go_back()
    assert GOOD not in (await page.content()).replace(" ", "")
    assert not any(GOOD in url or f"={CVV}" in url for url in watch.urls)


async def test_a_card_in_wide_digits_is_read(page: Page, watch: Watch, demo: Demo):
    """As some keyboards write them; they vanished as they were pasted."""
    await order(page, demo)
    for name, text in (("number", GOOD), ("expiry", "1239"), ("code", CVV)):
        await page.focus(f"#card_{name}")
        await page.keyboard.insert_text("".join(chr(ord(each) + 0xFEE0) for each in text))
    assert await page.input_value("#card_number") == "4111 1111 1111 1111"
    assert await page.input_value("#card_expiry") == "12/39"
    await page.keyboard.press("Enter")

    await expect(page.locator("#confirmation-number")).to_have_count(1)


async def test_a_mistake_is_told_before_the_card_is_sent_and_nothing_typed_is_lost(
    page: Page, watch: Watch, demo: Demo
):
    """Every one at its field, the first with the focus; what is right by now is wrong no more."""
    await order(page, demo)
    own = page.url
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.url) if each.method == "POST" else None)
    for field, text in (("number", GOOD[:-1] + "2"), ("expiry", "13/39"), ("code", "92")):
        await page.locator(f"#card_{field}").press_sequentially(text)
    await page.fill("#postal_code", "9#")
    await page.keyboard.press("Enter")

    for field, words in (
        ("card_number", "a digit is wrong, or two are swapped"),
        ("card_expiry", "Enter a month from 01 to 12"),
        ("card_code", "Enter the 3 digits on the back"),
        ("postal_code", "Use letters and digits"),
    ):
        await expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
        await expect(page.locator(f"#{field}")).to_have_accessible_description(re.compile(words))
    await expect(page.locator("#card_number")).to_be_focused()
    assert (await page.input_value("#card_number")).replace(" ", "") == GOOD[:-1] + "2"
    assert await page.input_value("#card_code") == "92"
    assert sent == []
    await nobody_is_kept_out(page)

    await page.fill("#card_number", GOOD)
    await expect(page.locator("#card_number")).not_to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#card_number-said")).to_have_count(0)
    await page.fill("#card_expiry", "12/39")
    await page.fill("#card_code", CVV)
    await page.fill("#postal_code", "97201")
    await page.keyboard.press("Enter")
    await expect(page.locator("#confirmation-number")).to_have_count(1)
    assert sent == [own]


async def test_a_card_number_in_the_name_is_told_there_and_pays_nothing(
    page: Page, watch: Watch, demo: Demo
):
    """Before anything is sent; once it is gone the card pays."""
    await order(page, demo)
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.url) if each.method == "POST" else None)
    await page.fill("#card_name", "4242 4242 4242 4242")
    await type_card(page, GOOD)

    name = page.locator("#card_name")
    await expect(name).to_be_focused()
    await expect(name).to_have_attribute("aria-invalid", "true")
    await expect(name).to_have_accessible_description("A card's number stands here: leave it out.")
    assert sent == []

    await name.fill("Grace Hopper")
    await expect(name).not_to_have_attribute("aria-invalid", "true")
    await page.keyboard.press("Enter")
    await expect(page.locator("#confirmation-number")).to_have_count(1)


async def test_a_card_that_was_typed_is_gone_when_the_page_was_left(
    page: Page, watch: Watch, demo: Demo
):
    """By whatever way one comes back, also from the cache of whole pages."""
    await order(page, demo)
    fields = ("#card_number", "#card_expiry", "#card_code")
    for event in ("pagehide", "pageshow"):
        for field, text in zip(fields, (GOOD, "12/39", CVV), strict=True):
            await page.fill(field, text)
        await page.evaluate(
            "name => dispatchEvent(new PageTransitionEvent(name, { persisted: true }))", event
        )
        assert [await page.input_value(field) for field in fields] == [""] * 3

    await page.fill("#card_number", GOOD)
    await page.goto(demo.shop)
    await page.go_back()

    assert [await page.input_value(field) for field in fields] == [""] * 3


async def test_an_expiry_with_its_whole_year_is_cut_nowhere(signed_in: Page, demo: Demo) -> None:
    """Cut to `12 / 20` it had expired: on the payment page and on the terminal."""
    page = signed_in
    await order(page, demo)
    await page.locator("#card_expiry").press_sequentially("12 / 2039")
    await expect(page.locator("#card_expiry")).to_have_value("12 / 2039")
    await page.locator("#card_number").focus()
    await expect(page.locator("#card_expiry-said")).to_have_count(0)

    await page.goto(f"{demo.web}/terminal")
    await page.locator("#expiry").press_sequentially("12 / 2039", delay=90)
    await expect(page.locator("#expiry")).to_have_value("12 / 2039")
    await page.locator("#number").focus()
    await expect(page.locator("#expiry-said")).to_have_count(0)


async def test_two_tabs_pay_once(page: Page, watch: Watch, demo: Demo):
    """Whoever presses second sees the number of the first."""
    await order(page, demo)
    other = await page.context.new_page()
    await other.goto(page.url)
    for each in (page, other):
        await each.fill("#card_number", GOOD)
        await each.fill("#card_expiry", "12/39")
        await each.fill("#card_code", CVV)

    for each in (page, other):
        await each.locator(".pay-button").click(no_wait_after=True)
    numbers = set()
    for each in (page, other):
        await expect(each.locator("#confirmation-number")).to_have_count(1)
        numbers.add(await each.locator("#confirmation-number").get_attribute("value"))

    assert len(numbers) == 1


async def test_a_link_is_made_copied_and_paid(signed_in: Page, demo: Demo):
    """By the owner, and then by whoever has it."""
    page = signed_in
    await page.goto(f"{demo.web}/links/new")
    await page.fill("#description", "Summer concert, one seat")
    await page.fill("#amount", "25")
    await page.get_by_role("button", name="Make the link").click()
    made, address = page.url, await page.input_value("#address")
    assert await page.locator(".code img").evaluate("each => each.naturalWidth > 0")
    await page.goto(address)
    await nobody_is_kept_out(page)
    await page.locator(".pay-button").click()
    await type_card(page, GOOD)
    number = await page.locator("#confirmation-number").inner_text()

    await page.goto(made.partition("?")[0])

    await expect(page.locator("table")).to_contain_text(number)
