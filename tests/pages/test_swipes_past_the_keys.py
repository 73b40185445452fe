"""
What does not come key by key: a paste, an input method, codes after Alt, a page whose scripts are
late. And readers that do it a little differently from others.
"""

import asyncio
import re

import pytest
from playwright.async_api import CDPSession, Page, Route, expect
from readers import reads
from running_demo import Demo
from test_swipes_in_the_wrong_place import (
    CUT_OFF_MS,
    HAND_MS,
    SETTLED_MS,
    TRACK_2,
    asked_again,
    is_still_asked,
    swipe,
    tracks,
)
from test_the_terminal import NUMBER, at_the_terminal, typed

OF_INPUT_METHOD = 229
TRACK_1 = tracks("YVES Y").partition(";")[0]
LATE_SECONDS = 0.8
BY_HAND_MS = 160


async def keyboard_of(page: Page) -> CDPSession:
    """Return what types as an input method does."""
    return await page.context.new_cdp_session(page)


async def written(page: Page) -> str:
    """Return what stands in all fields."""
    return "\n".join(await page.eval_on_selector_all("input", "all => all.map(each => each.value)"))


async def nothing_of_it(page: Page) -> None:
    """Assert that no field holds a number, a name or a date of the card."""
    await page.wait_for_timeout(CUT_OFF_MS)
    text = await written(page)
    assert not any(each in text for each in (NUMBER, "^", "YVES", "3012", "%B"))


@pytest.mark.parametrize("path", ["", "/refund", "/cards"])
@pytest.mark.parametrize("way", ["codes", "a paste", "wide"])
async def test_a_track_that_comes_past_the_keys_stays_in_no_field(
    signed_in: Page, demo: Demo, path: str, way: str
) -> None:
    """A reader may send codes after Alt; what was in the field before stays."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal{path}")
    field = page.locator("#q" if path else "#note")
    await field.fill("less 5%")
    text, keyboard = tracks("YVES Y"), await keyboard_of(page)
    if way == "codes":
        for sign in text:
            await keyboard.send("Input.insertText", {"text": sign})
    elif way == "wide":
        wide = "".join(chr(ord(sign) + 0xFEE0) if sign != " " else sign for sign in text)
        await keyboard.send("Input.imeSetComposition", composing(wide))
        await keyboard.send("Input.insertText", {"text": wide})
    else:
        await keyboard.send("Input.insertText", {"text": text})

    await expect(field).to_have_value("less 5%")
    said = page.locator(".notice.swiped" if path else "#number-said")
    await expect(said).to_contain_text("wipe it again")
    await nothing_of_it(page)


@pytest.mark.parametrize("path", ["/refund", "/cards"])
async def test_a_track_that_is_dropped_stays_in_no_field(
    signed_in: Page, demo: Demo, path: str
) -> None:
    """What is dropped is selected: the caret stands in front of it."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal{path}")
    field = page.locator("#q")
    await field.fill("less 5%")
    await field.evaluate(
        """(field, text) => {
            const line = document.createElement("p");
            line.id = "dragged";
            line.textContent = text;
            field.parentElement.prepend(line);
            getSelection().selectAllChildren(line);
        }""",
        TRACK_2,
    )
    await page.drag_and_drop("#dragged", "#q")

    await expect(page.locator(".notice.swiped")).to_contain_text("wipe it again")
    await expect(field).to_have_value("less 5%")
    await nothing_of_it(page)


