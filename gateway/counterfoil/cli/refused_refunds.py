"""
Refunds that stand for a void or reversal and were refused: ask again, or record how it went back.
"""

from typing import Annotated
from uuid import UUID

import cyclopts

from counterfoil import ids
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    actor_of,
    configuration,
    note_of,
    refuse_in_quarantine,
    run,
    say,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.opened import open_database
from counterfoil.store.database import Database
from counterfoil.store.deposits import DepositStore
from counterfoil.store.refused_refunds import Decision, RefusedRefund, RefusedRefundStore

KIND = "refund_refused"

FindingArgument = Annotated[str, cyclopts.Parameter(help="One of kind refund_refused.")]
AmountOption = Annotated[
    int | None,
    cyclopts.Parameter(
        name="--amount",
        help="What the acquirer says it took, in minor units, where the approval was lost.",
    ),
]


def refund_again(
    finding: FindingArgument,
    *,
    note: Annotated[str, cyclopts.Parameter(help="Who decided it, and why.")],
    amount: AmountOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Ask the acquirer again for a refund it refused, which stands for a void or reversal.

    It enters the open batch under a new trace number; the finding is resolved, and opens anew if
    the acquirer refuses again. With --amount the books are corrected to what was taken.
    """
    _end(finding, note, amount, config, outside=False)
    say(f"{finding} is resolved: the refund is owed again.")


def returned(
    finding: FindingArgument,
    *,
    note: Annotated[str, cyclopts.Parameter(help="Who gave it back, how, and why.")],
    amount: AmountOption = None,
    config: ConfigOption = None,
) -> None:
    """
    Record that the money of a refused refund went back otherwise: cash, a bank transfer.

    Nothing is sent. The payment ends as voided or reversed (after a void of a part it stays
    captured), and the books show the amount as given back outside of the acquirer.
    """
    _end(finding, note, amount, config, outside=True)
    say(f"{finding} is resolved: the money was given back outside of the acquirer.")


async def found_finding(database: Database, finding: str) -> tuple[UUID, UUID]:
    """
    Return the merchant and the id of the finding that is written *finding*.

    Raises:
        CommandRefused: There is none.
    """
    try:
        finding_id = ids.read(ids.FINDING, finding)
    except ids.UnreadableId as error:
        raise CommandRefused(f"{finding!r} is no finding: {error}") from error
    merchant_id = await DepositStore(database).whose_finding(finding_id)
    if merchant_id is None:
        raise CommandRefused("there is no such finding: counterfoil settlement findings")
    return merchant_id, finding_id


async def why_not_resolved(database: Database, merchant_id: UUID, finding_id: UUID) -> str:
    """
    Return why a finding cannot be taken off the list by `resolve`, as a sentence.
    """
    found = await RefusedRefundStore(database, Ids(SystemClock()).new).read(merchant_id, finding_id)
    if found is None or found.state != "open":
        return "there is no such open finding: counterfoil settlement findings"
    return (
        "the cardholder is still owed this money, so a note alone does not end it: "
        "`counterfoil settlement refund-again` asks the acquirer anew, `counterfoil settlement "
        "returned` records that it went back otherwise. Refunds that the merchant made since count "
        "when the acquirer has accepted them, each for one finding"
    )


def _end(
    finding: str, note: str, amount: int | None, config: ConfigOption, *, outside: bool
) -> None:
    decision = Decision(
        actor=actor_of(None), note=note_of(note), outside=outside, taken_minor=amount
    )
    run(_decided(configuration(config), finding, decision))


async def _decided(settings: Configuration, finding: str, decision: Decision) -> None:
    clock = SystemClock()
    async with open_database(settings) as database:
        await refuse_in_quarantine(database)
        merchant_id, finding_id = await found_finding(database, finding)
        store = RefusedRefundStore(database, Ids(clock).new)
        if not await store.end(merchant_id, finding_id, clock.now(), decision):
            found = await store.read(merchant_id, finding_id)
            assert found is not None, "findings are never removed"
            raise CommandRefused(_why_not(found, decision))


def _why_not(found: RefusedRefund, decision: Decision) -> str:
    if found.kind != KIND:
        return f"this finding is of kind {found.kind}, not {KIND}: counterfoil settlement resolve"
    if found.state != "open":
        return f"this finding is resolved already: {found.resolution}"
    if found.by_merchant_minor:
        return (
            f"the merchant has refunded {found.by_merchant_minor} {found.currency} of this payment "
            f"since, and {found.amount_minor} more may give it back twice: have the merchant "
            "refund what is still missing, then `counterfoil settlement resolve`"
        )
    return _why_not_amount(found, decision.taken_minor) or (
        "nothing was changed: the terminal has no open batch at this moment, or a capture of this "
        f"payment is still on its way ({found.left_minor} can be given back); do it again later"
    )


def _why_not_amount(found: RefusedRefund, taken_minor: int | None) -> str | None:
    if taken_minor is None or taken_minor == found.amount_minor:
        return None
    if not 0 < taken_minor < found.amount_minor:
        return f"--amount is at least 1 and at most what was refused, {found.amount_minor}"
    if not found.is_amount_unknown:
        return "--amount is for an approval that was lost; of this one the amount is known"
    return "the capture is in a frozen batch, and its amount cannot be corrected any more"
