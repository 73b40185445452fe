"""
Sockets that listen, and how our HTTP servers are set: uvicorn inside a process of ours, which has
its own loop, log and signals.
"""

import socket
from typing import Any

BACKLOG = 2048

SERVER_OPTIONS: dict[str, Any] = {
    "loop": "none",
    "ws": "none",
    "lifespan": "off",
    "interface": "asgi3",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,
}


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """
    Return a socket that has *port* of *host*, and does not listen yet.

    A *shared* port may be had by several processes of this user, if all of them say so.

    Raises:
        OSError: Another program listens there, or it may not be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def held(host: str, port: int) -> socket.socket:
    """
    Return a socket that keeps *port* of *host* for processes that share it; it hears nobody.

    As long as it is open, nobody else can listen there, not even while none of the processes
    does: only this user's own sockets that say SO_REUSEPORT.

    Raises:
        OSError: Another program has the port, shared or not.
    """
    holder = bound(host, port or _free(host))
    try:
        holder.listen(1)  # Alone: refused if anybody listens, and nobody can from here on.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.shutdown(socket.SHUT_RDWR)  # It listens no more, and is bound as before.
    except OSError:
        holder.close()
        raise
    return holder


def _free(host: str) -> int:
    with bound(host, 0) as probe:
        port: int = probe.getsockname()[1]
    return port
