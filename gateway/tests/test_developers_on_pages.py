"""
Keys and webhooks as pages make them: a secret once, behind a step-up, each change noted.
"""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from checkout_stage import PageStage
from counterfoil import ids
from counterfoil.events.feed import number_events
from counterfoil.people.roles import Right, Role
from counterfoil.store.feed import FeedStore
from counterfoil.store.webhooks import ENDPOINTS_MAX
from counterfoil.web import developers, webhooks
from hook_stage import Hooks
from payment_stage import Stage
from web_stage import Site, WindowlessBrowser, without_tokens, words

URL = "https://hooks.shop.example/payments"
SECRET = re.compile(r'class="secret"[^>]*>([^<]+)<')
KEY_ID = re.compile(r'name="key_id" value="(key_[0-9a-f]{32})"')
ENDPOINT_ID = re.compile(r'name="endpoint_id" value="(whe_[0-9a-f]{32})"')


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


async def stepped_up(site: Site, role: Role = Role.DEVELOPER) -> WindowlessBrowser:
    """Return a browser in which somebody has proved anew who they are, just now."""
    browser = await site.signed_in(role)
    await site.stage.sql(
        "UPDATE web_sessions SET stepped_up_at = $2 WHERE merchant_id = $1",
        site.stage.merchant.merchant_id,
        site.stage.clock.now(),
    )
    return browser


@pytest.fixture
async def developer(site: Site) -> WindowlessBrowser:
    """A developer who may make keys."""
    return await stepped_up(site)


async def made_key(browser: WindowlessBrowser, **changes: str) -> Any:
    """Fill in the form of a new key, and return what came."""
    opened = await browser.get("/developers/keys/new")
    found = KEY_ID.search(opened.text)
    assert found
    form = {"key_id": found.group(1), "name": "the shop's server", "days": "0", **changes}
    return await browser.send("/developers/keys/new", form)


async def added(browser: WindowlessBrowser, **changes: str) -> Any:
    """Fill in the form of a new endpoint, and return what came."""
    opened = await browser.get("/developers/webhooks/new")
    found = ENDPOINT_ID.search(opened.text)
    assert found
    form = {"endpoint_id": found.group(1), "url": URL, "description": "", **changes}
    return await browser.send("/developers/webhooks/new", form)


async def noted(stage: Stage) -> list[tuple[str, str | None]]:
    """Return what was changed about keys and webhooks: what, about what."""
    rows = await stage.sql(
        "SELECT what, about FROM people_events WHERE merchant_id = $1 "
        "AND what ~ '^(key|webhook)_' AND actor LIKE 'user:%' ORDER BY event_id",
        stage.merchant.merchant_id,
    )
    return [(row["what"], row["about"]) for row in rows]


async def path_of(stage: Stage) -> str:
    """Return the address of the merchant's only endpoint."""
    (row,) = await stage.sql(
        "SELECT endpoint_id FROM webhook_endpoints WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    return f"/developers/webhooks/{ids.written(ids.ENDPOINT, row['endpoint_id'])}"


async def test_a_key_is_shown_once_and_works(site: Site, developer: WindowlessBrowser) -> None:
    """In no address, kept by no browser, and only as a hash by us."""
    answer = await made_key(developer)

    found = SECRET.search(answer.text)
    assert found
    secret = found.group(1)
    assert re.search(r'<button [^>]*data-copies="secret" hidden>Copy</button>', answer.text)
    key = await site.stage.merchants.key(secret)
    assert key is not None
    assert key.merchant == site.stage.merchant
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert secret not in str(answer.request.url)
    assert secret not in (await developer.get("/developers")).text
    kept = await site.stage.sql("SELECT * FROM people_events")
    assert secret not in str([tuple(row.values()) for row in kept])
    assert await noted(site.stage) == [("key_made", f"sk_test_...{secret[-4:]}")]


async def test_a_form_that_is_sent_twice_makes_one_key(
    site: Site, developer: WindowlessBrowser
) -> None:
    """The second answer shows no secret, and says why."""
    await made_key(developer)
    again = await developer.send(
        "/developers/keys/new",
        {
            "key_id": first_id(await site.stage.sql(KEYS, merchant_id(site))),
            "name": "x",
            "days": "0",
        },
    )

    assert again.status_code == 409
    assert "done already" in words(again)
    assert SECRET.search(again.text) is None
    assert len(await noted(site.stage)) == 1


KEYS = "SELECT key_id FROM api_keys WHERE merchant_id = $1 AND name <> 'test'"


def first_id(rows: list[Any]) -> str:
    """Return how the first key is written."""
    return ids.written(ids.KEY, rows[0]["key_id"])


def merchant_id(site: Site) -> UUID:
    """Return whose pages these are."""
    return site.stage.merchant.merchant_id


async def test_a_key_that_ends_by_itself_ends(site: Site, developer: WindowlessBrowser) -> None:
    """After the days that were chosen."""
    answer = await made_key(developer, days="30")

    (row,) = await site.stage.sql(KEYS.replace("key_id", "*"), merchant_id(site))
    assert "until 23 Dec 2026" in words(answer)
    assert row["expires_at"] - row["created_at"] == timedelta(days=30)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "x" * 65), ("name", "a\tb"), ("days", "-1"), ("days", "36500")],
)
async def test_a_key_that_cannot_be_comes_back_at_its_field(
    site: Site, developer: WindowlessBrowser, field: str, value: str
) -> None:
    """And none is made."""
    answer = await made_key(developer, **{field: value})

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert await noted(site.stage) == []


