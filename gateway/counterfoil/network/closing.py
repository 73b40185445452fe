"""
The messages that close a batch: totals (0500, 0520) and its items when they are uploaded (0320).

Totals are gross, as the dialect wants: a voided sale counts as a debit and as a
debit reversal. Field numbers and signs: ISO 8583:1987, reconciliation.
"""

import msgspec

from counterfoil.money import Currency
from counterfoil.network.message import Fields, FieldsView
from counterfoil.network.requests import Original, Station, Trace

APPROVED = "00"
IN_BALANCE = "1"  # DE 66.
OUT_OF_BALANCE_CODE = "95"
REFUND = "200000"
PURCHASE = "000000"


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """
    Counts and amounts (minor units) of one batch, as both sides compare them.
    """

    debits: int = 0
    debits_minor: int = 0
    debit_reversals: int = 0
    debit_reversals_minor: int = 0
    credits: int = 0
    credits_minor: int = 0
    credit_reversals: int = 0
    credit_reversals_minor: int = 0
    authorizations: int = 0

    @property
    def net_minor(self) -> int:
        """
        What the host owes the merchant; negative when the merchant owes the host.
        """
        return (self.debits_minor - self.debit_reversals_minor) - (
            self.credits_minor - self.credit_reversals_minor
        )

    @property
    def count(self) -> int:
        """
        How many items stand in the batch in the end.
        """
        return self.debits - self.debit_reversals + self.credits - self.credit_reversals


_COUNTS = {
    74: "credits",
    75: "credit_reversals",
    76: "debits",
    77: "debit_reversals",
    81: "authorizations",
}
_AMOUNTS = {
    86: "credits_minor",
    87: "credit_reversals_minor",
    88: "debits_minor",
    89: "debit_reversals_minor",
}
_FEES = (82, 83, 84, 85)  # Zero unless agreed.


def totals_request(
    station: Station, trace: Trace, totals: Totals, *, currency: Currency, batch_number: int
) -> Fields:
    """
    Return the fields of a 0500 or 0520.
    """
    fields: Fields = {
        7: trace.transmission_text,
        11: trace.stan_text,
        32: station.institution_id,
        33: station.forwarding_id,
        41: station.terminal_id,
        42: station.card_acceptor_id.ljust(15),
        50: currency.number,
        60: f"{batch_number:06d}",
    }
    for number, name in _COUNTS.items():
        fields[number] = f"{getattr(totals, name):010d}"
    for number in _FEES:
        fields[number] = "0" * 12
    for number, name in _AMOUNTS.items():
        fields[number] = f"{getattr(totals, name):016d}"
    sign = "C" if totals.net_minor >= 0 else "D"  # C: the host owes the merchant.
    fields[97] = f"{sign}{abs(totals.net_minor):016d}"
    return fields


def host_totals(fields: FieldsView) -> Totals | None:
    """
    Return the host's own totals from a 0510 or 0530; None when it did not send them all.
    """
    values: dict[str, int] = {}
    for number, name in (_COUNTS | _AMOUNTS).items():
        text = fields.get(number)
        if not isinstance(text, str) or not text.isdigit():
            return None
        values[name] = int(text)
    return Totals(**values)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """
    One item of a batch, as its upload needs it.
    """

    item_number: int
    kind: str
    amount_minor: int
    rrn: str
    local_time: str
    approval_code: str | None
    original: Original


def item_request(
    station: Station,
    trace: Trace,
    item: Item,
    number: str,
    *,
    currency: Currency,
    batch_number: int,
    last: int,
) -> Fields:
    """
    Return the fields of a 0320: item *item* of *last*.
    """
    fields: Fields = {
        2: number,
        3: REFUND if item.kind == "refund" else PURCHASE,
        4: f"{item.amount_minor:012d}",
        7: trace.transmission_text,
        11: trace.stan_text,
        12: item.local_time[4:],
        13: item.local_time[:4],
        32: station.institution_id,
        33: station.forwarding_id,
        37: item.rrn,
        38: item.approval_code or "000000",
        39: APPROVED,
        41: station.terminal_id,
        42: station.card_acceptor_id.ljust(15),
        49: currency.number,
        60: f"{batch_number:06d}",
        71: f"{item.item_number:04d}",
        72: f"{last:04d}",
        90: item.original.data_elements(station),
    }
    return fields
