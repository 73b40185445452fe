"""
The commands of operators: what they say when all is well, and one sentence when it is not.
"""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from counterfoil.cli.main import main
from installation import Installation, clean_environment, counterfoil, free_port

NOBODY = f"mer_{'0' * 32}"
NO_KEY = f"key_{'0' * 32}"
MERCHANT = ("--email", "owner@shop.example", "--city", "Portland", "--country", "US")
COMMANDS = {
    "": (
        "migrate",
        "merchant",
        "key",
        "doctor",
        "iso8583",
        "serve",
        "worker",
        "mailer",
        "web",
        "user",
        "up",
        "demo",
    ),
    "serve": ("--config",),
    "worker": ("--config",),
    "mailer": ("--config",),
    "web": ("--config",),
    "user": ("invite",),
    "user invite": ("--merchant", "--role", "--by", "--json"),
    "up": ("--config",),
    "database": ("--config",),
    "migrate": ("--config",),
    "doctor": ("--json", "--config"),
    "merchant": ("add", "list", "set", "show", "terminal"),
    "merchant add": ("--email", "--city", "--country", "--timezone", "--cutoff", "--terminal-id"),
    "key": ("create", "list", "revoke"),
    "key create": ("--name", "--days", "--json"),
    "iso8583": ("decode", "encode"),
    "iso8583 decode": ("--encoding", "--table", "--clear"),
    "demo": ("--state", "--once", "--json", "--card"),
}


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    """Assert that a command was refused with one sentence that says *words*, and nothing more."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert re.fullmatch(r"counterfoil: [^\n]+\n", done.stderr), done.stderr
    assert re.search(words, done.stderr), done.stderr


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as the program does, but in this process: starting one takes long."""

    def running(*words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        for name in set(os.environ) - set(clean_environment()):
            monkeypatch.delenv(name)
        monkeypatch.setenv("COLUMNS", "100")
        if config is not None:
            monkeypatch.setenv("COUNTERFOIL_CONFIG", str(config))
        monkeypatch.setattr(sys, "argv", ["counterfoil", *words])
        code: object = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return running


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str):
    """Each option and each sub-command is there, with words beside it."""
    done = run(*command.split(), "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: counterfoil" in done.stdout
    for name in COMMANDS[command]:
        assert re.search(rf"{re.escape(name)}\b[^\n]*\w", done.stdout)


def test_the_overview_has_words_for_each_command_and_each_has_its_help(run: Run):
    """Down to the last sub-command, whoever added it."""
    looked_at, to_do = [], [()]
    while to_do:
        words: tuple[str, ...] = to_do.pop()
        done = run(*words, "--help")
        assert (done.returncode, done.stderr) == (0, ""), words
        listed = done.stdout.partition("─ Commands ─")[2].partition("╰")[0]
        for name, said in re.findall(r"^│ ([a-z0-9][a-z0-9-]*) +(\S*)", listed, re.MULTILINE):
            assert said, f"{name} says nothing about itself"
            to_do.append((*words, name))
        looked_at.append(" ".join(words))

    assert set(looked_at) >= COMMANDS.keys()


def test_the_program_is_installed_under_its_name():
    """`counterfoil`, in the environment's own folder of programs."""
    done = subprocess.run(
        [Path(sys.executable).with_name("counterfoil"), "--version"],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )

    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("settle",),
        ("merchant", "show"),
        ("merchant", "add", "Shop"),
        ("key", "create", NOBODY, "--days", "many"),
        ("doctor", "--loud"),
    ],
)
def test_a_misspelt_command_ends_with_2(run: Run, words: tuple[str, ...]):
    """And with words on standard error only."""
    done = run(*words)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no configuration at"),
        (b"mode = ", "is not TOML"),
        (b"\xff\xfe", "cannot read"),
        (b'colour = "green"', "colour is no setting: there is mode"),
        (b"[api]\ncolour = 1", r"\[api\] colour is no setting: there is host"),
        (b"[api]\nport = 70000", r"\[api\] port is wrong: expected a whole number from 0 to 65535"),
        (b'mode = "production"', r"mode cannot be 'production': expected one of live, test"),
        (b'mode = "live"', "live mode needs api.certificate"),
        (b'[api]\ncertificate = "x.pem"', "go together"),
        (
            b'[[acquirer]]\nname = "bank"\nmode = "live"\nhost = "bank.example"\nport = 8583\n'
            b'institution_id = "1"\nforwarding_id = "2"\n',
            "'bank' is live and this installation is test",
        ),
        (b'[[acquirer]]\nname = "bank"\n', r"\[\[acquirer\]\] number 1, mode is missing"),
    ],
)
def test_a_wrong_configuration_is_refused(
    run: Run, tmp_path: Path, content: bytes | None, words: str
):
    """At the start of every command, with the file and the setting."""
    path = tmp_path / "counterfoil.toml"
    if content is not None:
        path.write_bytes(content)

    done = run("doctor", config=path)

    refused(done, words)
    assert str(path) in done.stderr or "acquirer" in done.stderr or "api." in done.stderr


