"""
The reference is complete: whatever is public is documented.
"""

import importlib.metadata
import inspect
from pathlib import Path

import counterfoil_client
import pytest
from counterfoil_client import AsyncClient, Client, Limits, Payment, Recovered, Unclaimed

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "client.md"
CALLS = sorted(name for name in dir(Client) if not name.startswith("_"))
RESULTS = (Limits, Payment, Recovered, Unclaimed)
FIELDS = [name for kind in RESULTS for name in kind.__struct_fields__]


@pytest.mark.parametrize("name", [*counterfoil_client.__all__, *CALLS, *FIELDS])
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """
    Calls, results and their fields, exceptions, limits.
    """
    assert name in REFERENCE.read_text()


def test_both_clients_have_the_same_calls_with_the_same_arguments() -> None:
    """
    One page describes both.
    """
    for name in CALLS:
        one, other = (inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient))
        assert one.parameters == other.parameters
        assert one.return_annotation == other.return_annotation or name == "events"


def test_the_limits_in_the_reference_are_the_defaults() -> None:
    """
    A default that changes, changes there.
    """
    page = REFERENCE.read_text()

    for name, default in zip(Limits.__struct_fields__, Limits.__struct_defaults__, strict=True):
        assert f"| `{name}` | {default:g} |" in page


def test_the_version_is_the_wheels() -> None:
    """
    The gateway sees it in User-Agent.
    """
    assert counterfoil_client.__version__ == importlib.metadata.version("counterfoil-client")
