"""
Who has chosen colours of their own (forced colours) sees buttons, chips, focus and the chart.
"""

from typing import Any

import pytest
from playwright.async_api import Page, expect
from running_demo import Demo, sign_in
from test_paying_on_the_payment_page import order

TABS = 25
FIELDS = "input:not([type=hidden], [type=checkbox], [type=radio]), select"
# How each visible element of a selector stands out from the page, as the browser draws it.
SEEN = """selector => {
  const ground = getComputedStyle(document.body).backgroundColor;
  const clear = "rgba(0, 0, 0, 0)";
  return [...document.querySelectorAll(selector)]
    .filter((each) => each.checkVisibility({ visibilityProperty: true }))
    .map((each) => {
      const style = getComputedStyle(each);
      const edge = style.borderTopWidth !== "0px" && style.borderTopColor !== ground
        && style.borderTopColor !== clear;
      const filled = ![ground, clear].includes(style.backgroundColor);
      const written = style.color !== (filled ? style.backgroundColor : ground);
      return { words: each.textContent.trim(), stands_out: (edge || filled) && written };
    });
}"""
FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  const ground = getComputedStyle(document.body).backgroundColor;
  const main = document.activeElement.matches("body, main");
  return main || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
    && style.outlineColor !== ground) ? "" : document.activeElement.outerHTML.slice(0, 200);
}"""
COLOURS = """(part) => {
  const of = (selector, name, pseudo) =>
    getComputedStyle(document.querySelector(selector), pseudo)[name];
  return {
    ground: getComputedStyle(document.body).backgroundColor,
    line: of(".chart rect.line", "fill"),
    gross: of(".chart rect.gross", "fill"),
    refunds: of(".chart rect.refunds", "fill"),
    refunds_edge: of(".chart rect.refunds", "stroke"),
    key_edge: of(".chart .key.refunds", "borderTopColor", "::before"),
    gross_key: of(".chart .key.gross", "backgroundColor", "::before"),
    refunds_key: of(".chart .key.refunds", "backgroundColor", "::before"),
  };
}"""


async def everything_stands_out(page: Page) -> None:
    """Buttons and chips have an edge or a ground of their own, and focus is seen on each stop."""
    for selector in (".button", ".badge", ".card, .slip", FIELDS):
        seen: list[dict[str, Any]] = await page.evaluate(SEEN, selector)
        hidden = [each["words"] for each in seen if not each["stands_out"]]
        assert hidden == [], f"{page.url}: {selector}"
    lost = []
    for _ in range(TABS):
        await page.keyboard.press("Tab")
        lost.append(await page.evaluate(FOCUS))
    assert not any(lost), f"{page.url}: {lost}"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_what_is_used_stands_out_in_colours_of_ones_own(
    page: Page, demo: Demo, scheme: str
) -> None:
    """On the pages that people see most."""
    dark = scheme == "dark"
    await page.emulate_media(forced_colors="active", color_scheme="dark" if dark else "light")
    await order(page, demo)
    await everything_stands_out(page)
    await page.goto(f"{demo.web}/sign-in")
    await everything_stands_out(page)
    await sign_in(page, demo)
    for path in ("/today", "/terminal", "/payments", "/settings"):
        await page.goto(f"{demo.web}{path}")
        await everything_stands_out(page)
    await page.goto(f"{demo.web}/payments?standing=paid")
    await page.locator("tbody a").first.click()
    await page.get_by_role("link", name="Receipt").click()
    await expect(page.locator(".slip")).to_be_visible()
    await everything_stands_out(page)


async def test_the_chart_and_its_key_are_of_the_same_colours(page: Page, demo: Demo) -> None:
    """What was taken is filled, what was refunded has an edge: whatever the colours are."""
    await page.emulate_media(forced_colors="active")
    await sign_in(page, demo)
    await page.goto(f"{demo.web}/today")

    found = await page.evaluate(COLOURS)

    assert len({found["ground"], found["line"], found["gross"]}) == 3
    assert found["refunds"] == found["ground"]
    assert found["refunds_edge"] == found["key_edge"] == found["gross"]
    assert (found["gross_key"], found["refunds_key"]) == (found["gross"], found["refunds"])


async def test_the_chosen_tab_and_what_is_wrong_are_seen_without_colour(
    page: Page, demo: Demo
) -> None:
    """By a line below it, and by a thicker edge."""
    await page.emulate_media(forced_colors="active")
    await order(page, demo)
    await page.locator(".pay-button").click()
    wide = "each => getComputedStyle(each).borderTopWidth"
    assert await page.locator("#card_number").evaluate(wide) == "3px"
    assert await page.locator("#card_name").evaluate(wide) == "1px"

    await sign_in(page, demo)
    await page.goto(f"{demo.web}/terminal")
    below = "each => getComputedStyle(each).borderBottomColor"
    chosen = await page.locator(".tabs [aria-current]").evaluate(below)
    others = await page.locator(".tabs a:not([aria-current])").all()
    assert others
    assert all([await each.evaluate(below) != chosen for each in others])
