"""
`counterfoil user`: who may use the pages. The first owner comes by a one-time link.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import cyclopts

from counterfoil.api.bodies import EMAIL
from counterfoil.app import open_database
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    actor_of,
    configuration,
    run,
    say,
    say_json,
)
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.people.roles import Role
from counterfoil.store.people import PeopleStore

LINK_BYTES = 32
LINK_HOURS = 1

app = cyclopts.App(name="user", help="People who use the pages, and the links by which they come.")


@app.command
def invite(
    email: str,
    *,
    merchant: Annotated[str, cyclopts.Parameter(help="Whose pages: mer_...")],
    role: Annotated[Role, cyclopts.Parameter(help="What they are there.")] = Role.OWNER,
    by: Annotated[str | None, cyclopts.Parameter(help="Who invites; else the login name.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Print a one-time link to a merchant's pages; it works for an hour.
    """
    settings = configuration(config)
    if not re.fullmatch(rf"(?=.{{6,254}}\Z){EMAIL}", email):
        raise CommandRefused("EMAIL is a bare address, such as owner@shop.example")
    token, now = secrets.token_urlsafe(LINK_BYTES), SystemClock().now()
    until = now + timedelta(hours=LINK_HOURS)
    made_by = actor_of(by)
    run(_invite(settings, merchant_id_of(merchant), email, role, token, made_by, now, until))
    link = f"{settings.web_origin}/welcome?token={token}"
    if json:
        say_json({"link": link, "expires_at": until})
        return
    say(link)
    say(f"It works once, until {until:%H:%M} UTC, and makes {email} {role.value}.")


async def _invite(
    settings: Configuration,
    merchant_id: UUID,
    email: str,
    role: Role,
    token: str,
    by: str,
    now: datetime,
    until: datetime,
) -> None:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        people = PeopleStore(database, Ids(SystemClock()))
        await people.invite(token, merchant_id, email, role, by=by, now=now, expires_at=until)
