"""
The configuration: what is read, what goes before what, and what is refused.
"""

import re
from pathlib import Path

import msgspec
import pytest
from counterfoil.config import (
    SECTIONS,
    Acquirer,
    Configuration,
    ConfigurationRefused,
    RouteRule,
    load,
)
from counterfoil.config_words import FORMS
from msgspec.inspect import type_info

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"
TOP_LEVEL = ("mode", "state", "log_level")
ACQUIRER = """
[[acquirer]]
name = "first-bank"
mode = "test"
host = "127.0.0.1"
port = 8583
institution_id = "123456"
forwarding_id = "987654"
"""
LIVE = """
mode = "live"
[api]
certificate = "server.pem"
private_key = "server.key"
[vault]
accept_key_file_in_live = true
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "counterfoil.toml"
        path.write_text(text)
        return path

    return write


def test_without_anything_there_is_a_test_installation() -> None:
    """A new user needs no file."""
    found = load(None, {})

    assert found == Configuration()
    assert found.mode == "test"
    assert found.folder == Path("./state").absolute()
    assert found.key_path == found.folder / "keys" / "key-encryption.key"


def test_the_file_is_read(written) -> None:
    """Sections, and one table for each acquirer."""
    found = load(written('state = "/var/lib/pay"\n[api]\nport = 443\n' + ACQUIRER), {})

    assert found.folder == Path("/var/lib/pay")
    assert found.api.port == 443
    assert [each.name for each in found.acquirer] == ["first-bank"]


def test_the_file_can_be_named_by_the_environment(written) -> None:
    """As the supervisor does it; the one named on the command line goes first."""
    named = {"COUNTERFOIL_CONFIG": str(written("[api]\nport = 1\n"))}

    assert load(None, named).api.port == 1


def test_the_environment_goes_before_the_file(written) -> None:
    """Every kind of value: number, text, truth, list."""
    path = written("[api]\nport = 1\nhost = '::1'\n[timers]\nsend_seconds = 1\n")

    found = load(
        path,
        {
            "COUNTERFOIL_API_PORT": "9443",
            "COUNTERFOIL_TIMERS_SEND_SECONDS": "2.5",
            "COUNTERFOIL_VAULT_ACCEPT_KEY_FILE_IN_LIVE": "true",
            "COUNTERFOIL_API_NAMES": "pay.example,192.0.2.7",
            "COUNTERFOIL_STATE": "/srv/pay",
        },
    )

    assert found.api.port == 9443
    assert found.api.host == "::1"
    assert found.timers.send_seconds == 2.5
    assert found.vault.accept_key_file_in_live is True
    assert found.api.names == ("pay.example", "192.0.2.7")
    assert found.folder == Path("/srv/pay")


def test_database_url_goes_before_everything(written) -> None:
    """As every hosting platform sets it."""
    path = written('[database]\nurl = "postgresql://file"\n')

    found = load(
        path,
        {"COUNTERFOIL_DATABASE_URL": "postgresql://ours", "DATABASE_URL": "postgresql://theirs"},
    )

    assert found.database.url == "postgresql://theirs"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 'blue'", "colour"),
        ("[api]\nprot = 443", "prot"),
        ("[nonsense]\nx = 1", "nonsense"),
        (ACQUIRER + "extra = 1", "extra"),
    ],
)
def test_an_unknown_setting_is_refused_by_name(written, text: str, named: str) -> None:
    """A typing mistake never becomes a default."""
    with pytest.raises(ConfigurationRefused, match=named):
        load(written(text), {})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[api]\nport = 'many'", r"\[api\] port"),
        ("[api]\nport = 65536", r"\[api\] port"),
        ("[api]\nbody_bytes_max = 1", r"\[api\] body_bytes_max"),
        ("api = 3", "api is wrong: expected a section"),
        ("mode = 'demo'", "mode cannot be 'demo': expected one of live, test"),
        ("[timers]\nsend_seconds = 0", r"\[timers\] send_seconds"),
        ("[timers]\nanswer_seconds = 31", r"\[timers\] answer_seconds"),
        ("[mail]\nsecurity = 'perhaps'", r"\[mail\] security"),
        (
            ACQUIRER.replace('"123456"', '"12345x"'),
            "number 1, institution_id is wrong: expected 1 to 11 dig",
        ),
        (
            ACQUIRER.replace("first-bank", "First Bank"),
            "number 1, name is wrong: expected 1 to 32 sm",
        ),
        (ACQUIRER.replace('host = "127.0.0.1"\n', ""), "host"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_by_name(written, text: str, named: str) -> None:
    """Of the wrong type, out of range, missing."""
    with pytest.raises(ConfigurationRefused, match=named):
        load(written(text), {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mod = 'test'", "mod is no setting: did you mean mode?"),
        ("[api]\nprot = 443", "[api] prot is no setting: did you mean port?"),
        ("[vault]\nx = 1", "[vault] x is no setting: there is key_file, accept_key_file_in_live"),
        ("[api]\nport = 70000", "[api] port is wrong: expected a whole number from 0 to 65535"),
        ("[timers]\nsend_seconds = 0", "send_seconds is wrong: expected a number above 0 to 30"),
        ("[webhooks]\nallow_loopback = 'maybe'", "allow_loopback is wrong: expected true or false"),
        ("[acquirer]\nname = 'x'", "acquirer is wrong: expected tables: write [[acquirer]] for"),
        ("[[route]]\nacquirers = []", "number 1, acquirers is wrong: expected a list of 1 to 16"),
        ("[[route]]\nacquirers = ['a']\nbrands = ['vsa']", "brands, value 1 cannot be 'vsa'"),
        ("[[acquirer]]\nname = 'x'", "[[acquirer]] number 1, mode is missing: expected one of l"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_with_what_was_expected(written, text: str, sentence: str) -> None:
    """As the file names it; the values, the range, the form; the nearest name."""
    with pytest.raises(ConfigurationRefused) as caught:
        load(written(text), {})

    assert sentence in str(caught.value)


def test_every_pattern_of_a_setting_has_words() -> None:
    """Nobody reads a regular expression in a refusal."""
    kinds = [Acquirer, RouteRule, *SECTIONS.values()]
    patterns = set(re.findall(r"pattern='([^']+)'", str([type_info(each) for each in kinds])))

    assert patterns == set(FORMS)


@pytest.mark.parametrize("url", ["mysql://u:hidden@x/y", "localhost:5432", "u:hidden@x"])
def test_a_database_that_is_not_postgresql_is_refused_at_once(written, url: str) -> None:
    """With what a URL looks like, and without the one that may hold a password."""
    with pytest.raises(ConfigurationRefused, match="expected PostgreSQL's") as caught:
        load(written(f'[database]\nurl = "{url}"'), {})

    assert "hidden" not in str(caught.value)


def test_a_section_that_is_none_is_refused_whatever_the_environment_says(written) -> None:
    """A sentence, not a traceback."""
    with pytest.raises(ConfigurationRefused, match="api"):
        load(written("api = 3"), {"COUNTERFOIL_API_PORT": "443"})
    with pytest.raises(ConfigurationRefused, match="database"):
        load(written("database = 3"), {"DATABASE_URL": "postgresql://ours"})


def test_a_value_from_the_environment_is_checked_as_one_from_the_file() -> None:
    """And the sentence says that it came from there."""
    with pytest.raises(ConfigurationRefused, match="environment: "):
        load(None, {"COUNTERFOIL_API_PORT": "many"})


def test_a_file_that_is_not_there_or_not_toml_is_refused(tmp_path: Path, written) -> None:
    """With its path."""
    with pytest.raises(ConfigurationRefused, match=r"there is no configuration at .*missing\.toml"):
        load(tmp_path / "missing.toml", {})
    with pytest.raises(ConfigurationRefused, match=r"counterfoil\.toml is not TOML"):
        load(written("[api"), {})
    with pytest.raises(ConfigurationRefused, match="cannot read"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("text", "acquirer"), [("", 'mode = "live"'), (LIVE, 'mode = "test"')], ids=["test", "live"]
)
def test_test_and_live_never_mix(written, text: str, acquirer: str) -> None:
    """A test installation reaches no live host, and a live one no sandbox."""
    path = written(text + ACQUIRER.replace('mode = "test"', acquirer))

    with pytest.raises(ConfigurationRefused, match="test and live never mix"):
        load(path, {})


def test_two_acquirers_cannot_share_a_name(written) -> None:
    """Payments remember their acquirer by it."""
    with pytest.raises(ConfigurationRefused, match="two acquirers are named 'first-bank'"):
        load(written(ACQUIRER * 2), {})


@pytest.mark.parametrize("half", ["certificate", "private_key"])
def test_half_a_certificate_is_refused(written, half: str) -> None:
    """A certificate without its key, a key without its certificate."""
    with pytest.raises(ConfigurationRefused, match="go together"):
        load(written(f"[api]\n{half} = 'server.pem'"), {})


def test_live_mode_is_taken_with_a_certificate_and_an_accepted_key_file(written) -> None:
    """Everything said, everything there."""
    assert load(written(LIVE), {}).mode == "live"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("certificate = ", "live mode needs api.certificate and api.private_key"),
        ("accept_key_file_in_live = ", "vault.accept_key_file_in_live = true"),
    ],
)
def test_live_mode_is_refused_without_what_makes_it_safe(written, line: str, sentence: str) -> None:
    """It never makes its own certificate; it keeps the key in a file only when told so."""
    lines = [each for each in LIVE.splitlines() if not each.startswith(line)]
    lines = [each for each in lines if "certificate" not in line or "private_key" not in each]

    with pytest.raises(ConfigurationRefused, match=sentence):
        load(written("\n".join(lines)), {})


def settings() -> list[tuple[str | None, str]]:
    """Return every setting there is: its section, None at the top, and its name."""
    found: list[tuple[str | None, str]] = [(None, name) for name in TOP_LEVEL]
    for section, kind in SECTIONS.items():
        found += [(section, name) for name in kind.__struct_fields__]
    return found + [("acquirer", name) for name in Acquirer.__struct_fields__]


def test_every_section_can_be_set_by_the_environment() -> None:
    """A section that is added is added to SECTIONS too."""
    sections = set(Configuration.__struct_fields__) - set(TOP_LEVEL) - {"acquirer", "route"}

    assert sections == set(SECTIONS)


@pytest.mark.parametrize(("section", "name"), settings())
def test_every_setting_is_documented(section: str | None, name: str) -> None:
    """Its section, its name, and the environment variable that sets it."""
    page = REFERENCE.read_text("utf-8")
    variable = f"COUNTERFOIL_{section}_{name}" if section else f"COUNTERFOIL_{name}"

    assert section is None or f"[{section}]" in page
    assert re.search(rf"\b{name}\b", page)
    assert section == "acquirer" or re.search(rf"\b{variable.upper()}\b", page)


@pytest.mark.parametrize("name", ["COUNTERFOIL_CONFIG", "DATABASE_URL"])
def test_what_only_the_environment_says_is_documented_too(name: str) -> None:
    """Where the file is, and where the database is."""
    assert re.search(rf"\b{name}\b", REFERENCE.read_text("utf-8"))


def test_a_configuration_cannot_be_changed_while_it_is_in_use() -> None:
    """What was checked at the start holds until the end."""
    with pytest.raises(AttributeError):
        load(None, {}).mode = "live"  # type: ignore[misc]
    assert msgspec.structs.replace(load(None, {}), mode="test") == Configuration()


def test_live_mode_keeps_the_networks_limits(written) -> None:
    """Whoever goes over them pays for it."""
    with pytest.raises(ConfigurationRefused, match="network_limits"):
        load(written(LIVE + "[routing]\nnetwork_limits = false\n"), {})


def test_routes_stand_in_their_order_of_priority(written) -> None:
    """Each names acquirers that there are, and what it is about."""
    rules = """
