"""
Settings and screening as pages change them: checked, noted with what was before, told at once.
"""

import re
from datetime import datetime, time
from typing import Any
from uuid import uuid4

import pytest
from counterfoil import ids
from counterfoil.cards import Card
from counterfoil.countries import COUNTRIES
from counterfoil.money import currency
from counterfoil.network.verification_results import Avs, Cvv
from counterfoil.payments.policy import OFF, Policy, Velocity
from counterfoil.people.roles import Role
from counterfoil.settlement.cutoff import effect_of_change
from counterfoil.web.currencies import AHEAD_MIN
from counterfoil.web.screening_form import fields_of, policy_of
from payment_stage import Stage
from web_stage import Site, WindowlessBrowser, words

BUSINESS = {
    "name": "The Book Shop",
    "city": "Springfield",
    "region": "IL",
    "country": "US",
    "email": "owner@bookshop.example",
}
OTHER_CARD = Card("5555555555554444", 12, 2030, "927")
USD = currency("USD")
PAYMENTS = {"acknowledge_seconds": "180", "partial_approvals": "reverse"}


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


@pytest.fixture
async def owner(site: Site) -> WindowlessBrowser:
    """Somebody who may change settings, with the page open."""
    browser = await site.signed_in()
    await browser.get("/settings")
    return browser


async def noted(stage: Stage) -> list[tuple[Any, ...]]:
    """Return what was changed: what, about what, before, after."""
    rows = await stage.sql(
        "SELECT what, about, before, after FROM people_events WHERE merchant_id = $1 "
        "AND what NOT IN ('person_invited', 'invitation_accepted', 'signed_in') ORDER BY event_id",
        stage.merchant.merchant_id,
    )
    return [tuple(row.values()) for row in rows]


async def merchant(stage: Stage) -> Any:
    """Return the merchant's row."""
    return await stage.merchants.row(stage.merchant.merchant_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "The Other Shop"),
        ("city", "Portland"),
        ("region", ""),
        ("country", "IE"),
        ("email", "till@bookshop.example"),
    ],
)
async def test_each_value_of_the_business_changes_and_is_noted(
    site: Site, owner: WindowlessBrowser, field: str, value: str
) -> None:
    """With what it was, by whom, and nothing else."""
    answer = await owner.send("/settings/business", {**BUSINESS, field: value})

    assert answer.headers["location"] == "/settings?done=business"
    assert "was changed" in words(await owner.get("/settings?done=business"))
    assert (await merchant(site.stage))[field] == value
    assert await noted(site.stage) == [("setting_changed", field, BUSINESS[field], value)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 65),
        ("name", "a\nb"),
        ("city", " "),
        ("region", "ILLI"),
        ("region", "ZZZ"),
        ("region", "ON"),
        ("country", "USA"),
        ("country", "1A"),
        ("country", "ZZ"),
        ("country", ""),
        ("email", "nobody"),
        ("email", "a@b.example\r\nBcc: c@d.example"),
    ],
)
async def test_a_value_that_no_message_could_carry_comes_back_at_its_field(
    site: Site, owner: WindowlessBrowser, field: str, value: str
) -> None:
    """With what was typed, and nothing was changed."""
    answer = await owner.send("/settings/business", {**BUSINESS, field: value})

    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert f'id="{field}-said"' in answer.text
    assert (await merchant(site.stage))[field] == BUSINESS[field]
    assert await noted(site.stage) == []


async def test_a_country_is_chosen_by_its_name(site: Site, owner: WindowlessBrowser) -> None:
    """Of all in ISO 3166, and nothing else; one that was set before stands until it is changed."""
    shown = (await owner.get("/settings")).text
    options = re.findall(r'<option value="([A-Z]{2})"( selected)?>([^<]+)<', shown)

    assert len(options) == len(COUNTRIES) == 249
    assert ("US", " selected", "United States") in options
    assert ("DE", "", "Germany") in options
    names = [name for _, _, name in options]
    assert names.index("Åland Islands") < names.index("Albania")
    refused = await owner.send("/settings/business", {**BUSINESS, "country": "ZZ"})
    assert "Choose a country of the list." in words(refused)
    assert '<option value="US" selected>' in refused.text
    await site.stage.sql(
        "UPDATE merchants SET country = 'XK' WHERE merchant_id = $1",
        site.stage.merchant.merchant_id,
    )
    assert '<option value="XK" selected>' in (await owner.get("/settings")).text


