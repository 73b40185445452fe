"""
What `doctor` finds, and what it hears from the gateways that serve from this state folder.
"""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import msgspec

from counterfoil.config import Configuration
from counterfoil.gateways import serving_files
from counterfoil.outside.asking import ask_each, ask_readiness, json_of


class Finding(msgspec.Struct, frozen=True):
    """
    One thing that was looked at: what it is, whether it is well, what was seen.
    """

    name: str
    well: bool
    seen: str


async def gateways_say(settings: Configuration) -> list[Finding]:
    """
    Return what the gateway of this state folder sees, links included; each, if there are several.
    """
    paths = serving_files(settings.folder)
    if len(paths) > 1:
        return await _each_says(settings, paths)
    if not paths:
        return []
    [path] = paths.values()
    try:
        said = await asyncio.to_thread(ask_readiness, settings, json_of(path))
    except (OSError, ValueError) as error:
        return [Finding("gateway", False, f"does not answer /readyz ({error})")]
    if "checks" not in said or "notes" not in said:
        port = json_of(path).get("port")
        return [Finding("gateway", False, f"port {port}: who answers there is no gateway of ours")]
    return _seen_by("gateway", said)


async def _each_says(settings: Configuration, paths: dict[str, Path]) -> list[Finding]:
    """
    Ask each of several gateway processes, which share a port.
    """
    first = next(iter(paths.values()))
    try:
        said = await asyncio.to_thread(ask_each, settings, json_of(first), set(paths))
    except (OSError, ValueError) as error:
        return [Finding("gateways", False, f"one does not answer /readyz ({error})")]
    findings = []
    for name in paths:
        if name in said:
            seen = _seen_by(name, said[name])
            findings += [_of(name, each) if each.well else each for each in seen]
        else:
            findings.append(Finding(name, False, f"serves no more: look at its log, {name}.log"))
    return findings


def _of(process: str, finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, name=f"{process}: {finding.name}")


def _seen_by(process: str, said: dict[str, Any]) -> list[Finding]:
    """
    Return what a gateway process says of its links, and what is ill.
    """
    ill = {name: seen for name, seen in said["checks"].items() if seen != "ok"}
    avoided = {
        f"acquirer {name}": seen
        for name, seen in said["notes"].get("acquirers", {}).items()
        if seen != "ok"
    }
    well = [each for each in said["checks"] if each.startswith("link ") and each not in ill]
    return [
        *(Finding(name, True, "signed on") for name in well),
        *(Finding(f"{process}: {name}", False, seen) for name, seen in (ill | avoided).items()),
    ]


def names_here(folder: Path) -> dict[tuple[str, int], str]:
    """
    Return what the gateway processes of this state folder are called, by machine and process id.
    """
    paths = serving_files(folder)
    names = {}
    for name, path in paths.items():
        with contextlib.suppress(OSError, ValueError, KeyError):
            names[socket.gethostname(), int(json_of(path)["pid"])] = f"{name}, "
    return names if len(paths) > 1 else {}
