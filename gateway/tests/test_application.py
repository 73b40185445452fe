"""
The HTTP application: statuses, headers, and every fault as a problem that says what to do.
"""

import asyncio
import logging
from typing import Any
from uuid import uuid4

import pytest
from api_stage import Api, Reply
from counterfoil.api.bodies import Readiness
from counterfoil.api.problems import KINDS
from counterfoil.logs import bound_now
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Outcome
from counterfoil.payments import authorize
from counterfoil.store.database import DatabaseAway
from counterfoil.store.writer import GroupWriter, QueueFull, Row
from payment_stage import Stage, until
from scripted_link import approve, not_sent, says, unknown


@pytest.fixture
async def api(stage: Stage) -> Api:
    return await Api.of(stage)


def is_problem(reply: Any, status: int, code: str) -> bool:
    """Say whether *reply* is that problem, with every member it must have."""
    body = reply.json
    return (
        reply.status == status == body["status"] == KINDS[code].status
        and body["code"] == code
        and body["type"].endswith(f"/problems/{code}")
        and reply.headers["content-type"] == "application/problem+json"
        and body["request_id"] == reply.headers["request-id"]
        and {"title", "detail", "param", "retryable"} <= set(body)
    )


async def test_a_sale_and_its_acknowledgment(api: Api) -> None:
    """201 without a number, then 200 with it; the session is recorded."""
    sale = await api.sale()
    confirmed = await api.call("POST", f"/v1/payments/{sale.json['id']}/acknowledge", {})

    assert (sale.status, sale.json["state"], sale.json["charged"]) == (201, "approved", None)
    assert sale.json["confirmation_number"] is None
    assert (confirmed.status, confirmed.json["state"]) == (200, "captured")
    assert len(confirmed.json["confirmation_number"]) == 12
    assert confirmed.json["acknowledged_on_session"] is True
    assert confirmed.json["charged"] is True


@pytest.mark.parametrize("name", ["order", "description", "customer_email", "billing", "key"])
async def test_a_card_number_in_a_field_that_is_stored_is_refused(api: Api, name: str) -> None:
    """Typed into the wrong field, with spaces or without, it would stay there for ever."""
    number = _sale()["card"]["number"]
    spaced = f"{number[:4]} {number[4:8]} {number[8:12]} {number[12:]}"
    values: dict[str, Any] = {
        "order": spaced,
        "description": f"card {spaced}",
        "customer_email": f"{number}@shopper.example",
        "billing": {"street": spaced},
    }
    body = {**_sale(), name: values[name]} if name in values else _sale()

    answer = await api.sale(body, key=number if name == "key" else "one")

    assert is_problem(answer, 400, "card_number_misplaced")
    assert number not in str(answer.json)


@pytest.mark.parametrize(
    "text", ["4242.4242.4242.4242", "42424242_42424242", "\uff14\uff12" * 8, "\u0664\u0662" * 8]
)
async def test_its_own_card_number_is_refused_in_any_signs_and_digits(api: Api, text: str) -> None:
    """Of this card, and so whatever stands between its digits."""
    card = {**_sale()["card"], "number": "4242424242424242"}

    for name in ("description", "order"):
        if name == "description" or text.isascii():
            answer = await api.sale({**_sale(), "card": card, name: text}, key=name)

            assert is_problem(answer, 400, "card_number_misplaced")
    answer = await api.sale({**_sale(), "description": text}, key="another's")

    assert is_problem(answer, 400, "card_number_misplaced")


@pytest.mark.parametrize(
    "text",
    [
        "4242, 4242, 4242, 4242",
        "4242 / 4242 / 4242 / 4242",
        "(4242)(4242)(4242)(4242)",
        "4242x4242x4242x4242",
        "\uff14\uff12\uff14\uff12, " * 4,
        "4242424242424242\xb2",
    ],
)
async def test_no_text_says_the_number_of_its_own_card(api: Api, text: str) -> None:
    """Of another card some of these are lists; the terminal's note says the same of each."""
    card = {**_sale()["card"], "number": "4242424242424242"}

    answer = await api.sale({**_sale(), "card": card, "description": text})

    assert is_problem(answer, 400, "card_number_misplaced")
    assert answer.json["param"] == "description"


