"""
A rail on a given clock and seed, without sockets: the same messages make the same books.
"""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import iso8583
from counterfoil_rail.dialects import GW87, Fields
from counterfoil_rail.issuer import DelayRange
from counterfoil_rail.link import Link
from counterfoil_rail.listing import Row, charges
from counterfoil_rail.log import Log
from counterfoil_rail.server import Settings, opened

from .conftest import follow_up, frame, network, payment

CARD_KEY = bytes(range(32))
BEGINNING = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


class Wire(asyncio.Transport):
    """What a link writes, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what leaves."""
        self.written += data

    def is_closing(self) -> bool:
        """Stay open."""
        return False


async def _story(state: Path, messages: list[Fields]) -> tuple[list[Row], bytes, str]:
    """What books, wire and log say after these messages, on two links."""
    ticks = iter(range(1_000_000))
    log = io.StringIO()

    def clock() -> datetime:
        return BEGINNING + timedelta(milliseconds=next(ticks))

    settings = Settings(
        state,
        seed=7,
        clock=clock,
        issuer_delay=DelayRange(1, 9),
        card_key=CARD_KEY,
        is_durable=False,
    )
    with opened(settings, Log(clock, stream=log)) as rail:
        wires = [Wire(), Wire()]
        links = [Link(rail.host) for _ in wires]
        for link, wire in zip(links, wires, strict=True):
            link.connection_made(wire)
            link.data_received(frame(network("001", f11="000001")))
        for number, message in enumerate(messages):
            links[number % 2].data_received(frame(message))
            await asyncio.sleep(0.02)
        for link in links:
            link.connection_lost(None)
    return list(charges(state)), b"".join(wire.written for wire in wires), log.getvalue()


async def test_a_clock_and_a_seed_repeat_everything(tmp_path: Path) -> None:
    """Two rails given the same clock, seed, key and messages tell the same, byte for byte."""
    sale, hold = payment(), payment("0100")
    messages = [sale, hold, follow_up(hold, "0220"), follow_up(sale, "0420")]

    first = await _story(tmp_path / "first", messages)
    second = await _story(tmp_path / "second", messages)

    assert first == second
    assert [charge["state"] for charge in first[0]] == ["reversed", "captured"]


async def test_a_rail_without_sockets_dies_like_a_process(tmp_path: Path) -> None:
    """What an issuer still thinks about is gone; what was answered is in the books."""
    settings = Settings(tmp_path, is_durable=False)
    log = Log(settings.clock, stream=io.StringIO())
    wire = Wire()
    with opened(settings, log) as rail:
        link = Link(rail.host)
        link.connection_made(wire)
        link.data_received(frame(network("001")))
        link.data_received(frame(payment()))
        await asyncio.sleep(0.02)
        rail.faults.set("issuer_delay_ms", "30")
        link.data_received(frame(payment()))
    await asyncio.sleep(0.06)
    link.connection_lost(None)

    length = int.from_bytes(wire.written[:2], "big")
    answer, _ = iso8583.decode(wire.written[length + 4 :], GW87.spec)
    assert answer["39"] == "00"
    assert [charge["state"] for charge in charges(tmp_path)] == ["captured"]
