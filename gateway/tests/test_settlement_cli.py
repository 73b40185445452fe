"""
`counterfoil settlement`: files read by hand, and what came of them, for people and programs.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from counterfoil import ids
from counterfoil.payments import movements
from counterfoil.store.database import Database
from payment_stage import Stage
from scripted_link import says
from settlement_books import Books, Paid, line_of, net_of

PROGRAM = [sys.executable, "-m", "counterfoil.cli.main", "settlement"]
SECONDS_MAX = 60
REFERENCE = "CF261123000001"


class Operator:
    """
    Runs the commands against the test's own database.
    """

    def __init__(self, folder: Path, parameters: dict[str, str]) -> None:
        self.folder = folder
        self.parameters = parameters
        self.config = folder / "counterfoil.toml"
        self.books: Books
        self.net = 0

    async def set_up(self) -> None:
        """Make books, a report with one mistake, and the statement that pays it."""
        database = await Database.open(**self.parameters)
        try:
            self.books = books = await Books.set_up(database)
            items = await books.batch(("capture", 4200), ("capture", 1000), ("refund", 300))
            lines = [line_of(items[0]), line_of(items[2])]
            self.net = net_of(lines)
            (self.folder / "report.csv").write_bytes(books.report((REFERENCE, lines)))
            (self.folder / "bank.xml").write_bytes(books.statement(Paid(self.net, REFERENCE)))
            (self.folder / "broken.csv").write_bytes(b"H,nothing\n")
        finally:
            await database.close()
        given = self.parameters
        user, host, name = (quote(given[each], safe="") for each in ("user", "host", "database"))
        secret = f":{quote(given['password'], safe='')}" if given.get("password") else ""
        port = f"&port={given['port']}" if given.get("port") else ""
        self.config.write_text(
            f"""
[database]
url = "postgresql://{user}{secret}@/{name}?host={host}{port}"

[[acquirer]]
name = "{books.acquirer}"
mode = "test"
host = "127.0.0.1"
port = 1
institution_id = "123456"
forwarding_id = "987654"
"""
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*PROGRAM, *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=SECONDS_MAX,
        )

    def json(self, *words: str) -> Any:
        """Run a command and return what it says to programs."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def operator(tmp_path: Path, parameters: dict[str, str]) -> Operator:
    """An operator with three files, of which one cannot be read."""
    made = Operator(tmp_path, parameters)
    asyncio.run(made.set_up())
    return made


def test_files_are_read_and_explained_by_commands(operator: Operator) -> None:
    """From the files to the deposit, line by line, and the list of what does not agree."""
    merchant = ids.written(ids.MERCHANT, operator.books.merchant_id)

    taken = operator.json("read", "report.csv", "bank.xml")
    (deposit,) = operator.json("deposits", "--merchant", merchant)
    whole = operator.json("deposit", REFERENCE, "--merchant", merchant)
    people = operator.run("deposit", REFERENCE, "--merchant", merchant)
    (finding,) = operator.json("findings", "--merchant", merchant)

    assert [each["state"] for each in taken] == ["read", "read"]
    assert (deposit["state"], deposit["net_minor"]) == ("funded", operator.net)
    assert whole["fees_minor"] == 78
    assert (whole["gross"], whole["refunds"], whole["fees"]) == ("42.00", "3.00", "0.78")
    assert [line["amount"] for line in whole["lines"]] == ["42.00", "-3.00"]
    assert [line["batch"] for line in whole["lines"]] == ["TERM0001/USD/000001"] * 2
    assert "42.00" in people.stdout
    assert "matched" in people.stdout
    assert (finding["kind"], finding["amount"]) == ("missing_there", "10.00")

    done = operator.run("resolve", finding["id"], "--note", "paid by cheque, agreed with J. Doe")
    assert done.returncode == 0, done.stderr
    assert operator.json("findings", "--merchant", merchant) == []
    again = operator.run("resolve", finding["id"], "--note", "twice")
    assert again.returncode != 0