OTHERS = "5555 5555 5555 4444"  # Not the card that pays.


@pytest.mark.parametrize(
    ("path", "field", "text"),
    [
        *(
            (f"/v1/{call}", field, text)
            for call in ("payments", "verifications", "credits")
            for field, text in (
                ("order", OTHERS.replace(" ", "-")),
                ("description", f"refund to {OTHERS} 12/30 918"),
            )
        ),
        ("/v1/payments", "customer_email", "5555555555554444@shopper.example"),
        ("/v1/payments", "billing.street", f"Main {OTHERS}"),
        ("/v1/checkouts", "order", OTHERS),
        ("/v1/checkouts", "description", OTHERS),
        ("/v1/checkouts", "customer_email", "5555555555554444@shopper.example"),
        ("/v1/webhook-endpoints", "description", OTHERS),
    ],
)
async def test_any_card_number_in_a_text_is_refused_and_kept_nowhere(
    api: Api, path: str, field: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only the one that pays; the problem names the field, and nothing repeats the number."""
    caplog.set_level(logging.DEBUG)
    body: dict[str, Any] = {"amount_minor": 4200, "currency": "USD"}
    if "checkouts" not in path:
        body["card"] = _sale()["card"]
    if "verifications" in path:
        del body["amount_minor"]
    if "webhook" in path:
        body = {"url": "https://hooks.shop.example/payments"}
    outer, _, inner = field.partition(".")
    body[outer] = {inner: text} if inner else text

    answer = await api.call("POST", path, body, idempotency_key="one")

    problem = is_problem(answer, 400, "card_number_misplaced")
    assert problem, answer.json
    assert answer.json["param"] == field
    for said in (str(answer.json), caplog.text):
        assert OTHERS not in said
        assert OTHERS.replace(" ", "-") not in said
        assert OTHERS.replace(" ", "") not in said
    for table in ("payments", "checkouts", "webhook_endpoints"):
        assert await api.stage.count(table) == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026112810111200003",  # A moment, and a counter.
        "INV-2026-0001-4242",
        "4242424242424241",  # No check digit.
        "40000000000002",  # A check digit that fits, and no scheme has so few digits.
        "call +1 415 555 2671 or +1 415 555 2672",
        "978-0-306-40615-7, 978-3-16-148410-0",
    ],
)
async def test_a_long_number_that_is_no_cards_is_taken(api: Api, text: str) -> None:
    """Order numbers, telephones, books."""
    answer = await api.sale({**_sale(), "order": text, "description": text})

    assert (answer.status, answer.json["order"]) == (201, text)


@pytest.mark.parametrize("order", ["4512345678908", "4512345678901234564"])
async def test_an_order_may_be_a_long_number_whose_check_digit_fits(api: Api, order: str) -> None:
    """A program numbers orders so, one of ten with a fitting digit; a note has no such excuse."""
    answer = await api.sale({**_sale(), "order": order})
    noted = await api.sale({**_sale(), "description": order}, key="two")

    assert (answer.status, answer.json["order"]) == (201, order)
    assert is_problem(noted, 400, "card_number_misplaced")
    assert noted.json["param"] == "description"


async def test_a_repeat_is_a_200_with_the_same_payment(api: Api) -> None:
    """And another request under its key a 422."""
    first = await api.sale(key="one")
    again = await api.sale(key="one")
    other = await api.sale({**_sale(), "amount_minor": 1}, key="one")

    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert is_problem(other, 422, "idempotency_key_reused")


def _sale() -> dict[str, Any]:
    return {
        "amount_minor": 4200,
        "currency": "USD",
        "card": {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2030},
    }


async def test_a_decline_is_a_201_with_words_for_both(api: Api) -> None:
    """A decline is a result, not an error."""
    api.stage.link.script.append(says("51"))

    reply = await api.sale()

    decline = reply.json["decline"]
    assert (reply.status, reply.json["state"], reply.json["charged"]) == (201, "declined", False)
    assert decline["response_code"] == "51"
    assert decline["retryable"] is True
    assert "enough money" in decline["shopper_message"]


async def test_an_unknown_outcome_is_a_201_that_is_not_charged(api: Api) -> None:
    """DESIGN 5.2: reversing is an answer."""
    api.stage.link.script.append(unknown)

    reply = await api.sale()

    assert (reply.status, reply.json["state"], reply.json["charged"]) == (201, "reversing", False)
    assert reply.json["decline"] is None


async def test_what_was_not_sent_is_a_503_to_be_repeated(api: Api) -> None:
    """With Retry-After, and the same key works."""
    api.stage.link.script.append(not_sent)
    reply = await api.sale(key="again")

    assert is_problem(reply, 503, "not_sent")
    assert reply.json["retryable"] is True
    assert int(reply.headers["retry-after"]) >= 1
    assert (await api.sale(key="again")).status == 201


async def test_a_payment_that_is_under_way_is_a_202(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered before the client gives up; the payment goes on by itself."""
    monkeypatch.setattr("counterfoil.api.payments.ANSWER_SECONDS_MAX", 0.3)
    gate = asyncio.Event()

    async def at_the_gate(mti: str, fields: Fields) -> Outcome:
        await gate.wait()
        return approve(mti, fields)

    api.stage.link.script.append(at_the_gate)
    early = await api.sale(key="slow")
    repeated = await api.sale(key="slow")
    gate.set()
    await api.desk.finish(5)
    done = await api.call("GET", f"/v1/payments/{early.json['id']}")

    assert (early.status, early.json["state"], early.json["charged"]) == (202, "processing", None)
    assert repeated.status == 202
    assert done.json["state"] == "approved"


async def test_a_client_that_hangs_up_does_not_stop_the_money(api: Api) -> None:
    """F20: the request is cancelled, the payment is concluded."""
    gate = asyncio.Event()

    async def at_the_gate(mti: str, fields: Fields) -> Outcome:
        await gate.wait()
        return approve(mti, fields)

    api.stage.link.script.append(at_the_gate)
    request = asyncio.create_task(api.sale(key="hung-up"))
    await until(lambda: api.stage.link.asked)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    gate.set()
    unfinished = await api.desk.finish(5)

    (row,) = await api.stage.sql(
        "SELECT state FROM payments WHERE merchant_id = $1", api.stage.merchant.merchant_id
    )
    assert unfinished == 0
    assert row["state"] == "approved"


async def test_an_acknowledgment_after_the_reversal_is_a_409_with_the_payment(api: Api) -> None:
    """One unambiguous answer: nobody is charged."""
    sale = await api.sale()
    await api.call("POST", f"/v1/payments/{sale.json['id']}/refuse", {})

    reply = await api.call("POST", f"/v1/payments/{sale.json['id']}/acknowledge", {})

    assert is_problem(reply, 409, "payment_reversed")
    assert reply.json["state"] == "reversing"
    assert reply.json["payment"]["charged"] is False
    assert reply.json["possible"] == []


async def test_a_move_that_is_not_possible_is_a_409_that_says_what_is(api: Api) -> None:
    """The state, and the calls that would work."""
    sale = await api.sale()

    reply = await api.call(
        "POST", f"/v1/payments/{sale.json['id']}/refund", {}, idempotency_key="refund"
    )

    assert is_problem(reply, 409, "state_conflict")
    assert reply.json["state"] == "approved"
    assert reply.json["possible"] == ["acknowledge", "refuse", "undo"]


@pytest.mark.parametrize("name", ["capture", "void", "refund"])
async def test_a_command_is_a_201_and_its_repeat_a_200(api: Api, name: str) -> None:
    """With the movement, and the whole history."""
    manual = {"capture": "manual"} if name == "capture" else {}
    sale = await api.sale({**_sale(), **manual})
    path = f"/v1/payments/{sale.json['id']}"
    await api.call("POST", f"{path}/acknowledge", {})

    first = await api.call("POST", f"{path}/{name}", {}, idempotency_key="once")
    again = await api.call("POST", f"{path}/{name}", {}, idempotency_key="once")

    assert (first.status, again.status) == (201, 200)
    assert first.json["movements"][-1]["kind"] == name
    assert first.json["movements"][-1]["idempotency_key"] == "once"
    assert len(again.json["movements"]) == len(first.json["movements"])


async def test_more_than_there_is_is_a_409(api: Api) -> None:
    """The amount that would work is named, and so are the calls that would."""
    sale = await api.sale()
    path = f"/v1/payments/{sale.json['id']}"
    await api.call("POST", f"{path}/acknowledge", {})

    reply = await api.call("POST", f"{path}/refund", {"amount_minor": 4201}, idempotency_key="more")

    assert is_problem(reply, 409, "amount_too_large")
    assert "42.01 USD is more than the 42.00 USD" in reply.json["detail"]
    assert (reply.json["state"], reply.json["possible"]) == ("captured", ["void", "refund", "undo"])


async def test_an_undo_says_what_it_did(api: Api) -> None:
    """By a void while the batch is open; its repeat says the same."""
    sale = await api.sale()
    path = f"/v1/payments/{sale.json['id']}"
    await api.call("POST", f"{path}/acknowledge", {})

    first = await api.call("POST", f"{path}/undo", {"amount_minor": 700}, idempotency_key="back")
    again = await api.call("POST", f"{path}/undo", {"amount_minor": 700}, idempotency_key="back")

    void = first.json["movements"][-1]
    assert (first.status, again.status) == (201, 200)
    assert first.json["undone"] == [{"by": "void", "amount_minor": 700, "movement": void["id"]}]
    assert again.json["undone"] == first.json["undone"]
    assert first.json["movements"][0]["voided_minor"] == 700


async def test_an_undo_of_an_approval_is_a_reversal(api: Api) -> None:
    """It has no movement."""
    sale = await api.sale()

    reply = await api.call(
        "POST", f"/v1/payments/{sale.json['id']}/undo", {}, idempotency_key="undo"
    )

    assert reply.json["state"] == "reversing"
    assert reply.json["undone"] == [{"by": "reversal", "amount_minor": 4200, "movement": None}]


async def test_a_capture_may_be_the_last(api: Api) -> None:
    """`final` lets the rest of the hold go."""
    held = await api.sale({**_sale(), "capture": "manual"})
    path = f"/v1/payments/{held.json['id']}"
    await api.call("POST", f"{path}/acknowledge", {})

    body = {"amount_minor": 1200, "final": True}
    reply = await api.call("POST", f"{path}/capture", body, idempotency_key="last")

    assert (reply.status, reply.json["state"]) == (201, "captured")
    assert (reply.json["captured_minor"], reply.json["released_minor"]) == (1200, 3000)
    assert reply.json["hold_until"] is not None


async def test_one_payment_is_shown_whole(api: Api) -> None:
    """Movements, states and masked messages; lists leave them out."""
    sale = await api.sale()
    await api.call("POST", f"/v1/payments/{sale.json['id']}/acknowledge", {})

    one = await api.call("GET", f"/v1/payments/{sale.json['id']}")
    listed = await api.call("GET", "/v1/payments")

    assert [each["state"] for each in one.json["states"]] == ["processing", "approved", "captured"]
    assert [each["mti"] for each in one.json["messages"]] == ["0200", "0210"]
    assert one.json["messages"][0]["fields"]["2"] == "************1111"
    assert "4111111111111111" not in one.content.decode()
    assert "states" not in listed.json["data"][0]
    assert one.headers["cache-control"] == listed.headers["cache-control"] == "no-store"


async def test_merchants_do_not_see_each_other(api: Api) -> None:
    """ASVS 8: every call with somebody else's payment is a 404, as if it were not there."""
    other = await Api.of(await Stage.set_up(api.stage.database))
    sale = await api.sale()
    path = f"/v1/payments/{sale.json['id']}"

    replies = [await other.call("GET", path)]
    replies += [
        await other.call("POST", f"{path}/{name}", {}, idempotency_key=f"x-{name}")
        for name in ("acknowledge", "refuse", "capture", "void", "refund")
    ]

    assert all(is_problem(each, 404, "not_found") for each in replies)
    assert (await other.call("GET", "/v1/payments")).json["data"] == []


async def test_resolve_tells_and_fences(api: Api) -> None:
    """Seen, with the payment; never seen, and closed from then on."""
    sale = await api.sale(key="seen")

    seen = await api.call("POST", "/v1/resolve", {"idempotency_key": "seen"})
    never = await api.call("POST", "/v1/resolve", {"idempotency_key": "unseen"})
    late = await api.sale(key="unseen")

    assert (seen.json["status"], seen.json["payment"]["id"]) == ("seen", sale.json["id"])
    assert (never.status, never.json["status"], never.json["payment"]) == (200, "never_seen", None)
    assert is_problem(late, 409, "key_fenced")


async def test_pages_lead_to_each_other(api: Api) -> None:
    """Newest first, every payment once."""
    made = [(await api.sale()).json["id"] for _ in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.call("GET", "/v1/payments", query=f"limit=2{cursor}")).json
        found += [each["id"] for each in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert found == made[::-1]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("order=1001", 1),
        ("order=9999", 0),
        ("state=declined", 1),
        ("currency=USD", 2),
        ("currency=EUR", 0),
        ("created_from=2026-11-23T06:30:00Z", 2),
        ("created_to=2026-11-23T06:30:00Z", 0),
        ("confirmation_number=000000000000", 0),
    ],
)
async def test_lists_are_narrowed(api: Api, query: str, count: int) -> None:
    """By every filter, alone."""
    await api.sale()
    api.stage.link.script.append(says("05"))
    await api.sale(_sale())

    page = (await api.call("GET", "/v1/payments", query=query)).json

    assert len(page["data"]) == count