@pytest.mark.parametrize(
    ("country", "region", "words"),
    [
        ("US", "or", ""),
        ("US", "PR", ""),
        ("US", "", ""),
        ("US", "ZZZ", "two letters of a state: OR."),
        ("CA", "IL", "two letters of a province or territory: ON."),
        ("CA", "NU", ""),
        ("IE", "ZZZ", ""),
    ],
)
async def test_a_region_is_one_of_its_country_where_they_are_known(
    site: Site, owner: WindowlessBrowser, country: str, region: str, words: str
) -> None:
    """The states of the USA and the provinces of Canada; others are taken as they are."""
    change = {"country": country, "region": region}

    answer = await owner.send("/settings/business", {**BUSINESS, **change})

    assert answer.status_code == (422 if words else 303)
    if words:
        assert re.search(f'id="region-said"[^>]*>Region: write the {words}', answer.text)


async def test_what_a_person_typed_is_text_and_no_page(owner: WindowlessBrowser) -> None:
    """Also in the masthead, where the name stands on every page."""
    name = '<script>alert("1")</script>'

    await owner.send("/settings/business", {**BUSINESS, "name": name})

    shown = (await owner.get("/settings")).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown


async def test_saving_what_stands_changes_nothing(site: Site, owner: WindowlessBrowser) -> None:
    """Nothing is noted, and no page says that something was changed."""
    answer = await owner.send("/settings/business", BUSINESS)

    assert answer.headers["location"] == "/settings"
    assert await noted(site.stage) == []


async def test_acknowledgment_time_and_partial_approvals_change(
    site: Site, owner: WindowlessBrowser
) -> None:
    """Both are noted; the next payment goes by them."""
    changed = {"acknowledge_seconds": "60", "partial_approvals": "accept"}

    await owner.send("/settings/payments", changed)

    row = await merchant(site.stage)
    assert (row["acknowledge_seconds"], row["partial_approvals"]) == (60, "accept")
    assert await noted(site.stage) == [
        ("setting_changed", "acknowledge_seconds", "180", "60"),
        ("setting_changed", "partial_approvals", "reverse", "accept"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acknowledge_seconds", "4"),
        ("acknowledge_seconds", "3601"),
        ("acknowledge_seconds", "-60"),
        ("acknowledge_seconds", "6e1"),
        ("acknowledge_seconds", "\N{ARABIC-INDIC DIGIT SIX}0"),
        ("partial_approvals", "keep"),
        ("partial_approvals", ""),
    ],
)
async def test_a_time_that_cannot_be_comes_back(
    site: Site, owner: WindowlessBrowser, field: str, value: str
) -> None:
    """At its field."""
    answer = await owner.send("/settings/payments", {**PAYMENTS, field: value})

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert await noted(site.stage) == []


async def test_what_the_operator_allows_is_shown_and_not_changed(
    site: Site, owner: WindowlessBrowser
) -> None:
    """Credits and the category stay, whatever a form says."""
    form = {**PAYMENTS, "credits_allowed": "true", "category_code": "7995"}

    await owner.send("/settings/payments", form)

    row = await merchant(site.stage)
    assert (row["credits_allowed"], row["category_code"]) == (False, "5942")
    assert "Credits without a payment not allowed" in words(await owner.get("/settings"))


