"""
A bookkeeper explains a deposit and a developer makes a key and replays a webhook: no mouse.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest_asyncio
from counterfoil.config import load
from counterfoil.opened import open_database
from playwright.async_api import Browser, Page, expect
from running_demo import Demo, Watch

TABS_MAX = 80
PASSWORD = "four words nobody puts together"
HOOK = "https://hooks.shop.example/payments"
FOCUSED = """
() => {
  const at = document.activeElement;
  return (at.labels?.[0] ?? at).textContent.replace(/\\s+/g, " ").trim();
}
"""


def command(demo: Demo, *words: str) -> str:
    """Run a command of the operator's and return what it prints."""
    config = str(demo.folder / "gateway" / "counterfoil.toml")
    run = subprocess.run(
        [sys.executable, "-m", "counterfoil.cli.main", *words],
        env={**os.environ, "COUNTERFOIL_CONFIG": config},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def merchant(demo: Demo) -> str:
    """Return the demo's merchant."""
    found = re.search(r"mer_[0-9a-f]{32}", command(demo, "merchant", "list"))
    assert found
    return found.group(0)


@pytest_asyncio.fixture(loop_scope="session")
async def newcomer(browser: Browser, demo: Demo) -> AsyncIterator[Page]:
    """A browser of somebody who has never been here."""
    context = await browser.new_context(ignore_https_errors=True, locale="en-GB")
    context.set_default_timeout(10_000)
    yield await context.new_page()
    await context.close()


async def come(page: Page, demo: Demo, role: str) -> None:
    """Come by an invitation, as *role*, with keys only."""
    words = ("user", "invite", f"{role}@shop.example", "--merchant", merchant(demo))
    link = await asyncio.to_thread(command, demo, *words, "--role", role)
    path = link.split()[0].partition("/welcome")[2]
    await page.goto(f"{demo.web}/welcome{path}")
    await tab_to(page, "Your name")
    await page.keyboard.type(f"{role.title()} Byron")
    await tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "/welcome" not in url)


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called *name*."""
    seen = []
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        seen.append(await page.evaluate(FOCUSED))
        if re.match(name, seen[-1]):
            return
    raise AssertionError(f"no key leads to {name}: {seen}")


async def follow(page: Page, name: str, to: str) -> None:
    """Go where the link or button called *name* leads, by Tab and Enter."""
    await tab_to(page, name)
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(to))


async def test_a_bookkeeper_explains_a_deposit_down_to_a_payment(
    newcomer: Page, demo: Demo
) -> None:
    """From the menu to the list, the deposit's bill, and a payment in it; and downloads nothing."""
    page, watch = newcomer, Watch(newcomer, demo)
    await come(page, demo, "bookkeeper")

    await follow(page, "Deposits", "/deposits$")
    await follow(page, "CF[0-9]{12}", "/deposits/CF[0-9]{12}$")
    await expect(page.locator("h1")).to_contain_text("Deposit CF")
    await expect(page.locator(".bill")).to_contain_text("To the cent: no difference")
    await expect(page.locator(".bill")).to_contain_text("Interchange")
    await follow(page, "[0-9]{4} [0-9]{4} [0-9]{4}", "/payments/pay_[0-9a-f]{32}$")

    await expect(page.locator("h1")).to_have_count(1)
    watch.saw_nothing_wrong()


async def test_a_developer_makes_a_key_and_sends_a_webhook_again(
    newcomer: Page, demo: Demo
) -> None:
    """The key is shown once and not when going back; what was given up is owed again."""
    page, watch = newcomer, Watch(newcomer, demo)
    await asyncio.to_thread(command, demo, "webhook", "add", merchant(demo), HOOK)
    await come(page, demo, "developer")
    await proved_anew(demo)
    secret = await made_key(page)
    assert all(secret not in url for url in watch.urls)

    await follow(page, "https://hooks.shop.example", "/developers/webhooks/whe_[0-9a-f]{32}$")
    await given_up(demo)
    await page.reload()
    await expect(page.get_by_role("row").filter(has_text="Given up").first).to_be_visible()
    await follow(page, "Send again", r"\?done=replayed$")
    await expect(page.get_by_role("status")).to_contain_text("It is owed again")
    await expect(page.get_by_role("row").filter(has_text="Waiting").first).to_be_visible()
    watch.saw_nothing_wrong()


async def made_key(page: Page) -> str:
    """Make a key, look at its secret, and go on; it does not come back by going back."""
    await follow(page, "Developers", "/developers$")
    await follow(page, "Make a key", "/developers/keys/new$")
    await tab_to(page, "What it is for")
    await page.keyboard.type("Nightly job")
    await page.keyboard.press("Enter")
    secret = await page.locator(".secret").inner_text()
    assert re.fullmatch(r"sk_test_[A-Za-z0-9_-]{43}", secret)

    await follow(page, "I have kept it", "/developers$")
    assert secret not in await page.content()
    await expect(page.get_by_role("row", name="Nightly job")).to_contain_text(secret[-4:])
    return secret


async def proved_anew(demo: Demo) -> None:
    """Let everybody who is signed in have proved just now who they are."""
    await change(demo, "UPDATE web_sessions SET stepped_up_at = now()")


async def given_up(demo: Demo) -> None:
    """Let whatever the endpoint was owed be given up, as after a week without an answer."""
    await change(demo, "UPDATE webhook_deliveries SET state = 'gave_up', ended_at = now()")


async def change(demo: Demo, statement: str) -> None:
    """Run a statement in the demo's database."""
    settings = load(demo.folder / "gateway" / "counterfoil.toml")
    async with open_database(settings) as database, database.acquire() as connection:
        await connection.execute(statement)
