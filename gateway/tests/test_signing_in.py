"""
Signing in: tries that are counted, locks, step-ups, passwords that are changed, resets.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from counterfoil.people import limits
from counterfoil.people.factors import hash_of_recovery
from counterfoil.people.roles import Role
from counterfoil.store.sign_ins import SignInStore
from counterfoil.web.proving import NOBODYS
from counterfoil.web.session import COOKIE
from payment_stage import Stage
from web_stage import PASSWORD, Site, WindowlessBrowser, words

NEW_PASSWORD = "violet gravel moth tundra"
WRONG = "not the right one, surely"


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


async def try_it(site: Site, password: str, email: str = "", **at: str) -> Any:
    """Sign in from a new browser, and return what came."""
    form = {"email": email or site.address_of(), "password": password}
    return await site.browser(**at).send("/sign-in", form)


async def noted(site: Site, *whats: str) -> list[str]:
    """Return what is in the merchant's list of changes, of these."""
    rows = await site.stage.sql(
        "SELECT what FROM people_events WHERE merchant_id = $1 AND what = ANY($2) "
        "ORDER BY event_id",
        site.stage.merchant.merchant_id,
        list(whats),
    )
    return [row["what"] for row in rows]


async def step_up(browser: WindowlessBrowser, path: str = "/me/password") -> Any:
    """Prove anew who one is, by password."""
    opened = await browser.get(path)
    assert opened.headers["location"].startswith("/step-up?next="), opened.status_code
    await browser.get(opened.headers["location"])
    return await browser.send("/step-up", {"password": PASSWORD, "next": path})


async def test_ten_wrong_tries_lock_an_account_for_half_an_hour(site: Site) -> None:
    """A right password meanwhile does not sign in; all of it is written down."""
    await site.signed_in()
    statuses = [(await try_it(site, WRONG)).status_code for _ in range(limits.ACCOUNT_TRIES_MAX)]
    locked = await try_it(site, PASSWORD)
    site.stage.clock.move(29 * 60)
    still = await try_it(site, PASSWORD)
    site.stage.clock.move(61)
    after = await try_it(site, PASSWORD)

    assert statuses == [401] * 10
    assert (locked.status_code, still.status_code, after.status_code) == (429, 429, 303)
    assert COOKIE not in locked.headers.get("set-cookie", "")
    found = await noted(site, "sign_in_failed", "sign_in_locked")
    assert found == ["sign_in_failed"] * 10 + ["sign_in_locked"]


async def test_many_tries_at_once_are_no_more_than_ten(site: Site) -> None:
    """Each is taken before it is judged."""
    await site.signed_in()
    answers = await asyncio.gather(*(try_it(site, WRONG) for _ in range(14)))

    assert sorted(each.status_code for each in answers) == [401] * 10 + [429] * 4


async def test_a_name_that_nobody_has_is_locked_with_the_same_words(site: Site) -> None:
    """Whoever asks learns nothing about who is known here."""
    await site.signed_in()
    email = f"{uuid4().hex}@nobody.example"
    mine = [await try_it(site, WRONG) for _ in range(11)]
    nobodys = [await try_it(site, WRONG, email) for _ in range(11)]

    for known, unknown in zip(mine, nobodys, strict=True):
        assert known.status_code == unknown.status_code
        assert words(known) == words(unknown)
    assert nobodys[-1].status_code == 429


async def test_a_sign_in_forgives_the_wrong_tries_before(site: Site) -> None:
    """Nine and nine with a right one between lock nothing."""
    await site.signed_in()
    for _ in range(2):
        for _ in range(limits.ACCOUNT_TRIES_MAX - 1):
            await try_it(site, WRONG)
        assert (await try_it(site, PASSWORD)).status_code == 303


async def test_an_address_is_locked_and_accounts_are_not_with_it(site: Site) -> None:
    """Fifty wrong tries on many names; the next person elsewhere signs in."""
    await site.signed_in()
    store = SignInStore(site.stage.database, site.stage.road.ids)
    there = "2001:db8:1:2::7"
    vault = site.stage.road.vault
    limit = limits.of_address(there, lambda text: vault.keyed_digest(b"sign-in", NOBODYS, text))
    assert limit
    for _ in range(limits.ADDRESS_TRIES_MAX):
        await store.take_try(limit, site.stage.clock.now())

    locked = await try_it(site, PASSWORD, address="2001:db8:1:2:ffff::1")
    elsewhere = await try_it(site, PASSWORD, address="2001:db8:1:3::7")

    assert (locked.status_code, elsewhere.status_code) == (429, 303)


