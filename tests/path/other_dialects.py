"""
A sandbox whose acquirer speaks another dialect: its rail, and the gateway's link to it.

The key of the MAC lies in a file that both are told of.
"""

import shutil
import tempfile
from pathlib import Path

import msgspec
from counterfoil.supervisor import Program

from .sandboxes import Sandbox

KEYS = {
    "gw87-bcd": "0123456789ABCDEFFEDCBA9876543210",
    "gw87-ebcdic": "2B7E151628AED2A6ABF7158809CF4F3C",
}
# Goes on with the acquirer's section, which is the last of the configuration.
SETTINGS = """
dialect = "{dialect}"
{key}

[timers]
advice_answer_seconds = 3.0
sweep_seconds = 0.2
"""


class OtherDialect(Sandbox):
    """
    The usual sandbox, in another dialect.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self._key_folder = Path(tempfile.mkdtemp(prefix="counterfoil-path-key-"))
        self.key_path = self._key_folder / "mac.key"
        key = ""
        if dialect in KEYS:
            self.key_path.touch(mode=0o600)
            self.key_path.write_text(f"{KEYS[dialect]}\n", "ascii")
            key = f'mac_key_file = "{self.key_path}"'
        super().__init__(SETTINGS.format(dialect=dialect, key=key))

    def programs(self) -> dict[str, Program]:
        """Return every program; the rail is told what to speak."""
        known = super().programs()
        words = ["--dialect", self.dialect]
        if self.dialect in KEYS:
            words += ["--mac-key-file", str(self.key_path)]
        rail = msgspec.structs.replace(known["rail"], argv=[*known["rail"].argv, *words])
        return {**known, "rail": rail}

    def remove(self) -> None:
        """Remove the folders."""
        shutil.rmtree(self._key_folder)
        super().remove()
