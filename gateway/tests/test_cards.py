"""
Card numbers: check digit, scheme, expiry, and what may be seen of them.
"""

import io
import pprint
import random
import re
import traceback
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog
from counterfoil.cards import (
    Card,
    brand,
    expired,
    holds_card_number,
    luhn_holds,
    masked,
    says_number,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

NUMBERS = st.from_regex(r"[0-9]{11,18}", fullmatch=True)


def with_check_digit(digits: str) -> str:
    """Return *digits* and the one digit that makes them a card number."""
    return next(digits + last for last in "0123456789" if luhn_holds(digits + last))


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4242424242424242",
        "5555555555554444",
        "378282246310005",
        "6011111111111117",
        "30569309025904",
        "3530111333300000",
        "6759649826438453",
    ],
)
def test_published_test_cards_have_the_right_check_digit(number: str) -> None:
    """ISO/IEC 7812-1, annex B, for 14, 15 and 16 digits."""
    assert luhn_holds(number)


@given(NUMBERS, st.data())
def test_one_wrong_digit_is_found(digits: str, data: st.DataObject) -> None:
    """The check digit finds every single mistyped digit."""
    number = with_check_digit(digits)
    place = data.draw(st.integers(0, len(number) - 1))
    wrong = data.draw(st.sampled_from([each for each in "0123456789" if each != number[place]]))

    assert not luhn_holds(number[:place] + wrong + number[place + 1 :])


@given(NUMBERS)
def test_exactly_one_check_digit_fits(digits: str) -> None:
    """One in ten, so that nine in ten typing mistakes never reach an acquirer."""
    assert sum(luhn_holds(digits + last) for last in "0123456789") == 1


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("4111111111111111", "visa"),
        ("5555555555554444", "mastercard"),
        ("2221000000000009", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("2720999999999999", "mastercard"),
        ("2721000000000004", "other"),
        ("2220999999999999", "other"),
        ("378282246310005", "amex"),
        ("341111111111111", "amex"),
        ("6011111111111117", "discover"),
        ("6500000000000002", "discover"),
        ("6440000000000000", "discover"),
        ("3530111333300000", "jcb"),
        ("30569309025904", "diners"),
        ("6200000000000005", "unionpay"),
        ("5018000000000000", "maestro"),
        ("9999999999999999", "other"),
        ("", "other"),
    ],
)
def test_the_scheme_is_read_from_the_first_digits(number: str, name: str) -> None:
    """Both ends of every range, and what lies between them."""
    assert brand(number) == name


@given(st.text("0123456789", max_size=24))
def test_a_mask_shows_the_last_four_and_nothing_else(number: str) -> None:
    """Its length stays, so that people recognise what was masked."""
    shown = masked(number)

    assert len(shown) == len(number)
    assert shown[-4:] == number[-4:]
    assert set(shown[:-4]) <= {"*"}


@given(NUMBERS, st.from_regex(r"[0-9]{3,4}", fullmatch=True))
def test_no_representation_shows_a_card(digits: str, cvv: str) -> None:
    """repr, str, format, pprint, rich, tracebacks and structlog: brand and last four at most."""
    card = Card(with_check_digit(digits), 12, 2031, cvv)
    page = io.StringIO()
    Console(file=page, width=300).print(card, {"card": card})
    try:
        raise ValueError(card)
    except ValueError:
        trace = traceback.format_exc()
    logged = structlog.processors.JSONRenderer()(None, "info", {"card": card})
    seen = [repr(card), str(card), f"{card}", pprint.pformat([card]), page.getvalue(), trace]

    for text in [*seen, str(logged)]:
        assert card.number[:-4] not in text
        assert "2031" not in text
    assert repr(card) == f"Card({brand(card.number)} {card.number[-4:]})"


def test_a_card_knows_what_may_be_kept_of_it() -> None:
    """BIN and last four; a card cannot be changed."""
    card = Card("4111111111111111", 12, 2031)

    assert (card.bin, card.last_four) == ("411111", "1111")
    with pytest.raises(AttributeError):
        card.number = "4242424242424242"  # type: ignore[misc]
    assert msgspec.structs.replace(card, cvv="123").cvv == "123"


@pytest.mark.parametrize(
    ("now", "gone"),
    [
        (datetime(2030, 12, 31, 23, 59, tzinfo=UTC), False),
        (datetime(2031, 1, 1, 11, 59, tzinfo=UTC), False),
        (datetime(2031, 1, 2, 0, 0, tzinfo=UTC), True),
    ],
)
def test_a_card_expires_when_its_last_month_is_over_everywhere(now: datetime, gone: bool) -> None:
    """On Baker Island it is still the 31st when London has had the 1st for twelve hours."""
    assert expired(12, 2030, now) is gone


def test_february_ends_when_it_ends() -> None:
    """Leap years too."""
    assert not expired(2, 2028, datetime(2028, 3, 1, 6, 0, tzinfo=UTC))
    assert expired(2, 2027, datetime(2027, 3, 2, 6, 0, tzinfo=UTC))


