"""
`counterfoil keys`: the vault's keys: list them, rotate the card key, copy the key file.
"""

import base64
import hashlib
from typing import Any

import cyclopts

from counterfoil import app as counterfoil_app
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
from counterfoil.outside import rotation
from counterfoil.store.vault_keys import VaultStore

FINGERPRINT_DIGITS = 16

app = cyclopts.App(name="keys", help="The keys of the vault in which cards lie.")


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
def escrow(*, config: ConfigOption = None) -> None:
    """
    Print the key-encryption key for its copy on paper or in a safe. It opens every card.
    """
    key = load_key(configuration(config).key_path)
    say("This key and the database together open every card. Write it down, or print it, and")
    say("keep it where no backup of the database is. Close this terminal afterwards.")
    say("")
    say(base64.b64encode(key).decode())
    say("")
    say(f"fingerprint {hashlib.sha256(key).hexdigest()[:FINGERPRINT_DIGITS]}")
    say("Put it back with: base64 -d > keys/key-encryption.key, then chmod 600.")


async def _inventory(settings: Configuration) -> list[dict[str, Any]]:
    async with counterfoil_app.open_database(settings) as database:
        return [dict(row) for row in await VaultStore(database).inventory()]


async def _rotate(settings: Configuration, *, new_key: bool) -> tuple[int, str]:
    async with counterfoil_app.open_database(settings) as database:
        store = VaultStore(database)
        vault = await counterfoil_app.open_vault(database, settings)
        if new_key:
            vault = await rotation.rotate(store, load_key(settings.key_path), SystemClock())
        return await rotation.seal_all_anew(store, vault), vault.card_key_id
