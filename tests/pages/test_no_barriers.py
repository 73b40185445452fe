"""
Every page that a link leads to: axe-core finds nothing, in both themes, and a telephone shows it.
"""

import pytest
from axe_playwright_python.async_playwright import Axe
from counterfoil.web.application import PAGES
from crawl import Crawl
from playwright.async_api import Page
from running_demo import Demo
from test_every_page_fits import it_fits

# WCAG 2.2 AA and before it, and what axe-core calls best practice.
OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.mark.timeout(600)
async def test_nobody_is_kept_out_of_any_page(signed_in: Page, demo: Demo) -> None:
    """In light and dark, on a desk and on a telephone of 360 px."""
    pages = await Crawl(PAGES, demo.web).walk(signed_in)
    assert len(pages) > 10, pages

    found = []
    for scheme in ("light", "dark"):
        await signed_in.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for address in pages:
            await signed_in.set_viewport_size({"width": 1280, "height": 800})
            await signed_in.goto(address)
            seen = await Axe().run(signed_in, options=OPTIONS)
            found += [
                f"{scheme} {address}: {each['id']}: {each['nodes'][0]['html']}"
                for each in seen.response["violations"]
            ]
            await signed_in.set_viewport_size({"width": 360, "height": 740})
            await it_fits(signed_in)
    assert found == []