BLANKS = ("", " ", "-", "\N{NO-BREAK SPACE}", "\N{EN DASH}", "\N{FULLWIDTH HYPHEN-MINUS}", " - ")
SIGNS = (*"./_,:;|+*~#=&'\"", "\N{BULLET}", ")(")
SPACED = (" / ", " | ", " . ", " + ", "/ ", ") (")
ZEROS = (
    "0",
    "\N{FULLWIDTH DIGIT ZERO}",
    "\N{ARABIC-INDIC DIGIT ZERO}",
    "\N{DEVANAGARI DIGIT ZERO}",
    "\N{MATHEMATICAL BOLD DIGIT ZERO}",
)
WHOLE_CARDS = ("4242424242424242", "5555555555554444", "378282246310005", "30569309025904")
AMEX, DINERS = WHOLE_CARDS[2:]


@given(
    number=st.sampled_from(WHOLE_CARDS),
    form=st.tuples(st.sampled_from([2, 4, 5, 6, 8]), st.sampled_from(BLANKS))
    | st.tuples(st.sampled_from([1, 2, 3, 4]), st.sampled_from(SIGNS))
    | st.tuples(st.just(4), st.sampled_from(SPACED)),
    zero=st.sampled_from(ZEROS),
)
def test_a_card_number_is_seen_however_it_is_written(
    number: str, form: tuple[int, str], zero: str
) -> None:
    """Any sign between its groups, digits of any script; what stands beside it does not hide it."""
    size, between = form
    digits = "".join(chr(ord(zero) + int(each)) for each in number)
    written = between.join(digits[at : at + size] for at in range(0, len(digits), size))

    for text in (written, f"charge {written} today", f"1001: {written} 12/30 918"):
        assert holds_card_number(text), text


@pytest.mark.parametrize("between", [*SIGNS, *SPACED])
@pytest.mark.parametrize(("number", "last"), [(AMEX, 15), (DINERS, 14)])
def test_the_groups_of_other_schemes_are_seen(number: str, last: int, between: str) -> None:
    """Four, six and the rest, as they stand on the card."""
    assert holds_card_number(between.join((number[:4], number[4:10], number[10:last])))


@pytest.mark.parametrize(
    "text",
    [
        "4\u03322\u03324\u03322\u03324\u03322\u03324\u03322\u03324\u03322\u03324\u03322\u03324\u03322\u03324\u03322",
        "4242\u200b4242\u200b4242\u200b4242",
        "4\u200b242.4242.4242.42\xad42",
        "4242 \u200b4242 4242\u200b 4242",
        "42424242_42424242",
        "4\ufe0f\u20e32\ufe0f\u20e3" * 8,
        "\u2463\u2461" * 8,  # Circled.
        "\u2779\u2777" * 8,  # Circled, white on black.
        "\u2477\u2475" * 8,  # In parentheses.
        "\u2074\xb2" * 8,  # Raised.
        "555555555555444\u2463",
        "378282246310\u2469\u24ea5".replace("\u2469\u24ea5", "00\u2464"),
        "?pan=4242424242424242",
    ],
)
def test_marks_and_ornament_do_not_hide_a_card_number(text: str) -> None:
    """Nor do signs that cannot be seen."""
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "beside",
    [
        "\xb2",
        "\xbd",
        "\u2460",
        "\u246b",  # Twelve in a circle.
        "\u0661\u0662",
        "\uff11\uff12",
        "\u200b918",
        "\xad12/30",
        "\u0332918",
        "\ufeff1230",
    ],
)
@pytest.mark.parametrize("number", ["4242424242424242", "4242.4242.4242.4242", "\u096a\u0968" * 8])
def test_digits_of_another_kind_beside_a_card_number_do_not_hide_it(
    number: str, beside: str
) -> None:
    """A note's sign or a fraction, before it or behind, and what follows a mark."""
    assert holds_card_number(f"{number}{beside}")
    assert holds_card_number(f"{beside[::-1]}{number}")


@pytest.mark.parametrize(
    "text",
    [
        "30.11.2026 10:11:12",  # Fourteen digits of a Diners Club number, one in ten fits.
        "4,242,424,242,424,242",
        "4242.42, 4242.42, 4242.42",
        "4242x4242x4242x4242",
        "4001, 4002, 4003, 4004",
        "4242, 4242, 4242, 4242",  # Nobody writes a card so, but a list.
        "4242; 4242; 4242; 4242",
        "42424242/42424242",  # As telephones, or parts of an address.
        "42424242, 42424242",
        "42424242 | 42424242",
        "4242/4242/42424242",
        "4242 4242 4242/4242",  # A confirmation number and last four.
        "4242 4242-4242.4242",
        "424242/424242/4242",
        "4242,4242,4242,4242,4242,4242",  # Six are no card and its date.
        "4242:4242:4242:4242:4242:4242:4242:4242",
        "42, 42, 42, 42, 42, 42, 42, 42",
        "4242.4242.4242.4241",  # No check digit.
        "9999.9999.9999.9995",  # No scheme.
    ],
)
def test_dates_amounts_and_lists_are_no_card_numbers(text: str) -> None:
    """Signs other than blanks and dashes have a meaning in them."""
    assert not holds_card_number(text)


