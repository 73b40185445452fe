"""
What a clerk mistypes, and what a reader could not read: told while the card still stands there.
"""

from itertools import product

import pytest
from barriers import nobody_is_kept_out
from playwright.async_api import Page, expect
from readers import reads
from running_demo import Demo, sign_in
from test_the_terminal import NUMBER, RESULT_TIMEOUT_MS, SALE, at_the_terminal, typed

GROUPED = "5555 5555 5555 4444"


async def test_all_faults_are_said_at_once_and_the_card_stays(signed_in: Page, demo: Demo) -> None:
    """Each at its field, before anything is sent; what is mended then is charged."""
    page = await at_the_terminal(signed_in, demo)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await typed(page, "10", NUMBER, "1230", "123", "97201", "улица Ленина 5", "nobody", "für Zoë")
    await typed(page, "", "", "11")
    await page.keyboard.press("Control+Enter")

    for field, words in {
        "street": "Type the street in the letters A to Z, or only its number",
        "email": "Write an address such as ada@example.com.",
        "order": "type it without accents",
        "tax": "Tax and tip are parts of the amount: together they are more.",
    }.items():
        await expect(page.locator(f"#{field}-said")).to_contain_text(words)
        await expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
        described = await page.locator(f"#{field}").get_attribute("aria-describedby")
        assert f"{field}-said" in (described or "")
    await expect(page.locator("#street")).to_be_focused()
    await nobody_is_kept_out(page)
    for field, value in {"number": GROUPED, "expiry": "12/30", "cvv": "123"}.items():
        await expect(page.locator(f"#{field}")).to_have_value(value)
    assert sent == []

    for field, value in {
        "street": "Hauptstraße 5",
        "email": "",
        "order": "T-70",
        "tax": "1",
    }.items():
        await page.fill(f"#{field}", value)
    await page.check("#keep")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#name")).to_be_focused()
    await expect(page.locator("#name-said")).to_contain_text("name or e-mail, to find the card")
    await expect(page.locator("#number")).to_have_value(GROUPED)
    await expect(page.locator("[aria-invalid]")).to_have_count(1)
    assert sent == []
    await page.keyboard.type("Ada")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#result")).to_have_text("Paid: 10.00 USD")


async def test_what_was_wrong_only_beside_another_field_is_right_with_it(
    signed_in: Page, demo: Demo
) -> None:
    """As soon as that field is left."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#tip", "11")
    await page.fill("#amount", "10")
    await page.focus("#tip")
    await page.keyboard.press("Enter")
    await expect(page.locator("#tip-said")).to_contain_text("together they are more")

    await page.fill("#amount", "12")
    await page.focus("#note")

    await expect(page.locator("#tip-said")).to_have_text("Part of the amount.")
    await expect(page.locator("[aria-invalid]")).to_have_count(0)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("tax", "$1"),
        ("tip", "$1"),
        ("street", "улица 5"),
        ("email", "nobody"),
        ("order", "für Zoë"),
        ("note", "two\u200bbooks"),
    ],
)
async def test_a_field_that_was_wrong_and_is_emptied_is_right(
    signed_in: Page, demo: Demo, field: str, wrong: str
) -> None:
    """As soon as it is left: it may be empty."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill(f"#{field}", wrong)
    await page.press(f"#{field}", "Enter")
    await expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")

    await page.fill(f"#{field}", "")
    await page.press(f"#{field}", "Enter")

    await expect(page.locator("[aria-invalid]")).to_have_count(0)


@pytest.mark.parametrize("end", ["a key", "contextmenu", "pointercancel", "blur", "a click"])
async def test_a_press_whose_release_is_never_seen_ends_with_what_comes_next(
    signed_in: Page, demo: Demo, end: str
) -> None:
    """A menu or a list that opens takes the release; what was left before is still checked."""
    page = await at_the_terminal(signed_in, demo)
    said = page.locator("#email-said")
    await page.fill("#email", "nobody")
    await page.dispatch_event("#note", "mousedown")
    await page.focus("#note")
    await expect(page.locator("#email")).not_to_have_attribute("aria-invalid", "true")

    if end == "a key":
        await page.keyboard.press("Shift")
    elif end == "a click":
        await page.click("#note")
    elif end == "blur":
        await page.evaluate("window.dispatchEvent(new Event('blur'))")
    else:
        await page.dispatch_event("#note", end)

    await expect(said).to_have_text("Write an address such as ada@example.com.")