async def test_another_cutoff_is_explained_before_it_holds(
    site: Site, owner: WindowlessBrowser
) -> None:
    """When the next close is then; nothing is changed by looking."""
    path = "/settings/day?cutoff=17%3A30&timezone=America%2FChicago"

    said = words(await owner.get(path))
    assert await noted(site.stage) == []
    answer = await owner.send("/settings/day", {"cutoff": "17:30", "timezone": "America/Chicago"})

    earlier = "ends earlier : on 23 Nov 2026, 17:30:00 CST , not on 23 Nov 2026, 23:00:00 CST ."
    assert f"The day that is open now {earlier} It lasts 17 hours in all." in said
    assert answer.headers["location"] == "/settings?done=day"
    assert (await merchant(site.stage))["cutoff"] == time(17, 30)
    assert await noted(site.stage) == [("setting_changed", "cutoff", "23:00:00", "17:30:00")]


async def test_what_an_address_does_not_ask_stays_as_it_is(
    site: Site, owner: WindowlessBrowser
) -> None:
    """The zone when only a cutoff is asked; everything when nothing is."""
    said = words(await owner.get("/settings/day?cutoff=17%3A30"))
    nothing = await owner.get("/settings/day")

    assert "17:30, America/Chicago" in said
    assert (nothing.status_code, nothing.headers["location"]) == (303, "/settings#day")
    assert await noted(site.stage) == []


async def test_a_later_cutoff_and_one_that_changes_nothing_today_say_so(
    owner: WindowlessBrowser,
) -> None:
    """As a shop owner reads it: when the day that is open ends, and what counts for it."""
    later = words(await owner.get("/settings/day?cutoff=23%3A45"))
    same = words(await owner.get("/settings/day?cutoff=23%3A00&timezone=America%2FMenominee"))

    assert "ends later : on 23 Nov 2026, 23:45:00 CST , not on 23 Nov 2026, 23:00:00 CST ." in later
    assert "What you take until then still counts for it." in later
    assert "ends as it would have: on 23 Nov 2026, 23:00:00 CST ." in same
    assert "show times by the new clock" in same


async def test_a_cutoff_that_has_passed_already_closes_at_once(
    site: Site, owner: WindowlessBrowser
) -> None:
    """And the page says so in the button."""
    site.stage.clock.move(14 * 3600)  # 14:30 in Chicago.
    browser = await site.signed_in(Role.OWNER)

    said = words(await browser.get("/settings/day?cutoff=14%3A00&timezone=America%2FChicago"))

    assert "The day that is open now ends at once , not on 23 Nov 2026, 23:00:00 CST" in said
    assert "Change it, and close now" in said
    assert "24 Nov 2026, 14:00:00 CST" in said


def test_the_effect_of_a_change_is_what_the_schedule_does() -> None:
    """Another zone counts as another time."""
    last = datetime.fromisoformat("2026-11-23T05:00:00+00:00")  # 23:00 in Chicago.
    soon, late = (datetime.fromisoformat(f"2026-11-23T{at}:30:00+00:00") for at in ("05", "20"))
    before = (time(23), "America/Chicago")

    later = effect_of_change(last, soon, before=before, after=(time(23), "America/Denver"))
    passed = effect_of_change(last, late, before=before, after=(time(19), "UTC"))

    assert f"{later.before:%d %H:%M} {later.after:%d %H:%M}" == "24 05:00 23 06:00"
    assert not later.at_once
    assert passed.at_once
    assert f"{passed.after:%d %H:%M} {passed.following:%d %H:%M}" == "23 19:00 24 19:00"


