"""
Buttons of the pages where no shop is needed to see them: on paper, and to copy what is shown once.
"""

import re
from pathlib import Path

import pytest
from counterfoil import web
from playwright.async_api import Browser

STATIC = Path(web.__file__).parent / "static"
TEMPLATES = Path(web.__file__).parent / "templates"
KEY = "sk_test_0123456789"


def styles(*more: str) -> str:
    """Return the styles of every page in their order, and those of one."""
    named = re.findall(r'style\("([a-z]+\.css)"\)', (TEMPLATES / "base.html").read_text())
    return "".join(f"<style>{(STATIC / each).read_text()}</style>" for each in (*named, *more))


async def test_what_is_printed_shows_no_buttons(chromium: Browser) -> None:
    """Neither those beside a page's heading nor those of a form."""
    page = await chromium.new_page()
    await page.set_content(
        f"{styles('books.css')}<div class=head><h1>A day</h1><div class=actions>CSV</div></div>"
        "<form class=card><div class=actions>Show</div></form>"
    )
    shown = await page.locator(".actions").first.is_visible()

    await page.emulate_media(media="print")

    assert shown
    assert [await each.is_visible() for each in await page.locator(".actions").all()] == [False] * 2
    assert await page.locator("h1").is_visible()
    await page.close()


@pytest.mark.parametrize(
    "copies", [f"<code id=secret>{KEY}</code>", f"<input id=secret value={KEY}>"]
)
async def test_a_button_copies_a_field_or_what_is_shown_once(
    chromium: Browser, copies: str
) -> None:
    """Where a browser lends no clipboard, it selects the whole and says which keys to press."""
    page = await chromium.new_page()
    await page.set_content(
        f"{copies}<button data-copies=secret hidden>Copy</button><p id=copied></p>"
        f"<script>{(STATIC / 'copy.js').read_text()}</script>"
    )

    await page.get_by_role("button", name="Copy").click()

    assert await page.locator("#copied").inner_text() == "Press Ctrl-C to copy what is selected."
    assert await page.evaluate("getSelection().toString()") == KEY
    await page.close()


async def test_a_secret_in_groups_is_copied_as_one_word(chromium: Browser) -> None:
    """What an app takes: letters and digits without blanks, of which people read four at a time."""
    page = await chromium.new_page()
    code = "<code class=secret><span>ABCD</span><span>EFGH</span></code>"
    await page.set_content(f"{styles('me.css')}{code}")

    await page.evaluate("getSelection().selectAllChildren(document.querySelector('code'))")

    assert await page.evaluate("getSelection().toString()") == "ABCDEFGH"
    apart = "getComputedStyle(document.querySelector('span')).marginRight"
    assert float((await page.evaluate(apart)).removesuffix("px")) > 4
    await page.close()
