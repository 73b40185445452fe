"""
A clerk at the Virtual Terminal, in a real browser: by keyboard, by swipe, and with what goes wrong.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from barriers import nobody_is_kept_out
from playwright.async_api import Browser, Page, expect
from readers import reads
from running_demo import Demo, sign_in

NUMBER = "5555555555554444"
TRACKS = f"%B{NUMBER}^BYRON/ADA^30121010000000000000?;{NUMBER}=30121010000000000?"
SALE = re.compile(r"/terminal/sales/tsl_[0-9a-f]{32}$")
FORM = re.compile(r"/terminal$")
CONFIRMATION = re.compile(r"\d{4} \d{4} \d{4}")
RESULT_TIMEOUT_MS = 25_000
SLOW_MS = 2500
ALONE_SECONDS = 0.25  # More than twice what a letter of a reader has beside it (terminal-keys.js).


@contextmanager
def slow_issuers(demo: Demo, milliseconds: int = SLOW_MS) -> Iterator[None]:
    """Let issuers think for a while."""
    _fault(demo, str(milliseconds))
    try:
        yield
    finally:
        _fault(demo, "50")


def _fault(demo: Demo, milliseconds: str) -> None:
    words = ["fault", "set", "issuer_delay_ms", milliseconds, "--state", str(demo.folder)]
    rail = "from counterfoil_rail.cli import main; main()"
    subprocess.run([sys.executable, "-c", rail, *words], check=True)


async def typed(page: Page, *fields: str) -> None:
    """Press the keys of each field, and Enter behind each but the last."""
    for number, text in enumerate(fields):
        if number:
            await page.keyboard.press("Enter")
        await page.keyboard.type(text)


async def pressed_alone(page: Page, letter: str) -> None:
    """Press a key as a clerk does: not in one go with others, nor before the page was seen."""
    await asyncio.sleep(ALONE_SECONDS)
    await page.keyboard.press(letter)


async def at_the_terminal(page: Page, demo: Demo) -> Page:
    """Open the terminal, and wait until its script has the keys."""
    await page.goto(f"{demo.web}/terminal")
    await expect(page.locator("#short-keys")).to_be_visible()
    await expect(page.locator("#amount")).to_be_focused()
    return page


async def test_a_telephone_order_takes_a_keyboard_and_nothing_else(
    signed_in: Page, demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the empty form to the confirmation number and on to the next customer."""
    page = await at_the_terminal(signed_in, demo)
    keys = page.keyboard
    await keys.press("F1")
    await expect(page.locator("#keys")).to_be_visible()
    await keys.press("Escape")
    await typed(page, "1")
    await keys.press("Escape")
    await expect(page.locator("#amount")).to_have_value("")
    began = time.monotonic()

    await typed(page, "61.07", NUMBER, "1230", "123", "97201", "10 Main Street")
    await typed(page, "", "ada@shopper.example", "T-61", "Two books", "5", "1.07", "", "Ada")
    await expect(page.locator("#charge")).to_have_text("Charge 61.07 USD")
    await expect(page.locator("#brand")).to_have_text("Mastercard")
    await keys.press("Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)

    await expect(page.locator("#result")).to_have_text("Paid: 61.07 USD")
    await expect(page.locator("#confirmation")).to_have_text(CONFIRMATION)
    await expect(page.locator("#announce")).to_have_text(CONFIRMATION)
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n  a telephone order by keyboard alone, the form's thirteen fields: {took:.1f} s")
    assert NUMBER not in await page.content()
    await nobody_is_kept_out(page)
    await pressed_alone(page, "n")
    await page.wait_for_url(FORM)
    await expect(page.locator("#amount")).to_be_focused()


async def test_a_card_swiped_into_the_amount_is_taken_and_not_typed(
    signed_in: Page, demo: Demo
) -> None:
    """Nor into any other field; the page never holds its track or its number."""
    page = await at_the_terminal(signed_in, demo)
    await page.evaluate(
        """() => {
          window.seen = [];
          const look = () => seen.push(document.documentElement.outerHTML,
            ...[...document.querySelectorAll("input")].map(each => each.value));
          new MutationObserver(look).observe(document, {
            subtree: true, childList: true, attributes: true, characterData: true});
          document.addEventListener("input", look);
        }"""
    )
    await typed(page, "62.08")
    await reads(page, TRACKS, ends=True)

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    await expect(page.locator("#amount")).to_have_value("62.08")
    await expect(page.locator("#brand")).to_have_text("Mastercard, swiped")
    seen = "\n".join(await page.evaluate("window.seen"))
    for secret in (NUMBER, "BYRON", "30121010"):
        assert secret not in seen

    await page.focus("#note")
    await page.keyboard.type("100% wool; ")
    await reads(page, TRACKS, ends=True)
    await expect(page.locator("#note")).to_have_value("100% wool; ")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#result")).to_have_text("Paid: 62.08 USD")
    await expect(page.get_by_text("4444, swiped")).to_be_visible()


async def test_a_declined_card_leads_to_another_with_all_else_kept(
    signed_in: Page, demo: Demo
) -> None:
    """And what the customer is told is not all that the clerk reads."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "63.09", "4000000000009995", "1230", "123", "97201")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#result")).to_have_text("Declined: 63.09 USD")
    await expect(page.locator(".tell")).to_contain_text("not enough money")
    await nobody_is_kept_out(page)

    await pressed_alone(page, "t")
    await page.wait_for_url(re.compile("again="))
    await expect(page.locator("#amount")).to_have_value("63.09")
    await expect(page.locator("#postal_code")).to_have_value("97201")
    await expect(page.locator("#number")).to_have_value("")
    await typed(page, "", NUMBER, "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)

    await expect(page.locator("#result")).to_have_text("Paid: 63.09 USD")


async def test_on_a_telephone_what_comes_next_is_as_wide_as_what_came_of_it(
    signed_in: Page, demo: Demo
) -> None:
    """For a thumb; the last sales tell amount and state in one line."""
    page = signed_in
    await at_the_terminal(page, demo)
    await typed(page, "63.20", "4000000000009995", "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await page.set_viewport_size({"width": 360, "height": 740})

    card, button = page.locator(".outcome"), page.locator(".next .button").first
    wide, beside = await card.bounding_box(), await button.bounding_box()
    assert wide is not None
    assert beside is not None
    assert abs(wide["width"] - beside["width"]) < 1
    await expect(button.locator("kbd")).to_be_hidden()
    await page.goto(f"{demo.web}/terminal")
    sale = page.locator(".lately li").first
    amount, state = (
        await sale.locator("a").bounding_box(),
        await sale.locator(".badge").bounding_box(),
    )
    assert amount is not None
    assert state is not None
    assert abs(amount["y"] + amount["height"] / 2 - state["y"] - state["height"] / 2) < 6


async def test_what_looks_like_a_duplicate_is_asked_about_once(signed_in: Page, demo: Demo) -> None:
    """A key says yes."""
    page = signed_in
    for said in ("Paid: 64.10 USD", "charge again?"):
        await at_the_terminal(page, demo)
        await typed(page, "64.10", NUMBER, "1230")
        await page.keyboard.press("Control+Enter")
        await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
        await expect(page.locator("#result")).to_contain_text(said)
    await nobody_is_kept_out(page)
    asked = page.url

    await pressed_alone(page, "y")
    await page.wait_for_url(lambda url: url != asked, timeout=RESULT_TIMEOUT_MS)

    await expect(page.locator("#result")).to_have_text("Paid: 64.10 USD")


async def test_a_double_that_is_not_charged_says_so_and_leads_to_the_next(
    signed_in: Page, demo: Demo
) -> None:
    """N says no, and N once more begins anew; the list calls it what it was."""
    page = signed_in
    for said in ("Paid: 64.20 USD", "charge again?"):
        await at_the_terminal(page, demo)
        await typed(page, "64.20", NUMBER, "1230")
        await page.keyboard.press("Control+Enter")
        await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
        await expect(page.locator("#result")).to_contain_text(said)

    await pressed_alone(page, "n")
    await expect(page.locator("#result")).to_have_text("Not charged. Nothing was taken.")
    await expect(page.locator("#announce")).to_have_text("Not charged. Nothing was taken.")
    await expect(page.locator(".outcome")).to_contain_text("64.20 USD on Mastercard")
    await nobody_is_kept_out(page)
    await pressed_alone(page, "n")

    await page.wait_for_url(FORM)
    await expect(page.locator(".lately li").first).to_contain_text("Asked, not charged")


async def test_an_amount_that_is_too_large_says_what_the_most_is(
    signed_in: Page, demo: Demo
) -> None:
    """Before anything is sent; the button names no such amount."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "10000000000", NUMBER)

    await expect(page.locator("#amount-said")).to_have_text(
        "This is too large: write at most 9,999,999,999.99 USD."
    )
    await expect(page.locator("#charge")).to_have_text("Charge")


async def test_faults_are_said_at_their_fields_before_anything_is_sent(
    signed_in: Page, demo: Demo
) -> None:
    """The first of them gets the focus."""
    page = await at_the_terminal(signed_in, demo)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await typed(page, "65", "5555555555554445", "1320")
    await page.keyboard.press("Control+Enter")

    await expect(page.locator("#number")).to_be_focused()
    await expect(page.locator("#number-said")).to_contain_text("a digit is wrong")
    await expect(page.locator("#expiry-said")).to_contain_text("a month from 01 to 12")
    described = await page.locator("#number").get_attribute("aria-describedby")
    assert "number-said" in (described or "")
    await nobody_is_kept_out(page)
    assert sent == []


async def test_a_card_number_in_another_field_does_not_stay_there(
    signed_in: Page, demo: Demo
) -> None:
    """It is refused, and is in the page no more, neither there nor in the card's own field."""
    page = await signed_in.context.new_page()  # Not watched: a browser complains of each 422.
    await at_the_terminal(page, demo)
    await typed(page, "65", NUMBER, "1230")
    await page.fill("#note", NUMBER)
    await page.press("#note", "Control+Enter")

    await expect(page.locator("#note")).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#note")).to_have_value("")
    await expect(page.locator("#number")).to_have_value("")


async def test_a_sale_after_the_sign_in_had_ended_comes_back_without_its_card(
    page: Page, demo: Demo
) -> None:
    """With all else that was typed, for the same person; a reload has neither words nor fields."""
    await sign_in(page, demo)
    await at_the_terminal(page, demo)
    await typed(page, "67.12", NUMBER, "1230", "123", "97201", "10 Main Street", "", "T-67")
    await page.context.clear_cookies()
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(re.compile("/sign-in"))
    await expect(page.locator(".notice")).to_contain_text("nothing was charged")
    email, password = demo.owner
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(re.compile("/terminal"))

    notice = page.locator("#faults .notice")
    await expect(notice).to_contain_text("Nothing was charged")
    await expect(notice).to_be_focused()
    for field, value in {"amount": "67.12", "postal_code": "97201", "order": "T-67"}.items():
        await expect(page.locator(f"#{field}")).to_have_value(value)
    for field in ("number", "expiry", "cvv"):
        await expect(page.locator(f"#{field}")).to_have_value("")
    await expect(page.locator("#charge")).to_have_text("Charge 67.12 USD")
    assert await page.evaluate("sessionStorage.length") == 0
    await nobody_is_kept_out(page)
    await page.keyboard.press("Enter")
    await expect(page.locator("#number")).to_be_focused()
    await page.reload()
    await expect(page.locator("#amount")).to_be_focused()
    await expect(page.locator("#amount")).to_have_value("")
    await expect(notice).to_have_count(0)


async def test_a_sale_after_a_sign_in_in_another_window_comes_back_too(
    page: Page, demo: Demo
) -> None:
    """Its form belongs to the sign-in before: it would be refused again and again."""
    await sign_in(page, demo)
    await at_the_terminal(page, demo)
    await typed(page, "70.15", NUMBER, "1230", "123", "97201")
    other = await page.context.new_page()
    await sign_in(other, demo)
    await page.bring_to_front()
    await page.keyboard.press("Control+Enter")

    notice = page.locator("#faults .notice")
    await expect(notice).to_contain_text("Nothing was charged")
    await expect(page.locator("#amount")).to_have_value("70.15")
    await expect(page.locator("#number")).to_have_value("")
    await page.keyboard.press("Enter")
    await typed(page, NUMBER, "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#result")).to_have_text("Paid: 70.15 USD")


