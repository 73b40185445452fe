"""
Write the inventory of scripts and styles anew: hashes, and which templates load what.

    make inventory

Why a file is needed is written by hand, into gateway/counterfoil/checkouts/inventory.json; a file
without a reason is told, and a test is red until it has one.
"""

import re
import sys
from pathlib import Path

import msgspec
from counterfoil.checkouts.inventory import FILE, STATIC, SUFFIXES, Listed, integrity_of

TEMPLATES = STATIC.parent / "templates"
LOADED = re.compile(r'\b(?:script|style)\("([^"]+)"')


def loaded_by(name: str) -> tuple[str, ...]:
    """
    Return the templates that load the file *name*.
    """
    return tuple(
        each.name
        for each in sorted(TEMPLATES.glob("*.html"))
        if name in LOADED.findall(each.read_text("utf-8"))
    )


def made(reasons: dict[str, str]) -> list[Listed]:
    """
    Return the inventory of what lies there now, with the *reasons* by file.
    """
    return [
        Listed(
            file=each.name,
            integrity=integrity_of(each.read_bytes()),
            loaded_by=loaded_by(each.name),
            why=reasons.get(each.name, ""),
        )
        for each in sorted(STATIC.iterdir(), key=_scripts_first)
        if each.suffix in SUFFIXES
    ]


def _scripts_first(path: Path) -> tuple[bool, str]:
    return path.suffix != ".js", path.name


def main() -> None:
    """
    Write the file; exit 1 when a reason is missing.
    """
    known = msgspec.json.decode(FILE.read_bytes(), type=list[Listed]) if FILE.exists() else []
    files = made({each.file: each.why for each in known})
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(files), indent=2) + b"\n")
    if missing := [each.file for each in files if not each.why]:
        sys.exit(f"say in {FILE.name} why these are needed: {', '.join(missing)}")


if __name__ == "__main__":
    main()
