"""
People and what they changed: invited, given another role, ended; all of it written down.
"""

import asyncio
import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest
from counterfoil import store, web
from counterfoil.people.changes import KINDS, sentence
from counterfoil.people.roles import Role
from counterfoil.store.members import MemberStore
from payment_stage import Stage
from web_stage import PASSWORD, Site, WindowlessBrowser, without_tokens, words

WEB = Path(web.__file__).parent
QUERIES = Path(store.__file__).parent / "queries"


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant; its mail server is nowhere."""
    return await Site.of(stage)


async def user_id(site: Site, email: str) -> str:
    """Return a member's id, as addresses write it."""
    store = MemberStore(site.stage.database, site.stage.road.ids)
    rows = await store.members(site.stage.merchant.merchant_id)
    return next(row["user_id"].hex for row in rows if row["email"] == email)


def address_of(site: Site, role: Role) -> str:
    """Return the address of somebody whom `signed_in` has let in."""
    return f"{role}-{site.stage.merchant.merchant_id.hex[-12:]}@shop.example"


async def step_up(browser: WindowlessBrowser) -> None:
    """Prove anew who one is; the token of forms is that of the new cookie."""
    await browser.get("/step-up")
    await browser.send("/step-up", {"password": PASSWORD, "next": "/people"})
    await browser.get("/people")


async def invited(site: Site, owner: WindowlessBrowser, role: Role, email: str) -> str:
    """Invite somebody and return the path of the link that the page shows."""
    await owner.get("/people")
    shown = await owner.send("/people/invitations", {"email": email, "role": role.value})
    found = re.search(r"/welcome\?token=[\w-]+", shown.text)
    assert found, words(shown)
    return found.group(0)


async def test_an_invitation_is_shown_once_and_lets_somebody_in(site: Site) -> None:
    """As what they were invited; without a mail server the page says so and shows the link."""
    owner, bob = await site.signed_in(), "bob@shop.example"
    link = await invited(site, owner, Role.BOOKKEEPER, bob)
    listed = words(await owner.get("/people"))
    browser = site.browser()
    form = {"token": link.partition("=")[2], "name": "Bob", "password": PASSWORD}
    come = await browser.send("/welcome", form)

    assert bob in listed
    assert link.partition("=")[2] not in (await owner.get("/people")).text
    assert come.status_code == 303
    assert (await browser.get("/people")).status_code == 403
    assert (await browser.get("/deposits")).status_code == 200
    said = words(await owner.get("/audit"))
    assert "invited bob@shop.example as bookkeeper" in said
    assert "came by an invitation as bookkeeper" in said


async def test_a_link_that_was_ended_lets_nobody_in(site: Site) -> None:
    """And is gone from the list."""
    owner = await site.signed_in()
    link = await invited(site, owner, Role.CLERK, "bob@shop.example")
    listed = await owner.get("/people")
    end = re.search(r"/people/invitations/[0-9a-f]{32}/end", listed.text)
    assert end

    ended = await owner.send(end.group(0), {})
    again = await owner.send(end.group(0), {})

    assert (ended.status_code, again.status_code) == (303, 404)
    assert (await site.browser().get(link)).status_code == 410


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"email": "no address", "role": "clerk"}, "Write an e-mail address"),
        ({"email": "bob@shop.example", "role": "king"}, "Choose what they are"),
        ({"email": "OWNER", "role": "clerk"}, "works here already"),
        ({"email": "4242.4242.4242.4242@shop.example", "role": "clerk"}, "A card's number"),
    ],
)
async def test_what_cannot_stand_is_said_at_its_field(
    site: Site, form: dict[str, str], said: str
) -> None:
    """And nobody is invited."""
    owner = await site.signed_in()
    await owner.get("/people")
    if form["email"] == "OWNER":
        form = {**form, "email": address_of(site, Role.OWNER)}

    answer = await owner.send("/people/invitations", form)

    assert answer.status_code == 422
    assert said in words(answer)
    assert "4242" not in without_tokens(answer.text)
    assert "Invited" not in words(await owner.get("/people"))


