"""
The journal on a real disk: durable, private, shared, and without the card.
"""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from counterfoil_client import ConfigurationError, JournalFailed, Payment
from counterfoil_client.commands import Claim, Found, Intent, State
from counterfoil_client.journal import Journal

PAYMENT = Payment(id="pay_1", state="approved", amount_minor=4200, currency="USD")


def intent(key: str = "k", fingerprint: str = "f") -> Intent:
    return Intent(key=key, kind="sale", fingerprint=fingerprint * 64, amount_minor=4200)


def test_the_folder_is_0700_and_every_file_0600(tmp_path: Path) -> None:
    """
    Whatever the umask.
    """
    before = os.umask(0)
    try:
        journal = Journal(tmp_path / "deep" / "shop" / "journal.db", "m")
        journal.begin(intent())
    finally:
        os.umask(before)

    folder = tmp_path / "deep" / "shop"
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.rglob("*")}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes.pop("journal.db.owners") == 0o700
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}
    journal.close(handed_over=True)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """
    They could put a file of theirs in its place.
    """
    tmp_path.chmod(0o777)

    with pytest.raises(JournalFailed, match="folder of its own"):
        Journal(tmp_path / "journal.db", "m")


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """
    WAL with synchronous=FULL: SQLite syncs the log at each commit.
    """
    journal = Journal(tmp_path / "journal.db", "m")

    assert journal._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close(handed_over=True)


def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """
    State and payment, as they were.
    """
    first = Journal(tmp_path / "journal.db", "m")
    first.begin(intent())
    first.record("k", State.APPROVED, PAYMENT)
    first.close(handed_over=False)

    second = Journal(tmp_path / "journal.db", "m")

    assert second.begin(intent()) == Claim(Found.APPROVED, PAYMENT)
    second.close(handed_over=True)


def test_a_key_in_use_is_busy_for_every_other_call(tmp_path: Path) -> None:
    """
    Here, and in another journal open on the same file, until it is let go.
    """
    here, there = (Journal(tmp_path / "journal.db", "m") for _ in range(2))
    here.begin(intent())

    assert here.begin(intent()).found is Found.BUSY
    assert there.begin(intent()).found is Found.BUSY
    assert there.reclaim("k").busy
    assert there.leftovers().open_keys == ()
    here.release("k")
    assert there.leftovers().open_keys == ("k",)
    assert there.begin(intent()).found is Found.OPEN
    assert here.begin(intent()).found is Found.BUSY
    here.close(handed_over=True)
    there.close(handed_over=True)


def test_many_threads_with_one_key_write_one_row(tmp_path: Path) -> None:
    """
    One of them has it, the others wait.
    """
    journal = Journal(tmp_path / "journal.db", "m")
    found: list[Found] = []
    threads = [
        threading.Thread(target=lambda: found.append(journal.begin(intent()).found))
        for _ in range(20)
    ]

    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(found) == [Found.BUSY] * 19 + [Found.NEW]
    journal.close(handed_over=True)


