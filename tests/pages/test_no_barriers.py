"""
Every page that a link leads to: axe-core finds nothing, in both themes, and a telephone shows it.
"""

import pytest
from barriers import barriers
from counterfoil.web.application import PAGES
from crawl import Crawl
from playwright.async_api import Page
from running_demo import Demo


@pytest.mark.timeout(600)
async def test_nobody_is_kept_out_of_any_page(signed_in: Page, demo: Demo) -> None:
    """In light and dark, on a desk and on a telephone of 360 px."""
    pages = await Crawl(PAGES, demo.web).walk(signed_in)
    assert len(pages) > 10, pages

    found = []
    await signed_in.set_viewport_size({"width": 1280, "height": 800})
    for address in pages:
        await signed_in.goto(address)
        found += await barriers(signed_in)
    assert found == []
