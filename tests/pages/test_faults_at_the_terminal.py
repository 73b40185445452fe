"""
What a clerk mistypes, and what a reader could not read: told while the card still stands there.
"""

from itertools import product

from barriers import nobody_is_kept_out
from playwright.async_api import Page, expect
from running_demo import Demo
from test_the_terminal import NUMBER, at_the_terminal


async def test_a_reader_that_could_not_read_says_so_at_the_card(
    signed_in: Page, demo: Demo
) -> None:
    """Whichever field had the focus: nothing of it stays there, with Enter behind it or without."""
    page = await at_the_terminal(signed_in, demo)
    said = page.locator("#number-said")
    errors = ("%E?", ";E?", "%E?;E?", "%E?;E?+E?", "%e?;e?")
    for error, (field, kept), end in product(
        errors, (("amount", "12.50"), ("note", "two 5% off; ")), ("Enter", None)
    ):
        await page.keyboard.press("Escape")
        await page.fill(f"#{field}", kept)
        await page.keyboard.type(error, delay=1)
        if end:
            await page.keyboard.press(end)

        await expect(said).to_have_text(
            "The reader could not read the card. Swipe it again, or type the number."
        )
        await expect(page.locator("#number")).to_be_focused()
        await expect(page.locator("#number")).to_have_value("")
        await expect(page.locator("#number")).to_have_attribute("aria-invalid", "true")
        await expect(page.locator(f"#{field}")).to_have_value(kept)
    await nobody_is_kept_out(page)


async def test_a_card_of_which_one_track_was_read_is_taken(signed_in: Page, demo: Demo) -> None:
    """The reader's word about the other stays nowhere; what is typed like it does."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus("#note")
    await page.keyboard.type(f"%E?;{NUMBER}=30121010000000000?", delay=1)
    await page.keyboard.press("Enter")

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    await expect(page.locator("#note")).to_have_value("")
    await page.focus("#note")
    await page.keyboard.type("100%Extra")
    await expect(page.locator("#note")).to_have_value("100%Extra")
