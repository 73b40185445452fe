"""
The payment page as a shopper's browser sees it, without a window and without JavaScript.
"""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from checkout_stage import PAID, SHOP, PageStage
from counterfoil.checkouts import paying
from counterfoil.checkouts.checkout import DECLINES_MAX, Checkout, State, return_secret
from counterfoil.checkouts.paying import ADDRESS_DECLINES_MAX
from counterfoil.outside.doors import Reason
from counterfoil.people.roles import Role
from counterfoil.web import payment_form, payment_page
from counterfoil.web.astray import LEAVE_IT_OUT
from counterfoil.web.payment_form import check
from payment_stage import START, Stage
from scripted_link import says
from web_stage import CHECKOUT_ORIGIN, Site, WindowlessBrowser, without_tokens, words

CARD = {"card_number": "4111 1111 1111 1111", "card_expiry": "12/30", "card_code": "927"}
DECLINED = says("05")
KEPT = "__Host-card-"
_TRY = re.compile(r'name="try" value="(\d+)"')


@pytest.fixture
async def site(stage: Stage) -> Site:
    """Both origins."""
    return await Site.of(stage)


@pytest.fixture
def pages(stage: Stage) -> PageStage:
    """The payment pages of the stage's merchant."""
    return PageStage(stage)


class Shopper:
    """
    A shopper with one browser, on the page of one checkout.
    """

    def __init__(self, browser: WindowlessBrowser, pages: PageStage, checkout: Checkout) -> None:
        self.browser = browser
        self.path = "/c/" + pages.checkouts.url(checkout).rpartition("/")[2]
        self.tries = "0"

    async def look(self) -> httpx2.Response:
        """Open the page."""
        answer = await self.browser.get(self.path)
        if found := _TRY.search(answer.text):
            self.tries = found.group(1)
        return answer

    async def send(self, below: str = "", **form: str) -> httpx2.Response:
        """Send the page's form, as it was opened."""
        return await self.browser.send(self.path + below, {"try": self.tries, **form})

    async def pay(self, **changes: str) -> httpx2.Response:
        """Open the page, press the button, follow to the page."""
        await self.look()
        sent = await self.send(**{**CARD, **changes})
        return await self.look() if sent.status_code == 303 else sent


@pytest.fixture
async def opened(pages: PageStage) -> Checkout:
    """A checkout of 42.00 USD."""
    return await pages.opened()


@pytest.fixture
def shopper(site: Site, pages: PageStage, opened: Checkout) -> Shopper:
    """Its shopper."""
    return Shopper(site.browser(CHECKOUT_ORIGIN), pages, opened)


async def test_a_page_says_whom_what_and_how_much(shopper: Shopper) -> None:
    """The amount in the button, and tokens by which a browser fills the card in."""
    answer = await shopper.look()

    assert answer.status_code == 200
    for said in ("The Book Shop", "42.00 USD", "Two books", "1001", "Pay 42.00 USD"):
        assert said in words(answer)
    tokens = re.findall(r'autocomplete="([^"]+)"', answer.text)
    assert tokens == ["cc-number", "cc-exp", "cc-csc", "cc-name", "billing postal-code", "email"]


async def test_a_card_pays_and_the_page_shows_the_confirmation_number(
    shopper: Shopper, pages: PageStage, opened: Checkout
) -> None:
    """The answer to the form is a redirect: nothing is sent twice by going back."""
    await shopper.look()
    sent = await shopper.send(**CARD, email="ada@shopper.example")
    paid = await shopper.look()

    assert (sent.status_code, sent.headers["location"]) == (303, shopper.path)
    ((_, number),) = await pages.payments()
    assert f'value="{number}"' in paid.text
    assert "Visa ending in 1111" in words(paid)
    assert "Back to The Book Shop" in words(paid)
    assert (await pages.read(opened)).state is PAID


