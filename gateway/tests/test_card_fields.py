"""
What a browser says of a card that was typed is what the server would say, word for word.

The script that runs in the browser is run here by node, with cases that hypothesis makes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from counterfoil.cards import holds_card_number, luhn_holds
from counterfoil.web import rendering
from counterfoil.web.astray import holds_card
from counterfoil.web.payment_form import (
    code_in,
    fault_of_code,
    fault_of_number,
    number_in,
    read_expiry,
)
from hypothesis import example, given
from hypothesis import strategies as st
from test_tracks import PATIENT, Script

SCRIPT = Path(rendering.__file__).parent / "static" / "card-fields.js"
TODAY = datetime(2026, 11, 28, tzinfo=UTC)
ANSWERS = """
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [name, ...said] = JSON.parse(line);
  if (name === "faultOfExpiry") said.push(new Date(said.pop()));
  process.stdout.write(JSON.stringify(CardFields[name](...said)) + "\\n");
});
"""
SCHEMES = (
    4,
    51,
    2221,
    2720,
    2721,
    34,
    37,
    6011,
    644,
    65,
    3528,
    3589,
    300,
    305,
    306,
    36,
    38,
    39,
    62,
)
OWN = ("4242424242424242", "378282246310005", "30569309025904", "675964982643")
SIGNS = ("", " ", "-", ", ", "/", "\u0301", "\u200b", "x")
WIDE = "".join(chr(ord(each) + 0xFEE0) for each in "0123456789/.-")
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015"
BLANKS = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}"
FIRST = st.sampled_from((*SCHEMES, 50, 57, 9)).map(str) | st.just("")


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    """The script that browsers run."""
    running = Script(SCRIPT.read_text() + ANSWERS)
    yield running
    running.end()


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number of any length, most often with its check digit."""
    digits = draw(FIRST) + draw(st.text("0123456789", min_size=7, max_size=17))
    last = next(each for each in "0123456789" if luhn_holds(digits + each))
    return digits + draw(st.sampled_from([last, last, last, "0"]))


@PATIENT
@given(
    number=numbers(),
    between=st.sampled_from(["", " ", "-", " - ", ".", "/", "_", ",", ":", "\N{NO-BREAK SPACE}"]),
    zero=st.sampled_from("0\N{FULLWIDTH DIGIT ZERO}\N{ARABIC-INDIC DIGIT ZERO}"),
)
def test_a_browser_keeps_no_text_that_the_server_would_refuse(
    script: Script, number: str, between: str, zero: str
) -> None:
    """What the server takes for a card's number, the script does."""
    digits = "".join(chr(ord(zero) + int(each)) for each in number)
    text = f"to {between.join(digits[at : at + 4] for at in range(0, len(digits), 4))}, please"

    assert script.ask("mayHoldCard", text) or not holds_card(text)
    assert script.ask("mayHoldCard", text) or not (13 <= len(number) <= 19 and luhn_holds(number))


@PATIENT
@given(
    number=st.sampled_from(OWN),
    signs=st.lists(st.sampled_from(SIGNS), min_size=20, max_size=20),
    before=st.text("0123456789 ", max_size=6),
    zero=st.sampled_from("0\N{FULLWIDTH DIGIT ZERO}\N{ARABIC-INDIC DIGIT ZERO}"),
)
def test_a_browser_keeps_no_number_of_the_forms_own_card(
    script: Script, number: str, signs: list[str], before: str, zero: str
) -> None:
    """Whatever stands between its digits, and of any length."""
    digits = "".join(chr(ord(zero) + int(each)) for each in number)
    text = before + "".join(map("".join, zip(digits, signs, strict=False)))

    assert script.ask("mayHoldCard", text, number) is True
    assert "x" in text or len(number) < 13 or script.ask("mayHoldCard", text) is True


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # A digit is wrong.
        "9792 0303 9444 0796",  # Of no scheme that the server knows.
        "2026 4111 1111 1111 1111",
        "41111111111111112026",
        "4111111111111111, 12/30",
        "%B4111111111111111^A/B^3012",
        ";675964982643=3012",
        "B675964982643^A/B^3012",
    ],
)
def test_a_browser_keeps_nothing_that_is_like_a_card(script: Script, text: str) -> None:
    """More than the server refuses: what is left out is typed again."""
    assert script.ask("mayHoldCard", text) is True


@pytest.mark.parametrize(
    "text",
    [
        "\u2779\u2777" * 8,
        "4242424242424242\xb2",
        "4242\N{TRADE MARK SIGN}4242\N{TRADE MARK SIGN}4242\N{TRADE MARK SIGN}4242",
        "4\u200b\u200b\u200b\u200b2" * 8,
        "(4242) (4242) (4242) (4242)",
        "4242 / 4242 / 4242 / 4242",
    ],
)
def test_a_browser_keeps_no_ornament_that_the_server_would_refuse(
    script: Script, text: str
) -> None:
    """Signs that become letters, digits that become none, and more marks than signs."""
    assert holds_card_number(text)
    assert script.ask("mayHoldCard", text) is True


