"""
The log: one JSON object a line, and the last wall before a card number.
"""

import json
import subprocess
import sys
from typing import Any

import pytest
from counterfoil import logs
from counterfoil.cards import Card, luhn_holds
from counterfoil.logs import bound, bound_now, filter_card_numbers
from hypothesis import given
from hypothesis import strategies as st

PAN = "4111111111111111"
STARRED = "************1111"


def filtered(**event: Any) -> dict[str, Any]:
    return dict(filter_card_numbers(None, "info", dict(event)))


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """Draw 13 to 19 digits with the right check digit."""
    digits = draw(st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True))
    return next(digits + last for last in "0123456789" if luhn_holds(digits + last))


@given(card_numbers(), st.text(max_size=20), st.text(max_size=20))
def test_a_card_number_in_a_text_is_starred_and_counted(
    number: str, before: str, after: str
) -> None:
    """PCI DSS 3.3: whatever stands around it, as long as that is not a digit."""
    before, after = before + "(", ")" + after
    event = filtered(reason=f"{before}{number}{after}")

    assert number not in event["reason"]
    assert "*" * (len(number) - 4) + number[-4:] in event["reason"]
    assert event["pan_filtered"] >= 1


@given(card_numbers(), st.integers(0, 999_999), st.sampled_from(" -"), st.booleans())
def test_a_number_beside_it_hides_no_card_number(
    number: str, other: int, separator: str, first: bool
) -> None:
    """An amount, an attempt, a STAN before or after it."""
    pair = (number, str(other)) if first else (str(other), number)

    event = filtered(reason=separator.join(pair))

    assert number not in event["reason"].replace(separator, "")
    assert event["pan_filtered"] >= 1


@pytest.mark.parametrize(
    "written",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "12 4111 1111 1111 1111 99",
        "2026 4111111111111111",
        "pan=4111111111111111;cvv",
        "x4111111111111111y",
    ],
)
def test_a_card_number_in_groups_is_starred(written: str) -> None:
    """As it is printed, as people type it, and as programs join it."""
    event = filtered(event=written)

    assert event["pan_filtered"] == 1
    assert "1111 1111" not in event["event"]
    assert "1111-1111" not in event["event"]
    assert "*" * 11 in event["event"]


@pytest.mark.parametrize(
    "value",
    [
        {"card": {"number": PAN}},
        {"cards": [PAN]},
        {"cards": (PAN,)},
        {"cards": {PAN}},
        {"by_number": {PAN: 1}},
        {"number": int(PAN)},
        {"wire": b"0200" + b"\x00" + PAN.encode()},
        {"error": ValueError(PAN)},
    ],
    ids=lambda each: next(iter(each)),
)
def test_f40_a_card_number_is_found_in_whatever_is_logged(value: dict[str, Any]) -> None:
    """Nested, as a key, as a number, in bytes, in an exception."""
    event = filtered(**value)

    assert PAN not in json.dumps(event, default=repr)
    assert STARRED in json.dumps(event, default=repr)
    assert event["pan_filtered"] == 1


def test_every_card_number_is_counted() -> None:
    """The count is a defect's size, not a flag."""
    event = filtered(one=PAN, more=[PAN, f"{PAN} and 5555555555554444"])

    assert event["pan_filtered"] == 4


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "632706000123",
        "pay_01980000000070008000000000000000",
        "2026-11-23T06:30:00.123456Z",
        "411111",
        "0" * 42,
        "0000000000000018",
    ],
)
def test_what_is_no_card_number_stays_as_it_is(text: str) -> None:
    """A wrong check digit, an RRN, an id, a time, a BIN, a DE 90, a total filled with zeros."""
    assert filtered(reason=text) == {"reason": text}


@pytest.mark.parametrize("written", ["{}", "pay_{}", "reason=pay_{}, asked again", "({})"])
def test_an_id_of_ours_stays_whole(written: str) -> None:
    """One in 250 has digits in its hex that fit a card's check digit: nobody could look it up."""
    id_ = "01a21ee7451f7000841826374565bcde"
    assert luhn_holds("7000841826374565")

    assert filtered(payment=written.format(id_)) == {"payment": written.format(id_)}


@pytest.mark.parametrize(
    "text",
    [
        f"01a21ee7451f7000841826374565bcde {PAN}",
        f"{PAN}-pay_01a21ee7451f7000841826374565bcde",
        f"01a21ee7451f{PAN}bcde",
        "01a21ee7451f7000841826374565bcdee",
    ],
)
def test_an_id_hides_no_card_number(text: str) -> None:
    """Neither beside it, nor in hex of another form or length."""
    assert filtered(reason=text)["pan_filtered"] == 1


