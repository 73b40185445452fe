"""
Who may open which page, and whose forms are taken.
"""

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from counterfoil.people.roles import RIGHTS, Right, Role
from counterfoil.web import forms, session
from counterfoil.web.application import CHECKOUT_PAGES, PAGES
from counterfoil.web.forms import local_path
from counterfoil.web.session import COOKIE, HALF_COOKIE
from payment_stage import Stage
from web_stage import CHECKOUT_ORIGIN, PASSWORD, Site, words

OPEN = {
    "/sign-in",
    "/sign-in/second",
    "/sign-in/passkey",
    "/sign-in/passkey/options",
    "/sign-in/passkey/alone",
    "/sign-in/passkey/alone/options",
    "/welcome",
    "/reset",
}


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def test_every_page_names_a_right_or_says_for_whom_it_is() -> None:
    """What names nothing is one of the few that every signed-in person needs."""
    everybodys = {"/", "/sign-out"}
    for each in PAGES:
        is_oneself = each.path.startswith(("/me", "/step-up"))
        assert each.right or each.open_to_all or is_oneself or each.path in everybodys, each.path
        assert not each.open_to_all or each.path in OPEN, each.path
    assert all(each.right is None and each.open_to_all for each in CHECKOUT_PAGES)


def test_an_owner_may_everything_and_a_clerk_only_take_payments() -> None:
    """Deny is what is left."""
    assert RIGHTS[Role.OWNER] == set(Right)
    assert RIGHTS[Role.CLERK] == {Right.TAKE_PAYMENTS}
    assert Right.REFUND not in RIGHTS[Role.BOOKKEEPER] | RIGHTS[Role.DEVELOPER]


async def test_a_stranger_is_sent_to_sign_in_and_back(site: Site) -> None:
    """From every page that is not open."""
    for path in {each.path for each in PAGES if not each.open_to_all and each.method == "GET"}:
        answer = await site.browser().get(path.replace("{", "").replace("}", ""))

        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next=/"), path


async def test_a_link_works_once_and_signs_in(site: Site) -> None:
    """The person is a member afterwards, and the same link has ended."""
    link = await site.link("ada@shop.example", Role.OWNER)
    token = link.partition("=")[2]
    browser = site.browser()
    opened = await browser.get(link)
    form = {"token": token, "name": "Ada Byron", "password": PASSWORD}

    come = await browser.send("/welcome", form)
    again = await site.browser().send("/welcome", form)

    assert "Welcome to" in words(opened)
    assert (come.status_code, come.headers["location"]) == (303, "/")
    assert again.status_code == 410
    cookie = come.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for said in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert said in cookie


async def test_a_link_that_is_too_old_is_none(site: Site) -> None:
    """After an hour."""
    link = await site.link("ada@shop.example", Role.OWNER)
    site.stage.clock.move(3601)

    assert (await site.browser().get(link)).status_code == 410


async def test_password_and_address_sign_in_and_nothing_else_does(site: Site) -> None:
    """The same answer to a wrong password and to a stranger."""
    owner = await site.signed_in()
    address = f"owner-{site.stage.merchant.merchant_id.hex[-12:]}@shop.example"
    browser = site.browser()

    wrong = await browser.send("/sign-in", {"email": address, "password": "not the right one"})
    nobody = await browser.send("/sign-in", {"email": "x@y.example", "password": PASSWORD})
    right = await browser.send("/sign-in", {"email": address.upper(), "password": PASSWORD})

    assert (wrong.status_code, nobody.status_code, right.status_code) == (401, 401, 303)
    assert words(wrong).replace(address, "") == words(nobody).replace("x@y.example", "")
    assert owner.client.cookies[COOKIE] != browser.client.cookies[COOKIE]


async def test_who_signs_out_is_out(site: Site) -> None:
    """Also with a copy of the cookie."""
    browser = await site.signed_in()
    cookie = browser.client.cookies[COOKIE]
    await browser.get("/no-such-page")

    gone = await browser.send("/sign-out", {})
    copy = await site.browser().get("/", Cookie=f"{COOKIE}={cookie}")

    assert (gone.status_code, gone.headers["location"]) == (303, "/sign-in")
    assert copy.headers["location"].startswith("/sign-in")


