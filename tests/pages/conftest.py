"""
A real browser for the tests of the pages: the system's Chromium, driven by playwright.

Without it these tests skip, and say how to install it; under CI they fail.
"""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

sys.path.insert(0, str(Path(__file__).parent))  # For `running_demo`, beside this file.

from running_demo import Demo, Watch, sign_in

CHROMIUM = Path("/usr/bin/chromium")
INSTALL = "sudo apt-get install --no-install-recommends chromium"
# Lists of an address bar that nobody sees: each window would load them, and needs twice as long.
UNSEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
# What playwright turns off by itself, as it matters here: our list replaces its own.
TURNED_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
)
OPTIONS = [
    "--no-sandbox",  # Chromium's own needs rights that a container does not give.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    f"--disable-features={','.join((*TURNED_OFF, *UNSEEN))}",
]
PAGE_TIMEOUT_MS = 10_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this folder: `-m "not pages"` leaves them out; one loop has them all."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.pages)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A headless Chromium with an empty profile and home, for all tests of a process."""
    if not os.access(CHROMIUM, os.X_OK):
        missing = f"{CHROMIUM} is missing: {INSTALL}"
        if os.environ.get("CI") in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)
    home = tmp_path_factory.mktemp("browser-home")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=OPTIONS, env={**os.environ, "HOME": str(home)}
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """It, for one test: whoever was in it is gone afterwards, with cookies and cache."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that accepts the demo's own certificate authority."""
    context = await browser.new_context(
        ignore_https_errors=True,
        locale="en-GB",
        reduced_motion="reduce",  # What is looked at just after a change of theme is no mixture.
    )
    context.set_default_timeout(PAGE_TIMEOUT_MS)
    yield await context.new_page()
    await context.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole demo: shop, gateway, rail and mailbox, with one order that it made by itself."""
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def watch(page: Page, demo: Demo) -> Iterator[Watch]:
    """Watch *page*; afterwards it has neither complained nor looked elsewhere."""
    watching = Watch(page, demo)
    yield watching
    watching.saw_nothing_wrong()


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in(page: Page, watch: Watch, demo: Demo) -> Page:
    """A page on which the demo's owner is signed in; it is watched like every other."""
    await sign_in(page, demo)
    return page
