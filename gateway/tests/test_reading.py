"""
Bodies are read strictly, and what is wrong is named without repeating it.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_stage import SALE, Api, Sent, encoded
from counterfoil.api import reading
from counterfoil.api.bodies import Nothing, PaymentRequest
from counterfoil.api.exchange import Request
from counterfoil.api.problems import KINDS, Problem
from counterfoil.api.reading import idempotency_key, read
from hypothesis import given
from hypothesis import strategies as st
from payment_stage import Stage

PAN = "4111111111111111"
FULL = {
    **SALE,
    "capture": "automatic",
    "description": "Two books",
    "customer_email": "shopper@example.com",
    "billing": {"postal_code": "62704", "street": "10 Main"},
}


def request_of(content: bytes, **headers: str | None) -> Request:
    """Return a request whose body arrives in parts of 1000 bytes."""
    named = {"content-type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    parts = [content[at : at + 1000] for at in range(0, len(content), 1000)] or [b""]

    return Request(
        "POST",
        "/",
        query=b"",
        headers=[
            (name.encode(), value.encode("latin-1"))
            for name, value in named.items()
            if value is not None
        ],
        client=None,
        body=Sent(parts),
    )


def problem_of(content: bytes, kind: Any = PaymentRequest, **headers: str | None) -> Problem:
    """Return the problem that *content* is read as."""
    with pytest.raises(Problem) as caught:
        asyncio.run(read(request_of(content, **headers), kind, 65_536))
    assert caught.value.code in KINDS
    return caught.value


def changed(path: str, value: Any) -> bytes:
    """Return the full body with one field replaced."""
    body: Any = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[name]
    place[last] = value
    return encoded(body)


def without(path: str) -> bytes:
    body: Any = copy.deepcopy(FULL)
    *parents, last = path.split(".")
    place = body
    for name in parents:
        place = place[name]
    del place[last]
    return encoded(body)


def paths(body: Any, above: str = "") -> Iterator[str]:
    """Return every field of *body*, dotted."""
    for name, value in body.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from paths(value, f"{above}{name}.")


def test_a_whole_body_is_read() -> None:
    """Every field that there is."""
    body = asyncio.run(read(request_of(encoded(FULL)), PaymentRequest, 65_536))

    assert body.amount_minor == 4200
    assert body.card.number == PAN
    assert body.billing is not None


def test_no_body_is_an_empty_one() -> None:
    """POST without anything, where nothing is needed."""
    for content, media_type in (
        (b"", None),
        (b"", "application/json"),
        (b"{}", "application/json"),
    ):
        request = request_of(content, content_type=media_type)
        assert asyncio.run(read(request, Nothing, 1024)) == Nothing()


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_announced_as_one_likes(media_type: str) -> None:
    """With a parameter, in capitals."""
    request = request_of(encoded(FULL), content_type=media_type)

    assert asyncio.run(read(request, PaymentRequest, 65_536))


@pytest.mark.parametrize(
    "media_type", [None, "", "text/plain", "application/x-www-form-urlencoded"]
)
def test_another_media_type_is_a_415(media_type: str | None) -> None:
    """A form from a browser on another site is no payment."""
    assert problem_of(encoded(FULL), content_type=media_type).code == "media_type_unsupported"


@pytest.mark.parametrize(
    "content",
    [
        b"{", b"x", b"\xff", b'{"a": "\xff"}', b"null x", b'{"amount_minor": 1,}', b"[" * 50_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b'"\\ud800"', b"{'a': 1}", b"NaN",
    ],
)  # fmt: skip
def test_what_is_not_json_is_said_to_be_so(content: bytes) -> None:
    """Broken, not UTF-8, or nested without end: never a fault of ours."""
    assert problem_of(content).code in ("body_malformed", "field_wrong_type", "field_unknown")


@pytest.mark.parametrize("path", list(paths(FULL)))
def test_a_field_of_the_wrong_type_is_named(path: str) -> None:
    """By its whole path."""
    problem = problem_of(changed(path, [PAN]))

    assert (problem.code, problem.param) == ("field_wrong_type", path)
    assert PAN not in problem.detail


@pytest.mark.parametrize(
    "path",
    ["amount_minor", "currency", "card", "card.number", "card.expiry_month", "card.expiry_year"],
)
def test_a_missing_field_is_named(path: str) -> None:
    """The required ones; all others may be left out."""
    problem = problem_of(without(path))

    assert (problem.code, problem.param) == ("field_missing", path)


@pytest.mark.parametrize("path", sorted(set(paths(FULL)) - {"amount_minor", "currency", "card",
                         "card.number", "card.expiry_month", "card.expiry_year"}))  # fmt: skip
def test_what_is_not_required_may_be_left_out(path: str) -> None:
    """Each on its own."""
    assert asyncio.run(read(request_of(without(path)), PaymentRequest, 65_536))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("amount_minor", 0),
        ("amount_minor", -1),
        ("amount_minor", 10**12),
        ("capture", "later"),
        ("card.number", "4" * 11),
        ("card.number", "4" * 20),
        ("card.number", "4111-1111-1111-1111"),
        ("card.number", PAN + "\n"),
        ("card.expiry_month", 0),
        ("card.expiry_month", 13),
        ("card.expiry_year", 30),
        ("card.cvv", "12"),
        ("card.cvv", "12345"),
        ("card.cvv", "12x"),
        ("order", ""),
        ("order", "x" * 65),
        ("order", "1001\r\nBcc: thief@example.com"),
        ("order", "Bücher"),
        ("description", "x" * 256),
        ("description", "a\x00b"),
        ("description", "a\nb"),
        ("billing.postal_code", "1" * 11),
        ("billing.street", "x" * 41),
        ("billing.street", "Zürich"),
    ],
)
def test_a_value_out_of_range_is_named_and_not_repeated(path: str, value: Any) -> None:
    """With the rule that it breaks."""
    problem = problem_of(changed(path, value))

    assert (problem.code, problem.param) == ("field_out_of_range", path)
    assert problem.detail
    assert not isinstance(value, str) or len(value) < 5 or value not in problem.detail


@pytest.mark.parametrize(
    "address",
    ["", "x", "@", "a@b", "a b@example.com", "a@example..com", "<a@example.com>",
     "a@b.com, c@d.com",
     "a..b@example.com", "ü@example.com", "a@example.com\n", '"a"@example.com', "a@[127.0.0.1]"],
)  # fmt: skip
def test_an_address_that_is_none_is_told_apart(address: str) -> None:
    """Before money moves, not when the receipt cannot be sent."""
    problem = problem_of(changed("customer_email", address))

    assert problem.code in ("email_invalid", "field_out_of_range")
    assert problem.param == "customer_email"


@pytest.mark.parametrize("amount", [4200.0, 42.5, "4200", True, None, 1e30])
def test_an_amount_is_an_integer(amount: Any) -> None:
    """No float, no text: 42.0 dollars could be 42 or 4200."""
    assert problem_of(changed("amount_minor", amount)).code in (
        "field_wrong_type",
        "field_out_of_range",
    )


def test_a_field_that_there_is_not_is_named() -> None:
    """A typing mistake never becomes a default."""
    top, inner = problem_of(changed("amuont", 1)), problem_of(changed("card.cvc", "927"))

    assert (top.code, top.param) == ("field_unknown", "amuont")
    assert (inner.code, inner.param) == ("field_unknown", "card.cvc")


def test_a_field_that_stands_twice_is_refused() -> None:
    """Two readers could see two different payments."""
    content = encoded(FULL).replace(
        b'"amount_minor": 4200', b'"amount_minor": 1, "amount_minor": 4200'
    )

    assert problem_of(content).code == "field_doubled"


NAMES = st.sampled_from(["a", "b", "a:", ": ", ",", "", "number", '\\"', "a\\", "\u00e9"])


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> str:
    """Draw the text of a JSON object that may name fields twice, at any depth."""
    space = draw(st.sampled_from(["", " ", "\n", "\t "]))
    parts = []
    for name in draw(st.lists(NAMES, max_size=4)):
        value = json.dumps(draw(NAMES))
        if depth and draw(st.booleans()):
            value = draw(objects(depth - 1))
        parts.append(f"{space}{json.dumps(name)}{space}:{space}{value}{space}")
    return "{" + ",".join(parts) + "}"


@given(objects())
def test_the_quick_look_overlooks_no_field_that_stands_twice(text: str) -> None:
    """However names and texts are written: only what cannot double is not looked at closely."""
    try:
        json.loads(text, object_pairs_hook=reading._each_once)
    except Problem:
        assert reading._may_double(text.encode())


def test_a_plain_body_is_looked_at_once() -> None:
    """The payment as clients send it."""
    assert not reading._may_double(encoded(FULL))


def test_too_large_a_body_is_a_413() -> None:
    """Announced or not."""
    large = encoded({**FULL, "description": "x" * 70_000})

    for headers in ({}, {"content_length": str(len(large))}):
        problem = problem_of(large, **headers)
        assert problem.code == "body_too_large"
        assert "65536" in problem.detail


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client holds no place for ever."""
    monkeypatch.setattr(reading, "BODY_SECONDS_MAX", 0.05)
    request = request_of(b"")

    class Never(Sent):
        async def part(self) -> tuple[bytes, bool]:
            await asyncio.Event().wait()
            raise AssertionError

    request.body = Never([])
    with pytest.raises(Problem) as caught:
        asyncio.run(read(request, PaymentRequest, 1024))
    assert caught.value.code == "body_timeout"


