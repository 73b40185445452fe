"""
A card is swiped where none is taken, and somebody types what a reader could have begun with.
"""

import pytest
from playwright.async_api import Page, expect
from readers import reads
from running_demo import Demo
from test_the_terminal import (
    NUMBER,
    RESULT_TIMEOUT_MS,
    SALE,
    at_the_terminal,
    pressed_alone,
    typed,
)

HAND_MS = 120
SLOW_READER_MS = 60
CUT_OFF_MS = 450  # More than the silence that ends a swipe.
SETTLED_MS = 2300  # Until then what comes behind a swipe may be its rest (swipes.js).
TRACK_2 = f";{NUMBER}=30121010000?"


def tracks(name: str) -> str:
    """Return both tracks of a card with this name."""
    return f"%B{NUMBER}^{name}^30121010000?;{NUMBER}=30121010000?"


async def swipe(page: Page, name: str) -> None:
    """Type as a reader does."""
    await reads(page, tracks(name), ends=True)


async def asked_again(page: Page, demo: Demo, amount: str) -> str:
    """Sell the same twice, and return the address of the question that this leads to."""
    await sell(page, demo, amount)
    address = await sell(page, demo, amount)
    await expect(page.locator("#result")).to_contain_text("charge again?")
    return address


async def is_still_asked(page: Page, address: str) -> None:
    """Assert that nothing has answered the question, or will."""
    await page.wait_for_timeout(SETTLED_MS)
    assert page.url == address
    await expect(page.locator("#result")).to_contain_text("charge again?")
    await page.focus("#result")
    await pressed_alone(page, "n")
    await expect(page.locator("#result")).to_contain_text("Nothing was taken.")


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
    await pressed_alone(signed_in, "n")
    await expect(signed_in.locator("#result")).to_contain_text("Nothing was taken.")


async def test_letters_that_come_like_a_readers_press_nothing(signed_in: Page, demo: Demo) -> None:
    """A reader may be set up without the signs that tracks begin with; and it may be slow."""
    address = await asked_again(signed_in, demo, "83.42")
    for letters in ("4YNY", "YNY4"):
        await signed_in.keyboard.type(letters)
        await signed_in.wait_for_timeout(CUT_OFF_MS)
    for letters in ("4Y", "Y4"):
        await reads(signed_in, letters, SLOW_READER_MS)
        await signed_in.wait_for_timeout(CUT_OFF_MS)

    await is_still_asked(signed_in, address)


async def test_the_rest_of_a_swipe_on_a_page_that_has_just_come_answers_nothing(
    signed_in: Page, demo: Demo
) -> None:
    """It began on the page before; perhaps only its check character comes, or a part with Enter."""
    address = await asked_again(signed_in, demo, "87.46")
    for rest in ("Y", "Y/BILL^30121010000?", f"YRRAY/BILL^3012?;{NUMBER}=3012?"):
        await signed_in.reload()
        await expect(signed_in.locator("#announce")).not_to_be_empty()
        await reads(signed_in, rest, ends=True)
        await signed_in.wait_for_timeout(CUT_OFF_MS)

    await is_still_asked(signed_in, address)


@pytest.mark.parametrize("focus", ["#result", "input[name=cvv]", "[data-key=Y]"])
async def test_a_swipe_that_comes_in_two_pieces_answers_nothing(
    signed_in: Page, demo: Demo, focus: str
) -> None:
    """A hand that halts, or a busy machine: no letter of it, no blank, and not its Enter."""
    address = await asked_again(signed_in, demo, f"88.{len(focus)}")
    if focus != "#result":
        await signed_in.focus(focus)
    await reads(signed_in, "%B55555555")
    await signed_in.wait_for_timeout(CUT_OFF_MS)
    await reads(signed_in, f"55554444^YVES Y^30121010000?;{NUMBER}=3012?", ends=True)

    await expect(signed_in.locator(".notice.swiped")).to_be_visible()
    values = await signed_in.eval_on_selector_all("input", "all => all.map(each => each.value)")
    assert not any("5555" in each for each in values)
    await is_still_asked(signed_in, address)


@pytest.mark.parametrize("focus", ["input[name=cvv]", "[data-key=Y]"])
async def test_a_reader_without_the_signs_of_a_track_sends_no_answer(
    signed_in: Page, demo: Demo, focus: str
) -> None:
    """Whatever has the focus: its Enter is none of the clerk's."""
    address = await asked_again(signed_in, demo, f"89.{len(focus)}")
    await signed_in.focus(focus)
    await reads(signed_in, f"B{NUMBER}^YVES Y^30121010000", ends=True)

    await is_still_asked(signed_in, address)