@pytest.mark.parametrize(
    ("path", "form", "kept"),
    [
        ("/people/invitations", {"email": "eve@shop.example", "role": "owner"}, "eve@shop.example"),
        ("/people/{person}/role", {"role": "owner"}, 'value="owner" checked'),
        ("/people/{person}/end", {}, "End their work here"),
    ],
)
async def test_owners_roles_and_ends_take_a_step_up(
    site: Site, path: str, form: dict[str, str], kept: str
) -> None:
    """Nothing is changed before; the way leads back to the form, which holds what was chosen."""
    owner, clerk = await site.signed_in(), await site.signed_in(Role.CLERK)
    person = await user_id(site, address_of(site, Role.CLERK))
    whole = path.format(person=person)
    await owner.get("/people")
    asked = await owner.send(whole, form)
    at = asked.headers["location"]
    before = words(await owner.get("/audit"))
    at_work = await clerk.get("/terminal")
    onward = parse_qs(urlsplit(at).query)["next"][0]
    await owner.get(at)
    proved = await owner.send("/step-up", {"password": PASSWORD, "next": onward})
    back = await owner.get(proved.headers["location"])

    assert at.startswith("/step-up?next=/people")
    assert at_work.status_code == 200
    assert not any(each in before for each in ("eve@shop.example", "to owner", "ended the work"))
    assert kept in back.text
    assert "Nothing is changed yet" in words(back)
    assert (await owner.send(whole, form)).status_code in (200, 303)
    assert words(await owner.get("/audit")) != before


async def test_names_and_addresses_of_people_are_never_markup(site: Site) -> None:
    """A person's own name, their address and the merchant's name, wherever they are shown."""
    script, tag = '<script>alert("1")</script>', "<b>own</b>"
    stage, email = site.stage, "o'b`&{{7*7}}@shop.example"
    merchant_id = stage.merchant.merchant_id
    await stage.sql("UPDATE merchants SET name = $2 WHERE merchant_id = $1", merchant_id, script)
    owner = site.browser()
    link = await site.link(email, Role.OWNER)
    welcome = await owner.get(link)
    form = {"token": link.partition("=")[2], "name": tag, "password": PASSWORD}
    assert (await owner.send("/welcome", form)).status_code == 303
    await owner.get("/people")
    await owner.send("/me/name", {"name": '"><img src=x onerror=alert(1)>'})
    person = await user_id(site, email)

    shown = [welcome]
    paths = ("/today", "/me", "/people", f"/people/{person}", "/audit", "/settings", "/step-up")
    shown += [await owner.get(path) for path in (*paths, "/no-such-page")]
    for answer in shown:
        assert answer.status_code in (200, 404), answer.request.url
        assert not any(each in answer.text for each in ("<script>alert", "<b>own", "<img src=x"))
        assert "49@shop" not in answer.text
    assert "&lt;img src=x" in shown[3].text
    assert "&lt;b&gt;own" in shown[5].text


async def test_another_role_counts_at_once(site: Site) -> None:
    """In the browser that is open."""
    owner, clerk = await site.signed_in(), await site.signed_in(Role.CLERK)
    person = await user_id(site, address_of(site, Role.CLERK))
    assert (await clerk.get("/deposits")).status_code == 403
    await step_up(owner)

    changed = await owner.send(f"/people/{person}/role", {"role": "bookkeeper"})

    assert changed.status_code == 303
    assert (await clerk.get("/deposits")).status_code == 200
    assert "from clerk to bookkeeper" in words(await owner.get("/audit"))


