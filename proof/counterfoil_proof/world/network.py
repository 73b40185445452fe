"""
The wire between gateways and the acquirer: whole messages, each with a fate of its own.

The gateway's end is a socket that its own line and connection write to and read from, the
acquirer's end is a transport of its own link. Between them a message is delayed, lost, doubled,
overtaken or garbled; a connection is reset, or falls silent without a word to either end.
"""

import asyncio
import contextvars
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.life import LIFE, Life
from counterfoil_proof.world.weather import Weather

HEADER_BYTES = 2
MTI_END = 6
TICK_SECONDS = 1e-6  # Timers of the same moment go off in no particular order.
CONNECT_SECONDS_MAX = 4.0
GARBAGE = b"\x00\x04\xff\xfe\xfd\xfc"


class Rail(Protocol):
    """
    The acquirer's host, as the wire sees it.
    """

    life: Life

    def accept(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """
        Take a new connection in.
        """
        ...


class Watcher(Protocol):
    """
    Who looks at what passes on the wire.
    """

    def sent(self, life: Life, frame: bytes) -> None:
        """
        A gateway's process has handed *frame* to the kernel.
        """
        ...

    def arrives(self, frame: bytes) -> None:
        """
        *frame* reaches the acquirer now.
        """
        ...

    def answered(self, frame: bytes) -> None:
        """
        The acquirer has written *frame*.
        """
        ...


class Network:
    """
    All wires to one acquirer. `rail` is None while its host is down.
    """

    def __init__(
        self, weather: Weather, chance: Chance, watcher: Watcher, count: Callable[[str], None]
    ) -> None:
        self.weather = weather
        self.count = count
        self.watcher = watcher
        self.rail: Rail | None = None
        self.is_cut = False
        self.frames = 0
        self._chance = chance
        self._made = 0
        self._circuits: dict[Circuit, None] = {}

    def socket(self, _family: int, _kind: int) -> Any:
        """
        Return a socket for the process that asks.
        """
        life = LIFE.get()
        assert life is not None, "only a process has sockets"
        return WireSocket(self, life)

    async def connect(self, sock: "WireSocket") -> None:
        """
        Connect a gateway's socket to the acquirer.

        Raises:
            OSError: Nobody listens.
        """
        self._made += 1
        chance = self._chance.stream("wire", self._made)
        if self.is_cut:
            await asyncio.sleep(CONNECT_SECONDS_MAX)
            raise TimeoutError("no route to the acquirer")
        await asyncio.sleep(chance.uniform(*self.weather.wire_span))
        rail = self.rail
        if rail is None or rail.life.is_dead:
            raise ConnectionRefusedError(111, "Connection refused")
        circuit = Circuit(self, sock, rail, chance)
        self._circuits[circuit] = None

    def reset_all(self) -> None:
        """
        Reset every connection.
        """
        for circuit in list(self._circuits):
            circuit.reset()

    def forget(self, circuit: "Circuit") -> None:
        """
        A connection is gone.
        """
        self._circuits.pop(circuit, None)


class WireSocket:
    """
    The gateway's end: as much of a non-blocking socket as a line uses.
    """

    def __init__(self, network: Network, life: Life) -> None:
        self._network = network
        self._life = life
        self._incoming = bytearray()
        self._at_end: bytes | OSError | None = None
        self._callback: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None
        self._partial = bytearray()
        self.circuit: Circuit | None = None
        life.at_death(self.close)

    def setblocking(self, _flag: bool) -> None:
        """
        It never blocks.
        """

    def setsockopt(self, *_: Any) -> None:
        """
        It has no options.
        """

    async def connect(self, _address: tuple[Any, ...]) -> None:
        """
        Connect to the acquirer.
        """
        await self._network.connect(self)

    def send(self, data: bytes) -> int:
        """
        Hand *data* to the kernel, message by message.
        """
        circuit = self.circuit
        if circuit is None or self._life.is_dead:
            raise BrokenPipeError(32, "Broken pipe")
        self._partial += data
        for frame in whole_frames(self._partial):
            self._life.point(f"link write {mti_of(frame)} before")
            self._network.watcher.sent(self._life, frame)
            circuit.to_rail.put(frame)
            self._life.point(f"link write {mti_of(frame)} after")
        return len(data)

    def recv(self, bytes_max: int) -> bytes:
        """
        Return what has arrived.
        """
        if self._incoming:
            data = bytes(self._incoming[:bytes_max])
            del self._incoming[:bytes_max]
            return data
        if isinstance(self._at_end, OSError):
            raise self._at_end
        if self._at_end is not None:
            return self._at_end
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def close(self) -> None:
        """
        Close this end; the other one is told.
        """
        self._callback = None
        if self.circuit is not None:
            self.circuit.closed_by_gateway()
            self.circuit = None

    def watch(self, callback: Callable[[], None] | None) -> None:
        """
        Call *callback* whenever there is something to read.
        """
        self._callback = callback
        self._context = contextvars.copy_context() if callback else None
        if self._incoming or self._at_end is not None:
            self._wake()

    def deliver(self, data: bytes) -> None:
        """
        *data* arrives.
        """
        self._incoming += data
        self._wake()

    def end(self, how: bytes | OSError) -> None:
        """
        The other end is gone.
        """
        self._at_end = how
        self.circuit = None
        self._wake()

    def _wake(self) -> None:
        if self._callback is not None:
            asyncio.get_running_loop().call_soon(self._callback, context=self._context)


class RailTransport(asyncio.Transport):
    """
    The acquirer's end.
    """

    def __init__(self, circuit: "Circuit") -> None:
        super().__init__()
        self._circuit = circuit
        self._partial = bytearray()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send answers.
        """
        self._partial += data
        for frame in whole_frames(self._partial):
            self._circuit.network.watcher.answered(frame)
            self._circuit.to_gateway.put(frame)

    def is_closing(self) -> bool:
        """
        Return whether nothing can be sent any more.
        """
        return self._is_closing

    def close(self) -> None:
        """
        End the connection after what was written has left.
        """
        if not self._is_closing:
            self._is_closing = True
            self._circuit.closed_by_rail()

    def abort(self) -> None:
        """
        End it at once.
        """
        if not self._is_closing:
            self._is_closing = True
            self._circuit.reset()

    def pause_reading(self) -> None:
        """
        Nothing here fills up.
        """

    def resume_reading(self) -> None:
        """
        Nothing here fills up.
        """


class Circuit:
    """
    One connection between a line and a link.
    """

    def __init__(self, network: Network, sock: WireSocket, rail: Rail, chance: Random) -> None:
        self.network = network
        self.chance = chance
        self.to_rail = Way(self, self._at_rail)
        self.to_gateway = Way(self, sock.deliver)
        self._sock: WireSocket | None = sock
        self._life = rail.life
        self._transport = RailTransport(self)
        self._link: asyncio.Protocol | None = rail.accept(self._transport)
        sock.circuit = self
        self._life.at_death(self.reset)
        self._in_rail(self._link.connection_made, self._transport)

    def closed_by_gateway(self) -> None:
        """
        The gateway's end is gone; what is on its way to the acquirer still arrives.
        """
        self._sock = None
        self.to_gateway.stop()
        self._later(self._lose_link, None)

    def closed_by_rail(self) -> None:
        """
        The acquirer's end is gone.
        """
        sock, self._sock = self._sock, None
        self._in_rail(self._lose_link, None)
        self.to_rail.stop()
        if sock is not None:
            self._later(sock.end, b"")

    def reset(self) -> None:
        """
        Break it: both ends are told, what was under way is lost.
        """
        self.to_rail.stop()
        self.to_gateway.stop()
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.end(ConnectionResetError(104, "Connection reset by peer"))
        self._in_rail(self._lose_link, ConnectionResetError(104, "Connection reset by peer"))

    def _at_rail(self, frame: bytes) -> None:
        if self._link is not None and not self._life.is_dead:
            self.network.watcher.arrives(frame)
            self._in_rail(self._received, frame)

    def _received(self, frame: bytes) -> None:
        if self._link is not None and not self._transport.is_closing():
            assert hasattr(self._link, "data_received")
            self._link.data_received(frame)

    def _lose_link(self, error: Exception | None) -> None:
        self.network.forget(self)
        link, self._link = self._link, None
        self._transport._is_closing = True
        if link is not None and not self._life.is_dead:
            link.connection_lost(error)

    def _in_rail(self, act: Callable[..., object], *arguments: Any) -> None:
        if not self._life.is_dead:
            asyncio.get_running_loop().call_soon(act, *arguments, context=self._life.context)

    def _later(self, act: Callable[..., object], *arguments: Any) -> None:
        delay = self.chance.uniform(*self.network.weather.wire_span)
        asyncio.get_running_loop().call_later(delay, act, *arguments, context=_NOBODYS)


class Way:
    """
    One direction of a connection.
    """

    def __init__(self, circuit: Circuit, deliver: Callable[[bytes], None]) -> None:
        self._circuit = circuit
        self._deliver = deliver
        self._is_deaf = False
        self._is_stopped = False
        self._last_at = 0.0

    def stop(self) -> None:
        """
        Deliver nothing more.
        """
        self._is_stopped = True

    def put(self, frame: bytes) -> None:
        """
        Let *frame* meet its fate.
        """
        network, chance = self._circuit.network, self._circuit.chance
        weather = network.weather
        network.frames += 1
        drawn = [chance.random() for _ in range(6)]
        if drawn[0] < weather.wire_deaf and not self._is_deaf:
            self._is_deaf = True
            network.count("connection deaf")
        if self._is_deaf or network.is_cut or drawn[1] < weather.wire_lost:
            network.count("message lost")
            return
        if drawn[2] < weather.wire_cut:
            network.count("connection reset")
            self._circuit.reset()
            return
        if drawn[3] < weather.wire_garbled:
            network.count("message garbled")
            frame = GARBAGE
        self._travel(frame, is_slow=drawn[4] < weather.wire_slow)
        if drawn[5] < weather.wire_doubled:
            network.count("message doubled")
            self._travel(frame, is_slow=False)

    def _travel(self, frame: bytes, *, is_slow: bool) -> None:
        weather = self._circuit.network.weather
        if is_slow:
            self._circuit.network.count("message slow")
        loop = asyncio.get_running_loop()
        span = weather.wire_slow_span if is_slow else weather.wire_span
        at = loop.time() + self._circuit.chance.uniform(*span)
        if not weather.wire_mixed:
            at = max(at, self._last_at + TICK_SECONDS)
        if at < self._last_at:
            self._circuit.network.count("message overtakes another")
        self._last_at = at
        loop.call_at(at, self._arrive, frame, context=_NOBODYS)

    def _arrive(self, frame: bytes) -> None:
        if not self._is_stopped:
            self._deliver(frame)


def whole_frames(buffer: bytearray) -> list[bytes]:
    """
    Take the whole frames out of *buffer*.
    """
    found = []
    while len(buffer) >= HEADER_BYTES:
        end = HEADER_BYTES + int.from_bytes(buffer[:HEADER_BYTES], "big")
        if len(buffer) < end:
            break
        found.append(bytes(buffer[:end]))
        del buffer[:end]
    return found


def mti_of(frame: bytes) -> str:
    """
    Return the message type of a frame.
    """
    return frame[HEADER_BYTES:MTI_END].decode("ascii", "replace")


_NOBODYS = contextvars.Context()  # Of no life.
