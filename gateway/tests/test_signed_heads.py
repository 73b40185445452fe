"""
Signed heads: a journal that was rewritten with its whole chain is still not the one that was.
"""

import asyncio
import fcntl
import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from counted_pages import CountingDatabase
from counterfoil.keyfile import make_key
from counterfoil.ledger import audit as ledger
from counterfoil.ledger import head_file
from counterfoil.ledger.audit import Audit, Difference
from counterfoil.ledger.chain import FIRST_PREVIOUS, block_hash
from counterfoil.ledger.head_file import HeadFile, move_aside, read_lines
from counterfoil.ledger.heads import (
    NO_HEAD_BEFORE,
    SigningKey,
    digest_of,
    head_of,
    line_of,
    load_signing_key,
    signed,
    text_of,
)
from counterfoil.ledger.signer import Signer, is_due
from counterfoil.ledger.witness import Witness
from counterfoil.store import heads as store_heads
from counterfoil.store.database import Database
from counterfoil.store.heads import ChainEnd, HeadStore, SignedHead, signed_head
from interruption import AWAITS_MAX, interrupted_at
from sealed_journal import BROKEN, FORGED, Journal, emptied
from structlog.testing import capture_logs

CALLS = 5  # Of each statement whose pages are counted.
DAY = timedelta(days=1).total_seconds()
REMOVED = "a signed head was removed"
REPLACED = "a signed head was replaced"
NOT_OURS = "a signed head is not signed by us"
NOT_AFTER = "a signed head does not follow the one before it"
REWRITTEN = "the journal is not the one that was signed"
LINE_GONE = "a line was removed from the file of signed heads"


class Signed:
    """A sealed journal, a state folder outside of it, and the worker that signs."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self.journal = journal
        self.folder = folder
        self.key_path = folder / "keys" / "head-signing.key"
        self.path = folder / "signed-heads.txt"
        make_key(self.key_path)

    def signer(self, path: Path | None = None, **more: Any) -> Signer:
        """Return a worker's signer."""
        return Signer(
            HeadStore(self.journal.database),
            self.journal.clock,
            key_path=self.key_path,
            file=HeadFile(path or self.path),
            **more,
        )

    async def days(self, number: int) -> None:
        """Let so many days pass; on each a few transfers are sealed, and the chain is signed."""
        for _ in range(number):
            await self.journal.post(3)
            await self.journal.seal()
            await self.signer().sign()
            self.journal.clock.move(DAY)

    async def rows(self) -> list[SignedHead]:
        """Return the heads in the database."""
        rows = await self.journal.sql(
            "SELECT * FROM signed_heads ORDER BY merchant_id, head_number"
        )
        return [signed_head(row) for row in rows]

    def lines(self) -> list[str]:
        """Return the lines of the file."""
        return self.path.read_text().splitlines()

    def witness(self) -> Witness:
        """Return what an auditor on this machine brings along."""
        keys = (load_signing_key(self.key_path).public,)
        return Witness(public_keys=keys, lines=read_lines(self.path))

    async def audited(self, witness: Witness | None = None) -> Audit:
        """Return what the audit says, with a witness."""
        return await ledger.audit(
            self.journal.database,
            self.journal.merchant_id,
            now=self.journal.clock.now(),
            witness=witness or self.witness(),
        )

    async def found(self, witness: Witness | None = None) -> list[Difference]:
        """Return what the audit says about seal and heads; each says what to do."""
        differences = (await self.audited(witness)).differences
        kinds = (FORGED, BROKEN, REMOVED, REPLACED, NOT_OURS, NOT_AFTER, REWRITTEN, LINE_GONE)
        found = [each for each in differences if each.what in kinds or "head" in each.what]
        assert all(each.next_step and each.expected and each.found for each in found)
        return found

    async def rewritten(self) -> None:
        """Take money out of the first day, and build the whole chain anew: nothing is left open."""
        merchant = self.journal.merchant_id
        await self.journal.damage(
            "UPDATE transfers SET amount_minor = 1 WHERE merchant_id = $1 AND amount_minor = 1000 "
            "AND at < (SELECT min(at) + interval '1 hour' FROM transfers WHERE merchant_id = $1)"
        )
        previous = FIRST_PREVIOUS
        for block in await self.journal.blocks():
            rows = await self.journal.sql(
                "SELECT transfer_digest(t) AS digest FROM transfers AS t "
                "JOIN unnest($2::uuid[]) WITH ORDINALITY AS n (id, place) ON n.id = t.transfer_id "
                "WHERE t.merchant_id = $1 ORDER BY n.place",
                merchant,
                block["transfer_ids"],
            )
            digests = [row["digest"] for row in rows]
            now = block_hash(previous, block["block_number"], digests)
            async with self.journal.database.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(
                    "UPDATE transfer_blocks SET digests = $3, previous = $4, hash = $5 "
                    "WHERE merchant_id = $1 AND block_number = $2",
                    merchant,
                    block["block_number"],
                    digests,
                    previous,
                    now,
                )
            previous = now

    async def cut(self) -> None:
        """Take the last day away: transfers, their block, and the head that was signed of it."""
        await self.journal.damage(
            "DELETE FROM transfers AS t USING transfer_blocks AS b WHERE b.merchant_id = $1 "
            "AND t.transfer_id = ANY (b.transfer_ids) AND b.block_number = "
            "(SELECT max(block_number) FROM transfer_blocks WHERE merchant_id = $1)"
        )
        await self.journal.damage(
            "DELETE FROM transfer_blocks WHERE merchant_id = $1 AND block_number = "
            "(SELECT max(block_number) FROM transfer_blocks WHERE merchant_id = $1)"
        )
        await self.journal.damage(
            "DELETE FROM signed_heads WHERE merchant_id = $1 AND head_number = "
            "(SELECT max(head_number) FROM signed_heads WHERE merchant_id = $1)"
        )

    async def keep(self, head: SignedHead) -> None:
        """Write a head as somebody would who holds the database."""
        assert await HeadStore(self.journal.database).keep([head])


