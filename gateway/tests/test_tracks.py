"""
What a card reader types is understood as it is, and typing is never taken for it.

The script that runs in the browser is run here by node, with cases that hypothesis makes.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from counterfoil.cards import luhn_holds
from counterfoil.web import rendering
from counterfoil.web.payment_form import read_expiry
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

STATIC = Path(rendering.__file__).parent / "static"
SCRIPTS = ("card-fields.js", "tracks.js")  # In the order in which the terminal loads them.
ANSWERS = """
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [name, ...said] = JSON.parse(line);
  if (name === "read") said.splice(1, 1, new Date(said[1] || "2026-11-28"));
  process.stdout.write(JSON.stringify(Tracks[name](...said)) + "\\n");
});
"""
PATIENT = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAME = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ/ .-'", min_size=2, max_size=26)
DIGITS = st.text("0123456789", max_size=16)


class Script:
    """
    The script in a process of its own.
    """

    def __init__(self, text: str) -> None:
        node = shutil.which("node") or _node_of_playwright()
        self._process = subprocess.Popen(
            [node, "-e", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, *said: Any) -> Any:
        """Return what the function *name* answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *said]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def _node_of_playwright() -> str:
    import playwright

    return str(Path(playwright.__file__).parent / "driver" / "node")


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    """The script that browsers run."""
    running = Script("".join((STATIC / each).read_text() for each in SCRIPTS) + ANSWERS)
    yield running
    running.end()


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A card number with its check digit."""
    body = draw(st.sampled_from(["4", "51", "37", "6011"])) + draw(
        st.text("0123456789", min_size=10, max_size=14)
    )
    return next(body + str(digit) for digit in range(10) if luhn_holds(body + str(digit)))


MONTHS = st.integers(1, 12)
YEARS = st.integers(2027, 2060)


def lrc(track: str, first: int) -> str:
    """Return a track's check character (ISO/IEC 7811-2): each bit's parity over all characters."""
    return chr(reduce(lambda sum_, each: sum_ ^ (ord(each) - first), track, 0) + first)


def track_1(number: str, month: int, year: int, name: str, rest: str) -> str:
    """Return track 1 as a reader types it."""
    return f"%B{number}^{name}^{year % 100:02d}{month:02d}{rest}?"


def track_2(number: str, month: int, year: int, rest: str) -> str:
    """Return track 2 as a reader types it."""
    return f";{number}={year % 100:02d}{month:02d}{rest}?"


@PATIENT
@given(numbers(), MONTHS, YEARS, NAME, DIGITS, st.booleans(), st.sampled_from(["12", "1", "2"]))
@example("4111111111111111", 12, 2030, "BYRON/ADA", "1010000000000", True, "12")
def test_number_and_expiry_are_read_and_nothing_else(
    script: Script,
    number: str,
    month: int,
    year: int,
    name: str,
    rest: str,
    checked: bool,
    which: str,
) -> None:
    """Of both tracks or of one, with check characters and without."""
    first, second = (
        track_1(number, month, year, name, rest),
        track_2(number, month, year, rest),
    )
    if checked:
        first, second = first + lrc(first, 0x20), second + lrc(second, 0x30)
    typed = (first if "1" in which else "") + (second if "2" in which else "")

    assert script.ask("read", typed) == {"number": number, "month": month, "year": year}
    assert script.ask("beginIn", typed) == 0
    assert script.ask("endIn", typed) == typed.index("?") + 1
    assert all(script.ask("mayBegin", typed[:end]) for end in range(1, 10))


@PATIENT
@given(numbers(), MONTHS, YEARS, st.data())
def test_a_track_with_one_wrong_character_is_refused_or_says_the_same(
    script: Script, number: str, month: int, year: int, data: st.DataObject
) -> None:
    """With its check character a reader's mistake is no other card."""
    track = track_2(number, month, year, "101") + lrc(track_2(number, month, year, "101"), 0x30)
    at = data.draw(st.integers(1, len(track) - 2))
    wrong = data.draw(st.sampled_from([each for each in "0123456789" if each != track[at]]))

    read = script.ask("read", track[:at] + wrong + track[at + 1 :])

    if track[at] == "?" == track[-1]:  # The check character stands for the end: none is left.
        assert read == {"number": number, "month": month, "year": year}
    else:
        assert "fault" in read, read


@PATIENT
@given(numbers(), numbers(), MONTHS, YEARS)
def test_tracks_of_two_cards_are_refused(
    script: Script, number: str, other: str, month: int, year: int
) -> None:
    """They have to agree in number and date."""
    typed = track_1(number, month, year, "BYRON/ADA", "101") + track_2(other, month, year, "101")
    later = track_1(number, month, year, "A/B", "101") + track_2(number, month, year + 1, "101")

    assert number == other or "do not agree" in script.ask("read", typed)["fault"]
    assert "do not agree" in script.ask("read", later)["fault"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("%B4111111111111112^A/B^3012101?", "not read whole"),  # The check digit.
        ("%B4111111111111111^A/B^3013101?", "not read whole"),  # A thirteenth month.
        ("%B4111111111111111^A/B^2610101?", "expired"),
        ("%B4111111111111111^A/B", "not read whole"),
        ("%E?;E?", "could not read the card"),
        (";E?", "could not read the card"),
        ("%E?;4111", "not read whole"),
        (";", "not read whole"),
        ("", "not read whole"),
        ("%B4111111111111111^" + "A" * 400 + "^3012101?", "not read whole"),
        ("%M4111111111111111^A/B^3012101?", "not read whole"),
    ],
)
def test_what_is_no_good_card_is_refused_in_words(script: Script, typed: str, words: str) -> None:
    """So that the clerk swipes again, or types."""
    assert words in script.ask("read", typed)["fault"]


@pytest.mark.parametrize("day", ["2026-11-30", "2026-12-01", "2026-12-02"])
def test_a_swiped_card_is_good_as_long_as_a_typed_one(script: Script, day: str) -> None:
    """Until its last day has passed everywhere on Earth, as the server says."""
    typed = read_expiry("11/26", datetime.fromisoformat(day).replace(tzinfo=UTC))

    swiped = script.ask("read", ";4111111111111111=2611101?", day)

    assert ("fault" in swiped) is isinstance(typed, str)


def test_a_card_of_american_express_with_spaces_on_track_1_is_read(script: Script) -> None:
    """As older ones have."""
    typed = "%B3782 822463 10005^BYRON/ADA^3012101?;378282246310005=3012101?"

    assert script.ask("read", typed)["number"] == "378282246310005"


@PATIENT
@given(st.text("0123456789%;BE=^? abce", max_size=12))
@example("100% wool")
@example("; and more")
@example("50%B")
@example("%E")
@example(";e?")
def test_typing_is_not_a_card(script: Script, typed: str) -> None:
    """What is held back for a moment is given back unless it must be a card."""
    sure = script.ask("isSure", typed)

    assert sure == (
        (
            typed[:2].upper() == "%B"
            and len(typed) >= 10
            and all(each in "0123456789 " for each in typed[2:10])
        )
        or (typed[:1] == ";" and len(typed) >= 9 and typed[1:9].isdigit())
        or typed[:3].upper() in ("%E?", ";E?")
    )