@pytest.mark.parametrize(
    "text", ["4242/4242/4242/4242/1230", "1001.4242.4242.4242.4242", "4242.4242.4242.4242.12.30"]
)
def test_a_date_or_an_order_beside_a_card_number_makes_no_list(text: str) -> None:
    """With the same sign."""
    assert holds_card_number(text)


@pytest.mark.parametrize(
    "form",
    [
        "{4}/2026/{8}",
        "{4} {4} {4}/{4}",
        "{6},{6},{6}",
        "{6}/{6}/{4}",
        "https://hooks.example/catch/{8}/{8}/",
        "{4}, {4}, {4}, {4}",
        "{4},{4},{4},{4},{4},{4}",
        "{4}/{4}/{4}/{4}/{4}/{4}/{4}",
        "{4}:{4}:{4}:{4}:{4}:{4}:{4}:{4}",
        "{2},{2},{2},{2},{2},{2},{2},{2},{2},{2},{2},{2}",
        "{2}, {2}, {2}, {2}, {2}, {2}, {2}, {2}",
    ],
)
def test_no_reference_and_no_list_is_a_card_number(form: str) -> None:
    """Of each, one in thirty has the first digits of a scheme and a check digit that fits."""
    chosen = random.Random(form)
    texts = [
        re.sub(
            r"{(\d)}",
            lambda size: str(chosen.randrange(1, 10 ** int(size[1]))).zfill(int(size[1])),
            form,
        )
        for _ in range(3_000)
    ]

    assert not [text for text in texts if holds_card_number(text)]


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "4242, 4242, 4242, 4242",
        "card 4242 / 4242 / 4242 / 4242, please",
        "(4242)(4242)(4242)(4242)",
        "4242x4242x4242x4242",
        "\uff14\uff12\uff14\uff12, " * 4,
        "\u2463\u2461" * 8,
        "42\u200b42" * 4,
        "14242424242424242\xb2",
    ],
)
def test_a_number_that_is_known_is_seen_with_anything_between(text: str) -> None:
    """Letters too: of an order's own card there is no doubt."""
    assert says_number(text, "4242424242424242")
    assert not says_number(text, "5555555555554444")


@given(
    at=st.datetimes(),
    form=st.sampled_from(
        [
            "%Y-%m-%dT%H:%M:%S.%fZ",
            "%Y-%m-%d %H:%M:%S",
            "%d.%m.%Y %H:%M:%S",
            "%d/%m/%Y %H:%M:%S",
            "%m/%d/%Y, %H:%M:%S",
            "%Y/%m/%d_%H:%M:%S.%f",
            "%d.%m.%Y, %d/%m/%Y",
        ]
    ),
)
def test_no_date_is_a_card_number(at: datetime, form: str) -> None:
    """In the usual forms, with its time."""
    assert not holds_card_number(at.strftime(form))


@given(
    amounts=st.lists(st.integers(0, 999_999_999_999), min_size=1, max_size=5),
    form=st.sampled_from(["{:,.2f}", "{:.2f}", "{:_.2f}"]),
    between=st.sampled_from([", ", " / ", " + ", "/", "; ", " "]),
)
def test_no_amounts_are_a_card_number(amounts: list[int], form: str, between: str) -> None:
    """One, or several beside each other."""
    text = between.join(form.format(each / 100) for each in amounts)

    assert not holds_card_number(text), text


def test_hardly_an_ordinary_text_is_taken_for_one_with_a_card_number() -> None:
    """Orders, RRNs, telephones, dates and amounts beside each other."""
    chosen = random.Random(20261128)

    def words() -> str:
        digits = chosen.randrange
        at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=digits(10**9))
        return chosen.choice(
            [
                f"order {digits(10**4, 10**7)}",
                f"INV-{at.year}-{digits(10**4):04}/{digits(10**4):04}",
                f"RRN {at:%Y%j%H}{digits(10**6):06}".replace(f"{at:%Y}", f"{at:%Y}"[3:], 1),
                f"{at:%Y%j%H}{digits(10**6):06}/{digits(1000, 10_000)}"[3:],
                f"+{digits(1, 99)} {digits(100, 1000)}/{digits(10**6, 10**8)}",
                f"({digits(200, 1000)}) {digits(200, 1000)}-{digits(10**4):04}",
                f"{digits(200, 1000)}.{digits(200, 1000)}.{digits(10**4):04}",
                at.strftime("%d.%m.%Y %H:%M"),
                at.strftime("%Y-%m-%dT%H:%M:%S"),
                f"{digits(10**8) / 100:,.2f} USD",
                f"{digits(1, 9)} x {digits(10**5) / 100:.2f}",
                f"room {digits(100, 5000)}/{digits(100, 5000)}",
            ]
        )

    texts = [f"{words()}, {words()}; {words()}" for _ in range(10_000)]
    taken = [text for text in texts if holds_card_number(text)]

    assert len(taken) <= 5, taken