def test_the_environment_goes_before_the_file(installation: Installation):
    """`COUNTERFOIL_API_PORT` is `[api] port`, and is checked like it."""
    refused(installation.run("serve", COUNTERFOIL_API_PORT="many"), r"\[api\] port is wrong")


ACQUIRER = (
    '[[acquirer]]\nname = "bank"\nmode = "test"\nhost = "127.0.0.1"\nport = 1\n'
    'institution_id = "1"\nforwarding_id = "2"\n'
)


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("gw99", "acquirer 'bank': There is no dialect \"gw99\""),
        ("gw87-bcd", "has a MAC .* set mac_key_file, or COUNTERFOIL_MAC_KEY_BANK"),
    ],
)
def test_a_dialect_that_cannot_be_spoken_stops_the_start(
    run: Run, tmp_path: Path, dialect: str, words: str
):
    """Before a database is made, and not in programs that are started again and again."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(f'state = "{tmp_path}/state"\n{ACQUIRER}dialect = "{dialect}"\n')

    refused(run("up", config=path), words)
    assert not (tmp_path / "state").exists()


def test_a_word_that_is_missing_is_named_as_the_usage_names_it():
    """Not as an option that no page knows."""
    told = counterfoil("merchant", "terminal", "TERM1234", "--card-acceptor-id", "X")

    said = " ".join(told.stderr.replace("│", " ").split())
    assert told.returncode == 2
    assert "TERMINAL-ID is missing, or a word before it" in said
    assert "write counterfoil merchant terminal MERCHANT TERMINAL-ID" in said
    assert "--terminal-id" not in said


@pytest.mark.parametrize("command", ["migrate", "serve", "key list"])
def test_a_database_that_is_away_is_said(tmp_path: Path, command: str):
    """Whether it is the embedded one, which does not run, or another that nobody can reach."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(f'state = "{tmp_path}/state"\n[api]\nport = {free_port()}\n')
    url = f"postgresql://gateway:hidden@127.0.0.1:{free_port()}/gateway"

    embedded = counterfoil(*command.split(), config=path)

    refused(embedded, "the embedded database is not running: .*`counterfoil up`")
    assert f"looked for in the state folder {tmp_path}/state (COUNTERFOIL_CONFIG" in embedded.stderr
    if command == "serve":
        return  # A configured one may be recovering from a crash: it is waited for.
    other = counterfoil(*command.split(), config=path, DATABASE_URL=url)
    refused(other, "cannot reach PostgreSQL")
    assert "hidden" not in other.stderr


