"""
The gateway processes of an installation: who is which of them, and what is whose.

One process uses one core, so `counterfoil up` runs as many as `[api] processes` says, all on the
same port: the kernel spreads connections over them. The supervisor tells each its place; a
`counterfoil serve` that nobody told has a port of its own.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from counterfoil.config import GATEWAYS_MAX

PLACE_VARIABLE = "COUNTERFOIL_GATEWAY_PLACE"  # Set by the supervisor, not by people.


class Place(msgspec.Struct, frozen=True):
    """
    Which gateway process one is, counted from 1, and whether others listen on its port.
    """

    number: int = 1
    shares_port: bool = False

    @property
    def name(self) -> str:
        """
        What logs, `up` and `doctor` call it.
        """
        return "gateway" if self.number == 1 else f"gateway-{self.number}"

    def serving_path(self, folder: Path) -> Path:
        """
        Return the file in the state folder that says where it listens, as long as it does.
        """
        return folder / ("serving.json" if self.number == 1 else f"serving-{self.number}.json")

    def metrics_port(self, first: int) -> int:
        """
        Return its port for monitors: *first*, or so many after it; 0 (nowhere) stays 0.
        """
        return first and first + self.number - 1

    def told(self, port: int) -> dict[str, str]:
        """
        Return the environment that tells a process this place, and the *port* that is shared.
        """
        if not self.shares_port:
            return {}
        assert port, "a port that is shared is known before"
        return {PLACE_VARIABLE: str(self.number), "COUNTERFOIL_API_PORT": str(port)}


ALONE = Place()


def places(processes: int) -> list[Place]:
    """
    Return the places of so many gateway processes, in the order in which they start.
    """
    if processes == 1:
        return [ALONE]
    return [Place(number, shares_port=True) for number in range(1, processes + 1)]


def told_place(environment: Mapping[str, str]) -> Place:
    """
    Return the place that the supervisor gave this process; the only one, if there is none.
    """
    number = environment.get(PLACE_VARIABLE)
    return Place(int(number), shares_port=True) if number else ALONE


def serving_files(folder: Path) -> dict[str, Path]:
    """
    Return the files of the gateway processes that serve from a state folder, by their names.
    """
    known = {each.name: each.serving_path(folder) for each in places(GATEWAYS_MAX)}
    return {name: path for name, path in known.items() if path.exists()}


def forget_others(folder: Path) -> None:
    """
    Remove the files of processes after the first, which a run that was killed has left behind.

    The next run may have fewer, and nobody would write them anew.
    """
    for name, path in serving_files(folder).items():
        if name != ALONE.name:
            path.unlink(missing_ok=True)