async def test_a_refusal_is_seen_wherever_the_page_was_scrolled_to(page: Page, demo: Demo) -> None:
    """On a low screen, at the end of the form: it has the focus, and Enter goes on from it."""
    await page.set_viewport_size({"width": 1280, "height": 720})
    await sign_in(page, demo)
    await at_the_terminal(page, demo)
    used = {"faults": {"card": "This form was used for another sale already."}}
    await page.route("**/terminal/sales", lambda route: route.fulfill(status=422, json=used))
    await typed(page, "68.13", NUMBER, "1230")
    await page.focus("#name")
    await page.keyboard.press("Control+Enter")

    notice = page.locator("#faults .notice")
    await expect(notice).to_be_focused()
    await expect(notice).to_be_in_viewport(ratio=1)
    await page.keyboard.press("Enter")
    await expect(page.locator("#number")).to_be_focused()


async def test_a_refusal_is_seen_without_scripts(browser: Browser, demo: Demo) -> None:
    """It is where the page begins."""
    context = await browser.new_context(
        ignore_https_errors=True,
        java_script_enabled=False,
        viewport={"width": 1280, "height": 720},
    )
    page = await context.new_page()
    await sign_in(page, demo)
    await page.goto(f"{demo.web}/terminal")
    await page.fill("#amount", "10000000000.00")
    await page.fill("#number", NUMBER)
    await page.locator("#charge").click()

    notice = page.locator("#faults .notice")
    await expect(notice).to_contain_text("write at most 9,999,999,999.99 USD")
    await expect(notice).to_be_in_viewport(ratio=1)
    await context.close()


