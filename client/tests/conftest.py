"""
What the client's tests share: a card, a gateway that speaks the contract, and an authority.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from counterfoil_client import Card, Limits
from https_peer import Authority, Peer, make_authority
from scripted_gateway import Gateway

CARD_NUMBER = "4111111111111111"
CVV = "927"


@pytest.fixture
def card() -> Card:
    return Card(number=CARD_NUMBER, expiry_month=12, expiry_year=2031, cvv=CVV)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def peer(authority: Authority, gateway: Gateway) -> Iterator[Peer]:
    with Peer(authority, gateway) as peer:
        yield peer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "shop" / "journal.db"


@pytest.fixture
def hasty() -> Limits:
    return Limits(
        connect_seconds=0.5,
        try_seconds=0.75,
        call_seconds=3.0,
        lease_seconds=0.5,
        tries_max=4,
        backoff_seconds_first=0.01,
        backoff_seconds_max=0.05,
        poll_seconds=0.02,
        connections_max=4,
    )
