"""
The command `counterfoil-shop`: serve the shop, list its orders.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

from counterfoil_client import ConfigurationError, JournalFailed
from cyclopts import App, Parameter

from counterfoil_shop import __version__, app, log, loopback
from counterfoil_shop.books import Order, read_all
from counterfoil_shop.catalog import dollars
from counterfoil_shop.pages import summary

TEST_KEY = "sk_test_"
COLUMNS = ("order", "status", "amount", "confirmation number", "RRN", "payment")

_logger = logging.getLogger(__name__)

main = App(
    name="counterfoil-shop",
    help="A demo storefront that takes its payments with counterfoil-client.",
    version=__version__,
)


@main.command
def serve(
    *,
    state: Path,
    gateway: str,
    key_file: Path,
    ca: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
) -> None:
    """
    Open the shop, and keep it open until SIGTERM or Ctrl-C.

    It speaks plain HTTP, because it is a demo for this machine only: a host that other
    machines can reach is refused. Its books are in STATE/shop; STATE/shop/serving.json
    says where it listens while it does.

    Parameters
    ----------
    state
        The demo's folder.
    gateway
        The gateway's address, like https://127.0.0.1:8443.
    key_file
        A file with the merchant's secret key, sk_test_...
    ca
        The certificate authority that the gateway's certificate must come from (PEM).
    host
        A loopback address.
    port
        0 lets the system choose.
    """
    log.setup()
    key = _read_key(key_file)
    folder = app.folder_of(state)
    try:
        with loopback.alone(folder):
            _serve_alone(folder, gateway, key, ca, host, port)
    except (
        loopback.AlreadyRunningError,
        loopback.CannotListenError,
        ConfigurationError,
        JournalFailed,
    ) as error:
        raise SystemExit(f"counterfoil-shop: {error}") from None


@main.command
def orders(
    *,
    state: Path,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """
    List every order in the shop's books, also while the shop is closed.

    Parameters
    ----------
    state
        The demo's folder.
    as_json
        One JSON list instead of a table.
    """
    listed = read_all(app.books_path(app.folder_of(state)))
    if as_json:
        sys.stdout.write(json.dumps([summary(order) for order in listed], indent=2) + "\n")
    else:
        sys.stdout.write(_table(listed))


def _serve_alone(
    folder: Path, gateway: str, key: str, authority: Path, host: str, port: int
) -> None:
    with loopback.listen(host, port) as listener:
        shop = app.build(folder, gateway=gateway, key=key, authority=authority)
        facts = {"host": host, "port": loopback.port_of(listener), "pid": os.getpid()}
        with loopback.announced(folder / "serving.json", facts) as announce:
            asyncio.run(loopback.serve(shop, listener, announce))
    log.event(_logger, "stopped", pid=os.getpid())


def _read_key(key_file: Path) -> str:
    try:
        key = key_file.read_text().strip()
    except OSError as error:
        raise SystemExit(f"counterfoil-shop: cannot read {key_file}: {error.strerror}") from None
    if not key.startswith(TEST_KEY):
        raise SystemExit(
            f"counterfoil-shop: {key_file} holds no {TEST_KEY}... key; this shop is for test mode"
        )
    return key


def _table(listed: list[Order]) -> str:
    rows = [COLUMNS, *(_row(order) for order in listed)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def _row(order: Order) -> tuple[str, ...]:
    return (
        str(order.number),
        order.status,
        f"{dollars(order.amount_minor)} {order.currency}",
        order.confirmation_number or "-",
        order.rrn or "-",
        order.payment_id or "-",
    )


if __name__ == "__main__":
    main()
