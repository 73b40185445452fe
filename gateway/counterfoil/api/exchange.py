"""
A request and its answer, as endpoints see them, and the answer as bytes.

Our own, because they stand on the road of every payment. A request's body comes from whoever
received it (`api/connection.py`; a test from memory); an answer is always whole.
"""

from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl

JSON = "application/json"

_BODILESS = "HEAD"  # Its answer says how long GET's body is, and leaves it out.
_STATUS_LINES = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode("ascii") for each in HTTPStatus
}


class ClientGone(Exception):
    """
    The connection ended within the body.
    """


class Body(Protocol):
    """
    Where a request's body comes from.
    """

    def at_hand(self) -> bytes | None:
        """
        Return the body if all of it is here and none was taken yet; None: ask for its parts.
        """
        ...

    async def part(self) -> tuple[bytes, bool]:
        """
        Wait for the next part; return it, and whether there are more.

        Raises:
            ClientGone: There will be no more, and it was not the last.
        """
        ...


class Request:
    """
    What a client asks. Names of headers are in lower case.
    """

    __slots__ = ("_headers", "_named", "body", "client", "id", "method", "names", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        client: tuple[str, int] | None,
        body: Body,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.client = client
        self.body = body
        self.id = ""  # Given by the application.
        self.names: dict[str, str] = {}  # What stands in the path for its {names}; likewise.
        self._headers = headers
        self._named = dict(reversed(headers))

    def header(self, name: bytes) -> str:
        """
        Return the header *name*, the first if there are several; empty: there is none.
        """
        value = self._named.get(name)
        return value.decode("latin-1") if value else ""

    def every_header(self, name: bytes) -> list[str]:
        """
        Return the header *name* as often as it was sent.
        """
        if name not in self._named:
            return []
        return [value.decode("latin-1") for each, value in self._headers if each == name]

    def parameters(self) -> list[tuple[str, str]]:
        """
        Return the parameters of the query, as they were sent.
        """
        return parse_qsl(self.query.decode("latin-1"), keep_blank_values=True)


class Response:
    """
    What is answered. Names of headers are in lower case.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        media_type: str = JSON,
    ) -> None:
        self.body = body
        self.status = status
        self.headers = {"content-type": media_type}
        if headers:
            self.headers.update(headers)

    def written(self, method: str, more: list[tuple[bytes, bytes]], *, keeps_alive: bool) -> bytes:
        """
        Return head and body as they go out, in one piece; *more* are the server's own headers.

        Raises:
            ValueError: A header holds what could end it: an answer is never split in two.
        """
        if not keeps_alive:
            self.headers["connection"] = "close"
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        if not "".join(lines).isprintable():
            raise ValueError("a header of an answer holds a control character")
        head = [_STATUS_LINES[self.status]]
        head += [b"%b: %b\r\n" % each for each in more]
        head.append("\r\n".join(lines).encode("latin-1"))
        head.append(b"\r\ncontent-length: %d\r\n\r\n" % len(self.body))
        if method != _BODILESS:
            head.append(self.body)
        return b"".join(head)
