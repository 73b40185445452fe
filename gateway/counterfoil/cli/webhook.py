"""
`counterfoil webhook`: a merchant's webhook endpoints, and what they were told.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import cyclopts
import msgspec

from counterfoil import ids
from counterfoil.api.webhooks import DeliveryAnswer, delivery_answer, endpoint_answer
from counterfoil.app import endpoints_of
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
from counterfoil.events.addresses import AddressRefused
from counterfoil.events.endpoints import (
    DESCRIPTION_CHARACTERS_MAX,
    OVERLAP_SECONDS,
    OVERLAP_SECONDS_MAX,
    EndpointDisabled,
    Endpoints,
    EndpointsFull,
    EndpointUnknown,
)
from counterfoil.events.types import ALL_TYPES
from counterfoil.opened import open_database, open_vault
from counterfoil.store.webhooks import DELIVERIES_PAGE_MAX, ENDPOINTS_MAX, Endpoint

app = cyclopts.App(name="webhook", help="Webhook endpoints of merchants, and their deliveries.")


@app.command(name="list")
def list_(merchant: str, *, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List a merchant's webhook endpoints.
    """
    rows = run(_all(configuration(config), merchant_id_of(merchant)))
    now = SystemClock().now()
    found = [msgspec.to_builtins(endpoint_answer(row, now)) for row in rows]
    if json:
        say_json(found)
    elif found:
        names = ["id", "state", "url", "types", "failing_since"]
        table(names, [[_text(each[name]) for name in names] for each in found])
    else:
        say("No webhook endpoints yet: counterfoil webhook add MERCHANT URL")


