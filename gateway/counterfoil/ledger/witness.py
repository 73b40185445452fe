"""
Hold the journal's chains against the heads that were signed of them.

The last part of the audit. Two witnesses speak: the rows of `signed_heads`, which belong to whoever
holds the database, and the file outside of it. Both are believed only where the signature is that
of a key that the auditor brings along. Each head must still be there, follow the one before it,
and name a block that the chain still has.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from uuid import UUID

import msgspec

from counterfoil.ledger.head_file import Lines
from counterfoil.ledger.heads import NO_HEAD_BEFORE, by_key_id, digest_of, is_signed_by, line_of
from counterfoil.store.heads import SignedHead

BLOCKS_AT_ONCE_MAX = 10_000

_FORGED = (
    "No program of ours does this: keep the database as it is, compare it with the last backup, "
    "with the copies of the file of signed heads and with the server's log, and find out who "
    "changed it."
)
_REMOVED = (
    f"{_FORGED} If the database was restored by other means than `counterfoil restore`, move the "
    "file of signed heads aside: a worker writes it anew."
)
_UNKNOWN_KEY = (
    "If the signing key was replaced, add the former public key to [seal] former_keys, or give it "
    f"with --public-key. Otherwise: {_FORGED}"
)
_NO_KEY = (
    "Put the signing key back from its copy, or give the public key with --public-key, as "
    "`counterfoil keys public` has printed it."
)
_FILE = (
    "Somebody has changed the file of signed heads: compare it with its copies on other machines, "
    "put the right one back, and find out who did it."
)


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the auditor brings along.

    Attributes:
        public_keys: Those whose signatures are believed.
        lines: What the file of signed heads holds; None: it is not on this machine.
    """

    public_keys: tuple[bytes, ...]
    lines: Lines | None


class HeadFault(msgspec.Struct, frozen=True, kw_only=True):
    """
    One head that does not hold.
    """

    merchant_id: UUID | None
    what: str
    subject: str
    expected: str
    found: str
    next_step: str


class Chains(msgspec.Struct, frozen=True):
    """
    The chains as they are now: hashes by merchant and block, and the last block of each.
    """

    hashes: Mapping[tuple[UUID, int], bytes]
    ends: Mapping[UUID, int]


def heads_of_file(witness: Witness, merchant_id: UUID | None) -> list[SignedHead]:
    """
    Return the heads of the file, of one merchant or of all.
    """
    heads = witness.lines.heads if witness.lines else []
    return [each for each in heads if merchant_id in (None, each.merchant_id)]


def faults(
    rows: list[SignedHead], in_file: list[SignedHead], witness: Witness, chains: Chains
) -> Iterator[HeadFault]:
    """
    Yield everything that does not hold, of the rows first and of the file then.
    """
    if (rows or in_file) and not witness.public_keys:
        yield _no_key(len(rows) or len(in_file))
        return
    keys = by_key_id(witness.public_keys)
    for _, heads in groupby(rows, key=lambda each: each.merchant_id):
        yield from _of_rows(list(heads), keys, chains)
    yield from _of_file(rows, in_file, keys, chains)
    for line in witness.lines.unreadable if witness.lines else ():
        yield HeadFault(
            merchant_id=None,
            what="a line of the file of signed heads is none",
            subject=f"line {line[:60]!r}",
            expected="a signed head, as it was written",
            found="something else",
            next_step=_FILE,
        )


def _of_rows(
    heads: list[SignedHead], keys: Mapping[str, bytes], chains: Chains
) -> Iterator[HeadFault]:
    before: SignedHead | None = None
    for head in heads:
        yield from _of_order(before, head)
        yield from _of_signature(head, keys, "a signed head is not signed by us")
        if is_signed_by(head, keys):
            yield from _of_chain(head, chains)
        before = head


