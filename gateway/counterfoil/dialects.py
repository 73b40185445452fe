"""
From an acquirer's section in the configuration to its dialect, with the key of its MAC.

The key stands in a file that only its owner reads, or in the environment, and nowhere else.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from counterfoil.config import Acquirer, ConfigurationRefused
from counterfoil.keyfile import read_secret
from counterfoil.network.dialect import Dialect, load_dialect, load_profile
from counterfoil.network.fields import TableError
from counterfoil.network.mac import MacKey, MacKeyError, read_key
from counterfoil.network.profile import MacRow

ENVIRONMENT_PREFIX = "COUNTERFOIL_MAC_KEY_"


def dialect_of(acquirer: Acquirer, environment: Mapping[str, str] | None = None) -> Dialect:
    """
    Return the dialect of *acquirer*; a dialect with a MAC gets its key.

    Raises:
        ConfigurationRefused: The dialect or the key is missing or cannot be used.
        KeyFileRefused: The key's file cannot be used.
    """
    environment = os.environ if environment is None else environment
    try:
        row = load_profile(acquirer.dialect)[1].mac
        key = _key_of(acquirer, row, environment)
        return load_dialect(acquirer.dialect, mac_key=key)
    except (TableError, MacKeyError) as error:
        raise ConfigurationRefused(f"acquirer {acquirer.name!r}: {error}") from error


def environment_name(acquirer: Acquirer) -> str:
    """
    Return the environment variable that may hold the key of *acquirer*.
    """
    return ENVIRONMENT_PREFIX + acquirer.name.upper().replace("-", "_")


def _key_of(
    acquirer: Acquirer, row: MacRow | None, environment: Mapping[str, str]
) -> MacKey | None:
    """
    Return the key, or None if the dialect has no MAC.
    """
    variable = environment_name(acquirer)
    text = environment.get(variable)
    if acquirer.mac_key_file is not None:
        if text:
            raise MacKeyError(f"mac_key_file and {variable} are both set: remove one.")
        text = read_secret(Path(acquirer.mac_key_file)).decode("ascii", "replace")
    if row is None:
        if text:
            raise MacKeyError(f'dialect "{acquirer.dialect}" has no MAC: remove its key.')
        return None
    if not text:
        raise MacKeyError(
            f'dialect "{acquirer.dialect}" has a MAC ({row.algorithm}): set mac_key_file, or '
            f"{variable} in the environment."
        )
    return read_key(row.algorithm, text)
