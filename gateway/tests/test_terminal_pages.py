"""
The Virtual Terminal in a browser without a window: what is sent, what is shown, what is kept.
"""

import asyncio
import re
from html import unescape
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import httpx2
import pytest
from counterfoil import ids
from counterfoil.amounts import read_amount
from counterfoil.config import RouteRule
from counterfoil.money import currency
from counterfoil.network.requests import TAG_POSTAL_CODE, TAG_STREET
from counterfoil.network.tlv import decode_tlv
from counterfoil.payments.movements import refund, void
from counterfoil.payments.recovery import sweep
from counterfoil.people.roles import Role
from counterfoil.store.currencies import CurrencyStore
from counterfoil.store.terminal import TerminalStore
from counterfoil.terminal.minding import SaleMinder
from counterfoil.web.astray import holds_card
from payment_stage import Stage, new_merchant, until
from scripted_link import approve, not_sent, says, unknown
from test_terminal import Killed, killed
from web_stage import PASSWORD, Site, WindowlessBrowser, without_tokens, words

NUMBER = "4242424242424242"
TRACKS = f"%B{NUMBER}^BYRON/ADA^30121010000000000000?;{NUMBER}=30121010000000000?"
TYPED = {
    "kind": "sale",
    "amount": "42.00",
    "currency": "USD",
    "number": "4242 4242 4242 4242",
    "expiry": "12/30",
    "cvv": "918",
    "postal_code": "62704",
    "street": "10 Main",
    "email": "ada@shopper.example",
    "order": "T-1001",
    "note": "Two books, by telephone",
    "tax": "3.00",
    "tip": "2",
}
_SALE = re.compile(r'name="sale" value="(tsl_[0-9a-f]{32})"')


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


@pytest.fixture
async def clerk(site: Site) -> WindowlessBrowser:
    """A browser in which a clerk is signed in, at the terminal."""
    browser = await site.signed_in(Role.CLERK)
    assert (await browser.get("/terminal")).status_code == 200
    return browser


async def form(browser: WindowlessBrowser, path: str = "/terminal") -> str:
    """Open a form and return the id of its sale."""
    found = _SALE.search((await browser.get(path)).text)
    assert found is not None
    return found.group(1)


async def send(browser: WindowlessBrowser, sale: str = "", **changes: str) -> httpx2.Response:
    """Send a form."""
    sale = sale or await form(browser)
    return await browser.send("/terminal/sales", {**TYPED, **changes, "sale": sale})


async def charged(browser: WindowlessBrowser, **changes: str) -> httpx2.Response:
    """Send a form and open the page that it leads to."""
    sent = await send(browser, **changes)
    assert sent.status_code == 303, words(sent)
    return await browser.get(sent.headers["location"])


def question_of(page: httpx2.Response) -> str:
    """Return the address of the sale that a page asks about."""
    found = re.search(r'action="(/terminal/sales/tsl_[0-9a-f]{32})/again"', page.text)
    assert found is not None, words(page)
    return found.group(1)


async def dump(stage: Stage) -> str:
    """Return everything that the database holds in words."""
    tables = await stage.sql(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' "
        "AND table_type = 'BASE TABLE'"
    )
    rows = [
        row["said"]
        for table in tables
        for row in await stage.sql(f'SELECT t::text AS said FROM "{table["name"]}" AS t')
    ]
    return "\n".join(rows)


async def test_a_telephone_order_is_charged_and_told(clerk: WindowlessBrowser) -> None:
    """A large confirmation number, what the issuer says of address and code, what comes next."""
    page = await charged(clerk)

    said = words(page)
    assert "Paid: 42.00 USD" in said
    assert re.search(r'id="confirmation">\d{4} \d{4} \d{4}<', page.text)
    for each in ("Street and postal code fit.", "The security code fits.", "A1B2C3", "T-1001"):
        assert each in said
    assert "of which tax 3.00 USD and tip 2.00 USD" in said
    for key in "NPE":
        assert f'data-key="{key}"' in page.text


async def test_a_swiped_card_goes_as_keyed_entry(clerk: WindowlessBrowser, stage: Stage) -> None:
    """Its tracks are never sent on, and the row says how it came."""
    page = await charged(clerk, entry="swiped", cvv="")

    (asked,) = stage.link.asked
    assert "swiped" in words(page)
    assert not {35, 45} & set(asked.fields)


