"""
The gateway's own word, asked for by `doctor`.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from counterfoil.cli.findings import Finding, gateways_say
from counterfoil.config import Api, Configuration
from counterfoil.outside.asking import QUESTIONS_EACH_MAX, ask_each, ask_readiness
from counterfoil.tls import Identity, own_identity, server_context
from payment_stage import HandClock

SAID = {"ready": True, "checks": {}, "notes": {}}
WELL = {"database": "ok", "link north": "ok"}
ILL = {"database": "ok", "link north": "not signed on"}


class Answering(BaseHTTPRequestHandler):
    """Answers like a gateway that is well."""

    def do_GET(self) -> None:
        body = json.dumps(next(self.server.answers)).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return own_identity(tmp_path / "tls", ("pay.shop.example",), HandClock(datetime.now(UTC)))


@pytest.fixture
def serving(identity: Identity) -> Iterator[dict[str, Any]]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    server.answers = itertools.repeat(SAID)  # type: ignore[attr-defined]
    server.socket = server_context(identity).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {"host": "127.0.0.1", "port": server.server_port, "server": server}
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_gateway_with_a_certificate_of_an_authority_is_asked(
    identity: Identity, serving: dict[str, Any], tmp_path: Path
) -> None:
    """As in live mode: the configured file holds its certificate, and not who signed it."""
    api = Api(certificate=str(identity.certificate), private_key=str(identity.private_key))

    assert ask_readiness(Configuration(state=str(tmp_path), api=api), serving) == SAID


def test_a_gateway_with_our_own_authority_is_asked(serving: dict[str, Any], tmp_path: Path) -> None:
    """As in test mode without a certificate."""
    assert ask_readiness(Configuration(state=str(tmp_path)), serving) == SAID


def answer(serving: dict[str, Any], **said: dict[str, str]) -> None:
    """Let processes answer in turn, each with its checks, as behind a port that they share."""
    turns = [
        {**SAID, "checks": checks, "notes": {"process": name.replace("_", "-")}}
        for name, checks in said.items()
    ]
    serving["server"].answers = itertools.cycle([turns[0], *turns])


def two_serve(folder: Path, serving: dict[str, Any]) -> Configuration:
    """Return the settings of a state folder from which two processes say that they serve."""
    for name in ("serving.json", "serving-2.json"):
        (folder / name).write_text(json.dumps({**serving, "server": None, "pid": 1}))
    return Configuration(state=str(folder))


def test_processes_that_share_a_port_are_asked_until_each_has_answered(
    serving: dict[str, Any], tmp_path: Path
) -> None:
    """Nobody can choose whom a connection reaches."""
    answer(serving, gateway=WELL, gateway_2=ILL)

    said = ask_each(Configuration(state=str(tmp_path)), serving, {"gateway", "gateway-2"})

    assert {name: each["checks"] for name, each in said.items()} == {
        "gateway": WELL,
        "gateway-2": ILL,
    }


def test_a_process_that_serves_no_more_is_not_waited_for(
    serving: dict[str, Any], tmp_path: Path
) -> None:
    """After so many questions that it would have been met."""
    answer(serving, gateway=WELL)
    asked = itertools.count()
    serving["server"].answers = (each for each in serving["server"].answers if next(asked) >= 0)

    said = ask_each(Configuration(state=str(tmp_path)), serving, {"gateway", "gateway-2"})

    assert set(said) == {"gateway"}
    assert next(asked) == 2 * QUESTIONS_EACH_MAX


async def test_doctor_tells_what_each_of_several_gateways_sees(
    serving: dict[str, Any], tmp_path: Path
) -> None:
    """One that has lost its link refuses its share of the payments."""
    answer(serving, gateway=WELL, gateway_2=ILL)

    assert await gateways_say(two_serve(tmp_path, serving)) == [
        Finding("gateway: link north", True, "signed on"),
        Finding("gateway-2: link north", False, "not signed on"),
    ]


async def test_doctor_names_a_gateway_that_serves_no_more(
    serving: dict[str, Any], tmp_path: Path
) -> None:
    """Its file says that it does; the others answer instead."""
    answer(serving, gateway=WELL)

    found = await gateways_say(two_serve(tmp_path, serving))

    assert [each.name for each in found if not each.well] == ["gateway-2"]
    assert "gateway-2.log" in found[-1].seen


async def test_a_stranger_on_the_port_is_no_gateway_of_ours(
    serving: dict[str, Any], tmp_path: Path
) -> None:
    """It answers, and says no process's name."""
    [found] = await gateways_say(two_serve(tmp_path, serving))

    assert not found.well
    assert "who answers there is no gateway of ours" in found.seen