def test_a_wrong_key_file_is_refused(installation: Installation, tmp_path: Path):
    """Missing, too short, open to others, or simply another one."""
    another = tmp_path / "another.key"
    another.write_bytes(os.urandom(32))
    another.chmod(0o600)
    short = tmp_path / "short.key"
    short.write_bytes(b"short")
    short.chmod(0o600)
    public = tmp_path / "public.key"
    public.write_bytes(os.urandom(32))
    public.chmod(0o644)

    for path, words in (
        (tmp_path / "missing.key", "no key at .*missing.key: restore it"),
        (short, "holds 5 bytes instead of 32"),
        (public, "can be read by others: run chmod 600"),
        (another, "key"),
    ):
        done = installation.run("serve", COUNTERFOIL_VAULT_KEY_FILE=str(path))

        refused(done, words)


def test_a_taken_port_is_said(installation: Installation):
    """With the setting to change; the gateway that has it goes on."""
    done = installation.run("serve", COUNTERFOIL_API_PORT=str(installation.port))

    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert re.match(r"counterfoil: cannot listen on 127.0.0.1 port \d+: .*\[api\] port", last)
    assert "Traceback" not in done.stderr
    with installation.client() as client:
        assert client.get("/readyz").json()["ready"] is True


def test_test_and_live_never_mix(installation: Installation, tmp_path: Path):
    """A database of one mode serves no other."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(
        f'mode = "live"\nstate = "{installation.state}"\n'
        f'[api]\nport = {free_port()}\ncertificate = "{installation.state}/tls/server.pem"\n'
        f'private_key = "{installation.state}/tls/server.key"\n'
        "[vault]\naccept_key_file_in_live = true\n"
    )

    refused(counterfoil("serve", config=path), "does not hold live data")
    refused(counterfoil("migrate", config=path), "test")


def test_migrate_can_be_run_again(installation: Installation):
    """There is nothing to do, and it says so."""
    done = installation.run("migrate")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The database is ready (test mode).\n"


def test_a_merchant_is_added_listed_and_shown(installation: Installation):
    """With a terminal of its own, and what to do next."""
    added = installation.run(
        "merchant", "add", "Café Zürich", *MERCHANT, "--timezone", "Europe/Zurich"
    )
    merchant = re.search(r"mer_[0-9a-f]{32}", added.stdout)
    assert merchant
    assert f"Next: counterfoil key create {merchant.group()}" in added.stdout
    more = ("CAFE0002", "--card-acceptor-id", "CAFE-ZUERICH")
    second = installation.run("merchant", "terminal", merchant.group(), *more)
    listed = installation.run("merchant", "list")
    listed_json = installation.run("merchant", "list", "--json")
    shown = installation.run("merchant", "show", merchant.group())
    shown_json = installation.run("merchant", "show", merchant.group(), "--json")

    assert second.stdout == "Added terminal CAFE0002 at sandbox.\n"
    assert re.search(rf"{merchant.group()}  Café Zürich", listed.stdout)
    assert merchant.group() in [each["id"] for each in json.loads(listed_json.stdout)]
    assert "timezone: Europe/Zurich" in shown.stdout
    terminals = [each["terminal_id"] for each in json.loads(shown_json.stdout)["terminals"]]
    assert len(terminals) == 2
    assert "CAFE0002" in terminals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--email", "nobody"), "--email takes a bare address"),
        (("--city", "x" * 65), "--city takes 1 to 64 characters"),
        (("--region", "Oregon"), "--region takes up to 3"),
        (("--region", "ZZZ"), "--region: write the two letters of a state: OR"),
        (("--country", "USA"), "--country takes the two letters"),
        (("--country", "ZZ"), "--country takes the two letters"),
        (("--category-code", "12"), "--category-code takes the four digits"),
        (("--timezone", "Mars"), "'Mars' is no time zone"),
        (("--cutoff", "noon"), "'noon' is no time of day"),
        (("--acknowledge-seconds", "99999999999"), "takes 5 to 3600"),
        (("--terminal-id", "TÉRM0001"), "--terminal-id takes eight"),
        (("--terminal-id", "TERM0001"), "terminal TERM0001 of sandbox belongs to another"),
        (("--card-acceptor-id", "x" * 16), "--card-acceptor-id takes 1 to 15"),
        (("--acquirer", "other"), "no acquirer is named 'other'; there is sandbox"),
    ],
)
def test_a_merchant_that_cannot_be_is_refused(
    run: Run,
    installation: Installation,
    merchant: str,
    options: tuple[str, str],
    words: str,
):
    """With the option, and what it takes."""
    chosen = dict(zip(MERCHANT[::2], MERCHANT[1::2], strict=True)) | dict([options])
    asked = ("merchant", "add", "Shop", *(word for pair in chosen.items() for word in pair))

    refused(run(*asked, config=installation.config), words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("merchant", "show", NOBODY), "there is no such merchant"),
        (("merchant", "show", "Shop"), "'Shop' is no merchant id"),
        (
            ("merchant", "terminal", NOBODY, "TERM9999", "--card-acceptor-id", "M"),
            "there is no such merchant",
        ),
        (("key", "create", NOBODY), "there is no such merchant"),
        (("key", "create", "mer_1"), "'mer_1' is no merchant id"),
        (("key", "create", NOBODY, "--days", "0"), "--days takes 1 to 3650"),
        (("key", "revoke", NO_KEY), "there is no such key"),
        (("key", "revoke", "key_1"), "'key_1' is no key id"),
    ],
)
def test_who_is_not_there_is_said(
    run: Run,
    installation: Installation,
    command: tuple[str, ...],
    words: str,
):
    """A merchant or a key that nobody knows, or that is none."""
    refused(run(*command, config=installation.config), words)


def test_a_key_is_shown_once_and_can_be_ended(installation: Installation, merchant: str):
    """Its secret is nowhere else: neither in lists, nor in the log, nor in the database."""
    made = installation.run("key", "create", merchant, "--name", "till", "--days", "30")
    key, secret = re.findall(r"key_[0-9a-f]{32}|sk_test_\S+", made.stdout)
    before = installation.run("key", "list", merchant)
    revoked = installation.run("key", "revoke", key)
    again = installation.run("key", "revoke", key)
    after = json.loads(installation.run("key", "list", merchant, "--json").stdout)

    assert len(secret) > 40
    assert secret not in before.stdout
    assert re.search(rf"{key}.*{secret[-4:]}.*till.*active", before.stdout)
    assert revoked.stdout == f"Revoked {key}.\n"
    refused(again, "revoked before")
    assert {each["id"]: each["state"] for each in after}[key] == "revoked"
    assert secret not in installation.logs()


def test_doctor_finds_all_well(installation: Installation):
    """A line for each thing it looked at, for people or for programs, and exit code 0."""
    told = installation.run("doctor")
    said = json.loads(installation.run("doctor", "--json").stdout)

    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"worker processes: pid \d+ \(last sign of life \d+ s ago\)", told.stdout)
    assert all(line.startswith("ok  ") for line in told.stdout.splitlines())
    assert all(each["well"] is True for each in said)
    assert {each["name"] for each in said} >= {
        "configuration",
        "key file",
        "signing key",
        "signed heads",
        "database",
        "database settings",
        "clock",
        "vault",
        "gateway processes",
        "worker processes",
        "owed to acquirers",
        "acquirer sandbox",
        "dialect of sandbox",
    }


def test_doctor_names_what_is_ill(tmp_path: Path):
    """Everything at once, each with what to do about it, and exit code 1."""
    path = tmp_path / "counterfoil.toml"
    path.write_text(
        f'state = "{tmp_path}/state"\n[[acquirer]]\nname = "bank"\nmode = "test"\n'
        f'host = "127.0.0.1"\nport = {free_port()}\ninstitution_id = "1"\nforwarding_id = "2"\n'
    )

    told = counterfoil("doctor", config=path)
    said = json.loads(counterfoil("doctor", "--json", config=path).stdout)

    assert (told.returncode, told.stderr) == (1, "")
    assert {each["name"] for each in said if not each["well"]} == {
        "key file",
        "signing key",
        "database",
        "acquirer bank",
    }
    assert "ILL  database: the embedded database is not running" in told.stdout
    assert "Traceback" not in told.stdout