async def test_a_card_that_is_typed_in_wide_digits_is_charged(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """Plain digits go to the issuer."""
    page = await charged(clerk, number="４２４２" * 4, expiry="１２/３０", cvv="９１８")

    (asked,) = stage.link.asked
    assert "The security code fits." in words(page)
    assert asked.fields[14] == "3012"


@pytest.mark.parametrize("name", ["amount", "note", "number", "cvv", "email", "order", "tip"])
async def test_a_track_that_is_sent_is_neither_kept_nor_shown(
    clerk: WindowlessBrowser, stage: Stage, name: str
) -> None:
    """Of a browser without scripts, into whichever field it was swiped."""
    sent = await send(clerk, **{name: TRACKS})

    assert sent.status_code == 422
    assert "Swipe again" in words(sent)
    for secret in (NUMBER, "BYRON", "30121010"):
        assert secret not in sent.text
    assert NUMBER not in await dump(stage)
    assert await stage.count("terminal_sales") == 0


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"amount": ""}, "amount", "Write an amount in USD, such as 500.00."),
        ({"amount": "12.345"}, "amount", "Write up to 2 decimals: USD has no more."),
        ({"amount": "0"}, "amount", "Write more than zero: 0.01 USD or more."),
        ({"amount": "$42"}, "amount", "without currency sign or letters"),
        ({"tax": "-1"}, "tax", "Write the amount without a minus sign"),
        (
            {"amount": "10,000,000,000.00"},
            "amount",
            "This is too large: write at most 9,999,999,999.99 USD.",
        ),
        ({"amount": "9" * 24, "currency": "JPY"}, "amount", "write at most 999,999,999,999 JPY."),
        ({"amount": "9" * 25}, "amount", "This is too large"),
        ({"tip": "41"}, "tip", "Tax and tip are parts of the amount: together they are more."),
        ({"number": "4242 4242 4242 4241"}, "number", "a digit is wrong, or two are swapped"),
        ({"number": ""}, "number", "Enter the number on the front of the card."),
        ({"expiry": "10/26"}, "expiry", "This card has expired."),
        ({"expiry": "13/30"}, "expiry", "Enter a month from 01 to 12"),
        ({"cvv": "91"}, "cvv", "Enter the 3 digits on the back of the card."),
        ({"email": "nobody"}, "email", "Write an address such as ada@example.com."),
        ({"postal_code": "1" * 11}, "postal_code", "10 characters at the most"),
        ({"street": "улица 5"}, "street", "in the letters A to Z, or only its number"),
        ({"street": "ß" * 21}, "street", "40 characters at the most"),
        (
            {"street": "４２４２ ４２４２ ４２４２ ４２４２"},
            "street",
            "This looks like a card number",
        ),
        ({"postal_code": "№№№№№№"}, "postal_code", "10 characters at the most"),
        ({"postal_code": "!!!"}, "postal_code", "in digits and the letters A to Z"),
        ({"postal_code": "〒1"}, "postal_code", "in digits and the letters A to Z"),
        ({"order": "für Zoë"}, "order", "type it without accents"),
        ({"note": "one\ntwo"}, "note", "Write the description in one line, without"),
        ({"note": "two\u200bbooks"}, "note", "without signs that cannot be seen"),
        ({"name": "a" * 65}, "name", "64 characters at the most"),
        ({"name": "Ada\N{ZERO WIDTH SPACE}"}, "name", "cannot be seen"),
        ({"note": NUMBER}, "note", "This looks like a card number"),
        ({"order": "5555 5555 5555 4444"}, "order", "This looks like a card number"),
        ({"currency": "XTS"}, "currency", "Choose a currency of the list."),
        ({"kind": "forced", "voice_code": ""}, "voice_code", "Type the code that the issuer said"),
        ({"kind": "forced", "voice_code": "A-1"}, "voice_code", "letters and digits only"),
        ({"keep": "on", "email": "", "name": ""}, "name", "name or e-mail"),
    ],
)
async def test_what_cannot_stand_is_said_at_its_field(
    clerk: WindowlessBrowser, stage: Stage, changes: dict[str, str], name: str, said: str
) -> None:
    """The form comes back with what was typed, and with an empty card."""
    sent = await send(clerk, **changes)

    assert sent.status_code == 422
    assert re.search(rf'id="{name}-said">[^<]*{re.escape(said)}', sent.text), words(sent)
    assert re.search(rf'<(input|select) id="{name}"[^>]*aria-invalid="true"', sent.text)
    assert re.search(rf'id="{name}"[^>]*aria-describedby="[^"]*{name}-said', sent.text)
    for secret in (NUMBER, "4242 4242", "5555 5555", 'value="918"', 'value="12/30"'):
        assert secret not in sent.text
    assert stage.link.asked == []


