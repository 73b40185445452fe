"""
One connection from a gateway: frames in, frames out, and whether it has signed on.

How a message is framed and written is the host's dialect; an empty frame is a keep-alive. What
cannot be a message closes the link.
"""

import asyncio
from typing import Protocol, cast

from counterfoil_rail.dialects import Dialect, Fields
from counterfoil_rail.framing import FramingError

ECHO_IDLE_SECONDS = 90.0  # A gateway echoes after 60 s of silence; a dead one does not.
ECHO_MISSES_MAX = 3


class Host(Protocol):
    """
    What a link needs of the host behind it.
    """

    dialect: Dialect

    def opened(self, link: "Link") -> bool:
        """
        Take a new link in; False when there are too many.
        """
        ...

    def received(self, link: "Link", message: bytes) -> None:
        """
        Act on one message.
        """
        ...

    def idle(self, link: "Link") -> None:
        """
        Test whether the other side still lives: nothing came for a while.
        """
        ...

    def closed(self, link: "Link", reason: str) -> None:
        """
        Forget the link.
        """
        ...


class Link(asyncio.Protocol):
    """
    The host's end of one connection.
    """

    def __init__(self, host: Host, *, idle_seconds: float = ECHO_IDLE_SECONDS) -> None:
        self.signed_on = False
        self.gateway_id = ""
        self._host = host
        self._dialect, self._framing = host.dialect, host.dialect.framing
        self._idle_seconds = idle_seconds
        self._misses = 0
        self._heard = False
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._reason = "peer"
        self._transport: asyncio.Transport | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Start listening, if the host takes one more link.
        """
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass.
        if not self._host.opened(self):
            self.close("too_many_links")
            return
        self._wait_for_idle()

    def data_received(self, data: bytes) -> None:
        """
        Cut what has arrived into frames: one, several, or a part of one.
        """
        self._misses = 0
        self._heard = True
        self._buffer += data
        start = 0
        try:
            while not self.is_closing and (cut := self._framing.cut(self._buffer, start)):
                if cut.message:
                    self._host.received(self, cut.message)
                start = cut.end
        except FramingError as error:
            self.close(error.reason)
        del self._buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """
        Tell the host, with the reason if it was ours.
        """
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._host.closed(self, self._reason)

    def pause_writing(self) -> None:
        """
        Read nothing more from a peer that does not take its answers.
        """
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """
        Read again.
        """
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def is_closing(self) -> bool:
        """
        Tell whether nothing can be sent any more.
        """
        return self._transport is None or self._transport.is_closing()

    def put(self, fields: Fields) -> None:
        """
        Write and frame a message; `flush` sends it.
        """
        self._out.append(self._framing.put(self._dialect.encode(fields)))

    def flush(self) -> None:
        """
        Send what was put, in one write.
        """
        if self._out and not self.is_closing:
            assert self._transport is not None
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def close(self, reason: str) -> None:
        """
        End the link after what was written has left.
        """
        self._reason = reason
        if self._transport is not None:
            self._transport.close()

    def cut(self, reason: str) -> None:
        """
        End the link at once, unwritten bytes and all.
        """
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def _wait_for_idle(self) -> None:
        self._heard = False
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self._idle_seconds, self._look)

    def _look(self) -> None:
        """
        After each idle period: was anything heard? A link that stays silent is closed.
        """
        if not self._heard:
            self._misses += 1
            if self._misses > ECHO_MISSES_MAX:
                self.cut("silent")
                return
            self._host.idle(self)
        self._wait_for_idle()
