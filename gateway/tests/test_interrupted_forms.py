"""
Forms that a step-up interrupts, all of them: nothing is done, and what was typed is kept.
"""

import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import msgspec
import pytest
from counterfoil import ids
from counterfoil.people.roles import Role
from counterfoil.store.webhooks import Endpoint
from counterfoil.web.application import PAGES
from hook_stage import Hooks
from payment_stage import Stage
from test_attention import finding
from test_people_on_pages import user_id
from test_terminal_pages import TYPED
from web_stage import PASSWORD, Site, WindowlessBrowser, words

NUMBER = "4242424242424242"
WHAT = "the shop's server, für Ada & Co"
URL = "https://hooks.example/x?y=1&z=2"
NOTE = "Agreed on the telephone with Ms. O'Neil, 50 %"
CREDIT = {name: TYPED[name] for name in ("currency", "expiry", "email", "order", "note")}
SAVED = {"kind": "credit", **CREDIT}

# Where a form is sent, what is typed, and what the page that it leads back to must hold.
FORMS: list[tuple[str, dict[str, str], list[str]]] = [
    ("/payments/{payment}/refund", {"amount": "600.00", "key": "{key}"}, ['value="600.00"']),
    ("/payments/{payment}/undo", {"key": "{key}"}, ['action="{path}"']),
    ("/terminal/refund/{payment}", {"amount": "600.00", "sale": "{sale}"}, ['value="600.00"']),
    (
        "/terminal/sales",
        {"kind": "credit", "amount": "600.00", "number": NUMBER, "sale": "{sale}", **CREDIT},
        [
            *('value="600.00"', 'value="T-1001"', 'value="ada@shopper.example"'),
            *('value="Two books, by telephone"', 'name="kind" value="credit"'),
        ],
    ),
    (
        "/terminal/sales",
        {"kind": "credit", "amount": "600.00", "sale": "{sale}", "card": "{card}", **CREDIT},
        ['value="600.00"', 'name="card" value="{card}"'],
    ),
    ("/attention/findings/{finding}/again", {"note": NOTE}, ["{note}", 'class="doing" open']),
    ("/attention/findings/{finding}/returned", {"note": NOTE}, ["{note}", 'class="doing" open']),
    (
        "/developers/keys/new",
        {"name": WHAT, "days": "90", "key_id": "{key_id}"},
        ["{what}", 'value="90" selected'],
    ),
    ("/developers/keys/{made}/revoke", {}, ['action="{path}"']),
    (
        "/developers/webhooks/new",
        {"url": URL, "description": WHAT, "type_payment.captured": "on"},
        ["{url}", "{what}", 'name="type_payment.captured" value="on" checked'],
    ),
    (
        "/developers/webhooks/{endpoint}/rotate",
        {"overlap": "604800", "seen": "x"},
        ['value="604800" selected'],
    ),
    (
        "/developers/return-addresses",
        {"origins": "https://one.example\r\nhttps://two.example"},
        ["https://one.example\r\nhttps://two.example"],
    ),
    ("/people/invitations", {"email": "eve@shop.example", "role": "owner"}, ["eve@shop.example"]),
    ("/people/{person}/role", {"role": "owner"}, ['value="owner" checked']),
    ("/people/{person}/end", {}, ["End their work here"]),
    ("/me/password", {"password": "violet gravel moth tundra"}, ['name="password"']),
    ("/me/authenticator/remove", {}, []),
    ("/me/recovery", {}, ['action="{path}"']),
]
SECRETS = ("violet gravel", NUMBER)


class Books:
    """
    A merchant that has one of everything, and the names of it.
    """

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def fill(self, text: str) -> str:
        """Return *text* with the names that stand in braces, as markup holds them."""
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.fixture
async def site(stage: Stage) -> Site:
    return await Site.of(stage)


