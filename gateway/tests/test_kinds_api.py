"""
Verifications, forced captures and credits as a client asks for them.
"""

from typing import Any

import pytest
from api_stage import CARD, SALE, Api, Reply
from counterfoil.payments.payment import PartialApprovals
from counterfoil.payments.recovery import sweep
from counterfoil.store.database import Database
from payment_stage import KEYS, Stage
from scripted_link import says, unknown

VERIFICATION = {"currency": "USD", "card": CARD, "billing": {"postal_code": "62704"}}
CREDIT = {"amount_minor": 4200, "currency": "USD", "card": CARD, "order": "1001"}


@pytest.fixture
async def api(stage: Stage) -> Api:
    """The application, called by the stage's merchant."""
    return await Api.of(stage)


async def post(api: Api, path: str, body: Any, **more: Any) -> Reply:
    """Send one keyed request."""
    return await api.call("POST", path, body, idempotency_key=more.pop("key", next(KEYS)), **more)


async def test_a_verified_card_is_a_201_without_anything_to_claim(api: Api) -> None:
    """Amount zero, not charged, no number, and no call is possible."""
    api.stage.link.script.append(says("85", f44="YM"))

    reply = await post(api, "/v1/verifications", VERIFICATION)

    said = reply.json
    assert (reply.status, said["kind"], said["state"]) == (201, "verification", "verified")
    assert (said["charged"], said["amount_minor"], said["possible"]) == (False, 0, [])
    assert (said["avs_result"], said["cvv_result"]) == ("Y", "M")
    assert (said["confirmation_number"], said["acknowledge_by"]) == (None, None)


async def test_a_verification_that_nobody_answered_is_no_decline(api: Api) -> None:
    """A result, without words of the issuer."""
    api.stage.link.script.append(unknown)

    reply = await post(api, "/v1/verifications", VERIFICATION)

    assert (reply.status, reply.json["state"], reply.json["decline"]) == (201, "unanswered", None)


async def test_a_verification_takes_no_amount(api: Api) -> None:
    """It asks for nothing."""
    reply = await post(api, "/v1/verifications", {**VERIFICATION, "amount_minor": 1})

    assert (reply.status, reply.json["code"]) == (400, "field_unknown")


async def test_a_voice_code_makes_a_forced_capture(api: Api) -> None:
    """Acknowledged like a sale."""
    reply = await post(api, "/v1/payments", {**SALE, "voice_approval_code": "H7K2P9"})
    claimed = await api.call("POST", f"/v1/payments/{reply.json['id']}/acknowledge", {})

    assert (reply.json["kind"], reply.json["possible"]) == (
        "forced",
        ["acknowledge", "refuse", "undo"],
    )
    assert (claimed.json["state"], claimed.json["captured_minor"]) == ("captured", 4200)
    assert claimed.json["charged"] is True


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"voice_approval_code": "H7K2P9", "capture": "manual"}, "capture"),
        ({"voice_approval_code": "H7K2P99"}, "voice_approval_code"),
        ({"voice_approval_code": ""}, "voice_approval_code"),
        ({"voice_approval_code": "H7 2P9"}, "voice_approval_code"),
    ],
)
async def test_a_voice_code_that_cannot_stand_is_refused(
    api: Api, changes: dict[str, Any], param: str
) -> None:
    """DE 38 holds six letters and digits; and what was approved by voice is taken at once."""
    reply = await post(api, "/v1/payments", {**SALE, **changes})

    assert (reply.status, reply.json["code"]) == (400, "field_out_of_range")
    assert reply.json["param"] == param


async def test_a_credit_needs_the_operators_leave(api: Api) -> None:
    """403 with a code of its own, and nothing was sent."""
    reply = await post(api, "/v1/credits", CREDIT)

    assert (reply.status, reply.json["code"]) == (403, "credits_not_allowed")
    assert api.stage.link.asked == []


async def test_a_credit_is_given_without_charging_anybody(api: Api) -> None:
    """Claimed like a sale; its amount stands where refunds do."""
    await api.stage.settings(credits_allowed=True)
    reply = await post(api, "/v1/credits", CREDIT)
    claimed = (await api.call("POST", f"/v1/payments/{reply.json['id']}/acknowledge", {})).json

    assert (reply.status, reply.json["charged"]) == (201, None)
    assert (claimed["kind"], claimed["state"], claimed["charged"]) == ("credit", "captured", False)
    assert (claimed["authorized_minor"], claimed["refunded_minor"]) == (0, 4200)
    assert (claimed["held_minor"], claimed["possible"]) == (0, ["void", "undo"])
    assert claimed["confirmation_number"]