@pytest.fixture
async def kept(database: Database, tmp_path: Path) -> Signed:
    """An empty journal and an empty state folder."""
    await emptied(database)
    return Signed(Journal(database), tmp_path)


def kinds(found: list[Difference]) -> set[tuple[str, str]]:
    """Return what was found, and of which head."""
    return {(each.what, each.subject) for each in found}


async def test_a_chain_is_signed_once_a_day_when_it_has_grown(kept: Signed) -> None:
    """Each head follows the one before; a day without sales needs none."""
    await kept.days(2)
    await kept.signer().sign()
    kept.journal.clock.move(DAY)
    await kept.signer().sign()
    await kept.days(1)

    rows, blocks = await kept.rows(), await kept.journal.blocks()
    assert [each.number for each in rows] == [1, 2, 3]
    assert [str(each.day) for each in rows] == ["2026-11-23", "2026-11-24", "2026-11-26"]
    assert [(each.block, each.hash) for each in rows] == [
        (block["block_number"], block["hash"]) for block in blocks
    ]
    assert [each.previous for each in rows] == [NO_HEAD_BEFORE, *map(digest_of, rows[:2])]
    assert kept.lines() == [line_of(each) for each in rows]
    assert await kept.found() == []


async def test_a_chain_is_not_asked_about_twice_a_day(kept: Signed) -> None:
    """The statement would refuse the second head; nobody signs one in vain every minute."""
    await kept.days(1)
    (head,) = await kept.rows()
    end = ChainEnd(
        merchant_id=head.merchant_id, block=2, hash=bytes(32), head=head, hash_now=head.hash
    )

    assert not is_due(end, head.day)
    assert is_due(end, head.day + timedelta(days=1))
    assert not is_due(msgspec.structs.replace(end, block=1), head.day + timedelta(days=1))


async def test_f39_signing_twice_a_day_changes_nothing(kept: Signed) -> None:
    """Neither with more sealed meanwhile, nor by another worker, nor by a statement run again."""
    await kept.days(1)
    kept.journal.clock.move(-DAY + 3600)
    before, lines = await kept.rows(), kept.lines()

    await kept.journal.post(3)
    await kept.journal.seal()
    for _ in range(2):
        await kept.signer().sign()
    again = await HeadStore(kept.journal.database).keep(before)

    assert again == []
    assert (await kept.rows(), kept.lines()) == (before, lines)
    assert len(await kept.journal.blocks()) == 2