def _of_order(before: SignedHead | None, head: SignedHead) -> Iterator[HeadFault]:
    number = before.number if before else 0
    if head.number != number + 1:
        missing = (
            f"{number + 1}" if head.number == number + 2 else f"{number + 1} to {head.number - 1}"
        )
        since = f"after {before.day}" if before else "from the beginning"
        yield _fault(
            head,
            "a signed head was removed",
            subject=f"head {missing}, {since} and not after {head.day}",
            expected=f"the heads before head {head.number} of {head.day}",
            found="removed",
        )
    elif head.previous != (digest_of(before) if before else NO_HEAD_BEFORE):
        yield _fault(
            head,
            "a signed head does not follow the one before it",
            expected=f"signed after head {number}" if before else "the first head",
            found="signed after another one",
        )


def _of_signature(
    head: SignedHead, keys: Mapping[str, bytes], what: str, next_step: str = _FORGED
) -> Iterator[HeadFault]:
    if head.key_id not in keys:
        found, next_step = f"a key that is not ours: {head.key_id}", _UNKNOWN_KEY
    elif not is_signed_by(head, keys):
        found = "a signature that does not fit"
    else:
        return
    yield _fault(
        head, what, expected=f"signed by {', '.join(keys)}", found=found, next_step=next_step
    )


def _of_chain(head: SignedHead, chains: Chains) -> Iterator[HeadFault]:
    now = chains.hashes.get((head.merchant_id, head.block))
    if now == head.hash:
        return
    end = chains.ends.get(head.merchant_id)
    yield _fault(
        head,
        "the journal is not the one that was signed",
        expected=f"block {head.block} with hash {head.hash.hex()[:16]}",
        found=f"hash {now.hex()[:16]}: what is sealed up to this block was rewritten"
        if now
        else f"no block {head.block}: the chain was cut"
        + (f", and ends with block {end}" if end else ""),
    )


def _of_file(
    rows: list[SignedHead],
    in_file: list[SignedHead],
    keys: Mapping[str, bytes],
    chains: Chains,
) -> Iterator[HeadFault]:
    kept = {(each.merchant_id, each.number): line_of(each) for each in rows}
    newest: dict[UUID, int] = {}
    for head in in_file:
        newest[head.merchant_id] = max(head.number, newest.get(head.merchant_id, 0))
        if not is_signed_by(head, keys):
            what = "a line of the file of signed heads is not signed by us"
            yield from _of_signature(head, keys, what, _FILE)
            continue
        row = kept.get((head.merchant_id, head.number))
        if row == line_of(head):
            continue
        yield _fault(
            head,
            "a signed head was removed" if row is None else "a signed head was replaced",
            expected="the head that stands in the file of signed heads",
            found="no such row in the database" if row is None else "another row in the database",
            next_step=_REMOVED,
        )
        yield from _of_chain(head, chains)
    yield from _missing_lines(rows, in_file, newest)


def _missing_lines(
    rows: list[SignedHead], in_file: Iterable[SignedHead], newest: Mapping[UUID, int]
) -> Iterator[HeadFault]:
    written = {(each.merchant_id, each.number) for each in in_file}
    for head in rows:
        is_past = head.number < newest.get(head.merchant_id, 0)
        if is_past and (head.merchant_id, head.number) not in written:
            yield _fault(
                head,
                "a line was removed from the file of signed heads",
                expected="a line for each head",
                found="none for this one, though there are later ones",
                next_step=_FILE,
            )


def _no_key(number: int) -> HeadFault:
    return HeadFault(
        merchant_id=None,
        what="the signed heads cannot be verified",
        subject=f"{number} signed head(s)",
        expected="a public key to verify them with",
        found="no signing key on this machine",
        next_step=_NO_KEY,
    )


def _fault(
    head: SignedHead,
    what: str,
    *,
    expected: str,
    found: str,
    subject: str | None = None,
    next_step: str = _FORGED,
) -> HeadFault:
    return HeadFault(
        merchant_id=head.merchant_id,
        what=what,
        subject=subject or f"head {head.number} of {head.day}",
        expected=expected,
        found=found,
        next_step=next_step,
    )