async def test_old_tries_are_forgotten_and_the_table_is_bounded(site: Site) -> None:
    """By the next try of anybody; strangers fall into a fixed number of rows."""
    store, now = SignInStore(site.stage.database, site.stage.road.ids), site.stage.clock.now()
    old, new = limits.Limit(f"old:{uuid4()}", 10), limits.Limit(f"new:{uuid4()}", 10)
    await store.take_try(old, now)
    await store.take_try(new, now + limits.COUNTED_FOR + timedelta(seconds=1))

    rows = await site.stage.sql("SELECT FROM sign_in_tries WHERE subject = $1", old.subject)
    assert rows == []
    made = {
        limits.of_account(None, f"{each}@x.example", lambda text: text[:1] * 4).subject
        for each in range(1000)
    }
    assert len(made) == 10
    assert limits.of_address("127.0.0.1", lambda text: text) is None
    assert limits.of_address("::ffff:127.0.0.1", lambda text: text) is None


def test_an_address_that_comes_wrapped_is_the_one_in_it() -> None:
    """On a socket for IPv4 and IPv6: else all of IPv4 would share one count."""

    def said(address: str) -> list[bytes]:
        asked: list[bytes] = []
        limits.of_address(address, lambda text: asked.append(text) or text)  # type: ignore[func-returns-value]
        return asked

    assert said("::ffff:198.51.100.1") == said("198.51.100.1") != said("::ffff:198.51.100.2")


async def test_a_step_up_leads_back_with_a_new_cookie(site: Site) -> None:
    """The one before is worth nothing, so nobody planted it."""
    browser = await site.signed_in()
    before = browser.client.cookies[COOKIE]
    answer = await step_up(browser)

    assert (answer.status_code, answer.headers["location"]) == (303, "/me/password")
    after = browser.client.cookies[COOKIE]
    assert after != before
    assert (await browser.get("/me/password")).status_code == 200
    old = await site.browser().get("/me", Cookie=f"{COOKIE}={before}")
    assert old.headers["location"].startswith("/sign-in")
    site.stage.clock.move(5 * 60)
    assert (await browser.get("/me/password")).status_code == 303


async def test_a_wrong_step_up_counts_as_a_try_and_leads_nowhere_else(site: Site) -> None:
    """The same ten; `next` is a path of ours or nothing."""
    browser = await site.signed_in()
    await browser.get("/step-up")
    form = {"password": WRONG, "next": "https://evil.example/"}
    for _ in range(limits.ACCOUNT_TRIES_MAX):
        wrong = await browser.send("/step-up", form)
        assert wrong.status_code == 401
        assert WRONG not in wrong.text
        assert "evil" not in wrong.text
    right = await browser.send("/step-up", {"password": PASSWORD, "next": "/me"})

    assert right.status_code == 429
    assert (await noted(site, "step_up_failed", "sign_in_locked"))[-1] == "sign_in_locked"


