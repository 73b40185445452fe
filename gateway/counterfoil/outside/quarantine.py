"""
The way out of quarantine: compare with each acquirer, decide every difference, move all numbers on.

Stands between a *restore* and the first new payment. The comparison reads the host's journal
once and our payments page by page; each difference becomes a finding with its next step. The
lift is one guarded statement that also moves the feeds' numbers on; before it STANs and batches
are moved beyond everything that may have been used. Confirmation numbers were, when the
quarantine began: *keep* takes one.
"""

import json
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from counterfoil.clock import Clock
from counterfoil.ids import Ids
from counterfoil.outside.compare import Difference, Ours, difference
from counterfoil.outside.host_journal import Charge, Journal
from counterfoil.payments.payment import Payment
from counterfoil.receipts.confirmation import is_valid
from counterfoil.store.merchants import MerchantStore
from counterfoil.store.numbers import ConfirmationLeases
from counterfoil.store.payments import Acknowledgment, PaymentStore
from counterfoil.store.quarantine import PAGE_MAX, QuarantineStore

KEEP_FOR = timedelta(days=1)
AHEAD_MAX = timedelta(days=1)  # A day of DE 7 may be tomorrow's by a host's clock.
SESSION = "counterfoil quarantine keep"


class NotLifted(Exception):
    """
    The quarantine stays; the message says what is missing.
    """


class NotKept(Exception):
    """
    The payment cannot be kept; the message says why.
    """


class Compared(msgspec.Struct, frozen=True):
    """
    What a comparison saw. `strangers`: charges at terminals that are nobody's here.
    """

    charges: int
    strangers: int
    differences: list[Difference]


async def compare(
    journal: Journal, acquirer: str, store: QuarantineStore, at: datetime
) -> Compared:
    """
    Compare *journal* with what we have at *acquirer*, and put the differences on the list.

    Raises:
        JournalRefused: The journal cannot be read to its end; nothing counts as compared.
    """
    terminals = await store.terminals(acquirer)
    seen: set[tuple[str, str]] = set()
    found: list[Difference] = []
    strangers = 0
    for charges in _pages(journal.charges()):
        ours = await store.known(acquirer, charges)
        for each in charges:
            seen.add((each.terminal_id, each.rrn))
            if each.terminal_id not in terminals:
                strangers += 1
            elif differs := difference(ours.get((each.terminal_id, each.rrn)), each):
                found.append(differs)
    found += await _missing_there(acquirer, journal.header.since, seen, store)
    owners = [(terminals[each.terminal_id], each) for each in found]
    for merchant_id in {owner for owner, _ in owners}:
        of_merchant = [each for owner, each in owners if owner == merchant_id]
        await store.find(merchant_id, of_merchant, at)
    await store.compared(acquirer, at, journal.header.terminals, len(seen), owners)
    return Compared(len(seen), strangers, found)


async def _missing_there(
    acquirer: str, since: datetime | None, seen: set[tuple[str, str]], store: QuarantineStore
) -> list[Difference]:
    """
    Return what we hold or have taken and the journal does not name.
    """
    found: list[Difference] = []
    after: tuple[UUID, UUID] | None = None
    while rows := await store.taken(acquirer, since, after):
        for row in rows:
            ours = Ours(**{name: row[name] for name in Ours.__struct_fields__})
            known = (ours.terminal_id, ours.rrn) in seen
            if not known and (differs := difference(ours, None)):
                found.append(differs)
        after = (rows[-1]["merchant_id"], rows[-1]["payment_id"])
    return found


def _pages(charges: Iterator[Charge]) -> Iterator[list[Charge]]:
    while page := list(islice(charges, PAGE_MAX)):
        yield page


