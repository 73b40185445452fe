"""
A lent connection with points: its statements by name, and the end of its transactions.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from counterfoil_proof.points.point import around, reach

_RUNS = {"execute", "executemany", "fetch", "fetchrow", "fetchval"}


class Lent:
    """
    A connection of the pool, seen from outside. *names* has what each text is called.
    """

    def __init__(self, connection: Any, names: Mapping[str, str]) -> None:
        self.connection = connection
        self._names = names
        self._depth = 0
        self._first: str | None = None  # The first change in the transaction that is open.

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self.connection, name)
        return self._watched(plain) if name in _RUNS else plain

    @contextlib.asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[None]:
        """
        Open a transaction, and pass the points of its COMMIT if it changed anything.

        One within another is a savepoint: nothing of it is durable before the outer one is.
        """
        self._depth += 1
        try:
            async with self.connection.transaction(**options):
                yield
                if self._depth == 1 and self._first is not None:
                    reach(f"commit {self._first} before")
            if self._depth == 1 and self._first is not None:
                reach(f"commit {self._first} after")
        finally:
            self._depth -= 1
            if not self._depth:
                self._first = None

    def _watched(self, plain: Any) -> Any:
        async def run(text: str, *arguments: Any, **options: Any) -> Any:
            name = self._names.get(text)
            if name is None:
                return await plain(text, *arguments, **options)
            if self._depth and self._first is None:
                self._first = name.removeprefix("query ")
            with around(name):
                return await plain(text, *arguments, **options)

        return run
