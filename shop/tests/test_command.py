"""
The command `counterfoil-shop`, as a process.
"""

import json
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from counterfoil_shop.books import Books, Outcome, Purchase

SHOP = [sys.executable, "-m", "counterfoil_shop.cli"]
START_SECONDS_MAX = 15.0


def test_orders_lists_what_the_books_say(tmp_path: Path, purchase: Purchase) -> None:
    """Promise: a JSON list with the agreed keys; an empty one where there is no shop yet."""
    assert listed(tmp_path) == []

    with closing(Books(tmp_path / "shop" / "orders.db")) as books:
        order, _ = books.place(purchase)
        books.decide(order.number, Outcome("paid", "pay_1", "632706000123", "123456789012"))

    assert listed(tmp_path) == [
        {
            "order": "1001",
            "payment_id": "pay_1",
            "rrn": "632706000123",
            "confirmation_number": "123456789012",
            "amount_minor": 4200,
            "currency": "USD",
            "status": "paid",
        }
    ]
    assert "$42.00 USD" in run("orders", "--state", str(tmp_path)).stdout


def test_the_shop_announces_itself_and_stops_cleanly(tmp_path: Path, authority: Path) -> None:
    """Promise: serving.json is true while it serves; SIGTERM ends it with 0; logs are JSON."""
    with serving(tmp_path, authority) as (process, facts):
        answer = urllib.request.urlopen(f"http://{facts['host']}:{facts['port']}/", timeout=5)
        assert answer.status == 200
        assert "server" not in answer.headers
        assert listed(tmp_path) == []
        second = run(*arguments(tmp_path, authority))
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]

    assert second.returncode == 1
    assert "already serves" in second.stderr
    assert [line["event"] for line in lines if line["event"] != "look_failed"] == [
        "serving",
        "request",
        "stopped",
    ]
    assert not (tmp_path / "shop" / "serving.json").exists()
    assert stat.S_IMODE((tmp_path / "shop").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--host", "0.0.0.0", "plain HTTP is for 127.0.0.1"),
        ("--host", "shop.example", "no loopback address"),
        ("--gateway", "http://127.0.0.1:1", "https"),
        ("--key-file", "/nonexistent", "cannot read"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    tmp_path: Path, authority: Path, option: str, value: str, words: str
) -> None:
    """Promise: a wrong setting ends the command with a sentence that says what is wrong."""
    options = arguments(tmp_path, authority)

    refused = run(*options[: options.index(option)], option, value, *rest_after(options, option))

    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_live_key_is_refused(tmp_path: Path, authority: Path) -> None:
    """Promise: the demo shop never meets real money."""
    options = arguments(tmp_path, authority)
    (tmp_path / "key").write_text("sk_live_abc\n")

    refused = run(*options)

    assert refused.returncode == 1
    assert "test mode" in refused.stderr
    assert "sk_live_abc" not in refused.stderr


def rest_after(options: list[str], option: str) -> list[str]:
    return options[options.index(option) + 2 :]


def arguments(state: Path, authority: Path) -> list[str]:
    (state / "key").write_text("sk_test_shop\n")
    return [
        *("serve", "--state", str(state), "--gateway", "https://127.0.0.1:1"),
        *("--key-file", str(state / "key"), "--ca", str(authority)),
        *("--host", "127.0.0.1", "--port", "0"),
    ]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SHOP, *options], capture_output=True, text=True, timeout=30)


def listed(state: Path) -> Any:
    return json.loads(run("orders", "--json", "--state", str(state)).stdout)


@contextmanager
def serving(state: Path, authority: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [*SHOP, *arguments(state, authority)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    path = state / "shop" / "serving.json"
    try:
        give_up = time.monotonic() + START_SECONDS_MAX
        while not path.exists():
            assert time.monotonic() < give_up, "the shop did not start"
            time.sleep(0.02)
        facts = json.loads(path.read_text())
        assert facts["pid"] == process.pid
        yield process, facts
    finally:
        process.terminate()
        process.wait(15)