async def test_who_works_here_no_more_is_out_at_once(site: Site) -> None:
    """With every browser; and comes back by a new invitation only."""
    owner, clerk = await site.signed_in(), await site.signed_in(Role.CLERK)
    person = await user_id(site, address_of(site, Role.CLERK))
    await step_up(owner)

    ended = await owner.send(f"/people/{person}/end", {})
    signs_in = await site.browser().send(
        "/sign-in", {"email": address_of(site, Role.CLERK), "password": PASSWORD}
    )

    assert ended.status_code == 303
    assert (await clerk.get("/")).headers["location"].startswith("/sign-in")
    assert signs_in.status_code == 401
    assert (await owner.get(f"/people/{person}")).status_code == 404


async def test_the_last_owner_stays(site: Site) -> None:
    """As owner, and here."""
    owner = await site.signed_in()
    person = await user_id(site, address_of(site, Role.OWNER))
    await step_up(owner)

    for path, form, said in (
        (f"/people/{person}/role", {"role": "clerk"}, "Nothing changed: nobody else is owner."),
        (f"/people/{person}/role", {"role": "owner"}, "Nothing changed: they are owner already."),
        (f"/people/{person}/end", {}, "Nothing changed: nobody else is owner."),
    ):
        answer = await owner.send(path, form)
        assert answer.status_code == 409
        assert said in words(answer)
    assert (await owner.get("/people")).status_code == 200


async def test_the_last_owner_is_offered_neither_role_nor_end(site: Site) -> None:
    """A sentence says why; with a second owner both are there again."""
    owner = await site.signed_in()
    person = await user_id(site, address_of(site, Role.OWNER))

    alone = await owner.get(f"/people/{person}")
    ends = await owner.get(f"/people/{person}/end")
    await site.stage.sql(
        "UPDATE members SET role = 'owner' WHERE user_id = $1", await _second(site)
    )
    two = await owner.get(f"/people/{person}")

    assert "is the only owner here" in words(alone)
    assert not any(each in alone.text for each in ("Change the role", "End their work here"))
    assert (ends.status_code, ends.headers["location"]) == (303, f"/people/{person}")
    assert all(each in two.text for each in ("Change the role", "End their work here"))


async def _second(site: Site) -> UUID:
    """Let a clerk come, and return their id."""
    await site.signed_in(Role.CLERK)
    return UUID(hex=await user_id(site, address_of(site, Role.CLERK)))


async def test_the_end_of_somebodys_work_is_asked_for_once_more(site: Site) -> None:
    """Also right after a step-up: the person's page leads to a question, and has no form for it."""
    owner = await site.signed_in()
    path = f"/people/{(await _second(site)).hex}"
    await step_up(owner)

    page = await owner.get(path)
    asked = await owner.get(f"{path}/end")

    assert f'href="{path}/end"' in page.text
    assert f'action="{path}/end"' not in page.text
    assert f'action="{path}/end"' in asked.text
    assert "End the work of “ Clerk Byron ” here?" in words(asked)
    assert (await owner.get(path)).status_code == 200
    assert (await owner.send(f"{path}/end", {})).status_code == 303


async def test_an_address_is_invited_once_at_a_time(site: Site) -> None:
    """The second is told at its field, with the role of the first; after its end it may come."""
    owner = await site.signed_in()
    await invited(site, owner, Role.CLERK, "bob@shop.example")
    form = {"email": "Bob@Shop.example", "role": "manager"}

    again = await owner.send("/people/invitations", form)
    listed = await owner.get("/people")
    end = re.search(r"/people/invitations/[0-9a-f]{32}/end", listed.text)
    assert end
    await owner.send(end[0], {})

    assert again.status_code == 422
    assert 'id="email-said">An invitation of this address as clerk is open already' in again.text
    assert (await owner.send("/people/invitations", form)).status_code == 200


