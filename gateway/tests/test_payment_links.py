"""
Payment links: made in the dashboard, paid at the payment pages' origin, and not too often.
"""

import asyncio
import re
from typing import Any

import httpx2
import pytest
from checkout_stage import PageStage
from counterfoil.people.roles import Role
from counterfoil.web import link_page
from counterfoil.web.payment_links import NOTHING, check
from payment_stage import Stage
from scripted_link import says
from web_stage import CHECKOUT_ORIGIN, Site, WindowlessBrowser, without_tokens, words

CARD = {"card_number": "4111 1111 1111 1111", "card_expiry": "12/30", "card_code": "927"}
FORM = {"description": "Summer concert", "kind": "fixed", "currency": "USD", "amount": "25"}
_URL = re.compile(rf"{CHECKOUT_ORIGIN}(/l/[\w-]{{43}})")
_PAYMENT = re.compile(r"pay_[0-9a-f]{32}")


@pytest.fixture
async def site(stage: Stage) -> Site:
    """Both origins."""
    return await Site.of(stage)


@pytest.fixture
async def manager(site: Site) -> WindowlessBrowser:
    """A manager's browser."""
    browser = await site.signed_in(Role.MANAGER)
    await browser.get("/links/new")
    return browser


async def made(manager: WindowlessBrowser, **changes: str) -> tuple[str, str]:
    """Make a link; return the path of its page in the dashboard, and of what is given away."""
    await manager.get("/links/new")
    answer = await manager.send("/links", {**FORM, **changes})
    assert answer.status_code == 303, words(answer)
    path = answer.headers["location"].partition("?")[0]
    page = await manager.get(path)
    found = _URL.search(page.text)
    assert found
    return path, found.group(1)


async def opened(browser: WindowlessBrowser, path: str, **form: str) -> str:
    """Visit a link, go on, and open the page of one's own; return its path."""
    await browser.get(path)
    answer = await browser.send(path, form)
    assert answer.status_code == 303, words(answer)
    own: str = answer.headers["location"]
    await browser.get(own)
    return own


async def paid(browser: WindowlessBrowser, path: str, **form: str) -> httpx2.Response:
    """Pay a link, from its address to what the page says."""
    own = await opened(browser, path, **form)
    await browser.send(own, {"try": "0", **CARD})
    return await browser.get(own)


async def test_a_link_is_made_paid_and_says_who_paid(
    site: Site, manager: WindowlessBrowser
) -> None:
    """Each visitor has a page of their own."""
    path, link = await made(manager)
    visited = await site.browser(CHECKOUT_ORIGIN).get(link)
    answers = [await paid(site.browser(CHECKOUT_ORIGIN), link) for _ in range(2)]
    page = words(await manager.get(path))

    assert "Summer concert" in words(visited)
    assert "25.00 USD" in words(visited)
    numbers = set()
    for each in answers:
        found = re.search(r'value="(\d{12})"', each.text)
        assert found
        numbers.add(found.group(1))
    assert len(numbers) == 2
    for number in numbers:
        assert " ".join(re.findall("....", number)) in page
    assert "Summer concert" in words(await manager.get("/links"))


async def test_a_payments_page_names_the_link_by_which_it_came(
    site: Site, manager: WindowlessBrowser
) -> None:
    """As who asked for it, and claimed it."""
    _, link = await made(manager, description="Summer <b>concert</b>")
    await paid(site.browser(CHECKOUT_ORIGIN), link)
    found = _PAYMENT.search((await manager.get("/payments")).text)
    assert found

    page = await manager.get(f"/payments/{found[0]}")

    assert words(page).count("by the payment link Summer <b>concert</b>") == 2
    assert "<b>concert" not in page.text


