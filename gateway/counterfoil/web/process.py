"""
The web process: both origins on one road, from its start to a clean end.
"""

import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack

from counterfoil import app
from counterfoil.api import serving
from counterfoil.config import Configuration
from counterfoil.ground import watched
from counterfoil.installation import WEB_SERVING
from counterfoil.listening import BACKLOG
from counterfoil.outside import monitors
from counterfoil.people.passwords import Passwords
from counterfoil.store.people import PeopleStore
from counterfoil.tls import Identity
from counterfoil.web.application import application
from counterfoil.web.desk import WebDesk

GRACE_SECONDS = 30


async def run_web(configuration: Configuration, identity: Identity) -> None:
    """
    Be a web process until told to stop.

    Raises:
        PortTaken: Another program listens on one of the two ports.
    """
    web = configuration.web
    with contextlib.ExitStack() as ports:
        listeners = [
            ports.enter_context(contextlib.closing(serving.bind(web.host, port, setting=name)))
            for port, name in ((web.port, "[web] port"), (web.checkout_port, "[web] checkout_port"))
        ]
        async with app.process(configuration, "web") as running, AsyncExitStack() as stack:
            await stack.enter_async_context(watched(running.watch))
            desk = desk_of(running)
            pages = app.pages_of(running, "web", _under_way(desk))
            settings = configuration.metrics
            await stack.enter_async_context(
                monitors.listening(pages, settings.host, settings.web_port)
            )
            for each in listeners:
                each.listen(BACKLOG)
            checkout_port = listeners[1].getsockname()[1]
            await serving.serve_pages(
                application(desk, checkout_port=checkout_port),
                listeners=listeners,
                identity=identity,
                serving_path=configuration.folder / WEB_SERVING,
            )
            await desk.desk.finish(GRACE_SECONDS)
            await running.road.store.drain()


def desk_of(running: app.Process) -> WebDesk:
    """
    Return what the pages of a web process have at hand.
    """
    return WebDesk(
        desk=app.desk_of(running),
        configuration=running.configuration,
        database=running.database,
        merchants=running.merchants,
        people=PeopleStore(running.database, running.road.ids),
        passwords=Passwords(),
    )


def _under_way(desk: WebDesk) -> Callable[[], int]:
    return lambda: desk.desk.under_way
