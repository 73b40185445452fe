"""
`counterfoil keys`: the vault's keys and the signing key: list, rotate, copy, show the public one.
"""

import base64
import hashlib
from typing import Annotated, Any

import cyclopts

from counterfoil.cli.console import (
    ConfigOption,
    JsonOption,
    configuration,
    run,
    say,
    say_json,
    table,
)
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.keyfile import load_key
from counterfoil.ledger.heads import key_id_of, load_signing_key
from counterfoil.opened import open_database, open_vault
from counterfoil.outside import rotation
from counterfoil.store.vault_keys import VaultStore

FINGERPRINT_DIGITS = 16

app = cyclopts.App(
    name="keys",
    help="The keys of the vault in which cards lie, and the one that signs the journal.",
)


@app.command(name="list")
def list_(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    List the data keys, and how many cards lie under each.
    """
    rows = run(_inventory(configuration(config)))
    if json:
        say_json(rows)
        return
    table(
        ["key", "purpose", "made", "retired", "cards"],
        [
            [row["key_id"], row["purpose"], f"{row['created_at']:%Y-%m-%d}",
             f"{row['retired_at']:%Y-%m-%d}" if row["retired_at"] else "", str(row["cards"])]
            for row in rows
        ],
    )  # fmt: skip


@app.command
def rotate(*, config: ConfigOption = None) -> None:
    """
    Make a new key for cards and put every card under it. Everything may go on meanwhile.
    """
    done, key_id = run(_rotate(configuration(config), new_key=True))
    say(f"{done} card(s) lie under the new key {key_id} now; the old keys still open.")


@app.command
def reseal(*, config: ConfigOption = None) -> None:
    """
    Put cards that lie under older keys under the newest one, such as after a `rotate` cut short.
    """
    done, key_id = run(_rotate(configuration(config), new_key=False))
    say(f"{done} card(s) were put under {key_id}.")


@app.command
def public(*, json: JsonOption = False, config: ConfigOption = None) -> None:
    """
    Print the public key with which an auditor verifies the signed heads of the journal.
    """
    settings = configuration(config)
    key = load_signing_key(settings.signing_key_path)
    if json:
        former = list(settings.seal.former_keys)
        say_json({"key": key.key_id, "public_key": key.public.hex(), "former_keys": former})
        return
    say(f"Ed25519 public key {key.key_id}:")
    say(key.public.hex())
    for each in settings.former_public_keys:
        say(f"formerly {key_id_of(each)}:")
        say(each.hex())


@app.command
def escrow(
    *,
    signing: Annotated[
        bool,
        cyclopts.Parameter(
            name="--signing", negative="", help="Print the key that signs the journal's heads."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """
    Print the key-encryption key for its copy on paper or in a safe. It opens every card.
    """
    settings = configuration(config)
    if signing:
        _escrow_signing(settings)
        return
    key = load_key(settings.key_path)
    say("This key and the database together open every card. Write it down, or print it, and")
    say("keep it where no backup of the database is. Close this terminal afterwards.")
    say("")
    say(base64.b64encode(key).decode())
    say("")
    say(f"fingerprint {hashlib.sha256(key).hexdigest()[:FINGERPRINT_DIGITS]}")
    say("Put it back with: base64 -d > keys/key-encryption.key, then chmod 600.")


def _escrow_signing(settings: Configuration) -> None:
    load_signing_key(settings.signing_key_path)
    key = load_key(settings.signing_key_path)
    say("Whoever has this key can sign a forged journal. Write it down, or print it, and keep it")
    say("where nobody who administers the database reaches it. Close this terminal afterwards.")
    say("")
    say(base64.b64encode(key).decode())
    say("")
    say(f"fingerprint {hashlib.sha256(key).hexdigest()[:FINGERPRINT_DIGITS]}")
    say("Put it back with: base64 -d > keys/head-signing.key, then chmod 600.")


async def _inventory(settings: Configuration) -> list[dict[str, Any]]:
    async with open_database(settings) as database:
        return [dict(row) for row in await VaultStore(database).inventory()]


async def _rotate(settings: Configuration, *, new_key: bool) -> tuple[int, str]:
    async with open_database(settings) as database:
        store = VaultStore(database)
        vault = await open_vault(database, settings)
        if new_key:
            vault = await rotation.rotate(store, load_key(settings.key_path), SystemClock())
        return await rotation.seal_all_anew(store, vault), vault.card_key_id