async def test_a_wrong_step_up_is_written_down_by_name_and_its_lock_holds(site: Site) -> None:
    """Who is signed in is known; a wrong sign-in stays somebody's whom nobody knows."""
    await try_it(site, WRONG)
    browser = await site.signed_in()
    await try_it(site, WRONG)
    await browser.get("/step-up")
    for _ in range(limits.ACCOUNT_TRIES_MAX - 1):
        await browser.send("/step-up", {"password": WRONG, "next": "/me"})
    locked = await browser.send("/step-up", {"password": PASSWORD, "next": "/me"})
    rows = await site.stage.sql(
        "SELECT DISTINCT what, actor FROM people_events WHERE merchant_id = $1 AND what IN "
        "('step_up_failed', 'sign_in_locked', 'sign_in_failed') ORDER BY what",
        site.stage.merchant.merchant_id,
    )
    (ada,) = await site.stage.sql("SELECT user_id FROM users WHERE email = $1", site.address_of())
    actor = f"user:{ada['user_id'].hex}"
    said = words(await browser.get("/audit"))
    keys = await browser.get("/developers/keys/new")
    await browser.get("/me")
    site.stage.clock.move(14 * 60)
    await browser.get("/me")
    site.stage.clock.move(14 * 60)
    await browser.get("/me")
    site.stage.clock.move(3 * 60)
    after = await browser.send("/step-up", {"password": PASSWORD, "next": "/me"})

    assert [tuple(row) for row in rows] == [
        ("sign_in_failed", "stranger"),
        ("sign_in_locked", actor),
        ("step_up_failed", actor),
    ]
    assert "Ada Byron Wrong step-up gave a wrong proof of being" in said
    assert "somebody not signed in Wrong password tried a wrong password of" in said
    assert "There were too many wrong tries. Wait half an hour" in words(locked)
    assert keys.headers["location"].startswith("/step-up?next=")
    assert (locked.status_code, after.status_code) == (429, 303)


async def test_signing_in_anew_ends_what_was_before(site: Site) -> None:
    """A cookie that somebody planted signs nobody in."""
    browser = await site.signed_in()
    before = browser.client.cookies[COOKIE]
    await browser.get("/sign-in")
    form = {"email": site.address_of(), "password": PASSWORD}
    assert (await browser.send("/sign-in", form)).status_code == 303

    assert browser.client.cookies[COOKIE] != before
    old = await site.browser().get("/me", Cookie=f"{COOKIE}={before}")
    assert old.headers["location"].startswith("/sign-in")


async def test_a_changed_password_signs_every_other_browser_out(site: Site) -> None:
    """This one stays; the old password is none any more."""
    browser, other = await site.signed_in(), await site.signed_in()
    assert (await other.get("/me")).status_code == 200
    await step_up(browser)
    await browser.get("/me/password")
    changed = await browser.send("/me/password", {"password": NEW_PASSWORD})

    assert changed.headers["location"] == "/me?done=password"
    assert (await browser.get("/me")).status_code == 200
    assert (await other.get("/me")).headers["location"].startswith("/sign-in")
    assert (await try_it(site, PASSWORD)).status_code == 401
    assert (await try_it(site, NEW_PASSWORD)).status_code == 303
    assert await noted(site, "password_changed") == ["password_changed"]


async def test_the_last_four_passwords_are_refused(site: Site) -> None:
    """The fifth before may come again."""
    browser = await site.signed_in()
    await step_up(browser)
    await browser.get("/me/password")
    one_by_one = [f"{NEW_PASSWORD} {word}" for word in ("larch", "onyx", "fjord", "pumice")]
    for each in one_by_one[:3]:
        assert (await browser.send("/me/password", {"password": each})).status_code == 303
        site.stage.clock.move(1)
    for each in (PASSWORD, *one_by_one[:3]):
        refused = await browser.send("/me/password", {"password": each})
        assert refused.status_code == 422
        assert "had this one before" in words(refused)
        assert each not in refused.text
    assert (await browser.send("/me/password", {"password": one_by_one[3]})).status_code == 303
    site.stage.clock.move(1)
    assert (await browser.send("/me/password", {"password": PASSWORD})).status_code == 303


async def test_a_common_password_is_refused_and_not_shown_again(site: Site) -> None:
    """Where one comes for the first time, and where one changes it."""
    link = await site.link("grace@shop.example", Role.CLERK)
    form = {"token": link.partition("=")[2], "name": "Grace", "password": "passwordpassword1"}
    first = await site.browser().send("/welcome", form)
    browser = await site.signed_in()
    await step_up(browser)
    await browser.get("/me/password")
    again = await browser.send("/me/password", {"password": "passwordpassword1"})

    for each in (first, again):
        assert each.status_code == 422
        assert "tried early" in words(each)
        assert "passwordpassword1" not in each.text


async def test_a_link_signs_nobody_in_whom_we_know(site: Site) -> None:
    """It stands for no password: the person becomes a member and signs in as always."""
    await site.signed_in()
    link = await site.link(site.address_of(), Role.OWNER)
    browser = site.browser()
    answer = await browser.send("/welcome", {"token": link.partition("=")[2], "password": PASSWORD})

    assert answer.headers["location"] == "/sign-in?done=joined"
    assert COOKIE not in browser.client.cookies