@pytest.fixture
async def books(stage: Stage, site: Site) -> Books:
    """Somebody of each role has been there."""
    await stage.settings(credits_allowed=True)
    payment = await stage.paid(amount_minor=70000)
    [movement] = await stage.road.store.movements(payment)
    refused = await finding(stage, "refund_refused", movement_id=movement.movement_id)
    await stage.sql("UPDATE findings SET amount_minor = 60000 WHERE finding_id = $1", refused)
    row, _ = await Hooks(stage).endpoints.add(
        stage.merchant.merchant_id,
        Endpoint(url=URL, description=None, types=None, state="enabled"),
        "key_1",
    )
    (key,) = await stage.sql(
        "SELECT key_id FROM api_keys WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    await site.signed_in(Role.CLERK)
    clerk = await user_id(site, site.address_of(Role.CLERK))
    card_id = stage.road.ids.new()
    await stage.sql(
        "INSERT INTO saved_cards (merchant_id, card_id, card_token, brand, last_four, "
        "expiry_month, expiry_year, customer_email, created_at, created_by) "
        "VALUES ($1, $2, $3, 'visa', '1111', 12, 2030, 'ada@shopper.example', $4, $5)",
        stage.merchant.merchant_id,
        card_id,
        payment.card_token,
        stage.clock.now(),
        f"user:{clerk}",
    )
    return Books(
        {
            "payment": ids.written(ids.PAYMENT, payment.payment_id),
            "finding": ids.written(ids.FINDING, refused),
            "endpoint": ids.written(ids.ENDPOINT, row["endpoint_id"]),
            "made": ids.written(ids.KEY, key["key_id"]),
            "person": clerk,
            "card": ids.written(ids.SAVED_CARD, card_id),
            "sale": ids.written(ids.SALE, stage.road.ids.new()),
            "key_id": ids.written(ids.KEY, stage.road.ids.new()),
            "key": f"web-{stage.road.ids.new().hex}",
            "note": 'value="Agreed on the telephone with Ms. O&#39;Neil, 50 %"',
            "what": 'value="the shop&#39;s server, für Ada &amp; Co"',
            "url": 'value="https://hooks.example/x?y=1&amp;z=2"',
        }
    )


async def everything(stage: Stage) -> list[Any]:
    """Return what a form could have changed."""
    tables = ("movements", "terminal_sales", "api_keys", "webhook_endpoints", "members", "findings")
    found = [await stage.sql(f"SELECT * FROM {each} ORDER BY 1, 2") for each in tables]
    counted = await stage.sql(
        "SELECT count(*) FROM people_events WHERE what NOT IN ('stepped_up', 'signed_in')"
    )
    return [[[tuple(row) for row in rows] for rows in found], counted[0][0]]


async def proved(browser: WindowlessBrowser, at: str) -> Any:
    """Prove who one is, and return the page to which that leads."""
    onward = parse_qs(urlsplit(at).query)["next"][0]
    await browser.get(at)
    done = await browser.send("/step-up", {"password": PASSWORD, "next": onward})
    assert done.status_code == 303
    return await browser.get(done.headers["location"])


@pytest.mark.parametrize(("path", "form", "held"), FORMS)
async def test_a_form_that_a_step_up_interrupts_is_kept(
    stage: Stage, site: Site, books: Books, path: str, form: dict[str, str], held: list[str]
) -> None:
    """Nothing happened; the page says so, and holds what was typed, but neither card nor secret."""
    owner = await site.signed_in()
    await owner.get("/people")
    before = await everything(stage)
    typed = {name: books.fill(text) for name, text in form.items()}

    asked = await owner.send(books.fill(path), typed)
    at = asked.headers.get("location", "")
    assert at.startswith("/step-up?next="), (asked.status_code, words(asked))
    page = await proved(owner, at)
    if page.status_code == 303:  # There is no app to remove.
        return

    assert page.status_code == 200
    assert await everything(stage) == before
    assert "Nothing is changed yet" in words(page)
    for each in held:
        assert books.fill(each.replace("{path}", books.fill(path))) in page.text
    for secret in SECRETS:
        assert secret not in unquote(unquote(at))
        assert secret not in page.text

    # By the browser's way back, when it may have been done since.
    shown_at = parse_qs(urlsplit(at).query)["next"][0]
    again = await owner.get(shown_at)
    chosen = [each for each in parse_qsl(urlsplit(shown_at).query) if each[0] in ("kind", "card")]
    left = urlsplit(again.headers["location"])
    assert (again.status_code, left.path) == (303, urlsplit(shown_at).path)
    assert parse_qsl(left.query) == chosen


async def test_the_way_back_after_a_refund_does_not_say_that_nothing_was_done(
    stage: Stage, site: Site, books: Books
) -> None:
    """The form is as for everybody: a refund that was given is not offered again."""
    owner = await site.signed_in()
    await owner.get("/people")
    path = books.fill("/payments/{payment}")
    asked = await owner.send(f"{path}/refund", {"amount": "600", "key": books.names["key"]})
    page = await proved(owner, asked.headers["location"])
    assert 'value="600"' in page.text
    (key,) = re.findall(
        r'action="[^"]*/refund">.*?name="key" value="([^"]+)"', page.text, re.DOTALL
    )
    done = await owner.send(f"{path}/refund", {"amount": "600", "key": key})
    assert done.status_code == 303

    for tried in (asked.headers["location"], f"/step-up?next={path}%3Fdo%3Drefund%26kept%3Dyes"):
        onward = parse_qs(urlsplit(tried).query)["next"][0]
        back = await owner.get(onward)
        assert back.headers["location"] == path
    shown = await owner.get(path)
    assert "Nothing is changed yet" not in words(shown)
    assert 'value="600"' not in shown.text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/payments/{payment}/refund", {"amount": "600", "key": "{key}"}),
        ("/payments/{payment}/undo", {"amount": "600", "key": "{key}"}),
        ("/terminal/refund/{payment}", {"amount": "600", "sale": "{sale}"}),
        ("/terminal/sales", {**TYPED, "kind": "credit", "amount": "600", "sale": "{sale}"}),
        ("/terminal/sales", {**SAVED, "card": "{card}", "amount": "600", "sale": "{sale}"}),
    ],
)
async def test_a_form_that_was_sent_after_its_step_up_is_not_offered_by_another(
    stage: Stage, site: Site, books: Books, path: str, form: dict[str, str]
) -> None:
    """Back to the step-up and through it once more: it is the same form, and gives nothing more."""
    owner = await site.signed_in()
    await owner.get("/people")
    typed = {name: books.fill(text) for name, text in form.items()}
    asked = await owner.send(books.fill(path), typed)
    page = await proved(owner, asked.headers["location"])
    own = typed.get("key") or typed["sale"]
    assert "Nothing is changed yet" in words(page)
    assert f'value="{own}"' in page.text
    done = await owner.send(books.fill(path), typed)
    assert done.status_code == 303
    given = await everything(stage)

    back = await proved(owner, asked.headers["location"])
    await owner.get("/people")
    again = await owner.send(books.fill(path), typed)

    assert (back.status_code, again.status_code) == (303, 303)
    assert "kept" not in back.headers["location"]
    assert await everything(stage) == given


