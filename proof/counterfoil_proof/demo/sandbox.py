"""
The sandbox: every party of a payment as a program of its own, below one folder.

    DIR/gateway/   configuration, keys, certificates, embedded database, logs
    DIR/rail/      the acquirer's books
    DIR/shop/      the shop's orders and its client's journal, the merchant's secret key
    DIR/mailbox/   the mails that arrived
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
from counterfoil import ids, state_folder
from counterfoil.api.authenticate import PREFIXES
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration, load
from counterfoil.installation import Serving
from counterfoil.installation import programs as gateway_programs
from counterfoil.opened import open_database
from counterfoil.people.passwords import Passwords
from counterfoil.people.roles import Role
from counterfoil.store.checkouts import CheckoutStore
from counterfoil.store.database import Database
from counterfoil.store.merchants import By, MerchantStore, NewMerchant, Terminal
from counterfoil.store.people import PeopleStore
from counterfoil.supervisor import Program

from counterfoil_proof.demo.ports import LOOPBACK, Ports

ACQUIRER = "sandbox"
BUSINESS = "Stub & Leaf"
WHO = "cli:demo"  # Who sets it up, in lists of changes.
BUSINESS_EMAIL = "owner@stubandleaf.example"
OWNER = "Mara Leaf"
PARTIES = ("gateway", "rail", "shop", "mailbox")
MAILBOX_NICENESS = 19  # A mail server is somebody else's machine, and none of our time.


class FolderInUse(Exception):
    """
    Another demo runs in this folder.
    """


class Sandbox(msgspec.Struct, frozen=True):
    """
    One sandbox: its folder, its ports, and how slow its issuers are.

    *settings* are further sections of the gateway's configuration (TOML), such as timers. A mailbox
    that *keeps_mail* is full one day; one that does not takes everything. It *has_pages* for
    people if somebody wants to see them.
    """

    folder: Path
    ports: Ports
    issuer_delay_ms: str
    settings: str = ""
    keeps_mail: bool = True
    has_pages: bool = False

    @property
    def gateway_url(self) -> str:
        """
        Where clients reach the gateway.
        """
        return f"https://{LOOPBACK}:{self.ports.gateway}"

    @property
    def shop_url(self) -> str:
        """
        The shop's window.
        """
        return f"http://{LOOPBACK}:{self.ports.shop}"

    @property
    def web_url(self) -> str:
        """
        The merchant's pages.
        """
        return f"https://localhost:{self.ports.web}"

    @property
    def sign_in_path(self) -> Path:
        """
        How the demo's owner signs in: address and password, a line each.
        """
        return self.folder / "gateway" / "owner-sign-in.txt"

    @property
    def panel_url(self) -> str:
        """
        The side panel: the road of each payment as it happens.
        """
        return f"http://{LOOPBACK}:{self.ports.panel}"

    @property
    def mailbox_url(self) -> str:
        """
        The mailbox's pages.
        """
        return f"http://{LOOPBACK}:{self.ports.mailbox}"

    @property
    def metrics_urls(self) -> tuple[str, str, str]:
        """
        What a monitor reads of the gateway, of the worker and of the mailer.
        """
        of = self.ports
        ports = (of.gateway_metrics, of.worker_metrics, of.mailer_metrics)
        gateway, worker, mailer = (f"http://{LOOPBACK}:{port}/metrics" for port in ports)
        return gateway, worker, mailer

    @property
    def configuration_path(self) -> Path:
        """
        The gateway's configuration.
        """
        return self.folder / "gateway" / "counterfoil.toml"

    @property
    def authority_path(self) -> Path:
        """
        The certificate authority that clients are given.
        """
        return self.folder / "gateway" / "tls" / "authority.pem"

    @property
    def key_path(self) -> Path:
        """
        The merchant's secret key.
        """
        return self.folder / "shop" / "merchant.key"


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """
    Hold the folder for one demo.

    Raises:
        FolderInUse: Another one holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(
                f"another demo runs in {folder}: stop it, or choose another folder with --state"
            ) from error
        try:
            with state_folder.alone(folder / "gateway"):
                yield
        except state_folder.StateFolderRefused as error:
            raise FolderInUse(str(error)) from error


