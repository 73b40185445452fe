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
from counterfoil.api.bodies import Readiness
from counterfoil.api.serving import PortTaken, bind, serve
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