async def test_a_reset_signs_out_at_once_and_gives_a_new_password_once(site: Site) -> None:
    """Also through a lock; the link works once."""
    browser, token = await site.signed_in(), uuid4().hex
    store, now = SignInStore(site.stage.database, site.stage.road.ids), site.stage.clock.now()
    for _ in range(limits.ACCOUNT_TRIES_MAX):
        await try_it(site, WRONG)
    email, until = site.address_of(), now + timedelta(hours=1)
    assert await store.reset(token, email.upper(), by="cli:test", now=now, expires_at=until)
    assert (await browser.get("/me")).headers["location"].startswith("/sign-in")

    opened = await site.browser().get(f"/reset?token={token}")
    same = await site.browser().send("/reset", {"token": token, "password": PASSWORD})
    used = await site.browser().send("/reset", {"token": token, "password": NEW_PASSWORD})
    again = await site.browser().send("/reset", {"token": token, "password": NEW_PASSWORD})

    assert (opened.status_code, same.status_code) == (200, 422)
    assert used.headers["location"] == "/sign-in?done=reset"
    assert again.status_code == 410
    assert (await try_it(site, NEW_PASSWORD)).status_code == 303
    assert await noted(site, "sign_in_reset", "sign_in_reset_used") == [
        "sign_in_reset",
        "sign_in_reset_used",
    ]
    gone = await store.reset(uuid4().hex, "no@body.example", by="x", now=now, expires_at=until)
    assert not gone


async def test_a_reset_that_is_too_old_is_none(site: Site) -> None:
    """After an hour; a newer one ends it as well."""
    await site.signed_in()
    store, now = SignInStore(site.stage.database, site.stage.road.ids), site.stage.clock.now()
    first, second = uuid4().hex, uuid4().hex
    for token in (first, second):
        until = now + timedelta(hours=1)
        await store.reset(token, site.address_of(), by="cli:test", now=now, expires_at=until)

    assert (await site.browser().get(f"/reset?token={first}")).status_code == 410
    assert (await site.browser().get(f"/reset?token={second}")).status_code == 200
    site.stage.clock.move(3601)
    assert (await site.browser().get(f"/reset?token={second}")).status_code == 410


async def test_sessions_are_listed_and_ended(site: Site) -> None:
    """One, or all others; nobody ends those of somebody else."""
    browser, other, third = [await site.signed_in() for _ in range(3)]
    stranger = await site.signed_in(Role.MANAGER)
    listed = await browser.get("/me", **{"User-Agent": "x"})
    assert words(listed).count("Sign out Another browser") + 1 == 3
    assert "This browser" in words(listed)
    ids = [each.split('"')[0] for each in listed.text.split('name="session" value="')[1:]]

    await stranger.get("/me")
    await stranger.send("/me/sessions", {"session": ids[0]})
    assert [(await each.get("/me")).status_code for each in (other, third)] == [200, 200]
    await browser.send("/me/sessions", {"session": ids[0]})
    assert sorted([(await each.get("/me")).status_code for each in (other, third)]) == [200, 303]
    await browser.send("/me/sessions", {"session": "others"})
    assert [(await each.get("/me")).status_code for each in (other, third)] == [303, 303]
    assert (await browser.get("/me")).status_code == 200
    assert await noted(site, "sessions_ended") == ["sessions_ended"] * 2


async def test_a_name_is_changed_and_what_it_was_is_kept(site: Site) -> None:
    """A bad one is told at its field."""
    browser = await site.signed_in()
    await browser.get("/me")
    assert (await browser.send("/me/name", {"name": " "})).status_code == 422
    assert (await browser.send("/me/name", {"name": "Ada King"})).status_code == 303

    rows = await site.stage.sql(
        "SELECT before, after FROM people_events WHERE merchant_id = $1 AND what = 'name_changed'",
        site.stage.merchant.merchant_id,
    )
    assert [tuple(row) for row in rows] == [("Ada Byron", "Ada King")]
    assert "Ada King" in words(await browser.get("/me"))