async def test_a_decline_is_told_in_words_and_another_card_is_taken(
    shopper: Shopper, pages: PageStage
) -> None:
    """The form is empty where the card was."""
    pages.script(says("51"))

    declined = await shopper.pay()

    assert declined.status_code == 200
    assert "Your card was not charged" in words(declined)
    assert "4111" not in without_tokens(declined.text)
    assert "Confirmation number" in words(await shopper.pay())
    assert [state for state, _ in await pages.payments()] == ["declined", "captured"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("card_number", ""),
        ("card_number", "4111 1111 1111 1112"),
        ("card_number", "4111"),
        ("card_number", "\N{ARABIC-INDIC DIGIT FOUR}" * 16),
        ("card_expiry", ""),
        ("card_expiry", "13/30"),
        ("card_expiry", "12/20"),
        ("card_expiry", "12/99"),
        ("card_code", ""),
        ("card_code", "9271"),
        ("postal_code", "\N{SNOWMAN}"),
        ("email", "nobody"),
    ],
)
async def test_a_fault_is_said_at_its_field_and_nothing_is_asked_of_the_bank(
    shopper: Shopper, pages: PageStage, field: str, value: str
) -> None:
    """What was typed of the card is gone."""
    answer = await shopper.pay(**{"email": "ada@shopper.example", field: value})

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert f'<a href="#{field}">' in answer.text
    for typed in (CARD["card_number"], "4111111111111111", 'value="927"', 'value="12/30"'):
        assert typed not in answer.text
    assert await pages.payments() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "4242424242424242@example.com"),
        ("card_name", "4242 4242 4242 4242"),
        ("card_name", "Ada 4242-4242-4242-4242"),
        ("card_name", "%B4242424242424242^LOVELACE/ADA^3012101"),
        ("postal_code", "4242424242424242"),
    ],
)
async def test_a_card_number_in_another_field_is_refused_there(
    shopper: Shopper, pages: PageStage, field: str, value: str
) -> None:
    """Nothing is charged; that field is empty then, and the others are not."""
    others = {"email": "ada@x.example", "card_name": "Ada Lovelace", "postal_code": "97301"}

    answer = await shopper.pay(**{**others, field: value})

    assert answer.status_code == 422
    assert words(answer).count(LEAVE_IT_OUT) == 2  # At the top and at its field.
    assert f'id="{field}-said"' in answer.text
    assert "4242" not in without_tokens(answer.text)
    for name, text in others.items():
        assert (f'value="{text}"' in answer.text) is (name != field)
    assert await pages.payments() == []


async def test_a_card_number_beside_the_kept_card_is_refused_too(
    shopper: Shopper, site: Site, pages: PageStage
) -> None:
    """Where the field is not even shown."""
    await shopper.pay(keep="on")
    later = Shopper(shopper.browser, pages, await pages.opened())
    await later.look()

    answer = await later.send(**{"with": "kept", "email": "4242424242424242@example.com"})

    assert answer.status_code == 422
    assert LEAVE_IT_OUT in words(answer)
    assert "4242" not in without_tokens(answer.text)
    assert len(await pages.payments()) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "4111x1111x1111x1111@x.example"),
        ("card_name", "4111a1111b1111c1111"),
    ],
)
async def test_the_card_of_the_form_is_seen_in_another_field_however_it_is_written(
    shopper: Shopper, pages: PageStage, field: str, value: str
) -> None:
    """Where one does not know the card, these could be anything."""
    answer = await shopper.pay(**{field: value})

    assert answer.status_code == 422
    assert words(answer).count(LEAVE_IT_OUT) == 2
    assert value not in answer.text
    assert await pages.payments() == []

    await shopper.pay(keep="on")
    later = Shopper(shopper.browser, pages, await pages.opened())
    await later.look()
    answer = await later.send(**{"with": "kept", field: value})
    assert (answer.status_code == 422) is (field == "email")  # A kept card has its name.
    assert value not in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("postal_code", "97301 and more"),
        ("email", f"{'a' * 250}@x.example"),
        ("email", "4242424242424241"),
    ],
)
async def test_what_is_too_long_is_not_cut_and_taken(
    shopper: Shopper, pages: PageStage, field: str, value: str
) -> None:
    """A number with a wrong digit is no address either, and is not shown again."""
    answer = await shopper.pay(**{field: value})

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert "4242" not in without_tokens(answer.text)
    assert await pages.payments() == []


