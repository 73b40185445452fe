"""
The configuration: one TOML file, the environment over it, all of it checked at start.

Every setting stands in docs/reference/configuration.md; a test fails when one does
not. An environment variable is named after section and setting: `[api] port` is
COUNTERFOIL_API_PORT; settings outside a section are COUNTERFOIL_MODE and so on.
`DATABASE_URL` goes before `[database] url`.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from counterfoil.config_words import in_words
from counterfoil.plainly import SaidPlainly

Port = Annotated[int, Meta(ge=0, le=65535)]
Mode = Literal["test", "live"]
Brand = Literal[
    "visa", "mastercard", "amex", "discover", "jcb", "diners", "maestro", "unionpay", "other"
]

ROUTES_MAX = 1_000
GATEWAYS_MAX = 64
PORT_MAX = 65_535
PROXIES_MAX = 256
ORIGIN = r"^https://[a-z0-9.-]{1,253}(:[0-9]{1,5})?$"


class ConfigurationRefused(SaidPlainly):
    """
    A setting is missing, unknown or out of range; the message names it.
    """


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where clients reach the gateway. Without `certificate`, test mode makes its own authority.

    `counterfoil up` runs so many `processes`, each on a core of its own and all on the same port.
    """

    host: str = "127.0.0.1"
    port: Port = 8443
    processes: Annotated[int, Meta(ge=1, le=GATEWAYS_MAX)] = 1
    certificate: str | None = None
    private_key: str | None = None
    names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    body_bytes_max: Annotated[int, Meta(ge=1024, le=1_048_576)] = 65_536
    payments_at_once_max: Annotated[int, Meta(ge=1, le=4_000)] = 2_000


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    PostgreSQL 15 or newer. Without a url: the embedded one below the state folder.

    From `full_percent` of the state folder's disk on, with less than 4 GiB free, no new payment is
    taken.
    """

    url: str | None = None
    connections_max: Annotated[int, Meta(ge=4, le=200)] = 12
    full_percent: Annotated[float, Meta(ge=50, le=99)] = 90.0


class VaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The key-encryption key. Live mode takes a key file only when told that this is accepted.
    """

    key_file: str | None = None
    accept_key_file_in_live: bool = False


PublicKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
FORMER_KEYS_MAX = 32


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The key that signs the heads of the journal's chains, once a day.

    `former_keys` are the public keys of those that were replaced; what they signed is believed.
    """

    key_file: str | None = None
    former_keys: Annotated[tuple[PublicKey, ...], Meta(max_length=FORMER_KEYS_MAX)] = ()


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The SMTP server that takes the receipts, and how much the mailer gives way: 0 is not at all,
    19 is to everybody.
    """

    host: str = "127.0.0.1"
    port: Port = 25
    sender: str = "receipts@localhost"
    username: str | None = None
    password_file: str | None = None
    security: Literal["none", "starttls", "tls"] = "none"
    attempts_max: Annotated[int, Meta(ge=1, le=1000)] = 60
    niceness: Annotated[int, Meta(ge=0, le=19)] = 19


