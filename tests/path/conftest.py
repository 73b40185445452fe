"""
Two sandboxes for all stories, started when the first one asks, and searched when they stop.
"""

from collections.abc import Iterator

import pytest

from .evenings import Evening
from .leftovers import family, no_card_data_below, no_process_is_left
from .merchants import Merchant, add_merchant
from .sandboxes import Sandbox

# Short where a story waits for the time to pass, long where a slow machine must not fail one.
HASTY = """
[timers]
send_seconds = 1.5
answer_seconds = 3.0
advice_answer_seconds = 6.0
late_seconds = 60.0
lease_seconds = 4.0
sweep_seconds = 0.2

[webhooks]
allow_loopback = true
"""
CALM = """
[timers]
sweep_seconds = 0.2

[webhooks]
allow_loopback = true
"""

# For the end of the day: a host that is silent, and a worker that dies, are soon found out.
BRISK = """
[timers]
send_seconds = 2.0
answer_seconds = 4.0
advice_answer_seconds = 6.0
close_answer_seconds = 3.0
lease_seconds = 3.0
sweep_seconds = 0.2
"""


@pytest.fixture(scope="session")
def calm(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox with the timers of the design, for stories in which nothing times out."""
    yield from running(Sandbox(CALM), request)


@pytest.fixture(scope="session")
def hasty(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox with short timers, for stories in which somebody waits in vain."""
    yield from running(Sandbox(HASTY), request)


@pytest.fixture(scope="session")
def brisk(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox for the end of the day."""
    yield from running(Sandbox(BRISK), request)


def running(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """
    Start *sandbox*, lend it, and search it for what must not be left when it has stopped.
    """
    try:
        sandbox.open()
        yield sandbox
    finally:
        left = family(sandbox.pids())
        sandbox.close()
    no_process_is_left(left)
    no_card_data_below(sandbox.folder)
    if not request.session.testsfailed:
        sandbox.remove()


@pytest.fixture
async def merchant(calm: Sandbox) -> Merchant:
    """A merchant of the calm sandbox."""
    return await add_merchant(calm)


@pytest.fixture
async def hasty_merchant(hasty: Sandbox) -> Merchant:
    """A merchant of the hasty sandbox, who has five seconds to acknowledge."""
    return await add_merchant(hasty, acknowledge_seconds=5)


@pytest.fixture
async def evening(brisk: Sandbox) -> Evening:
    """A merchant of the brisk sandbox at the end of the day, with five seconds to acknowledge."""
    return Evening(await add_merchant(brisk, acknowledge_seconds=5))
