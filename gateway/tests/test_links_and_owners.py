"""
What a one-time link may change about somebody who works here already, or no more.
"""

import asyncio
from datetime import timedelta

import pytest
from counterfoil.people.roles import Role
from counterfoil.store.members import MemberStore
from payment_stage import Stage
from web_stage import PASSWORD, Site


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


def _store(site: Site) -> MemberStore:
    return MemberStore(site.stage.database, site.stage.road.ids)


async def _roles(site: Site) -> dict[str, str]:
    rows = await _store(site).members(site.stage.merchant.merchant_id)
    return {row["email"]: row["role"] for row in rows}


async def _use(site: Site, link: str, name: str = "Bob") -> int:
    form = {"token": link.partition("=")[2], "name": name, "password": PASSWORD}
    return (await site.browser().send("/welcome", form)).status_code


async def test_an_invitation_takes_no_ownership_away(site: Site) -> None:
    """Nor leaves a merchant without an owner."""
    await site.signed_in()
    owner = site.address_of()

    await _use(site, await site.link(owner, Role.CLERK))

    assert await _roles(site) == {owner: "owner"}


async def test_whoever_has_come_uses_no_earlier_link(site: Site) -> None:
    """The other links of the same address end with the one that is used."""
    first = await site.link("bob@shop.example", Role.MANAGER)
    second = await site.link("bob@shop.example", Role.CLERK)

    used = await _use(site, second)
    again = await _use(site, first)

    assert (used, again) == (303, 410)
    assert await _roles(site) == {"bob@shop.example": "clerk"}


async def test_an_address_that_somebody_took_first_opens_nothing_to_them(site: Site) -> None:
    """Another merchant's link takes the password of the address; without it nothing is used."""
    other = await Site.of(await Stage.set_up(site.stage.database))
    bob = f"bob-{site.stage.merchant.merchant_id.hex[-12:]}@shop.example"
    await _use(site, await site.link(bob, Role.CLERK))
    link = await other.link(bob, Role.OWNER)
    form = {
        "token": link.partition("=")[2],
        "name": "Bob",
        "password": "five words of the real person",
    }

    wrong = await other.browser().send("/welcome", form)
    before = await _roles(other)
    right = await _use(other, link)

    assert (wrong.status_code, right) == (422, 303)
    assert before == {}
    assert await _roles(other) == {bob: "owner"}


async def test_links_that_somebody_made_end_with_their_work(site: Site) -> None:
    """An owner who is ended comes back by none that they kept for another address."""
    await site.signed_in()
    await _use(site, await site.link("bob@shop.example", Role.OWNER))
    merchant_id, now = site.stage.merchant.merchant_id, site.stage.clock.now()
    found = {each["email"]: each for each in await _store(site).members(merchant_id)}
    bob = found["bob@shop.example"]["user_id"]
    await site.desk.people.invite(
        "kept-for-later",
        merchant_id,
        "eve@shop.example",
        Role.OWNER,
        by=f"user:{bob.hex}",
        now=now,
        expires_at=now + timedelta(hours=1),
    )

    assert await _store(site).end_member(merchant_id, bob, by="cli:test", now=now)

    assert await _use(site, "/welcome?token=kept-for-later") == 410


async def test_of_many_links_at_once_one_is_used(site: Site) -> None:
    """And none waits for another forever."""
    roles = [Role.MANAGER, Role.CLERK, Role.BOOKKEEPER, Role.DEVELOPER]
    links = [await site.link("bob@shop.example", role) for role in roles]

    answers = await asyncio.gather(*(_use(site, link) for link in links))

    assert sorted(answers) == [303, 410, 410, 410]
    assert (await _roles(site))["bob@shop.example"] == roles[answers.index(303)]


async def test_whoever_works_here_no_more_comes_back_by_no_link_from_before(site: Site) -> None:
    """Only by one that was made afterwards."""
    await site.signed_in()
    await site.signed_in(Role.CLERK)
    clerk, merchant_id = site.address_of(Role.CLERK), site.stage.merchant.merchant_id
    before = await site.link(clerk, Role.CLERK)
    found = {each["email"]: each for each in await _store(site).members(merchant_id)}[clerk]
    now = site.stage.clock.now()
    assert await _store(site).end_member(merchant_id, found["user_id"], by="cli:test", now=now)

    old = await _use(site, before)
    new = await _use(site, await site.link(clerk, Role.CLERK))

    assert (old, new) == (410, 303)
    assert (await _roles(site))[clerk] == "clerk"