async def test_a_street_with_other_letters_goes_on_in_those_of_the_message(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """It is kept so, too, and stands so in the form of another try."""
    stage.link.script.append(says("51"))
    page = await charged(clerk, street="Große Straße 12½", postal_code="10115")
    again = re.search(r'href="(/terminal\?again=tsl_[0-9a-f]{32})"', page.text)
    assert again is not None

    (asked,) = stage.link.asked
    told = decode_tlv(asked.fields[48])
    assert (told[TAG_STREET], told[TAG_POSTAL_CODE]) == ("Grosse Strasse 12 1/2", "10115")
    assert 'value="Grosse Strasse 12 1/2"' in (await clerk.get(again.group(1))).text


async def test_a_form_that_is_refused_asks_once_for_its_currencies(
    clerk: WindowlessBrowser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is refused for."""
    rules = (RouteRule((stage.acquirer,), currencies=("USD",)), RouteRule(("elsewhere",)))
    monkeypatch.setattr(stage.road.routes, "_rules", rules)
    used = await form(clerk)
    await send(clerk, used)
    asked: list[UUID] = []
    of_merchant = CurrencyStore.of_merchant

    async def counted(self: CurrencyStore, merchant_id: UUID) -> dict[str, int]:
        asked.append(merchant_id)
        return await of_merchant(self, merchant_id)

    monkeypatch.setattr(CurrencyStore, "of_merchant", counted)
    for sale, changes in (
        (ids.written(ids.SALE, uuid4()), {"amount": "0"}),
        (ids.written(ids.SALE, uuid4()), {"currency": "EUR"}),
        (used, {"amount": "43.00"}),
    ):
        asked.clear()
        refused = await send(clerk, sale, **changes)

        assert (refused.status_code, len(asked)) == (422, 1), changes


async def test_the_script_gets_the_faults_and_keeps_its_form(clerk: WindowlessBrowser) -> None:
    """As JSON, for the fields that are there already."""
    sale = await form(clerk)
    sent = await clerk.send(
        "/terminal/sales", {**TYPED, "sale": sale, "cvv": "1"}, Accept="application/json"
    )
    done = await clerk.send("/terminal/sales", {**TYPED, "sale": sale}, Accept="application/json")

    assert (sent.status_code, list(sent.json()["faults"])) == (422, ["cvv"])
    assert "note" not in sent.json()["emptied"]
    assert done.json() == {"at": f"/terminal/sales/{sale}"}


async def test_the_script_is_told_which_field_holds_a_card_number(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """It empties that field, as the page does that comes without a script."""
    typed = {**TYPED, "note": "4242 4242 4242 4242", "sale": await form(clerk)}
    sent = await clerk.send("/terminal/sales", typed, Accept="application/json")

    assert "note" in sent.json()["faults"]
    assert "note" in sent.json()["emptied"]
    assert "4242" not in without_tokens(sent.text)
    assert stage.link.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "4242, 4242, 4242, 4242",
        "4242 / 4242 / 4242 / 4242",
        "(4242)(4242)(4242)(4242)",
        "4242x4242x4242x4242",
        "４２４２, ４２４２, ４２４２, ４２４２",
        f"{NUMBER}²",
    ],
)
async def test_no_text_says_the_number_of_its_own_card(
    clerk: WindowlessBrowser, stage: Stage, text: str
) -> None:
    """Whatever stands between its digits, as the API says; and the page does not show it again."""
    sent = await send(clerk, note=text)
    typed = {**TYPED, "note": text, "sale": await form(clerk)}
    told = await clerk.send("/terminal/sales", typed, Accept="application/json")

    assert sent.status_code == 422
    assert re.search(r'id="note-said">[^<]*This looks like a card number', sent.text)
    assert text not in sent.text
    assert (list(told.json()["faults"]), "note" in told.json()["emptied"]) == (["note"], True)
    assert stage.link.asked == []


async def test_a_form_that_comes_twice_charges_once(clerk: WindowlessBrowser, stage: Stage) -> None:
    """A double click, a reload, the back button: the same page, at once or later."""
    sale = await form(clerk)

    sent = await asyncio.gather(*(send(clerk, sale) for _ in range(6)))
    later = await send(clerk, sale)

    assert {each.headers["location"] for each in (*sent, later)} == {f"/terminal/sales/{sale}"}
    assert len(stage.link.asked) == 1
    assert await stage.count("payments") == 1


async def test_a_used_form_with_something_else_in_it_charges_nothing(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """Neither with another amount nor with another card; what it says is new may be sent."""
    sale = await form(clerk)
    await send(clerk, sale)

    other = await send(clerk, sale, amount="43.00")
    card = await send(clerk, sale, number="4111111111111111")
    fresh = _SALE.search(other.text)

    assert (other.status_code, card.status_code) == (422, 422)
    assert "nothing was charged now" in words(other)
    assert await stage.count("payments") == 1
    assert fresh is not None
    assert (await send(clerk, fresh.group(1), amount="43.00")).status_code == 303
    assert await stage.count("payments") == 2


async def test_a_decline_is_told_to_both_and_keeps_all_but_the_card(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """Words for the clerk, words for the customer, another try."""
    stage.link.script.append(says("51"))
    page = await charged(clerk)
    again = re.search(r'href="(/terminal\?again=tsl_[0-9a-f]{32})"', page.text)
    assert again is not None
    typed = await clerk.get(again.group(1))

    said = words(page)
    assert "Declined: 42.00 USD" in said
    assert "Insufficient funds." in said
    assert "There is not enough money on the card." in said
    for value in ("42.00", "62704", "10 Main", "T-1001", "3.00", "ada@shopper.example"):
        assert f'value="{value}"' in typed.text
    assert NUMBER not in typed.text
    assert 'value="918"' not in typed.text


async def test_a_sale_that_came_after_its_sign_in_had_ended_is_told_as_not_charged(
    site: Site, stage: Stage
) -> None:
    """On the way and at the terminal, where it keeps its kind; an ordinary sign-in says nothing."""
    clerk = await site.signed_in(Role.CLERK)
    sale = await form(clerk, "/terminal?kind=authorization")
    stage.clock.move(16 * 60)
    credentials = {"email": site.address_of(Role.CLERK), "password": PASSWORD}

    lost = await send(clerk, sale, kind="authorization", card="")
    on_the_way = await clerk.get(lost.headers["location"])
    onward = re.search(r'name="next" value="([^"]*)"', on_the_way.text)
    assert onward is not None
    there = unescape(onward.group(1))
    signed_in = await clerk.send("/sign-in", {**credentials, "next": there})
    back = await clerk.get(signed_in.headers["location"])

    assert there == "/terminal?kind=authorization&lost=sale"
    assert "Your sign-in had ended, and nothing was charged." in words(on_the_way)
    assert "Nothing was charged. The card was not kept: key it again." in words(back)
    assert re.search(r'aria-current="page"[^>]*>Authorization<', back.text)
    said = lost.headers["location"] + on_the_way.text + back.text
    for secret in (NUMBER, "4242 4242"):
        assert secret not in said
    # In a token or a file's digest three digits stand by chance, and nowhere else.
    assert not re.search(r"(?<![\w+/-])918(?![\w+/-])", said)
    assert await stage.count("terminal_sales") == 0
    assert stage.link.asked == []

    stage.clock.move(16 * 60)
    ordinary = await clerk.get("/terminal")
    asked = await clerk.get(ordinary.headers["location"])
    signed_in = await clerk.send("/sign-in", {**credentials, "next": "/terminal"})
    page = await clerk.get(signed_in.headers["location"])
    for answer in (asked, page):
        assert "had ended" not in words(answer)


async def test_what_a_sign_in_that_had_ended_lost_is_told_as_what_it_was(
    site: Site, stage: Stage
) -> None:
    """An answer, a refund, a sale with a saved card."""
    manager = await site.signed_in(Role.MANAGER)
    sale = await form(manager)
    card = "crd_" + 32 * "0"
    stage.clock.move(16 * 60)

    told = {}
    for path, said in (
        (f"/terminal/sales/{sale}/again", {}),
        ("/terminal/refund/pay_" + 32 * "0", {"amount": "1"}),
        ("/terminal/sales", {**TYPED, "sale": sale, "card": card}),
        ("/terminal/cards/" + card + "/forget", {}),
    ):
        answer = await manager.send(path, said)
        told[path] = unquote(answer.headers["location"].partition("next=")[2])

    assert list(told.values()) == [
        "/terminal?lost=answer",
        "/terminal/refund?lost=refund",
        f"/terminal?card={card}&lost=saved",
        "/",
    ]


async def test_what_is_wrong_takes_the_focus_where_no_script_does(
    clerk: WindowlessBrowser,
) -> None:
    """It stands above the form, and before every field that would have the focus."""
    sent = await send(clerk, amount="0")

    notice = re.search(r'<div class="notice bad"[^>]*autofocus', sent.text)
    assert notice is not None
    assert notice.start() < sent.text.index('id="amount"')


async def test_the_same_amount_on_the_same_card_is_asked_about_once(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """Nothing is charged before somebody says so, and then it is, once for each question."""
    await charged(clerk)
    stage.clock.move(130)
    asked = await charged(clerk)
    assert "The same amount on the same card 2 minutes ago: charge again?" in words(asked)
    assert len(stage.link.asked) == 1
    assert "Asked, not charged" in words(await clerk.get("/terminal"))
    at = question_of(asked)

    sent = await asyncio.gather(*(clerk.send(f"{at}/again", {"cvv": ""}) for _ in range(4)))
    page = await clerk.get(sent[0].headers["location"])
    late = await clerk.send(f"{at}/no", {})

    assert {each.headers["location"] for each in sent} == {sent[0].headers["location"]}
    assert "Paid: 42.00 USD" in words(page)
    assert len(stage.link.asked) == 2
    said = words(await clerk.get(late.headers["location"]))
    assert "You said: charge again" in said
    assert "Nothing was taken" not in said


async def test_who_does_not_charge_again_is_told_that_nothing_was_taken(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """And about what they were asked; the answer stays, also against a tab that still asks."""
    await charged(clerk)
    asked = await charged(clerk)
    at = question_of(asked)

    sent = await clerk.send(f"{at}/no", {})
    page = await clerk.get(sent.headers["location"])
    again = await clerk.send(f"{at}/again", {"cvv": ""})

    said = words(page)
    assert sent.headers["location"] == again.headers["location"] == at
    assert "Not charged. Nothing was taken." in said
    assert "42.00 USD on Visa" in said
    assert "was paid at" in said
    assert "/again" not in page.text
    assert 'data-key="P"' not in page.text
    assert len(stage.link.asked) == 1
    rows = await stage.sql(
        "SELECT cause, actor FROM terminal_sale_events WHERE merchant_id = $1 "
        "AND from_state = to_state",
        stage.merchant.merchant_id,
    )
    assert [row["cause"] for row in rows] == ["not_charged_again"]
    assert rows[0]["actor"].startswith("user:")


async def test_a_question_is_no_decline_on_any_page(site: Site, stage: Stage) -> None:
    """Not in the day's figures, in the list, on the payment's page; and it has no receipt."""
    owner = await site.signed_in()
    await owner.get("/terminal")
    await charged(owner)
    asked = await charged(owner)
    payment = re.search(r'href="(/payments/pay_[0-9a-f]{32})"', asked.text)
    assert payment is not None

    today = words(await owner.get("/today"))
    listed = await owner.get("/payments?standing=asked")
    declined = await owner.get("/payments?standing=declined")
    page = await owner.get(payment.group(1))
    receipt = await owner.get(f"{payment.group(1)}/receipt")

    assert "100.0 % 1 of 1" in today
    assert "your rules stopped" not in today
    assert "Asked, not charged" in today
    assert "Declined" not in today.partition("The last payments")[2]
    assert payment.group(1) in listed.text
    assert payment.group(1) not in declined.text
    assert "Asked, not charged" in words(page)
    assert "Declined" not in words(page).partition("Its road")[0]
    assert "/receipt" not in page.text
    assert receipt.status_code == 409
    assert "no receipt of a question" in words(receipt)


@pytest.mark.parametrize(
    ("step", "kind", "deed", "badge"),
    [
        (approve, "sale", "", ("good", "Paid")),
        (approve, "authorization", "", ("good", "Authorized")),
        (approve, "verification", "", ("good", "Card is good")),
        (approve, "sale", "void", ("", "Voided")),
        (approve, "sale", "refund", ("", "Refunded")),
        (says("05"), "sale", "", ("bad", "Declined")),
        (not_sent, "sale", "", ("bad", "Not sent")),
        (unknown, "sale", "", ("", "Reversed")),
        (says("10", f38="A1B2C3", f4="000000001000"), "sale", "", ("", "Reversed")),
        (unknown, "verification", "", ("bad", "No answer")),
    ],
)
async def test_one_state_has_one_word_and_one_colour_on_every_page(
    site: Site, stage: Stage, step: Any, kind: str, deed: str, badge: tuple[str, str]
) -> None:
    """The terminal's last sales and its page of the sale, Payments, Today, the payment's page."""
    stage.link.script.extend([step] * (2 if step is not_sent else 1))  # That is tried twice.
    owner = await site.signed_in()
    sale = await form(owner, f"/terminal?kind={kind}")
    sent = await send(owner, sale, kind=kind)
    (row,) = await stage.sql(
        "SELECT payment_id FROM payments WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    payment_id = row["payment_id"]
    forwarder = stage.forwarder()
    while await forwarder.forward():
        pass
    if deed:
        payment = await stage.road.store.payment(stage.merchant.merchant_id, payment_id)
        assert payment is not None
        await {"void": void, "refund": refund}[deed](stage.command(payment), stage.road)
        while await forwarder.forward():
            pass

    places = {
        "/terminal": 'id="lately"',
        "/payments": "<tbody>",
        "/today": 'id="last"',
        f"/payments/pay_{payment_id.hex}": 'class="standing"',
    }
    seen = {}
    for path, begins in places.items():
        text = (await owner.get(path)).text.partition(begins)[2]
        found = re.search(r'<span class="badge (\w*)">([^<]*)</span>', text)
        assert found is not None, path
        seen[path] = (found[1], found[2])
    page = await owner.get(sent.headers["location"])

    assert seen == dict.fromkeys(places, badge)
    assert re.search(rf'id="result">{badge[1]}', page.text), words(page)


async def test_a_question_that_nobody_answered_is_none_any_more(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """Whoever comes by later charges nothing by one key."""
    await charged(clerk)
    asked = await charged(clerk)
    at = question_of(asked)
    stage.clock.move(601)

    page = await clerk.get(at)
    late = await clerk.send(f"{at}/again", {"cvv": ""})

    assert "/again" not in page.text
    assert "charge again?" not in words(page)
    assert late.status_code == 409
    assert len(stage.link.asked) == 1


@pytest.mark.parametrize(
    ("typed", "letters", "address", "code"),
    [
        (
            {"postal_code": "", "street": ""},
            "UM",
            "No address was given.",
            "The security code fits.",
        ),
        *(
            ({left_out: ""}, f"{letter}M", said, "The security code fits.")
            for left_out, letter, said in (
                ("street", "Z", "The postal code fits. No street was given."),
                ("street", "N", "The postal code does not fit. No street was given."),
                ("postal_code", "A", "The street fits. No postal code was given."),
                ("postal_code", "N", "The street does not fit. No postal code was given."),
                ("note", "Z", "The postal code fits, the street does not."),
            )
        ),
        ({"cvv": ""}, "YP", "Street and postal code fit.", "No security code was given."),
        ({"cvv": ""}, "YS", "Street and postal code fit.", "No security code was given."),
        (
            {},
            "UP",
            "The issuer could not verify the address.",
            "The security code was not checked.",
        ),
    ],
)
async def test_what_was_not_given_is_not_told_as_the_issuers_doubt(
    site: Site, stage: Stage, typed: dict[str, str], letters: str, address: str, code: str
) -> None:
    """On the sale's page and on the payment's, in one colour: what was not asked cannot fail."""
    stage.link.script.append(says("00", f38="A1B2C3", f44=letters))
    owner = await site.signed_in()
    await owner.get("/terminal")
    page = await charged(owner, **typed)
    payment = re.search(r'href="(/payments/pay_[0-9a-f]{32})"', page.text)
    assert payment is not None
    whole = await owner.get(payment.group(1))

    for said in (address, code):
        tones = set()
        for shown in (page, whole):
            badge = re.search(rf'<span class="badge (\w*)">{re.escape(said)}', shown.text)
            assert badge is not None, said
            tones.add(badge[1])
        assert len(tones) == 1, said
        if said.endswith("code fits. No street was given."):
            assert tones == {"good"}
        assert (tones == {""}) is said.startswith("No "), said


async def test_tax_and_tip_stand_on_the_receipt(clerk: WindowlessBrowser) -> None:
    """On the page, and in the e-mail that is made of the same facts."""
    page = await charged(clerk)
    receipt = re.search(r'href="(/payments/pay_[0-9a-f]{32}/receipt)\?print=yes"', page.text)
    assert receipt is not None

    said = words(await clerk.get(receipt.group(1)))
    for part in ("Subtotal 37.00", "Tax 3.00", "Tip 2.00"):
        assert part in said


async def test_nobody_charges_again_what_was_no_duplicate(clerk: WindowlessBrowser) -> None:
    """The card in the vault is not for that."""
    sale = await form(clerk)
    await send(clerk, sale)

    said = {"sale": await form(clerk)}
    assert (await clerk.send(f"/terminal/sales/{sale}/again", said)).status_code == 409


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("authorization", {}, "Authorized: 42.00 USD"),
        ("forced", {"voice_code": "H7K2P9"}, "Paid: 42.00 USD"),
        ("verification", {}, "Card is good"),
    ],
)
async def test_every_kind_has_its_form_and_its_result(
    clerk: WindowlessBrowser, kind: str, more: dict[str, str], said: str
) -> None:
    """Each under its own address."""
    sale = await form(clerk, f"/terminal?kind={kind}")
    sent = await send(clerk, sale, kind=kind, **more)

    assert said in words(await clerk.get(sent.headers["location"]))


async def test_credits_and_refunds_are_for_who_may_refund(site: Site, stage: Stage) -> None:
    """A clerk sees neither and sends neither; a manager gives a credit where that is allowed."""
    clerk, manager = await site.signed_in(Role.CLERK), await site.signed_in(Role.MANAGER)
    for path in ("/terminal?kind=credit", "/terminal/refund"):
        assert (await clerk.get(path)).status_code == 403
    assert (await manager.get("/terminal?kind=credit")).status_code == 403
    assert "Refund" not in words(await clerk.get("/terminal"))
    assert (await send(clerk, kind="credit")).status_code == 403

    await stage.settings(credits_allowed=True)
    sale = await form(manager, "/terminal?kind=credit")
    sent = await send(manager, sale, kind="credit")

    assert "Given: 42.00 USD" in words(await manager.get(sent.headers["location"]))


async def test_a_payment_is_found_and_given_back(site: Site, stage: Stage) -> None:
    """By its confirmation number, in part, once for each form; not more than is left."""
    manager = await site.signed_in(Role.MANAGER)
    await charged(manager)
    (payment,) = await stage.sql(
        "SELECT * FROM payments WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    number = payment["confirmation_number"]
    address = f"/terminal/refund/pay_{payment['payment_id'].hex}"
    for query in (f"{number[:4]} {number[4:8]} {number[8:]}", "T-1001", ""):
        found = await manager.get(f"/terminal/refund?q={query}")
        assert address in found.text, query
    assert address not in (await manager.get("/terminal/refund?q=123456789012")).text

    sale = await form(manager, address)
    said = {"sale": sale, "amount": "10.00"}
    sent = await asyncio.gather(*(manager.send(address, said) for _ in range(3)))
    more = await manager.send(address, {"sale": await form(manager, address), "amount": "32.01"})

    assert "Refunded: 10.00 USD" in words(await manager.get(sent[0].headers["location"]))
    assert (more.status_code, "write at most 32.00 USD." in words(more)) == (422, True)
    for amount, said in {"0": "Write more than zero", "$5": "without currency sign"}.items():
        refused = await manager.send(address, {"sale": sale, "amount": amount})
        assert (refused.status_code, said in words(refused)) == (422, True)
    said = {"sale": await form(manager, address), "amount": "30.00"}
    most, again = [await manager.send(address, said) for _ in range(2)]
    rows = await stage.sql(
        "SELECT refunded_minor FROM payments WHERE payment_id = $1", payment["payment_id"]
    )
    assert rows[0]["refunded_minor"] == 4000
    assert (again.status_code, again.headers["location"]) == (303, most.headers["location"])


async def test_to_give_much_back_at_the_terminal_one_proves_who_one_is(
    site: Site, stage: Stage
) -> None:
    """More than 500 goes back, or is given, only shortly after; the amount that was typed stays."""
    manager = await site.signed_in(Role.MANAGER)
    await charged(manager, amount="1200.00")
    (payment,) = await stage.sql(
        "SELECT * FROM payments WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    address = f"/terminal/refund/pay_{payment['payment_id'].hex}"
    said = {"sale": await form(manager, address), "amount": "500.01"}
    led = await manager.send(address, said)
    again = await manager.get(f"{address}?amount=500.01")
    more = await manager.send(address, {**said, "amount": "1200.01"})
    await stage.settings(credits_allowed=True)
    credit = await send(
        manager, await form(manager, "/terminal?kind=credit"), kind="credit", amount="500.01"
    )
    rows = await stage.sql(
        "SELECT refunded_minor FROM payments WHERE payment_id = $1", payment["payment_id"]
    )

    assert led.headers["location"].startswith("/step-up?next=/terminal/refund/")
    assert 'value="500.01"' in again.text
    assert "That is more than is left: write at most 1,200.00 USD." in words(more)
    assert 'value="1200.00"' in (await manager.get(address)).text
    assert credit.headers["location"].startswith("/step-up?next=/terminal%3F")
    assert rows[0]["refunded_minor"] == 0
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    done = await manager.send(address, {**said, "sale": await form(manager, address)})
    assert "Refunded: 500.01 USD" in words(await manager.get(done.headers["location"]))


async def test_a_card_is_kept_found_charged_and_forgotten(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """By name or address; the number comes out of the vault, the code from the customer."""
    await charged(clerk, keep="on", name="Ada Byron")
    for query in ("ada", "ADA@SHOP", "", "Ada%20By"):
        found = await clerk.get(f"/terminal/cards?q={query}")
        assert "Ada Byron" in words(found), query
    card = re.search(r'href="(/terminal\?card=(crd_[0-9a-f]{32}))"', found.text)
    assert card is not None
    opened = await clerk.get(card.group(1))
    sale = _SALE.search(opened.text)
    assert sale is not None
    assert "•••• 4242" in words(opened)
    said = {"kind": "sale", "amount": "7", "currency": "USD", "sale": sale.group(1)}
    sent = await clerk.send("/terminal/sales", {**said, "card": card.group(2), "cvv": "918"})
    page = await clerk.get(sent.headers["location"])
    gone = await clerk.send(f"/terminal/cards/{card.group(2)}/forget", {})

    assert "Paid: 7.00 USD" in words(page)
    assert "saved card" in words(page)
    assert stage.link.asked[-1].fields[2] == NUMBER
    assert gone.status_code == 303
    assert (await clerk.get(card.group(1))).status_code == 404
    assert "No card is kept" in words(await clerk.get("/terminal/cards"))


@pytest.mark.parametrize("path", ["/terminal/refund", "/terminal/cards"])
async def test_a_search_leads_to_an_address_without_a_card_number(site: Site, path: str) -> None:
    """The form is posted; what it found stands at an address that may stay in the history."""
    manager = await site.signed_in(Role.MANAGER)
    await manager.get(path)
    found = await manager.send(path, {"q": " Ada & Sons "})
    astray = await manager.send(path, {"q": "4242 4242 4242 4242"})
    typed = await manager.get(f"{path}?q=4242424242424242")

    assert found.headers["location"] == f"{path}?q=Ada%20%26%20Sons"
    for each in (astray, typed):
        assert each.headers["location"] == f"{path}?card-number=yes"
    page = await manager.get(f"{path}?card-number=yes")
    assert "neither kept nor looked for" in words(page)
    assert f'<form method="post" action="{path}"' in page.text


async def test_no_card_stays_anywhere_after_it_was_sent(
    clerk: WindowlessBrowser, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the database, nor in a page, an address or a log."""
    pages = [
        await charged(clerk, keep="on", name="Ada Byron"),
        await charged(clerk),
        await clerk.get("/terminal"),
        await clerk.get("/terminal/cards"),
    ]
    kept = await dump(stage)

    for said in (kept, caplog.text, *(f"{each.url} {each.text}" for each in pages)):
        assert NUMBER not in said
        assert "4242 4242" not in said
    assert not re.search(r"\b918\b", kept)
    assert "BYRON/ADA" not in kept


async def test_sales_of_others_are_not_found(site: Site, clerk: WindowlessBrowser) -> None:
    """Neither another merchant's nor, for a clerk, another clerk's; their cards neither."""
    sale = await form(clerk)
    await send(clerk, sale, keep="on", name="Ada Byron")
    stage = site.stage
    other = new_merchant(merchant_id=uuid4())
    await stage.merchants.add(other, [])
    strangers = []
    for merchant_id, role in ((other.merchant_id, Role.OWNER), (None, Role.CLERK)):
        browser = site.browser()
        link = await site.link(f"{uuid4().hex}@shop.example", role, merchant_id)
        said = {"token": link.partition("=")[2], "name": "Eve", "password": PASSWORD}
        assert (await browser.send("/welcome", said)).status_code == 303
        await browser.get("/terminal")
        strangers.append(browser)
    paths = [f"/terminal/sales/{sale}", f"/terminal/sales/{sale}.json", f"/terminal?again={sale}"]
    card = f"crd_{sale.partition('_')[2]}"

    for browser in strangers:
        assert [(await browser.get(path)).status_code for path in paths] == [404] * 3
        for deed in ("again", "no", "claim", "refuse"):
            answer = await browser.send(f"/terminal/sales/{sale}/{deed}", {"sale": sale})
            assert answer.status_code == 404, deed
        assert "42.00" not in words(await browser.get("/terminal"))
    stranger = strangers[0]
    assert (await stranger.get(f"/terminal?card={card}")).status_code == 404
    assert (await stranger.send(f"/terminal/cards/{card}/forget", {})).status_code == 404
    assert "Ada" not in words(await stranger.get("/terminal/cards"))
    owner = await site.signed_in(Role.OWNER)
    assert (await owner.get(paths[0])).status_code == 200


async def test_the_page_that_comes_back_shows_what_happened(
    site: Site, clerk: WindowlessBrowser, stage: Stage
) -> None:
    """The browser goes away while the issuer thinks; the sale goes on and is claimed."""
    answer = asyncio.Event()

    async def thinks(mti: str, fields: Any) -> Any:
        await answer.wait()
        return approve(mti, fields)

    stage.link.script.append(thinks)
    sale = await form(clerk)
    gone = asyncio.create_task(send(clerk, sale))
    await until(lambda: stage.link.asked)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    back = await clerk.get("/terminal")
    waiting = await clerk.get(f"/terminal/sales/{sale}")
    look = await clerk.get(f"/terminal/sales/{sale}.json")
    answer.set()
    await site.desk.desk.finish(5)
    done = await clerk.get(f"/terminal/sales/{sale}")

    assert f"/terminal/sales/{sale}" in back.text
    assert "On its way" in words(back)
    assert f'data-poll="/terminal/sales/{sale}.json"' in waiting.text
    assert "<noscript><meta http-equiv" in waiting.text
    assert look.json()["over"] is False
    assert "Paid: 42.00 USD" in words(done)
    assert (await clerk.get(f"/terminal/sales/{sale}.json")).json()["over"] is True


async def test_an_approval_that_died_with_its_process_is_claimed_or_given_back_by_the_clerk(
    site: Site, clerk: WindowlessBrowser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so and asks; nobody claims it behind their back."""
    for deed, said in (("claim", "Paid: 42.00 USD"), ("refuse", "eversed: not charged")):
        sale = await form(clerk)
        with monkeypatch.context() as patched:
            patched.setattr(TerminalStore, "note_approval", killed)
            with pytest.raises(Killed):
                await send(clerk, sale)
        stage.clock.move(5)
        asked = await clerk.get(f"/terminal/sales/{sale}")
        assert "Approved, and not confirmed: take it?" in words(asked)
        assert (await clerk.get(f"/terminal/sales/{sale}.json")).json()["over"] is True

        await clerk.send(f"/terminal/sales/{sale}/{deed}", {})
        page = await clerk.get(f"/terminal/sales/{sale}")

        assert said in words(page)
        stage.clock.move(601)  # The guard against duplicates is another test's.
    minder = SaleMinder(stage.road, TerminalStore(stage.database, stage.road.ids), stage.merchants)
    await sweep(stage.road)
    await minder.look()
    assert await stage.sql("SELECT 1 FROM payments WHERE state = 'approved'") == []


async def test_what_others_began_is_finished_by_managers_and_the_audit_says_who(
    site: Site, clerk: WindowlessBrowser, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clerk finishes their own only, on the payment's page too; whoever claims is the actor."""
    manager, eve = await site.signed_in(Role.MANAGER), site.browser()
    link = await site.link("eve@shop.example", Role.CLERK)
    come = {"token": link.partition("=")[2], "name": "Eve", "password": PASSWORD}
    assert (await eve.send("/welcome", come)).status_code == 303
    waiting = "SELECT payment_id FROM payments WHERE merchant_id = $1 AND state = 'approved'"
    for deed, said in (("claim", "Paid: 42.00 USD"), ("refuse", "eversed: not charged")):
        sale = await form(clerk)
        with monkeypatch.context() as patched:
            patched.setattr(TerminalStore, "note_approval", killed)
            with pytest.raises(Killed):
                await send(clerk, sale)
        stage.clock.move(5)
        (row,) = await stage.sql(waiting, stage.merchant.merchant_id)
        payment = f"/payments/{ids.written(ids.PAYMENT, row['payment_id'])}"
        await eve.get("/terminal")

        refused = [
            (await eve.send(f"/terminal/sales/{sale}/{deed}", {})).status_code,
            (await eve.send(f"{payment}/acknowledge", {})).status_code,
            (await eve.send(f"{payment}/refuse", {})).status_code,
        ]
        untouched = await stage.sql(waiting, stage.merchant.merchant_id)
        asked = await manager.get(f"/terminal/sales/{sale}")
        await manager.send(f"/terminal/sales/{sale}/{deed}", {})
        page = await manager.get(f"/terminal/sales/{sale}")

        assert refused == [404, 403, 403]
        assert len(untouched) == 1
        assert "Approved, and not confirmed: take it?" in words(asked)
        assert said in words(page)
        stage.clock.move(601)
    actors = await stage.sql(
        "SELECT DISTINCT actor FROM payment_events WHERE merchant_id = $1 "
        "AND cause IN ('acknowledged', 'refused')",
        stage.merchant.merchant_id,
    )
    (boss,) = await stage.sql(
        "SELECT user_id FROM users WHERE email = $1", site.address_of(Role.MANAGER)
    )
    assert [row["actor"] for row in actors] == [f"user:{boss['user_id'].hex}"]
    ended = await stage.sql(
        "SELECT to_state, actor FROM terminal_sale_events WHERE merchant_id = $1 "
        "AND to_state IN ('done', 'reversed') ORDER BY to_state",
        stage.merchant.merchant_id,
    )
    assert [tuple(row) for row in ended] == [
        (state, f"user:{boss['user_id'].hex}") for state in ("done", "reversed")
    ]
    audit = words(await (await site.signed_in(Role.OWNER)).get("/audit"))
    assert "set out to claim pay_" in audit
    assert "set out to refuse pay_" in audit


def choices(answer: httpx2.Response) -> tuple[str, list[str], list[str]]:
    """Return which currency is chosen, and which are offered as one's own and as others."""
    (chosen,) = re.findall(r'<option value="(\w+)"[^>]* selected', answer.text)
    own, _, others = answer.text.partition('label="Other currencies"')
    found = [re.findall(r'<option value="([A-Z]{3})"', text) for text in (own, others)]
    return chosen, *found


async def test_a_sale_in_another_currency_changes_no_other_form(
    clerk: WindowlessBrowser, stage: Stage
) -> None:
    """It begins with the merchant's own; what was taken once is not among the others any more."""
    first = await clerk.get("/terminal")
    page = await charged(clerk, currency="JPY", amount="500", tax="", tip="")
    second = await clerk.get("/terminal")

    assert "Paid: 500 JPY" in words(page)
    chosen, own, others = choices(first)
    assert (chosen, own) == ("USD", ["USD"])
    assert "JPY" in others
    chosen, own, others = choices(second)
    assert (chosen, own) == ("USD", ["USD", "JPY"])
    assert "JPY" not in others
    manager = await Site.signed_in(await Site.of(stage), Role.MANAGER)
    assert choices(await manager.get("/links/new")) == choices(second)


async def test_what_no_route_can_take_is_not_offered(
    site: Site, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the terminal nor in a new payment link; sent all the same, it is said there."""
    rules = (RouteRule((stage.acquirer,), currencies=("USD",)), RouteRule(("elsewhere",)))
    monkeypatch.setattr(stage.road.routes, "_rules", rules)
    manager = await site.signed_in(Role.MANAGER)

    terminal, link = await manager.get("/terminal"), await manager.get("/links/new")
    sale = await send(manager, await form(manager), currency="EUR")
    made = {"description": "Summer concert", "kind": "fixed", "currency": "EUR", "amount": "25"}
    refused = await manager.send("/links", made)

    for page in (terminal, link):
        assert choices(page) == ("USD", ["USD"], [])
    for answer in (sale, refused):
        assert answer.status_code == 422
        assert "No acquirer of yours takes EUR" in words(answer)
    assert stage.link.asked == []
    assert await stage.count("terminal_sales") == 0


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [
        ("42", "USD", 4200),
        ("42.5", "USD", 4250),
        ("42,50", "USD", 4250),
        ("1,234", "USD", 123400),
        ("1,234.56", "USD", 123456),
        (" 0.01 ", "USD", 1),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("1,234.5", "KWD", 1234500),
        ("1,234", "KWD", None),  # A thousand, or one and a bit?
        ("1.234", "USD", None),
        ("42.", "USD", None),
        (".5", "USD", None),
        ("-1", "USD", None),
        ("5.0", "JPY", None),
        ("1e3", "USD", None),
        ("٤٢", "USD", None),
        ("9999999999999", "USD", None),
        ("", "USD", None),
        ("420.00".rjust(28, "0"), "USD", None),
    ],
)
def test_an_amount_is_read_exactly_or_not_at_all(text: str, code: str, minor: int | None) -> None:
    """To the minor unit."""
    assert read_amount(text, currency(code)) == minor


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (NUMBER, True),
        ("please charge 4242-4242-4242-4242 today", True),
        (TRACKS, True),
        ("4242 4242 4242 4242 12/30 918", True),
        ("call 1001: 4242\N{NO-BREAK SPACE}4242 - 4242 \N{EN DASH} 4242", True),
        ("3782 822463 10005", True),
        ("12 4242424242424242 1230", True),
        ("1234 5678 9012", False),
        ("Order 4242424242424241", False),
        ("+1 (217) 555-0123", False),
    ],
)
def test_what_holds_a_card_is_seen(text: str, holds: bool) -> None:
    """And a confirmation number or a telephone number is none."""
    assert holds_card(text) is holds