def test_an_address_with_many_digits_that_are_no_card_is_taken() -> None:
    """A telephone number as its name, say; it is shown again, too."""
    form = {**CARD, "email": "0049301234567@x.example"}

    checked = check(form, datetime(2026, 11, 28, tzinfo=UTC))

    assert not isinstance(checked, dict)
    assert checked.email == payment_form.shown(form).email == form["email"]


def test_dates_and_codes_are_read_as_people_write_them() -> None:
    """American Express has four digits on the front; a card is never taken for an address."""
    for date in ("12/30", "12 / 30", "12-2030", "1230", "12.30", "12–30", "１２/３０"):
        checked = check({**CARD, "card_expiry": date}, START)
        assert not isinstance(checked, dict), date
        assert (checked.card.expiry_month, checked.card.expiry_year) == (12, 2030)
    wide = check({**CARD, "card_code": "９２７"}, START)
    assert not isinstance(wide, dict)
    assert wide.card.cvv == "927"
    amex = {**CARD, "card_number": "3782 822463 10005"}
    assert check(amex, START) == {"card_code": "Enter the 4 digits on the front of the card."}
    assert not isinstance(check({**amex, "card_code": "9271"}, START), dict)
    misplaced = check({**CARD, "email": "4111111111111111@x.example"}, START)
    assert misplaced == {"email": LEAVE_IT_OUT}


async def test_two_tabs_make_one_payment(site: Site, pages: PageStage, opened: Checkout) -> None:
    """And all show the same confirmation number."""
    tabs = [Shopper(site.browser(CHECKOUT_ORIGIN), pages, opened) for _ in range(3)]
    for each in tabs:
        await each.look()

    await asyncio.gather(*(each.send(**CARD) for each in tabs))
    shown = [words(await each.look()) for each in tabs]

    assert len(await pages.payments()) == 1
    assert len(set(shown)) == 1


async def test_a_button_pressed_twice_is_one_try(shopper: Shopper, pages: PageStage) -> None:
    """The second press is of a page that is old."""
    pages.script(DECLINED, DECLINED)
    await shopper.look()

    for _ in range(2):
        assert (await shopper.send(**CARD)).status_code == 303

    assert len(await pages.payments()) == 1


async def test_after_too_many_declines_the_page_takes_no_card(
    shopper: Shopper, pages: PageStage
) -> None:
    """In clear words, and without a form for cards."""
    pages.script(*[DECLINED] * DECLINES_MAX)
    for _ in range(DECLINES_MAX):
        answer = await shopper.pay()

    assert answer.status_code == 429
    assert "takes no more cards" in words(answer)
    assert "card_number" not in answer.text
    shopper.tries = str(DECLINES_MAX)
    await shopper.send(**CARD)
    assert len(await pages.payments()) == DECLINES_MAX


async def test_an_address_that_tries_cards_out_is_stopped_on_the_next_page_too(
    site: Site, pages: PageStage
) -> None:
    """Whichever of the merchant's pages it opens."""
    pages.script(*[DECLINED] * ADDRESS_DECLINES_MAX)
    for _ in range(2):
        shopper = Shopper(site.browser(CHECKOUT_ORIGIN), pages, await pages.opened())
        for _ in range(DECLINES_MAX):
            await shopper.pay()
    fresh = Shopper(site.browser(CHECKOUT_ORIGIN), pages, await pages.opened())

    answer = await fresh.look()
    await fresh.send(**CARD)

    assert (answer.status_code, "in the last hour" in words(answer)) == (429, True)
    assert len(await pages.payments()) == ADDRESS_DECLINES_MAX


async def test_a_page_that_is_too_old_says_so(shopper: Shopper, stage: Stage) -> None:
    """Before the worker has come by, too."""
    await shopper.look()
    stage.clock.move(3600)

    sent, answer = await shopper.send(**CARD), await shopper.look()
    led = await shopper.browser.get(f"{shopper.path}/return")

    assert (sent.status_code, answer.status_code) == (303, 410)
    assert "This page has expired" in words(answer)
    assert "42.00 USD Two books" in words(answer)
    assert "card_number" not in answer.text
    assert "status=expired" in led.headers["location"]