async def test_a_revoked_key_is_no_key_any_more(site: Site, developer: WindowlessBrowser) -> None:
    """After a page that asks once more; it is noted, and listed as revoked."""
    found = SECRET.search((await made_key(developer)).text)
    assert found
    name = first_id(await site.stage.sql(KEYS, merchant_id(site)))

    asked = words(await developer.get(f"/developers/keys/{name}/revoke"))
    answer = await developer.send(f"/developers/keys/{name}/revoke", {})

    key = await site.stage.merchants.key(found.group(1))
    assert key is not None
    assert key.revoked_at == site.stage.clock.now()
    assert "It does not come back" in asked
    assert answer.headers["location"] == "/developers?done=revoked"
    assert "Revoked" in words(await developer.get("/developers"))
    assert [what for what, _ in await noted(site.stage)] == ["key_made", "key_revoked"]


GUARDED = [each.path for each in (*developers.PAGES, *webhooks.PAGES) if each.after_step_up]


@pytest.mark.parametrize("path", sorted({*GUARDED}))
async def test_secrets_take_a_step_up(site: Site, path: str) -> None:
    """Whoever found an open browser makes no key; the way leads back to the form."""
    hooks = Hooks(site.stage)
    endpoint_id, _ = await hooks.add(URL)
    (key,) = await site.stage.sql(
        "SELECT key_id FROM api_keys WHERE merchant_id = $1", merchant_id(site)
    )
    whole = path.format(
        endpoint_id=ids.written(ids.ENDPOINT, endpoint_id), key_id=ids.written(ids.KEY, key[0])
    )
    browser = await site.signed_in(Role.OWNER)
    await browser.get("/no-such-page")

    for answer in (await browser.get(whole), await browser.send(whole, {"name": "x"})):
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/step-up?next=/developers/")
    assert await noted(site.stage) == []


@pytest.mark.parametrize("role", [Role.MANAGER, Role.CLERK, Role.BOOKKEEPER])
async def test_who_may_not_sees_no_keys_and_no_webhooks(site: Site, role: Role) -> None:
    """Each page and each form."""
    browser = await stepped_up(site, role)
    await browser.get("/no-such-page")
    for each in (*developers.PAGES, *webhooks.PAGES):
        path = each.path.format(
            key_id=f"key_{uuid4().hex}",
            endpoint_id=f"whe_{uuid4().hex}",
            delivery_id=f"whd_{uuid4().hex}",
        )
        answer = await (browser.send(path, {}) if each.method == "POST" else browser.get(path))
        assert each.right in (Right.KEYS, Right.WEBHOOKS)
        assert answer.status_code == 403, path