async def test_a_link_that_may_be_paid_once_is_paid_once(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """Also by three who press the button at once; a decline gives it back."""
    _, link = await made(manager, times="1")
    stage.link.script.append(says("05"))
    await paid(site.browser(CHECKOUT_ORIGIN), link)
    visitors = [site.browser(CHECKOUT_ORIGIN) for _ in range(3)]
    pages = [await opened(each, link) for each in visitors]

    await asyncio.gather(
        *(each.send(own, {"try": "0", **CARD}) for each, own in zip(visitors, pages, strict=True))
    )
    shown = [await each.get(own) for each, own in zip(visitors, pages, strict=True)]

    states = [state for state, _ in await PageStage(stage).payments()]
    assert sorted(states) == ["captured", "declined"]
    assert sorted(each.status_code for each in shown) == [200, 410, 410]
    assert sum("cannot be paid any more" in words(each) for each in shown) == 2
    late = await site.browser(CHECKOUT_ORIGIN).get(link)
    assert (late.status_code, "paid already" in words(late)) == (410, True)
    for answer in (late, *(each for each in shown if each.status_code == 410)):
        assert "25.00 USD Summer concert" in words(answer)


async def test_what_is_being_paid_just_now_is_not_said_to_be_paid(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """In the list and on the link's page; it is in the count of what may be paid."""
    path, link = await made(manager, times="2")
    await paid(site.browser(CHECKOUT_ORIGIN), link)
    await opened(site.browser(CHECKOUT_ORIGIN), link)
    waiting = site.browser(CHECKOUT_ORIGIN)
    own = await opened(waiting, link)
    merchant_id = stage.merchant.merchant_id
    await stage.sql("UPDATE payment_links SET taken = 2 WHERE merchant_id = $1", merchant_id)
    await stage.sql(
        "UPDATE checkouts SET state = 'paying', tries = 1, trying_since = $2 "
        "WHERE merchant_id = $1 AND checkout_id = (SELECT checkout_id FROM checkouts "
        "WHERE merchant_id = $1 AND state = 'open' ORDER BY checkout_id LIMIT 1)",
        merchant_id,
        stage.clock.now(),
    )

    assert "Paid 1 of 2 times; 1 being paid just now" in words(await manager.get(path))
    assert "25.00 USD 1 of 2" in words(await manager.get("/links"))
    late = await site.browser(CHECKOUT_ORIGIN).get(link)
    for answer in (late, await waiting.get(own)):
        assert answer.status_code == 409
        assert "being paid just now" in words(answer)
        assert "If that does not succeed, you can try again in a few minutes." in words(answer)
        assert "paid already" not in words(answer)
    await stage.sql("UPDATE payment_links SET taken = 1 WHERE merchant_id = $1", merchant_id)
    await stage.sql(
        "UPDATE checkouts SET state = 'open', trying_since = NULL "
        "WHERE merchant_id = $1 AND state = 'paying'",
        merchant_id,
    )
    assert (await waiting.get(own)).status_code == 200


async def test_a_link_opens_so_many_pages_and_then_says_so(
    site: Site, manager: WindowlessBrowser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one address, and for all together; an hour later again."""
    assert link_page.LINK_PAGES_MAX >= 300 * link_page.ADDRESS_PAGES_MAX
    monkeypatch.setattr(link_page, "ADDRESS_PAGES_MAX", 2)
    monkeypatch.setattr(link_page, "LINK_PAGES_MAX", 4)
    _, link = await made(manager)
    one, other, last = (
        site.browser(CHECKOUT_ORIGIN, f"198.51.100.{number}") for number in (1, 2, 3)
    )
    for browser in (one, one, other, other):
        await opened(browser, link)

    await one.get(link)
    await last.get(link)
    refused = [await one.send(link, {}), await last.send(link, {})]

    for answer in refused:
        assert answer.status_code == 429
        assert "Nothing was charged: try again in ten minutes." in words(answer)
    assert await stage.count("checkouts") == 4
    stage.clock.move(3600)
    await opened(last, link)


async def test_a_stranger_pauses_a_link_for_themselves_and_nobody_else(
    site: Site, manager: WindowlessBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused them does not count for the others."""
    monkeypatch.setattr(link_page, "ADDRESS_PAGES_MAX", 2)
    monkeypatch.setattr(link_page, "LINK_PAGES_MAX", 5)
    _, link = await made(manager)
    stranger = site.browser(CHECKOUT_ORIGIN, "198.51.100.1")
    await stranger.get(link)

    statuses = [(await stranger.send(link, {})).status_code for _ in range(20)]

    assert statuses == [303] * 2 + [429] * 18
    for number in (2, 3, 4):
        await opened(site.browser(CHECKOUT_ORIGIN, f"198.51.100.{number}"), link)


async def test_the_payer_says_how_much_within_the_bounds(
    site: Site, manager: WindowlessBrowser
) -> None:
    """Anything else is said at the field."""
    _, link = await made(manager, kind="open", amount="", least="5", most="100")
    browser = site.browser(CHECKOUT_ORIGIN)
    await browser.get(link)

    for wrong in ("", "4.99", "100.01", "1e2", "-5", "7.005", "\N{ARABIC-INDIC DIGIT SEVEN}"):
        answer = await browser.send(link, {"amount": wrong})
        assert answer.status_code == 422, wrong
        assert "Write an amount from 5.00 to 100.00 USD." in words(answer)
        assert f'value="{wrong}"' in answer.text
    astray = await browser.send(link, {"amount": "4111111111111111"})
    assert "4111" not in without_tokens(astray.text)
    assert "12.50 USD" in words(await paid(browser, link, amount="12.5"))


async def test_a_link_that_was_ended_or_is_too_old_cannot_be_paid(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """Nor by whoever has a page of it open."""
    path, ended = await made(manager)
    _, old = await made(manager, days="1")
    browser = site.browser(CHECKOUT_ORIGIN)
    own = await opened(browser, ended)
    await manager.get(path)

    sent = await manager.send(f"{path}/end", {})
    await browser.send(own, {"try": "0", **CARD})
    assert sent.headers["location"] == f"{path}?done=ended"
    assert "cannot be paid any more" in words(await browser.get(own))
    assert "This link has ended" in words(await browser.get(ended))
    stage.clock.move(86_400)
    assert "This link has expired" in words(await browser.get(old))
    assert await PageStage(stage).payments() == []


async def test_that_a_link_is_made_is_said_once(manager: WindowlessBrowser) -> None:
    """Where the form leads: not by a reload, and not by an address that somebody was sent."""
    sent = await manager.send("/links", FORM)
    address = sent.headers["location"]

    first, again = [words(await manager.get(address)) for _ in range(2)]

    assert address.endswith("?done=made")
    assert "The link is made" in first
    assert "The link is made" not in again


async def test_a_link_that_is_used_up_is_not_called_made(
    site: Site, manager: WindowlessBrowser
) -> None:
    """Nor is one that stands called ended: the page says what is true when it is looked at."""
    path, link = await made(manager, times="1")  # Its maker has not yet seen what is said once.
    await paid(site.browser(CHECKOUT_ORIGIN), link)

    used_up = words(await manager.get(f"{path}?done=made"))
    other, _ = await made(manager)

    assert "paid" in used_up
    assert "The link is made" not in used_up
    assert "The link has ended" not in words(await manager.get(f"{other}?done=ended"))


async def test_to_end_a_link_one_is_asked_first(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """By a page that says what it means, and does nothing; it leads back once there is no end."""
    path, link = await made(manager, description="<b>Concert</b>")
    page = await manager.get(path)

    asked = await manager.get(f"{path}/end")

    assert f'href="{path}/end"' in page.text
    assert f'action="{path}/end"' not in page.text
    assert "nobody can pay by it any more" in words(asked)
    assert "It cannot be opened again" in words(asked)
    assert "<b>Concert" not in asked.text
    assert (await site.browser(CHECKOUT_ORIGIN).get(link)).status_code == 200
    ended = await manager.send(f"{path}/end", {})
    assert "The link has ended" in words(await manager.get(ended.headers["location"]))
    assert (await manager.get(f"{path}/end")).headers["location"] == path
    clerk, there = (
        await site.signed_in(Role.CLERK),
        await Site.of(await Stage.set_up(stage.database)),
    )
    assert (await clerk.get(f"{path}/end")).status_code == 403
    assert (await (await there.signed_in(Role.OWNER)).get(f"{path}/end")).status_code == 404


async def test_everything_that_is_wrong_with_a_new_link_is_told_at_once(
    manager: WindowlessBrowser,
) -> None:
    """Each at its field, and all above the form."""
    wrong = {"description": "", "currency": "XTS", "times": "0", "days": "x", "order": "1" * 65}
    for kind, fields in (("fixed", ["amount"]), ("open", ["least", "most"])):
        answer = await manager.send("/links", {**NOTHING, **wrong, "kind": kind, "amount": "x"})

        assert answer.status_code == 422
        for name in (*wrong, *fields):
            assert f'id="{name}-said"' in answer.text, name
            assert f'href="#{name}"' in answer.text, name
            field = re.search(rf'<(?:input|select) id="{name}"[^>]*>', answer.text)
            assert field, name
            assert f'aria-describedby="{name}-said"' in field[0]
            assert 'aria-invalid="true"' in field[0]


async def test_a_code_is_a_picture_of_our_own(manager: WindowlessBrowser) -> None:
    """It holds the address, and loads nothing."""
    path, _ = await made(manager)

    answer = await manager.get(f"{path}/code.svg")

    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.text.startswith("<svg")
    assert "<script" not in answer.text
    assert "href" not in answer.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"description": ""}, "description"),
        ({"description": "x" * 256}, "description"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"currency": "XTS"}, "currency"),
        ({"kind": "open", "least": "", "most": "5"}, "least"),
        ({"kind": "open", "least": "6", "most": "5"}, "most"),
        ({"times": "0"}, "times"),
        ({"times": "\N{SUPERSCRIPT TWO}"}, "times"),
        ({"days": "9999"}, "days"),
        ({"order": "4111111111111111"}, "order"),
        ({"description": "For Ada, 4111 1111 1111 1111"}, "description"),
    ],
)
def test_what_a_link_cannot_be_is_said_at_its_field(change: dict[str, str], field: str) -> None:
    """And only there."""
    found = check({**NOTHING, **FORM, **change})

    assert isinstance(found, dict)
    assert set(found) == {field}