async def test_a_page_that_the_shop_has_ended_says_so(
    shopper: Shopper, pages: PageStage, opened: Checkout
) -> None:
    """It has not expired, and what it was about stands on it."""
    await pages.checkouts.expire(pages.stage.merchant.merchant_id, opened.checkout_id, actor="shop")

    answer = await shopper.look()

    assert answer.status_code == 410
    assert "This page has ended" in words(answer)
    assert "has expired" not in words(answer)
    assert "42.00 USD Two books" in words(answer)


async def test_a_form_needs_the_token_of_its_page_and_comes_from_it(
    shopper: Shopper, site: Site, pages: PageStage
) -> None:
    """Neither another page's token nor another site's form does anything."""
    other = Shopper(site.browser(CHECKOUT_ORIGIN), pages, await pages.opened())
    await other.look()
    await shopper.look()

    for below in ("", "/cancel", "/forget"):
        for token in ("", other.browser.csrf):
            assert (await shopper.send(below, csrf=token, **CARD)).status_code == 403
        form = {"try": "0", **CARD}
        foreign = {"Sec-Fetch-Site": "cross-site"}
        sent = await shopper.browser.send(shopper.path + below, form, **foreign)
        assert sent.status_code == 403
    assert await pages.payments() == []


async def test_a_page_knows_nobody_who_is_signed_in_at_the_other_origin(
    site: Site, shopper: Shopper
) -> None:
    """Cookies do not tell ports apart: the owner's comes along, and means nothing here."""
    owner = await site.signed_in(Role.OWNER)
    shopper.browser.client.cookies.update(owner.client.cookies)

    answer = await shopper.pay()

    assert "Sign out" not in answer.text
    assert "Confirmation number" in words(answer)


@pytest.mark.parametrize("path", ["/c/x", f"/c/{'A' * 43}", f"/c/{'A' * 5000}", "/", "/today"])
async def test_a_page_that_is_not_there_tells_nothing(site: Site, path: str) -> None:
    """Nor does the merchants' origin stand here."""
    answer = await site.browser(CHECKOUT_ORIGIN).get(path)

    assert answer.status_code == 404
    assert "Sign in" not in answer.text


async def test_pages_have_a_policy_of_their_own(shopper: Shopper) -> None:
    """No foreign script, style or frame, on good answers and on bad ones."""
    foreign = re.compile(r"<script(?! src=\"/static/)|\sstyle=|\son\w+=|https?://(?!localhost)")
    for answer in (await shopper.look(), await shopper.browser.get("/c/x")):
        policy = answer.headers["content-security-policy"]
        for said in (
            "default-src 'none'",
            "script-src 'sha384-",
            "object-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
        ):
            assert said in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        for name in ("cross-origin-opener-policy", "cross-origin-resource-policy"):
            assert answer.headers[name] == "same-origin"
        assert not foreign.search(answer.text)


async def test_what_a_shop_says_is_shown_as_text(site: Site, pages: PageStage) -> None:
    """Description and order cannot become marks."""
    evil = "<script>alert(1)</script>\"'"
    opened = await pages.opened(description=evil, order_number="<b>1</b>")
    shopper = Shopper(site.browser(CHECKOUT_ORIGIN), pages, opened)

    for answer in (await shopper.look(), await shopper.pay()):
        assert "<script>alert" not in answer.text
        assert "<b>1</b>" not in answer.text
        assert "&lt;script&gt;alert(1)" in answer.text