async def test_who_types_on_behind_a_track_that_was_pasted_is_read(
    signed_in: Page, demo: Demo
) -> None:
    """An input method's signs, at a hand's pace: soon they stay, though none is waited for."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal/refund")
    await page.focus("#q")
    keyboard = await keyboard_of(page)
    await keyboard.send("Input.insertText", {"text": TRACK_2})
    for sign in "12345678":
        await page.wait_for_timeout(BY_HAND_MS)
        await keyboard.send("Input.insertText", {"text": sign})

    await expect(page.locator("#q")).to_have_value(re.compile(r"^1?2?345678$"))


@pytest.mark.parametrize("caret", [0, 7, 12, 27, 34])
@pytest.mark.parametrize("track", [TRACK_1, TRACK_2])
async def test_a_track_that_a_script_fills_in_stays_in_no_field(
    signed_in: Page, demo: Demo, track: str, caret: int
) -> None:
    """Wherever the caret stands: in front of the text, of the track, or within it."""
    page = await at_the_terminal(signed_in, demo)
    await page.eval_on_selector(
        "#note",
        """(field, [text, caret]) => {
            field.value = text;
            field.setSelectionRange(caret, caret);
            field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        }""",
        [f"less 5%{track}{TRACK_2}", caret],
    )

    await expect(page.locator("#number-said")).to_contain_text("wipe it again")
    await expect(page.locator("#note")).to_have_value("less 5%")
    await nothing_of_it(page)


async def test_what_stands_around_a_track_that_is_pasted_stays(signed_in: Page, demo: Demo) -> None:
    page = await at_the_terminal(signed_in, demo)
    await page.fill("#note", "less 5%, why?")
    await page.eval_on_selector("#note", "field => field.setSelectionRange(7, 7)")
    await (await keyboard_of(page)).send("Input.insertText", {"text": TRACK_1})

    await expect(page.locator("#number-said")).to_contain_text("wipe it again")
    await expect(page.locator("#note")).to_have_value("less 5%, why?")
    await nothing_of_it(page)


def composing(text: str) -> dict[str, str | int]:
    """Return what an input method has made of the keys so far."""
    return {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}


async def test_what_an_input_method_writes_is_written_once(signed_in: Page, demo: Demo) -> None:
    """Some browsers name the sign of its key, though the key writes nothing."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus("#note")
    keyboard = await keyboard_of(page)
    down = {"type": "rawKeyDown", "key": ";", "windowsVirtualKeyCode": OF_INPUT_METHOD}
    await keyboard.send("Input.dispatchKeyEvent", {**down, "code": "Semicolon"})
    await keyboard.send("Input.imeSetComposition", composing("；"))
    await keyboard.send("Input.insertText", {"text": "；"})

    await page.wait_for_timeout(CUT_OFF_MS)
    await expect(page.locator("#note")).to_have_value("；")


async def test_a_sign_by_its_code_stands_where_it_was_typed(signed_in: Page, demo: Demo) -> None:
    """Alt and digits write one sign, and no digits."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus("#note")
    await page.keyboard.type("5;")
    await page.keyboard.down("Alt")
    await page.keyboard.type("0128")
    await page.keyboard.up("Alt")
    await (await keyboard_of(page)).send("Input.insertText", {"text": "€"})

    await page.wait_for_timeout(CUT_OFF_MS)
    await expect(page.locator("#note")).to_have_value("5;€")


async def test_who_fills_in_for_the_clerk_breaks_nothing(signed_in: Page, demo: Demo) -> None:
    """Browsers and keepers of passwords tell of keys that have no name."""
    page = await at_the_terminal(signed_in, demo)
    await page.eval_on_selector(
        "#note", "each => each.dispatchEvent(new Event('keydown', { bubbles: true }))"
    )

    await page.focus("#note")
    await page.keyboard.type("5% off", delay=HAND_MS)
    await expect(page.locator("#note")).to_have_value("5% off")


@pytest.mark.parametrize("path", ["", "/refund", "/cards"])
async def test_a_swipe_on_a_page_whose_scripts_are_late_stays_in_no_field(
    signed_in: Page, demo: Demo, path: str
) -> None:
    """The first field has the focus before they have come."""

    async def late(route: Route) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await route.continue_()

    page = signed_in
    await page.route("**/static/swipes.js*", late)
    await page.goto(f"{demo.web}/terminal{path}", wait_until="commit")
    await expect(page.locator("input:focus")).to_have_count(1)
    await reads(page, TRACK_1)
    await page.wait_for_timeout(LATE_SECONDS * 1000)
    await reads(page, TRACK_2, ends=True)

    await nothing_of_it(page)
    if path:
        await expect(page.locator(".notice.swiped")).to_contain_text("nothing of it was kept")
    else:
        await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")


async def test_no_part_of_a_swipe_waits_in_a_page_that_was_left(
    signed_in: Page, demo: Demo
) -> None:
    """A browser may keep the page, to come back to."""
    page = signed_in
    await page.goto(f"{demo.web}/terminal/cards")
    await reads(page, TRACK_2[:15])
    await page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide'))")

    await page.wait_for_timeout(CUT_OFF_MS)
    await expect(page.locator(".notice.swiped")).to_have_count(0)
    await expect(page.locator("#q")).to_have_value("")


@pytest.mark.parametrize("key", ["Tab", "Escape"])
async def test_a_key_soon_after_a_swipe_is_the_clerks(
    signed_in: Page, demo: Demo, key: str
) -> None:
    """Though the reader sent no Enter, and may not have ended."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "91.51")
    await reads(page, TRACK_2)
    await page.wait_for_timeout(250)
    await page.keyboard.press(key)

    if key == "Tab":
        await expect(page.locator("#postal_code")).to_be_focused()
        await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    else:
        await expect(page.locator("#amount")).to_have_value("")
        await expect(page.locator("#number")).to_have_value("")


