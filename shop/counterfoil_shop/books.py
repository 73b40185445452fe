"""
The shop's own books: every order, on the shop's own disk.

An order is written *before* the gateway is asked, so that a crash at any moment leaves a
row that says which key to ask about. It holds brand and last four digits of the card,
nothing more. This is the only module with SQL.
"""

import sqlite3
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Literal

Status = Literal["paid", "not_paid", "refunded", "unknown"]
Way = Literal["shop", "page"]  # Where the card is typed: here, or on the gateway's page.

ORDERS_LISTED_MAX = 100_000
BUSY_SECONDS_MAX = 10.0
SCHEMA_VERSION = 2

_TABLE = """
CREATE TABLE orders (
    number              INTEGER PRIMARY KEY AUTOINCREMENT,
    access_token        TEXT NOT NULL UNIQUE,
    form_token          TEXT NOT NULL UNIQUE,
    idempotency_key     TEXT NOT NULL UNIQUE,
    product             TEXT NOT NULL,
    quantity            INTEGER NOT NULL CHECK (quantity > 0),
    amount_minor        INTEGER NOT NULL CHECK (amount_minor > 0),
    currency            TEXT NOT NULL CHECK (length(currency) = 3),
    customer_name       TEXT NOT NULL,
    customer_email      TEXT NOT NULL,
    postal_code         TEXT NOT NULL,
    way                 TEXT NOT NULL DEFAULT 'shop' CHECK (way IN ('shop', 'page')),
    card_brand          TEXT,
    card_last4          TEXT CHECK (length(card_last4) = 4),
    return_url          TEXT,
    checkout_id         TEXT,
    checkout_url        TEXT,
    return_secret       TEXT,
    status              TEXT NOT NULL DEFAULT 'unknown'
                        CHECK (status IN ('paid', 'not_paid', 'refunded', 'unknown')),
    payment_id          TEXT,
    rrn                 TEXT,
    confirmation_number TEXT,
    approval_code       TEXT,
    shopper_message     TEXT,
    placed_at           TEXT NOT NULL,
    decided_at          TEXT,
    CHECK (status NOT IN ('paid', 'refunded') OR confirmation_number IS NOT NULL),
    CHECK ((status = 'unknown') = (decided_at IS NULL)),
    CHECK (way = 'page' OR card_last4 IS NOT NULL),
    CHECK ((checkout_id IS NULL) = (return_secret IS NULL))
) STRICT;
CREATE INDEX orders_by_status ON orders (status, number);
"""
_SCHEMA = (
    "BEGIN IMMEDIATE;"
    + _TABLE
    + """
INSERT INTO sqlite_sequence (name, seq) VALUES ('orders', 1000);  -- The first is 1001.
PRAGMA user_version = 2;
COMMIT;
"""
)
# Version 1 knew no payment page, and SQLite cannot loosen a column: its rows go into a new table.
_SET_ASIDE = """
BEGIN IMMEDIATE;
DROP INDEX orders_by_status;
ALTER TABLE orders RENAME TO orders_of_version_1;
"""
_BRING_OVER = """
INSERT INTO sqlite_sequence (name, seq)
SELECT 'orders', seq FROM sqlite_sequence WHERE name = 'orders_of_version_1';
INSERT INTO orders (number, access_token, form_token, idempotency_key, product, quantity,
                    amount_minor, currency, customer_name, customer_email, postal_code, card_brand,
                    card_last4, status, payment_id, rrn, confirmation_number, approval_code,
                    shopper_message, placed_at, decided_at)
SELECT number, access_token, form_token, idempotency_key, product, quantity,
       amount_minor, currency, customer_name, customer_email, postal_code, card_brand,
       card_last4, status, payment_id, rrn, confirmation_number, approval_code,
       shopper_message, placed_at, decided_at
FROM orders_of_version_1;
DROP TABLE orders_of_version_1;
PRAGMA user_version = 2;
COMMIT;
"""

# A new order; another submission of the same form changes nothing.
_PLACE = """
INSERT INTO orders (access_token, form_token, idempotency_key, product, quantity, amount_minor,
                    currency, customer_name, customer_email, postal_code, card_brand, card_last4,
                    way, placed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (form_token) DO NOTHING
"""
# The outcome, once: an order that has one keeps it.
_DECIDE = """
UPDATE orders SET status = ?, payment_id = ?, rrn = ?, confirmation_number = ?, approval_code = ?,
                  shopper_message = ?, card_brand = COALESCE(card_brand, ?),
                  card_last4 = COALESCE(card_last4, ?), decided_at = ?
WHERE number = ? AND status = 'unknown'
"""
# Where its payment page leads back to.
_LEAD_BACK = "UPDATE orders SET return_url = ? WHERE number = ?"
_OPENED = """
UPDATE orders SET checkout_id = ?, checkout_url = ?, return_secret = ?
WHERE number = ? AND checkout_id IS NULL
"""
# The one move a decided order may make: the money went back.
_REFUND = "UPDATE orders SET status = 'refunded' WHERE payment_id = ? AND status = 'paid'"
_BY_NUMBER = "SELECT * FROM orders WHERE number = ?"
_BY_FORM = "SELECT * FROM orders WHERE form_token = ?"
_IN_STATUS = "SELECT * FROM orders WHERE status = ? ORDER BY number DESC LIMIT ?"
_ALL = "SELECT * FROM orders ORDER BY number LIMIT ?"