async def test_an_endpoint_is_added_and_its_secret_shown_once(
    site: Site, developer: WindowlessBrowser
) -> None:
    """With a filter, or for everything."""
    chosen = {"type_payment.captured": "on", "type_batch.closed": "on", "description": "Till"}

    answer = await added(developer, **chosen)

    path = await path_of(site.stage)
    shown = await developer.get(path)
    found = SECRET.search(answer.text)
    assert answer.status_code == 201
    assert found
    assert found.group(1).startswith("whsec_")
    assert found.group(1) not in shown.text
    assert "Hears of batch.closed, payment.captured" in words(shown)
    assert URL in words(await developer.get("/developers"))
    assert await noted(site.stage) == [("webhook_added", URL)]


async def test_a_form_that_is_sent_twice_adds_one_endpoint(
    site: Site, developer: WindowlessBrowser
) -> None:
    """And the second answer leads to it."""
    await added(developer)
    path = await path_of(site.stage)

    form = {"endpoint_id": path.rpartition("/")[2], "url": URL, "description": ""}
    again = await developer.send("/developers/webhooks/new", form)

    assert again.status_code == 409
    assert path in again.text
    assert await path_of(site.stage) == path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.shop.example",
        "http://hooks.shop.example/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://a:b@hooks.shop.example/",
    ],
)
async def test_an_address_to_which_nothing_may_go_comes_back(
    site: Site, developer: WindowlessBrowser, url: str
) -> None:
    """At its field, in the words of the API."""
    answer = await added(developer, url=url)

    assert answer.status_code == 422
    assert 'id="url-said"' in answer.text
    assert await site.stage.count("webhook_endpoints") == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://4242424242424242.com/",
        "https://hooks.shop.example/?pan=4242.4242.4242.4242",
        "https://hooks.shop.example/?pan=4242%204242%204242%204242",
    ],
)
async def test_a_card_number_in_an_address_is_neither_kept_nor_shown_again(
    site: Site, developer: WindowlessBrowser, url: str
) -> None:
    """What else was typed stands there again."""
    answer = await added(developer, url=url, description="Till")

    assert (answer.status_code, "A card&#39;s number stands here" in answer.text) == (422, True)
    assert "4242" not in without_tokens(answer.text)
    assert 'value="Till"' in answer.text
    assert await site.stage.count("webhook_endpoints") == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://chat.example/hooks/424242424242424242/x",
        "https://chat.example/hooks?id=123456789012=2024",
    ],
)
async def test_an_address_that_was_taken_stands_in_its_form(
    site: Site, developer: WindowlessBrowser, url: str
) -> None:
    """Services number their hooks with as many digits as a card has. The form keeps them."""
    await added(developer, url=url)
    path = await path_of(site.stage)

    shown = await developer.get(f"{path}/edit")
    wrong = await developer.send(f"{path}/edit", {"url": url, "description": "x" * 300})
    saved = await developer.send(f"{path}/edit", {"url": url, "description": "Till"})

    assert f'value="{url}"' in shown.text
    assert (wrong.status_code, f'value="{url}"' in wrong.text) == (422, True)
    assert saved.status_code == 303
    assert url in words(await developer.get(path))


async def test_a_track_in_an_address_is_not_shown_again(
    site: Site, developer: WindowlessBrowser
) -> None:
    """Nor is it kept, whatever the length of its number."""
    answer = await added(developer, url="%B4242424242424242428^A/B^3012?", description="Till")

    assert answer.status_code == 422
    assert "424242" not in answer.text
    assert await site.stage.count("webhook_endpoints") == 0


async def test_there_are_only_so_many_endpoints(site: Site, developer: WindowlessBrowser) -> None:
    """The page says how many."""
    hooks = Hooks(site.stage)
    for _ in range(ENDPOINTS_MAX):
        await hooks.add(URL)

    assert f"{ENDPOINTS_MAX} endpoints already" in words(await added(developer))


async def test_an_endpoint_is_changed_disabled_and_enabled(
    site: Site, developer: WindowlessBrowser
) -> None:
    """Each is noted; saving what stands is not."""
    await added(developer)
    path, other = await path_of(site.stage), f"{URL}/two"

    await developer.send(f"{path}/edit", {"url": URL, "description": ""})
    await developer.send(f"{path}/edit", {"url": other, "description": "Till"})
    bad = await developer.send(f"{path}/edit", {"url": "https://10.0.0.1/", "description": ""})
    await developer.send(f"{path}/state", {"state": "disabled"})
    disabled = words(await developer.get(path))
    await developer.send(f"{path}/state", {"state": "enabled"})

    assert bad.status_code == 422
    assert "nothing is sent to it" in disabled
    assert [what for what, _ in await noted(site.stage)] == [
        *("webhook_added", "webhook_changed", "webhook_disabled", "webhook_enabled"),
    ]
    assert other in words(await developer.get(path))