@app.command
def add(
    merchant: str,
    url: str,
    *,
    description: str | None = None,
    types: Annotated[
        str | None, cyclopts.Parameter(help="Only these types of events, with commas between.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Add a webhook endpoint and print its secret, this once.
    """
    said = seen(description, "--description") if description else None
    if said and len(said) > DESCRIPTION_CHARACTERS_MAX:
        raise CommandRefused(f"--description takes 1 to {DESCRIPTION_CHARACTERS_MAX} characters")
    made = Endpoint(url=url, description=said, types=_types(types), state="enabled")
    row, secret = run(_add(configuration(config), merchant_id_of(merchant), made))
    _say_secret(row, secret, json=json)


@app.command
def rotate(
    merchant: str,
    endpoint: str,
    *,
    overlap_seconds: Annotated[
        int, cyclopts.Parameter(help="How long the secret before signs too.")
    ] = OVERLAP_SECONDS,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Give an endpoint a new secret and print it, this once.
    """
    if not 0 <= overlap_seconds <= OVERLAP_SECONDS_MAX:
        raise CommandRefused(f"--overlap-seconds takes 0 to {OVERLAP_SECONDS_MAX}")
    row, secret = run(
        _rotate(configuration(config), merchant_id_of(merchant), _id(endpoint), overlap_seconds)
    )
    _say_secret(row, secret, json=json)


@app.command
def disable(merchant: str, endpoint: str, *, config: ConfigOption = None) -> None:
    """
    Send an endpoint nothing more, until it is enabled.
    """
    run(_change(configuration(config), merchant_id_of(merchant), _id(endpoint), "disabled"))
    say(f"Disabled {endpoint}.")


@app.command
def enable(merchant: str, endpoint: str, *, config: ConfigOption = None) -> None:
    """
    Send to an endpoint again, also what it was owed before.
    """
    run(_change(configuration(config), merchant_id_of(merchant), _id(endpoint), "enabled"))
    say(f"Enabled {endpoint}.")


@app.command
def deliveries(
    merchant: str,
    endpoint: str,
    *,
    state: Literal["owed", "delivered", "gave_up"] | None = None,
    limit: Annotated[int, cyclopts.Parameter(help=f"Up to {DELIVERIES_PAGE_MAX}.")] = 20,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """
    Show what an endpoint was owed, newest first, with every try.
    """
    if not 1 <= limit <= DELIVERIES_PAGE_MAX:
        raise CommandRefused(f"--limit takes 1 to {DELIVERIES_PAGE_MAX}")
    found = run(
        _deliveries(configuration(config), merchant_id_of(merchant), _id(endpoint), state, limit)
    )
    if json:
        say_json([msgspec.to_builtins(each) for each in found])
    elif found:
        names = ["id", "number", "type", "state", "tries", "last"]
        table(names, [_line(each) for each in found])
    else:
        say("Nothing was owed to it yet.")


@app.command
def replay(merchant: str, endpoint: str, delivery: str, *, config: ConfigOption = None) -> None:
    """
    Owe an endpoint a delivery again, from now on.
    """
    delivery_id = _id(delivery, ids.DELIVERY)
    run(_replay(configuration(config), merchant_id_of(merchant), _id(endpoint), delivery_id))
    say(f"{delivery} is owed again.")


def _say_secret(row: asyncpg.Record, secret: str, *, json: bool) -> None:
    answer = msgspec.to_builtins(endpoint_answer(row, SystemClock().now(), secret))
    if json:
        say_json(answer)
        return
    say(f"{answer['id']} {answer['url']}")
    say(secret)
    say("Keep it now: it is shown this once and can not be read again.")


def _line(delivery: DeliveryAnswer) -> list[str]:
    last = delivery.attempts[-1] if delivery.attempts else None
    said = "" if last is None else last.error or f"{last.status} in {last.milliseconds} ms"
    return [
        delivery.id,
        str(delivery.number),
        delivery.type,
        delivery.state,
        str(len(delivery.attempts)),
        said,
    ]


def _types(text: str | None) -> list[str] | None:
    if text is None:
        return None
    found = sorted({each.strip() for each in text.split(",")})
    for each in found:
        if each not in ALL_TYPES:
            raise CommandRefused(
                f"there is no event of type {each!r}: see docs/reference/events.md"
            )
    return found


def _id(text: str, prefix: str = ids.ENDPOINT) -> UUID:
    try:
        return ids.read(prefix, text)
    except ids.UnreadableId as error:
        raise CommandRefused(f"{text[:40]!r} is no such id: {error}") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(value) if isinstance(value, list) else str(value)


@asynccontextmanager
async def _endpoints(settings: Configuration, merchant_id: UUID) -> AsyncIterator[Endpoints]:
    """
    Lend the endpoints, and say what they refuse in a sentence.
    """
    clock = SystemClock()
    async with open_database(settings) as database:
        await require_merchant(database, merchant_id)
        vault = await open_vault(database, settings)
        try:
            yield endpoints_of(database, vault, settings, clock, ids.Ids(clock))
        except AddressRefused as error:
            raise CommandRefused(str(error)) from error
        except EndpointsFull as error:
            raise CommandRefused(f"a merchant has at most {ENDPOINTS_MAX}: delete one") from error
        except EndpointDisabled as error:
            raise CommandRefused(
                "the endpoint is disabled and gets nothing: `counterfoil webhook enable` it first, "
                "then replay. Nothing was changed"
            ) from error
        except EndpointUnknown as error:
            raise CommandRefused(
                "this merchant has no such endpoint, or no such delivery of it: see `webhook list`"
            ) from error


async def _all(settings: Configuration, merchant_id: UUID) -> list[asyncpg.Record]:
    async with _endpoints(settings, merchant_id) as endpoints:
        return await endpoints.store.all(merchant_id)


async def _add(
    settings: Configuration, merchant_id: UUID, made: Endpoint
) -> tuple[asyncpg.Record, str]:
    async with _endpoints(settings, merchant_id) as endpoints:
        return await endpoints.add(merchant_id, made, actor_of(None))


async def _rotate(
    settings: Configuration, merchant_id: UUID, endpoint_id: UUID, overlap_seconds: int
) -> tuple[asyncpg.Record, str]:
    async with _endpoints(settings, merchant_id) as endpoints:
        return await endpoints.rotate(merchant_id, endpoint_id, actor_of(None), overlap_seconds)


async def _change(
    settings: Configuration, merchant_id: UUID, endpoint_id: UUID, state: str
) -> None:
    async with _endpoints(settings, merchant_id) as endpoints:
        await endpoints.change(merchant_id, endpoint_id, actor_of(None), state=state)


async def _deliveries(
    settings: Configuration, merchant_id: UUID, endpoint_id: UUID, state: str | None, limit: int
) -> list[DeliveryAnswer]:
    async with _endpoints(settings, merchant_id) as endpoints:
        await endpoints.one(merchant_id, endpoint_id)
        rows = await endpoints.store.deliveries(
            merchant_id, endpoint_id, before=None, state=state, limit=limit
        )
        tries = await endpoints.store.attempts(merchant_id, [row["delivery_id"] for row in rows])
        return [delivery_answer(row, tries.get(row["delivery_id"], [])) for row in rows]


async def _replay(
    settings: Configuration, merchant_id: UUID, endpoint_id: UUID, delivery_id: UUID
) -> None:
    async with _endpoints(settings, merchant_id) as endpoints:
        await endpoints.replay(merchant_id, endpoint_id, delivery_id, actor_of(None))
