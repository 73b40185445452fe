"""
The mails that a purchase leaves in the sandbox's mailbox, as their readers see them.
"""

import re

import pytest
from playwright.async_api import Page, expect
from running_demo import Demo, Watch

MERCHANT = "owner@stubandleaf.example"
CUSTOMER = "ada@shopper.example"  # Who bought something when the demo started.


@pytest.mark.parametrize(
    ("reader", "subject", "heading"),
    [
        (CUSTOMER, r"Your receipt from Stub & Leaf for order \d+", "Thank you for your order"),
        (MERCHANT, r"Paid: 18\.00 USD for order \d+", "You have been paid"),
    ],
)
async def test_a_receipt_arrives_and_is_shown_in_a_sandbox(
    page: Page, watch: Watch, demo: Demo, reader: str, subject: str, heading: str
):
    """From the inbox to the message: HTML that can do nothing, and the same as plain text."""
    await page.goto(demo.mailbox)
    group = page.locator(".group", has=page.get_by_role("heading", name=reader))
    await group.get_by_role("link", name=re.compile(subject)).last.click()

    await expect(page.locator("h1")).to_have_text(re.compile(subject))
    await expect(page.locator(".envelope")).to_contain_text(reader)
    assert await page.locator("iframe.sheet").get_attribute("sandbox") == ""
    receipt = page.frame_locator("iframe.sheet")
    await expect(receipt.locator("h1")).to_have_text(heading)
    number = await receipt.locator(".number").inner_text()
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", number)
    await expect(receipt.locator("body")).to_contain_text("Visa ending in 4242")
    await page.locator("summary", has_text="Plain text").click()
    await expect(page.locator("pre")).to_contain_text(f"Confirmation number   {number}")
    assert "4242424242424242" not in await page.content()


async def test_a_mail_can_neither_run_nor_load_anything(page: Page, watch: Watch, demo: Demo):
    """Its page forbids it, also when it is opened alone."""
    await page.goto(demo.mailbox)
    await page.locator(".letter a").first.click()
    await page.wait_for_url("**/messages/*")
    source = await page.locator("iframe.sheet").get_attribute("src")

    answer = await page.goto(f"{demo.mailbox}{source}")

    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("sandbox")
    assert await page.locator("script, link, img[src^=http]").count() == 0