@pytest.mark.parametrize("field", ["description", "order", "amount"])
async def test_a_card_number_that_went_astray_is_not_shown_again(
    manager: WindowlessBrowser, field: str
) -> None:
    """Nor kept: the form says at which field it was, and shows it empty."""
    answer = await manager.send("/links", {**NOTHING, **FORM, field: "4111 1111 1111 1111"})

    assert answer.status_code == 422
    assert "4111 1111" not in answer.text


@pytest.mark.parametrize(
    ("code", "amount", "said"),
    [
        ("USD", "10,000,000,000", "This is too large: write at most 9,999,999,999.99 USD."),
        ("USD", "12345678901234", "This is too large: write at most 9,999,999,999.99 USD."),
        ("USD", "1.005", "Write up to 2 decimals: USD has no more."),
        ("USD", "nothing", "Write the amount without currency sign or letters, such as 500.00."),
        ("USD", "9" * 5000, "This is too large: write at most 9,999,999,999.99 USD."),
        ("KWD", "1,234", "Write it without the comma"),
    ],
)
async def test_what_is_wrong_with_an_amount_is_said_and_none_is_guessed(
    manager: WindowlessBrowser, code: str, amount: str, said: str
) -> None:
    """Of a link with one amount, and of one with bounds; as everywhere else."""
    for kind, field in (("fixed", "amount"), ("open", "least"), ("open", "most")):
        form = {**NOTHING, **FORM, "least": "5", "most": "10", "kind": kind, "currency": code}

        answer = await manager.send("/links", {**form, field: amount})

        assert answer.status_code == 422
        found = re.search(f'id="{field}-said">([^<]*)<', answer.text)
        assert found, field
        assert found[1].startswith(said)