async def test_f23_a_clock_that_jumps_ahead_and_back_stops_no_signing(kept: Signed) -> None:
    """A head of a day that has not come is one head more; its day, when it comes, has it."""
    await kept.days(1)
    kept.journal.clock.move(2 * DAY)
    await kept.days(1)
    kept.journal.clock.move(-3 * DAY)
    await kept.days(3)

    assert [str(each.day) for each in await kept.rows()] == [
        *("2026-11-23", "2026-11-26", "2026-11-24", "2026-11-25")
    ]
    assert kept.lines() == [line_of(each) for each in await kept.rows()]
    assert await kept.found() == []


@pytest.mark.parametrize("folders", [1, 6])
async def test_f39_workers_that_sign_at_once_sign_once(
    kept: Signed, tmp_path: Path, folders: int
) -> None:
    """On one machine, or on six: one row, and one line in each machine's file."""
    await kept.journal.post(3)
    await kept.journal.seal()
    paths = [tmp_path / f"{number % folders}.txt" for number in range(6)]
    signers = [kept.signer(path) for path in paths]

    await asyncio.gather(*(each.sign() for each in signers))
    for each in signers:
        await each.sign()

    (row,) = await kept.rows()
    assert {path.read_text() for path in paths} == {f"{line_of(row)}\n"}


async def test_a_worker_that_stands_still_with_the_file_in_its_hands_holds_up_no_other(
    kept: Signed,
) -> None:
    """The other one has reversals to send; it writes its line in a later round."""
    await kept.journal.post(3)
    await kept.journal.seal()
    began = time.monotonic()
    with kept.path.open("wb") as file, capture_logs() as logs:
        fcntl.flock(file, fcntl.LOCK_EX)
        lets_go = threading.Timer(2.0, fcntl.flock, (file, fcntl.LOCK_UN))
        lets_go.start()
        await kept.signer().sign()
        waited = time.monotonic() - began
        lets_go.cancel()

    assert waited < 1.5
    assert [each for each in logs if each["log_level"] == "error"] == []
    await kept.signer().sign()
    assert kept.lines() == [line_of(each) for each in await kept.rows()]
    assert len(kept.lines()) == 1


