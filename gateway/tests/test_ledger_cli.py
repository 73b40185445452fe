"""
`counterfoil audit` and `counterfoil report` as an operator runs them: output and exit code.
"""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from counterfoil.clock import SystemClock
from counterfoil.keyfile import make_key
from counterfoil.ledger.head_file import HeadFile
from counterfoil.ledger.heads import load_signing_key
from counterfoil.ledger.signer import Signer
from counterfoil.store.database import Database
from counterfoil.store.heads import HeadStore
from ledger_day import Day

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def reference(parameters: dict[str, str]) -> str:
    """The deposit of a whole day in the module's database."""

    async def lived() -> str:
        database = await Database.open(**parameters)
        day = await Day.whole(database)
        await database.close()
        return day.reference

    return asyncio.run(lived())


@pytest.fixture
def counterfoil(parameters: dict[str, str], reference: str, tmp_path: Path) -> Command:
    """The command, pointed at the module's database."""
    user = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")
    environment = {
        **{name: value for name, value in os.environ.items() if "COUNTERFOIL" not in name},
        "DATABASE_URL": f"postgresql://{user}@/{parameters['database']}?host={host}",
    }

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "counterfoil.cli.main", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_an_audit_that_agrees_exits_with_0(counterfoil: Command) -> None:
    """And says the sums of each merchant and currency."""
    done = counterfoil("audit", "--json")
    said = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert said["agrees"] is True
    assert said["differences"] == []
    assert said["merchants"][0]["deposited_minor"] == 6400
    assert said["chains"][0]["transfers"] == 20
    assert counterfoil("audit").stdout.endswith("Everything agrees.\n")


def test_an_audit_that_does_not_agree_exits_with_1(
    counterfoil: Command, parameters: dict[str, str]
) -> None:
    """And names what differs, by how much, and what to do."""

    async def shift(minor: int) -> None:
        database = await Database.open(**parameters)
        async with database.acquire() as connection:
            await connection.execute("UPDATE deposits SET paid_minor = paid_minor + $1", minor)
        await database.close()

    asyncio.run(shift(-3))
    try:
        done = counterfoil("audit")
        said = json.loads(counterfoil("audit", "--json").stdout)
    finally:
        asyncio.run(shift(3))

    assert done.returncode == 1
    assert "difference -0.03 USD" in done.stdout
    assert "next: " in done.stdout
    assert {each["difference_minor"] for each in said["differences"]} == {3, -3}
    assert set(said["differences"][0]) == {
        "merchant", "currency", "what", "subject", "expected", "found", "difference_minor",
        "next_step",
    }  # fmt: skip


def test_a_report_comes_as_text_json_csv_and_page(
    counterfoil: Command, reference: str, tmp_path: Path
) -> None:
    """One of them at a time."""
    page = tmp_path / "day.html"
    words = ("report", "day", "--date", "2026-11-23")

    assert "batch TERM0001/USD/000001: 72.00 USD. Closed" in counterfoil(*words).stdout
    assert json.loads(counterfoil(*words, "--json").stdout)["kind"] == "day"
    assert counterfoil(*words, "--csv").stdout.startswith("record,merchant,")
    assert counterfoil(*words, "--html", str(page)).returncode == 0
    assert f"Deposit {reference}" in page.read_text("utf-8")
    assert counterfoil(*words, "--csv", "--json").returncode == 2


def test_a_batch_and_a_deposit_are_reported_by_name(counterfoil: Command, reference: str) -> None:
    """What is not there is refused with a sentence."""
    assert "72.00 USD" in counterfoil("report", "batch", "TERM0001/USD/000001").stdout
    assert "64.00 USD. In the bank" in counterfoil("report", "deposit", reference).stdout
    refused = counterfoil("report", "deposit", "CF000000000000")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is no deposit CF000000000000" in refused.stderr
    assert "write YYYY-MM-DD" in counterfoil("report", "day", "--date", "23.11.").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "--merchant"),
        ("events",),
        ("key", "list"),
        ("batch", "list", "--merchant"),
        ("batch", "close", "--merchant"),
        ("webhook", "list"),
        ("screening", "show"),
        ("screening", "blocks"),
        ("settlement", "files", "--merchant"),
        ("settlement", "findings", "--merchant"),
        ("settlement", "deposits", "--merchant"),
    ],
    ids=" ".join,
)
def test_a_merchant_that_is_none_is_not_told_to_be_well(
    counterfoil: Command, words: tuple[str, ...]
) -> None:
    """A mistyped id must not read like books that agree."""
    refused = counterfoil(*words, f"mer_{'0' * 32}")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is no such merchant" in refused.stderr


@pytest.fixture
def signed_in(parameters: dict[str, str], reference: str, tmp_path: Path) -> Iterator[Path]:
    """The state folder of a worker that has signed the day; afterwards nothing is signed."""
    state = tmp_path / "state"
    key = make_key(state / "keys" / "head-signing.key")
    assert key
    assert reference

    async def sign() -> None:
        database = await Database.open(**parameters)
        signer = Signer(
            HeadStore(database),
            SystemClock(),
            key_path=state / "keys" / "head-signing.key",
            file=HeadFile(state / "signed-heads.txt"),
        )
        await signer.sign()
        await database.close()

    async def forget() -> None:
        database = await Database.open(**parameters)
        async with database.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("DELETE FROM signed_heads")
        await database.close()

    asyncio.run(sign())
    yield state
    asyncio.run(forget())


def test_an_audit_verifies_the_signed_heads_of_its_state_folder(
    counterfoil: Command, signed_in: Path
) -> None:
    """With the key there, or with the public key on paper; with another it fails."""
    agrees = counterfoil("audit")
    told = json.loads(counterfoil("keys", "public", "--json").stdout)
    (signed_in / "keys" / "head-signing.key").rename(signed_in / "away")
    without = counterfoil("audit")
    elsewhere = json.loads(
        counterfoil("audit", "--public-key", told["public_key"], "--json").stdout
    )
    other = counterfoil("audit", "--public-key", "ab" * 32)
    wrong = counterfoil("audit", "--public-key", "ab" * 31)

    assert (agrees.returncode, agrees.stderr) == (0, "")
    assert re.search(r"^mer_\w+: 1 signed head\(s\), the newest of \d{4}-\d\d-\d\d$",
                     agrees.stdout, re.M)  # fmt: skip
    assert agrees.stdout.endswith("Everything agrees.\n")
    assert without.returncode == 1
    assert "the signed heads cannot be verified" in without.stdout
    assert (elsewhere["agrees"], elsewhere["heads"][0]["heads"]) == (True, 1)
    assert other.returncode == 1
    assert f"a key that is not ours: {told['key']}" in other.stdout
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "64 hexadecimal digits" in wrong.stderr


def test_the_signing_key_is_shown_for_its_copy_and_its_public_half_for_the_auditor(
    counterfoil: Command, signed_in: Path
) -> None:
    """The one opens nothing and signs everything, the other only verifies."""
    path = signed_in / "keys" / "head-signing.key"
    secret = base64.b64encode(path.read_bytes()).decode()
    public = counterfoil("keys", "public").stdout

    assert secret in counterfoil("keys", "escrow", "--signing").stdout.splitlines()
    assert load_signing_key(path).public.hex() in public.splitlines()
    assert secret not in public
    path.unlink()
    refused = counterfoil("keys", "public")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "put it back from its copy" in refused.stderr
