"""
A card is swiped where none is taken, and somebody types what a reader could have begun with.
"""

import pytest
from playwright.async_api import Page, expect
from running_demo import Demo
from test_the_terminal import NUMBER, RESULT_TIMEOUT_MS, SALE, at_the_terminal, typed

READER_MS = 4
HAND_MS = 120


def tracks(name: str) -> str:
    """Return both tracks of a card with this name."""
    return f"%B{NUMBER}^{name}^30121010000?;{NUMBER}=30121010000?"


async def swipe(page: Page, name: str) -> None:
    """Type as a reader does."""
    await page.keyboard.type(tracks(name), delay=READER_MS)
    await page.keyboard.press("Enter")


async def sell(page: Page, demo: Demo, amount: str) -> str:
    """Sell something, and return the address of what came of it."""
    await at_the_terminal(page, demo)
    await typed(page, amount, NUMBER, "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#announce")).not_to_be_empty()
    return page.url


@pytest.mark.parametrize("name", ["MURRAY/BILL", "HENRY/NINA"])
async def test_no_letter_of_a_track_answers_the_question(
    signed_in: Page, demo: Demo, name: str
) -> None:
    """Whether the card is charged twice is not for the cardholder's name to say."""
    amount = f"{70 + len(name)}.41"
    await sell(signed_in, demo, amount)
    asked = await sell(signed_in, demo, amount)
    await expect(signed_in.locator("#result")).to_contain_text("charge again?")

    await swipe(signed_in, name)

    await expect(signed_in.locator(".notice.swiped")).to_contain_text("nothing of it was kept")
    await expect(signed_in.locator("#result")).to_contain_text("charge again?")
    assert signed_in.url == asked
    assert NUMBER not in await signed_in.content()
    values = await signed_in.eval_on_selector_all("input", "all => all.map(each => each.value)")
    assert not any("^" in each or NUMBER in each for each in values)
    await signed_in.keyboard.press("n")
    await expect(signed_in.locator("#result")).to_contain_text("Nothing was taken.")


async def test_letters_that_come_like_a_readers_press_nothing(signed_in: Page, demo: Demo) -> None:
    """A reader may be set up without the signs that tracks begin with."""
    await sell(signed_in, demo, "83.42")
    asked = await sell(signed_in, demo, "83.42")
    await signed_in.evaluate(
        """() => { for (const key of "4YNY")
             document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true})); }"""
    )

    await expect(signed_in.locator("#result")).to_contain_text("charge again?")
    assert signed_in.url == asked


@pytest.mark.parametrize("page_of", ["paid", "refund", "cards"])
async def test_a_swipe_where_no_card_is_taken_leads_nowhere(
    signed_in: Page, demo: Demo, page_of: str
) -> None:
    """Neither to a receipt, nor into its address, nor into a field; and it says so."""
    if page_of == "paid":
        at = await sell(signed_in, demo, "84.43")
    else:
        at = f"{demo.web}/terminal/{page_of}"
        await signed_in.goto(at)

    await swipe(signed_in, "NINA/PENNE")

    await expect(signed_in.locator(".notice.swiped")).to_contain_text("nothing of it was kept")
    assert signed_in.url == at
    values = await signed_in.eval_on_selector_all("input", "all => all.map(each => each.value)")
    assert not any("^" in each or NUMBER in each for each in values)


async def test_a_reader_that_ends_without_enter_is_understood(signed_in: Page, demo: Demo) -> None:
    page = await at_the_terminal(signed_in, demo)
    await page.keyboard.type(tracks("BYRON/ADA"), delay=READER_MS)

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")


@pytest.mark.parametrize(
    ("field", "text", "key", "left"),
    [
        ("note", "less 50%", "Tab", "less 50%"),
        ("note", "less 50%", "Enter", "less 50%"),
        ("note", "100%", "Backspace", "100"),
        ("street", "Unit 5;", "Tab", "Unit 5;"),
        ("note", "50%;60%", "Tab", "50%;60%"),
        ("email", "ada%b;", "Tab", "ada%b;"),
    ],
)
async def test_what_a_hand_types_stays_where_it_was_typed(
    signed_in: Page, demo: Demo, field: str, text: str, key: str, left: str
) -> None:
    """At once, when another key or the mouse goes on."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus(f"#{field}")
    await page.keyboard.type(text)
    await page.keyboard.press(key)

    await expect(page.locator(f"#{field}")).to_have_value(left)
    if key != "Backspace":
        await expect(page.locator(f"#{field}")).not_to_be_focused()


async def test_an_order_number_typed_by_hand_is_no_swipe(signed_in: Page, demo: Demo) -> None:
    """Nor does a click elsewhere take a part of it along."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "85.44", NUMBER)
    await page.focus("#order")
    await page.keyboard.type("A;20261128-7", delay=HAND_MS)
    await page.keyboard.type(";")
    await page.click("#note")

    await expect(page.locator("#order")).to_have_value("A;20261128-7;")
    await expect(page.locator("#note")).to_have_value("")
    await expect(page.locator("#number")).to_have_value("5555 5555 5555 4444")


async def test_another_kind_takes_along_what_was_typed(signed_in: Page, demo: Demo) -> None:
    """All that both forms have but the card, and it says so."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "86.45", NUMBER, "1230")
    await page.fill("#note", "two books")
    await page.keyboard.press("F4")
    await page.wait_for_url(lambda url: "kind=authorization" in url and "lost" not in url)

    await expect(page.locator("#amount")).to_have_value("86.45")
    await expect(page.locator("#note")).to_have_value("two books")
    await expect(page.locator("#number")).to_have_value("")
    await expect(page.locator("#faults .notice")).to_contain_text("never a card")
    await page.keyboard.press("Enter")
    await expect(page.locator("#number")).to_be_focused()