async def waive(
    store: QuarantineStore,
    acquirer: str,
    configured: Collection[str],
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> None:
    """
    Go on without an acquirer that is gone: who decided it, and why, is kept.

    Raises:
        NotLifted: It is still configured, or there is nothing to waive.
    """
    if acquirer in configured:
        raise NotLifted(
            f"acquirer {acquirer} is configured, so it must be compared: `counterfoil quarantine "
            f"compare --acquirer {acquirer} --host-journal FILE`. Only one that is gone from the "
            "configuration can be left out"
        )
    if not await store.waive(acquirer, actor, reason, at):
        raise NotLifted(
            f"there is no acquirer {acquirer} to leave out: it has no terminal here, or was "
            "compared since the restore, see `counterfoil quarantine show`"
        )


async def lift(
    store: QuarantineStore, clock: Clock, *, configured: Collection[str], actor: str
) -> None:
    """
    Move all numbers beyond what may have been used, and let everything move again.

    Raises:
        NotLifted: Something is not compared, or a finding is open.
    """
    standing = await store.standing()
    if standing["quarantined_at"] is None:
        raise NotLifted("this installation is not in quarantine")
    comparisons = await store.comparisons()
    for each in comparisons:
        if each["compared_at"] is None or each["compared_at"] < standing["quarantined_at"]:
            raise NotLifted(_not_compared(each["acquirer"], configured))
    if standing["open"]:
        raise NotLifted(
            f"{standing['open']} difference(s) are open: `counterfoil quarantine show`; each is "
            "decided with `quarantine keep` or `settlement resolve`"
        )
    for each in comparisons:
        await _move_numbers(each["acquirer"], json.loads(each["numbers"]), store, clock.now())
    if not await store.lift(clock.now(), actor):
        raise NotLifted("something has changed meanwhile: look with `counterfoil quarantine show`")


def _not_compared(acquirer: str, configured: Collection[str]) -> str:
    compare_it = f"`counterfoil quarantine compare --acquirer {acquirer} --host-journal FILE`"
    if acquirer in configured:
        return f"acquirer {acquirer} was not compared since the restore: {compare_it}"
    return (
        f"acquirer {acquirer} of the backup was not compared since the restore, and is not in the "
        f"configuration any more. If its journal can still be had: {compare_it}. If not: "
        f"`counterfoil quarantine lift --without-acquirer {acquirer} --reason WHY`; what it took "
        "or holds is then checked by nobody"
    )


async def _move_numbers(
    acquirer: str, terminals: list[dict[str, object]], store: QuarantineStore, now: datetime
) -> None:
    owners = await store.terminals(acquirer)
    for terminal in msgspec.convert(terminals, list[_Numbers]):
        merchant_id = owners.get(terminal.terminal_id)
        if merchant_id is None:
            continue
        for month_and_day, stan in terminal.last_stans.items():
            day = _latest(month_and_day, now.date())
            await store.move_stans(merchant_id, acquirer, terminal.terminal_id, day, stan)
        for currency, number in terminal.last_batches.items():
            await store.move_batch(
                merchant_id, acquirer, terminal.terminal_id, currency, number, now
            )


class _Numbers(msgspec.Struct, frozen=True):
    """
    What was kept of a journal's first line.
    """

    terminal_id: str
    last_stans: dict[str, int]
    last_batches: dict[str, int]


def _latest(month_and_day: str, today: date) -> date:
    """
    Return the latest date with this month and day that is not beyond tomorrow.
    """
    month, day = int(month_and_day[:2]), int(month_and_day[2:])
    for year in (today.year + 1, today.year, today.year - 1, today.year - 2, today.year - 3):
        try:
            found = datetime(year, month, day, tzinfo=UTC).date()
        except ValueError:  # The 29th of February is not in every year.
            continue
        if found <= today + AHEAD_MAX:
            return found
    return today


async def keep(
    payment_id: UUID,
    *,
    note: str,
    actor: str,
    number: str | None,
    store: QuarantineStore,
    payments: PaymentStore,
    merchants: MerchantStore,
    confirmations: ConfirmationLeases,
    clock: Clock,
    ids: Ids,
) -> Payment:
    """
    Claim an approval that was claimed after the backup, under the number that the shopper has.

    Without *number* it gets a new one.

    Raises:
        NotKept: There is no such approval, or the number is none.
    """
    if number is not None and not is_valid(number):
        raise NotKept(f"{number} is no confirmation number: twelve digits with their check digit")
    merchant_id = await store.merchant_of(payment_id)
    now = clock.now()
    if merchant_id is None or not await store.keep(payment_id, now + KEEP_FOR, now, actor):
        raise NotKept("only an approval can be kept, and only in quarantine")
    merchant = await merchants.merchant(merchant_id)
    assert merchant is not None, "a payment without its merchant"
    claimed = await payments.acknowledge(
        Acknowledgment(
            merchant_id=merchant_id,
            payment_id=payment_id,
            event_id=ids.new(),
            confirmation_number=number or await confirmations.take(merchant_id),
            session_id=SESSION,
            movement_id=ids.new(),
            transfer_id=ids.new(),
            customer_mail_id=ids.new(),
            merchant_mail_id=ids.new(),
            merchant_email=merchant.email,
            at=now,
            actor=actor,
        )
    )
    if claimed is None:
        raise NotKept("it was claimed meanwhile: look at it")
    await store.resolve(merchant_id, f"{claimed.terminal_id} {claimed.rrn}", now, f"kept: {note}")
    return claimed
