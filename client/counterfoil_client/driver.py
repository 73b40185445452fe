"""
Drive the core's steps in the thread that calls, over leased connections.
"""

import threading
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from counterfoil_client import connections
from counterfoil_client.calls import NO_LEASE, Calls, account, no_lease
from counterfoil_client.commands import Event, Intent, Send, Steps, Wait
from counterfoil_client.desk import Desk
from counterfoil_client.errors import (
    ConfigurationError,
    CounterfoilError,
    GatewayUnavailable,
)
from counterfoil_client.journal import Journal
from counterfoil_client.leases import Leases, NoLeaseError
from counterfoil_client.limits import Limits
from counterfoil_client.results import Payment, Recovered

T = TypeVar("T")
Outcomes = list[Recovered]

_DEFAULTS = Limits()


class Driver:
    """
    Connections, journal and the loop that carries out steps; no call of its own but `close`.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        journal: Path,
        ca: Path | None = None,
        limits: Limits = _DEFAULTS,
    ) -> None:
        access = connections.access(base_url, key, ca, limits)
        self._access = access
        self._calls = Calls(limits)
        self._journal = Journal(Path(journal), account(key))
        self._leases = Leases(lambda: connections.connection(access), limits)
        self._closing = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """
        Wait for the calls in progress and close. Says that the shop has every outcome.
        """
        self._close(handed_over=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an exception the shop may not have stored what it got: recover() tells it again.
        self._close(handed_over=error is None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._access.base_url)!r})"

    def _move(self, intent: Intent, steps: Steps[Payment], *, own_key: bool) -> Payment:
        return self._run(steps, no_lease(intent.key, own_key=own_key))

    def _run(self, steps: Steps[T], busy: CounterfoilError | None = None) -> T:
        """
        Drive *steps* on one lease; raise *busy* if there is none to be had.
        """
        if self._closed:
            raise ConfigurationError("this client is closed")
        self._journal.check_process()
        desk = Desk(self._journal)
        try:
            with self._leases.lease() as connection:
                return self._drive(steps, desk, connection)
        except NoLeaseError:
            raise (busy or GatewayUnavailable(NO_LEASE)) from None
        finally:
            desk.let_go()

    def _drive(self, steps: Steps[T], desk: Desk, connection: httpx2.Client) -> T:
        event: object = None
        while True:
            try:
                command = steps.send(event)
            except StopIteration as done:
                result: T = done.value
                return result
            match command:
                case Send():
                    event = self._send(connection, command)
                case Wait(seconds):
                    event = None
                    sleep(seconds)
                case _:
                    event = desk.do(command)

    def _send(self, connection: httpx2.Client, send: Send) -> Event:
        body = connections.Body(send)
        try:
            request = connections.request(connection, send, self._access.limits)
            response = connection.send(request, stream=True)
            try:
                for chunk in response.iter_raw():
                    if stopped := body.add(chunk):
                        return stopped
                return body.answer(response)
            finally:
                response.close()
        except (httpx2.HTTPError, OSError) as error:
            return connections.failure(error)

    def _close(self, *, handed_over: bool) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._leases.close()
        self._journal.close(handed_over=handed_over)
