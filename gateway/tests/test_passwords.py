"""
What is kept of a password, and what it costs to try one.
"""

import pytest
from argon2 import Parameters, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from counterfoil.people.passwords import Passwords

PASSWORD = "four words nobody puts together"


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    """As the web process makes them."""
    return Passwords()


async def test_a_try_costs_what_the_standard_says(passwords: Passwords) -> None:
    """Argon2id, 64 MiB, three passes, four lanes; a salt of its own each time."""
    kept = await passwords.hash(PASSWORD)

    assert cost(kept) == RFC_9106_LOW_MEMORY
    assert await passwords.hash(PASSWORD) != kept


async def test_only_the_password_itself_holds(passwords: Passwords) -> None:
    """Neither another one, nor any for somebody who has none, nor one against what is no hash."""
    kept = await passwords.hash(PASSWORD)

    assert await passwords.holds(kept, PASSWORD)
    assert not await passwords.holds(kept, PASSWORD.title())
    assert not await passwords.holds(None, PASSWORD)
    assert not await passwords.holds("no hash", PASSWORD)


def test_who_does_not_exist_costs_a_guesser_as_much(passwords: Passwords) -> None:
    """So that the time of an answer tells nobody who has an account."""
    assert cost(passwords._nobodys) == RFC_9106_LOW_MEMORY


def cost(kept: str) -> Parameters:
    """Return the parameters of a hash."""
    return extract_parameters(kept)
