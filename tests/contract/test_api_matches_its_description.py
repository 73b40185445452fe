"""
The API and its OpenAPI page say the same, as schemathesis sees it from outside.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from installation import Installation, clean_environment

EXAMPLES_MAX = 20
SECONDS_MAX = 400  # On a machine that does much else; alone it takes a fifth of that.
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")  # Another number tries other requests.
HOOKS = Path(__file__).with_name("beyond_the_schema.py")
NOBODYS_URL = "https://hooks.invalid/"
NUMBERED_SECONDS_MAX = 30.0
NO_FUNDS = "4000000000009995"
CARD = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2039, "cvv": "927"}
SALE = {"amount_minor": 4200, "currency": "USD", "card": CARD, "order": "1001"}
NO_KEY_NEEDED = {"/healthz", "/readyz", "/openapi.json"}


def test_the_description_is_openapi_3_1(api: httpx2.Client):
    """It is valid, names its version, and describes what every call takes and answers."""
    page = api.get("/openapi.json").json()

    assert page["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(page).validate()
    for path, calls in page["paths"].items():
        for call in calls.values():
            assert call["summary"]
            assert "500" in call["responses"]
            assert (call.get("security") == []) == (path in NO_KEY_NEEDED)
            for response in call["responses"].values():
                assert response["description"]
                assert "Request-Id" in response["headers"]
            if body := call.get("requestBody"):
                assert body["content"]["application/json"]["examples"]


@pytest.mark.timeout(SECONDS_MAX + 100)
def test_schemathesis_finds_nothing(installation: Installation, secret: str, tmp_path: Path):
    """
    All calls, all default checks, all phases: examples, boundaries, random data, call chains.
    """
    report = tmp_path / "report.json"

    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{installation.url}/openapi.json"),
            *("--tls-verify", str(installation.authority)),
            *("--header", f"Authorization: Bearer {secret}"),
            *("--max-examples", str(EXAMPLES_MAX), "--seed", SEED, "--continue-on-failure"),
            *("--generation-database", "none", "--no-color"),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=tmp_path,
        env=clean_environment(SCHEMATHESIS_HOOKS=str(HOOKS)),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["complete"]
    assert not found["failures"]
    assert not found["errors"]
    assert found["operations"]["tested"] == found["operations"]["total"]
    assert {each["status"] for each in found["phases"].values()} == {"success"}


def test_every_call_answers_as_described_when_it_succeeds(
    api: httpx2.Client, installation: Installation, merchant: str
):
    """A life of each kind, each answer compared with the description of its status."""
    calls = schemathesis.openapi.from_dict(api.get("/openapi.json").json())

    def call(method: str, path: str, payment_id: str = "", **body: Any) -> dict[str, Any]:
        answer = api.request(
            method,
            path.format(payment_id=payment_id),
            json=body if method == "POST" else None,
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        assert answer.is_success, answer.text
        calls[path][method].validate_response(answer)
        said: dict[str, Any] = answer.json()
        return said

    one = "/v1/payments/{payment_id}"
    for path in NO_KEY_NEEDED:
        call("GET", path)
    sale = call("POST", "/v1/payments", **SALE)
    assert call("POST", f"{one}/acknowledge", sale["id"])["state"] == "captured"
    assert call("POST", f"{one}/refund", sale["id"], amount_minor=4200)["refunded_minor"] == 4200
    held = call("POST", "/v1/payments", **SALE, capture="manual")
    assert call("POST", f"{one}/acknowledge", held["id"])["state"] == "authorized"
    assert call("POST", f"{one}/capture", held["id"])["captured_minor"] == 4200
    assert call("POST", f"{one}/void", held["id"])["charged"] is False
    turned_down = call("POST", "/v1/payments", **SALE)
    assert call("POST", f"{one}/refuse", turned_down["id"])["state"] == "reversing"
    asked = call("POST", "/v1/verifications", currency="USD", card=CARD)
    assert (asked["state"], asked["amount_minor"]) == ("verified", 0)
    assert installation.run("merchant", "set", merchant, "--credits-allowed").returncode == 0
    given = call("POST", "/v1/credits", amount_minor=4200, currency="USD", card=CARD)
    unclaimed = call("GET", "/v1/unclaimed")["data"]
    assert unclaimed[0]["payment"]["id"] == given["id"]
    assert call("POST", f"{one}/acknowledge", given["id"])["refunded_minor"] == 4200
    assert call("POST", f"{one}/void", given["id"])["state"] == "voiding"
    forced = call("POST", "/v1/payments", **SALE, voice_approval_code="H7K2P9")
    assert call("POST", f"{one}/acknowledge", forced["id"])["kind"] == "forced"
    other = {"card": CARD | {"number": NO_FUNDS}, "amount_minor": 4211}  # 4200 was tried too often.
    declined = call("POST", "/v1/payments", **SALE | other)
    assert declined["decline"]["response_code"] == "51"
    assert call("GET", one, held["id"])["movements"]
    assert len(call("GET", "/v1/payments")["data"]) >= 4
    page = call("POST", "/v1/checkouts", amount_minor=4200, currency="USD")
    answer = api.get(f"/v1/checkouts/{page['id']}")
    calls["/v1/checkouts/{checkout_id}"]["GET"].validate_response(answer)
    ended = api.post(f"/v1/checkouts/{page['id']}/expire", json={})
    calls["/v1/checkouts/{checkout_id}/expire"]["POST"].validate_response(ended)
    assert (answer.json()["state"], ended.json()["state"]) == ("open", "expired")
    assert call("POST", "/v1/resolve", idempotency_key=sale["idempotency_key"])["payment"]
    assert call("POST", "/v1/resolve", idempotency_key=str(uuid.uuid4()))["payment"] is None


def test_every_call_about_events_and_webhooks_answers_as_described(api: httpx2.Client):
    """An endpoint's life, and the feed that its deliveries hint at."""
    calls = schemathesis.openapi.from_dict(api.get("/openapi.json").json())

    def call(method: str, path: str, body: Any = None, **names: str) -> dict[str, Any]:
        answer = api.request(method, path.format(**names), json=body)
        assert answer.is_success, answer.text
        calls[path][method].validate_response(answer)
        said: dict[str, Any] = answer.json()
        return said

    every, one = "/v1/webhook-endpoints", "/v1/webhook-endpoints/{endpoint_id}"
    made = call("POST", every, {"url": NOBODYS_URL, "types": ["endpoint.changed"]})
    name = {"endpoint_id": made["id"]}
    assert call("GET", every)["data"]
    assert call("GET", one, **name)["state"] == "enabled"
    assert call("PATCH", one, {"description": "The shop"}, **name)["description"] == "The shop"
    assert call("POST", f"{one}/rotate", {}, **name)["secret"] != made["secret"]
    deliveries: list[Any] = []
    until = time.monotonic() + NUMBERED_SECONDS_MAX
    while not deliveries and time.monotonic() < until:
        deliveries = call("GET", f"{one}/deliveries", **name)["data"]
    path = f"{one}/deliveries/{{delivery_id}}/replay"
    assert call("POST", path, {}, delivery_id=deliveries[0]["id"], **name)["state"] == "owed"
    assert call("DELETE", one, **name)["state"] == "deleted"
    found = call("GET", "/v1/events")
    assert found["next_after"] == found["data"][-1]["number"]