class Timers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Seconds. Defaults are those of the design; tests shorten them.
    """

    send_seconds: Annotated[float, Meta(gt=0, le=30)] = 5.0
    answer_seconds: Annotated[float, Meta(gt=0, le=30)] = 20.0
    advice_answer_seconds: Annotated[float, Meta(gt=0, le=120)] = 30.0
    late_seconds: Annotated[float, Meta(ge=0, le=3600)] = 600.0
    lease_seconds: Annotated[float, Meta(ge=1, le=120)] = 10.0
    sweep_seconds: Annotated[float, Meta(gt=0, le=60)] = 0.5
    orphan_seconds: Annotated[float, Meta(gt=0, le=600)] = 60.0
    close_answer_seconds: Annotated[float, Meta(gt=0, le=300)] = 60.0


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Folders into which the acquirer's reports and the bank's statements are put, by whatever means.

    Without one, files are read with `counterfoil settlement read`.
    """

    reports: str | None = None
    statements: str | None = None
    look_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5.0


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where webhooks may go. `authority` is trusted beside the system's authorities.
    """

    allow_loopback: bool = False
    authority: str | None = None


class Acquirer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One acquirer: where its host is, who we are to it, and of which mode the link is.

    `dialect` is one that is shipped, or the path of a file; `mac_key_file` holds the key of its
    MAC, if it has one; `deposit_reference` is the pattern (a regular expression) of the
    references of its deposits; `hold_days` how long an authorization holds;
    `payments_per_second_max` and `owed_per_second_max` how much a process sends it: new payments,
    and what is owed.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}$")]
    mode: Mode
    host: str
    port: Port
    institution_id: Annotated[str, Meta(pattern=r"^[0-9]{1,11}$")]
    forwarding_id: Annotated[str, Meta(pattern=r"^[0-9]{1,11}$")]
    dialect: Annotated[str, Meta(min_length=1, max_length=200)] = "gw87"
    mac_key_file: str | None = None
    tls: bool = False
    authority: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    links: Annotated[int, Meta(ge=1, le=16)] = 1
    deposit_reference: Annotated[str, Meta(min_length=1, max_length=200)] = "CF[0-9]{12}"
    hold_days: Annotated[int, Meta(ge=1, le=31)] = 7
    payments_per_second_max: Annotated[float, Meta(ge=1, le=100_000)] = 5_000.0
    owed_per_second_max: Annotated[float, Meta(ge=1, le=100_000)] = 500.0


class Worker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How much a worker gives way: what it does (reversals, webhooks, files) nobody waits for, so on a
    machine whose processors are all busy the gateway goes first. 0: it does not give way.
    """

    niceness: Annotated[int, Meta(ge=0, le=19)] = 5


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where each process shows `/metrics`, `/healthz` and `/readyz` to monitors; port 0: nowhere.

    Of several gateway processes the first has `gateway_port`, the second the port after it.
    """

    host: str = "127.0.0.1"
    gateway_port: Port = 0
    worker_port: Port = 0
    mailer_port: Port = 0
    web_port: Port = 0


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where the merchants' pages are, and at `checkout_port`, an origin of its own, the payment pages.

    `url` and `checkout_url` are how browsers reach them, if not by this host and these ports:
    they stand in e-mails and links. `second_factor`: whether a password alone signs in; without a
    word it does in test mode, and not in live mode. `trusted_proxies`: addresses and networks of
    whoever passes requests on to here; what they say in X-Forwarded-For is believed.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 8444
    checkout_port: Port = 8445
    url: Annotated[str, Meta(pattern=ORIGIN)] | None = None
    checkout_url: Annotated[str, Meta(pattern=ORIGIN)] | None = None
    second_factor: Literal["required", "offered"] | None = None
    trusted_proxies: Annotated[tuple[str, ...], Meta(max_length=PROXIES_MAX)] = ()


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How often a payment is asked for again, under a new trace number, after a technical "no"; and
    whether the networks' limits of repeated tries are kept.
    """

    technical_retries_max: Annotated[int, Meta(ge=0, le=2)] = 0
    network_limits: bool = True


BinRange = Annotated[str, Meta(pattern=r"^[0-9]{1,8}(-[0-9]{1,8})?$")]


class RouteRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One rule of the way: payments that fit go to these acquirers, in this order, and no others.

    What is left empty fits everything. The first rule that fits decides.
    """

    acquirers: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    brands: tuple[Brand, ...] = ()
    bins: tuple[BinRange, ...] = ()
    currencies: tuple[Annotated[str, Meta(pattern=r"^[A-Z]{3}$")], ...] = ()
    merchants: tuple[Annotated[str, Meta(pattern=r"^mer_[0-9a-f]{32}$")], ...] = ()


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Everything an installation can be told. One installation has one mode.
    """

    mode: Mode = "test"
    state: str = "./state"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    api: Api = Api()
    database: DatabaseSettings = DatabaseSettings()
    vault: VaultSettings = VaultSettings()
    seal: Seal = Seal()
    mail: Mail = Mail()
    timers: Timers = Timers()
    settlement: Settlement = Settlement()
    webhooks: Webhooks = Webhooks()
    worker: Worker = Worker()
    metrics: Metrics = Metrics()
    web: Web = Web()
    routing: Routing = Routing()
    acquirer: tuple[Acquirer, ...] = ()
    route: Annotated[tuple[RouteRule, ...], Meta(max_length=ROUTES_MAX)] = ()

    @property
    def folder(self) -> Path:
        """
        The state folder, absolute.
        """
        return Path(self.state).absolute()

    @property
    def web_origin(self) -> str:
        """
        Where browsers reach the merchants' pages.
        """
        return self.web.url or f"https://{_name(self.web.host)}:{self.web.port}"

    @property
    def second_factor_required(self) -> bool:
        """
        Whether whoever has no second factor is led to set one up before anything else.
        """
        asked = self.web.second_factor or ("required" if self.mode == "live" else "offered")
        return asked == "required"

    @property
    def checkout_origin(self) -> str:
        """
        Where browsers reach the payment pages.
        """
        return self.web.checkout_url or f"https://{_name(self.web.host)}:{self.web.checkout_port}"

    @property
    def key_path(self) -> Path:
        """
        Where the key-encryption key lies.
        """
        if self.vault.key_file:
            return Path(self.vault.key_file)
        return self.folder / "keys" / "key-encryption.key"

    @property
    def signing_key_path(self) -> Path:
        """
        Where the key that signs the heads of the journal lies.
        """
        if self.seal.key_file:
            return Path(self.seal.key_file)
        return self.folder / "keys" / "head-signing.key"

    @property
    def heads_path(self) -> Path:
        """
        Where the file of signed heads lies, outside of the database.
        """
        return self.folder / "signed-heads.txt"

    @property
    def former_public_keys(self) -> tuple[bytes, ...]:
        """
        The public keys of signing keys that were replaced.
        """
        return tuple(bytes.fromhex(each) for each in self.seal.former_keys)


