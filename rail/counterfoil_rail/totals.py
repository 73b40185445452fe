"""
The totals of a batch as a close compares them: DE 74-77, 81 and 86-89, and their net.

GW87 counts gross: a void, whole or in part, is a reversal beside its debit. Two sides
agree when what is left of debits and of credits agrees, by number and by amount: a sale
that timed out is a debit and its reversal to the host and nothing at all to a gateway
that never heard of its approval.
"""

from typing import NamedTuple

from counterfoil_rail.dialects import Fields
from counterfoil_rail.records import Batch, EntryKind

_NO_FEES = dict.fromkeys(("82", "83", "84", "85"), "000000000000")


class Totals(NamedTuple):
    """
    The numbers and amounts of one side, in the order of their fields.
    """

    credits_number: int
    credits_reversal_number: int
    debits_number: int
    debits_reversal_number: int
    authorizations_number: int
    credits_minor: int
    credits_reversal_minor: int
    debits_minor: int
    debits_reversal_minor: int

    @classmethod
    def of_request(cls, fields: Fields) -> "Totals":
        """
        Read what the gateway has counted.
        """
        return cls(*(int(fields[number]) for number in _DIGITS))

    @classmethod
    def of_batch(cls, batch: Batch) -> "Totals":
        """
        Return what the host has counted.
        """
        return cls(*(getattr(batch, total) for total in cls._fields))

    @property
    def standing(self) -> tuple[int, int, int, int]:
        """
        What is left of debits and of credits: number and amount of each.
        """
        return (
            self.debits_number - self.debits_reversal_number,
            self.debits_minor - self.debits_reversal_minor,
            self.credits_number - self.credits_reversal_number,
            self.credits_minor - self.credits_reversal_minor,
        )

    @property
    def net_minor(self) -> int:
        """
        What the host owes the merchant; negative when it is the other way round.
        """
        _, debits_minor, _, credits_minor = self.standing
        return debits_minor - credits_minor

    def without(
        self, kind: EntryKind, gross_minor: int, reversals: int, reversed_minor: int
    ) -> "Totals":
        """
        Return the totals as if one debit or credit and its reversals had never been.
        """
        less = {
            f"{kind}s_number": 1,
            f"{kind}s_minor": gross_minor,
            f"{kind}s_reversal_number": reversals,
            f"{kind}s_reversal_minor": reversed_minor,
        }
        return self._replace(**{name: getattr(self, name) - less[name] for name in less})

    def fields(self) -> Fields:
        """
        Write DE 74-77, 81-89 and 97.
        """
        counted = {
            number: f"{value:0{digits}d}"
            for (number, digits), value in zip(_DIGITS.items(), self, strict=True)
        }
        sign = "C" if self.net_minor >= 0 else "D"
        return {**counted, **_NO_FEES, "97": f"{sign}{abs(self.net_minor):016d}"}


_DIGITS = {
    **dict.fromkeys(("74", "75", "76", "77", "81"), 10),
    **dict.fromkeys(("86", "87", "88", "89"), 16),
}


def net_agrees(fields: Fields) -> bool:
    """
    Tell whether DE 97 is what the amounts beside it come to: C when the host owes.
    """
    net_minor = int(fields["97"][1:]) * (1 if fields["97"][0] == "C" else -1)
    return net_minor == Totals.of_request(fields).net_minor
