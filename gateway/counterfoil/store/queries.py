"""
The named queries: read once from `queries/*.sql`, asked for by name.
"""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _all() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(files("counterfoil.store").joinpath("queries").iterdir(), key=str):
        parts = _NAME.split(path.read_text("utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            assert name not in found, f"two queries are named {name}"
            found[name] = text.strip()
    return found


def query(name: str) -> str:
    """
    Return the statement with this name.

    Raises:
        KeyError: No file in `queries/` has it.
    """
    return _all()[name]