async def test_a_payer_whose_comma_could_mean_two_amounts_is_asked_again(
    site: Site, manager: WindowlessBrowser
) -> None:
    """In a currency of three decimals one reader's thousand is another's one."""
    bounds = {"kind": "open", "amount": "", "least": "1", "most": "5000", "currency": "KWD"}
    _, link = await made(manager, **bounds)
    browser = site.browser(CHECKOUT_ORIGIN)
    await browser.get(link)

    answer = await browser.send(link, {"amount": "1,234"})

    assert answer.status_code == 422
    assert "Write an amount from 1.000 to 5,000.000 KWD." in words(answer)


async def test_links_are_for_who_may_make_them_and_of_their_own_merchant(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """Another merchant's is not found, and not ended."""
    path, link = await made(manager)
    there = await Site.of(await Stage.set_up(stage.database))
    other = await there.signed_in(Role.OWNER)
    await other.get("/links")
    clerk = await site.signed_in(Role.CLERK)

    for asked in (path, f"{path}/code.svg", "/links/lnk_x", "/links?before=x"):
        assert (await other.get(asked)).status_code == 404, asked
    assert (await other.send(f"{path}/end", {})).status_code == 404
    assert (await clerk.get("/links")).status_code == 403
    assert (await site.browser(CHECKOUT_ORIGIN).get(link)).status_code == 200
    assert "No links yet" in words(await other.get("/links"))


async def test_a_form_of_a_link_needs_the_token_of_its_page(
    site: Site, manager: WindowlessBrowser, stage: Stage
) -> None:
    """Nothing is opened for another site."""
    _, link = await made(manager)
    browser = site.browser(CHECKOUT_ORIGIN)
    await browser.get(link)
    headers: dict[str, Any] = {"Sec-Fetch-Site": "cross-site"}

    assert (await browser.send(link, {"csrf": "0" * 64})).status_code == 403
    assert (await browser.send(link, {}, **headers)).status_code == 403
    assert await stage.count("checkouts") == 0


async def test_who_made_and_ended_a_link_is_on_the_audit_page(
    manager: WindowlessBrowser, stage: Stage
) -> None:
    """In one commit with it."""
    path, _ = await made(manager, description="<b>Concert</b>")
    page = await manager.get(path)
    await manager.send(f"{path}/end", {})

    rows = await stage.sql(
        "SELECT what, about, actor FROM people_events WHERE merchant_id = $1 "
        "AND what LIKE 'payment_link%' ORDER BY event_id",
        stage.merchant.merchant_id,
    )
    assert [row["what"] for row in rows] == ["payment_link_made", "payment_link_ended"]
    assert all(row["actor"].startswith("user:") for row in rows)
    assert "<b>Concert" not in page.text