async def test_f39_a_worker_that_is_killed_anywhere_is_caught_up_with(
    kept: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every wait, and between the row and its line: the next one writes what is missing."""
    await kept.journal.post(3)
    await kept.journal.seal()

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(HeadFile, "add", power_cut)
        with pytest.raises(KeyboardInterrupt):
            await kept.signer().sign()
    assert (len(await kept.rows()), kept.path.exists()) == (1, False)
    await kept.signer().sign()
    assert kept.lines() == [line_of(each) for each in await kept.rows()]

    for number in range(1, AWAITS_MAX):
        kept.journal.clock.move(DAY)
        await kept.journal.post()
        await kept.journal.seal()
        was_cut = await interrupted_at(number, kept.signer().sign())
        await kept.signer().sign()
        rows = await kept.rows()
        assert kept.lines() == [line_of(each) for each in rows]
        assert len(rows) == number + 1
        if not was_cut:
            break
    assert number > 3
    assert await kept.found() == []


@pytest.mark.parametrize("left", [0, 1, 18, 60, -3, -2, -1])
async def test_f39_a_line_that_a_power_cut_has_torn_is_written_again(
    kept: Signed, left: int
) -> None:
    """What is left of it stays, and is taken for what it is."""
    await kept.days(2)
    whole = kept.lines()
    torn = f"{whole[1]}\n"[:left]
    kept.path.write_text(f"{whole[0]}\n{torn}")
    before = await kept.found()

    await kept.signer().sign()

    assert kept.lines()[-1] == whole[1]
    assert [line_of(each) for each in (read_lines(kept.path) or never()).heads] == whole
    assert before == await kept.found() == [], "nor does an audit between the two blame anybody"


def never() -> Any:
    raise AssertionError


async def test_a_disk_that_takes_no_line_is_told_and_made_good(
    kept: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head is kept; payments, and the worker, go on."""
    await kept.journal.post(3)
    await kept.journal.seal()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as away, capture_logs() as logs:
        away.setattr(head_file, "_write", full)
        await kept.signer().sign()
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["heads_not_signed"]
    said = [each["head"] for each in logs if each["event"] == "signed"]
    assert said == [line_of(each) for each in await kept.rows()], "the log has each line, too"

    await kept.signer().sign()
    assert kept.lines() == [line_of(each) for each in await kept.rows()]


async def test_f39_a_journal_rewritten_with_its_whole_chain_is_named(kept: Signed) -> None:
    """Every digest, link and hash fits; the signatures of the days do not."""
    await kept.days(3)
    await kept.rewritten()

    assert await kept.journal.verify() == [], "the chain alone shows nothing"
    found = await kept.found()

    assert kinds(found) == {
        (REWRITTEN, f"head {number} of 2026-11-{22 + number}") for number in (1, 2, 3)
    }
    assert {each.merchant for each in found} == {f"mer_{kept.journal.merchant_id.hex}"}
    assert all("was rewritten" in str(each.found) for each in found)
    assert str(found[0].expected).startswith("block 1 with hash ")


async def test_f39_a_chain_cut_with_its_newest_head_is_named_by_the_file(kept: Signed) -> None:
    """Nothing in the database tells of the day that is gone; the file outside does."""
    await kept.days(3)
    await kept.cut()

    without = Witness(public_keys=kept.witness().public_keys, lines=None)
    assert await kept.found(without) == [], "the database alone shows nothing"
    found = await kept.found()

    assert kinds(found) == {
        (REMOVED, "head 3 of 2026-11-25"),
        (REWRITTEN, "head 3 of 2026-11-25"),
    }
    assert "no block 3: the chain was cut, and ends with block 2" in {each.found for each in found}


async def test_f39_a_head_removed_from_the_middle_is_named_without_the_file(kept: Signed) -> None:
    """The numbers have a gap, and the next head was signed after another one."""
    await kept.days(4)
    await kept.journal.damage(
        "DELETE FROM signed_heads WHERE merchant_id = $1 AND head_number IN (2, 3)"
    )

    (gap,) = await kept.found(Witness(public_keys=kept.witness().public_keys, lines=None))
    found = await kept.found()

    assert (gap.what, gap.subject) == (
        REMOVED,
        "head 2 to 3, after 2026-11-23 and not after 2026-11-26",
    )
    assert kinds(found) > {(REMOVED, "head 2 of 2026-11-24"), (REMOVED, "head 3 of 2026-11-25")}


async def test_f39_the_first_heads_cannot_be_removed_either(kept: Signed) -> None:
    """Not even with renumbering what is left: number and predecessor are signed."""
    await kept.days(3)
    await kept.journal.damage("DELETE FROM signed_heads WHERE merchant_id = $1 AND head_number = 1")
    alone = Witness(public_keys=kept.witness().public_keys, lines=None)
    assert {each.what for each in await kept.found(alone)} == {REMOVED}

    await kept.journal.damage(
        "UPDATE signed_heads SET head_number = head_number - 1 WHERE merchant_id = $1"
    )
    assert {each.what for each in await kept.found(alone)} == {NOT_OURS, NOT_AFTER}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("signature", "signature || ''::bytea"),
        ("signature", "set_byte(signature, 5, get_byte(signature, 5) # 1)"),
        ("hash", "sha256(hash)"),
        ("block_number", "block_number + 1"),
        ("day", "day - 10"),
        ("previous", "sha256(previous)"),
        ("signed_at", "signed_at + interval '1 microsecond'"),
        ("key_id", "reverse(key_id)"),
    ],
)
async def test_f39_whatever_is_changed_in_a_head_is_named(
    kept: Signed, column: str, value: str
) -> None:
    """Every column is signed, and the line in the file says what stood there."""
    await kept.days(3)
    await kept.journal.damage(
        f"UPDATE signed_heads SET {column} = {value} WHERE merchant_id = $1 AND head_number = 2"
    )
    alone = Witness(public_keys=kept.witness().public_keys, lines=None)

    if "||" in value:
        assert await kept.found() == [], "nothing was changed"
        return
    in_database = await kept.found(alone)
    assert NOT_OURS in {each.what for each in in_database}
    assert {each.subject for each in in_database if each.what == NOT_OURS} == {
        "head 2 of 2026-11-14" if column == "day" else "head 2 of 2026-11-24"
    }
    assert (REPLACED, "head 2 of 2026-11-24") in kinds(await kept.found())