@pytest.mark.parametrize(
    ("focus", "first", "pause", "rest"),
    [
        ("[data-key=Y]", TRACK_2, 700, "Enter"),  # The reader halts before its Enter,
        ("#result", TRACK_2, 700, "Y"),  # or before its check character.
        ("input[name=cvv]", TRACK_2[:-4], 1500, "000"),
        ("input[name=cvv]", TRACK_2[:-4], 1500, "000?"),
    ],
)
async def test_what_comes_late_behind_a_track_answers_nothing(
    signed_in: Page, demo: Demo, focus: str, first: str, pause: int, rest: str
) -> None:
    """For two seconds."""
    address = await asked_again(signed_in, demo, f"92.{len(focus)}")
    await signed_in.focus(focus)
    await reads(signed_in, first)
    await signed_in.wait_for_timeout(pause)
    if rest == "Enter":
        await signed_in.keyboard.press(rest)
    else:
        await reads(signed_in, rest, ends=True)

    await is_still_asked(signed_in, address)


@pytest.mark.parametrize(("text", "pace"), [("112.50", 150), ("12.50", 100)])
async def test_what_a_hand_types_behind_a_cut_off_swipe_is_kept(
    signed_in: Page, demo: Demo, text: str, pace: int
) -> None:
    """Every sign of it, over what was selected."""
    await sell(signed_in, demo, f"112.{pace - 60}")
    await signed_in.get_by_role("link", name="The payment's page").click()
    payment = signed_in.url.rpartition("/")[2]
    await signed_in.goto(f"{demo.web}/terminal/refund/{payment}")
    await expect(signed_in.locator("#amount")).to_be_focused()
    await reads(signed_in, TRACK_2[:15])
    await expect(signed_in.locator(".notice.swiped")).to_be_visible()
    await signed_in.focus("#amount")
    await signed_in.locator("#amount").select_text()
    await signed_in.keyboard.type(text, delay=pace)

    await expect(signed_in.locator("#amount")).to_have_value(text)


async def test_a_button_is_pressed_by_no_reader(signed_in: Page, demo: Demo) -> None:
    """Not even by one without the signs of a track, where a card is taken."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "77.31", NUMBER, "1230")
    await page.focus("#charge")
    await page.wait_for_timeout(CUT_OFF_MS)
    await reads(page, f"B{NUMBER}^YVES Y^30121010000", ends=True)
    await page.wait_for_timeout(CUT_OFF_MS)

    await expect(page.locator("#charge")).to_be_enabled()
    await expect(page.locator("#number")).to_have_value("5555 5555 5555 4444")


async def test_the_beginning_of_a_track_and_its_rest_leave_nothing(
    signed_in: Page, demo: Demo
) -> None:
    """Where the reader halts behind a few digits."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "77.91")
    await reads(page, f"%B{NUMBER[:5]}")
    await page.wait_for_timeout(1500)
    await reads(page, f"{NUMBER[5:]}^YVES Y^3012101?", ends=True)

    await expect(page.locator("#number-said")).to_contain_text("Swipe it again")
    await page.wait_for_timeout(CUT_OFF_MS)
    values = await page.eval_on_selector_all("input", "all => all.map(each => each.value)")
    assert not any("^" in each or NUMBER[5:] in each for each in values)
    await expect(page.locator("#amount")).to_have_value("77.91")


async def test_a_swipe_that_ends_on_another_page_leaves_nothing_there(
    signed_in: Page, demo: Demo
) -> None:
    """The page that it began on says to the next that a rest may come, and nothing of it."""
    page = await at_the_terminal(signed_in, demo)
    await reads(page, f";{NUMBER[:9]}")
    await page.goto(f"{demo.web}/terminal/refund")
    await page.focus("#q")
    await reads(page, f"{NUMBER[9:]}=30121010000?", ends=True)
    await page.wait_for_timeout(CUT_OFF_MS)

    assert page.url == f"{demo.web}/terminal/refund"
    await expect(page.locator("#q")).to_have_value("")


