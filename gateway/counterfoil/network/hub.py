"""
What the lines to one acquirer share, as a line sees it.

Breaks the circle between `link`, which has lines, and `line`, which hands what it hears
to the link.
"""

import asyncio
from typing import Any, Protocol

import msgspec

from counterfoil.clock import Clock
from counterfoil.network.connection import Connection
from counterfoil.network.dialect import Dialect
from counterfoil.network.message import FieldsView, Message
from counterfoil.network.mux import Exchange
from counterfoil.network.outcome import Outcome


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where an acquirer is and how patient we are with it (protocols 1.7).

    Attributes:
        institution_id: Field 33 of our own 0800: who we are to the acquirer.
        connections: How many lines are kept open side by side.
        reconnect_jitter: By what part a pause is made longer or shorter at random.
        sign_on_seconds: How long the answer to a sign-on may take.
        sign_on_again_seconds: How long after a host signed us off we try again.
        echo_after_seconds: Without a byte from the host for so long, we ask.
        sign_off_seconds: How long the answer to a sign-off may take.
        key_request_seconds: How long the answer to a request for a key may take, and how
            soon another one may follow.
        drain_seconds: How long `stop` waits for outstanding answers.
        unacknowledged_seconds: After how long without a TCP acknowledgment the kernel
            gives a connection up.
        late_seconds: How long keys are kept, to know late and repeated answers.
        late_keys_max: How many keys of requests without an answer are kept.
        answered_keys_max: How many keys of answered requests are kept.
    """

    host: str
    port: int
    institution_id: str
    connections: int = 1
    connect_seconds: float = 5.0
    reconnect_seconds_first: float = 1.0
    reconnect_seconds_max: float = 30.0
    reconnect_jitter: float = 0.2
    sign_on_seconds: float = 10.0
    sign_on_again_seconds: float = 30.0
    echo_after_seconds: float = 60.0
    echo_answer_seconds: float = 10.0
    echo_misses_max: int = 3
    sign_off_seconds: float = 2.0
    key_request_seconds: float = 30.0
    drain_seconds: float = 5.0
    unacknowledged_seconds: float = 30.0
    late_seconds: float = 600.0
    late_keys_max: int = 100_000
    answered_keys_max: int = 20_000
    outstanding_max: int = 10_000
    queue_messages_max: int = 1_024


class Hub(Protocol):
    """
    What the lines of one acquirer share.
    """

    settings: LinkSettings
    dialect: Dialect
    clock: Clock

    def next_stan(self) -> str:
        """
        Return a STAN for a message of network management.
        """
        ...

    def signed_on_changed(self) -> None:
        """
        A line signed on or off.
        """
        ...

    def submit(
        self,
        connection: Connection,
        mti: str,
        fields: FieldsView,
        *,
        send_before: float,
        answer_within: float,
    ) -> "asyncio.Future[Outcome]":
        """
        Send a request on *connection*; the future gets its outcome.
        """
        ...

    def wrote(self, exchange: Exchange) -> None:
        """
        The first byte of *exchange* was handed to the kernel.
        """
        ...

    def not_sent(self, exchange: Exchange, reason: str) -> None:
        """
        No byte of *exchange* was handed to the kernel, and none will be.
        """
        ...

    def received(self, message: Message) -> None:
        """
        A message other than an 0800 arrived.
        """
        ...

    def lost(self, connection: Connection, reason: str) -> None:
        """
        *connection* is closed.
        """
        ...

    def event(self, name: str, **details: Any) -> None:
        """
        Something happened that an operator may want to see.
        """
        ...