async def test_f39_a_chain_signed_anew_with_another_key_is_named(kept: Signed) -> None:
    """Whoever brings a key of his own has the whole history to explain."""
    await kept.days(2)
    await kept.rewritten()
    await kept.journal.damage("DELETE FROM signed_heads WHERE merchant_id = $1")
    theirs, before = SigningKey(b"t" * 32), None
    for number, block in enumerate(await kept.journal.blocks()):
        at = datetime(2026, 11, 23 + number, 7, tzinfo=UTC)
        before = signed(
            theirs, kept.journal.merchant_id, number + 1, block["hash"], after=before, at=at
        )
        await kept.keep(before)
    alone = Witness(public_keys=kept.witness().public_keys, lines=None)

    assert kinds(await kept.found(alone)) == {
        (NOT_OURS, "head 1 of 2026-11-23"),
        (NOT_OURS, "head 2 of 2026-11-24"),
    }
    assert {each.found for each in await kept.found(alone)} == {
        f"a key that is not ours: {theirs.key_id}"
    }
    assert (REPLACED, "head 2 of 2026-11-24") in kinds(await kept.found())
    assert await kept.found(Witness(public_keys=(theirs.public,), lines=None)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda lines: [lines[0], *lines[2:]], LINE_GONE),
        (
            lambda lines: [lines[0], lines[1].replace(" 2026-11-24 ", " 2026-11-22 "), *lines[2:]],
            "a line of the file of signed heads is not signed by us",
        ),
        (
            lambda lines: [lines[0], "nonsense", *lines[1:]],
            "a line of the file of signed heads is none",
        ),
    ],
)
async def test_f39_a_changed_file_of_heads_is_named(
    kept: Signed, change: Callable[[list[str]], list[str]], what: str
) -> None:
    """Who looks after the file is told too; the database is not blamed for it."""
    await kept.days(3)
    kept.path.write_text("\n".join(change(kept.lines())) + "\n")

    assert what in {each.what for each in await kept.found()}
    assert {each.what for each in await kept.found()} <= {what, LINE_GONE}


@pytest.mark.parametrize("how", ["rewritten", "cut", "forged", "forged twice"])
async def test_f39_nothing_is_signed_over_what_was_tampered_with(kept: Signed, how: str) -> None:
    """A new head would bless it, and its line would hide the old one; an alarm is rung instead."""
    await kept.days(2)
    if how == "forged twice":
        (*_, last), theirs = await kept.rows(), SigningKey(b"t" * 32)
        forged = msgspec.structs.replace(last, signature=theirs.sign(text_of(last)))
        await kept.journal.damage(
            f"UPDATE signed_heads SET signature = '\\x{forged.signature.hex()}' "
            "WHERE merchant_id = $1 AND head_number = 2"
        )
        kept.path.write_text(f"{kept.lines()[0]}\n{line_of(forged)}\n")
    elif how == "forged":
        (*_, last), theirs = await kept.rows(), SigningKey(b"t" * 32)
        at = last.signed_at + timedelta(hours=20)
        await kept.keep(signed(theirs, last.merchant_id, last.block, last.hash, after=last, at=at))
    else:
        await getattr(kept, how)()
    rows, lines = await kept.rows(), kept.lines()
    await kept.journal.post(3)
    await kept.journal.seal()

    with capture_logs() as logs:
        await kept.signer().sign()

    assert (await kept.rows(), kept.lines()) == (rows, lines)
    (alarm,) = [each for each in logs if each["event"] == "heads_not_signed"]
    assert kept.journal.merchant_id.hex in alarm["reason"]
    assert await kept.found() != []


async def test_one_merchants_trouble_leaves_the_others_signed(kept: Signed) -> None:
    """Each chain is held against its own heads."""
    await kept.days(1)
    await kept.rewritten()
    other = Journal(kept.journal.database)
    other.clock = kept.journal.clock
    await other.post(3)
    await kept.journal.post(3)
    await kept.journal.seal()

    await kept.signer().sign()

    assert [each.number for each in await kept.rows() if each.merchant_id == other.merchant_id] == [
        1
    ]
    assert len(await kept.rows()) == 2