def prepare(sandbox: Sandbox) -> Configuration:
    """
    Make the folders and write the gateway's configuration; return it as the gateway reads it.
    """
    for party in PARTIES:
        (sandbox.folder / party).mkdir(mode=0o700, parents=True, exist_ok=True)
    sandbox.configuration_path.write_text(_toml(sandbox), "utf-8")
    return load(sandbox.configuration_path, environment={})


def programs(sandbox: Sandbox, configuration: Configuration) -> list[Program]:
    """
    Return all programs of the sandbox, in starting order.
    """
    state = ["--state", str(sandbox.folder)]
    mailbox = ["counterfoil_proof.mailbox", *state, "--smtp-port", str(sandbox.ports.smtp)]
    mailbox += ["--http-port", str(sandbox.ports.mailbox)]
    mailbox += [] if sandbox.keeps_mail else ["--no-keep"]
    started = [
        _program(sandbox, "mailbox", mailbox, niceness=MAILBOX_NICENESS),
        _program(
            sandbox,
            "rail",
            [
                "counterfoil_rail",
                "serve",
                *state,
                "--port",
                str(sandbox.ports.rail),
                "--issuer-delay-ms",
                sandbox.issuer_delay_ms,
            ],
        ),
    ]
    logs = sandbox.folder / "gateway" / "logs"
    started += [
        _with_merchant(each, sandbox, configuration)
        for each in gateway_programs(configuration, sandbox.configuration_path, logs=logs)
    ]
    shop = ["counterfoil_shop.cli", "serve", *state, "--port", str(sandbox.ports.shop)]
    shop += ["--gateway", sandbox.gateway_url, "--key-file", str(sandbox.key_path)]
    shop += ["--ca", str(sandbox.authority_path)]
    started.append(_program(sandbox, "shop", shop, after=("gateway",)))
    return started


def _program(
    sandbox: Sandbox,
    party: str,
    words: list[str],
    after: tuple[str, ...] = (),
    niceness: int = 0,
) -> Program:
    nice = ["nice", "-n", str(niceness)] if niceness else []
    if niceness and shutil.which("chrt"):  # Nice alone is not enough: see `give_way`.
        nice = ["chrt", "--idle", "0", *nice]
    return Program(
        name=party,
        argv=[*nice, sys.executable, "-m", *words],
        env={**_clean_environment(), "PYTHONUNBUFFERED": "1"},
        log_path=sandbox.folder / party / "log" / f"{party}.log",
        ready=Serving(sandbox.folder / party / "serving.json"),
        after=after,
    )


