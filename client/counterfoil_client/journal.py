"""
The journal on the merchant's own disk: what was asked for, before it was asked.

Every write is one transaction, on disk (fsync) before the call returns. It holds neither
card number nor CVV nor expiry. Several processes may share one file; a key that a live
process is working on is never taken from it.
"""

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from counterfoil_client import owners, statements
from counterfoil_client.commands import (
    OPEN_STATES,
    Claim,
    Found,
    Intent,
    Leftovers,
    Reclaimed,
    Recorded,
    State,
)
from counterfoil_client.errors import ConfigurationError, JournalFailed
from counterfoil_client.limits import RECOVERIES_MAX
from counterfoil_client.results import Payment

KEEP_DAYS = 90  # Closed intents older than this are dropped when the journal is opened.
LOCK_SECONDS_MAX = 10.0  # Waiting for another process's write.
RETELL_SECONDS = 600.0  # How long before a crash an outcome may have been lost with the process.


class Journal:
    """
    An open journal. Methods may be called from any thread; each is one durable step.
    """

    def __init__(self, path: Path, account: str, clock: Callable[[], float] = time.time) -> None:
        self._account = account
        self._clock = clock
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._in_use: set[str] = set()
        self._claimed_now: set[str] = set()
        try:
            _prepare_files(path)
            self._owners = path.with_name(path.name + ".owners")
            self._owners.mkdir(mode=0o700, exist_ok=True)
            self._database = _open_database(path, clock())
            owners.sweep(self._owners)
            self._owner = owners.Owner(self._owners)
        except (OSError, sqlite3.Error) as failure:
            raise JournalFailed(f"cannot open the journal {path}: {failure}") from None

    def begin(self, intent: Intent) -> Claim:
        """
        Write *intent* unless its key is known, and claim the key.
        """
        with self._writing():
            row = self._find(intent.key)
            if row is None:
                return self._write(intent)
            if self._is_busy(row):
                return Claim(Found.BUSY)
            recorded = _recorded(row)
            if recorded.state is State.REFUSED:
                return self._write(intent)
            if recorded.intent.fingerprint != intent.fingerprint:
                return Claim(Found.OTHER_BODY)
            return self._go_on(recorded)

    def reclaim(self, key: str) -> Reclaimed:
        """
        Claim *key* if the journal has it, it is open, and nobody is working on it.
        """
        with self._writing():
            row = self._find(key)
            if row is None:
                return Reclaimed()
            if self._is_busy(row):
                return Reclaimed(busy=True)
            recorded = _recorded(row)
            if recorded.state in OPEN_STATES:
                self._own(key)
            return Reclaimed(recorded)

    def record(self, key: str, state: State, payment: Payment | None) -> None:
        """
        Store where *key* stands now. What is closed stays as it is.
        """
        body = None if payment is None else msgspec.json.encode(payment)
        with self._writing():
            self._database.execute(
                statements.RECORD, (state, body, self._clock(), self._account, key)
            )

    def release(self, key: str) -> None:
        """
        Let go of *key*: the call that claimed it has ended, with or without an outcome.
        """
        self._in_use.discard(key)
        with self._writing():
            self._database.execute(statements.LET_GO, (self._account, key))

    def leftovers(self) -> Leftovers:
        """
        Return the open keys that nobody is working on, and what dead processes finished
        shortly before they died: their shop may not have been told.
        """
        with self._writing():
            owners.sweep(self._owners)
            rows = self._database.execute(
                statements.OPEN_KEYS, (self._account, RECOVERIES_MAX)
            ).fetchall()
            keys = tuple(key for key, owner in rows if not self._is_in_use(key, owner))
            return Leftovers(keys, tuple(self._retold()))

    def adopt(self, former_account: str) -> None:
        """
        Take over the intents written under a former API key of the same merchant.
        """
        with self._writing():
            self._database.execute(statements.ADOPT, (self._account, former_account))

    def others_open(self) -> int:
        """
        Return how many open intents belong to another API key.
        """
        with self._writing():
            return int(self._database.execute(statements.OTHERS, (self._account,)).fetchone()[0])

    def check_process(self) -> None:
        """
        Refuse to work in a process that this one forked: files and connections are shared.
        """
        if os.getpid() != self._process:
            raise ConfigurationError("this client was made before a fork; make one per process")

    def close(self, *, handed_over: bool) -> None:
        """
        Close the file. *handed_over*: the shop has got every outcome that was returned.
        """
        try:
            if handed_over:
                with self._writing():
                    self._database.execute(statements.HANDED_OVER, (self._account, self._owner.id))
        finally:
            with self._guard:
                self._owner.close()
                self._database.close()

    def _find(self, key: str) -> tuple[object, ...] | None:
        row: tuple[object, ...] | None = self._database.execute(
            statements.FIND, (self._account, key)
        ).fetchone()
        return row

    def _write(self, intent: Intent) -> Claim:
        now = self._clock()
        values = (
            self._account,
            intent.key,
            intent.kind,
            self._owner.id,
            intent.fingerprint,
            intent.payment_id,
            intent.order,
            intent.amount_minor,
            intent.currency,
            intent.last4,
            now,
            now,
        )
        self._database.execute(statements.WRITE, values)
        self._claimed_now.add(intent.key)
        return Claim(Found.NEW)

    def _go_on(self, recorded: Recorded) -> Claim:
        """
        Return what to do with an intent that the journal already has.
        """
        key = recorded.intent.key
        match recorded.state:
            case State.NEVER_SENT:
                return Claim(Found.FENCED)
            case State.FINISHED:
                return Claim(Found.FINISHED, recorded.payment)
            case State.NOT_SENT:
                return self._write(recorded.intent)
            case State.APPROVED:
                self._own(key)
                return Claim(Found.APPROVED, recorded.payment)
            case _:
                self._own(key)
                return Claim(Found.OPEN)

    def _own(self, key: str) -> None:
        self._database.execute(statements.OWN, (self._owner.id, self._account, key))
        self._claimed_now.add(key)

    def _is_busy(self, row: tuple[object, ...]) -> bool:
        state, owner, key = row[0], row[1], str(row[3])
        return state in OPEN_STATES and self._is_in_use(key, owner)

    def _is_in_use(self, key: str, owner: object) -> bool:
        if owner is None or owner == self._owner.id:
            return key in self._in_use
        return not owners.is_dead(self._owners, str(owner))

    def _retold(self) -> Iterator[Recorded]:
        mine = (self._account, self._owner.id)
        for owner, last_seen in self._database.execute(statements.LAST_SEEN, mine).fetchall():
            if not owners.is_dead(self._owners, owner):
                continue
            since = last_seen - RETELL_SECONDS
            found = (self._account, owner, since, RECOVERIES_MAX)
            rows = self._database.execute(statements.LAST_CLOSED, found).fetchall()
            self._database.execute(
                statements.INHERIT, (since, self._owner.id, self._account, owner)
            )
            yield from map(_recorded, rows)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """
        One transaction, durable when the block ends.
        """
        self.check_process()
        with self._guard:
            self._claimed_now.clear()
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield
                self._database.execute("COMMIT")
                self._in_use |= self._claimed_now
            except sqlite3.Error as failure:
                raise JournalFailed(f"the journal cannot be written: {failure}") from None
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")