def test_a_held_file_makes_the_command_fail_and_stands_on_the_list(operator: Operator) -> None:
    """With the reason; the others are read all the same."""
    done = operator.run("read", "broken.csv", "report.csv")
    held = operator.json("held")
    files = operator.json("files")

    assert done.returncode == 1
    assert "broken.csv: held" in done.stdout
    assert "report.csv: read" in done.stdout
    assert "broken.csv" in {each["name"] for each in held}
    assert {"broken.csv", "report.csv"} <= {each["name"] for each in files}


def test_a_held_file_is_put_aside_by_a_person_who_says_why(operator: Operator) -> None:
    """It stays, and is held no more; reading it again takes it back."""
    operator.run("read", "broken.csv")
    (held,) = (each for each in operator.json("held") if each["name"] == "broken.csv")
    words = ("put-aside", held["file"], "--note", "came again whole", "--by", "ada")

    done, again = operator.run(*words), operator.run(*words)
    left = {each["name"] for each in operator.json("held")}
    (kept,) = (each for each in operator.json("files") if each["name"] == "broken.csv")
    operator.run("read", "broken.csv")

    assert (done.returncode, again.returncode) == (0, 2), done.stderr
    assert "held" in again.stderr
    assert "broken.csv" not in left
    assert (kept["state"], kept["aside_by"]) == ("aside", "cli:ada")
    assert kept["aside_note"] == "came again whole"
    assert "broken.csv" in {each["name"] for each in operator.json("held")}


def test_what_is_not_there_is_said_in_a_sentence(operator: Operator) -> None:
    """No file, no deposit, no finding, no merchant."""
    for words in (
        ("read", "absent.csv"),
        ("read",),
        ("deposit", "CF000000000000"),
        ("resolve", "fnd_1", "--note", "x"),
        ("put-aside", "counterfoil.toml", "--note", "x"),
        ("put-aside", "0" * 12, "--note", "x"),
        ("put-aside", "0" * 12, "--note", " "),
        ("account", f"mer_{'0' * 32}", "DE1", "--currency", "USD"),
        ("account", f"mer_{'0' * 32}", "DE1", "--currency", "XXY"),
    ):
        done = operator.run(*words)

        assert done.returncode == 2, words
        assert done.stderr.startswith("counterfoil: "), words
        assert "Traceback" not in done.stderr


async def refused_refund(parameters: dict[str, str]) -> str:
    """Sell and void; the acquirer had closed the batch, and refuses the refund too."""
    database = await Database.open(**parameters)
    try:
        stage = await Stage.set_up(database)
        await movements.void(stage.command(await stage.paid()), stage.road)
        stage.link.script += [says("40"), says("57")]
        stage.clock.move(1)
        while await stage.forwarder().forward():
            pass
        return ids.written(ids.MERCHANT, stage.merchant.merchant_id)
    finally:
        await database.close()


@pytest.mark.parametrize("command", ["refund-again", "returned"])
def test_a_refused_refund_is_ended_by_its_commands_only(operator: Operator, command: str) -> None:
    """A note does not give money back; doctor says how long the cardholder waits."""
    merchant = asyncio.run(refused_refund(operator.parameters))
    (finding,) = operator.json("findings", "--merchant", merchant)
    doctor = subprocess.run(
        [*PROGRAM[:-1], "doctor", "--config", str(operator.config)],
        capture_output=True,
        text=True,
        cwd=operator.folder,
        timeout=SECONDS_MAX,
    )
    noted = operator.run("resolve", finding["id"], "--note", "it is well")
    too_much = operator.run(command, finding["id"], "--note", "why", "--amount", "4300")
    done = operator.run(command, finding["id"], "--note", "J. Doe, in cash")
    twice = operator.run(command, finding["id"], "--note", "J. Doe, in cash")

    assert "1 of them refused refund(s)" in doctor.stdout
    assert noted.returncode == 2
    assert "settlement refund-again" in noted.stderr
    assert "settlement returned" in noted.stderr
    assert "at most what was refused, 4200" in too_much.stderr
    assert done.returncode == 0, done.stderr
    assert twice.returncode == 2
    assert "resolved already: " in twice.stderr
    assert "J. Doe, in cash" in twice.stderr
    assert operator.json("findings", "--merchant", merchant) == []