async def test_an_unclaimed_credit_is_undone_for_its_amount(api: Api) -> None:
    """It authorizes nothing; what is taken back is what would have been given."""
    await api.stage.settings(credits_allowed=True)
    given = await post(api, "/v1/credits", CREDIT)

    reply = await api.call(
        "POST", f"/v1/payments/{given.json['id']}/undo", {}, idempotency_key="undo-credit"
    )

    assert reply.json["state"] == "reversing"
    assert reply.json["undone"] == [{"by": "reversal", "amount_minor": 4200, "movement": None}]


async def test_a_part_that_the_shop_does_not_take_is_said_in_words(api: Api) -> None:
    """Before and after it went back; a part that was taken and then refused says nothing."""
    part = says("10", f38="A1B2C3", f4="000000002100")
    api.stage.link.script.append(part)
    told = (await api.sale()).json
    await api.stage.forwarder().forward()
    later = (await api.call("GET", f"/v1/payments/{told['id']}")).json
    await api.stage.settings(partial_approvals=PartialApprovals.ACCEPT)
    api.stage.link.script.append(part)
    taken = (await api.sale()).json
    refused = (await api.call("POST", f"/v1/payments/{taken['id']}/refuse", {})).json

    assert (told["state"], later["state"], refused["state"]) == (
        "reversing",
        "reversed",
        "reversing",
    )
    assert told["decline"] == later["decline"]
    assert told["decline"]["shopper_message"] == "Your card was declined. Please use another card."
    assert told["decline"]["merchant_message"] == (
        "Approved for a part only; this shop takes all or nothing."
    )
    assert (told["decline"]["retry"], told["decline"]["retryable"]) == ("other_card", False)
    assert refused["decline"] is None


async def test_a_partial_approval_shows_both_amounts(api: Api) -> None:
    """What was asked and what was approved."""
    await api.stage.settings(partial_approvals=PartialApprovals.ACCEPT)
    api.stage.link.script.append(says("10", f38="A1B2C3", f4="000000002100"))

    said = (await api.sale({**SALE, "capture": "manual"})).json
    claimed = (await api.call("POST", f"/v1/payments/{said['id']}/acknowledge", {})).json

    assert (said["state"], said["amount_minor"], said["authorized_minor"]) == (
        "approved",
        4200,
        2100,
    )
    assert (claimed["state"], claimed["held_minor"]) == ("authorized", 2100)


async def test_a_refusal_names_the_state_and_what_would_be_possible(api: Api) -> None:
    """In words and as members."""
    said = (await api.sale()).json

    reply = await post(api, f"/v1/payments/{said['id']}/capture", {})

    assert (reply.status, reply.json["code"], reply.json["state"]) == (
        409,
        "state_conflict",
        "approved",
    )
    assert reply.json["detail"].endswith("possible now: acknowledge, refuse, undo")
    assert reply.json["possible"] == ["acknowledge", "refuse", "undo"]


async def test_unclaimed_approvals_are_listed_with_the_time_that_is_left(api: Api) -> None:
    """And afterwards with the time at which they were reversed; what was claimed is not there."""
    first, _ = (await api.sale()).json, await api.stage.paid()
    api.stage.clock.move(60)
    second = (await api.sale()).json
    waiting = (await api.call("GET", "/v1/unclaimed")).json
    api.stage.clock.move(125)
    await sweep(api.stage.road)
    later = (await api.call("GET", "/v1/unclaimed")).json

    shown = [
        (each["payment"]["id"], each["status"], each["seconds_left"]) for each in waiting["data"]
    ]
    assert shown == [(second["id"], "waiting", 180.0), (first["id"], "waiting", 120.0)]
    assert [each["status"] for each in later["data"]] == ["waiting", "reversed"]
    assert later["data"][1]["reversed_at"] is not None
    assert later["data"][1]["seconds_left"] is None
    assert later["next_cursor"] is None


async def test_the_list_of_the_unclaimed_has_pages(api: Api) -> None:
    """Each approval once."""
    made = [(await api.sale()).json["id"] for _ in range(3)]

    page = (await api.call("GET", "/v1/unclaimed", query="limit=2")).json
    rest = (
        await api.call("GET", "/v1/unclaimed", query=f"limit=2&cursor={page['next_cursor']}")
    ).json

    found = [each["payment"]["id"] for each in page["data"] + rest["data"]]
    assert found == made[::-1]
    assert rest["next_cursor"] is None


async def test_nobody_sees_the_unclaimed_of_another_merchant(api: Api, database: Database) -> None:
    """Another key, another list."""
    await api.sale()
    other = await Api.of(await Stage.set_up(database))

    assert (await other.call("GET", "/v1/unclaimed")).json["data"] == []