def _recorded(row: tuple[object, ...]) -> Recorded:
    state, _owner, payment, key, kind, fingerprint, payment_id, order, amount, currency, last4 = row
    intent = {
        "key": key,
        "kind": kind,
        "fingerprint": fingerprint,
        "payment_id": payment_id,
        "order": order,
        "amount_minor": amount,
        "currency": currency,
        "last4": last4,
    }
    return Recorded(
        intent=msgspec.convert(intent, Intent),
        state=State(str(state)),
        payment=msgspec.json.decode(payment, type=Payment) if isinstance(payment, bytes) else None,
    )


def _prepare_files(path: Path) -> None:
    """
    Make the folder (0700) and the file (0600), and refuse a folder that others may write to.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.parent.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        raise JournalFailed(
            f"others may write to {path.parent}; give the journal a folder of its own (chmod 700)"
        )
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # The name of the file has to survive a power cut, too.
    finally:
        os.close(folder)


def _open_database(path: Path, now: float) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=LOCK_SECONDS_MAX, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA fullfsync = ON")  # macOS: to the platter, not to the drive's cache.
    database.execute("BEGIN IMMEDIATE")
    version = database.execute(statements.VERSION_NOW).fetchone()[0]
    if version > statements.SCHEMA_VERSION:
        raise JournalFailed(f"{path} was written by a newer counterfoil-client; upgrade this one")
    for step in _steps_from(version):
        database.execute(step)
    database.execute(statements.FORGET, (now - KEEP_DAYS * 86400,))
    database.execute("COMMIT")
    return database


def _steps_from(version: int) -> tuple[str, ...]:
    """
    Return the statements that bring a file of *version* (0: a new one) to ours, in one transaction.
    """
    if version == statements.SCHEMA_VERSION:
        return ()
    if version == 0:
        return statements.SCHEMA, statements.INDEX, statements.VERSION_SET
    return (
        statements.SET_ASIDE,
        statements.SCHEMA,
        statements.BRING_OVER,
        statements.DROP_OLD,
        statements.INDEX,
        statements.VERSION_SET,
    )
