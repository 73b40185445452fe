"""
What all commands say of who did something, and why.
"""

import getpass
import os

import pytest
from counterfoil.cli import webhook
from counterfoil.cli.console import (
    NAME_CHARACTERS_MAX,
    NOTE_CHARACTERS_MAX,
    CommandRefused,
    actor_of,
    note_of,
)

OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"


def test_who_has_no_name_acts_under_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may give its user no name at all; a command does its work all the same."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)

    assert actor_of(None) == f"cli:uid {os.getuid()}"
    assert actor_of("ada") == "cli:ada"


def test_a_name_is_given_or_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login name that is too long is nobody's fault here; --by is told."""
    monkeypatch.setattr(getpass, "getuser", lambda: "a" * 100)

    assert actor_of(None) == "cli:" + "a" * NAME_CHARACTERS_MAX
    for given in ("", "a" * (NAME_CHARACTERS_MAX + 1)):
        with pytest.raises(CommandRefused, match="--by takes 1 to 64 characters"):
            actor_of(given)


@pytest.mark.parametrize("text", ["", "  \n ", "a" * (NOTE_CHARACTERS_MAX + 1)])
def test_a_note_says_something_and_ends(text: str) -> None:
    with pytest.raises(CommandRefused, match="--reason says why, and who decided it, in 1 to 500"):
        note_of(text, "--reason")


def test_a_note_is_one_line_that_can_be_read() -> None:
    assert note_of(" agreed \n by telephone ") == "agreed by telephone"
    with pytest.raises(CommandRefused, match="--note: a mark that turns the direction of text"):
        note_of(f"agreed{OVERRIDE}")


def test_a_description_of_an_endpoint_ends() -> None:
    """Before anything is asked of the database."""
    with pytest.raises(CommandRefused, match="--description takes 1 to 255 characters"):
        webhook.add(f"mer_{'0' * 32}", "https://shop.example/", description="a" * 256)