async def test_a_reader_that_ends_a_line_with_two_keys_leaves_out_no_field(
    signed_in: Page, demo: Demo
) -> None:
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "91.52")
    for track in (TRACK_1, TRACK_2):
        await reads(page, track, ends=True)
        await page.keyboard.press("Enter")

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    await expect(page.locator("#cvv")).to_be_focused()


async def test_a_reader_that_halts_between_its_tracks_is_understood(
    signed_in: Page, demo: Demo
) -> None:
    """Also behind the sign that the second begins with."""
    page = await at_the_terminal(signed_in, demo)
    await reads(page, TRACK_1 + TRACK_2[0])
    await page.wait_for_timeout(180)
    await reads(page, TRACK_2[1:])

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")


@pytest.mark.parametrize(
    ("second", "is_taken"), [(TRACK_2, True), (TRACK_2.replace("4444=", "4451="), False)]
)
async def test_a_first_track_without_its_dead_keys_is_left_out(
    signed_in: Page, demo: Demo, second: str, is_taken: bool
) -> None:
    """On many layouts "^" is one: the second track is enough, if it is of the same card."""
    page = await at_the_terminal(signed_in, demo)
    keyboard = await keyboard_of(page)
    for part in TRACK_1.split("^"):
        await reads(page, part)
        if not part.endswith("?"):
            dead = {"type": "rawKeyDown", "key": "Dead", "code": "Backquote"}
            await keyboard.send("Input.dispatchKeyEvent", dead)
            await page.keyboard.type(" ")
    await reads(page, second, ends=True)

    if is_taken:
        await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
    else:
        await expect(page.locator("#number-said")).to_contain_text("Swipe it again")
    await expect(page.locator("#amount")).to_have_value("")


@pytest.mark.parametrize(
    ("focus", "text", "pause", "end"),
    [
        ("[data-key=Y]", TRACK_1[1:], 200, "Enter"),  # Without its signs, and halting.
        ("[data-key=Y]", "%A B^Y^?", 0, "Enter"),  # No bank's card: a blank comes early in it.
        ("#result", TRACK_2, 250, "y"),  # The check character, and no Enter.
    ],
)
async def test_what_another_reader_sends_answers_nothing_either(
    signed_in: Page, demo: Demo, focus: str, text: str, pause: int, end: str
) -> None:
    address = await asked_again(signed_in, demo, f"93.{len(text):02}")
    await signed_in.wait_for_timeout(CUT_OFF_MS)
    await signed_in.focus(focus)
    await reads(signed_in, text)
    await signed_in.wait_for_timeout(pause)
    await signed_in.keyboard.press(end)

    await is_still_asked(signed_in, address)


async def test_no_reader_says_that_the_customer_agreed(signed_in: Page, demo: Demo) -> None:
    """A blank would tick the box."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus("#keep")
    await reads(page, TRACK_1[1:])

    await page.wait_for_timeout(CUT_OFF_MS)
    await expect(page.locator("#keep")).not_to_be_checked()


async def test_who_comes_to_a_button_by_many_quick_keys_presses_it(
    signed_in: Page, demo: Demo
) -> None:
    """Tab writes nothing, and no reader types it."""
    page = await at_the_terminal(signed_in, demo)
    await typed(page, "91.53")
    await page.focus("#order")
    for _ in range(7):
        await page.keyboard.press("Tab")
    await expect(page.locator("#clear")).to_be_focused()
    await page.keyboard.press("Enter")

    await expect(page.locator("#amount")).to_have_value("")


async def test_a_swipe_after_all_that_is_a_swipe(signed_in: Page, demo: Demo) -> None:
    """Where a track was swept out of a field, the next one is taken."""
    page = await at_the_terminal(signed_in, demo)
    await page.focus("#note")
    await (await keyboard_of(page)).send("Input.insertText", {"text": TRACK_2})
    await expect(page.locator("#number-said")).to_contain_text("Swipe it again")
    await page.wait_for_timeout(SETTLED_MS)
    await swipe(page, "BYRON/ADA")

    await expect(page.locator("#number")).to_have_value("•••• •••• •••• 4444")
