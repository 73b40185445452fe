"""
The HTTP application on a stage: requests go in and answers come out, without a socket.
"""

import json
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from counterfoil.api.application import application
from counterfoil.api.bodies import Readiness
from counterfoil.api.desk import Desk
from counterfoil.api.exchange import Request
from counterfoil.checkouts.opening import Checkouts
from counterfoil.events.endpoints import Endpoints
from counterfoil.events.feed import Feed
from counterfoil.store.batches import BatchStore
from counterfoil.store.checkouts import CheckoutStore
from counterfoil.store.deposits import DepositStore
from counterfoil.store.feed import FeedStore
from counterfoil.store.merchants import KeyCache
from counterfoil.store.search import SearchStore
from counterfoil.store.webhooks import EndpointStore
from payment_stage import KEYS, Stage

CHECKOUT_ORIGIN = "https://localhost:8445"
CLIENT = ("192.0.2.1", 40000)
CARD = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2030, "cvv": "927"}
SALE = {"amount_minor": 4200, "currency": "USD", "card": CARD, "order": "1001"}


class Reply:
    """
    What came back.
    """

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Sent:
    """
    A body that comes in parts, whenever it is asked for.
    """

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    def at_hand(self) -> bytes | None:
        """Nothing has arrived before it is asked for."""
        return None

    async def part(self) -> tuple[bytes, bool]:
        """Return the next part, and whether there are more."""
        part = self._parts.pop(0)
        return part, bool(self._parts)


class Api:
    """
    The gateway's application as the stage's merchant calls it.
    """

    def __init__(
        self,
        stage: Stage,
        secret: str,
        *,
        mode: Literal["test", "live"] = "test",
        loopback: bool = False,
    ) -> None:
        self.stage = stage
        self.secret = secret
        self.ready = Readiness(True, {"database": "ok"})
        self.desk = Desk(
            road=stage.road,
            keys=KeyCache(stage.merchants, stage.database, stage.clock),
            batches=BatchStore(stage.database, uuid4()),
            deposits=DepositStore(stage.database),
            feed=Feed(FeedStore(stage.database), stage.clock),
            endpoints=Endpoints(
                EndpointStore(stage.database),
                stage.road.vault,
                stage.clock,
                stage.road.ids,
                loopback=loopback,
            ),
            checkouts=Checkouts(
                CheckoutStore(stage.database, stage.road.ids),
                stage.road.vault,
                stage.clock,
                stage.road.ids,
                origin=CHECKOUT_ORIGIN,
                is_test=mode == "test",
            ),
            search=partial(SearchStore, stage.database),
            mode=mode,
            body_bytes_max=65_536,
            payments_at_once_max=50,
        )
        self.app = application(self.desk, self._checks)

    @classmethod
    async def of(cls, stage: Stage, **more: Any) -> "Api":
        """Give the stage's merchant a key, and return the application."""
        secret = f"sk_test_{uuid4().hex}{uuid4().hex[:11]}"
        await stage.merchants.add_key(
            uuid4(), stage.merchant.merchant_id, secret, "test", more.pop("expires_at", None)
        )
        return cls(stage, secret, **more)

    async def _checks(self) -> Readiness:
        return self.ready

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: str = "",
        client: tuple[str, int] = CLIENT,
        **headers: str | None,
    ) -> Reply:
        """
        Send one request, *body* as JSON unless it is bytes; a header that is None is left out.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else encoded(body)
        named = {
            "authorization": f"Bearer {self.secret}",
            "content-type": "application/json" if content else None,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self._send(method, path, query, client, named, content)

    async def _send(
        self,
        method: str,
        path: str,
        query: str,
        client: tuple[str, int],
        headers: dict[str, str | None],
        content: bytes,
    ) -> Reply:
        request = Request(
            method,
            path,
            query=query.encode(),
            headers=[
                (name.encode(), value.encode("latin-1"))
                for name, value in headers.items()
                if value is not None
            ],
            client=client,
            body=Sent([content]),
        )
        response = await self.app(request)
        return Reply(response.status, response.headers, response.body)

    async def sale(self, body: Any = None, *, key: str | None = None, **more: Any) -> Reply:
        """Send POST /v1/payments."""
        return await self.call(
            "POST",
            "/v1/payments",
            SALE if body is None else body,
            idempotency_key=key or next(KEYS),
            **more,
        )


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