async def test_a_person_of_two_merchants_chooses_with_a_new_cookie(site: Site) -> None:
    """Only among those for whom they work."""
    other = (await Stage.set_up(site.stage.database)).merchant
    browser = await site.signed_in()
    await browser.get("/me")
    before = browser.client.cookies[COOKIE]
    chosen = {"merchant": f"mer_{other.merchant_id.hex}"}
    assert (await browser.send("/me/merchant", chosen)).status_code == 404

    link = await site.link(site.address_of(), Role.CLERK, other.merchant_id)
    await browser.send("/welcome", {"token": link.partition("=")[2], "password": PASSWORD})
    assert "Show" in words(await browser.get("/me"))
    answer = await browser.send("/me/merchant", chosen)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.client.cookies[COOKIE] != before
    assert f"clerk at {other.name}" in words(await browser.get("/me"))


@pytest.mark.parametrize("second", [False, True])
async def test_who_works_for_several_goes_on_where_they_were(site: Site, second: bool) -> None:
    """Not for the first by name; the frame leads to the others; with a second factor, too."""
    stage = site.stage
    other = (await Stage.set_up(stage.database)).merchant
    await stage.sql("UPDATE merchants SET name = 'Zebra' WHERE merchant_id = $1", other.merchant_id)
    first = await site.signed_in()
    alone = (await first.get("/me")).text
    link = await site.link(site.address_of(), Role.CLERK, other.merchant_id)
    await first.send("/welcome", {"token": link.partition("=")[2], "password": PASSWORD})
    again = await signed_in_at(site, second)
    here = await again.get("/me")
    stage.clock.move(60)
    await again.send("/me/merchant", {"merchant": f"mer_{other.merchant_id.hex}"})
    stage.clock.move(60)
    there = await (await signed_in_at(site, second)).get("/me")
    await stage.sql(
        "UPDATE members SET ended_at = $2 WHERE merchant_id = $1",
        other.merchant_id,
        stage.clock.now(),
    )
    back = await (await signed_in_at(site, second)).get("/me")

    assert "Change business" not in alone
    assert f"owner at {stage.merchant.name}" in words(here)
    assert '<a href="/me#merchants">Change business</a>' in here.text
    assert "clerk at Zebra" in words(there)
    assert f"owner at {stage.merchant.name}" in words(back)


async def signed_in_at(site: Site, second: bool) -> WindowlessBrowser:
    """Sign in from a new browser, by a recovery code where there is a second factor."""
    browser, stage = site.browser(), site.stage
    if second:
        (ada,) = await stage.sql("SELECT * FROM users WHERE email = $1", site.address_of())
        code = "abcd-efgh-jkmn-pqrs"
        await stage.sql(
            "INSERT INTO passkeys (passkey_id, user_id, credential_id, public_key, sign_count, "
            "name, made_at) VALUES ($1, $2, $3, '', 0, 'laptop', $4) ON CONFLICT DO NOTHING",
            uuid4(),
            ada["user_id"],
            ada["user_id"].bytes,
            stage.clock.now(),
        )
        await stage.sql(
            "INSERT INTO recovery_codes (user_id, code_hash, made_at) VALUES ($1, $2, $3) "
            "ON CONFLICT (user_id, code_hash) DO UPDATE SET used_at = NULL",
            ada["user_id"],
            hash_of_recovery(ada["user_id"], code),
            stage.clock.now(),
        )
    form = {"email": site.address_of(), "password": PASSWORD}
    sent = await browser.send("/sign-in", form)
    if second:
        assert sent.headers["location"].startswith("/sign-in/second")
        sent = await browser.send("/sign-in/second", {"code": code, "next": "/"})
    assert sent.status_code == 303
    await browser.get("/me")
    return browser


async def test_no_password_is_in_a_log(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a right nor a wrong one."""
    with caplog.at_level(logging.DEBUG):
        await site.signed_in()
        await try_it(site, WRONG)
        await try_it(site, PASSWORD)

    said = "".join((caplog.text, *capfd.readouterr()))
    assert "/sign-in" in said
    assert WRONG not in said
    assert PASSWORD not in said
