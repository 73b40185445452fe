"""
A real installation for the tests of its contracts: rail, database, gateway and worker.

Everything is started and set up by the commands that an operator uses, as processes of
its own on free ports below one temporary folder.
"""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
from counterfoil import ids
from counterfoil.config import load
from counterfoil.opened import open_database

COMMAND = [sys.executable, "-m", "counterfoil.cli.main"]
RAIL = [sys.executable, "-m", "counterfoil_rail"]
MAILBOX = [sys.executable, "-m", "counterfoil_proof.mailbox"]
LOOPBACK = "127.0.0.1"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60.0
COMMAND_SECONDS_MAX = 30.0
LINE_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def clean_environment(**settings: str) -> dict[str, str]:
    """Return our environment without what was meant for another installation."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "DATABASE_URL" and not name.startswith(("COUNTERFOIL_", "OPENSSL_"))
    }
    return kept | settings


def counterfoil(
    *words: str, config: Path | None = None, stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of operators to its end."""
    if config is not None:
        settings["COUNTERFOIL_CONFIG"] = str(config)
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        env=clean_environment(COLUMNS="100", **settings),
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Installation:
    """
    One installation below *folder*, from `start` to `stop`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "counterfoil.toml"
        self.state = folder / "gateway"
        self.rail_port = free_port()
        self._programs: list[subprocess.Popen[bytes]] = []
        self._other_secret = ""
        self._said = folder / "programs.log"

    def start(self) -> None:
        """Start all programs and return when payments can be taken."""
        smtp_port = free_port()
        self.config.write_text(self.toml(smtp_port=smtp_port))
        self._launch(RAIL, "serve", "--state", str(self.folder), "--port", str(self.rail_port))
        ports = ("--smtp-port", str(smtp_port), "--http-port", "0")
        self._launch(MAILBOX, "--state", str(self.folder), *ports)
        self._launch(COMMAND, "up", "--config", str(self.config))
        self._wait(self._is_ready, START_SECONDS_MAX)

    def stop(self) -> None:
        """Stop everything, the last started first."""
        for each in reversed(self._programs):
            each.send_signal(signal.SIGINT)
            each.wait(STOP_SECONDS_MAX)

    def toml(self, *, smtp_port: int = 2525, **settings: str) -> str:
        """Return this installation's configuration; *settings* replace lines of it."""
        lines = {
            "mode": '"test"',
            "state": json.dumps(str(self.state)),
            "log_level": '"debug"',
        } | settings
        top = "\n".join(f"{name} = {value}" for name, value in lines.items())
        return f"""\
{top}

[api]
port = 0

[web]
enabled = false

[mail]
port = {smtp_port}
sender = "receipts@counterfoil.example"

[[acquirer]]
name = "sandbox"
mode = "test"
host = "{LOOPBACK}"
port = {self.rail_port}
institution_id = "123456"
forwarding_id = "987654"
"""

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command against this installation."""
        return counterfoil(*words, config=self.config, **settings)

    def merchant(self, name: str) -> str:
        """Add a merchant and return its id."""
        words = ("--email", "owner@shop.example", "--city", "Portland", "--country", "US")
        added = self.run("merchant", "add", name, *words, "--json")
        assert added.returncode == 0, added.stderr
        identifier: str = json.loads(added.stdout)["id"]
        return identifier

    def key(self, merchant: str, *words: str) -> dict[str, Any]:
        """Make a key and return what was said of it."""
        made = self.run("key", "create", merchant, "--json", *words)
        assert made.returncode == 0, made.stderr
        said: dict[str, Any] = json.loads(made.stdout)
        return said

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        said: dict[str, int] = json.loads((self.state / "serving.json").read_text())
        return said["port"]

    @property
    def url(self) -> str:
        """Where clients reach the gateway."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate authority that clients are given."""
        return self.state / "tls" / "authority.pem"

    def client(self, secret: str = "", **headers: str) -> httpx2.Client:
        """Return an HTTP client that trusts this installation's authority, and nobody else."""
        trusting = ssl.create_default_context(cafile=str(self.authority))
        if secret:
            headers["Authorization"] = f"Bearer {secret}"
        return httpx2.Client(base_url=self.url, verify=trusting, headers=headers, timeout=30)

    def other_secret(self) -> str:
        """Return a key of another merchant, the same one each time."""
        if not self._other_secret:
            self._other_secret = str(self.key(self.merchant("Somebody Else"))["secret"])
        return self._other_secret

    def line(self) -> ssl.SSLSocket:
        """Return a TLS connection to the gateway, for requests that no HTTP client makes."""
        trusting = ssl.create_default_context(cafile=str(self.authority))
        plain = socket.create_connection((LOOPBACK, self.port), timeout=LINE_SECONDS_MAX)
        return trusting.wrap_socket(plain, server_hostname=LOOPBACK)

    def sql(self, statement: str, merchant: str) -> None:
        """Do to a merchant's rows what no command does."""

        async def execute() -> None:
            async with (
                open_database(load(self.config, environment={})) as database,
                database.acquire() as connection,
            ):
                await connection.execute(statement, ids.read(ids.MERCHANT, merchant))

        asyncio.run(execute())

    def logs(self) -> str:
        """Return everything that any program has said."""
        paths = [self._said, *sorted((self.state / "logs").glob("*.log"))]
        return "".join(path.read_text() for path in paths)

    def _launch(self, program: list[str], *words: str) -> None:
        with self._said.open("ab") as said:
            self._programs.append(
                subprocess.Popen(
                    [*program, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env=clean_environment(PYTHONUNBUFFERED="1"),
                )
            )

    def _is_ready(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/readyz").status_code == httpx2.codes.OK
        except (OSError, ValueError, httpx2.HTTPError):
            return False

    def _wait(self, is_so: Any, seconds_max: float) -> None:
        deadline = time.monotonic() + seconds_max
        while not is_so():
            if time.monotonic() > deadline or any(
                each.poll() is not None for each in self._programs
            ):
                raise AssertionError(f"the installation did not start:\n{self.logs()[-4000:]}")
            time.sleep(POLL_SECONDS)
