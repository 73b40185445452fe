"""
A card's number that was typed into a field of the merchants' pages: neither kept nor shown again.
"""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from counterfoil import ids
from counterfoil.people.roles import Role
from counterfoil.web.astray import LEAVE_IT_OUT, cardless
from payment_stage import Stage
from web_stage import PASSWORD, Site, words

CARD = "4111 1111 1111 1111"
NOTED = f"chargeback of {CARD}, 12/30"
BUSINESS = {"name": "Shop", "city": "Salem", "region": "OR", "country": "US", "email": "a@b.com"}
BLOCK = {"kind": "bin", "value": "411111", "reason": "stolen"}

# Where a form is sent, what else it says, and the field into which the number went.
KEPT: list[tuple[str, dict[str, str], str]] = [
    ("/developers/keys/new", {"days": "90"}, "name"),
    ("/developers/webhooks/new", {"url": "https://hooks.example/x"}, "description"),
    ("/developers/return-addresses", {}, "origins"),
    ("/settings/screening/blocks", BLOCK, "reason"),
    ("/settings/business", BUSINESS, "name"),
    ("/settings/business", BUSINESS, "city"),
    ("/me/name", {}, "name"),
]
SHOWN: list[tuple[str, dict[str, str], str]] = [
    ("/settings/screening/blocks", BLOCK, "value"),
    ("/settings/screening/blocks", {**BLOCK, "kind": "card"}, "value"),
    ("/settings/screening", {"currency": "USD", "version": "0"}, "card_amount"),
    ("/settings/screening", {"currency": "USD", "version": "0"}, "card_every"),
    ("/settings/payments", {"partial_approvals": "reverse"}, "acknowledge_seconds"),
    ("/settings/giving", {}, "step_up_whole"),
    ("/people/invitations", {"role": "clerk"}, "email"),
]


async def sent(stage: Stage, path: str, form: dict[str, str]) -> Any:
    """Send it as an owner who has just proved who they are."""
    site = await Site.of(stage)
    owner = await site.signed_in(Role.OWNER)
    await owner.get("/settings")
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    more = {
        "key_id": ids.written(ids.KEY, stage.road.ids.new()),
        "endpoint_id": ids.written(ids.ENDPOINT, stage.road.ids.new()),
    }
    return await owner.send(path, {**more, **form})


async def everything(stage: Stage) -> str:
    """Return all that a form could have left behind."""
    tables = ("api_keys", "webhook_endpoints", "screening_blocks", "merchants", "users")
    found = [
        await stage.sql(f"SELECT to_jsonb(t)::text AS row FROM {each} AS t")
        for each in (*tables, "people_events")
    ]
    return json.dumps([row["row"] for rows in found for row in rows])


@pytest.mark.parametrize(("path", "form", "field"), KEPT)
async def test_a_text_that_is_kept_is_refused_with_a_card_in_it(
    stage: Stage, path: str, form: dict[str, str], field: str
) -> None:
    """At its field, which is empty then."""
    answer = await sent(stage, path, {**form, field: NOTED})

    assert answer.status_code in (409, 422)
    assert f'id="{field}-said"' in answer.text
    assert LEAVE_IT_OUT in words(answer)
    assert CARD not in answer.text
    assert CARD not in await everything(stage)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "4242424242424242@x.example"),
        ("email", "ada@4242424242424242.example"),
        ("email_domain", "4242424242424242.example"),
        ("email_domain", "4242-4242-4242-4242.example"),
    ],
)
async def test_nobody_is_blocked_by_a_card_in_an_address(
    stage: Stage, kind: str, value: str
) -> None:
    """It would stay in the list, and on the audit page for good."""
    form = {"kind": kind, "value": value, "reason": "spam"}

    answer = await sent(stage, "/settings/screening/blocks", form)

    assert answer.status_code == 422
    assert 'id="value-said"' in answer.text
    assert LEAVE_IT_OUT in words(answer)
    assert value not in answer.text
    assert value not in await everything(stage)


@pytest.mark.parametrize(("path", "form", "field"), SHOWN)
async def test_what_is_wrong_anyway_does_not_show_a_card_again(
    stage: Stage, path: str, form: dict[str, str], field: str
) -> None:
    """Whichever way it is written."""
    for number in (CARD, CARD.replace(" ", "")):
        answer = await sent(stage, path, {**form, field: number})

        assert answer.status_code in (409, 422)
        assert 'aria-invalid="true"' in answer.text
        assert number not in answer.text


async def test_an_address_fills_no_card_into_a_form(stage: Stage) -> None:
    """Nor does the way back from a step-up."""
    site = await Site.of(stage)
    owner = await site.signed_in(Role.OWNER)
    for path in ("/settings/screening?payment=", "/people?kept=yes&email="):
        onward = path + urlencode({"": CARD})[1:]
        page = await owner.get(onward)
        if page.status_code == 303:  # What a form held is shown only after a step-up.
            assert page.headers["location"] == "/people"
            await owner.get("/step-up")
            await owner.send("/step-up", {"password": PASSWORD, "next": onward})
            page = await owner.get(onward)

        assert page.status_code == 200
        assert CARD not in page.text


def test_what_is_no_card_is_shown_as_it_was_typed() -> None:
    """Also what is no text."""
    assert [cardless(each) for each in ("T-1001", "12.50", 7, None)] == ["T-1001", "12.50", 7, None]