@PATIENT
@given(
    number=numbers(),
    between=st.sampled_from(["", " ", "-", " - ", ".", "/", "_"]),
    at=st.sampled_from(["{}", "to {}, please", "{}@x.example"]),
)
@example(number="4242424242424242", between="", at="{}@x.example")
@example(number="4242424242424241", between="", at="{}@x.example")
def test_a_browser_tells_a_card_in_a_name_as_the_server_does(
    script: Script, number: str, between: str, at: str
) -> None:
    """With blanks and dashes; of other signs it leaves some to the server."""
    text = at.format(between.join(number[at : at + 4] for at in range(0, len(number), 4)))

    is_seen = script.ask("holdsCard", text)

    assert holds_card_number(text) or not is_seen
    if not between.strip(" -"):
        assert is_seen is holds_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "2 mugs, 28.11.",
        "INV-2026-0001",
        "+1 (217) 555-0123",
        "2026-11-28 17:21",
        "2026-11-28 17:21, table 4",
        "2026-11-28 17:30 to 18:45",
        "call +44 20 7946 0958",
        "conf 2817 5216 3711",
        "632707000001",
        "RRN 632707000001, 632708000001",
        "1,234.56 USD + 12.50 USD",
    ],
)
def test_a_browser_keeps_ordinary_texts(script: Script, text: str) -> None:
    """What was typed for nothing is typed again."""
    assert script.ask("mayHoldCard", text) is False
    assert script.ask("mayHoldCard", text, "4242424242424242") is False


@PATIENT
@given(number=numbers() | st.text("0123456789 -x" + WIDE + DASHES + BLANKS, max_size=22))
@example(number="4242\u20114242\u20114242\u20114242")
@example(number="4242\N{EM DASH}4242\N{NARROW NO-BREAK SPACE}4242\N{FULLWIDTH HYPHEN-MINUS}4242")
@example(number="4111111111111111")
@example(number="411111111111116")  # Fifteen digits of a Visa, and the check digit fits.
@example(number="")
def test_a_number_is_right_or_wrong_as_the_server_says(script: Script, number: str) -> None:
    """Its digits, their count by scheme, and the check digit."""
    assert script.ask("faultOfNumber", number) == fault_of_number(number_in(number))


@pytest.mark.parametrize("between", [*DASHES, *BLANKS, "-", " ", "\N{FULLWIDTH HYPHEN-MINUS}"])
def test_a_number_may_have_any_dash_or_blank_between_its_groups(
    script: Script, between: str
) -> None:
    """Also one that keeps a line together."""
    text = between.join(OWN[0][at : at + 4] for at in range(0, 16, 4))

    assert script.ask("faultOfNumber", text) == fault_of_number(number_in(text)) == ""


def test_digits_of_any_width_are_digits_and_others_are_refused(script: Script) -> None:
    """Wide ones are read as what they are; of another script, the field says that it is wrong."""
    wide, arabic = (
        "".join(chr(ord(zero) + int(each)) for each in OWN[0]) for zero in "\uff10\u0660"
    )

    assert script.ask("digitsOf", wide) == OWN[0]
    assert script.ask("faultOfNumber", wide) == fault_of_number(number_in(wide)) == ""
    assert script.ask("faultOfNumber", arabic) == fault_of_number(number_in(arabic)) != ""
    assert [script.ask("isGrouped", each) for each in (wide, arabic)] == [True, False]


@PATIENT
@given(
    text=st.from_regex(r"\A[0-9]{1,2} ?[/.-]? ?[0-9]{2,4}\Z")
    | st.text("0123456789/. -" + WIDE + DASHES + BLANKS, max_size=8)
)
@example(text="１２/３０")
@example(text="１２／３０")
@example(text="12\u201130")
@example(text="١٢/٣٠")
@example(text="10/26")
@example(text="11/26")
@example(text="1/2030")
@example(text="1220")
@example(text="13/30")
@example(text="12/52")
@example(text=" ")
def test_an_expiry_date_is_right_or_wrong_as_the_server_says(script: Script, text: str) -> None:
    """Its form, its month, and whether it has passed or is too far away."""
    read = read_expiry(text, TODAY)

    said = script.ask("faultOfExpiry", text, TODAY.date().isoformat())

    assert said == (read if isinstance(read, str) else "")


@pytest.mark.parametrize("day", ["2026-12-01", "2026-12-02", "2027-01-01"])
def test_a_card_is_good_until_its_last_day_has_passed_everywhere(script: Script, day: str) -> None:
    """Also on the last shore of Earth."""
    read = read_expiry("11/26", datetime.fromisoformat(day).replace(tzinfo=UTC))

    assert script.ask("faultOfExpiry", "11/26", day) == (read if isinstance(read, str) else "")


@PATIENT
@given(
    code=st.text("0123456789x " + WIDE, max_size=5),
    number=st.sampled_from(["4111", "3782", "３７８２", "37\u201182", "34", ""]),
)
@example(code="９２７", number="4111")
@example(code="９２７１", number="３７８２")
@example(code="٩٢٧", number="4111")
def test_a_security_code_is_right_or_wrong_as_the_server_says(
    script: Script, code: str, number: str
) -> None:
    """Three digits, of an American Express four."""
    said = fault_of_code(code_in(code), number_in(number))

    assert script.ask("faultOfCode", code, number) == said


def test_a_date_and_a_code_in_wide_digits_are_read(script: Script) -> None:
    """As plain digits; those of another script are refused."""
    assert read_expiry("１２/３０", TODAY) == (12, 2030)
    assert script.ask("faultOfExpiry", "１２/３０", TODAY.date().isoformat()) == ""
    assert code_in(" ９２７ ") == "927"
    assert fault_of_code(code_in("٩٢٧"), OWN[0])
    assert isinstance(read_expiry("١٢/٣٠", TODAY), str)


def test_what_is_too_long_for_a_card_is_not_made_longer() -> None:
    """One sign may stand for eighteen."""
    text = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 65

    assert code_in(text) == number_in(text) == text
    assert read_expiry(text, TODAY) == "Enter the date as on the card, like 12/30."
