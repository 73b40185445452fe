"""
The business messages to an acquirer, field by field.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from counterfoil.cards import Card
from counterfoil.money import currency
from counterfoil.network import requests
from counterfoil.network.dialect import load_dialect
from counterfoil.network.message import Fields
from counterfoil.network.requests import Original, Station, Trace, name_and_place
from counterfoil.network.tlv import decode_tlv
from hypothesis import given
from hypothesis import strategies as st

DIALECT = load_dialect()
STATION = Station(
    acquirer="first-bank",
    institution_id="123456",
    forwarding_id="987654",
    terminal_id="TERM0001",
    card_acceptor_id="SHOP1",
    name_and_place=name_and_place("The Book Shop", "Springfield", "IL", "US"),
    category_code="5942",
)
CARD = Card("4111111111111111", 3, 2031, "927")
SOLD_AT = datetime(2026, 11, 23, 6, 30, 15, tzinfo=UTC)
SOLD = Trace(123, SOLD_AT, "1123003015", "632706000123")
ORIGINAL = Original("0200", 123, SOLD_AT)
LATER = Trace(124, SOLD_AT + timedelta(seconds=25), "1123003015", "632706000123")
COMMON = {"amount_minor": 4200, "currency": currency("USD"), "batch_number": 7}

# 0200/0100 + STAN 000123 + DE 7 1123063015 + DE 32 and DE 33, zero-filled to eleven.
DE_90 = "0200" + "000123" + "1123063015" + "00000123456" + "00000987654"

SAME_EVERYWHERE: Fields = {
    2: "4111111111111111",
    3: "000000",
    4: "000000004200",
    12: "003015",
    13: "1123",
    32: "123456",
    33: "987654",
    37: "632706000123",
    41: "TERM0001",
    42: "SHOP1          ",
    49: "840",
    60: "000007",
}
MERCHANT: Fields = {
    18: "5942",
    22: "010",
    25: "59",
    43: "The Book Shop          Springfield  ILUS",
}


def sale(card: Card = CARD, **changes: str | None) -> Fields:
    private = {"order": "1001", "postal_code": "62704", "street": "10 Main", **changes}
    return requests.request(STATION, SOLD, card, **COMMON, **private)


def test_a_sale_says_everything_that_a_sale_must() -> None:
    """0200 and 0100, protocols 1.5: the golden fields."""
    assert sale() == SAME_EVERYWHERE | MERCHANT | {
        7: "1123063015",
        11: "000123",
        14: "3103",
        48: "0203927" + "03011" + "080562704" + "090710 Main" + "11041001",
    }


def test_a_verification_asks_for_nothing() -> None:
    """0100, processing code 33, amount zero, condition 51."""
    fields = requests.verification(
        STATION, SOLD, CARD, currency=COMMON["currency"], batch_number=7,
        order="1001", postal_code="62704", street="10 Main",
    )  # fmt: skip

    assert fields == sale() | {3: "330000", 4: "000000000000", 25: "51"}


def test_a_forced_capture_carries_the_voice_code_and_no_original() -> None:
    """0220 without DE 90, with DE 38 and DE 14; the security code is not sent."""
    fields = requests.forced(STATION, SOLD, CARD, **COMMON, order="1001", approval_code="H7K2")

    assert fields == SAME_EVERYWHERE | MERCHANT | {
        7: "1123063015",
        11: "000123",
        14: "3103",
        38: "H7K2  ",
        48: "11041001",
    }


def test_a_credit_says_refund_and_names_no_original() -> None:
    """0200 with processing code 20."""
    fields = requests.credit(STATION, SOLD, CARD, **COMMON, order=None)

    assert fields == SAME_EVERYWHERE | MERCHANT | {
        3: "200000",
        7: "1123063015",
        11: "000123",
        14: "3103",
    }


def test_the_card_holders_details_are_sent_only_when_they_were_given() -> None:
    """Field 48 says whether there was a security code, and nothing that there was not."""
    card = Card("4111111111111111", 3, 2031)

    fields = sale(card, order=None, postal_code=None, street=None)

    assert decode_tlv(str(fields[48])) == {"03": "0"}


def test_a_reversal_names_its_original_and_its_reason() -> None:
    """0420: own STAN and time, the original's RRN, DE 39 why, DE 90 what."""
    fields = requests.reversal(
        STATION, LATER, ORIGINAL, CARD.number, **COMMON, reason="68", approval_code=None
    )

    assert fields == SAME_EVERYWHERE | {7: "1123063040", 11: "000124", 39: "68", 90: DE_90}


def test_a_reversal_of_an_approval_carries_the_approval_code() -> None:
    """DE 38, if it is known."""
    fields = requests.reversal(
        STATION, LATER, ORIGINAL, CARD.number, **COMMON, reason="17", approval_code="A1B2C3"
    )

    assert (fields[38], fields[39]) == ("A1B2C3", "17")


