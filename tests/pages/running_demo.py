"""
The demo as a person starts it, and somebody who watches the browser over their shoulder.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from counterfoil.checkouts.inventory import not_as_listed
from playwright.async_api import ConsoleMessage, Page, Request

START_SECONDS_MAX = 180.0  # For a machine that is busy with other things.
STOP_SECONDS_MAX = 60.0
POLL_SECONDS = 0.1
GONE_ON = "net::ERR_ABORTED"  # We went to another page before this had come.


class Demo:
    """
    `counterfoil demo`, running below *folder* until it is stopped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = ""
        self.mailbox = ""
        self.web = ""
        self._said = folder.with_suffix(".log")
        self._program: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it has bought something and invites us to try by hand."""
        assert not not_as_listed(), "scripts or styles have changed: run `make inventory`"
        words = ["demo", "--state", str(self.folder), "--issuer-delay-ms", "50"]
        with self._said.open("wb") as said:
            self._program = subprocess.Popen(
                [sys.executable, "-m", "counterfoil.cli.main", *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (addresses := self._addresses()):
            if time.monotonic() > deadline or self._program.poll() is not None:
                raise AssertionError(f"the demo did not start:\n{self._said.read_text()[-4000:]}")
            time.sleep(POLL_SECONDS)
        self.shop, self.mailbox, self.web = addresses

    @property
    def checkout(self) -> str:
        """Where the payment pages are."""
        said = (self.folder / "gateway" / "counterfoil.toml").read_text()
        port = re.search(r"^checkout_port = (\d+)$", said, re.MULTILINE)
        assert port, said
        return f"https://localhost:{port.group(1)}"

    @property
    def panel(self) -> str:
        """Where the road of each payment is shown as it happens."""
        found = re.search(r"^  road +(https?://\S+)", self._said.read_text(), re.MULTILINE)
        assert found, self._said.read_text()
        return found.group(1)

    @property
    def owner(self) -> tuple[str, str]:
        """How the demo's owner signs in: address and password."""
        email, password = (self.folder / "gateway" / "owner-sign-in.txt").read_text().split()
        return email, password

    def stop(self) -> None:
        """Press Ctrl-C and wait for the end."""
        if self._program is not None:
            self._program.send_signal(signal.SIGINT)
            self._program.wait(STOP_SECONDS_MAX)

    def _addresses(self) -> tuple[str, ...] | None:
        said = self._said.read_text()
        if "Ctrl-C stops everything" not in said:
            return None
        found = [
            re.search(rf"^  {name} +(https?://\S+)", said, re.MULTILINE)
            for name in ("shop", "mailbox", "pages")
        ]
        return tuple(each.group(1) for each in found if each)


class Watch:
    """
    Notes what a page complains about and where it goes.
    """

    def __init__(self, page: Page, demo: Demo) -> None:
        self._hosts = {urlsplit(demo.shop).netloc, urlsplit(demo.mailbox).netloc}
        self._hosts |= {urlsplit(demo.web).netloc, urlsplit(demo.checkout).netloc}
        self.urls: list[str] = []
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.on("requestfailed", self._lost)
        page.on("request", self._request)

    def saw_nothing_wrong(self) -> None:
        """Assert that nothing was refused by the policy, lost, or fetched from elsewhere."""
        assert self.complaints == []
        assert {urlsplit(url).netloc for url in self.urls} <= self._hosts

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _lost(self, request: Request) -> None:
        if request.failure != GONE_ON:
            self.complaints.append(f"lost: {request.url}: {request.failure}")

    def _request(self, request: Request) -> None:
        self.urls.append(request.url)


async def sign_in(page: Page, demo: Demo) -> None:
    """Sign the demo's owner in, as they do it."""
    email, password = demo.owner
    await page.goto(f"{demo.web}/sign-in")
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/sign-in" not in url)