async def test_the_way_back_is_a_link_and_says_what_came_of_it(
    shopper: Shopper, pages: PageStage, opened: Checkout, stage: Stage
) -> None:
    """A redirect from a GET, signed with this checkout's own secret, to the shop and nowhere."""
    paid = await shopper.pay()
    answer = await shopper.browser.get(f"{shopper.path}/return")

    assert f'href="{shopper.path}/return"' in paid.text
    assert answer.status_code == 303
    url = httpx2.URL(answer.headers["location"])
    assert str(url).startswith(f"{SHOP}/orders/1001?token=abc&")
    ((_, number),) = await pages.payments()
    assert (url.params["status"], url.params["confirmation"]) == ("paid", number)
    assert url.params["checkout"] == f"chk_{opened.checkout_id.hex}"
    secret = return_secret(stage.road.vault, opened.merchant_id, opened.checkout_id)
    assert secret not in answer.headers["location"]


async def test_who_turns_back_is_led_back_unpaid(
    shopper: Shopper, pages: PageStage, opened: Checkout
) -> None:
    """And nobody can pay it any more."""
    await shopper.look()
    sent = await shopper.send("/cancel")
    answer = await shopper.look()
    led = await shopper.browser.get(f"{shopper.path}/return")

    assert (sent.status_code, answer.status_code) == (303, 410)
    assert "You turned back" in words(answer)
    assert led.headers["location"].startswith(f"{SHOP}/basket?checkout=")
    assert "status=cancelled" in led.headers["location"]
    assert (await pages.read(opened)).state is State.CANCELLED


async def test_an_open_page_leads_nowhere(shopper: Shopper) -> None:
    """There is nothing to say yet."""
    answer = await shopper.browser.get(f"{shopper.path}/return")

    assert answer.headers["location"] == shopper.path


