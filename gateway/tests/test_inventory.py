"""
The inventory of scripts and styles: every file, with hash and reason; every tag, with its hash.
"""

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from checkout_stage import PageStage
from counterfoil.checkouts import inventory as listing
from counterfoil.checkouts.inventory import STATIC, inventory, not_as_listed, of_payment_pages
from counterfoil.checkouts.policy import HEADERS, policy_of
from counterfoil.cli import pages as commands
from payment_stage import Stage
from web_stage import CHECKOUT_ORIGIN, Site, WindowlessBrowser

ROOT = Path(__file__).parents[2]
TEMPLATES = STATIC.parent / "templates"
AGAIN = "run `make inventory`, and say why a new file is needed"


def the_script() -> Any:
    spec = importlib.util.spec_from_file_location("make", ROOT / "tools" / "make_inventory.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tags(HTMLParser):
    """Scripts and stylesheets of a page, by their addresses without the query."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is loaded."""
        said = dict(attrs)
        if tag == "script" or (tag == "link" and said.get("rel") == "stylesheet"):
            address = said.get("src") or said.get("href") or "inline"
            self.found[address.partition("?")[0]] = said.get("integrity")


def test_the_inventory_is_of_the_files_that_lie_there() -> None:
    """Each with its hash, with who loads it, and with a reason."""
    reasons = {each.file: each.why for each in inventory().values()}

    assert the_script().made(reasons) == list(inventory().values()), AGAIN
    assert all(each.why and each.loaded_by for each in inventory().values()), AGAIN


def test_one_changed_byte_makes_the_inventory_red(tmp_path: Path) -> None:
    """As do a file that nobody has listed, and one that is missing."""
    for each in inventory():
        (tmp_path / each).write_bytes((STATIC / each).read_bytes())
    assert not_as_listed(tmp_path) == []
    changed = (tmp_path / "pay.js").read_bytes()
    (tmp_path / "pay.js").write_bytes(changed[:-2] + b"!" + changed[-1:])
    (tmp_path / "more.js").write_bytes(b"")
    (tmp_path / "pay.css").unlink()

    assert not_as_listed(tmp_path) == ["more.js", "pay.css", "pay.js"]


def test_no_template_loads_a_script_or_a_style_but_by_the_inventory() -> None:
    """What stands in a receipt that is a file of its own is no page of ours."""
    written = re.compile(r"<script|<link[^>]*stylesheet|<style")
    found = [each.name for each in TEMPLATES.glob("*.html") if written.search(each.read_text())]

    assert found == ["receipt-file.html"]


def test_a_payment_page_runs_two_scripts() -> None:
    """Whoever adds one thinks about it here."""
    scripts = [each.file for each in of_payment_pages() if each.is_script]

    assert scripts == ["card-fields.js", "pay.js"]


async def test_every_tag_of_a_page_carries_the_hash_of_the_inventory(stage: Stage) -> None:
    """On a payment page, at the sign-in, and where a card is keyed in."""
    site, pages = await Site.of(stage), PageStage(stage)
    opened = pages.checkouts.url(await pages.opened()).rpartition("/")[2]
    shopper, owner = site.browser(CHECKOUT_ORIGIN), await site.signed_in()

    async def tags(browser: WindowlessBrowser, path: str) -> dict[str, str | None]:
        return Tags((await browser.get(path)).text).found

    paying = await tags(shopper, f"/c/{opened}")
    assert paying == {each.path: each.integrity for each in of_payment_pages()}
    for path in ("/sign-in", "/terminal", "/today", "/me"):
        found = await tags(owner, path)
        assert "/static/tokens.css" in found
        for address, integrity in found.items():
            assert integrity == inventory()[address.removeprefix("/static/")].integrity


def test_the_policy_of_payment_pages_names_the_hash_and_no_place() -> None:
    """A script of our own origin that is not listed does not run either."""
    hashes = " ".join(f"'{each.integrity}'" for each in of_payment_pages() if each.is_script)

    assert f"script-src {hashes};" in HEADERS["Content-Security-Policy"]
    assert "script-src 'none';" in policy_of(())


async def test_static_files_are_for_our_own_pages(stage: Stage) -> None:
    """Of the right type, and for no other site's page."""
    site = await Site.of(stage)
    for origin in (CHECKOUT_ORIGIN, site.browser().origin):
        answer = await site.browser(origin).get("/static/pay.js")

        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_where_a_tag_takes_its_hash_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the list, not from the file: a file that was changed does not vouch for itself."""
    from counterfoil.web import rendering

    (tmp_path / "pay.js").write_bytes(b"steal()")
    monkeypatch.setattr(rendering, "STATIC", tmp_path)
    rendering.static_url.cache_clear()
    try:
        tag = rendering.script_tag("pay.js")
    finally:
        rendering.static_url.cache_clear()

    assert listing.inventory()["pay.js"].integrity in tag


def test_the_command_lists_what_payment_pages_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As data, and says which file of this machine is not as listed."""
    monkeypatch.setattr(commands, "not_as_listed", lambda: ["pay.js"])

    commands.inventory_(json=True)
    said = {each["path"]: each for each in msgspec.json.decode(capsys.readouterr().out)}
    commands.inventory_()

    assert set(said) == {each.path for each in of_payment_pages()}
    assert said["/static/pay.js"]["integrity"] == inventory()["pay.js"].integrity
    assert not said["/static/pay.js"]["as_listed"]
    assert "NOT AS LISTED: pay.js" in capsys.readouterr().out


def test_no_script_keeps_listens_or_makes_marks_of_text() -> None:
    """ASVS 14.3.3 and 3.5.5: no storage, no messages of other windows."""
    told = re.compile(
        r"localStorage|indexedDB|document\.cookie|postMessage|[\"']message[\"']"
        r"|\beval\(|new Function|outerHTML|insertAdjacentHTML|document\.write"
    )
    scripts = {each: (STATIC / each).read_text() for each in inventory() if each.endswith(".js")}

    assert [name for name, text in scripts.items() if told.search(text)] == []
    assert [name for name, text in scripts.items() if "innerHTML" in text] == ["live.js"]
    # What a clerk had typed when their sign-in ended, without the card; and until when the rest of
    # a swipe may come: a time, and nothing of the swipe.
    keeping = {name for name, text in scripts.items() if "sessionStorage" in text}
    assert keeping == {"swipes.js", "terminal.js"}
    kept = re.findall(r"sessionStorage\.setItem\((.*)\);", scripts["swipes.js"])
    assert kept == ["REST_UNTIL, String(Date.now() + REST_MS)"]


def test_a_payment_pages_script_sends_nothing_anywhere() -> None:
    """The policy would not let it, either: there is no `connect-src`."""
    sends = re.compile(r"fetch\(|XMLHttpRequest|sendBeacon|WebSocket|EventSource|new Image|\.src\b")
    scripts = [each for each in of_payment_pages() if each.is_script]

    assert [each for each in scripts if sends.search((STATIC / each.file).read_text())] == []
    assert "connect-src" not in HEADERS["Content-Security-Policy"]