@dataclass(frozen=True)
class Purchase:
    """
    What a shopper asks for, checked, without the card number.
    """

    form_token: str
    product: str
    quantity: int
    amount_minor: int
    currency: str
    customer_name: str
    customer_email: str
    postal_code: str
    card_brand: str | None
    card_last4: str | None


@dataclass(frozen=True)
class Order(Purchase):
    """
    A row of the books.
    """

    number: int
    access_token: str
    idempotency_key: str
    status: Status
    payment_id: str | None
    rrn: str | None
    confirmation_number: str | None
    approval_code: str | None
    shopper_message: str | None
    placed_at: str
    decided_at: str | None
    way: Way = "shop"
    return_url: str | None = None
    checkout_id: str | None = None
    checkout_url: str | None = None
    return_secret: str | None = None


@dataclass(frozen=True)
class Outcome:
    """
    How an order ended.
    """

    status: Literal["paid", "not_paid", "refunded"]
    payment_id: str | None = None
    rrn: str | None = None
    confirmation_number: str | None = None
    approval_code: str | None = None
    shopper_message: str | None = None
    card_brand: str | None = None
    card_last4: str | None = None


class Books:
    """
    The open order book. Safe to use from several threads; every write is on disk on return.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        _migrate(self._database)

    def close(self) -> None:
        """
        Close the file; nothing is pending, since every call commits.
        """
        self._database.close()

    def place(
        self, purchase: Purchase, lead_back: Callable[[Order], str] | None = None
    ) -> tuple[Order, bool]:
        """
        Write the order for *purchase*, and say whether this call is the one that wrote it.

        The same form submitted again finds the order that its first submission wrote. With
        *lead_back* the order is paid on a payment page, which leads back to the address that it
        makes: written with the order, as whoever finds the order may open its page.
        """
        row = (
            token_urlsafe(24),
            purchase.form_token,
            f"shop-{uuid.uuid4().hex}",
            purchase.product,
            purchase.quantity,
            purchase.amount_minor,
            purchase.currency,
            purchase.customer_name,
            purchase.customer_email,
            purchase.postal_code,
            purchase.card_brand,
            purchase.card_last4,
            "shop" if lead_back is None else "page",
            _now(),
        )
        with self._lock, self._database:  # Commits, or takes everything back.
            self._database.execute("BEGIN IMMEDIATE")
            fresh = self._database.execute(_PLACE, row).rowcount == 1
            order = self._one(_BY_FORM, purchase.form_token)
            assert order is not None
            if fresh and lead_back is not None:
                order = replace(order, return_url=lead_back(order))
                self._database.execute(_LEAD_BACK, (order.return_url, order.number))
        return order, fresh

    def decide(self, number: int, outcome: Outcome) -> bool:
        """
        Record the outcome of an order that has none; False when it had one already.
        """
        row = (
            outcome.status,
            outcome.payment_id,
            outcome.rrn,
            outcome.confirmation_number,
            outcome.approval_code,
            outcome.shopper_message,
            outcome.card_brand,
            outcome.card_last4,
            _now(),
            number,
        )
        with self._lock:
            return self._database.execute(_DECIDE, row).rowcount == 1

    def opened(self, number: int, checkout_id: str, url: str, secret: str) -> None:
        """
        Note the payment page of an order; the first one stays.
        """
        with self._lock:
            self._database.execute(_OPENED, (checkout_id, url, secret, number))

    def refund(self, payment_id: str) -> bool:
        """
        Note that the money of a paid order went back; False when there is no such order.
        """
        with self._lock:
            return self._database.execute(_REFUND, (payment_id,)).rowcount == 1

    def order(self, number: int) -> Order | None:
        """
        The order of that number.
        """
        with self._lock:
            return self._one(_BY_NUMBER, number)

    def of_form(self, form_token: str) -> Order | None:
        """
        The order that the form with that token made.
        """
        with self._lock:
            return self._one(_BY_FORM, form_token)

    def in_status(self, status: Status, limit: int) -> list[Order]:
        """
        At most *limit* orders in *status*, the newest first.
        """
        with self._lock:
            rows = self._database.execute(_IN_STATUS, (status, limit)).fetchall()
        return [Order(**row) for row in rows]

    def _one(self, query: str, value: object) -> Order | None:
        row = self._database.execute(query, (value,)).fetchone()
        return Order(**row) if row else None


def read_all(path: Path) -> list[Order]:
    """
    Every order in the books at *path*, oldest first; none when there are no books yet.

    Reads beside a running shop and without one.
    """
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
        database.row_factory = sqlite3.Row
        database.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS_MAX * 1000)}")
        database.execute("PRAGMA query_only = ON")
        if _version(database) == 0:
            return []  # Made, but its first order is still to come.
        return [Order(**row) for row in database.execute(_ALL, (ORDERS_LISTED_MAX,))]


def _migrate(database: sqlite3.Connection) -> None:
    if _version(database) == 0:
        database.executescript(_SCHEMA)
    if _version(database) == 1:
        database.executescript(_SET_ASIDE + _TABLE + _BRING_OVER)
    if _version(database) != SCHEMA_VERSION:
        raise RuntimeError(f"orders.db is of version {_version(database)}, not {SCHEMA_VERSION}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
