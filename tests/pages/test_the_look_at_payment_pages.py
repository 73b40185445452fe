"""
The look at the payment pages on a running installation: over TLS, by its public address.
"""

import json
import subprocess
import sys

from playwright.async_api import Page
from running_demo import Demo, Watch


def counterfoil(demo: Demo, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the operator of the demo's gateway."""
    config = demo.folder / "gateway" / "counterfoil.toml"
    return subprocess.run(
        [sys.executable, "-m", "counterfoil.cli.main", *words, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_operator_looks_and_finds_the_pages_as_they_should_be(demo: Demo) -> None:
    """And `doctor` says when somebody looked last."""
    looked = counterfoil(demo, "pages", "look")
    seen = json.loads(counterfoil(demo, "doctor", "--json").stdout)

    assert (looked.returncode, looked.stderr) == (0, "")
    assert "are as they should be" in looked.stdout
    [pages] = [each for each in seen if each["name"] == "payment pages"]
    refused = counterfoil(demo, "pages", "reports").stdout  # By browsers in other tests: none.
    assert pages == {"name": "payment pages", "well": True, "seen": pages["seen"]}, refused
    assert pages["seen"].startswith("as they should be, ")
    assert "0 difference(s)" in counterfoil(demo, "pages", "seen-to", "--note", "None.").stdout


async def test_the_specimen_is_a_payment_page_in_a_browser(
    page: Page, watch: Watch, demo: Demo
) -> None:
    """It says what it is, and takes nothing."""
    await page.goto(f"{demo.checkout}/c/specimen")
    said = await page.locator("main").inner_text()
    answer = await page.request.post(
        f"{demo.checkout}/c/specimen", headers={"Sec-Fetch-Site": "same-origin"}, form={"try": "0"}
    )

    assert "A specimen: nothing can be paid here." in said
    assert answer.status == 404
