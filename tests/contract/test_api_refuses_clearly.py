"""
Each mistake of a caller gets an error of its own, and no error repeats card data.
"""

import copy
import json
import re
import time
import uuid
from typing import Any

import httpx2
import pytest
from installation import Installation

PAN = "4929420573595709"  # Used nowhere else, so that it can be searched for.
CVV = "837"
# An id or a digest, in which any few digits may stand by chance.
DIGEST = r"(?<![0-9a-f])(?=[0-9]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{64})(?![0-9a-f])"
SALE: dict[str, Any] = {
    "amount_minor": 4200,
    "currency": "USD",
    "card": {"number": PAN, "expiry_month": 12, "expiry_year": 2039, "cvv": CVV},
}
NOBODYS = f"pay_{'0' * 32}"
BODY_BYTES_MAX = 65_536
DISCARDED_BYTES_MAX = 4_194_304
REVOKED_SECONDS_MAX = 5.0
LEAVE_OUT = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the sale with one field changed, added or left out."""
    body = copy.deepcopy(SALE)
    *parents, name = path.split(".")
    place = body
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is LEAVE_OUT:
        del place[name]
    else:
        place[name] = value
    return body


def send(
    api: httpx2.Client, content: bytes | str, media_type: str = "application/json", **headers: str
) -> httpx2.Response:
    """Send *content* as a new payment."""
    wanted = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": media_type, **headers}
    return api.post("/v1/payments", content=content, headers=wanted)


def problem(answer: httpx2.Response, status: int, code: str, param: str | None = None) -> Any:
    """Assert that *answer* is this problem, whole and well made, without card data."""
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (answer.status_code, said["code"], said["param"]) == (status, code, param)
    assert said["status"] == status
    assert said["type"].endswith(f"/{code}")
    assert said["request_id"] == answer.headers["request-id"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", said["request_id"])
    assert said["title"]
    assert said["detail"]
    assert said["retryable"] is (status in (408, 500, 503))
    assert PAN not in answer.text
    return said


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("amount_minor", LEAVE_OUT, "field_missing"),
        ("card", LEAVE_OUT, "field_missing"),
        ("card.number", LEAVE_OUT, "field_missing"),
        ("amount_minor", None, "field_wrong_type"),
        ("amount_minor", "4200", "field_wrong_type"),
        ("amount_minor", 42.5, "field_wrong_type"),
        ("amount_minor", 4200.0, "field_wrong_type"),
        ("amount_minor", True, "field_wrong_type"),
        ("amount_minor", [4200], "field_wrong_type"),
        ("amount_minor", 0, "field_out_of_range"),
        ("amount_minor", -4200, "field_out_of_range"),
        ("amount_minor", 10**12, "field_out_of_range"),
        ("amount_minor", 2**63, "field_out_of_range"),
        ("amount_minor", 10**400, "field_out_of_range"),
        ("currency", "XTS", "currency_unknown"),
        ("currency", "usd", "currency_unknown"),
        ("currency", "USD\n", "currency_unknown"),
        ("currency", 840, "field_wrong_type"),
        ("capture", "later", "field_out_of_range"),
        ("voice_approval_code", "H7 K2P", "field_out_of_range"),
        ("voice_approval_code", "H7K2P9X", "field_out_of_range"),
        ("card", PAN, "field_wrong_type"),
        ("card.number", int(PAN), "field_wrong_type"),
        ("card.number", PAN[:-1] + "8", "card_number_invalid"),
        ("card.number", "4929 4205 7359 5709", "field_out_of_range"),
        ("card.number", PAN + "\n", "field_out_of_range"),
        ("card.number", "4" * 20, "field_out_of_range"),
        ("card.number", "٤" * 16, "field_out_of_range"),
        ("card.expiry_month", 13, "field_out_of_range"),
        ("card.expiry_month", "12", "field_wrong_type"),
        ("card.expiry_year", 39, "field_out_of_range"),
        ("card.expiry_year", 2020, "card_expired"),
        ("card.cvv", 837, "field_wrong_type"),
        ("card.cvv", "83", "field_out_of_range"),
        ("card.cvv", "83a", "field_out_of_range"),
        ("card.holder", "Ada Lovelace", "field_unknown"),
        ("card.pin", "1234", "field_unknown"),
        ("tip_minor", 100, "field_unknown"),
        ("order", "Bestellung №1", "field_out_of_range"),
        ("order", "1001\x00", "field_out_of_range"),
        ("order", "", "field_out_of_range"),
        ("order", 1001, "field_wrong_type"),
        ("order", "1" * 65, "field_out_of_range"),
        ("description", "two\nlines", "field_out_of_range"),
        ("description", "zero\x00", "field_out_of_range"),
        ("description", "x" * 256, "field_out_of_range"),
        ("customer_email", "nobody", "email_invalid"),
        ("customer_email", "ada@localhost", "email_invalid"),
        ("customer_email", "a@b.example, c@d.example", "email_invalid"),
        ("customer_email", "ada@shopper.example\nBcc: c@d.example", "email_invalid"),
        ("customer_email", "Ada <ada@shopper.example>", "email_invalid"),
        ("billing.postal_code", "97201-12345", "field_out_of_range"),
        ("billing.street", "Žižkova 5", "field_out_of_range"),
        ("billing.city", "Portland", "field_unknown"),
    ],
)
def test_a_wrong_field_is_named(api: httpx2.Client, path: str, value: Any, code: str):
    """What is wrong gets its code, and the field its path."""
    answer = send(api, json.dumps(changed(path, value)))

    problem(answer, 400, code, path)


def test_a_name_that_could_be_a_card_number_is_not_repeated(api: httpx2.Client):
    """Neither as a field, nor as a parameter of the list."""
    problem(send(api, json.dumps({**SALE, PAN: 1})), 400, "field_unknown")
    problem(api.get("/v1/payments", params={PAN: "1"}), 400, "query_invalid")
    problem(api.get("/v1/payments", params={"state": PAN}), 400, "query_invalid", "state")


@pytest.mark.parametrize(
    ("content", "code", "param"),
    [
        (b"", "field_missing", "amount_minor"),
        (b"{", "body_malformed", None),
        (b"null", "field_wrong_type", None),
        (b"[]", "field_wrong_type", None),
        (b'"text"', "field_wrong_type", None),
        (json.dumps(SALE).encode() + b"{}", "body_malformed", None),
        (b"\xef\xbb\xbf{}", "body_malformed", None),
        ("{}".encode("utf-16"), "body_malformed", None),
        (b'{"order": "\xff"}', "body_malformed", None),
        (b'{"order": "\xed\xa0\x80"}', "body_malformed", None),
        (b'{"order": "\\ud800"}', "body_malformed", None),
        (b'{"amount_minor": NaN}', "body_malformed", None),
        (b'{"amount_minor": 1e400}', "field_out_of_range", "amount_minor"),
        (b'{"amount_minor": 42e2}', "field_wrong_type", "amount_minor"),
        (b'{"currency": USD}', "body_malformed", None),
        (b'{"order": ' + b"[" * 50_000, "field_wrong_type", "order"),
        (b'{"more": ' + b"[" * 50_000, "field_unknown", "more"),
        (b"[" * 50_000, "field_wrong_type", None),
    ],
)
def test_what_is_not_json_or_no_object_is_refused(
    api: httpx2.Client, content: bytes, code: str, param: str | None
):
    """Strictly UTF-8 and strictly JSON, however deeply it is nested."""
    problem(send(api, content), 400, code, param)


@pytest.mark.parametrize(
    ("doubled", "name"),
    [
        ('"amount_minor": 1, "amount_minor": 4200', "amount_minor"),
        ('"amount_minor": 4200, "amount\\u005fminor": 1', "amount_minor"),
        ('"amount_minor": 4200, "billing": {"street": "1", "street": "2"}', "street"),
    ],
)
def test_a_field_that_stands_twice_is_refused(api: httpx2.Client, doubled: str, name: str):
    """One reader could take the first, another the last: two different payments."""
    rest = json.dumps({"currency": "USD", "card": SALE["card"]})[1:-1]

    answer = send(api, f"{{{doubled}, {rest}}}")

    problem(answer, 400, "field_doubled", name)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "json"])
def test_only_json_is_read(api: httpx2.Client, media_type: str):
    """Whatever the body may look like."""
    problem(send(api, json.dumps(SALE), media_type), 415, "media_type_unsupported")


def test_json_may_name_its_character_set(api: httpx2.Client):
    """A parameter of the media type does no harm."""
    assert send(api, json.dumps(SALE), "Application/JSON; charset=utf-8").status_code == 201


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "idempotency_key_missing"),
        ([""], "idempotency_key_missing"),
        (["k" * 256], "idempotency_key_invalid"),
        (["a b"], "idempotency_key_invalid"),
        (["a\tb"], "idempotency_key_invalid"),
        (["schlüssel"], "idempotency_key_invalid"),
        (["one", "two"], "idempotency_key_invalid"),
    ],
)
def test_a_payment_needs_one_idempotency_key(api: httpx2.Client, keys: list[str], code: str):
    """1 to 255 printable ASCII characters."""
    headers = [(b"Content-Type", b"application/json")]
    headers += [(b"Idempotency-Key", key.encode("latin-1")) for key in keys]

    answer = api.post("/v1/payments", content=json.dumps(SALE), headers=headers)

    problem(answer, 400, code, "Idempotency-Key")


def test_a_key_belongs_to_one_request(api: httpx2.Client):
    """The same again is answered from the first, another body or call is refused."""
    key = {"Idempotency-Key": str(uuid.uuid4())}

    first = api.post("/v1/payments", json=SALE, headers=key)
    again = api.post("/v1/payments", json=SALE, headers=key)
    other = api.post("/v1/payments", json=changed("amount_minor", 1), headers=key)
    moved = api.post(f"/v1/payments/{first.json()['id']}/void", json={}, headers=key)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    problem(other, 422, "idempotency_key_reused", "Idempotency-Key")
    problem(moved, 422, "idempotency_key_reused", "Idempotency-Key")


def test_a_resolved_key_is_closed(api: httpx2.Client):
    """A copy of the request that comes later is refused."""
    key = str(uuid.uuid4())
    resolved = api.post("/v1/resolve", json={"idempotency_key": key})

    late = api.post("/v1/payments", json=SALE, headers={"Idempotency-Key": key})

    assert resolved.json()["status"] == "never_seen"
    problem(late, 409, "key_fenced", "Idempotency-Key")


@pytest.mark.parametrize("path", ["", "/void", "/capture", "/refund", "/acknowledge", "/refuse"])
def test_another_merchants_payment_is_not_there(
    installation: Installation, api: httpx2.Client, secret: str, path: str
):
    """Its id is as unknown as one that nobody made."""
    method = "POST" if path else "GET"
    theirs = api.post("/v1/payments", json=SALE, headers={"Idempotency-Key": str(uuid.uuid4())})
    other = installation.other_secret()
    with installation.client(other) as stranger:
        for payment_id in (theirs.json()["id"], NOBODYS, "pay_1", f"pay_{'A' * 32}", "%00"):
            answer = stranger.request(
                method,
                f"/v1/payments/{payment_id}{path}",
                json={} if path else None,
                headers={"Idempotency-Key": str(uuid.uuid4())},
            )

            problem(answer, 404, "not_found")


def test_two_merchants_may_use_the_same_key(installation: Installation, api: httpx2.Client):
    """Each gets a payment of its own."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with installation.client(installation.other_secret()) as other:
        theirs = other.post("/v1/payments", json=SALE, headers=key)
    ours = api.post("/v1/payments", json=SALE, headers=key)

    assert (theirs.status_code, ours.status_code) == (201, 201)
    assert theirs.json()["id"] != ours.json()["id"]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        ("Bearer", "key_missing"),
        ("Basic c2s6", "key_missing"),
        ("Bearer sk_test_unknown", "key_unknown"),
        ("Bearer sk_live_unknown", "key_of_other_mode"),
        ("Bearer something", "key_unknown"),
        ("Bearer sk_test_" + "x" * 5000, "key_unknown"),
    ],
)
def test_without_a_good_key_nothing_is_done(
    installation: Installation, authorization: str | None, code: str
):
    """Each reason has its code, on every call."""
    headers = {} if authorization is None else {"Authorization": authorization}
    with installation.client(**headers) as client:
        for answer in (
            client.get("/v1/payments"),
            client.get(f"/v1/payments/{NOBODYS}"),
            client.post("/v1/payments", json=SALE),
            client.post("/v1/resolve", json={}),
        ):
            problem(answer, 401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_ends_at_once(installation: Installation, merchant: str):
    """Also one that the gateway has just used."""
    made = installation.key(merchant)
    with installation.client(made["secret"]) as client:
        assert client.get("/v1/payments").status_code == 200

        assert installation.run("key", "revoke", made["id"]).returncode == 0

        deadline = time.monotonic() + REVOKED_SECONDS_MAX
        while (answer := client.get("/v1/payments")).is_success and time.monotonic() < deadline:
            time.sleep(0.02)
        problem(answer, 401, "key_revoked")


def test_a_merchant_without_a_terminal_is_told_so(installation: Installation):
    """It is the operator who has to do something."""
    merchant = installation.merchant("No Terminal")
    installation.sql("DELETE FROM terminals WHERE merchant_id = $1", merchant)
    with installation.client(installation.key(merchant)["secret"]) as client:
        answer = send(client, json.dumps(SALE))

    problem(answer, 409, "merchant_without_terminal")


def test_a_move_that_the_state_forbids_names_the_state(api: httpx2.Client):
    """And says what is possible instead."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    sale = api.post("/v1/payments", json=SALE, headers=key).json()
    refused = api.post(f"/v1/payments/{sale['id']}/refuse", json={})
    move = {"Idempotency-Key": str(uuid.uuid4())}

    late = api.post(f"/v1/payments/{sale['id']}/acknowledge", json={})
    capture = api.post(f"/v1/payments/{sale['id']}/capture", json={}, headers=move)

    assert refused.json()["charged"] is False
    for answer, code in ((late, "payment_reversed"), (capture, "state_conflict")):
        said = problem(answer, 409, code)
        assert said["state"] in ("reversing", "reversed")
        assert said["possible"] == []
        assert said["payment"]["id"] == sale["id"]


@pytest.mark.parametrize("call", ["refund", "void", "undo"])
def test_more_than_there_is_is_not_moved(api: httpx2.Client, call: str):
    """The refusal says how much there is, the state, and what is possible."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    sale = api.post("/v1/payments", json=SALE, headers=key).json()
    api.post(f"/v1/payments/{sale['id']}/acknowledge", json={})

    answer = api.post(
        f"/v1/payments/{sale['id']}/{call}",
        json={"amount_minor": 4201},
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )

    said = problem(answer, 409, "amount_too_large")
    assert "42.00 USD" in said["detail"]
    assert (said["state"], said["possible"]) == ("captured", ["void", "refund", "undo"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("limit", "1" * 5000),
        ("limit", ""),
        ("cursor", "pay_1"),
        ("cursor", f"pay_{'A' * 32}"),
        ("state", "happy"),
        ("state", "null"),
        ("order", ""),
        ("order", "a\x00b"),
        ("created_from", "yesterday"),
        ("created_from", "2026-01-01T00:00:00"),
        ("created_from", "1767225600"),
        ("created_to", "0001-01-01T00:00:00+23:59"),
        ("confirmation_number", "12345678901"),
        ("rrn", "null"),
        ("colour", "green"),
    ],
)
def test_a_wrong_filter_is_named(api: httpx2.Client, name: str, value: str):
    """A list that silently ignored a filter would show other payments than those asked for."""
    problem(api.get("/v1/payments", params={name: value}), 400, "query_invalid", name)


def test_each_filter_is_sent_once(api: httpx2.Client):
    """Nobody could tell which of two is meant."""
    answer = api.get("/v1/payments?limit=1&limit=2")

    problem(answer, 400, "query_invalid", "limit")


@pytest.mark.parametrize("currency", ["", "null", "usd", "XTS"])
def test_a_list_of_an_unknown_currency_is_refused(api: httpx2.Client, currency: str):
    """As a payment in it would be."""
    answer = api.get("/v1/payments", params={"currency": currency})

    problem(answer, 400, "currency_unknown", "currency")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/payments", "GET, HEAD, POST"),
        (f"/v1/payments/{NOBODYS}", "GET, HEAD"),
        (f"/v1/payments/{NOBODYS}/void", "POST"),
        ("/v1/resolve", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_told_which_there_are(
    api: httpx2.Client, method: str, path: str, allowed: str
):
    """Also methods that nobody uses here; TRACE in particular repeats nothing."""
    answer = api.request(method, path)

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/payments/", "/v2/payments", "/%00", "/a/../b"])
def test_a_path_that_is_not_there_is_a_problem_too(api: httpx2.Client, path: str):
    """And nobody is sent elsewhere."""
    problem(api.get(path), 404, "not_found")


def test_head_answers_like_get_without_the_body(api: httpx2.Client):
    """As HTTP has it."""
    answer = api.head("/v1/payments")

    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 1_048_576, DISCARDED_BYTES_MAX])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_leaves_the_connection_usable(
    api: httpx2.Client, size: int, chunked: bool
):
    """It is thrown away as it comes; the next request on the connection is answered."""
    content: Any = iter([b" " * 65_536] * (size // 65_536) + [b" " * (size % 65_536)])

    answer = send(api, content if chunked else b"".join(content))
    after = api.get("/v1/payments")

    problem(answer, 413, "body_too_large")
    assert "connection" not in answer.headers
    assert after.status_code == 200
    assert port_of(answer) == port_of(after)


def port_of(answer: httpx2.Response) -> int:
    """Return the client's port of the connection that *answer* came on."""
    stream = answer.extensions["network_stream"]
    port: int = stream.get_extra_info("client_addr")[1]
    return port


def test_a_body_of_just_the_limit_is_read(api: httpx2.Client):
    """White space counts too."""
    content = json.dumps(SALE).ljust(BODY_BYTES_MAX)

    assert send(api, content).status_code == 201


def test_a_body_without_end_loses_its_connection(installation: Installation, secret: str):
    """The answer comes first, then the end: nothing is read for ever."""
    with installation.line() as line:
        line.sendall(request_head(secret, "Transfer-Encoding: chunked"))
        try:
            for _ in range(2 * DISCARDED_BYTES_MAX // 65_536):
                line.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        except OSError:
            return  # The connection is gone, as it should be.
        assert b"413" in everything(line)


def test_a_huge_body_is_refused_unread(installation: Installation, secret: str):
    """By what its head says."""
    with installation.line() as line:
        line.sendall(request_head(secret, f"Content-Length: {10**15}"))

        answer = everything(line)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_a_body_that_waits_to_be_asked_for_is_refused_before(
    installation: Installation, secret: str
):
    """`Expect: 100-continue` with a body too large never gets the 100."""
    head = request_head(secret, "Expect: 100-continue", f"Content-Length: {BODY_BYTES_MAX + 1}")
    with installation.line() as line:
        line.sendall(head)

        answer = everything(line)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_hanging_up_within_a_body_is_no_fault_of_ours(
    installation: Installation, api: httpx2.Client, secret: str
):
    """Nothing is taken, nothing is logged as a fault, and others are served."""
    with installation.line() as line:
        line.sendall(request_head(secret, "Content-Length: 500") + b'{"amount_minor": 42')

    assert api.get("/v1/payments").status_code == 200
    assert '"event": "fault"' not in installation.logs()


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"BREW /v1/payments HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
    ],
)
def test_what_is_not_http_ends_the_connection(installation: Installation, sent: bytes):
    """With a 400 and nothing else, and without two ways of reading one request."""
    with installation.line() as line:
        line.sendall(sent)

        answer = everything(line)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


def request_head(secret: str, *lines: str) -> bytes:
    """Return the head of a request for a payment."""
    head = [
        "POST /v1/payments HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {secret}",
        f"Idempotency-Key: {uuid.uuid4()}",
        "Content-Type: application/json",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii")


def everything(line: Any) -> bytes:
    """Return what comes until the other side ends the connection."""
    parts = []
    try:
        while part := line.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_no_answer_and_no_log_holds_the_card(installation: Installation, api: httpx2.Client):
    """Of all that this file has sent, neither card number nor security code was written down."""
    sale = send(api, json.dumps(changed("order", "searched for")))
    whole = api.get(f"/v1/payments/{sale.json()['id']}")

    assert whole.json()["card"] == {"brand": "visa", "last4": PAN[-4:]}
    assert whole.json()["messages"][0]["fields"]["2"] == f"{'*' * 12}{PAN[-4:]}"
    for text in (sale.text, whole.text, installation.logs()):
        assert PAN not in text
        assert not re.search(rf'"(?:cvv|security_code)":\s*"?{CVV}', text)
        assert f"0203{CVV}" not in re.sub(DIGEST, "", text)
    assert "network.sent" in installation.logs()
    assert '"event": "fault"' not in installation.logs()
