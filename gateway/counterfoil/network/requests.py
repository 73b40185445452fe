"""
The business messages to an acquirer, as fields: what a sale, a reversal, a capture says.

Values that are the same in every message of one terminal stand in `Station`. Which
field is mandatory where: the dialect's own table; here is only what goes into it.
"""

import functools
from datetime import UTC, date, datetime

import msgspec

from counterfoil.cards import Card
from counterfoil.money import Currency
from counterfoil.network.message import Fields
from counterfoil.network.tlv import encode_tlv

ENTRY_KEYED_E_COMMERCE = "010"  # DE 22: keyed, PIN capability unknown.
CONDITION_E_COMMERCE = "59"  # DE 25.
CONDITION_VERIFICATION = "51"  # DE 25: is the account there? Nothing is asked of it.
PURCHASE = "000000"  # DE 3: purchase, default accounts.
REFUND = "200000"  # DE 3: refund, default accounts.
VERIFICATION = "330000"  # DE 3: account verification, amount zero.
APPROVAL_CODE_LENGTH = 6  # DE 38.
REASON_VOID = "17"  # DE 39 in 0420: void, or the merchant refused the approval.
REASON_BAD_ANSWER = "22"
REASON_PARTIAL = "32"  # A part is taken back: DE 95 says what remains.
REASON_TIMEOUT = "68"

TAG_CVV = "02"
TAG_CVV_PRESENCE = "03"
TAG_POSTAL_CODE = "08"
TAG_STREET = "09"
TAG_ORDER = "11"
TAG_NETWORK_TRANSACTION_ID = "20"
TAG_ADVICE = "21"

_TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))


class Station(msgspec.Struct, frozen=True):
    """
    Where a payment is made, as the acquirer knows it: the fields that never change.
    """

    acquirer: str
    institution_id: str
    forwarding_id: str
    terminal_id: str
    card_acceptor_id: str
    name_and_place: str
    category_code: str


class Trace(msgspec.Struct, frozen=True):
    """
    What names one message: STAN, transmission time (UTC), local time (MMDDhhmmss), RRN.
    """

    stan: int
    transmitted_at: datetime
    local_time: str
    rrn: str

    @property
    def stan_text(self) -> str:
        """
        DE 11.
        """
        return f"{self.stan:06d}"

    @property
    def transmission_text(self) -> str:
        """
        DE 7: MMDDhhmmss in UTC.
        """
        return month_to_second(self.transmitted_at.astimezone(UTC))


class Original(msgspec.Struct, frozen=True):
    """
    The message that a reversal, capture or refund is about (DE 90).
    """

    mti: str
    stan: int
    transmitted_at: datetime

    def data_elements(self, station: Station) -> str:
        """
        Return DE 90: MTI, STAN, DE 7, and DE 32 and 33 zero-filled to eleven digits.
        """
        when = month_to_second(self.transmitted_at.astimezone(UTC))
        return (
            f"{self.mti}{self.stan:06d}{when}"
            f"{station.institution_id.zfill(11)}{station.forwarding_id.zfill(11)}"
        )


def retrieval_reference(stan: int, at: datetime) -> str:
    """
    Return an RRN: last digit of the year, day of the year, hour (all UTC), STAN.
    """
    at = at.astimezone(UTC)
    return f"{_year_and_day(at.year, at.toordinal())}{_TWO_DIGITS[at.hour]}{stan:06d}"


@functools.lru_cache(maxsize=8)
def _year_and_day(year: int, ordinal: int) -> str:
    return f"{year % 10}{ordinal - date(year, 1, 1).toordinal() + 1:03d}"


def month_to_second(moment: datetime) -> str:
    """
    Return MMDDhhmmss of *moment* in its own zone: strftime("%m%d%H%M%S"), at a tenth of its price.
    """
    two = _TWO_DIGITS
    date_text = two[moment.month] + two[moment.day]
    return date_text + two[moment.hour] + two[moment.minute] + two[moment.second]


def request(
    station: Station,
    trace: Trace,
    card: Card,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    order: str | None,
    postal_code: str | None,
    street: str | None,
) -> Fields:
    """
    Return the fields of a 0100 or 0200.
    """
    fields = _base(station, trace, card.number, amount_minor, currency, batch_number, PURCHASE)
    fields |= _merchant(station)
    fields[14] = _expiry(card)
    private = {
        TAG_CVV: card.cvv,
        TAG_CVV_PRESENCE: "1" if card.cvv else "0",
        TAG_POSTAL_CODE: postal_code,
        TAG_STREET: street,
        TAG_ORDER: order,
    }
    fields[48] = encode_tlv({tag: value for tag, value in private.items() if value})
    return fields