@pytest.mark.parametrize(
    ("field", "value"),
    [("cutoff", "24:00"), ("cutoff", ""), ("timezone", "Mars/Base"), ("timezone", "../etc/passwd")],
)
async def test_a_time_or_zone_that_is_none_comes_back(
    site: Site, owner: WindowlessBrowser, field: str, value: str
) -> None:
    """Both from the form that looks, which refuses nothing, and from the one that changes."""
    form = {"cutoff": "22:00", "timezone": "America/Chicago", field: value}

    looked = await owner.get("/settings/day?" + "&".join(f"{k}={v}" for k, v in form.items()))
    sent = await owner.send("/settings/day", form)

    assert (looked.status_code, sent.status_code) == (200, 422)
    for answer in (looked, sent):
        assert f'id="{field}-said"' in answer.text
    assert await noted(site.stage) == []


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.OWNER])
async def test_nobody_but_the_owner_changes_settings(site: Site, role: Role) -> None:
    """Every page and every form."""
    browser = await site.signed_in(role)
    await browser.get("/no-such-page")

    for path in ("/settings", "/settings/day", "/settings/screening"):
        assert (await browser.get(path)).status_code == 403
    for path in (
        "/settings/business",
        "/settings/payments",
        "/settings/day",
        "/settings/screening",
        "/settings/screening/blocks",
        f"/settings/screening/blocks/blk_{uuid4().hex}/end",
    ):
        assert (await browser.send(path, BUSINESS)).status_code == 403


ALL_RULES = Policy(
    avs_refused=(Avs.NO_MATCH, Avs.STREET_ONLY),
    cvv_refused=(Cvv.NO_MATCH,),
    duplicate_seconds=300,
    card=Velocity(seconds=3600, payments_max=6),
    email=Velocity(seconds=86_400, payments_max=3, amount_minor_max=50_000),
    address=Velocity(seconds=90, amount_minor_max=10_000),
    merchant=Velocity(seconds=2 * 86_400, payments_max=10_000),
    declines_max=5,
    declines_seconds=7200,
)


@pytest.mark.parametrize("policy", [OFF, ALL_RULES, Policy(declines_max=1)])
def test_a_form_says_the_rules_that_it_shows(policy: Policy) -> None:
    """Whoever saves without a change changes nothing."""
    found, faults = policy_of(fields_of(policy, USD), policy, USD)

    assert faults == {}
    assert {*found.avs_refused} == {*policy.avs_refused}
    assert fields_of(found, USD) == fields_of(policy, USD)


def test_a_rule_that_the_form_does_not_offer_stays() -> None:
    """What the operator set by the command line is not lost by saving."""
    odd = Policy(avs_refused=(Avs.MATCH,))

    assert policy_of(fields_of(odd, USD), odd, USD)[0] == odd


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"duplicate_every": "2", "duplicate_unit": "days"}, "duplicate_every"),
        ({"duplicate_every": "x"}, "duplicate_every"),
        ({"duplicate_every": "1", "duplicate_unit": "weeks"}, "duplicate_every"),
        ({"card_payments": "0", "card_every": "1"}, "card_payments"),
        ({"card_payments": "1001", "card_every": "1"}, "card_payments"),
        ({"card_payments": "5", "card_every": ""}, "card_every"),
        ({"card_payments": "5", "card_every": "59", "card_unit": "seconds"}, "card_every"),
        ({"card_payments": "5", "card_every": "31", "card_unit": "days"}, "card_every"),
        ({"email_amount": "1.505", "email_every": "1"}, "email_amount"),
        ({"email_amount": "0", "email_every": "1"}, "email_amount"),
        ({"email_amount": "much", "email_every": "1"}, "email_amount"),
        ({"email_amount": "10000000000", "email_every": "1"}, "email_amount"),
        ({"address_every": "1"}, "address_payments"),
        ({"merchant_payments": "10001", "merchant_every": "1"}, "merchant_payments"),
        ({"declines_max": "5", "declines_every": ""}, "declines_every"),
        ({"declines_max": "", "declines_every": "1"}, "declines_max"),
    ],
)
def test_a_rule_that_cannot_be_is_a_fault_at_its_field(changes: dict[str, str], field: str) -> None:
    """And the rules that stand go on to hold."""
    found, faults = policy_of({**fields_of(OFF, USD), **changes}, ALL_RULES, USD)

    assert field in faults
    assert found == ALL_RULES