async def test_a_secret_is_rotated_once_by_one_form(
    site: Site, developer: WindowlessBrowser
) -> None:
    """The one before signs too for a day; the form sent again changes nothing."""
    first = SECRET.search((await added(developer)).text)
    path = await path_of(site.stage)
    opened = await developer.get(f"{path}/rotate")
    seen = re.search(r'name="seen" value="([^"]+)"', opened.text)
    assert first
    assert seen
    site.stage.clock.move(60)

    form = {"seen": seen.group(1), "overlap": "86400"}
    answer = await developer.send(f"{path}/rotate", form)
    again = await developer.send(f"{path}/rotate", form)

    second = SECRET.search(answer.text)
    assert second
    assert second.group(1) != first.group(1)
    assert "signs beside it until 24 Nov 2026" in words(answer)
    assert again.status_code == 409
    assert [what for what, _ in await noted(site.stage)][1:] == ["webhook_secret_rotated"]


async def test_a_deleted_endpoint_is_gone(site: Site, developer: WindowlessBrowser) -> None:
    """After a page that asks once more."""
    await added(developer)
    path = await path_of(site.stage)

    asked = words(await developer.get(f"{path}/delete"))
    answer = await developer.send(f"{path}/delete", {})

    assert "It does not come back" in asked
    assert answer.headers["location"] == "/developers?done=deleted"
    assert (await developer.get(path)).status_code == 404
    assert URL not in words(await developer.get("/developers?done=deleted"))


async def told(site: Site, state: str = "gave_up") -> tuple[UUID, list[Any]]:
    """Return an endpoint that was told of a sale, and its deliveries, all ended in *state*."""
    hooks = Hooks(site.stage)
    endpoint_id, _ = await hooks.add(URL)
    await site.stage.paid()
    await hooks.number()
    now = site.stage.clock.now()
    await site.stage.sql(
        "UPDATE webhook_deliveries SET state = $2, ended_at = $3, attempts = 2 "
        "WHERE merchant_id = $1",
        *(merchant_id(site), state, now),
    )
    deliveries = await hooks.deliveries(endpoint_id)
    for each in deliveries:
        for attempt, status in ((1, None), (2, 503)):
            await site.stage.sql(
                "INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status, "
                "milliseconds, error) VALUES ($1, $2, $3, $4, $5, 31, $6)",
                *(merchant_id(site), each["delivery_id"], attempt, now, status),
                None if status else "timed out",
            )
    return endpoint_id, deliveries


async def states(site: Site) -> list[str]:
    """Return how the deliveries stand, oldest first."""
    rows = await site.stage.sql(
        "SELECT state FROM webhook_deliveries WHERE merchant_id = $1 ORDER BY number",
        merchant_id(site),
    )
    return [row["state"] for row in rows]


async def test_deliveries_tell_every_try_and_one_is_sent_again(
    site: Site, developer: WindowlessBrowser
) -> None:
    """With the answer that came."""
    endpoint_id, deliveries = await told(site)
    path = f"/developers/webhooks/{ids.written(ids.ENDPOINT, endpoint_id)}"
    name = ids.written(ids.DELIVERY, deliveries[0]["delivery_id"])

    shown = words(await developer.get(path))
    answer = await developer.send(f"{path}/deliveries/{name}/replay", {})

    assert "503, 31 ms" in shown
    assert "2 tries" in shown
    assert "timed out" in shown
    assert answer.headers["location"] == f"{path}?done=replayed"
    assert await states(site) == ["owed"] + ["gave_up"] * (len(deliveries) - 1)
    waiting = words(await developer.get(f"{path}?state=owed"))
    assert deliveries[0]["type"] in waiting
    assert await replayed(site) == [f"event {deliveries[0]['number']}"]