def complaint(content: bytes) -> Problem | None:
    """Return the problem that *content* is read as, if it is one."""
    try:
        asyncio.run(read(request_of(content), PaymentRequest, 65_536))
    except Problem as problem:
        return problem
    return None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from([PAN, int(PAN), f" {PAN}", f"{PAN}\n", float(PAN)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=10) | st.sampled_from([PAN, *FULL]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_is_sent_is_read_or_named(body: Any) -> None:
    """Nothing but a problem comes out, and none says a card number back."""
    problem = complaint(json.dumps(body).encode())

    assert problem is None or problem.code in KINDS
    assert problem is None or PAN not in f"{problem.detail} {problem.param} {problem.members}"


@given(st.sampled_from(list(paths(FULL))), JSON)
def test_whatever_stands_in_a_field_is_read_or_named(path: str, value: Any) -> None:
    """Every field, every kind of value; the card number itself is not sent back either."""
    problem = complaint(changed(path, value))

    assert problem is None or problem.code in KINDS
    assert problem is None or PAN not in f"{problem.detail} {problem.param}"


async def test_no_error_ever_says_a_card_number_back(stage: Stage) -> None:
    """
    PCI DSS 3.4: a card number in every field, as every type, as a name, as the key, in path
    and query: whatever is wrong with the request, the answer does not repeat it.
    """
    api = await Api.of(stage)
    wrong: list[Any] = [
        PAN,
        f"{PAN}x",
        f"{PAN} ",
        int(PAN),
        float(PAN),
        [PAN],
        {PAN: PAN},
        f"\n{PAN}",
    ]
    replies = [await api.sale(changed(path, value)) for path in paths(FULL) for value in wrong]
    for name in (PAN, f"pan{PAN}", "4111 1111 1111 1111", f"`{PAN}`"):
        replies.append(await api.sale(changed(name.replace(".", ""), 1)))
        replies.append(await api.call("GET", "/v1/payments", query=f"{name}=1"))
    replies += [
        await api.call("GET", "/v1/payments", query=f"{name}={PAN}")
        for name in ("limit", "state", "order", "currency", "cursor", "rrn", "created_from", "x")
    ]
    replies.append(await api.call("GET", f"/v1/payments/{PAN}"))
    replies.append(await api.call("GET", f"/{PAN}"))
    replies.append(await api.call("POST", "/v1/payments", SALE, idempotency_key=f"{PAN} "))
    replies.append(await api.call("GET", "/v1/payments", authorization=f"Bearer {PAN}"))

    problems = [each for each in replies if each.status >= 400]
    assert len(problems) > 100
    assert [each.content for each in problems if PAN in each.content.decode()] == []
    assert [each.content for each in problems if each.status >= 500] == []


async def test_a_card_that_cannot_be_right_is_told_so(stage: Stage) -> None:
    """Check digit, expiry, currency: each with its own code."""
    api = await Api.of(stage)
    cases = {
        "card_number_invalid": changed("card.number", "4111111111111112"),
        "card_expired": changed("card.expiry_year", 2020),
        "currency_unknown": changed("currency", "XTS"),
    }

    for code, content in cases.items():
        reply = await api.sale(content)
        assert (reply.status, reply.json["code"]) == (400, code)
    assert stage.link.asked == []


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_explained(key: str | None) -> None:
    """What it is for, and what it looks like."""
    with pytest.raises(Problem) as caught:
        idempotency_key(request_of(b"", idempotency_key=key))
    assert caught.value.code == "idempotency_key_missing"


@pytest.mark.parametrize("key", ["x" * 256, "a b", "a\tb", "\xe9", "\x7f"])
def test_a_key_that_cannot_be_kept_is_refused(key: str) -> None:
    """1 to 255 printable ASCII characters."""
    with pytest.raises(Problem) as caught:
        idempotency_key(request_of(b"", idempotency_key=key))
    assert caught.value.code == "idempotency_key_invalid"


@given(st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=255))
def test_every_other_key_is_taken_as_it_is(key: str) -> None:
    """Not a character is changed."""
    assert idempotency_key(request_of(b"", idempotency_key=key)) == key