async def test_rules_are_changed_noted_and_hold(site: Site, owner: WindowlessBrowser) -> None:
    """The same version as the operator's command would have written."""
    form = {**fields_of(ALL_RULES, USD), "version": "0"}

    answer = await owner.send("/settings/screening", form)

    kept = await site.stage.road.store.screening.kept_policy(site.stage.merchant.merchant_id)
    ((what, about, before, after),) = await noted(site.stage)
    assert answer.headers["location"] == "/settings/screening?done=rules"
    assert (kept.version, fields_of(kept.policy, USD)) == (1, fields_of(ALL_RULES, USD))
    assert (what, about, before) == ("screening_changed", "version 1", None)
    assert '"duplicate_seconds":300' in after


async def test_amounts_of_rules_are_asked_and_shown_as_people_write_them(
    site: Site, owner: WindowlessBrowser
) -> None:
    """In the merchant's own currency; what cannot be one is told at its field."""
    store, merchant_id = site.stage.road.store.screening, site.stage.merchant.merchant_id
    await store.set_policy(merchant_id, ALL_RULES, after_version=0, actor="cli:ada")

    shown = await owner.get("/settings/screening")

    assert "Amount in USD" in words(shown)
    assert re.search(r'name="email_amount" value="500.00" inputmode="decimal"', shown.text)
    form = {**fields_of(ALL_RULES, USD), "version": "1"}
    for wrong, said in (
        ("1.505", "Write up to 2 decimals: USD has no more."),
        ("12345678901.00", "This is too large: write at most 9,999,999,999.99 USD."),
        ("some", "Write the amount without currency sign or letters, such as 500.00."),
    ):
        answer = await owner.send("/settings/screening", {**form, "email_amount": wrong})
        assert answer.status_code == 422
        assert f'<p class="fault" id="email_amount-said">{said}</p>' in answer.text
        assert f'value="{wrong}"' in answer.text
    await owner.send("/settings/screening", {**form, "email_amount": "1,250.5"})
    kept = (await store.kept_policy(merchant_id)).policy
    assert kept.email == Velocity(seconds=86_400, payments_max=3, amount_minor_max=125_050)


async def test_rules_in_a_currency_without_cents_say_so(
    site: Site, owner: WindowlessBrowser
) -> None:
    """A form that says no currency changes nothing: its amounts could mean anything."""
    for _ in range(AHEAD_MIN):
        await site.stage.paid(currency=currency("JPY"), amount_minor=4200)
    form = {"version": "0", "currency": "JPY", "card_every": "1", "card_unit": "hours"}

    shown = await owner.get("/settings/screening")
    wrong = await owner.send("/settings/screening", {**form, "card_amount": "42.5"})
    unclear = await owner.send("/settings/screening", {**form, "card_amount": "42", "currency": ""})
    await owner.send("/settings/screening", {**form, "card_amount": "42"})

    assert "Amount in JPY" in words(shown)
    assert "Write a whole amount: JPY has no decimals." in words(wrong)
    assert unclear.status_code == 400
    kept = await site.stage.road.store.screening.kept_policy(site.stage.merchant.merchant_id)
    assert kept.version == 1
    assert kept.policy.card == Velocity(seconds=3600, amount_minor_max=42)


