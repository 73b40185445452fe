"""
Run the mailbox: SMTP and pages in one event loop, over one folder.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from counterfoil_shop import log, loopback

from counterfoil_proof.mailbox import pages
from counterfoil_proof.mailbox.messages import Messages
from counterfoil_proof.mailbox.sink import forgetting_mail
from counterfoil_proof.mailbox.smtp import taking_mail

HOST = "127.0.0.1"

_logger = logging.getLogger(__name__)


def serve(state: Path, *, smtp_port: int, http_port: int, keeps: bool = True) -> None:
    """
    Take mail and show it until SIGTERM or SIGINT; port 0 lets the system choose.

    Messages lie in STATE/mailbox/messages, if it *keeps* any. STATE/mailbox/serving.json has
    `smtp_port`, `http_port`, `host` and `pid` as long as the mailbox serves.

    Raises:
        CannotListenError: One of the ports is taken; choose another.
        AlreadyRunningError: Another mailbox serves this folder.
    """
    folder = state / "mailbox"
    with (
        loopback.alone(folder),
        loopback.listen(HOST, smtp_port) as mail,
        loopback.listen(HOST, http_port) as web,
    ):
        facts: dict[str, object] = {
            "host": HOST,
            "smtp_port": loopback.port_of(mail),
            "http_port": loopback.port_of(web),
            "pid": os.getpid(),
        }
        with loopback.announced(folder / "serving.json", facts) as announce:
            messages = Messages(folder / "messages")
            taking = taking_mail(messages, mail) if keeps else forgetting_mail(mail)
            asyncio.run(_serve(messages, taking, web, announce))
    log.event(_logger, "stopped", pid=os.getpid())


async def _serve(
    messages: Messages,
    taking: AbstractAsyncContextManager[None],
    web: socket.socket,
    announce: Callable[[], None],
) -> None:
    async with taking:
        await loopback.serve(pages.build(messages), web, announce)