async def test_two_owners_who_end_each_other_leave_one(site: Site) -> None:
    """Whoever is second finds the first gone, however close they are."""
    merchant, stage = site.stage.merchant.merchant_id, site.stage
    store = MemberStore(stage.database, stage.road.ids)
    for _ in range(10):
        owners = []
        for name in ("ada", "bob"):
            link = await site.link(f"{name}@shop.example", Role.OWNER)
            form = {"token": link.partition("=")[2], "name": name, "password": PASSWORD}
            assert (await site.browser().send("/welcome", form)).status_code == 303
            owners.append(await user_id(site, f"{name}@shop.example"))
        ids = [row["user_id"] for row in await store.members(merchant)]
        now = stage.clock.now()
        done = await asyncio.gather(
            *(store.end_member(merchant, each, by="test", now=now) for each in ids)
        )
        left = await store.members(merchant)
        assert (sum(done), len(left)) == (1, 1)


async def test_another_merchants_person_is_nobody_here(site: Site, stage: Stage) -> None:
    """Not seen, not changed, not ended."""
    other = await Site.of(await Stage.set_up(stage.database))
    await other.signed_in(Role.CLERK)
    person = await user_id(other, address_of(other, Role.CLERK))
    owner = await site.signed_in()
    await step_up(owner)

    assert (await owner.get(f"/people/{person}")).status_code == 404
    assert (await owner.send(f"/people/{person}/end", {})).status_code == 404
    assert (await owner.send(f"/people/{person}/role", {"role": "owner"})).status_code == 404
    assert await user_id(other, address_of(other, Role.CLERK)) == person


