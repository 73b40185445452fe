"""
`counterfoil key`: create, list and revoke secret API keys.
"""

import secrets
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import asyncpg
import cyclopts

from counterfoil import ids
from counterfoil.api.authenticate import PREFIXES
from counterfoil.cli.console import (
    CommandRefused,
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
    seen,
    table,
)
from counterfoil.cli.merchant import merchant_id_of, operator, require_merchant
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.opened import open_database
from counterfoil.store.merchants import MerchantStore

SECRET_BYTES = 32
DAYS_MAX = 3650
NAME_CHARACTERS_MAX = 64

app = cyclopts.App(name="key", help="Secret API keys: shown once, kept only as a hash.")


@app.command
def create(
    merchant: str,
    *,
    name: Annotated[str, cyclopts.Parameter(help="What it is for.")] = "default",
    days: Annotated[int | None, cyclopts.Parameter(help="Ends after so many days.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Make a key for a merchant and print its secret, this once.
    """
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise CommandRefused(f"--days takes 1 to {DAYS_MAX}")
    if not 1 <= len(seen(name, "--name")) <= NAME_CHARACTERS_MAX:
        raise CommandRefused(f"--name takes 1 to {NAME_CHARACTERS_MAX} characters of one line")
    settings = configuration(config)
    secret = PREFIXES[settings.mode] + secrets.token_urlsafe(SECRET_BYTES)
    clock = SystemClock()
    key_id = ids.Ids(clock).new()
    expires_at = clock.now() + timedelta(days=days) if days else None
    run(_create(settings, key_id, merchant_id_of(merchant), secret, name, expires_at))
    written = ids.written(ids.KEY, key_id)
    if json:
        say_json({"id": written, "secret": secret, "expires_at": expires_at})
        return
    say(f"{written} ({name})")
    say(secret)
    say("Keep it now: it is shown this once and can not be read again.")


@app.command(name="list")
def list_(
    merchant: str | None = None, *, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """
    List keys, of one merchant or of all.
    """
    chosen = merchant_id_of(merchant) if merchant else None
    now = SystemClock().now()
    found = [
        {
            "id": ids.written(ids.KEY, row["key_id"]),
            "merchant": ids.written(ids.MERCHANT, row["merchant_id"]),
            "hint": row["hint"],
            "name": row["name"],
            "state": _state(row, now),
            "created_at": f"{row['created_at']:%Y-%m-%dT%H:%M:%SZ}",
        }
        for row in run(_list(configuration(config), chosen))
    ]
    if json:
        say_json(found)
    elif found:
        table(list(found[0]), [list(each.values()) for each in found])
    else:
        say("No keys yet: counterfoil key create MERCHANT")


@app.command
def revoke(key: str, *, config: ConfigOption = None) -> None:
    """
    End a key at once, on every gateway process.
    """
    try:
        key_id = ids.read(ids.KEY, key)
    except ids.UnreadableId as error:
        raise CommandRefused(f"{key[:16]!r} is no key id: {error}; see `key list`") from error
    if not run(_revoke(configuration(config), key_id)):
        raise CommandRefused("there is no such key, or it was revoked before")
    say(f"Revoked {key}.")


def _state(row: asyncpg.Record, now: datetime) -> str:
    if row["revoked_at"]:
        return "revoked"
    return "expired" if row["expires_at"] and row["expires_at"] <= now else "active"


async def _create(
    settings: Configuration,
    key_id: UUID,
    merchant_id: UUID,
    secret: str,
    name: str,
    expires_at: datetime | None,
) -> None:
    async with open_database(settings) as database:
        store = MerchantStore(database, SystemClock())
        try:
            await store.add_key(key_id, merchant_id, secret, name, expires_at, operator())
        except asyncpg.ForeignKeyViolationError as error:
            raise CommandRefused("there is no such merchant: counterfoil merchant list") from error


async def _list(settings: Configuration, merchant_id: UUID | None) -> list[asyncpg.Record]:
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        return await MerchantStore(database, SystemClock()).keys(merchant_id)


async def _revoke(settings: Configuration, key_id: UUID) -> bool:
    async with open_database(settings) as database:
        return await MerchantStore(database, SystemClock()).revoke_key(key_id, operator())
