"""
The gateway's own word, asked for by `doctor`.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from counterfoil.config import Api, Configuration
from counterfoil.outside.asking import ask_readiness
from counterfoil.tls import Identity, own_identity, server_context
from payment_stage import HandClock

SAID = {"ready": True, "checks": {}, "notes": {}}


class Answering(BaseHTTPRequestHandler):
    """Answers like a gateway that is well."""

    def do_GET(self) -> None:
        body = json.dumps(SAID).encode()
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
    server.socket = server_context(identity).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {"host": "127.0.0.1", "port": server.server_port}
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