def _clean_environment() -> dict[str, str]:
    """
    Return our environment without settings that were meant for another installation.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name != "DATABASE_URL" and not name.startswith("COUNTERFOIL_")
    }


def _with_merchant(program: Program, sandbox: Sandbox, configuration: Configuration) -> Program:
    """
    Let the gateway count as ready only when the shop has its key.
    """
    program = msgspec.structs.replace(
        program, env={**(program.env or {}), **_only(_clean_environment(), sandbox)}
    )
    if program.name != "gateway":
        return program
    inner = program.ready
    assert inner is not None

    async def ready() -> bool:
        if await inner() is False:
            return False
        await ensure_merchant(sandbox, configuration)
        if sandbox.has_pages:
            await ensure_owner(sandbox, configuration)
        return True

    return msgspec.structs.replace(program, ready=ready)


def _only(environment: dict[str, str], sandbox: Sandbox) -> dict[str, str]:
    return {**environment, "COUNTERFOIL_CONFIG": str(sandbox.configuration_path)}


async def ensure_merchant(sandbox: Sandbox, configuration: Configuration) -> None:
    """
    Give the shop a merchant account and a key, unless the one it has still works.
    """
    clock = SystemClock()
    async with open_database(configuration) as database:
        store = MerchantStore(database, clock)
        if sandbox.key_path.exists():
            known = await store.key(sandbox.key_path.read_text("utf-8").strip())
            if known and not known.revoked_at:
                await _lead_back(sandbox, database, known.merchant.merchant_id, clock)
                return
        made = ids.Ids(clock)
        number = await store.next_terminal_number(ACQUIRER)
        merchant = NewMerchant(
            merchant_id=made.new(),
            name=BUSINESS,
            city="Portland",
            region="OR",
            country="US",
            category_code="5943",
            timezone="America/Los_Angeles",
            cutoff=clock.now().time().replace(hour=23, minute=0, second=0, microsecond=0),
            email=BUSINESS_EMAIL,
            acknowledge_seconds=180,
        )
        terminal = Terminal(ACQUIRER, f"TERM{number:04d}", f"MERCHANT{number:07d}")
        await store.add(merchant, [terminal], By(WHO, tuple(made.several(2))))
        secret = PREFIXES["test"] + secrets.token_urlsafe(32)
        by = By(WHO, (made.new(),))
        await store.add_key(made.new(), merchant.merchant_id, secret, "demo shop", None, by)
        await _lead_back(sandbox, database, merchant.merchant_id, clock)
    _write_private(sandbox.key_path, secret)


async def _lead_back(
    sandbox: Sandbox, database: Database, merchant_id: UUID, clock: SystemClock
) -> None:
    """
    Let the merchant's payment pages lead back to the shop, wherever it listens this time.
    """
    port = sandbox.ports.shop
    origins = [f"http://{host}:{port}" for host in (LOOPBACK, "localhost")]
    store = CheckoutStore(database, ids.Ids(clock))
    await store.set_return_origins(merchant_id, origins, at=clock.now(), actor=WHO)


async def ensure_owner(sandbox: Sandbox, configuration: Configuration) -> None:
    """
    Give the merchant an owner who can sign in, in the way that a person comes: by a one-time link.
    """
    if sandbox.sign_in_path.exists():
        return
    clock = SystemClock()
    password, token = f"both-halves-agree-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    async with open_database(configuration) as database:
        shop = await MerchantStore(database, clock).key(sandbox.key_path.read_text("utf-8").strip())
        assert shop is not None, "the shop has its key by now"
        people, now = PeopleStore(database, ids.Ids(clock)), clock.now()
        await people.invite(
            token,
            shop.merchant.merchant_id,
            BUSINESS_EMAIL,
            Role.OWNER,
            by=WHO,
            now=now,
            expires_at=now + timedelta(minutes=1),
        )
        kept = await Passwords().hash(password)
        await people.accept(token, name=OWNER, password_hash=kept, now=now)
    _write_private(sandbox.sign_in_path, f"{BUSINESS_EMAIL}\n{password}")


def _write_private(path: Path, content: str) -> None:
    part = path.with_suffix(".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _toml(sandbox: Sandbox) -> str:
    state = _quoted(sandbox.folder / "gateway")
    return f"""\
# Written anew by every start of the demo; change the demo's options instead.
mode = "test"
state = {state}
log_level = "debug"

[api]
host = "{LOOPBACK}"
port = {sandbox.ports.gateway}

[mail]
host = "{LOOPBACK}"
port = {sandbox.ports.smtp}
sender = "receipts@counterfoil.example"

[metrics]
host = "{LOOPBACK}"
gateway_port = {sandbox.ports.gateway_metrics}
worker_port = {sandbox.ports.worker_metrics}
mailer_port = {sandbox.ports.mailer_metrics}

[web]
enabled = {"true" if sandbox.has_pages else "false"}
host = "{LOOPBACK}"
port = {sandbox.ports.web}
checkout_port = {sandbox.ports.checkout}

[settlement]
reports = {_quoted(sandbox.folder / "rail" / "files" / "reports")}
statements = {_quoted(sandbox.folder / "rail" / "files" / "statements")}
look_seconds = 0.5

[[acquirer]]
name = "{ACQUIRER}"
mode = "test"
host = "{LOOPBACK}"
port = {sandbox.ports.rail}
institution_id = "123456"
forwarding_id = "987654"

{sandbox.settings}"""


def _quoted(path: Path) -> str:
    """
    Return *path* as a TOML string, which a JSON string is too.
    """
    return json.dumps(str(path))
