"""
A shop's receiver of webhooks, in a thread: keeps what comes, may hold its answers back.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from counterfoil_client import Event, WebhookRefused, verify_webhook

HELD_SECONDS_MAX = 60.0


class Receiver:
    """
    Answers 204 to messages whose signature is right, 400 to others, 500 while it `fails`.
    """

    def __init__(self) -> None:
        self.secret = ""
        self.events: list[Event] = []
        self.refused: list[str] = []
        self.fails = False
        self.answers = threading.Event()
        self.answers.set()
        self.url = ""

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Check a message, keep it, and return the status to answer."""
        try:
            self.events.append(verify_webhook(headers, body, self.secret))
        except WebhookRefused as error:
            self.refused.append(str(error))
            return 400
        self.answers.wait(HELD_SECONDS_MAX)
        return 500 if self.fails else 204

    def told(self, payment_id: str) -> list[str]:
        """Return the types of the messages about a payment, as they came."""
        return [each.type for each in self.events if (each.payment or {}).get("id") == payment_id]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Lend a receiver that listens on this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.take(dict(self.headers), body)
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                return  # Whoever sent it is gone.

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.answers.set()
        server.shutdown()
        server.server_close()
