"""
Sockets that listen, and how our HTTP servers are set: uvicorn inside a process of ours, which has
its own loop, log and signals.
"""

import socket
from typing import Any

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


def bound(host: str, port: int) -> socket.socket:
    """
    Return a socket that has *port* of *host*, and does not listen yet.

    Raises:
        OSError: Another program listens there, or it may not be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
