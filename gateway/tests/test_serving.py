"""
The gateway process: its port, its announcement, and its end.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_stage import Api
from counterfoil.api import serving as serving_module
from counterfoil.api.bodies import Readiness
from counterfoil.api.serving import PortTaken, bind, hold, serve
from counterfoil.tls import Identity, own_identity
from payment_stage import HandClock, Stage, until


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    clock = HandClock(datetime.now(UTC))
    return own_identity(tmp_path / "tls", ("localhost", "127.0.0.1"), clock)


async def ready() -> Readiness:
    return Readiness(True, {})


async def announced(path: Path) -> dict[str, Any]:
    """Wait for the announcement and return it."""
    await until(path.exists)
    said: dict[str, Any] = json.loads(path.read_text())  # noqa: ASYNC240 - a few bytes.
    return said


async def test_it_serves_https_where_it_says_and_stops_clean(
    stage: Stage, identity: Identity, tmp_path: Path
) -> None:
    """A free port of its own; the announcement names it and is gone afterwards."""
    api = await Api.of(stage)
    path = tmp_path / "serving.json"
    serving = asyncio.create_task(
        serve(api.desk, ready, listener=bind("127.0.0.1", 0), identity=identity, serving_path=path)
    )
    said = await announced(path)
    client = ssl.create_default_context(cafile=identity.authority)
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", said["port"], ssl=client
                )
                break
            except OSError:
                await asyncio.sleep(0.01)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    assert said["pid"] == os.getpid()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"alive" in answer
    assert b"server:" not in answer.lower()
    assert not path.exists()


async def test_an_idle_client_does_not_hold_up_the_end(
    stage: Stage, identity: Identity, tmp_path: Path
) -> None:
    """A shop keeps its connection open and says nothing: a restart does not wait for it."""
    api = await Api.of(stage)
    path = tmp_path / "serving.json"
    serving = asyncio.create_task(
        serve(api.desk, ready, listener=bind("127.0.0.1", 0), identity=identity, serving_path=path)
    )
    port = (await announced(path))["port"]
    trust = ssl.create_default_context(cafile=identity.authority)

    def ask() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port))
        idle = trust.wrap_socket(plain, server_hostname="localhost")
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        return idle

    idle = await asyncio.to_thread(ask)
    os.kill(os.getpid(), signal.SIGTERM)

    await asyncio.wait_for(serving, 10)
    idle.close()


async def test_of_two_that_start_at_once_one_says_that_the_port_is_taken(
    stage: Stage, identity: Identity, tmp_path: Path
) -> None:
    """Both could bind: neither listened yet. In the same words as any other program."""
    api = await Api.of(stage)
    with contextlib.closing(bind("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with contextlib.closing(bind("127.0.0.1", port)) as second:
            first.listen()
            with pytest.raises(PortTaken, match=rf"port {port}: .*COUNTERFOIL_API_PORT"):
                await serve(
                    api.desk,
                    ready,
                    listener=second,
                    identity=identity,
                    serving_path=tmp_path / "serving.json",
                )
    assert not (tmp_path / "serving.json").exists()


def test_a_port_that_is_taken_is_said() -> None:
    """With the setting that changes it; no acquirer has been signed on to yet."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}: .*COUNTERFOIL_API_PORT"):
            bind("127.0.0.1", port)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is about to end here."""
    monkeypatch.setattr(serving_module, "HOLD_PAUSE_SECONDS", 0.0)


def accepted(listener: socket.socket) -> int:
    """Return how many connections wait at *listener*, and end them from this side."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


def test_the_processes_of_a_held_port_share_what_comes() -> None:
    """The kernel spreads connections; when one process ends, the other gets all of them."""
    with hold("127.0.0.1", 0) as holder:
        at = holder.getsockname()
        first, second = (bind(*at, shared=True) for _ in range(2))
        for each in (first, second):
            each.listen(128)
        clients = [socket.create_connection(at) for _ in range(64)]
        shares = [accepted(first), accepted(second)]
        first.close()
        clients += [socket.create_connection(at) for _ in range(16)]
        rest = accepted(second)
        for each in (second, *clients):
            each.close()

    assert sum(shares) == 64
    assert min(shares) > 0
    assert rest == 16


def test_a_held_port_hears_nobody() -> None:
    """Before a process of ours listens, a client is refused: it does not wait for one."""
    with hold("127.0.0.1", 0) as holder, pytest.raises(ConnectionRefusedError):
        socket.create_connection(holder.getsockname())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_another_program_has_is_not_held(shared: bool) -> None:
    """In the same words as ever, also when that program would share it."""
    with contextlib.closing(bind("127.0.0.1", 0, shared=shared)) as other:
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}: .*COUNTERFOIL_API_PORT"):
            hold("127.0.0.1", port)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("listening", [False, True])
def test_nobody_else_gets_a_port_that_is_held(listening: bool) -> None:
    """Nor another installation, whether or not a process of ours listens at the moment."""
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(hold("127.0.0.1", 0))
        at = holder.getsockname()
        if listening:
            stack.enter_context(contextlib.closing(bind(*at, shared=True))).listen()

        with pytest.raises(PortTaken):
            bind(*at)
        with pytest.raises(PortTaken):
            hold(*at)


@pytest.mark.usefixtures("impatient")
def test_who_bound_a_port_before_it_was_held_cannot_listen_any_more() -> None:
    """A program that starts at the same moment is told, and takes no payment of ours."""
    with (
        contextlib.closing(bind("127.0.0.1", 0)) as other,
        hold(*other.getsockname()),
        pytest.raises(OSError, match="in use"),
    ):
        other.listen()


def test_a_port_is_held_again_while_old_connections_to_it_fade() -> None:
    """A restart does not wait for the minute in which TCP remembers them."""
    with hold("127.0.0.1", 0) as holder:
        at = holder.getsockname()
        with contextlib.closing(bind(*at, shared=True)) as listener:
            listener.listen()
            clients = [socket.create_connection(at) for _ in range(4)]
            assert accepted(listener) == 4  # Ended from this side: they are remembered here.
            for each in clients:
                each.close()

    with hold(*at) as again:
        assert again.getsockname() == at


def test_a_gateway_alone_shares_its_port_with_nobody() -> None:
    """As ever: not even with a program of the same user that would."""
    with contextlib.closing(bind("127.0.0.1", 0)) as alone:
        alone.listen()
        assert alone.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        with pytest.raises(PortTaken):
            bind(*alone.getsockname(), shared=True)
