"""
The acquirer of a world: the real rail, without its sockets, started again whenever it dies.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from counterfoil_rail.issuer import DelayRange
from counterfoil_rail.link import Link
from counterfoil_rail.log import Log
from counterfoil_rail.server import Rail, Settings, opened
from counterfoil_rail.store import open_readable, rail_folder

from counterfoil_proof.world.chance import Chance
from counterfoil_proof.world.clock import WorldClock
from counterfoil_proof.world.life import Life

CARD_KEY = bytes(32)


class Acquirer:
    """
    One rail, life after life, over the same books.
    """

    def __init__(
        self,
        folder: Path,
        clock: WorldClock,
        chance: Chance,
        *,
        on_point: Callable[[Life, str], None] | None = None,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.life = Life("rail", 0)
        self.rail: Rail | None = None
        self._chance = chance
        self._on_point = on_point
        self._lives = 0
        self._open: contextlib.ExitStack | None = None
        self._reader: sqlite3.Connection | None = None

    @property
    def files(self) -> Path:
        """Where it puts reports and statements."""
        return self.folder / "rail" / "files"

    def start(self, issuer_span: tuple[float, float]) -> None:
        """
        Start its host.
        """
        self._lives += 1
        self.life = Life("rail", self._lives, on_point=self._on_point)
        self.life.at_death(self._close)
        delay = DelayRange(*(int(seconds * 1000) for seconds in issuer_span))
        settings = Settings(
            state=self.folder,
            issuer_delay=delay,
            seed=self._chance.stream("rail", self._lives).getrandbits(63),
            clock=self.clock.now,
            card_key=CARD_KEY,
            is_durable=False,
        )
        log = Log(self.clock.now, stream=StringIO(), quiet=True)
        self._open = contextlib.ExitStack()
        self.rail = self._open.enter_context(opened(settings, log))

    def accept(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """
        Take a new connection in.
        """
        assert self.rail is not None
        return Link(self.rail.host)

    def kill(self) -> None:
        """
        End its host at once: what was booked stays booked.
        """
        self.life.kill()

    def end_day(self) -> None:
        """
        End its business day: settle, write files, book what is due.
        """
        assert self.rail is not None
        self.rail.days.advance()

    def read(self, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """
        Read its books, also while its host is down.
        """
        if self._reader is None:
            self._reader = open_readable(rail_folder(self.folder))
            assert self._reader is not None, "a rail that never ran has no books"
        rows: list[tuple[Any, ...]] = self._reader.execute(text, arguments).fetchall()
        return rows

    def close(self) -> None:
        """
        Let go of its books.
        """
        self.kill()
        if self._reader is not None:
            self._reader.close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
            self.rail = None
