"""
A gateway at the end of a real TLS connection, which can be told to misbehave.
"""

import json
import socket
import ssl
import threading
import time
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted_gateway import Gateway, problem

STALL_SECONDS = 1.2  # Longer than the tries of the tests, which must survive a slow machine.


class Seen(NamedTuple):
    """
    One request as it arrived: over which connection, what, and under which key.
    """

    connection: int
    step: str
    key: str | None
    headers: dict[str, str]


class Authority(NamedTuple):
    ca: Path
    server: Path


class Peer:
    """
    Listens on 127.0.0.1. `script["pay"]` holds what to do to the next payments: `die_before`
    and `die_after` (the gateway has it), `busy` (429), `down` (500), `page` (a proxy's), `stall`.
    """

    def __init__(self, authority: Authority, gateway: Gateway) -> None:
        self.gateway = gateway
        self.seen: list[Seen] = []
        self.arrived = threading.Event()
        self.script: dict[str, deque[str]] = defaultdict(deque)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.server)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self.ca = authority.ca

    def steps(self) -> list[str]:
        return [each.step for each in self.seen]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_GET(self) -> None:
                peer.answer(self, None)

            def do_POST(self) -> None:
                peer.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> None:
        step, key = step_of(handler), handler.headers["Idempotency-Key"]
        self.seen.append(Seen(handler.client_address[1], step, key, dict(handler.headers)))
        self.arrived.set()
        act = self.script[step].popleft() if self.script[step] else "answer"
        status, reply, extra = 200, {}, {}
        if act == "stall":
            time.sleep(STALL_SECONDS)
        if act in ("answer", "die_after", "stall"):
            status, reply = self.gateway.handle(handler.command, handler.path, body, key)
        elif act == "busy":
            status, reply = 429, problem(429, "too_many_requests", retryable=True)
            extra = {"Retry-After": "0"}
        elif act == "down":
            status, reply = 500, problem(500, "internal_error")
        if act in ("die_before", "die_after"):
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        send(handler, status, b"<html>" if act == "page" else json.dumps(reply).encode(), extra)


def step_of(handler: BaseHTTPRequestHandler) -> str:
    parts = handler.path.partition("?")[0].strip("/").split("/")
    if handler.command == "GET":
        return "get" if len(parts) == 3 else "list"
    return "pay" if parts[-1] == "payments" else parts[-1]


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, extra: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **extra}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


def make_authority(folder: Path) -> Authority:
    """
    Make a throwaway authority and a server's certificate for 127.0.0.1.
    """
    root_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("Test authority", root_key, "Test authority", root_key, is_ca=True)
    server = _certificate("127.0.0.1", server_key, "Test authority", root_key, is_ca=False)
    paths = Authority(folder / "ca.pem", folder / "server.pem")
    pem = serialization.Encoding.PEM
    paths.ca.write_bytes(root.public_bytes(pem))
    private = server_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths.server.write_bytes(private + server.public_bytes(pem))
    return paths


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
