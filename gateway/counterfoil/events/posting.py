"""
Post one message to an address that was checked: the connection goes there and nowhere else.

The name is resolved once, by us; what is refused is refused before a byte is sent, and the
library below (httpcore2) is given the address and not the name, while TLS still verifies
the name. No redirect is followed, no proxy is used, and little of an answer is read.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Any

import httpcore2
import msgspec

from counterfoil.events.addresses import AddressRefused, allowed
from counterfoil.events.names import Names

CONNECT_SECONDS_MAX = 5.0
POST_SECONDS_MAX = 15.0
ANSWER_BYTES_MAX = 16_384
CONNECTIONS_MAX = 128
IDLE_CONNECTIONS_MAX = 32
IDLE_SECONDS_MAX = 20.0

Resolve = Callable[[str, int], Awaitable[list[str]]]
Options = Iterable[Any] | None


class Posted(msgspec.Struct, frozen=True):
    """
    What came of it: a status, or none and why in words.
    """

    status: int | None
    error: str | None


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """
    Resolves a name, refuses what is not public, and connects to the very address it has checked.
    """

    def __init__(self, *, loopback: bool, resolve: Resolve | None = None) -> None:
        self._loopback = loopback
        self._resolve = resolve or Names().resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> httpcore2.AsyncNetworkStream:
        """
        Connect to the first address of *host* that a webhook may go to.

        Raises:
            AddressRefused: There is none.
        """
        try:
            found = await asyncio.wait_for(self._resolve(host, port), timeout)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"the name {host} was not found in time") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"the name {host} has no address") from error
        good = [each for each in found if allowed(each, loopback=self._loopback)]
        if not good:
            raise AddressRefused(f"{host} is no public address: webhooks do not go there")
        return await self._network.connect_tcp(
            good[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options = None
    ) -> httpcore2.AsyncNetworkStream:
        """
        Refuse: a webhook goes over the network.
        """
        raise AddressRefused("webhooks do not go to sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        """
        Wait.
        """
        await asyncio.sleep(seconds)


class Poster:
    """
    The connections over which messages are posted. Opened by a worker, closed when it ends.
    """

    def __init__(self, network: httpcore2.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=IDLE_CONNECTIONS_MAX,
            keepalive_expiry=IDLE_SECONDS_MAX,
            network_backend=network,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """
        Post *body* and return what came of it; never raises for what the other side does.
        """
        try:
            async with asyncio.timeout(POST_SECONDS_MAX):
                return await self._post(url, headers, body)
        except TimeoutError:
            return Posted(None, f"no answer within {POST_SECONDS_MAX:g} s")
        except AddressRefused as error:
            return Posted(None, str(error))
        except (httpcore2.TimeoutException, httpcore2.NetworkError) as error:
            return Posted(None, f"could not be reached: {_words(error)}")
        except (httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
            return Posted(None, f"answered with what is no HTTP: {_words(error)}")

    async def close(self) -> None:
        """
        Close all connections.
        """
        await self._pool.aclose()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        limits = {"connect": CONNECT_SECONDS_MAX, "read": POST_SECONDS_MAX, "write": 5.0}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with self._pool.stream(
            "POST", url, headers=sent, content=body, extensions={"timeout": limits}
        ) as answer:
            read = 0
            async for part in answer.aiter_stream():
                read += len(part)
                if read > ANSWER_BYTES_MAX:
                    break  # The rest is of no interest; the connection is closed.
            return Posted(answer.status, None)


@cache
def tls_context(authority: str | None = None) -> ssl.SSLContext:
    """
    Return what verifies receivers: the system's authorities, and the one in the file *authority*.

    It is read once by a process: the system's authorities take some 20 ms.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority:
        context.load_verify_locations(authority)
    return context


def _words(error: BaseException) -> str:
    return str(error)[:120] or type(error).__name__