async def test_what_another_field_makes_wrong_is_said_at_once(signed_in: Page, demo: Demo) -> None:
    """A tax beside a tip that was there before, and an amount in a currency with no decimals."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#amount", "10.50")
    await page.fill("#tip", "1.50")
    await page.fill("#tax", "9.50")
    await page.focus("#note")
    await expect(page.locator("#tip-said")).to_contain_text("Tax and tip are parts of the amount")
    await page.fill("#tax", "9")
    await page.focus("#note")
    await expect(page.locator("[aria-invalid]")).to_have_count(0)

    await page.evaluate(
        """() => {
          const yen = new Option("JPY", "JPY");
          yen.dataset.decimals = "0";
          document.getElementById("currency").add(yen);
        }"""
    )
    await page.select_option("#currency", "JPY")
    await expect(page.locator("#amount-said")).to_have_text(
        "Write a whole amount: JPY has no decimals."
    )


async def test_words_at_a_field_do_not_move_what_is_clicked(page: Page, demo: Demo) -> None:
    """They come after the click, also where the button stands at the end of the form."""
    await page.set_viewport_size({"width": 1280, "height": 600})  # Too low for a bar that stays.
    await sign_in(page, demo)
    await at_the_terminal(page, demo)
    await page.fill("#email", "nobody")
    await page.locator("#keep").click()
    await expect(page.locator("#keep")).to_be_checked()
    await expect(page.locator("#email-said")).to_have_text(
        "Write an address such as ada@example.com."
    )

    await page.fill("#tip", "$1")
    await page.locator("#charge").click()

    await expect(page.locator("#amount")).to_be_focused()
    await expect(page.locator("#number-said")).to_be_visible()


async def test_a_voice_code_is_missed_before_anything_is_sent(signed_in: Page, demo: Demo) -> None:
    """And one with other signs than letters and digits."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal?kind=forced")
    await expect(page.locator("#short-keys")).to_be_visible()
    await typed(page, "10", "", NUMBER, "1230")
    await page.keyboard.press("Control+Enter")

    said = page.locator("#voice_code-said")
    await expect(said).to_have_text("Type the code that the issuer said on the telephone.")
    await expect(page.locator("#voice_code")).to_be_focused()
    await page.keyboard.type("H7-K2")
    await page.keyboard.press("Control+Enter")
    await expect(said).to_have_text("The issuer's code has letters and digits only.")
    await expect(page.locator("#number")).to_have_value(GROUPED)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "Write more than zero: 0.01 USD or more."),
        ("0.001", "Write up to 2 decimals: USD has no more."),
        ("-1", "Write the amount without a minus sign, such as 500.00."),
        ("$42", "Write the amount without currency sign or letters, such as 500.00."),
        ("1 000,00", "Write thousands without a separator, like 1000.00."),
    ],
)
async def test_an_amount_says_what_is_wrong_with_it(
    signed_in: Page, demo: Demo, amount: str, said: str
) -> None:
    """When it is left."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, amount, NUMBER)

    await expect(page.locator("#amount-said")).to_have_text(said)
    await expect(page.locator("#charge")).to_have_text("Charge")


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
        await reads(page, error)
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
    await reads(page, f"%E?;{NUMBER}=30121010000000000?", ends=True)

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    await expect(page.locator("#note")).to_have_value("")
    await page.focus("#note")
    await page.keyboard.type("100%Extra")
    await expect(page.locator("#note")).to_have_value("100%Extra")


async def test_a_card_swiped_beside_a_saved_one_stays_nowhere(signed_in: Page, demo: Demo) -> None:
    """The words above the form say how to charge it; what was typed stays."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "74.10", NUMBER, "1230")
    await page.fill("#email", "swiped@shopper.example")
    await page.check("#keep")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await page.goto(f"{demo.web}/terminal/cards?q=swiped")
    await page.locator("a[href*='/terminal?card=']").first.click()
    await page.wait_for_url(lambda url: "card=crd_" in url)
    await expect(page.locator("#short-keys")).to_be_visible()
    notice = page.locator("#faults .notice")
    tracks = {
        f";{NUMBER}=30121010000000000?": "A saved card is chosen",
        "%E?;E?": "The reader could not read the card",
    }
    for (track, words), end in product(tracks.items(), ("Enter", None)):
        await page.keyboard.press("Escape")
        await page.fill("#note", "two books")
        await reads(page, track)
        if end:
            await page.keyboard.press(end)

        await expect(notice).to_contain_text(words)
        await expect(notice).to_be_focused()
        await expect(page.locator("#note")).to_have_value("two books")
        values = await page.eval_on_selector_all("input", "all => all.map(each => each.value)")
        assert not any(NUMBER in each or "E?" in each for each in values)
    await nobody_is_kept_out(page)