def test_recovery_leaves_a_live_process_alone_and_inherits_from_a_killed_one(
    tmp_path: Path,
) -> None:
    """
    A real process, a real SIGKILL: its lock goes with it, and not a moment earlier.
    """
    code = (
        "import sys, time; from pathlib import Path\n"
        "from counterfoil_client.journal import Journal\n"
        "from counterfoil_client.commands import Intent\n"
        "journal = Journal(Path(sys.argv[1]), 'm')\n"
        "journal.begin(Intent(key='k', kind='sale', fingerprint='f' * 64, amount_minor=4200))\n"
        "print('written', flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "journal.db"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"written\n"
    journal = Journal(path, "m")

    while_alive = journal.leftovers().open_keys
    busy = journal.begin(intent()).found
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()

    assert while_alive == ()
    assert busy is Found.BUSY
    assert journal.leftovers().open_keys == ("k",)
    assert journal.begin(intent()).found is Found.OPEN
    assert len(list((tmp_path / "journal.db.owners").iterdir())) == 1
    journal.close(handed_over=True)


def test_a_forked_process_is_refused_and_does_not_loosen_the_lock(tmp_path: Path) -> None:
    """
    One client per process: connections and files do not survive a fork.
    """
    journal = Journal(tmp_path / "journal.db", "m")
    journal.begin(intent())
    child = os.fork()
    if child == 0:
        try:
            journal.begin(intent())
        except ConfigurationError:
            os._exit(17)
        os._exit(1)
    _, status = os.waitpid(child, 0)

    other = Journal(tmp_path / "journal.db", "m")
    assert os.waitstatus_to_exitcode(status) == 17
    assert other.leftovers().open_keys == ()
    journal.close(handed_over=True)
    other.close(handed_over=True)


def test_intents_of_another_api_key_are_not_recovered_until_it_is_named(tmp_path: Path) -> None:
    """
    Fencing them at the wrong merchant would let the shop charge twice.
    """
    before = Journal(tmp_path / "journal.db", "old")
    before.begin(intent())
    before.close(handed_over=True)
    now = Journal(tmp_path / "journal.db", "new")

    assert now.leftovers().open_keys == ()
    assert now.others_open() == 1
    now.adopt("old")
    assert now.leftovers().open_keys == ("k",)
    now.close(handed_over=True)


def test_what_is_closed_stays_as_it_is(tmp_path: Path) -> None:
    """
    A fenced key never becomes a payment.
    """
    journal = Journal(tmp_path / "journal.db", "m")
    journal.begin(intent())
    journal.record("k", State.NEVER_SENT, None)

    journal.record("k", State.FINISHED, PAYMENT)

    assert journal.begin(intent()).found is Found.FENCED
    journal.close(handed_over=True)


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """
    Better no payment than one that is misread.
    """
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("PRAGMA user_version = 9")
    database.close()

    with pytest.raises(JournalFailed, match="newer"):
        Journal(tmp_path / "journal.db", "m")


VERSION_1 = """
CREATE TABLE intent (
  account TEXT NOT NULL,  -- whose key: the API key's fingerprint
  key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  kind TEXT NOT NULL CHECK (kind IN ('sale', 'authorization', 'capture', 'void', 'refund')),
  state TEXT NOT NULL CHECK (state IN
    ('intended', 'not_sent', 'approved', 'finished', 'refused', 'never_sent')),
  is_open INTEGER GENERATED ALWAYS AS (state IN ('intended', 'not_sent', 'approved')) VIRTUAL,
  owner TEXT,             -- the open journal that is working on it, or that closed it
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  payment_id TEXT,
  order_number TEXT,
  amount_minor INTEGER CHECK (amount_minor > 0),
  currency TEXT CHECK (length(currency) = 3),
  last4 TEXT CHECK (length(last4) = 4),
  payment BLOB,           -- the gateway's last word, JSON
  created_at REAL NOT NULL,
  changed_at REAL NOT NULL,
  PRIMARY KEY (account, key)
)
"""


def test_a_journal_of_version_1_is_brought_over_with_all_it_holds(tmp_path: Path) -> None:
    """
    What a crash before the upgrade left open is found after it, and new kinds have room.
    """
    old = sqlite3.connect(tmp_path / "journal.db")
    old.execute(VERSION_1)
    old.execute("CREATE INDEX intent_open_or_owned ON intent (account, is_open, owner)")
    old.execute("PRAGMA user_version = 1")
    row = ("m", "old", "sale", "intended", "f" * 64, 4200, 1e12, 1e12)
    columns = "account, key, kind, state, fingerprint, amount_minor, created_at, changed_at"
    old.execute(f"INSERT INTO intent ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.commit()
    old.close()

    journal = Journal(tmp_path / "journal.db", "m")

    assert journal.leftovers().open_keys == ("old",)
    for kind in ("forced", "credit", "undo"):
        fresh = Intent(key=kind, kind=kind, fingerprint="e" * 64, amount_minor=1)
        assert journal.begin(fresh).found is Found.NEW
    journal.close(handed_over=True)
    again = Journal(tmp_path / "journal.db", "m")
    assert "old" in again.leftovers().open_keys
    again.close(handed_over=True)


def test_a_journal_that_cannot_be_written_sends_nothing(tmp_path: Path) -> None:
    """
    The failure comes before the first byte.
    """
    journal = Journal(tmp_path / "journal.db", "m")
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    journal._database.execute("PRAGMA busy_timeout = 50")

    with pytest.raises(JournalFailed):
        journal.begin(intent())

    blocker.execute("ROLLBACK")
    assert journal.begin(intent()).found is Found.NEW
    blocker.close()
    journal.close(handed_over=True)