async def test_a_slow_bank_is_waited_for_by_the_page(
    shopper: Shopper, site: Site, pages: PageStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again by itself, and tells what came of it."""
    gate = asyncio.Event()

    async def slowly(mti: str, fields: Any) -> Any:
        await gate.wait()
        return says("00", f38="A1B2C3")(mti, fields)

    pages.script(slowly)
    monkeypatch.setattr(payment_page, "WAITS_SECONDS_MAX", 0.05)
    waiting = await shopper.pay()
    gate.set()
    await site.desk.desk.finish(10)
    answer = await shopper.look()

    assert "has not answered yet" in words(waiting)
    assert waiting.headers["refresh"] == "2"
    assert "Confirmation number" in words(answer)
    assert len(await pages.payments()) == 1


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("step", ["acknowledge", "settle_try"])
async def test_the_page_that_comes_back_shows_what_happened(
    shopper: Shopper, pages: PageStage, site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Also before a worker has come by: whoever opens it goes on, and nothing is unclaimed."""

    async def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    await shopper.look()
    with monkeypatch.context() as patch:
        patch.setattr(
            paying if step == "acknowledge" else site.desk.desk.checkouts.store, step, dies
        )
        with pytest.raises(Killed):
            await shopper.send(**CARD)

    answer = await shopper.look()

    assert "Confirmation number" in words(answer)
    assert [state for state, _ in await pages.payments()] == ["captured"]


async def test_in_quarantine_a_page_shows_what_is_there_and_moves_nothing(
    shopper: Shopper, pages: PageStage, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a new try, nor one that a dead process has left."""

    async def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    await shopper.look()
    with monkeypatch.context() as patch:
        patch.setattr(paying, "acknowledge", dies)
        with pytest.raises(Killed):
            await shopper.send(**CARD)
    stage.road.doors.close(Reason.QUARANTINE, "a backup was restored")

    sent, shown = await shopper.send(**CARD), await shopper.look()

    assert (sent.status_code, "has not answered yet" in words(shown)) == (503, True)
    assert [state for state, _ in await pages.payments()] == ["approved"]


async def test_nothing_of_a_card_stands_in_a_log_or_a_row_of_the_checkout(
    shopper: Shopper, pages: PageStage, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paid, declined and mistyped alike; nor does the page's own address."""
    pages.script(DECLINED)
    await shopper.pay(keep="on", card_code="")
    await shopper.pay(keep="on")
    await shopper.pay(keep="on")
    kept = [
        dict(row)
        for table in ("checkouts", "checkout_events", "checkout_declines", "shopper_cards")
        for row in await stage.sql(f"SELECT * FROM {table}")
    ]
    said = capsys.readouterr()

    assert "payment.concluded" in said.out
    for secret in ("4111111111111111", "4111 1111", shopper.path):
        assert secret not in said.out + said.err
    assert "4111111111111111" not in str(kept)
    assert "/c/{token}" in said.out


async def test_a_card_that_was_kept_pays_the_next_time_without_being_typed(
    shopper: Shopper, site: Site, pages: PageStage, stage: Stage
) -> None:
    """By a random token in a cookie of this origin; no security code is sent."""
    await shopper.look()
    cookie = (await shopper.send(**CARD, keep="on")).headers["set-cookie"]
    for said in (KEPT, "Secure", "HttpOnly", "Path=/"):
        assert said in cookie
    assert "4111" not in without_tokens(cookie)

    other = Shopper(shopper.browser, pages, await pages.opened())
    offered = await other.look()
    await other.send(**{"with": "kept"})
    paid = await other.look()

    assert "Visa ending in 1111" in words(offered)
    assert "Pay 42.00 USD with this card" in words(offered)
    assert "Confirmation number" in words(paid)
    asked = stage.link.asked[-1].fields
    assert asked[2] == "4111111111111111"
    assert not any(text == "927" for text in asked.values())
    stranger = Shopper(site.browser(CHECKOUT_ORIGIN), pages, await pages.opened())
    assert "that you kept" not in words(await stranger.look())


async def test_a_kept_card_is_forgotten_and_does_not_pay(
    shopper: Shopper, pages: PageStage
) -> None:
    """Nor with a copy of the cookie."""
    await shopper.look()
    await shopper.send(**CARD, keep="on")
    (name,) = [each for each in shopper.browser.client.cookies if each.startswith(KEPT)]
    copy = shopper.browser.client.cookies[name]
    other = Shopper(shopper.browser, pages, await pages.opened())
    await other.look()

    sent = await other.send("/forget")
    answer = await other.browser.get(other.path, Cookie=f"{name}={copy}")
    await other.send(**{"with": "kept"})

    assert "Max-Age=0" in sent.headers["set-cookie"]
    assert "that you kept" not in words(answer)
    assert len(await pages.payments()) == 1


async def test_a_kept_card_is_another_merchants_nowhere(
    shopper: Shopper, site: Site, stage: Stage
) -> None:
    """The token is bound to the merchant by name and by row."""
    await shopper.look()
    await shopper.send(**CARD, keep="on")
    (name,) = [each for each in shopper.browser.client.cookies if each.startswith(KEPT)]
    token = shopper.browser.client.cookies[name]
    there = PageStage(await Stage.set_up(stage.database))
    path = Shopper(site.browser(), there, await there.opened()).path
    cookie = f"{KEPT}{there.stage.merchant.merchant_id.hex}={token}"

    answer = await site.browser(CHECKOUT_ORIGIN).get(path, Cookie=cookie)

    assert answer.status_code == 200
    assert "that you kept" not in words(answer)


async def test_a_kept_card_that_has_expired_is_not_asked_for(
    shopper: Shopper, pages: PageStage, stage: Stage
) -> None:
    """The page says so, and takes another one."""
    await shopper.look()
    await shopper.send(**{**CARD, "card_expiry": "12/26"}, keep="on")
    stage.clock.move(timedelta(days=60).total_seconds())
    other = Shopper(shopper.browser, pages, await pages.opened())
    await other.look()

    answer = await other.send(**{"with": "kept"})

    assert answer.status_code == 422
    assert "has expired" in words(answer)
    assert len(await pages.payments()) == 1


async def test_no_card_is_kept_that_did_not_pay_or_was_not_asked_to_be(
    shopper: Shopper, pages: PageStage
) -> None:
    """Only with a tick, and only when it paid."""
    pages.script(DECLINED)
    await shopper.look()
    declined = await shopper.send(**CARD, keep="on")
    await shopper.look()
    paid = await shopper.send(**CARD)

    assert "set-cookie" not in declined.headers
    assert "set-cookie" not in paid.headers
    assert await pages.stage.count("shopper_cards") == 0
