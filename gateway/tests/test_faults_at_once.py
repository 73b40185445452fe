"""
Forms tell everything that is wrong with them at once, each at its field.
"""

import re
from pathlib import Path

import pytest
from counterfoil.people.roles import Role
from counterfoil.web import rendering
from payment_stage import Stage
from web_stage import Site

TEMPLATES = Path(rendering.__file__).parent / "templates"
FORM = re.compile(r"<form .*?</form>", re.DOTALL)
FAULTS = re.compile(r"faults\.get\(|\bfaults\b|, fault[,)]")
# An empty try to prove who one is would count as a wrong one: browsers hold it back.
PROVING = ("sign-in", "second-step", "step-up", "welcome", "reset", "me-", "terminal-")


@pytest.mark.parametrize("template", sorted(each.name for each in TEMPLATES.glob("*.html")))
def test_no_browser_stops_a_form_at_its_first_fault(template: str) -> None:
    """The page tells all of them, in words of ours, where a browser shows one in a bubble."""
    text = (TEMPLATES / template).read_text()
    if template.startswith(PROVING):
        return

    for form in FORM.finditer(text):
        if FAULTS.search(form[0]):
            assert "novalidate" in form[0].splitlines()[0], form[0][:200]


@pytest.mark.parametrize(
    ("path", "form", "fields"),
    [
        (
            "/settings/business",
            {"name": "", "city": "", "region": "ABCD", "country": "ZZ", "email": "x"},
            ["name", "city", "region", "country", "email"],
        ),
        (
            "/settings/payments",
            {"acknowledge_seconds": "1", "partial_approvals": "x"},
            ["acknowledge_seconds", "partial_approvals"],
        ),
        ("/settings/day", {"timezone": "Mars", "cutoff": "25:00"}, ["timezone", "cutoff"]),
        (
            "/settings/screening/blocks",
            {"kind": "bin", "value": "x", "reason": ""},
            ["value", "reason"],
        ),
        ("/people/invitations", {"email": "x", "role": "king"}, ["email", "role"]),
        ("/developers/keys/new", {"name": "", "days": "x"}, ["name", "days"]),
        (
            "/developers/webhooks/new",
            {"url": "http://127.0.0.1/x", "description": "x" * 256},
            ["url", "description"],
        ),
    ],
)
async def test_everything_that_is_wrong_is_told_at_once(
    stage: Stage, path: str, form: dict[str, str], fields: list[str]
) -> None:
    """At its field, and above the form."""
    site = await Site.of(stage)
    browser = await site.signed_in(Role.OWNER)
    await browser.get("/settings")
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())

    answer = await browser.send(path, form)

    assert answer.status_code == 422
    for name in fields:
        assert f'id="{name}-said"' in answer.text, name
        assert f'href="#{name}"' in answer.text, name


async def test_every_return_address_that_is_none_is_named(stage: Stage) -> None:
    """Not only the first."""
    site = await Site.of(stage)
    browser = await site.signed_in(Role.OWNER)
    await browser.get("/settings")
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    typed = "https://shop.example\nftp://a.example\nhttps://b.example/path"

    answer = await browser.send("/developers/return-addresses", {"origins": typed})

    assert answer.status_code == 422
    assert "ftp://a.example:" in answer.text
    assert "https://b.example/path:" in answer.text