async def test_rules_that_somebody_else_has_changed_are_not_overwritten(
    site: Site, owner: WindowlessBrowser
) -> None:
    """The page says so, keeps what was typed, and may be sent again."""
    store, merchant_id = site.stage.road.store.screening, site.stage.merchant.merchant_id
    await store.set_policy(merchant_id, ALL_RULES, after_version=0, actor="cli:ada")
    form = {
        **fields_of(OFF, USD),
        "duplicate_every": "7",
        "duplicate_unit": "minutes",
        "version": "0",
    }

    answer = await owner.send("/settings/screening", form)

    assert answer.status_code == 409
    assert "Somebody else has changed these rules" in words(answer)
    assert 'name="version" value="1"' in answer.text
    assert (await store.kept_policy(merchant_id)).policy == ALL_RULES


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("bin", "411111", "411111"),
        ("email", "Bad@Spam.example", "bad@spam.example"),
        ("email_domain", "Spam.example", "spam.example"),
    ],
)
async def test_somebody_is_blocked_and_served_again(
    site: Site, owner: WindowlessBrowser, kind: str, value: str, shown: str
) -> None:
    """Both are noted, and the entry stays in the list of what was."""
    entry = {"kind": kind, "value": value, "reason": "chargeback of May"}

    await owner.send("/settings/screening/blocks", entry)
    again = await owner.send("/settings/screening/blocks", entry)
    (row,) = await site.stage.road.store.screening.blocks(site.stage.merchant.merchant_id)
    name = ids.written("blk", row["block_id"])
    ended = await owner.send(f"/settings/screening/blocks/{name}/end", {})

    assert again.status_code == 422
    assert "is on the list already" in words(again)
    assert ended.headers["location"] == "/settings/screening?done=unblocked"
    assert entry["reason"] not in words(await owner.get("/settings/screening"))
    assert f"{shown} " in words(await owner.get("/settings/screening?ended=1"))
    assert await noted(site.stage) == [
        ("blocked", shown, None, "chargeback of May"),
        ("unblocked", shown, "chargeback of May", None),
    ]


async def test_a_card_is_blocked_by_a_payment_with_it(site: Site, owner: WindowlessBrowser) -> None:
    """And its next payment is refused."""
    payment = await site.stage.paid()
    named = ids.written(ids.PAYMENT, payment.payment_id)

    opened = await owner.get(f"/settings/screening?payment={named}")
    entry = {"kind": "card", "value": named, "reason": "stolen"}
    answer = await owner.send("/settings/screening/blocks", entry)
    refused = await site.stage.take()

    assert f'value="{named}"' in opened.text
    assert answer.status_code == 303
    assert refused.state == "declined"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "name"}, "kind"),
        ({"kind": "bin", "value": "41"}, "value"),
        ({"kind": "bin", "value": "4111111111111111"}, "value"),
        ({"kind": "email", "value": "a b"}, "value"),
        ({"kind": "card", "value": "4111111111111111"}, "value"),
        ({"kind": "card", "value": f"pay_{uuid4().hex}"}, "value"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 256}, "reason"),
    ],
)
async def test_an_entry_that_cannot_be_comes_back_at_its_field(
    site: Site, owner: WindowlessBrowser, changes: dict[str, str], field: str
) -> None:
    """And nobody is blocked."""
    entry = {"kind": "bin", "value": "411111", "reason": "stolen", **changes}

    answer = await owner.send("/settings/screening/blocks", entry)

    assert answer.status_code == 422
    assert f'id="{field}-said"' in answer.text
    assert await site.stage.count("screening_blocks") == 0


async def test_another_merchants_entry_is_not_there(site: Site, owner: WindowlessBrowser) -> None:
    """Nor one of another merchant's payments."""
    entry = {"kind": "bin", "value": "411111", "reason": "stolen"}
    await owner.send("/settings/screening/blocks", entry)
    (row,) = await site.stage.road.store.screening.blocks(site.stage.merchant.merchant_id)
    payment = ids.written(ids.PAYMENT, (await site.stage.paid(card=OTHER_CARD)).payment_id)
    other = await Site.of(await Stage.set_up(site.stage.database))
    stranger = await other.signed_in()
    await stranger.get("/settings")

    name = ids.written("blk", row["block_id"])
    ended = await stranger.send(f"/settings/screening/blocks/{name}/end", {})
    card = {"kind": "card", "value": payment, "reason": "stolen"}
    blocked = await stranger.send("/settings/screening/blocks", card)

    assert (ended.status_code, blocked.status_code) == (404, 422)
    assert len(await site.stage.road.store.screening.blocks(site.stage.merchant.merchant_id)) == 1
