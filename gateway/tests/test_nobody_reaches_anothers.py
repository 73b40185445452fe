"""
Every page of the merchants' origin, whoever wrote it: what is one merchant's is nobody else's, and
no form is taken that was not sent from a page of ours.

The addresses are found as a person finds them, by following links and forms, so that a page which
is added is tried without being listed here.
"""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from counterfoil import ids
from counterfoil.web.application import PAGES
from counterfoil.web.visit import Page
from payment_stage import Stage
from test_terminal_pages import charged
from web_stage import Site, WindowlessBrowser

ADDRESSES_MAX = 300
DAY = "2026-11-22"
_LINK = re.compile(r'(?:href|action)="(/[^"#]*)')
_NAMED = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"\\\{\w+\\\}")
# What is named by something that is nobody's own, such as a day.
SHARED = {"/reports/{day}", "/reports/{day}.csv", "/reports/{day}.pdf"}


def pattern(page: Page) -> re.Pattern[str]:
    """Return what the addresses of *page* look like."""
    return re.compile(_NAME.sub("[^/]+", re.escape(page.path)))


class Found:
    """
    One address of each page that links and forms of a signed-in person lead to.
    """

    def __init__(self) -> None:
        self.addresses: dict[tuple[str, str], str] = {}

    async def walk(self, browser: WindowlessBrowser, first: list[str]) -> None:
        """Follow every link once for each page."""
        waiting = [new for path in first for new in self._news(path)]
        while waiting and len(self.addresses) < ADDRESSES_MAX:
            answer = await browser.get(waiting.pop(0))
            led = [answer.headers["location"]] if answer.status_code == 303 else []
            for link in (*led, *map(unescape, _LINK.findall(answer.text))):
                waiting += self._news(link.partition("?")[0])

    def _news(self, path: str) -> Iterator[str]:
        own = any(each.path == path for each in PAGES)  # `/links/new` names no link.
        for page in PAGES:
            key = (page.method, page.path)
            if own and "{" in page.path:
                continue
            if key not in self.addresses and pattern(page).fullmatch(path):
                self.addresses[key] = path
                if page.method == "GET":
                    yield path

    def infer(self) -> None:
        """Note also the pages whose link is only there at times, from the names that are known."""
        names: dict[str, str] = {}
        for (_, route), path in self.addresses.items():
            named = re.compile(_NAMED.sub(r"(?P<\1>[^/]+)", route)).fullmatch(path)
            names |= named.groupdict() if named else {}
        for page in PAGES:
            wanted = _NAMED.findall(page.path)
            if wanted and names.keys() >= set(wanted):
                self.addresses.setdefault((page.method, page.path), page.path.format(**names))

    def named(self) -> dict[tuple[str, str], str]:
        """Return those that name something of the merchant's."""
        return {
            key: path
            for key, path in self.addresses.items()
            if "{" in key[1] and key[1] not in SHARED
        }


async def step_up(site: Site) -> None:
    """Let everybody have proved anew who they are."""
    now = site.stage.clock.now()
    await site.stage.sql("UPDATE web_sessions SET stepped_up_at = $1", now)


@pytest.fixture
async def found(stage: Stage) -> tuple[Site, WindowlessBrowser, Found]:
    """A merchant that has one of everything, and where all of it is."""
    site = await Site.of(stage)
    paid = await stage.paid(order_number="1001", customer_email="ada@shopper.example")
    owner = await site.signed_in()
    await step_up(site)
    await owner.get("/people")
    forms = {
        "/people/invitations": {"email": "bob@shop.example", "role": "clerk"},
        "/settings/screening/blocks": {
            "kind": "email",
            "value": "eve@evil.example",
            "reason": "steals",
        },
        "/developers/keys/new": {"name": "shop", "days": ""},
        "/developers/webhooks/new": {
            "url": "https://hooks.example/x",
            "endpoint_id": ids.written(ids.ENDPOINT, stage.road.ids.new()),
        },
        "/links": {"kind": "fixed", "amount": "10.00", "currency": "USD", "description": "Tea"},
    }
    for path, form in forms.items():
        await owner.send(path, form)
    await stage.sql(
        "INSERT INTO passkeys (passkey_id, user_id, credential_id, public_key, sign_count, name, "
        "made_at) SELECT session_id, user_id, token_hash, '', 0, 'laptop', created_at "
        "FROM web_sessions WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    await stage.sql(
        "INSERT INTO page_reports (merchant_id, report_id, page, directive, refused, times, "
        "first_at, last_at) VALUES ($1, gen_random_uuid(), '/c/{token}', 'img-src', 'data', 1, "
        "now(), now())",
        stage.merchant.merchant_id,
    )
    known = Found()
    firsts = [each.path for each in PAGES if "{" not in each.path and each.method == "GET"]
    receipt = f"/payments/{ids.written(ids.PAYMENT, paid.payment_id)}/receipt"
    await charged(owner, keep="on", name="Ada Byron")
    await known.walk(owner, [*firsts, receipt])
    known.infer()
    return site, owner, known


async def test_what_is_one_merchants_is_not_found_by_another(
    found: tuple[Site, WindowlessBrowser, Found],
) -> None:
    """Not read, not changed: the same answer as for what there never was."""
    site, _, known = found
    other = await Site.of(await Stage.set_up(site.stage.database))
    stranger = await other.signed_in()
    await step_up(site)
    await stranger.get("/people")

    wrong = {}
    for (method, path), address in known.named().items():
        answer = await (stranger.get(address) if method == "GET" else stranger.send(address, {}))
        if answer.status_code != 404:
            wrong[f"{method} {path}"] = answer.status_code

    assert wrong == {}
    assert len(known.named()) > 20, sorted(known.named())


async def test_every_page_that_names_something_was_tried(
    found: tuple[Site, WindowlessBrowser, Found],
) -> None:
    """But those whose thing an evening of settlement makes, a finding, or a webhook sent."""
    _, _, known = found
    named = {(each.method, each.path) for each in PAGES if "{" in each.path}
    missed = {
        f"{method} {path}"
        for method, path in named - set(known.addresses)
        if path not in SHARED
        and not any(each in path for each in ("deposit", "deliver", "finding", "files"))
    }

    assert missed == set()


async def test_no_form_is_taken_without_the_sessions_token_or_from_elsewhere(
    found: tuple[Site, WindowlessBrowser, Found],
) -> None:
    """Whichever it is."""
    _, owner, known = found
    taken = set()
    for page in PAGES:
        if page.method != "POST" or page.open_to_all:
            continue
        path = known.addresses.get((page.method, page.path), page.path)
        without = await owner.send(path, {"csrf": ""})
        foreign = await owner.send(path, {}, **{"Sec-Fetch-Site": "cross-site"})
        if (without.status_code, foreign.status_code) != (403, 403):
            taken.add(page.path)

    assert taken == set()
    assert (await owner.get("/people")).status_code == 200