async def test_chains_are_signed_a_page_at_a_time(
    kept: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many merchants there are, and whatever their ids."""
    for name in ("store.heads", "ledger.signer"):
        monkeypatch.setattr(f"counterfoil.{name}.ENDS_AT_ONCE_MAX", 2)
    monkeypatch.setattr(store_heads, "HEADS_AT_ONCE_MAX", 1)
    for _ in range(2):
        for number in (0, 4, 7, (1 << 128) - 1, 9):
            kept.journal.merchant_id = UUID(int=number or 1)
            await kept.journal.post()
        await kept.journal.seal()
        await kept.signer().sign()
        kept.journal.clock.move(DAY)
    other = kept.folder / "another-machine.txt"

    await kept.signer(other).sign()

    assert len(await kept.rows()) == 10
    assert sorted(other.read_text().splitlines()) == sorted(kept.lines())
    assert len(kept.lines()) == 10


async def test_a_young_installation_is_told_so_and_agrees(kept: Signed) -> None:
    """No head yet is no fault; neither is a machine without the file, or without any chain."""
    assert (await kept.audited()).notes == []
    await kept.journal.post(3)
    await kept.journal.seal()
    (note,) = (await kept.audited()).notes
    assert "no head of this chain was signed yet" in note
    assert await kept.found() == []

    await kept.signer().sign()
    assert (await kept.audited()).notes == []
    (standing,) = (await kept.audited()).heads
    assert (standing.heads, standing.day, standing.blocks) == (1, "2026-11-23", 1)
    kept.path.unlink()
    (note,) = (await kept.audited()).notes
    assert "not on this machine" in note


async def test_heads_without_any_key_are_not_believed(kept: Signed) -> None:
    """An audit that cannot verify says so, and what to do."""
    await kept.days(1)

    (found,) = await kept.found(Witness(public_keys=(), lines=None))

    assert found.what == "the signed heads cannot be verified"
    assert "--public-key" in found.next_step


async def test_a_missing_key_is_told_and_nothing_is_signed(kept: Signed) -> None:
    """The worker goes on with everything else."""
    await kept.journal.post(3)
    await kept.journal.seal()
    kept.key_path.rename(kept.folder / "elsewhere")

    with capture_logs() as logs:
        await kept.signer().sign()
    assert "put it back" in logs[0]["reason"]
    assert await kept.rows() == []

    (kept.folder / "elsewhere").rename(kept.key_path)
    await kept.signer().sign()
    assert len(await kept.rows()) == 1


async def test_heads_of_a_replaced_key_are_believed_when_it_is_named(kept: Signed) -> None:
    """The chain of heads goes on under the new key; without the old one's name it is no history."""
    await kept.days(2)
    former = load_signing_key(kept.key_path).public
    kept.key_path.unlink()
    make_key(kept.key_path)
    await kept.journal.post(3)
    await kept.journal.seal()

    await kept.signer().sign()
    assert len(await kept.rows()) == 2
    await kept.signer(former_keys=(former,)).sign()
    assert [each.number for each in await kept.rows()] == [1, 2, 3]
    assert {each.what for each in await kept.found()} >= {NOT_OURS}
    both = (former, *kept.witness().public_keys)
    assert await kept.found(Witness(public_keys=both, lines=read_lines(kept.path))) == []


async def test_after_a_restore_the_file_is_written_anew(kept: Signed) -> None:
    """What was signed after the backup is no head of the restored journal; its lines are kept."""
    await kept.days(3)
    before = kept.lines()
    await kept.cut()  # What a backup of the day before looks like.

    aside = move_aside(kept.path, kept.journal.clock.now())
    assert aside is not None
    assert move_aside(kept.path, kept.journal.clock.now()) is None
    await kept.days(1)

    assert aside.read_text().splitlines() == before
    assert kept.lines()[:2] == before[:2]
    assert len(kept.lines()) == 3
    assert await kept.found() == []


async def test_a_running_worker_notices_that_its_file_is_another_one(kept: Signed) -> None:
    """Moved aside, or cut: it is read from its beginning, and what it lacks is written."""
    await kept.days(1)
    signer = kept.signer()
    await signer.sign()
    kept.path.unlink()
    await signer.sign()
    assert kept.lines() == [line_of(each) for each in await kept.rows()]

    kept.path.write_text("")
    await signer.sign()
    assert kept.lines() == [line_of(each) for each in await kept.rows()]
    assert kept.path.stat().st_mode & 0o777 == 0o600


async def test_a_line_is_read_as_it_was_written_and_nothing_else_is(kept: Signed) -> None:
    """Words, spaces and digits: what could be read in two ways is no head."""
    await kept.days(1)
    (line,), (row,) = kept.lines(), await kept.rows()

    assert head_of(line) == row
    for other in (f"{line} ", line.replace(" ", "  ", 1), line.upper(), line[:-2], f"x{line}",
                  line.replace(" 1 2026", " 01 2026"), line.replace("Z ", " "), ""):  # fmt: skip
        assert head_of(other) is None
    assert hashlib.sha256(line.encode()).digest() == digest_of(row)


PAGE = Path(__file__).parents[2] / "docs" / "operating" / "signed-heads.md"


async def test_f39_an_auditor_elsewhere_verifies_with_the_public_key_alone(
    kept: Signed, tmp_path: Path
) -> None:
    """The program that the page shows says the heads, and refuses what was changed."""
    await kept.days(3)
    whole, rows = kept.path.read_text(), await kept.rows()
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    key = load_signing_key(kept.key_path).public.hex()

    async def run(content: str, public_key: str = key) -> tuple[int | None, str]:
        copy = tmp_path / "copy.txt"
        copy.write_text(content)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(copy), public_key),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    status, said = await run(whole)
    assert (status, said) == (
        0,
        f"mer_{kept.journal.merchant_id.hex} head 3 of 2026-11-25 block 3 {rows[2].hash.hex()}\n",
    )
    first, second, third = whole.splitlines()
    assert await run(f"{first}\n{second[:-7]}\n{second}\n{third}\n") == (0, said)
    for changed, word in [
        (whole.replace(" 2026-11-24 ", " 2026-11-22 "), "InvalidSignature"),
        (f"{first}\n{third}\n", "a line is missing before head 3"),
        (f"{second}\n{third}\n", "a line is missing before head 2"),
    ]:
        status, said = await run(changed)
        assert (status, word in said) == (1, True)
    assert "InvalidSignature" in (await run(whole, SigningKey(b"t" * 32).public.hex()))[1]


