"""
What all commands say of who did something, and why.
"""

import getpass
import os
from collections.abc import Callable

import pytest
from counterfoil.cli import (
    batch,
    held_files,
    key,
    merchant,
    pages,
    quarantine,
    refused_refunds,
    screening,
    settlement,
    user,
    webhook,
)
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


@pytest.mark.parametrize(
    "name",
    [
        f"ad{OVERRIDE}a",
        "ada\nx",
        "ada\x1b[31m",
        "\udcff",
        " ",
        "4242424242424242",
        "card 4242 4242 4242 4242",
    ],
)
def test_a_login_name_that_cannot_stand_in_a_history_is_a_number(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is read from the environment, where anything may stand."""
    monkeypatch.setattr(getpass, "getuser", lambda: name)

    assert actor_of(None) == f"cli:uid {os.getuid()}"


@pytest.mark.parametrize(
    "text",
    ["card 4242 4242 4242 4242 was refunded", "5555/5555/5555/4444", "42\n42" * 4, "４２" * 8],
)
def test_a_note_holds_no_card_number(text: str) -> None:
    """As the pages say of theirs; nothing repeats it."""
    with pytest.raises(CommandRefused) as refused:
        note_of(text, "--reason")

    assert str(refused.value) == "--reason: a card's number stands in it: leave it out"


CARD = "4242-4242-4242-4242"
MERCHANT = f"mer_{'0' * 32}"
SHOP = {"name": "Books", "email": "a@shop.example", "city": "Portland", "country": "US"}


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (lambda: actor_of(CARD), "--by"),
        (lambda: webhook.add(MERCHANT, "https://shop.example/", description=CARD), "--description"),
        (lambda: key.create(MERCHANT, name=CARD), "--name"),
        (lambda: screening.block(MERCHANT, reason=CARD, bin_="424242"), "--reason"),
        (lambda: user.invite(f"{CARD}@shop.example", merchant=MERCHANT), "EMAIL"),
        (lambda: merchant.add(**{**SHOP, "name": CARD}), "NAME"),
        (lambda: merchant.add(**{**SHOP, "city": CARD}), "--city"),
        (lambda: merchant.add(**{**SHOP, "email": f"{CARD}@shop.example"}), "--email"),
        (lambda: quarantine.begin(reason=CARD), "--reason"),
        (lambda: pages.seen_to(note=CARD), "--note"),
        (lambda: batch.retry("TERM0001/USD/000001", note=CARD), "--note"),
        (lambda: batch.resolve("TERM0001/USD/000001", note=CARD), "--note"),
        (lambda: settlement.resolve("fnd_0", note=CARD), "--note"),
        (lambda: held_files.put_aside("report.csv", note=CARD), "--note"),
        (lambda: refused_refunds.refund_again("fnd_0", note=CARD), "--note"),
        (lambda: refused_refunds.returned("fnd_0", note=CARD), "--note"),
        (lambda: quarantine.keep("pay_0", note=CARD), "--note"),
    ],
)
def test_no_command_keeps_a_card_number_in_its_texts(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], option: str
) -> None:
    """Each is refused before anything is asked of the database."""
    monkeypatch.delenv("COUNTERFOIL_CONFIG", raising=False)
    with pytest.raises(CommandRefused) as refused:
        command()

    assert str(refused.value) == f"{option}: a card's number stands in it: leave it out"


def test_a_number_that_an_acquirer_gave_is_no_card() -> None:
    """A merchant's id of fifteen digits may have a card's first digits and its check digit."""
    merchant._check(terminal_id="42424242", card_acceptor_id="378282246310005")


def test_a_description_of_an_endpoint_ends() -> None:
    """Before anything is asked of the database."""
    with pytest.raises(CommandRefused, match="--description takes 1 to 255 characters"):
        webhook.add(f"mer_{'0' * 32}", "https://shop.example/", description="a" * 256)