def test_what_is_not_text_stays_as_it_is() -> None:
    """Numbers, truth and nothing at all keep their kind."""
    event = {"milliseconds": 1.5, "won": True, "code": None, "tries": 3, "ids": ["a", 2]}

    assert filtered(**event) == event


def test_a_card_shows_its_last_four_even_unfiltered() -> None:
    """The filter is the last wall, not the first."""
    event = filtered(card=Card(PAN, 12, 2030, "927"))

    assert "pan_filtered" not in event


SCRIPT = """
import logging, sys
from counterfoil import logs
logs.set_up("gateway", "info")
import structlog
log = structlog.get_logger("test")
log.info("first\\r\\nsecond", reason="a\\nb\\u2028c\\x0bd")
log.info("card", number="4111111111111111")
log.debug("unseen")
logging.getLogger("library").warning("said %s", "4111111111111111")
logging.getLogger("library").info("unseen")
try:
    secret = "4242424242424242"
    raise KeyError("x")
except KeyError:
    logging.getLogger("library").exception("failed")
"""


def test_each_entry_is_one_line_of_json_on_standard_error() -> None:
    """
    PCI DSS 10, ASVS 16: no CR or LF breaks a line; time, level and process stand on each;
    what libraries log comes along without locals, and the wall stands before it too.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.stdout == ""
    assert done.stderr.isascii()
    assert [line["event"] for line in lines] == [
        "first\r\nsecond",
        "card",
        "library",
        "library",
    ]
    assert {line["process"] for line in lines} == {"gateway"}
    assert all(line["at"].endswith("Z") for line in lines)
    assert [line["level"] for line in lines] == ["info", "info", "warning", "error"]
    assert lines[1]["number"] == STARRED
    assert lines[2]["message"] == f"said {STARRED}"
    assert lines[3]["reason"] == "KeyError"
    assert PAN not in done.stderr
    assert "4242424242424242" not in done.stderr


BEGIN = """
import asyncio, os
from counterfoil import logs
logs.set_up("gateway", "info")
import structlog
log = structlog.get_logger("test")
"""


@pytest.mark.parametrize(
    ("script", "events"),
    [
        ("async def main():\n log.info('a')\n log.error('b')\n os._exit(0)", ["a", "b"]),
        ("async def main():\n log.info('a')\n await asyncio.sleep(0.2)\n os._exit(0)", ["a"]),
        ("async def main():\n await asyncio.to_thread(log.info, 'a')\n os._exit(0)", ["a"]),
        ("async def main():\n for _ in range(1000): log.info('a')\n os._exit(0)", ["a"] * 1000),
        ("async def main():\n log.info('a')", ["a"]),
    ],
    ids=["urgent", "soon", "in a thread", "many", "at the end"],
)
def test_a_line_is_written_soon_and_an_urgent_one_at_once(script: str, events: list[str]) -> None:
    """In the order in which they were logged, and at the latest when the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", f"{BEGIN}{script}\nasyncio.run(main())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == events


def test_what_is_logged_after_a_loop_has_ended_waits_for_nothing() -> None:
    """Nor does what had waited in it: another loop's line is written soon all the same."""
    script = """
async def first():
    log.info("a")

async def second():
    log.info("b")
    await asyncio.sleep(0.2)
    os.write(2, b'{"event": "c"}' + os.linesep.encode())

asyncio.run(first())
asyncio.run(second())
asyncio.run(first())
log.info("d")
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, check=True
    )

    said = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert said == ["a", "b", "c", "a", "d"]


def test_every_line_of_a_block_bears_its_names_and_none_after_it() -> None:
    """Inner ones too; what the line itself says goes first."""
    with bound(request_id="req_1", order="7"):
        with bound(payment="p"):
            inner = bound_now()
        outer = bound_now()

    assert inner == {"request_id": "req_1", "order": "7", "payment": "p"}
    assert outer == {"request_id": "req_1", "order": "7"}
    assert bound_now() == {}


@given(
    st.dictionaries(st.text(max_size=8), st.text('0123456789 -\u00e9\u2028\x07"\\', max_size=40))
)
def test_the_quick_look_at_a_line_overlooks_no_card_number(event: dict[str, str]) -> None:
    """What the wall would star in any value is seen in the line before it is made twice."""
    line_of = logs._written_by("gateway")

    line = json.loads(line_of(None, "info", {"event": "x", **event}))

    wanted = filtered(**{"event": "x", **event})
    assert {name: line[name] for name in wanted if name not in ("at", "level", "process")} == {
        name: value for name, value in wanted.items() if name not in ("at", "level", "process")
    }