@pytest.mark.parametrize(
    "payment_id", ["pay_x", "pay_" + "0" * 31, "4111111111111111", "pay_" + "0" * 32]
)
async def test_an_id_that_leads_nowhere_is_a_404(api: Api, payment_id: str) -> None:
    """Readable or not; and it is not repeated."""
    reply = await api.call("GET", f"/v1/payments/{payment_id}")

    assert is_problem(reply, 404, "not_found")
    assert payment_id not in reply.content.decode()


async def test_a_name_in_a_path_is_one_part_of_it_and_never_empty(api: Api) -> None:
    """Neither half a path nor a longer one leads to a payment."""
    path = f"/v1/payments/{(await api.sale()).json['id']}"
    wrong = (f"{path}/", f"{path}/x/acknowledge", "/v1/payments//acknowledge", f"/v2{path}")

    assert (await api.call("GET", path)).status == 200
    for each in wrong:
        assert is_problem(await api.call("GET", each), 404, "not_found"), each


async def test_a_path_that_is_not_there_is_a_404_and_a_wrong_method_a_405(api: Api) -> None:
    """The 405 says what there is; nothing is redirected."""
    nowhere = await api.call("GET", "/v1/nothing")
    slash = await api.call("GET", "/v1/payments/")
    method = await api.call("DELETE", "/v1/payments")

    assert is_problem(nowhere, 404, "not_found")
    assert is_problem(slash, 404, "not_found")
    assert is_problem(method, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(method.headers["allow"].split(", "))


async def test_every_answer_has_a_request_id_and_the_safe_headers(api: Api) -> None:
    """Successes, problems and open pages alike; no two requests share an id."""
    replies = [
        await api.sale(),
        await api.call("GET", "/v1/nothing"),
        await api.call("GET", "/healthz"),
        await api.call("GET", "/v1/payments", authorization=None),
    ]

    ids = [each.headers["request-id"] for each in replies]
    assert len(set(ids)) == 4
    assert all(each.startswith("req_") for each in ids)
    for each in replies:
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_a_well_formed_request_id_of_the_client_is_kept(api: Api) -> None:
    """It is on the answer; one that may be a card number, or break a line, is replaced."""
    said = ["shop-7.order_1001", "4111111111111111", "4111-1111-1111-1111", "short", "two words"]
    replies = [await api.call("GET", "/healthz", request_id=each) for each in [*said, "x" * 65]]

    given = [each.headers["request-id"] for each in replies]
    assert given[0] == said[0]
    assert all(each.startswith("req_") for each in given[1:])


async def test_what_is_logged_bears_the_ids_of_its_own_request_and_payment(
    api: Api, stage: Stage
) -> None:
    """Payments at the same time, each in a task of its own, and none of it is left behind."""
    seen: list[dict[str, Any]] = []

    async def look(mti: str, sent: Fields) -> Outcome:
        await asyncio.sleep(0.01)
        seen.append(bound_now())
        return approve(mti, sent)

    stage.link.script.extend([look] * 4)
    replies = await asyncio.gather(*(api.sale() for _ in range(4)))

    wanted = {
        (each.headers["request-id"], each.json["id"].removeprefix("pay_")) for each in replies
    }
    assert {(each["request_id"], each["payment"]) for each in seen} == wanted
    assert {each["acquirer"] for each in seen} == {stage.acquirer}
    assert bound_now() == {}


async def test_health_needs_no_key_and_no_database(api: Api) -> None:
    """A balancer asks; readiness says what is missing."""
    api.ready = Readiness(False, {"database": "does not answer"})

    alive = await api.call("GET", "/healthz", authorization=None)
    ready = await api.call("GET", "/readyz", authorization=None)

    assert (alive.status, alive.json) == (200, {"status": "alive"})
    assert ready.status == 503
    assert ready.json["checks"] == {"database": "does not answer"}


@pytest.mark.parametrize("step", ["screen", "intend", "acknowledge"])
async def test_a_full_queue_is_a_503_that_says_when_to_come_again_and_nothing_is_written(
    api: Api, stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """DESIGN 6, back-pressure; who does come again is served as if nothing had been."""
    write, key = GroupWriter.write, uuid4().hex

    async def written(writer: GroupWriter, row: Row, **more: float) -> object:
        if writer._step == step:
            raise QueueFull("4096 rows wait")
        return await write(writer, row, **more)

    async def called() -> Reply:
        if step != "acknowledge":
            return await api.sale(key=key)
        return await api.call("POST", f"/v1/payments/{known.json['id']}/acknowledge")

    known = await api.sale()
    before = await _rows(stage)
    monkeypatch.setattr(GroupWriter, "write", written)
    refused = await called()
    after = await _rows(stage)
    monkeypatch.setattr(GroupWriter, "write", write)
    again = await called()

    assert refused.status == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json["retryable"] is True
    assert after == before
    assert again.status == (200 if step == "acknowledge" else 201)


async def _rows(stage: Stage) -> list[int]:
    """Return how many rows there are of all that a payment writes."""
    tables = ("idempotency_keys", "payments", "vault_cards", "network_messages", "screening_marks",
              "payment_events", "movements", "transfers", "outbox", "advices")  # fmt: skip
    counts = ", ".join(f"(SELECT count(*) FROM {each})" for each in tables)
    return list((await stage.sql(f"SELECT {counts}"))[0].values())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("4096 rows wait"), 503, "busy"),
        (DatabaseAway("no answer to key_by_hash"), 503, "database_away"),
        (RuntimeError("4111111111111111"), 500, "internal_error"),
        (KeyError("927"), 500, "internal_error"),
    ],
)
async def test_a_fault_is_a_problem_that_tells_no_secrets(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
    code: str,
) -> None:
    """Retryable, with a request id to ask about; neither answer nor log repeats the message."""

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("counterfoil.api.payments.take_payment", fail)

    reply = await api.sale()

    logged = capsys.readouterr()
    assert is_problem(reply, status, code)
    assert reply.json["retryable"] is True
    for secret in ("4111111111111111", "927", "4096", "key_by_hash"):
        assert secret not in reply.content.decode().replace(reply.headers["request-id"], "")
    assert "4111111111111111" not in logged.out + logged.err


async def test_an_outcome_that_could_not_be_stored_is_under_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known by now, never a guess."""

    async def fail(*_: object) -> None:
        raise authorize.OutcomeNotStored("the outcome is not durable yet")

    first = await api.sale(key="known")
    monkeypatch.setattr("counterfoil.api.payments.take_payment", fail)

    known, unseen = await api.sale(key="known"), await api.sale(key=uuid4().hex)

    assert (known.status, known.json["state"]) == (200, "approved")
    assert known.json["id"] == first.json["id"]
    assert is_problem(unseen, 503, "outcome_pending")


async def test_a_process_that_stops_takes_no_more_work(api: Api) -> None:
    """503, to be repeated elsewhere; what was asked for is not begun."""
    await api.desk.finish(1)

    reply = await api.sale()

    assert is_problem(reply, 503, "stopping")
    assert api.stage.link.asked == []