async def test_what_was_changed_is_never_rewritten(site: Site) -> None:
    """Neither changed nor removed, by whatever statement."""
    await site.signed_in()
    for statement in (
        "UPDATE people_events SET actor = 'nobody'",
        "DELETE FROM people_events",
        "TRUNCATE people_events",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await site.stage.sql(statement)


async def test_the_audit_page_shows_one_persons_changes_or_one_kind(site: Site) -> None:
    """And the table of all of them holds no formula."""
    owner = await site.signed_in()
    person = await user_id(site, address_of(site, Role.OWNER))
    await owner.get("/people")
    await owner.send("/people/invitations", {"email": "bob@shop.example", "role": "clerk"})
    await site.desk.people.note(
        (
            await site.desk.people.who(
                owner.client.cookies.get("__Host-counterfoil"), site.stage.clock.now()
            )
        ),  # type: ignore[arg-type]
        site.stage.clock.now(),
        "setting_changed",
        about="name",
        before="=1+1",
        after="<script>",
    )

    mine = await owner.get(f"/audit?by=user:{person}")
    kind = words(await owner.get("/audit?what=person_invited"))
    nobodys = words(await owner.get("/audit?by=user:nobody"))
    table = (await owner.get("/audit.csv?by=&what=")).text
    few = (await owner.get("/audit.csv?what=person_invited")).text

    assert "<script>" not in mine.text.replace("<script src", "")
    assert "from =1+1 to <script>" in words(mine)
    assert "invited bob@shop.example" in kind
    assert "signed in from" not in kind
    assert "Nothing was changed" in nobodys
    assert ",'=1+1," in table
    assert "bob@shop.example" in few
    assert "setting_changed" not in few


@pytest.mark.parametrize("name", ["Ada Müller", "ada  MULLER", "Ada Mueller", "A.d.a-Müller "])
async def test_nobody_takes_the_name_of_another(site: Site, name: str) -> None:
    """However it is written, by renaming or by an invitation; one's own stays, written anew."""
    owner, manager = await site.signed_in(), await site.signed_in(Role.MANAGER)
    await owner.get("/me")
    await owner.send("/me/name", {"name": "Ada Müller"})
    await manager.get("/me")
    link = await site.link(site.address_of(Role.CLERK), Role.CLERK)
    form = {"token": link.partition("=")[2], "name": name, "password": PASSWORD}

    renamed = await manager.send("/me/name", {"name": name})
    came = await site.browser().send("/welcome", form)
    own = await owner.send("/me/name", {"name": name})

    assert (renamed.status_code, came.status_code, own.status_code) == (422, 422, 303)
    for each in (renamed, came):
        assert re.search(r'id="name-said">Somebody of this business bears this name', each.text)


async def test_a_name_of_whoever_worked_here_stays_theirs(site: Site) -> None:
    """What they did stands under it."""
    owner, clerk = await site.signed_in(), await site.signed_in(Role.CLERK)
    await clerk.get("/me")
    await clerk.send("/me/name", {"name": "Cy Leaf"})
    await step_up(owner)
    person = await user_id(site, address_of(site, Role.CLERK))
    await owner.send(f"/people/{person}/end", {})
    await owner.get("/me")

    assert (await owner.send("/me/name", {"name": "Cy Leaf"})).status_code == 422


async def test_whom_we_know_takes_another_name_where_theirs_is_borne(site: Site) -> None:
    """After the right password only; every business for which they work writes down the change."""
    other = await Site.of(await Stage.set_up(site.stage.database))
    await site.signed_in()  # Ada Byron.
    await other.signed_in()  # Another of this name, elsewhere.
    email = other.address_of()
    link = await site.link(email, Role.CLERK)
    form = {"token": link.partition("=")[2], "password": PASSWORD}

    refused = await site.browser().send("/welcome", form)
    wrong = await site.browser().send("/welcome", {**form, "password": "not theirs at all"})
    taken = await site.browser().send("/welcome", {**form, "name": "Ada King"})

    assert [each.status_code for each in (refused, wrong, taken)] == [422, 422, 303]
    assert "bears this name" in words(refused)
    assert 'id="name"' in refused.text
    assert "bears this name" not in words(wrong)
    assert await renamed(site, email) == [("Ada Byron", "Ada King")] * 2
    browser = other.browser()
    await browser.send("/sign-in", {"email": email, "password": PASSWORD})
    await browser.get("/me")
    await browser.send("/me/name", {"name": "Ada Lovelace"})
    assert (await renamed(site, email)).count(("Ada King", "Ada Lovelace")) == 2


async def renamed(site: Site, email: str) -> list[tuple[str, str]]:
    """Return each change of this person's name, once for each business that wrote it down."""
    rows = await site.stage.sql(
        "SELECT before, after FROM people_events WHERE about = $1 AND what = 'name_changed' "
        "ORDER BY at, merchant_id",
        email,
    )
    return [tuple(each) for each in rows]


async def test_nobody_takes_a_name_at_another_business_by_a_link(site: Site) -> None:
    """What is typed stays there when the password was wrong."""
    other = await Site.of(await Stage.set_up(site.stage.database))
    await site.signed_in()  # Ada Byron.
    await other.signed_in()  # Another of this name, elsewhere,
    await other.signed_in(Role.MANAGER)  # where there is a Manager Byron, too.
    link = await site.link(other.address_of(), Role.CLERK)
    form = {"token": link.partition("=")[2], "password": PASSWORD, "name": "Manager Byron"}

    wrong = await site.browser().send("/welcome", {**form, "password": "not theirs at all"})
    refused = await site.browser().send("/welcome", form)

    assert 'name="name"' in wrong.text
    assert 'value="Manager Byron"' in wrong.text
    assert (refused.status_code, "bears this name" in words(refused)) == (422, True)
    assert await renamed(site, other.address_of()) == []


async def test_who_left_takes_no_name_of_whom_they_left(site: Site) -> None:
    """The histories there name them still, and the list there has each change."""
    other = await Site.of(await Stage.set_up(site.stage.database))
    await site.signed_in()  # Ada Byron.
    browser = await other.signed_in(Role.CLERK)
    email = other.address_of(Role.CLERK)
    await site.stage.sql(
        "INSERT INTO members (merchant_id, user_id, role, added_at, ended_at) "
        "SELECT $1, user_id, 'clerk', created_at, created_at FROM users WHERE email = $2",
        site.stage.merchant.merchant_id,
        email,
    )
    await browser.get("/me")

    refused = await browser.send("/me/name", {"name": "Ada BYRON"})
    taken = await browser.send("/me/name", {"name": "Clara Byron"})

    assert (refused.status_code, taken.status_code) == (422, 303)
    assert len(await renamed(site, email)) == 2


async def test_a_name_of_earlier_rules_is_no_dead_end(site: Site) -> None:
    """Whoever bears one takes another with the next invitation."""
    other = await Site.of(await Stage.set_up(site.stage.database))
    await other.signed_in()
    email = other.address_of()
    await site.stage.sql("UPDATE users SET name = $2 WHERE email = $1", email, "Ada\u202eByron")
    link = await site.link(email, Role.CLERK)
    form = {"token": link.partition("=")[2], "password": PASSWORD}

    refused = await site.browser().send("/welcome", form)
    taken = await site.browser().send("/welcome", {**form, "name": "Ada King"})

    assert (refused.status_code, taken.status_code) == (422, 303)
    assert 'name="name"' in refused.text


async def test_the_audit_tells_people_of_one_name_apart(site: Site) -> None:
    """By their address: in the filter, in the row of those who share a name, and in the table."""
    owner = await site.signed_in()
    await site.signed_in(Role.MANAGER)
    two = (site.address_of(), site.address_of(Role.MANAGER))
    await owner.get("/me")
    await owner.send("/me/name", {"name": "=Ada"})
    alone = (await owner.get("/audit")).text
    await site.stage.sql("UPDATE users SET name = '=Ada' WHERE email = $1", two[1])  # As before.

    shared = (await owner.get("/audit")).text
    table = (await owner.get("/audit.csv")).text

    for email in two:
        assert f">=Ada ({email})</option>" in shared
        assert f'<span title="{email}">=Ada<br><span class="soft small">{email}' in shared
    assert f'<span title="{two[0]}">=Ada</span>' in alone
    assert "at,who,email,kind,about,before,after" in table
    assert f",'=Ada,{two[1]},signed_in," in table
    assert f",'=Ada,{two[0]},name_changed,{two[0]},Ada Byron,'=Ada" in table


async def test_the_kinds_to_choose_from_each_name_what_was_done(site: Site) -> None:
    """In the order of the alphabet, so that what is done to one thing stands together."""
    page = (await (await site.signed_in(Role.OWNER)).get("/audit?what=webhook_enabled")).text
    chosen = page[page.index('<select id="what"') :]
    chosen = chosen[: chosen.index("</select>")]
    offered = [unescape(each) for each in re.findall(r">([^<>]+)</option>", chosen)][1:]

    assert len(offered) == len(set(offered)) == len(KINDS)
    assert offered == sorted(offered, key=str.casefold)
    assert '<option value="webhook_enabled" selected>Webhook enabled</option>' in chosen


def test_every_kind_of_change_that_is_written_has_words_of_its_own() -> None:
    """So that it stands among those to choose from on the audit page."""
    queries = "".join(each.read_text() for each in QUERIES.glob("*.sql"))
    pages = "".join(each.read_text() for each in WEB.glob("*.py"))
    written = {
        *re.findall(r"INSERT INTO people_events[^;']*'([a-z_]+[a-z])'", queries),
        *re.findall(r"people\.note\(.*\"([a-z_]+)\"", pages),
    }

    assert {"payment_link_ended", "payments_exported", "key_made"} <= written
    assert written <= KINDS.keys()


def test_a_change_of_a_kind_that_nobody_knows_is_said_by_its_name() -> None:
    """It is never left out."""
    assert sentence("some_new_kind", "this", None, "that") == "some new kind: this, now that"
    assert sentence("role_changed", "Bob", "clerk", None).endswith("from clerk to nothing")
