"""
The path between clients and gateways: real requests to the real application, over a web that fails.

A session stands for a kept-alive TLS connection to one gateway process. What is lost leaves the
client in the doubt that a real connection would leave it in.
"""

import asyncio
import contextvars
import re
from collections.abc import Callable
from random import Random
from typing import Protocol

from counterfoil.api.application import Call
from counterfoil.api.exchange import ClientGone, Request, Response
from counterfoil.api.operations import OPERATIONS
from counterfoil_client.commands import Answer, Event, Failure, Send

from counterfoil_proof.world.life import Life
from counterfoil_proof.world.weather import Weather

CONNECT_SECONDS_MAX = 5.0
_ROUTES = [
    (each.method, re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", each.path)), each.name)
    for each in OPERATIONS
]


class Gateway(Protocol):
    """
    A gateway process that listens.
    """

    life: Life
    application: Call


class Listener(Protocol):
    """
    Who hears what clients were told.
    """

    def told(self, api_key: str, send: Send, answer: Answer) -> None:
        """
        A client has read *answer*.
        """
        ...

    def said(self, life: Life, send: Send, answer: Answer) -> None:
        """
        A gateway's process has written *answer*.
        """
        ...


class Web:
    """
    The balancer and the lines in front of it.
    """

    def __init__(self, weather: Weather, listener: Listener, count: Callable[[str], None]) -> None:
        self.weather = weather
        self.count = count
        self.listener = listener
        self.gateways: dict[str, Gateway] = {}
        self.requests = 0
        self._ports = 10_000

    def session(self, api_key: str, chance: Random) -> "Session":
        """
        Return a session that connects when it is first used.
        """
        self._ports += 1
        return Session(self, api_key, chance, self._ports)

    def pick(self, chance: Random) -> Gateway | None:
        """
        Return a gateway that the balancer believes to be there.
        """
        names = sorted(self.gateways)
        return self.gateways[chance.choice(names)] if names else None


class Session:
    """
    One client's connection.
    """

    def __init__(self, web: Web, api_key: str, chance: Random, port: int) -> None:
        self._web = web
        self._api_key = api_key
        self._chance = chance
        self._port = port
        self._gateway: Gateway | None = None

    async def send(self, send: Send) -> Event:
        """
        Send one request and return its answer, or what its loss proves.
        """
        gateway = self._gateway
        if gateway is None or gateway.life.is_dead:
            gateway = self._gateway = self._web.pick(self._chance)
        await asyncio.sleep(self._chance.uniform(*self._web.weather.web_span))
        if gateway is None or gateway.life.is_dead:
            self._gateway = None
            return Failure(detail="connection refused", received=False)
        exchange = Exchange(self._web, gateway, send, self._api_key, self._port)
        try:
            async with asyncio.timeout(send.seconds):
                answer = await self._carried(exchange)
        except TimeoutError:
            self._gateway = None
            return Failure(detail="no answer in time", received=True)
        except ConnectionError as error:
            self._gateway = None
            return Failure(detail=str(error), received=True)
        self._web.listener.told(self._api_key, send, answer)
        return answer

    async def _carried(self, exchange: "Exchange") -> Answer:
        """
        Carry the request there and its answer back.

        Raises:
            ConnectionError: The connection broke, before or after.
        """
        weather, chance = self._web.weather, self._chance
        self._maybe_double(exchange)
        if chance.random() < weather.web_lost:
            self._web.count("request lost")
            if chance.random() < 0.5:
                exchange.begin()
            await asyncio.sleep(chance.uniform(*weather.web_span) * 10)
            raise ConnectionResetError("the connection broke")
        exchange.begin()
        answer = await exchange.answer
        await asyncio.sleep(chance.uniform(*weather.web_span))
        return answer

    def _maybe_double(self, exchange: "Exchange") -> None:
        weather, chance = self._web.weather, self._chance
        if chance.random() >= weather.web_doubled:
            return
        gateway = self._web.pick(chance)
        if gateway is None:
            return
        self._web.count("request doubled")
        # Half of them at the same moment, the others when nobody expects them any more.
        later = chance.uniform(*weather.web_doubled_span) if chance.random() < 0.5 else 0.0
        copy = Exchange(self._web, gateway, exchange.request, self._api_key, self._port + 50_000)
        loop = asyncio.get_running_loop()
        loop.call_later(later, copy.begin, context=contextvars.Context())


class Exchange:
    """
    One request at one gateway process.
    """

    def __init__(self, web: Web, gateway: Gateway, send: Send, api_key: str, port: int) -> None:
        self._web = web
        self._gateway = gateway
        self.request = send
        self._api_key = api_key
        self._port = port
        loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Answer] = loop.create_future()

    def begin(self) -> None:
        """
        Hand the request to the gateway's process.
        """
        life = self._gateway.life
        if life.is_dead:
            self._break()
            return
        self._web.requests += 1
        life.at_death(self._break)
        life.spawn(self._serve())

    async def _serve(self) -> None:
        path, _, query = self.request.path.partition("?")
        response = await self._gateway.application(
            Request(
                self.request.method,
                path,
                query=query.encode(),
                headers=self._request_headers(),
                client=("192.0.2.1", self._port),
                body=self,
            )
        )
        self._reply(response)

    def at_hand(self) -> bytes | None:
        """
        Return the body: what is lost of a request here is lost whole.
        """
        return self.request.body or b""

    async def part(self) -> tuple[bytes, bool]:
        """
        Nothing comes after what was at hand.

        Raises:
            ClientGone: Always.
        """
        raise ClientGone

    def _request_headers(self) -> list[tuple[bytes, bytes]]:
        send = self.request
        headers = [
            (b"host", b"gateway.test"),
            (b"authorization", b"Bearer " + self._api_key.encode()),
        ]
        if send.key:
            headers.append((b"idempotency-key", send.key.encode()))
        if send.body is not None:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(send.body)).encode()))
        return headers

    def _reply(self, response: Response) -> None:
        life = self._gateway.life
        name = operation_of(self.request)
        life.point(f"reply {name} before")
        retry = response.headers.get("retry-after")
        answer = Answer(
            status=response.status,
            body=response.body,
            retry_after_seconds=float(retry) if retry else None,
        )
        self._web.listener.said(life, self.request, answer)
        if not self.answer.done():
            self.answer.set_result(answer)
        life.point(f"reply {name} after")

    def _break(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionResetError("the gateway died"))
            self.answer.exception()  # Perhaps nobody waits for it.


def operation_of(send: Send) -> str:
    """
    Return the name of the API's operation that *send* calls.
    """
    path = send.path.partition("?")[0]
    for method, pattern, name in _ROUTES:
        if method == send.method and pattern.fullmatch(path):
            return name
    return "unknown"