def test_a_capture_names_the_authorization() -> None:
    """0220 about an 0100: whole amount, merchant fields, DE 90."""
    original = Original("0100", 123, SOLD_AT)

    fields = requests.capture(
        STATION, LATER, original, CARD.number, **COMMON, approval_code="A1B2C3"
    )

    assert fields == SAME_EVERYWHERE | MERCHANT | {
        7: "1123063040",
        11: "000124",
        38: "A1B2C3",
        90: "0100" + DE_90[4:],
    }


def test_a_refund_is_a_credit_under_a_reference_of_its_own() -> None:
    """0220 with processing code 20, a new RRN, and DE 90 about the sale."""
    trace = Trace(200, SOLD_AT + timedelta(days=1), "1123003015", "632806000200")

    fields = requests.refund(STATION, trace, ORIGINAL, CARD.number, **COMMON)

    assert fields == SAME_EVERYWHERE | MERCHANT | {
        3: "200000",
        7: "1124063015",
        11: "000200",
        37: "632806000200",
        90: DE_90,
    }


@pytest.mark.parametrize("message", ["reversal", "capture", "refund"])
def test_the_security_code_is_never_sent_again(message: str) -> None:
    """Protocols 1.4: tag 02 is in no 0220 and no 0420, because we do not have it any more."""
    more = {"reversal": {"reason": "17", "approval_code": None}, "capture": {"approval_code": None}}

    fields = getattr(requests, message)(
        STATION, LATER, ORIGINAL, CARD.number, **COMMON, **more.get(message, {})
    )

    assert 48 not in fields
    assert 14 not in fields


@given(
    st.integers(1, 999_999_999_999),
    st.integers(1, 999_999),
    st.integers(1, 999_999),
    st.text([chr(code) for code in range(0x20, 0x7F)], min_size=1, max_size=64),
    st.from_regex(r"[0-9]{12,19}", fullmatch=True),
)
def test_every_sale_that_can_be_asked_for_can_be_sent(
    amount: int, stan: int, batch: int, order: str, number: str
) -> None:
    """The dialect's own table takes it and gives the same fields back."""
    fields = requests.request(
        STATION,
        Trace(stan, SOLD_AT, "1123003015", requests.retrieval_reference(stan, SOLD_AT)),
        Card(number, 12, 2031, "927"),
        amount_minor=amount,
        currency=currency("USD"),
        batch_number=batch,
        order=order,
        postal_code="9" * 10,
        street="x" * 40,
    )

    wire = DIALECT.codec.encode("0200", fields)

    assert DIALECT.codec.decode(wire).fields == fields


@pytest.mark.parametrize(
    ("at", "stan", "reference"),
    [
        (datetime(2026, 11, 23, 6, 30, tzinfo=UTC), 123, "632706000123"),
        (datetime(2030, 1, 1, 0, 0, tzinfo=UTC), 999_999, "000100999999"),
        (datetime(2028, 12, 31, 23, 59, tzinfo=UTC), 1, "836623000001"),
        (
            datetime(2026, 11, 23, 22, 0, tzinfo=timezone(timedelta(hours=-6))),
            5,
            "632804000005",
        ),
    ],
)
def test_a_retrieval_reference_is_year_day_hour_and_stan(
    at: datetime, stan: int, reference: str
) -> None:
    """Y DDD HH in UTC, leap years too (protocols 1.3)."""
    assert requests.retrieval_reference(stan, at) == reference


def test_times_on_the_wire_are_utc_wherever_they_were_taken() -> None:
    """DE 7 and DE 90 agree for ever, whatever zone a datetime came in."""
    here = SOLD_AT.astimezone(timezone(timedelta(hours=-6)))

    assert Trace(1, here, "", "").transmission_text == "1123063015"
    assert Original("0200", 123, here).data_elements(STATION) == DE_90


@given(st.datetimes(timezones=st.timezones()))
def test_month_to_second_is_what_strftime_writes(moment: datetime) -> None:
    """In the zone of the moment itself: DE 12 and 13 are the merchant's."""
    assert requests.month_to_second(moment) == moment.strftime("%m%d%H%M%S")


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_day_has_its_number_in_a_retrieval_reference(at: datetime) -> None:
    """As %j counts, also at the end of a leap year."""
    assert requests.retrieval_reference(7, at)[:6] == f"{at.year % 10}{at.strftime('%j%H')}"


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        (("The Book Shop", "Springfield", "IL", "US"), MERCHANT[43]),
        (
            ("A name that is longer than 23 characters", "Llanfairpwllgwyngyll", "WLS", "GBR"),
            "A name that is longer tLlanfairpwllgWLGB",
        ),
        (("Bücher & Cie", "Zürich", "", "CH"), "B?cher & Cie           Z?rich         CH"),
    ],
)
def test_name_and_place_fill_field_43(parts: tuple[str, str, str, str], field: str) -> None:
    """23 + 13 + 2 + 2 characters, cut or filled, and ASCII whatever the shop is called."""
    assert name_and_place(*parts) == field
    assert len(field) == 40