def _name(host: str) -> str:
    """
    Return what a browser calls *host*: passkeys belong to a name, and an address has none.
    """
    return "localhost" if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else host  # noqa: S104


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "api": Api,
    "database": DatabaseSettings,
    "vault": VaultSettings,
    "seal": Seal,
    "mail": Mail,
    "timers": Timers,
    "settlement": Settlement,
    "webhooks": Webhooks,
    "worker": Worker,
    "metrics": Metrics,
    "web": Web,
    "routing": Routing,
}


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Configuration:
    """
    Return the configuration in *path* (or $COUNTERFOIL_CONFIG) with the environment over it.

    Raises:
        ConfigurationRefused: It cannot be read, or a setting is wrong.
    """
    environment = os.environ if environment is None else environment
    path = path or (Path(named) if (named := environment.get("COUNTERFOIL_CONFIG")) else None)
    content = _read(path) if path else {}
    _overlay(content, environment)
    try:
        configuration = msgspec.convert(content, Configuration, strict=False)
    except msgspec.ValidationError as error:
        said = in_words(str(error), Configuration)
        raise ConfigurationRefused(f"{path or 'environment'}: {said}") from error
    _check(configuration)
    return configuration


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationRefused(
            f"there is no configuration at {path}: name the file by --config or COUNTERFOIL_CONFIG"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationRefused(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationRefused(f"{path} is not TOML: {error}") from error


_LISTS = ("names", "former_keys", "trusted_proxies")  # In the environment: with commas between.


def _overlay(content: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name in ("mode", "state", "log_level"):
        if value := environment.get(f"COUNTERFOIL_{name.upper()}"):
            content[name] = value
    for section, kind in SECTIONS.items():
        for field in kind.__struct_fields__:
            if value := environment.get(f"COUNTERFOIL_{section}_{field}".upper()):
                parts = value.split(",") if field in _LISTS else value
                _section(content, section)[field] = parts
    if url := environment.get("DATABASE_URL"):
        _section(content, "database")["url"] = url


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.setdefault(name, {})
    if not isinstance(section, dict):
        raise ConfigurationRefused(f"{name} is a section: write [{name}] and its settings below")
    return section


def _check(configuration: Configuration) -> None:
    """
    Refuse what is readable and still wrong: mixed modes, doubled names, half a certificate.
    """
    names = [each.name for each in configuration.acquirer]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ConfigurationRefused(f"two acquirers are named {sorted(doubled)[0]!r}")
    for each in configuration.acquirer:
        if each.mode != configuration.mode:
            raise ConfigurationRefused(
                f"acquirer {each.name!r} is {each.mode} and this installation is "
                f"{configuration.mode}: test and live never mix"
            )
        _check_link(each)
        _check_pattern(each)
        _check_dialect(each)
    for number, rule in enumerate(configuration.route, start=1):
        _check_route(number, rule, set(names))
    if (configuration.api.certificate is None) != (configuration.api.private_key is None):
        raise ConfigurationRefused("api.certificate and api.private_key go together")
    _check_database(configuration.database.url)
    _check_metrics(configuration.metrics, configuration.api.processes)
    _check_proxies(configuration.web.trusted_proxies)
    if configuration.mode == "live":
        _check_live(configuration)


def _check_database(url: str | None) -> None:
    # The URL itself may hold a password: only its scheme is said.
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        scheme = url.partition("://")[0] if "://" in url else "no scheme"
        raise ConfigurationRefused(
            f"[database] url (or DATABASE_URL) has {scheme[:20]!r}: expected PostgreSQL's, "
            "postgresql://USER@HOST:PORT/NAME"
        )


def _check_proxies(proxies: tuple[str, ...]) -> None:
    for each in proxies:
        try:
            network = ipaddress.ip_network(each)
        except ValueError as error:
            raise ConfigurationRefused(
                f"[web] trusted_proxies has {each!r}: write addresses and networks, such as "
                f"127.0.0.1 or 10.1.0.0/16 ({error})"
            ) from error
        if not network.prefixlen:
            raise ConfigurationRefused(
                f"[web] trusted_proxies has {each!r}: to believe everybody is to believe whoever "
                "makes an address up"
            )


def _check_metrics(metrics: Metrics, processes: int) -> None:
    first, last = metrics.gateway_port, metrics.gateway_port + processes - 1
    if first == 0 or processes == 1:
        return
    said = (
        f"[api] processes = {processes} and [metrics] gateway_port = {first} take the ports "
        f"{first} to {last}, one for each gateway process"
    )
    if last > PORT_MAX:
        raise ConfigurationRefused(
            f"{said}: choose a gateway_port of {PORT_MAX - processes + 1} or less"
        )
    for name, port in (("worker", metrics.worker_port), ("mailer", metrics.mailer_port)):
        if first <= port <= last:
            raise ConfigurationRefused(
                f"{said}: the {name}'s port {port} is among them. Choose another "
                f"[metrics] {name}_port"
            )


def _check_link(acquirer: Acquirer) -> None:
    if (acquirer.certificate is None) != (acquirer.private_key is None):
        raise ConfigurationRefused(
            f"acquirer {acquirer.name!r}: certificate and private_key go together"
        )
    if not acquirer.tls and (acquirer.authority or acquirer.certificate):
        raise ConfigurationRefused(
            f"acquirer {acquirer.name!r} has certificates and no tls = true: they would not be used"
        )


def _check_dialect(acquirer: Acquirer) -> None:
    # Loaded with the first acquirer only: most commands need no codec.
    from counterfoil.network.dialect import load_dialect
    from counterfoil.network.fields import TableError

    try:
        load_dialect(acquirer.dialect)
    except TableError as error:
        raise ConfigurationRefused(f"acquirer {acquirer.name!r}: {error}") from error


def _check_pattern(acquirer: Acquirer) -> None:
    try:
        re.compile(acquirer.deposit_reference)
    except re.error as error:
        raise ConfigurationRefused(
            f"acquirer {acquirer.name!r}: deposit_reference is no regular expression ({error})"
        ) from error


def _check_route(number: int, rule: RouteRule, names: set[str]) -> None:
    if unknown := [each for each in rule.acquirers if each not in names]:
        raise ConfigurationRefused(
            f"[[route]] number {number} names the acquirer {unknown[0]!r}: there is no such "
            "[[acquirer]]"
        )
    if len(set(rule.acquirers)) != len(rule.acquirers):
        raise ConfigurationRefused(f"[[route]] number {number} names an acquirer twice")
    for each in rule.bins:
        low, dash, high = each.partition("-")
        if dash and (len(low) != len(high) or low > high):
            raise ConfigurationRefused(
                f"[[route]] number {number}: {each!r} is no range of BINs; write 41, or "
                "400000-419999 with as many digits on both sides"
            )


def _check_live(configuration: Configuration) -> None:
    if configuration.webhooks.allow_loopback:
        raise ConfigurationRefused(
            "live mode has no webhooks to this machine: remove webhooks.allow_loopback"
        )
    if not configuration.routing.network_limits:
        raise ConfigurationRefused("live mode keeps the networks' limits: routing.network_limits")
    if configuration.api.certificate is None:
        raise ConfigurationRefused("live mode needs api.certificate and api.private_key")
    if not configuration.vault.accept_key_file_in_live:
        raise ConfigurationRefused(
            "live mode keeps the key-encryption key in a file only when "
            "vault.accept_key_file_in_live = true says that this is accepted"
        )