async def test_a_credit_is_no_sale_when_its_page_is_loaded_again(
    stage: Stage, site: Site, books: Books
) -> None:
    """What was typed is gone; what kind it was, and which card was chosen, is not."""
    owner = await site.signed_in()
    await owner.get("/people")
    typed = {**SAVED, "card": books.names["card"], "sale": books.names["sale"], "amount": "600"}
    asked = await owner.send("/terminal/sales", typed)
    await proved(owner, asked.headers["location"])

    again = await owner.get(parse_qs(urlsplit(asked.headers["location"]).query)["next"][0])
    page = await owner.get(again.headers["location"])

    assert 'name="kind" value="credit"' in page.text
    assert f'name="card" value="{books.names["card"]}"' in page.text
    assert 'value="600"' not in page.text


async def test_a_note_that_holds_a_card_stands_in_no_address(
    stage: Stage, site: Site, books: Books
) -> None:
    """It is refused before the way leads anywhere."""
    owner = await site.signed_in()
    await owner.get("/attention")

    answer = await owner.send(
        books.fill("/attention/findings/{finding}/again"), {"note": f"card {NUMBER} 12/30"}
    )

    assert answer.status_code == 400
    assert "card's number" in words(answer)
    assert NUMBER not in answer.text


async def test_the_terminals_own_script_is_led_to_the_step_up_too(site: Site, books: Books) -> None:
    """It gets an address, which holds no card."""
    manager = await site.signed_in(Role.MANAGER)
    await manager.get("/people")
    await manager.get("/terminal")
    form = {**TYPED, "kind": "credit", "amount": "600", "sale": books.names["sale"]}

    answer = await manager.send("/terminal/sales", form, Accept="application/json")

    at = answer.json()["at"]
    assert at.startswith("/step-up?next=/terminal%3F")
    assert "4242" not in unquote(unquote(at))


def test_what_takes_a_step_up_is_a_form_with_a_page_or_asked_by_a_script() -> None:
    """So that the way back leads somewhere; and each of them is tried above."""
    shown = {each.path for each in PAGES if each.method == "GET"}
    guarded = [each for each in PAGES if each.after_step_up and each.method == "POST"]
    tried = {re.sub(r"\{\w+\}", "{}", path) for path, _, _ in FORMS}
    untried = {
        *("/me/authenticator", "/me/authenticator/confirm"),  # A secret that is being set up.
        "/me/passkeys/{}/remove",
    }

    for each in guarded:
        assert each.by_script or each.path in shown
        named = re.sub(r"\{\w+\}", "{}", each.path)
        assert each.by_script or named in tried | untried, each.path


@pytest.mark.parametrize(
    "path",
    ["/me/passkeys/options", "/me/passkeys/new", "/step-up/passkey/options", "/step-up/passkey"],
)
async def test_a_script_is_told_in_json_that_it_may_not(site: Site, path: str) -> None:
    """Signed out, or too long after a step-up: the word and the way, no page of another kind."""
    owner = await site.signed_in()
    await owner.get("/people")
    late = await owner.send(path, {"name": "laptop"})
    out = await site.browser().send(path, {"name": "laptop"})

    said = msgspec.json.decode(out.content)
    assert (out.status_code, said["at"]) == (401, "/sign-in")
    assert said["words"] == "You are signed out."
    if path.startswith("/me"):
        assert late.status_code == 401
        assert late.json() == {"words": "This took more than five minutes.", "at": "/step-up"}


async def test_the_name_of_a_passkey_is_kept(site: Site) -> None:
    """The page's script leads back with it."""
    owner = await site.signed_in()
    await owner.get("/people")
    await owner.get("/step-up")
    await owner.send("/step-up", {"password": PASSWORD, "next": "/me"})

    page = await owner.get("/me/passkeys/new?name=laptop+in+the+office")

    assert 'value="laptop in the office"' in page.text