async def test_the_amount_of_a_refund_is_written_over(signed_in: Page, demo: Demo) -> None:
    """After it was found: typing replaces what is left."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "71.50", NUMBER, "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    number = await page.locator("#confirmation").inner_text()
    await page.goto(f"{demo.web}/terminal/refund")
    await page.keyboard.type(number)
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"\?q="))
    await page.locator("a.choice").first.click()
    await page.wait_for_url(re.compile("/terminal/refund/pay_"))
    await expect(page.locator("#amount")).to_be_focused()
    await expect(page.locator("#amount")).to_have_value("71.50")

    await page.keyboard.type("1.50")

    await expect(page.locator("#amount")).to_have_value("1.50")


async def test_a_cards_brand_covers_no_digit_on_a_telephone(signed_in: Page, demo: Demo) -> None:
    """It stands below the number."""
    page = signed_in
    await page.set_viewport_size({"width": 360, "height": 740})
    await at_the_terminal(page, demo)
    await typed(page, "1", NUMBER)

    await expect(page.locator("#brand")).to_have_text("Mastercard")
    number = await page.locator("#number").bounding_box()
    brand = await page.locator("#brand").bounding_box()
    assert number is not None
    assert brand is not None
    assert brand["y"] >= number["y"] + number["height"]


async def test_a_key_prints_the_receipt(signed_in: Page, demo: Demo) -> None:
    """The dialog opens by itself, once: a reload is for reading."""
    page = signed_in
    await page.add_init_script(
        "window.print = () => { document.title = `printed ${Date.now()}`; };"
    )
    await at_the_terminal(page, demo)
    await typed(page, "69.14", NUMBER, "1230")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)
    await expect(page.locator("#result")).to_have_text("Paid: 69.14 USD")

    await pressed_alone(page, "p")
    await page.wait_for_url(re.compile(r"/receipt$"))
    await expect(page).to_have_title(re.compile("^printed"))
    await page.reload()

    await expect(page).to_have_title(re.compile("^Receipt"))


async def test_a_browser_that_is_closed_in_mid_payment_finds_it_paid(
    signed_in: Page, demo: Demo, browser: Browser
) -> None:
    """In another browser, in the list of the last sales; and nothing is left unclaimed."""
    page = await at_the_terminal(signed_in, demo)
    with slow_issuers(demo):
        await typed(page, "66.11", NUMBER, "1230", "123")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#under-way-said")).to_contain_text("Asking the issuer")
        await page.keyboard.press("Escape")
        await expect(page.locator("#amount")).to_have_value("66.11")
        await asyncio.sleep(0.5)  # So that the row is written.
        await page.goto("about:blank")

        context = await browser.new_context(ignore_https_errors=True)
        back = await context.new_page()
        await sign_in(back, demo)
        await back.goto(f"{demo.web}/terminal")
        await back.locator(".lately a").first.click()
        result = back.locator("#result")
        await expect(result).to_have_text("Paid: 66.11 USD", timeout=RESULT_TIMEOUT_MS)

        await expect(back.locator("#confirmation")).to_have_text(CONFIRMATION)
        await context.close()
