"""
A receipt from its page to paper: the roll of a receipt printer, a sheet of A4, a file, an e-mail.
"""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from running_demo import Demo

ROLL_PIXELS, A4_PIXELS = 272, 794  # 72 of 80 mm, and 210 mm, at 96 a inch.
POINTS_OF_PAPER = {"80mm": (227, 595), "a4": (595, 842)}


async def receipt_page(page: Page, demo: Demo) -> str:
    """Open the receipt of the demo's own purchase; return its address."""
    await page.goto(f"{demo.web}/payments?q=18.00")
    row = page.get_by_role("row").filter(has_text="18.00").filter(has_text="4242").last
    payment = await row.get_by_role("link").first.get_attribute("href")
    address = f"{demo.web}{payment}/receipt"
    await page.goto(address)
    return address


@pytest.mark.parametrize(("paper", "width"), [("80mm", ROLL_PIXELS), ("a4", A4_PIXELS)])
async def test_a_receipt_is_printed_and_nothing_around_it(
    signed_in: Page, demo: Demo, tmp_path: Path, paper: str, width: int
):
    """Menu, buttons and colours stay on the screen; the slip fits its paper, on one page."""
    address = await receipt_page(signed_in, demo)
    await signed_in.goto(f"{address}?paper={paper}")
    number = await signed_in.locator(".slip .number").inner_text()
    await signed_in.set_viewport_size({"width": width, "height": 900})
    await signed_in.emulate_media(media="print", color_scheme="dark")

    for hidden in (".masthead", ".beside", ".trail", ".test-mode"):
        await expect(signed_in.locator(hidden).first).to_be_hidden()
    await expect(signed_in.locator(".slip .number")).to_have_css("color", "rgb(0, 0, 0)")
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", number)
    assert await signed_in.evaluate("document.documentElement.scrollWidth") <= width
    await signed_in.screenshot(path=tmp_path / f"receipt-{paper}.png", full_page=True)
    printed = await signed_in.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert [tuple(round(float(side)) for side in box) for box in boxes] == [POINTS_OF_PAPER[paper]]


async def test_a_receipt_is_chosen_for_a_roll_kept_as_a_file_and_sent_again(
    signed_in: Page, demo: Demo
):
    """By keyboard: paper, file, and another address."""
    await receipt_page(signed_in, demo)
    await signed_in.get_by_role("link", name="80 mm roll").press("Enter")
    await expect(signed_in.get_by_role("link", name="80 mm roll")).to_have_attribute(
        "aria-current", "true"
    )
    await expect(signed_in.get_by_role("button", name="Print")).to_be_visible()
    file = await signed_in.get_by_role("link", name="PDF").get_attribute("href")
    answer = await signed_in.request.get(f"{demo.web}{file}", timeout=60_000)
    if answer.status == 200:
        assert (await answer.body()).startswith(b"%PDF-")
    else:
        assert "Pango is missing" in await answer.text()

    field = signed_in.get_by_label("Send it to")
    await field.fill("grace@shopper.example")
    await field.press("Enter")

    await expect(signed_in.get_by_role("status")).to_contain_text("on its way")
    await expect(signed_in.locator(".mails")).to_contain_text("grace@shopper.example")
