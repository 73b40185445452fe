"""
`counterfoil user`: who may use the pages. The first owner comes by a one-time link.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import cyclopts

from counterfoil.api.bodies import EMAIL
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    actor_of,
    configuration,
    run,
    say,
    say_json,
    seen,
    table,
)
from counterfoil.cli.merchant import merchant_id_of, require_merchant
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ids import Ids
from counterfoil.opened import open_database
from counterfoil.people.roles import Role
from counterfoil.store.database import Database
from counterfoil.store.members import MemberStore
from counterfoil.store.people import PeopleStore
from counterfoil.store.sign_ins import SignInStore

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
    if not re.fullmatch(rf"(?=.{{6,254}}\Z){EMAIL}", seen(email, "EMAIL")):
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


@app.command(name="list")
def list_(
    *,
    merchant: Annotated[str, cyclopts.Parameter(help="Whose people: mer_...")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    List who works for a merchant and as what, and who is invited.
    """
    found = run(_list(configuration(config), merchant_id_of(merchant)))
    if json:
        say_json(found)
    elif found:
        rows = [["" if each is None else str(each) for each in row.values()] for row in found]
        table(list(found[0]), rows)
    else:
        say("Nobody yet: counterfoil user invite --help")


@app.command
def end(
    email: str,
    *,
    merchant: Annotated[str, cyclopts.Parameter(help="For whom they work no more: mer_...")],
    by: Annotated[str | None, cyclopts.Parameter(help="Who ends it; else the login name.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    End somebody's work for a merchant: signed out there at once. The last owner stays.
    """
    run(_end(configuration(config), merchant_id_of(merchant), email.lower(), actor_of(by)))
    if json:
        say_json({"email": email.lower(), "merchant": merchant, "ended": True})
        return
    say(f"{email} works for {merchant} no more, and is signed out there.")


@app.command
def reset(
    email: str,
    *,
    by: Annotated[str | None, cyclopts.Parameter(help="Who resets; else the login name.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Print a one-time link for somebody who has lost password and second factors.

    Their browsers are signed out at once. The link works for an hour; who opens it chooses a new
    password, and authenticator app, passkeys and recovery codes end.
    """
    settings = configuration(config)
    token, now = secrets.token_urlsafe(LINK_BYTES), SystemClock().now()
    until = now + timedelta(hours=LINK_HOURS)
    if not run(_reset(settings, email, token, actor_of(by), now, until)):
        raise CommandRefused(f"nobody has the address {email}")
    link = f"{settings.web_origin}/reset?token={token}"
    if json:
        say_json({"link": link, "expires_at": until})
        return
    say(link)
    say(f"It works once, until {until:%H:%M} UTC. {email} is signed out everywhere.")


async def _list(settings: Configuration, merchant_id: UUID) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        store = _members(database)
        works = [
            {
                **_person(row),
                "state": "works here",
                "since": row["added_at"],
                "seen": row["seen_at"],
            }
            for row in await store.members(merchant_id)
        ]
        invited = [
            {**_person(row), "state": "invited", "since": row["created_at"], "seen": None}
            for row in await store.pending(merchant_id, SystemClock().now())
        ]
    return works + invited


def _person(row: asyncpg.Record) -> dict[str, Any]:
    return {"email": row["email"], "name": row.get("name"), "role": row["role"]}


async def _end(settings: Configuration, merchant_id: UUID, email: str, by: str) -> None:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        store = _members(database)
        found = [each for each in await store.members(merchant_id) if each["email"] == email]
        if not found:
            raise CommandRefused(f"nobody with the address {email} works for this merchant")
        now = SystemClock().now()
        if not await store.end_member(merchant_id, found[0]["user_id"], by=by, now=now):
            raise CommandRefused("the last owner stays: make somebody else owner first")


def _members(database: Database) -> MemberStore:
    return MemberStore(database, Ids(SystemClock()))


async def _reset(
    settings: Configuration, email: str, token: str, by: str, now: datetime, until: datetime
) -> bool:
    async with open_database(settings) as database:
        store = SignInStore(database, Ids(SystemClock()))
        return await store.reset(token, email, by=by, now=now, expires_at=until)


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