async def test_a_round_reads_a_few_pages_for_each_merchant_however_long_the_chain(
    kept: Signed, parameters: dict[str, str]
) -> None:
    """
    Thousands of blocks and hundreds of heads more cost nothing more.

    The least of a few calls counts: one that comes upon an ANALYZE reads the catalogue anew.
    """
    await kept.days(2)
    counting = await CountingDatabase.open(**parameters, size_max=1)
    assert isinstance(counting, CountingDatabase)
    pages = []
    for grown in (False, True):
        if grown:
            await lengthened(kept)
        counting.forget()
        for _ in range(CALLS):
            await HeadStore(counting).ends()
            await HeadStore(counting).unsigned(kept.journal.clock.now())
        pages.append({name: min(calls)[0] for name, calls in counting.read.items()})
    await counting.close()

    assert await kept.journal.sql("SELECT 1 FROM transfer_blocks OFFSET 20000") != []
    for name in ("chain_ends", "unsigned_chains"):
        assert 0 < pages[1][name] <= pages[0][name] + 30, pages


async def lengthened(kept: Signed) -> None:
    """Lay twenty thousand blocks and a thousand heads behind those that are there."""
    merchant = kept.journal.merchant_id
    await kept.journal.sql(
        "INSERT INTO transfer_blocks SELECT merchant_id, n, transfer_ids, digests, since, until, "
        "previous, hash, at FROM transfer_blocks, generate_series(3, 20100) AS n "
        "WHERE merchant_id = $1 AND block_number = 2",
        merchant,
    )
    await kept.journal.sql(
        "INSERT INTO signed_heads SELECT merchant_id, n, day + n, n * 20, hash, previous, key_id, "
        "signed_at, signature FROM signed_heads, generate_series(3, 1000) AS n "
        "WHERE merchant_id = $1 AND head_number = 2",
        merchant,
    )
