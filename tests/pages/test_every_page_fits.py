"""
Every page in light and dark, on a desk and on a small telephone.
"""

import re

import pytest
from playwright.async_api import Page, expect
from running_demo import Demo, Watch

CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3 for text of normal size.
TARGET_PX_MIN = 24  # WCAG 2.2, 2.5.8.

# The contrast of each element's own text with what lies behind it, where that is one colour.
LOW_CONTRAST = """
minimum => {
  const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const channel = value => {
    value /= 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const style = getComputedStyle(element);
      if (style.backgroundImage !== "none") return null;
      const colour = numbers(style.backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return getComputedStyle(document.documentElement).colorScheme.includes("dark")
      && matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const low = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(
      node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    const style = getComputedStyle(element);
    if (!own || !element.checkVisibility() || style.clipPath !== "none") continue;
    const ground = behind(element);
    const ink = numbers(style.color);
    if (!ground || !/^rgb/.test(style.color)) continue;
    const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < minimum)
      low.push(`${element.tagName}.${element.className} ${contrast.toFixed(2)}`);
  }
  return low;
}
"""
SMALL_TARGETS = """
minimum => [...document.querySelectorAll("button, select, input:not([type=hidden]), summary")]
  .filter(each => each.checkVisibility())
  .map(each => [each.id || each.textContent.trim(), each.getBoundingClientRect().height])
  .filter(([, height]) => height < minimum)
"""


async def it_fits(page: Page) -> None:
    """Assert that nothing is cut off, too faint to read, or too small to hit."""
    where = page.url.partition("?")[0]
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{where} is {wide} px wider than its window"
    assert await page.evaluate(LOW_CONTRAST, CONTRAST_MIN) == [], where
    assert await page.evaluate(SMALL_TARGETS, TARGET_PX_MIN) == [], where
    assert await page.locator("h1").count() == 1, where
    assert await page.locator("img:not([alt])").count() == 0, where


async def order(page: Page, demo: Demo, card: str) -> None:
    """Buy a daybook."""
    await page.goto(f"{demo.shop}/checkout?product=daybook&quantity=1")
    await page.fill("#name", "Grace Hopper")
    await page.fill("#email", "grace@shopper.example")
    await page.fill("#card_number", card)
    await page.fill("#card_expiry", "12/39")
    await page.fill("#card_cvv", "926")
    await page.click("button[type=submit]")
    await page.wait_for_url("**/orders/*")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits(page: Page, watch: Watch, demo: Demo, scheme: str, width: int):
    """Shop, checkout, orders, mailbox and receipts: readable, whole, and to be hit by a finger."""
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": width, "height": 800})

    for path in ("/", "/products/daybook", "/checkout?product=daybook&quantity=3"):
        await page.goto(f"{demo.shop}{path}")
        await it_fits(page)
    for card, heading in (("4111111111111111", "Thank you"), ("4000000000000002", "not charged")):
        await order(page, demo, card)
        await expect(page.locator("h1")).to_contain_text(heading)
        await it_fits(page)
    await page.goto(demo.mailbox)
    await it_fits(page)
    for subject in ("Paid: ", "Your receipt from"):
        await page.goto(demo.mailbox)
        await page.get_by_role("link", name=re.compile(re.escape(subject))).first.click()
        await page.wait_for_url("**/messages/*")
        await it_fits(page)
        source = await page.locator("iframe.sheet").get_attribute("src")
        await page.goto(f"{demo.mailbox}{source}")
        await it_fits(page)