async def test_a_browser_that_stands_idle_is_out(site: Site) -> None:
    """After fifteen minutes; each look keeps it, for twelve hours at the most."""
    browser = await site.signed_in()
    for _ in range(12 * 6 - 1):
        site.stage.clock.move(600)
        assert "/sign-in" not in (await browser.get("/")).headers["location"]
    site.stage.clock.move(600)
    assert "/sign-in" in (await browser.get("/")).headers["location"]

    other = await site.signed_in(Role.MANAGER)
    site.stage.clock.move(15 * 60)
    assert "/sign-in" in (await other.get("/")).headers["location"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none", "Origin": "null"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_a_form_of_another_site_does_nothing(site: Site, headers: dict[str, str]) -> None:
    """Even with the cookie and the right token."""
    browser = await site.signed_in()
    await browser.get("/no-such-page")

    answer = await browser.send("/sign-out", {}, **headers)

    assert answer.status_code == 403
    assert (await browser.get("/no-such-page")).status_code == 404


async def test_a_form_without_the_sessions_token_does_nothing(site: Site) -> None:
    """Nor with the token of another session."""
    browser, other = await site.signed_in(), await site.signed_in(Role.MANAGER)
    await other.get("/no-such-page")

    for said in ("", other.csrf):
        assert (await browser.send("/sign-out", {"csrf": said})).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/terminal/cards?q=%00a", "/audit?what=%00", "/terminal/refund?q=%00"),
        *("/payments?q=a&q=%00", "/payments/pay_%00", "/deposits/%00", "/sign-in?next=%00"),
    ],
)
async def test_a_character_that_no_database_keeps_is_refused(site: Site, path: str) -> None:
    """In an address as in a form: it is no fault of ours that is logged."""
    answer = await (await site.signed_in()).get(path)

    assert answer.status_code == 400
    assert "that no keyboard has" in words(answer)


async def test_a_body_that_is_too_long_or_never_ends_is_no_form(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a person nor of a browser that reports."""
    monkeypatch.setattr(forms, "BODY_SECONDS_MAX", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"email="
        await asyncio.sleep(10)
        yield b"a"

    browsers = {"/sign-in": site.browser(), "/reports": site.browser(CHECKOUT_ORIGIN)}
    for path, browser in browsers.items():
        kind = "application/csp-report" if path == "/reports" else forms.FORM_TYPE
        headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}
        for content, status in ((b"x" * 40_000, 413), (never(), 408)):
            answer = await browser.client.post(path, content=content, headers=headers)
            assert answer.status_code == status, path


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/\nx", ""),
        *("//[x", "https://[x", "//[::1"),  # What opens a bracket is no address at all.
    ],
)
def test_nobody_is_led_to_another_site(path: str) -> None:
    """Only to a path of ours."""
    assert local_path(path, "/") == "/"
    assert local_path("/payments?q=a", "/") == "/payments?q=a"


async def test_every_answer_forbids_frames_foreign_scripts_and_keeping(site: Site) -> None:
    """Pages, faults and redirects alike."""
    browser = await site.signed_in()
    for path in ("/sign-in", "/", "/no-such-page"):
        headers = (await browser.get(path)).headers

        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "require-trusted-types-for 'script'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["integrity-policy"] == "blocked-destinations=(script), endpoints=(pages)"
        for name in ("cross-origin-opener-policy", "cross-origin-resource-policy"):
            assert headers[name] == "same-origin"
        assert (headers["cache-control"], headers["x-frame-options"]) == ("no-store", "DENY")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert "camera=()" in headers["permissions-policy"]


def test_every_cookie_is_of_this_host_and_for_no_script() -> None:
    """`__Host-` wants Secure, the path / and no domain; a browser takes none of ours otherwise."""
    every_call = [
        call
        for path in Path(session.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
    ]
    calls = [
        call
        for call in every_call
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("set_cookie", "delete_cookie")
    ]
    said_once = [
        ast.literal_eval(call.args[0])
        for call in every_call
        if isinstance(call.func, ast.Name) and call.func.id == "Once"
    ]
    names = {ast.unparse(call.args[0]) for call in calls}
    sites = set()
    for call in calls:
        said = {each.arg: ast.unparse(each.value) for each in call.keywords}
        assert (said["secure"], said["httponly"], said["path"]) == ("True", "True", "'/'")
        assert "domain" not in said
        sites.add((ast.unparse(call.args[0]), said["samesite"]))

    assert len(calls) >= 5
    assert names == {"COOKIE", "HALF_COOKIE", "_cookie(merchant)", "self._cookie"}
    assert len(said_once) == len({*said_once}) == 2
    assert {each[:7] for each in (COOKIE, HALF_COOKIE, *said_once)} == {"__Host-"}
    # A shop's link leads to a payment page: only its cookie comes along then.
    assert {name for name, site in sites if site != "'strict'"} == {"_cookie(merchant)"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 403),
        ({"Origin": CHECKOUT_ORIGIN}, 404),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({}, 403),
    ],
)
async def test_a_payment_pages_form_comes_from_the_page(
    site: Site, headers: dict[str, str], status: int
) -> None:
    """As browsers tell by themselves; one that says nothing is none of today."""
    client = site.browser(CHECKOUT_ORIGIN).client

    answer = await client.post(f"/c/{'A' * 43}", data={"try": "0"}, headers=headers)

    assert answer.status_code == status
