"""
The side panel shows what the narrator tells, as text and nothing else.
"""

import io
import json

from counterfoil_proof.demo.narrator import Narrator
from counterfoil_proof.demo.panel import STEPS_MAX, Steps, build
from starlette.testclient import TestClient

BASE = "http://127.0.0.1:8026"


def test_a_payment_is_told_step_by_step_and_asked_for_by_number() -> None:
    """From the intent to the confirmation, each once."""
    teller = Narrator(io.StringIO())
    browser = TestClient(build(teller.steps), base_url=BASE)
    lines = (
        {"event": "order_placed", "order": 1002, "way": "page"},
        {"event": "payment.intended", "rrn": "632706000001", "won": True, "milliseconds": 1.25},
        {"event": "network.sent", "mti": "0200", "fields": {"2": "************1111"}},
        {"event": "network.answered", "mti": "0210", "fields": {"39": "00"}, "milliseconds": 9.0},
        {"event": "payment.confirmed", "on_session": True, "milliseconds": 2.0},
        {"event": "order_decided", "order": 1002, "status": "paid"},
    )
    for each in lines:
        teller.on_line("web", json.dumps(each))

    steps = browser.get("/steps").json()
    later = browser.get("/steps?after=5").json()

    assert [each["who"] for each in steps] == ["shop", *["web"] * 4, "shop"]
    assert "to be paid on the payment page" in steps[0]["what"]
    assert "RRN 632706000001" in steps[1]["what"]
    assert "2=************1111" in steps[2]["note"]
    assert [each["what"] for each in later] == ["order 1002 is paid"]
    page = browser.get("/").text
    assert page.index("order 1002 is paid") < page.index("RRN 632706000001")
    assert 'aria-live="polite"' in page


def test_what_a_program_says_cannot_become_marks() -> None:
    """On the page it is escaped, and the script sets text only."""
    steps = Steps()
    steps.add("shop", "<script>alert(1)</script>", None, "<b>")
    browser = TestClient(build(steps), base_url=BASE)

    answer = browser.get("/")
    script = browser.get("/static/panel.js").text

    assert "<script>alert" not in answer.text
    assert "<b>" not in answer.text
    assert "innerHTML" not in script
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_only_the_latest_steps_are_kept_and_only_this_machine_is_answered() -> None:
    """However long the demo runs, and whatever name it is asked by."""
    steps = Steps()
    for number in range(STEPS_MAX + 10):
        steps.add("gateway", str(number))
    browser = TestClient(build(steps), base_url=BASE)

    assert len(browser.get("/steps").json()) == STEPS_MAX
    assert browser.get("/steps?after=x").status_code == 200
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400
