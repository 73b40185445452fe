"""
Whose address counts behind a proxy: what a trusted one adds, and nothing that anybody made up.
"""

from typing import Any
from uuid import UUID

import pytest
from counterfoil.config import ConfigurationRefused, Web, load
from counterfoil.people import limits
from counterfoil.people.roles import Role
from counterfoil.web import link_page
from payment_stage import Stage
from test_payment_links import made
from web_stage import CHECKOUT_ORIGIN, ORIGIN, PASSWORD, Site, WindowlessBrowser

PROXY, INNER = "10.1.0.5", "192.0.2.80"
TRUSTED = ("10.1.0.0/16", INNER)
ADA, BOB, STRANGER, LIAR = "203.0.113.7", "203.0.113.8", "198.51.100.71", "198.51.100.72"


async def site_of(stage: Stage, *trusted: str) -> Site:
    site = await Site.of(stage, web=Web(trusted_proxies=trusted))
    await site.signed_in(Role.OWNER)
    return site


def forwarded(said: str) -> dict[str, Any]:
    return {"X-Forwarded-For": said}


async def seen(site: Site, address: str, said: str) -> str:
    """Sign in from *address* with this header; return the address that is kept."""
    browser, before = site.browser(ORIGIN, address), await addresses(site)
    form = {"email": site.address_of(), "password": PASSWORD}
    answer = await browser.send("/sign-in", form, **forwarded(said))
    assert answer.status_code == 303, answer.text
    (kept,) = (await addresses(site)).items() - before.items()
    return kept[1]


async def addresses(site: Site) -> dict[UUID, str]:
    """Return the addresses of everybody who is signed in at the stage's merchant."""
    rows = await site.stage.sql(
        "SELECT session_id, address FROM web_sessions WHERE merchant_id = $1",
        site.stage.merchant.merchant_id,
    )
    return {row["session_id"]: row["address"] for row in rows}


@pytest.mark.parametrize(
    ("peer", "said", "kept"),
    [
        (PROXY, ADA, ADA),
        (PROXY, f"{STRANGER}, {ADA}", ADA),  # The stranger's is what Ada's browser made up.
        (PROXY, f"{STRANGER}, {ADA}, {INNER}", ADA),
        (PROXY, f"{PROXY}, {ADA}", ADA),
        (PROXY, f"{ADA}:51234", ADA),
        (PROXY, "[2001:db8::7]:51234", "2001:db8::7"),
        (PROXY, "", PROXY),
        (f"::ffff:{PROXY}", f"{STRANGER}, {ADA}", ADA),
        (f"::ffff:{STRANGER}", ADA, f"::ffff:{STRANGER}"),
        (STRANGER, ADA, STRANGER),
        (STRANGER, f"{ADA}, {PROXY}", STRANGER),
        ("127.0.0.1", ADA, "127.0.0.1"),
    ],
)
async def test_the_last_address_that_is_no_proxys_is_believed(
    stage: Stage, peer: str, said: str, kept: str
) -> None:
    """From a proxy that is trusted; what anybody else says of themselves is not looked at."""
    site = await site_of(stage, *TRUSTED)

    assert await seen(site, peer, said) == kept


async def test_nobody_is_a_proxy_until_they_are_named(stage: Stage) -> None:
    """Not even this machine."""
    site = await site_of(stage)

    for peer in (PROXY, "127.0.0.1"):
        assert await seen(site, peer, ADA) == peer


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        (PROXY, f"192.0.2.{{number}}, {STRANGER}"),  # Behind a proxy, which adds who asked.
        (LIAR, ADA),  # No proxy: counted by where they are, and Ada is not locked.
    ],
)
async def test_wrong_tries_lock_who_makes_them_whatever_they_make_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, peer: str, said: str
) -> None:
    """The others of the proxy come in."""
    monkeypatch.setattr(limits, "ADDRESS_TRIES_MAX", 3)
    site = await site_of(stage, *TRUSTED)
    browser = site.browser(ORIGIN, peer)

    statuses = [
        (
            await browser.send(
                "/sign-in",
                {"email": f"nobody-{number}@shop.example", "password": "x" * 20},
                **forwarded(said.format(number=number)),
            )
        ).status_code
        for number in range(5)
    ]

    assert statuses == [401, 401, 401, 429, 429]
    assert await seen(site, PROXY, ADA) == ADA


async def test_behind_a_proxy_a_link_pauses_for_one_and_not_for_the_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without one."""
    monkeypatch.setattr(link_page, "ADDRESS_PAGES_MAX", 2)
    site = await site_of(stage, *TRUSTED)
    _, link = await made(await site.signed_in(Role.MANAGER))
    browser: WindowlessBrowser = site.browser(CHECKOUT_ORIGIN, PROXY)
    await browser.get(link)

    for address, expected in ((ADA, [303, 303, 429]), (BOB, [303, 303, 429])):
        answers = [await browser.send(link, {}, **forwarded(address)) for _ in range(3)]
        assert [each.status_code for each in answers] == expected


@pytest.mark.parametrize("wrong", ["proxy.example", "10.1.0.5/16", "*", "0.0.0.0/0", "::/0", ""])
def test_a_proxy_that_is_no_address_is_refused_at_start(wrong: str) -> None:
    """In a sentence that names the setting: by mistake everybody could make addresses up."""
    with pytest.raises(ConfigurationRefused, match="trusted_proxies"):
        load(None, {"COUNTERFOIL_WEB_TRUSTED_PROXIES": f"127.0.0.1,{wrong}"})


def test_proxies_are_named_in_the_environment_with_commas() -> None:
    """Like other lists."""
    found = load(None, {"COUNTERFOIL_WEB_TRUSTED_PROXIES": "127.0.0.1,10.1.0.0/16,2001:db8::/48"})

    assert found.web.trusted_proxies == ("127.0.0.1", "10.1.0.0/16", "2001:db8::/48")
