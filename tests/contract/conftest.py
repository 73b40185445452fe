"""
One installation for all contract tests, with two merchants and a key for each.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # For `installation`, beside this file.

from installation import Installation


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Rail, database, gateway, worker and mailbox, running."""
    running = Installation(tmp_path_factory.mktemp("installation"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def merchant(installation: Installation) -> str:
    """A merchant's id."""
    return installation.merchant("Stub & Leaf")


@pytest.fixture(scope="session")
def secret(installation: Installation, merchant: str) -> str:
    """The merchant's secret key."""
    made = installation.key(merchant)
    return str(made["secret"])


@pytest.fixture
def api(installation: Installation, secret: str) -> Iterator[httpx2.Client]:
    """The API, with the merchant's key."""
    with installation.client(secret) as client:
        yield client