[[route]]
acquirers = ["first-bank"]
brands = ["amex"]
bins = ["41", "400000-419999"]
[[route]]
acquirers = ["first-bank"]
currencies = ["EUR"]
merchants = ["mer_0123456789abcdef0123456789abcdef"]
"""
    found = load(written(ACQUIRER + rules), {})

    assert [each.brands for each in found.route] == [("amex",), ()]
    assert found.route[0].bins == ("41", "400000-419999")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('acquirers = ["elsewhere"]', "names the acquirer 'elsewhere'"),
        ('acquirers = ["first-bank", "first-bank"]', "names an acquirer twice"),
        ("acquirers = []", "acquirers"),
        ('acquirers = ["first-bank"]\nbins = ["42-41"]', "no range of BINs"),
        ('acquirers = ["first-bank"]\nbins = ["4-411111"]', "no range of BINs"),
        ('acquirers = ["first-bank"]\nbins = ["4111111111111111"]', "bins"),
        ('acquirers = ["first-bank"]\nbrands = ["vista"]', "brands"),
        ('acquirers = ["first-bank"]\ncurrency = "USD"', "currency"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(written, rule: str, words: str) -> None:
    """At start, not by the first payment that takes it."""
    with pytest.raises(ConfigurationRefused, match=re.escape(words)):
        load(written(f"{ACQUIRER}[[route]]\n{rule}\n"), {})


@pytest.mark.parametrize("number", [0, 65])
def test_there_are_one_to_sixty_four_gateway_processes(written, number: int) -> None:
    """One, unless somebody says otherwise."""
    assert load(None, {}).api.processes == 1
    assert load(None, {"COUNTERFOIL_API_PROCESSES": "64"}).api.processes == 64
    with pytest.raises(ConfigurationRefused, match=r"processes is wrong: .* from 1 to 64"):
        load(written(f"[api]\nprocesses = {number}\n"), {})


@pytest.mark.parametrize(
    ("gateway", "worker", "words"),
    [
        (9464, 9465, "take the ports 9464 to 9467, one for each .* worker's port 9465 is among"),
        (9464, 9464, "the worker's port 9464 is among them"),
        (65533, 9465, "choose a gateway_port of 65532 or less"),
    ],
)
def test_each_gateway_process_has_a_metrics_port_that_nobody_else_has(
    written, gateway: int, worker: int, words: str
) -> None:
    """Counted up from the first; refused at the start, not found out by a monitor."""
    metrics = f"[metrics]\ngateway_port = {gateway}\nworker_port = {worker}\n"

    assert load(written(metrics), {}).metrics.gateway_port == gateway
    with pytest.raises(ConfigurationRefused, match=words):
        load(written(metrics + "[api]\nprocesses = 4\n"), {})


@pytest.mark.parametrize(("gateway", "worker"), [(9464, 9468), (9464, 9463), (9464, 0), (0, 9465)])
def test_metrics_ports_beside_those_of_the_gateways_are_taken(
    written, gateway: int, worker: int
) -> None:
    """Next to the last one, before the first one, or nowhere."""
    metrics = f"[metrics]\ngateway_port = {gateway}\nworker_port = {worker}\n"

    assert load(written(metrics + "[api]\nprocesses = 4\n"), {}).metrics.worker_port == worker
