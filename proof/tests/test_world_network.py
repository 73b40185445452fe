"""The wire of a world: whole messages, and what befalls them."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.life import Life
from counterfoil_proof.world.loop import VirtualLoop
from counterfoil_proof.world.network import Network, WireSocket, whole_frames
from counterfoil_proof.world.weather import Weather


class Echo(asyncio.Protocol):
    """Answers every message with itself."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.lost: Exception | str | None = "not yet"

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc


class EchoRail:
    """A host that takes every connection."""

    def __init__(self) -> None:
        self.life = Life("rail", 1)
        self.links: list[Echo] = []

    def accept(self, transport: asyncio.Transport) -> asyncio.Protocol:
        self.links.append(Echo(transport))
        return self.links[-1]


class Nobody:
    """Watches nothing."""

    def sent(self, life: Life, frame: bytes) -> None: ...

    def arrives(self, frame: bytes) -> None: ...

    def answered(self, frame: bytes) -> None: ...


def frame(number: int) -> bytes:
    content = f"0200{number:04d}".encode()
    return len(content).to_bytes(2, "big") + content


def exchanged(weather: Weather, numbers: int = 40) -> tuple[list[bytes], Counter[str], EchoRail]:
    """Send messages over one connection; return what comes back."""
    counts: Counter[str] = Counter()
    loop = VirtualLoop()
    rails: list[EchoRail] = []
    heard = bytearray()

    async def scenario() -> None:
        def count(name: str) -> None:
            counts[name] += 1

        network = Network(weather, Chance(1), Nobody(), count)
        rails.append(EchoRail())
        network.rail = rails[0]
        sock: Any = WireSocket(network, Life("gateway", 1))
        await network.connect(sock)

        def read() -> None:
            try:
                heard.extend(sock.recv(65536))
            except ConnectionResetError:
                counts["reset heard"] += 1

        sock.watch(read)
        for number in range(numbers):
            if sock.circuit is not None:
                sock.send(frame(number))
            await asyncio.sleep(0.1)
        await asyncio.sleep(100)

    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()
    return whole_frames(heard), counts, rails[0]


def test_in_calm_weather_every_message_arrives_once_and_in_order() -> None:
    heard, _, _ = exchanged(Weather(wire_span=(0.01, 0.5)))

    assert heard == [frame(number) for number in range(40)]


def test_messages_are_lost_and_doubled_whole() -> None:
    heard, counts, _ = exchanged(Weather(wire_lost=0.2, wire_doubled=0.2))

    assert counts["message lost"] > 5
    assert counts["message doubled"] > 5
    assert set(heard) <= {frame(number) for number in range(40)}
    assert max(Counter(heard).values()) > 1


def test_messages_overtake_each_other_only_where_they_may() -> None:
    mixed, counts, _ = exchanged(Weather(wire_span=(0.01, 3.0), wire_mixed=True))
    _, in_order, _ = exchanged(Weather(wire_span=(0.01, 3.0)))

    assert mixed != sorted(mixed)
    assert counts["message overtakes another"] > 5
    assert not in_order["message overtakes another"]
    assert sorted(mixed) == [frame(number) for number in range(40)]


def test_a_reset_is_told_to_both_ends() -> None:
    _, counts, rail = exchanged(Weather(wire_cut=1.0))

    assert counts["reset heard"] == 1
    assert isinstance(rail.links[0].lost, ConnectionResetError)


def test_a_deaf_connection_tells_nobody() -> None:
    heard, counts, rail = exchanged(Weather(wire_deaf=1.0))

    assert heard == []
    assert counts["connection deaf"] == 1
    assert rail.links[0].lost == "not yet"


@pytest.mark.parametrize("size", [1, 3, 10])
def test_messages_are_cut_out_of_any_pieces(size: int) -> None:
    data, buffer, found = frame(1) + frame(2), bytearray(), []
    for at in range(0, len(data), size):
        buffer += data[at : at + size]
        found += whole_frames(buffer)

    assert found == [frame(1), frame(2)]
