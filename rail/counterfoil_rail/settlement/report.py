"""
The acquirer's settlement report: what it paid to one merchant for one day, line by line.

ASCII, LF, comma separated, no quoting; amounts in minor units. H, then for each deposit
its P lines (items), A lines (adjustments) and its D; T last, with counts and sums.
"""

from collections.abc import Iterator

from counterfoil_rail.settlement import queries
from counterfoil_rail.settlement.deposits import Run

RRN_NUMBERS = 10**12
CARD_MASK = "*" * 12
OTHER_MERCHANT = "OTHERMERCHANT01"


class Report:
    """
    One report: its name, and its content made from the books alone.
    """

    def __init__(self, merchant_id: str, day: str, acquirer_id: str, mistakes: str) -> None:
        self.merchant_id = merchant_id
        self.day = day
        self.copies = 2 if "report_twice" in mistakes.split() else 1
        self._acquirer_id = acquirer_id
        self._mistakes = mistakes.split()
        self._sums = Sums()

    def file_name(self, copy: int) -> str:
        """
        Return the name of a copy; copies are numbered from 1.
        """
        return f"{self.merchant_id}-{self.day.replace('-', '')}-{copy}.csv"

    def pieces(self, run: Run) -> Iterator[bytes]:
        """
        Yield the file's bytes, line by line.
        """
        if "report_truncated" in self._mistakes:
            whole = b"".join(line.encode("ascii") for line in self._lines(run))
            end = len(whole) * 2 // 3
            yield whole[: end - 1 if whole[end - 1 : end] == b"\n" else end]
            return
        for line in self._lines(run):
            yield line.encode("ascii")

    def _lines(self, run: Run) -> Iterator[str]:
        self._sums = sums = Sums()
        yield self._head()
        for deposit_id, reference, currency, *amounts in run(
            queries.DEPOSITS_OF_REPORT, (self.merchant_id, self.day)
        ).fetchall():
            yield from self._items(run, deposit_id, reference, currency)
            for kind, amount_minor, text in run(queries.ADJUSTMENTS_OF_DEPOSIT, (deposit_id,)):
                sums.records += 1
                yield f"A,{reference},{kind},{currency},{amount_minor},{text}\n"
            *_, net_minor, _, _ = amounts
            sums.records += 1
            sums.net_minor += net_minor
            yield f"D,{reference},{currency},{','.join(map(str, amounts))}\n"
        yield sums.trailer(is_bad="report_bad_trailer" in self._mistakes)

    def _head(self) -> str:
        is_other = "report_other_merchant" in self._mistakes
        merchant_id = OTHER_MERCHANT if is_other else self.merchant_id
        file_id = f"{merchant_id}-{self.day.replace('-', '')}-1"
        whose = f"{self._acquirer_id},{merchant_id},{self.day},{file_id}"
        return f"H,COUNTERFOIL-SETTLEMENT,1,{whose}\n"

    def _items(self, run: Run, deposit_id: int, reference: str, currency: str) -> Iterator[str]:
        sums = self._sums
        for row in run(queries.ITEMS_OF_DEPOSIT, (deposit_id,)):
            terminal_id, batch, kind, rrn, approval_code, last4, brand, amount_minor = row[:8]
            interchange_minor, scheme_minor, markup_minor, transacted_on = row[8:]
            sums.records += 1
            sums.items += 1
            sums.hash_total += int(rrn) if rrn.isdigit() else 0
            sums.amount_minor += amount_minor
            sums.interchange_minor += interchange_minor
            sums.scheme_minor += scheme_minor
            sums.markup_minor += markup_minor
            yield (
                f"P,{sums.items},{terminal_id},{batch},{kind},{rrn},{approval_code},"
                f"{CARD_MASK}{last4},{brand},{currency},"
                f"{amount_minor},{interchange_minor},{scheme_minor},{markup_minor},"
                f"{reference},{transacted_on}\n"
            )


class Sums:
    """
    What the trailer tells: counts all records (with H and T), items, and sums.
    """

    def __init__(self) -> None:
        self.records = 2
        self.items = 0
        self.hash_total = 0
        self.amount_minor = 0
        self.interchange_minor = 0
        self.scheme_minor = 0
        self.markup_minor = 0
        self.net_minor = 0

    def trailer(self, *, is_bad: bool) -> str:
        """
        Write T; a bad one has the sum of amounts wrong by one.
        """
        return (
            f"T,{self.records},{self.items},{self.hash_total % RRN_NUMBERS:012d},"
            f"{self.amount_minor + is_bad},{self.interchange_minor},{self.scheme_minor},"
            f"{self.markup_minor},{self.net_minor}\n"
        )
