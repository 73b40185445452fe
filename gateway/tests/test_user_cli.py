"""
`counterfoil user list` and `end` as an operator runs them: output and exit code.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from counterfoil import ids
from counterfoil.people.roles import Role
from payment_stage import Stage
from web_stage import Site


async def test_an_operator_lists_people_and_ends_all_but_the_last_owner(
    stage: Stage, parameters: dict[str, str], tmp_path: Path
) -> None:
    """Whoever is ended is signed out at once; whoever is invited is listed too."""
    site = await Site.of(stage)
    owner, clerk = await site.signed_in(), await site.signed_in(Role.CLERK)
    who = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")
    merchant = ids.written(ids.MERCHANT, stage.merchant.merchant_id)

    async def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "counterfoil.cli.main", "user", *words, "--merchant", merchant],
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

    invited = await run("invite", "bob@shop.example", "--role", "manager")
    ended = await run("end", site.address_of(Role.CLERK).upper(), "--by", "eve")
    last = await run("end", site.address_of())
    nobody = await run("end", "nobody@shop.example")
    listed = await run("list", "--json")
    in_words = await run("list")

    assert (invited.returncode, ended.returncode, listed.returncode) == (0, 0, 0), ended.stderr
    assert last.returncode != 0
    assert "last owner stays" in last.stderr
    assert "nobody with the address" in nobody.stderr
    found = {each["email"]: (each["role"], each["state"]) for each in json.loads(listed.stdout)}
    assert found == {
        site.address_of(): ("owner", "works here"),
        "bob@shop.example": ("manager", "invited"),
    }
    assert "bob@shop.example" in in_words.stdout
    assert "/sign-in" in (await clerk.get("/me")).headers["location"]
    assert (await owner.get("/me")).status_code == 200