async def replayed(site: Site) -> list[str]:
    """Return what a person had sent again, as the list of changes says it."""
    rows = await site.stage.sql(
        "SELECT after FROM people_events WHERE merchant_id = $1 AND what = 'webhook_replayed' "
        "AND actor LIKE 'user:%' ORDER BY event_id",
        merchant_id(site),
    )
    return [row["after"] for row in rows]


async def test_a_range_is_sent_again(site: Site, developer: WindowlessBrowser) -> None:
    """Only what ended, of the numbers that were named, in the state that was chosen."""
    endpoint_id, deliveries = await told(site)
    path = f"/developers/webhooks/{ids.written(ids.ENDPOINT, endpoint_id)}"
    assert len(deliveries) >= 2
    first = str(deliveries[1]["number"])
    await developer.get(path)

    none = {"first": first, "last": first, "replay-state": "delivered"}
    nothing = await developer.send(f"{path}/replay", none)
    sent = await developer.send(f"{path}/replay", {**none, "replay-state": "gave_up"})

    assert nothing.headers["location"] == f"{path}?done=nothing"
    assert sent.headers["location"] == f"{path}?done=range"
    assert await states(site) == ["gave_up", "owed", *["gave_up"] * (len(deliveries) - 2)]
    assert await replayed(site) == [f"events {first} to {first}, 1 in all"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"first": ""}, "first"),
        ({"first": "x"}, "first"),
        ({"last": "0"}, "last"),
        ({"replay-state": "owed"}, "replay-state"),
    ],
)
async def test_a_range_that_is_none_comes_back(
    site: Site, developer: WindowlessBrowser, changes: dict[str, str], field: str
) -> None:
    """At its field; nothing is sent."""
    endpoint_id, deliveries = await told(site)
    path = f"/developers/webhooks/{ids.written(ids.ENDPOINT, endpoint_id)}"
    await developer.get(path)

    form = {"first": "1", "last": "9", "replay-state": "", **changes}
    answer = await developer.send(f"{path}/replay", form)

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert await states(site) == ["gave_up"] * len(deliveries)


async def test_nothing_is_sent_again_to_a_disabled_endpoint(
    site: Site, developer: WindowlessBrowser
) -> None:
    """The page says what to do first."""
    endpoint_id, deliveries = await told(site)
    path = f"/developers/webhooks/{ids.written(ids.ENDPOINT, endpoint_id)}"
    name = ids.written(ids.DELIVERY, deliveries[0]["delivery_id"])
    await developer.get(path)
    await developer.send(f"{path}/state", {"state": "disabled"})

    one = await developer.send(f"{path}/deliveries/{name}/replay", {})
    many = await developer.send(f"{path}/replay", {"first": "1", "last": "9", "replay-state": ""})

    assert (one.status_code, many.status_code) == (409, 409)
    assert "Enable it first" in words(one)
    assert await states(site) == ["gave_up"] * len(deliveries)


