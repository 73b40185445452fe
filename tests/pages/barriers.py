"""
What keeps nobody out of a page: axe-core finds nothing, in both themes, and a telephone shows it.
"""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page
from test_every_page_fits import it_fits

TELEPHONE = {"width": 360, "height": 740}
# WCAG 2.2 AA and before it, and what axe-core calls best practice.
OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


async def barriers(page: Page) -> list[str]:
    """Return what axe-core finds in light and in dark; assert that the page fits a telephone."""
    size = page.viewport_size
    assert size
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        seen = await Axe().run(page, options=OPTIONS)
        found += [
            f"{scheme} {page.url}: {each['id']}: {each['nodes'][0]['html']}"
            for each in seen.response["violations"]
        ]
        await page.set_viewport_size({**TELEPHONE})
        await it_fits(page)
        await page.set_viewport_size(size)
    return found


async def nobody_is_kept_out(page: Page) -> None:
    """Assert that the page as it stands has no barrier."""
    found = await barriers(page)
    assert found == [], found