def verification(
    station: Station,
    trace: Trace,
    card: Card,
    *,
    currency: Currency,
    batch_number: int,
    order: str | None,
    postal_code: str | None,
    street: str | None,
) -> Fields:
    """
    Return the fields of a 0100 of amount zero, which asks about a card and holds nothing.
    """
    fields = request(
        station,
        trace,
        card,
        amount_minor=0,
        currency=currency,
        batch_number=batch_number,
        order=order,
        postal_code=postal_code,
        street=street,
    )
    return fields | {3: VERIFICATION, 25: CONDITION_VERIFICATION}


def forced(
    station: Station,
    trace: Trace,
    card: Card,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    order: str | None,
    approval_code: str,
) -> Fields:
    """
    Return the fields of a 0220 without an original: the issuer said yes by voice (DE 38).

    The security code is not sent: it proves nothing any more (protocols 1.4).
    """
    fields = _base(station, trace, card.number, amount_minor, currency, batch_number, PURCHASE)
    fields |= _merchant(station)
    fields[14] = _expiry(card)
    fields[38] = approval_code.ljust(APPROVAL_CODE_LENGTH)
    if order:
        fields[48] = encode_tlv({TAG_ORDER: order})
    return fields


def credit(
    station: Station,
    trace: Trace,
    card: Card,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    order: str | None,
) -> Fields:
    """
    Return the fields of a 0200 that gives money which was never taken here: no original.
    """
    fields = _base(station, trace, card.number, amount_minor, currency, batch_number, REFUND)
    fields |= _merchant(station)
    fields[14] = _expiry(card)
    if order:
        fields[48] = encode_tlv({TAG_ORDER: order})
    return fields


def reversal(
    station: Station,
    trace: Trace,
    original: Original,
    number: str,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    reason: str,
    approval_code: str | None,
    processing_code: str = PURCHASE,
    remaining_minor: int | None = None,
) -> Fields:
    """
    Return the fields of a 0420; the trace carries the original's RRN, DE 3 is the original's.

    `amount_minor` is the original's; `remaining_minor` what remains of it, None or 0: nothing.
    """
    fields = _base(station, trace, number, amount_minor, currency, batch_number, processing_code)
    fields[39] = reason
    fields[90] = original.data_elements(station)
    if remaining_minor:
        fields[95] = f"{remaining_minor:012d}{0:030d}"
    if approval_code:
        fields[38] = approval_code
    return fields


def capture(
    station: Station,
    trace: Trace,
    original: Original,
    number: str,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    approval_code: str | None,
) -> Fields:
    """
    Return the fields of a 0220 that takes what a 0100 holds.
    """
    fields = _base(station, trace, number, amount_minor, currency, batch_number, PURCHASE)
    fields |= _merchant(station)
    fields[90] = original.data_elements(station)
    if approval_code:
        fields[38] = approval_code
    return fields


def refund(
    station: Station,
    trace: Trace,
    original: Original,
    number: str,
    *,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
) -> Fields:
    """
    Return the fields of a 0220 that gives captured money back.
    """
    fields = _base(station, trace, number, amount_minor, currency, batch_number, REFUND)
    fields |= _merchant(station)
    fields[90] = original.data_elements(station)
    return fields


def _base(
    station: Station,
    trace: Trace,
    number: str,
    amount_minor: int,
    currency: Currency,
    batch_number: int,
    processing_code: str,
) -> Fields:
    return {
        2: number,
        3: processing_code,
        4: f"{amount_minor:012d}",
        7: trace.transmission_text,
        11: trace.stan_text,
        12: trace.local_time[4:],
        13: trace.local_time[:4],
        32: station.institution_id,
        33: station.forwarding_id,
        37: trace.rrn,
        41: station.terminal_id,
        42: station.card_acceptor_id.ljust(15),
        49: currency.number,
        60: f"{batch_number:06d}",
    }


def _expiry(card: Card) -> str:
    """
    Return DE 14: YYMM.
    """
    return f"{card.expiry_year % 100:02d}{card.expiry_month:02d}"


def _merchant(station: Station) -> Fields:
    return {
        18: station.category_code,
        22: ENTRY_KEYED_E_COMMERCE,
        25: CONDITION_E_COMMERCE,
        43: station.name_and_place,
    }


def name_and_place(name: str, city: str, region: str, country: str) -> str:
    """
    Return DE 43: name 23, city 13, region 2, country 2; anything outside ASCII becomes `?`.
    """
    text = f"{name[:23]:23}{city[:13]:13}{region[:2]:2}{country[:2]:2}"
    return text.encode("ascii", "replace").decode("ascii")
