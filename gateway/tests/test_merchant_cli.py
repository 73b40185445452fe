"""
`counterfoil merchant` and `settlement account` as an operator runs them: what the audit page says.
"""

import asyncio
import getpass
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from counterfoil import ids
from counterfoil.people.roles import Role
from payment_stage import Stage
from web_stage import PASSWORD, Site, words

ACQUIRER = """
[[acquirer]]
name = "{name}"
mode = "test"
host = "127.0.0.1"
port = 1
institution_id = "123456"
forwarding_id = "987654"
"""


async def test_what_an_operator_adds_stands_on_the_audit_page_with_their_name(
    stage: Stage, parameters: dict[str, str], tmp_path: Path
) -> None:
    """The business, its terminals, its bank account, where its payment pages lead back to."""
    acquirer = f"acquirer-{uuid4().hex[:12]}"
    (tmp_path / "counterfoil.toml").write_text(ACQUIRER.format(name=acquirer))
    who = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")

    async def run(*said: str) -> str:
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "counterfoil.cli.main", *said, "--config", "counterfoil.toml"],
            env={
                **{name: value for name, value in os.environ.items() if "COUNTERFOIL" not in name},
                "DATABASE_URL": f"postgresql://{who}@/{parameters['database']}?host={host}",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    place = ("--city", "Portland", "--country", "US", "--email", "ada@books.example")
    added = json.loads(await run("merchant", "add", "Corner Books", *place, "--json"))
    acceptor = f"M{uuid4().hex[:14].upper()}"
    merchant = added["id"]
    await run("merchant", "terminal", merchant, "TERM7002", "--card-acceptor-id", acceptor)
    await run("settlement", "account", merchant, "DE75512108001245126199", "--currency", "EUR")
    await run("merchant", "set", merchant, "--return-origin", "https://books.example")

    said = await _audit(stage, merchant)

    by = f"the operator ({getpass.getuser()})"
    for each in (
        "Business added added this business as Corner Books",
        f"Terminal added added the terminal {added['terminal_id']} at {acquirer}",
        f"Terminal added added the terminal TERM7002 at {acquirer} as {acceptor}",
        "Bank account added added the bank account DE75512108001245126199 for EUR",
        "Addresses of return changed set the addresses of return to https://books.example",
    ):
        assert f"{by} {each}" in said, each


async def _audit(stage: Stage, merchant: str) -> str:
    """Return the audit page as the first owner of that merchant sees it."""
    site = await Site.of(stage)
    email = f"owner-{uuid4().hex[:12]}@books.example"
    link = await site.link(email, Role.OWNER, ids.read(ids.MERCHANT, merchant))
    form = {"token": link.partition("=")[2], "name": "Ada Byron", "password": PASSWORD}
    browser = site.browser()
    answer = await browser.send("/welcome", form)
    assert answer.status_code == 303, answer.text
    return words(await browser.get("/audit"))
