"""
`counterfoil screening` as an operator runs it: output and exit code.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from counterfoil import ids
from counterfoil.store.database import Database
from payment_stage import Stage

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def paid(parameters: dict[str, str]) -> tuple[str, str]:
    """A merchant and one of his payments, as they are written."""

    async def lived() -> tuple[str, str]:
        database = await Database.open(**parameters)
        stage = await Stage.set_up(database)
        payment = await stage.paid()
        await database.close()
        merchant = ids.written(ids.MERCHANT, stage.merchant.merchant_id)
        return merchant, ids.written(ids.PAYMENT, payment.payment_id)

    return asyncio.run(lived())


@pytest.fixture
def screening(parameters: dict[str, str], tmp_path: Path) -> Command:
    """The command, pointed at the module's database."""
    user = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")
    environment = {
        **{name: value for name, value in os.environ.items() if "COUNTERFOIL" not in name},
        "DATABASE_URL": f"postgresql://{user}@/{parameters['database']}?host={host}",
    }

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "counterfoil.cli.main", "screening", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_rules_are_set_one_by_one_and_shown(screening: Command, paid: tuple[str, str]) -> None:
    """What is not named stays; `off` turns one off."""
    merchant, _ = paid
    first = screening(
        "set", merchant, "--duplicates", "300", "--avs", "no_match,none", "--card", "5/3600/100000",
        "--declines", "3/600", "--by", "ada",
    )  # fmt: skip
    second = screening("set", merchant, "--card", "off", "--volume", "any/86400/5000000")

    shown = json.loads(screening("show", merchant, "--json").stdout)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert shown["version"] == 2
    assert shown["duplicate_seconds"] == 300
    assert shown["avs_refused"] == ["no_match", "none"]
    assert shown["card"] is None
    assert shown["merchant"] == {
        "seconds": 86400,
        "payments_max": None,
        "amount_minor_max": 5000000,
    }
    assert (shown["declines_max"], shown["declines_seconds"]) == (3, 600)
    words = screening("show", merchant).stdout
    assert "duplicate_seconds: 300" in words
    assert "avs_refused: no_match, none" in words
    assert "cvv_refused: off" in words
    assert "(" not in words


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--avs", "maybe"], "'maybe' is no result"),
        (["--card", "5"], "PAYMENTS/SECONDS"),
        (["--card", "5/1"], "--card: SECONDS is 1, and must be from 60 to 2592000"),
        (["--volume", "0/60"], "--volume: PAYMENTS is 0, and must be from 1 to 10000"),
        (["--card", "1001/60"], "--card: PAYMENTS is 1001, and must be from 1 to 1000"),
        (["--email", "any/60/0"], "--email: AMOUNT (in minor units) is 0, and must be from 1"),
        (["--declines", "9999/60"], "--declines: DECLINES is 9999, and must be from 1 to 1000"),
        (["--duplicates", "86401"], "--duplicates: seconds is 86401, and must be from 0 to 86400"),
        (["--duplicates", "soon"], "takes seconds"),
        (["--declines", "3"], "DECLINES/SECONDS"),
        ([], "nothing to change"),
    ],
)
def test_a_rule_that_cannot_stand_is_refused_in_words(
    screening: Command, paid: tuple[str, str], words: list[str], complaint: str
) -> None:
    """With what is expected."""
    done = screening("set", paid[0], *words)

    assert done.returncode == 2
    assert complaint in done.stderr


def test_the_block_list_says_who_when_and_why(screening: Command, paid: tuple[str, str]) -> None:
    """A card by one of its payments; twice is refused; ended entries stay to be read."""
    merchant, payment = paid
    blocked = screening(
        "block", merchant, "--payment", payment, "--reason", "chargeback", "--by", "ada"
    )
    again = screening("block", merchant, "--payment", payment, "--reason", "chargeback")
    (entry,) = json.loads(screening("blocks", merchant, "--json").stdout)
    ended = screening("unblock", merchant, entry["block_id"])

    assert "Blocked visa ending 1111 as blk_" in blocked.stdout
    assert again.returncode == 2
    assert "is blocked already" in again.stderr
    assert (entry["kind"], entry["reason"], entry["actor"]) == ("card", "chargeback", "cli:ada")
    assert ended.returncode == 0
    assert "Nobody is blocked." in screening("blocks", merchant).stdout
    assert entry["block_id"] in screening("blocks", merchant, "--ended").stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--reason", "x"], "name one of"),
        (["--bin", "41", "--reason", "x"], "--bin takes 4 to 6 digits"),
        (["--bin", "4111", "--email", "a@b.example", "--reason", "x"], "name one of"),
        (["--email", "nobody", "--reason", "x"], "--email takes a bare address"),
        (
            ["--email", "4242424242424242@b.example", "--reason", "x"],
            "--email: a card's number stands in it: leave it out",
        ),
        (
            ["--email-domain", "4242-4242-4242-4242.example", "--reason", "x"],
            "--email-domain: a card's number stands in it: leave it out",
        ),
        (["--email-domain", "@x", "--reason", "x"], "--email-domain takes a name"),
        (["--payment", "pay_1", "--reason", "x"], "--payment takes a payment's id"),
        (["--payment", "pay_" + 32 * "0", "--reason", "x"], "no payment with this id"),
    ],
)
def test_what_cannot_be_blocked_is_refused_in_words(
    screening: Command, paid: tuple[str, str], words: list[str], complaint: str
) -> None:
    """With what is expected."""
    done = screening("block", paid[0], *words)

    assert done.returncode == 2
    assert complaint in done.stderr


def test_an_unknown_merchant_is_said(screening: Command) -> None:
    """Not a constraint's name."""
    done = screening("set", "mer_" + 32 * "0", "--duplicates", "60")

    assert done.returncode == 2
    assert "there is no such merchant" in done.stderr
