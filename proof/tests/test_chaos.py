"""A chaos in parts: links that break in each way, blows from a seed, a verdict that bites."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from counterfoil_proof.chaos.blows import FROZEN, KILLED, blows
from counterfoil_proof.chaos.command import chaos
from counterfoil_proof.chaos.installation import children
from counterfoil_proof.chaos.proxy import Proxy
from counterfoil_proof.chaos.verdict import Audited, Verdict, laid_beside
from counterfoil_proof.demo.ports import LOOPBACK
from counterfoil_shop.app import books_path, folder_of
from counterfoil_shop.books import Books, Outcome, Purchase

SECONDS_MAX = 5.0
HELD_SECONDS = 0.3
GOOD: dict[str, Any] = {
    "attempted": 10,
    "approved": 9,
    "confirmed": 9,
    "declined": 1,
    "reversed": 0,
    "kills": 3,
    "freezes": 1,
    "cuts": 1,
    "unknown": 0,
    "charged_without_order": 0,
    "orders_without_charge": 0,
    "recovery_seconds": 1.0,
    "still_owed": [],
    "audit": Audited(agrees=True, differences=[]),
}


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """Lend a port that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def proxied(*targets: int) -> AsyncIterator[Proxy]:
    """Lend a proxy in front of some ports."""
    free = await asyncio.start_server(lambda _, __: None, LOOPBACK, 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    proxy = Proxy(port, [(LOOPBACK, each) for each in targets])
    await proxy.open()
    yield proxy
    await proxy.close()


class Peer:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, proxy: Proxy) -> "Peer":
        return cls(*await asyncio.open_connection(LOOPBACK, proxy.port))

    async def says(self, word: bytes) -> bytes:
        """Say a word and return what comes back in time."""
        self.writer.write(word)
        return await asyncio.wait_for(self.reader.read(1024), SECONDS_MAX)

    async def is_silent(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            await asyncio.wait_for(self.reader.read(1024), HELD_SECONDS)
        except TimeoutError:
            return True
        return False

    async def is_broken(self) -> bool:
        """Whether the connection ends."""
        try:
            return await asyncio.wait_for(self.reader.read(1024), SECONDS_MAX) == b""
        except ConnectionError:
            return True


async def test_a_network_that_works_forwards_both_ways() -> None:
    async with echoing() as port, proxied(port) as proxy:
        assert await (await Peer.at(proxy)).says(b"hello") == b"hello"


async def test_a_dead_target_is_passed_over() -> None:
    async with echoing() as port, proxied(1, port) as proxy:
        for _ in range(3):
            assert await (await Peer.at(proxy)).says(b"hello") == b"hello"


async def test_reset_ends_what_stands_and_takes_nothing_new() -> None:
    async with echoing() as port, proxied(port) as proxy:
        peer = await Peer.at(proxy)
        await peer.says(b"hello")
        proxy.set("reset")

        assert await peer.is_broken()
        assert await (await Peer.at(proxy)).is_broken()


@pytest.mark.parametrize("mode", ["stall", "half"])
async def test_what_was_held_back_arrives_when_the_network_is_well(mode: Any) -> None:
    async with echoing() as port, proxied(port) as proxy:
        peer = await Peer.at(proxy)
        await peer.says(b"hello")
        proxy.set(mode)
        peer.writer.write(b"late")
        assert await peer.is_silent()
        proxy.set("pass")

        assert await asyncio.wait_for(peer.reader.read(1024), SECONDS_MAX) == b"late"


async def test_half_open_lets_the_request_through() -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1024))
        writer.write(b"answer")

    server = await asyncio.start_server(listen, LOOPBACK, 0)
    async with proxied(server.sockets[0].getsockname()[1]) as proxy:
        peer = await Peer.at(proxy)
        proxy.set("half")
        peer.writer.write(b"request")

        assert await peer.is_silent()
        assert heard == [b"request"]
    server.close()


async def test_dropped_bytes_break_the_connection_afterwards() -> None:
    """What is missing can not be made up: the network is well again, this connection is not."""
    async with echoing() as port, proxied(port) as proxy:
        peer = await Peer.at(proxy)
        await peer.says(b"hello")
        proxy.set("drop")
        peer.writer.write(b"gone")
        assert await peer.is_silent()
        proxy.set("pass")

        assert await peer.is_broken()
        assert await (await Peer.at(proxy)).says(b"again") == b"again"


def test_the_same_seed_deals_the_same_blows() -> None:
    assert list(islice(blows(7), 50)) == list(islice(blows(7), 50))
    assert list(islice(blows(7), 50)) != list(islice(blows(8), 50))


def test_everybody_is_struck_in_every_way() -> None:
    dealt = list(islice(blows(1), 2000))
    by_kind = {
        kind: {each.whom for each in dealt if each.kind == kind} for kind in ("kill", "freeze")
    }

    assert by_kind == {"kill": set(KILLED), "freeze": set(FROZEN)}
    assert {each.how for each in dealt if each.kind == "cut"} == {"reset", "stall", "half", "drop"}
    assert any(each.seconds > 5 for each in dealt if each.kind == "freeze"), "past the lease"


def test_postgresql_stands_still_with_everybody_who_serves_a_connection() -> None:
    """Else a frozen database would go on answering whoever is connected."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60 & wait"]) as first:
        for _ in range(200):
            if len(found := children(first.pid)) == 2:
                break
            time.sleep(0.01)
        for each in (*found, first.pid):
            os.kill(each, signal.SIGKILL)

    assert len(found) == 2
    assert first.pid not in found
    assert children(first.pid) == []


def test_a_run_holds_only_if_everything_does() -> None:
    assert Verdict(**GOOD).holds
    for name in ("unknown", "charged_without_order", "orders_without_charge"):
        assert not Verdict(**{**GOOD, name: 1}).holds
    assert not Verdict(**{**GOOD, "confirmed": 0}).holds, "nothing was sold, so nothing is proved"
    assert not Verdict(**{**GOOD, "still_owed": ["1 x advice reversal"]}).holds
    assert not Verdict(**{**GOOD, "audit": Audited(agrees=False, differences=[])}).holds


def test_an_order_that_was_paid_without_a_charge_is_counted(tmp_path: Path) -> None:
    """Laid beside the rail's books, of which there are none here."""
    books = Books(books_path(folder_of(tmp_path)))
    for number, status in enumerate(("paid", "not_paid", None)):
        purchase = Purchase(
            form_token=f"till-{number}",
            product="Ink",
            quantity=1,
            amount_minor=100,
            currency="USD",
            customer_name="Ada",
            customer_email="ada@shopper.example",
            postal_code="",
            card_brand="visa",
            card_last4="1486",
        )
        order, _ = books.place(purchase)
        if status == "paid":
            told = Outcome("paid", "pay_1", "rrn", "123456789012", "A1")
            books.decide(order.number, told)
        elif status == "not_paid":
            books.decide(order.number, Outcome("not_paid"))
    books.close()

    assert laid_beside(tmp_path) == (3, 1, 0, 1)


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which path, why, and that another may be chosen."""
    (tmp_path / "file").touch()

    with pytest.raises(SystemExit):
        chaos(state=tmp_path / "file" / "run")

    said = capsys.readouterr().err
    assert "choose a folder of your own with --state" in said
    assert str(tmp_path / "file") in said