async def test_a_swipe_into_the_address_of_a_receipt_is_sent_nowhere(
    signed_in: Page, demo: Demo
) -> None:
    """Its page takes no card, and says so."""
    await sell(signed_in, demo, "77.61")
    await signed_in.get_by_role("link", name="The payment's page").click()
    await signed_in.goto(f"{signed_in.url.split('?')[0]}/receipt")
    address = signed_in.url
    await signed_in.focus("#email")
    await reads(signed_in, TRACK_2, ends=True)

    await expect(signed_in.locator(".notice.swiped")).to_be_visible()
    await expect(signed_in.locator("#email")).to_have_value("")
    assert signed_in.url == address


async def test_who_types_on_after_a_swipe_loses_neither(signed_in: Page, demo: Demo) -> None:
    """The reader sent no Enter, and nobody waits for it."""
    page = await at_the_terminal(signed_in, demo)
    await reads(page, tracks("BYRON/ADA"))
    await page.wait_for_timeout(200)
    await page.keyboard.type("12.50", delay=HAND_MS)

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    await expect(page.locator("#amount")).to_have_value("12.50")


async def test_a_sign_goes_where_the_caret_stands(signed_in: Page, demo: Demo) -> None:
    """Also in an e-mail address, whose field does not tell where that is."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#email", "ada@x.example")
    await page.focus("#email")
    await page.keyboard.press("Home")
    await page.keyboard.type("a%b", delay=HAND_MS)

    await expect(page.locator("#email")).to_have_value("a%bada@x.example")


async def test_words_that_look_like_a_readers_are_kept(signed_in: Page, demo: Demo) -> None:
    """When they come from a hand; the card that was typed stays, too."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "10", NUMBER)
    await page.focus("#note")
    await page.keyboard.type("is it %e? yes", delay=HAND_MS)

    await expect(page.locator("#note")).to_have_value("is it %e? yes")
    await expect(page.locator("#number")).to_have_value("5555 5555 5555 4444")


async def test_closing_the_list_of_keys_leaves_the_question_to_be_answered(
    signed_in: Page, demo: Demo
) -> None:
    """As often as it is opened."""
    address = await asked_again(signed_in, demo, "90.47")
    for _ in range(2):
        await signed_in.keyboard.press("F1")
        await expect(signed_in.locator("#keys")).to_be_visible()
        await signed_in.keyboard.press("Enter")
        await expect(signed_in.locator("#keys")).to_be_hidden()

    await is_still_asked(signed_in, address)


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
    await reads(page, tracks("BYRON/ADA"))

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
        ("amount", "12;50", "Tab", "12;50"),
        ("amount", "1;250.00", "Tab", "1;250.00"),
        ("tip", "3;50", "Tab", "3;50"),
        ("tax", "5%", "Enter", "5%"),
        ("expiry", "12;30", "Tab", "12;30"),
        ("cvv", "1;2", "Tab", "1;2"),
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


async def test_nothing_is_given_back_that_does_not_fit(signed_in: Page, demo: Demo) -> None:
    """As if it had been typed."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#note", "n" * 254)
    await page.focus("#note")
    await page.keyboard.press("End")
    await page.keyboard.type("%%%")
    await page.keyboard.press("Tab")

    await expect(page.locator("#note")).to_have_value("n" * 254 + "%")


async def test_who_charges_at_once_after_a_swipe_charges(signed_in: Page, demo: Demo) -> None:
    """Though the reader sent no Enter, and the silence after it was not waited for."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "91.48")
    await reads(page, tracks("BYRON/ADA"))
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url(SALE, timeout=RESULT_TIMEOUT_MS)

    await expect(page.locator("#result")).to_have_text("Paid: 91.48 USD")


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


async def test_another_kind_says_what_it_did_not_take_along(signed_in: Page, demo: Demo) -> None:
    """A date and a telephone number come along; what is like a card's number does not."""
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#amount", "86.45")
    await page.fill("#order", "A 4242-4242 4242-4242")
    await page.fill("#note", "2026-11-28 17:21, call +44 20 7946 0958")
    await page.keyboard.press("F4")
    await page.wait_for_url(lambda url: "kind=authorization" in url and "lost" not in url)

    await expect(page.locator("#note")).to_have_value("2026-11-28 17:21, call +44 20 7946 0958")
    await expect(page.locator("#order")).to_have_value("")
    notice = page.locator("#faults .notice")
    await expect(notice).to_have_text(
        "Left out, because a card's number may stand in it: Order number."
    )
    await expect(notice).to_be_focused()
    await page.keyboard.press("F2")
    await page.wait_for_url(lambda url: "kind" not in url and "lost" not in url)
    await expect(page.locator("#note")).to_have_value("2026-11-28 17:21, call +44 20 7946 0958")
    await expect(notice).to_have_count(0)