async def test_the_feed_is_read_newest_first(
    site: Site, developer: WindowlessBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, each event once, with the payment that it is about."""
    monkeypatch.setattr("counterfoil.web.developers.EVENTS_PAGE_MAX", 1)
    await told(site)
    head = await site.desk.desk.feed.head(merchant_id(site))

    newest = await developer.get("/developers/events")
    last = await developer.get("/developers/events?before=2")

    assert head >= 2
    assert f'href="/developers/events?before={head}"' in newest.text
    assert "endpoint.enabled" in last.text
    assert "endpoint.enabled" not in newest.text
    assert "/payments/pay_" in newest.text
    assert "?before=" not in last.text


async def test_the_feed_names_who_did_it(site: Site, developer: WindowlessBrowser) -> None:
    """As the payment's own page does."""
    owner = await site.signed_in()
    payment = await site.stage.take()
    name = ids.written(ids.PAYMENT, payment.payment_id)
    await owner.get(f"/payments/{name}")
    await owner.send(f"/payments/{name}/acknowledge", {})
    while await number_events(FeedStore(site.stage.database), site.stage.clock):
        pass

    said = words(await developer.get("/developers/events"))

    assert re.search(r"payment\.captured 1001 \d\d Nov, \d\d:\d\d Owner Byron", said)
    assert "somebody of yours" not in said


async def test_the_feed_leads_from_a_payment_page_to_its_payment(
    site: Site, developer: WindowlessBrowser
) -> None:
    """By its order, and says that nobody but the page did it."""
    pages = PageStage(site.stage)
    await pages.pay(await pages.opened())
    while await number_events(FeedStore(site.stage.database), site.stage.clock):
        pass
    ((payment,),) = await site.stage.sql(
        "SELECT payment_id FROM payments WHERE merchant_id = $1", merchant_id(site)
    )

    answer = await developer.get("/developers/events")

    path = f"/payments/{ids.written(ids.PAYMENT, payment)}"
    assert answer.text.count(f'<a href="{path}">1001</a>') >= 2
    assert re.search(r"checkout\.paid 1001 \d\d Nov, \d\d:\d\d the payment page", words(answer))


async def test_another_merchants_keys_and_endpoints_are_not_there(
    site: Site, developer: WindowlessBrowser
) -> None:
    """Whoever asks gets the same answer as for what does not exist; nothing changes."""
    endpoint_id, deliveries = await told(site)
    (key,) = await site.stage.sql(
        "SELECT key_id FROM api_keys WHERE merchant_id = $1", merchant_id(site)
    )
    other = await Site.of(await Stage.set_up(site.stage.database))
    stranger = await stepped_up(other)
    await stranger.get("/no-such-page")
    named = {
        "key_id": ids.written(ids.KEY, key[0]),
        "endpoint_id": ids.written(ids.ENDPOINT, endpoint_id),
        "delivery_id": ids.written(ids.DELIVERY, deliveries[0]["delivery_id"]),
    }
    form = {"state": "disabled", "overlap": "0", "first": "1", "last": "9", "url": URL}
    for each in (*developers.PAGES, *webhooks.PAGES):
        if "{" not in each.path:
            continue
        path = each.path.format(**named)
        answer = await (stranger.send(path, form) if each.method == "POST" else stranger.get(path))
        assert answer.status_code == 404, path
    page_of_another = words(await stranger.get("/developers"))
    assert URL not in page_of_another
    assert "Nothing happened yet" in page_of_another
    assert await states(site) == ["gave_up"] * len(deliveries)
    assert await noted(other.stage) == []


RETURNS = "/developers/return-addresses"


async def test_where_payment_pages_lead_back_to_is_set_and_noted(
    site: Site, developer: WindowlessBrowser
) -> None:
    """One in a line; who did it stands on the audit page."""
    await developer.get(RETURNS)

    answer = await developer.send(
        RETURNS, {"origins": "https://shop.example\r\n\r\n https://b.example "}
    )

    assert answer.headers["location"] == "/developers?done=returns"
    said = words(await developer.get("/developers"))
    assert "They may lead back to https://shop.example, https://b.example." in said
    rows = await site.stage.sql(
        "SELECT after, actor FROM people_events WHERE merchant_id = $1 "
        "AND what = 'return_addresses_set'",
        site.stage.merchant.merchant_id,
    )
    assert [row["after"] for row in rows] == ["https://shop.example https://b.example"]
    assert rows[0]["actor"].startswith("user:")


@pytest.mark.parametrize(
    "wrong",
    [
        "http://shop.example",
        "https://shop.example/path",
        "javascript:alert(1)",
        "https://a@b.example",
        "\n".join(f"https://s{number}.example" for number in range(21)),
    ],
)
async def test_what_is_no_site_to_lead_back_to_comes_back(
    site: Site, developer: WindowlessBrowser, wrong: str
) -> None:
    """With what was typed, and nothing is changed."""
    await developer.get(RETURNS)

    answer = await developer.send(RETURNS, {"origins": wrong})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert (
        await site.desk.desk.checkouts.store.return_origins(site.stage.merchant.merchant_id) == []
    )


@pytest.mark.parametrize("role", list(Role))
async def test_where_pages_lead_back_to_is_for_who_may_make_keys(site: Site, role: Role) -> None:
    """And only after a step-up."""
    browser = await site.signed_in(role)
    may = role in (Role.OWNER, Role.DEVELOPER)

    await browser.get("/no-such-page")
    answers = [await browser.get(RETURNS), await browser.send(RETURNS, {"origins": URL})]

    assert {each.status_code for each in answers} == ({303} if may else {403})
    for each in answers if may else ():
        assert each.headers["location"].startswith("/step-up?next=")
