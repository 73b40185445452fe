"""
One TLS connection to the gateway: how it is made, and how one request goes over it.

Certificates are always verified, TLS is 1.2 or newer, and the environment (proxies,
.netrc, key logs) has no say. A connection is an httpx2 client that may hold exactly one.
"""

import platform
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2
import msgspec

from counterfoil_client.commands import Answer, Event, Failure, Send
from counterfoil_client.errors import ConfigurationError
from counterfoil_client.limits import RESPONSE_BYTES_MAX, Limits
from counterfoil_client.version import __version__

USER_AGENT = f"counterfoil-client/{__version__} Python/{platform.python_version()}"
KEEPALIVE_SECONDS = 60.0

_PROOFS = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where the gateway is, who we are to it, and whom we trust.
    """

    base_url: httpx2.URL
    key: str
    trust: ssl.SSLContext
    limits: Limits

    def __repr__(self) -> str:
        return f"Access({self.base_url})"


def access(base_url: str, key: str, ca: Path | None, limits: Limits) -> Access:
    """
    Return the way to a gateway.

    Raises:
        ConfigurationError: Not https, not a secret key, or not an authority.
    """
    return Access(
        base_url=_checked_url(base_url), key=_checked(key), trust=_trust(ca), limits=limits
    )


def connection(access: Access) -> httpx2.Client:
    """
    Return one connection, for threads.
    """
    transport = httpx2.HTTPTransport(verify=access.trust, limits=_one(), trust_env=False)
    return httpx2.Client(
        transport=transport, base_url=access.base_url, headers=_headers(access), trust_env=False
    )


def async_connection(access: Access) -> httpx2.AsyncClient:
    """
    Return one connection, for tasks.
    """
    transport = httpx2.AsyncHTTPTransport(verify=access.trust, limits=_one(), trust_env=False)
    return httpx2.AsyncClient(
        transport=transport, base_url=access.base_url, headers=_headers(access), trust_env=False
    )


def request(
    client: httpx2.Client | httpx2.AsyncClient, send: Send, limits: Limits
) -> httpx2.Request:
    """
    Return *send* as httpx2 has it.
    """
    headers = {"Idempotency-Key": send.key} if send.key else {}
    if send.body is not None:
        headers["Content-Type"] = "application/json"
    timeout = httpx2.Timeout(send.seconds, connect=min(send.seconds, limits.connect_seconds))
    return client.build_request(
        send.method, send.path, content=send.body, headers=headers, timeout=timeout
    )


class Body:
    """
    A response's body as it arrives: bounded in bytes and in time.
    """

    def __init__(self, send: Send) -> None:
        self._until = time.monotonic() + send.seconds
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> Failure | None:
        """
        Take in *chunk*, or say why no more is wanted.
        """
        self._bytes += chunk
        if len(self._bytes) > RESPONSE_BYTES_MAX:
            return Failure(detail="the answer is too large", received=True)
        if time.monotonic() > self._until:
            return Failure(detail="the answer took too long", received=True)
        return None

    def answer(self, response: httpx2.Response) -> Answer:
        """
        Return the whole response.
        """
        return Answer(
            status=response.status_code,
            body=bytes(self._bytes),
            retry_after_seconds=_seconds(response.headers.get("Retry-After")),
        )


def failure(error: Exception) -> Event:
    """
    Return what a failed request proves: only a connection that never stood proves that no
    byte of the request left.
    """
    return Failure(
        detail=f"{type(error).__name__}: {error}"[:300],
        received=not isinstance(error, _PROOFS),
        hopeless=_is_untrusted(error),
    )


def _one() -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS
    )


def _headers(access: Access) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {access.key}",
        "User-Agent": USER_AGENT,
        "Accept": "application/json, application/problem+json",
        "Accept-Encoding": "identity",  # A bounded body must stay bounded.
    }


def _checked_url(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, TypeError):
        raise ConfigurationError("the gateway's address looks like https://host:8443") from None
    if url.scheme != "https":
        raise ConfigurationError("card data goes over https only: use an https:// address")
    if not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigurationError("the gateway's address looks like https://host:8443")
    return url


def _checked(key: str) -> str:
    if not isinstance(key, str) or not key.startswith(("sk_test_", "sk_live_")):
        raise ConfigurationError("a secret key begins with sk_test_ or sk_live_")
    if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= 255):
        raise ConfigurationError("the secret key holds characters that no key has")
    return key


def _trust(ca: Path | None) -> ssl.SSLContext:
    """
    Trust the system's authorities or, when *ca* is given, that one alone.
    """
    if ca is None:
        context = httpx2.create_ssl_context(trust_env=False)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"cannot read the authority {ca}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _seconds(retry_after: str | None) -> float | None:
    """
    Return a Retry-After in seconds: RFC 9110, 10.2.3, a number or a date.
    """
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
