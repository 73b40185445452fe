"""
Run one command of `counterfoil` and let it die at a point, by hand.

    python -m counterfoil_proof.points.run "query conclude after" 1 -- serve --config FILE
    python -m counterfoil_proof.points.run - 0 --passed FILE -- worker

`-` arms nothing. With `--passed FILE` every pass is added to that file as it happens.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from counterfoil.cli import main as cli

from counterfoil_proof.points import seams
from counterfoil_proof.points.point import Pass, Points, end_process, set_everywhere

USAGE = 'usage: points.run POINT OCCURRENCE [--passed FILE] -- COMMAND ... ("-" arms nothing)'


class Written(Points):
    """
    Points that also write down every pass before it acts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(end_process)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def reach(self, point: str) -> None:
        """Pass *point*, on paper first."""
        self._file.write(f"{os.getpid()} {point}\n")
        super().reach(point)


def main(words: list[str]) -> None:
    """
    Run the command after `--` in this process, with its points on.
    """
    if "--" not in words:
        _refuse()
    at = words.index("--")
    ours, command = words[:at], words[at + 1 :]
    if len(ours) not in (2, 4) or (len(ours) == 4 and ours[2] != "--passed"):
        _refuse()
    armed = [] if ours[0] == "-" else [Pass(ours[0], int(ours[1]))]
    points = Written(Path(ours[3])) if len(ours) == 4 else Points(end_process)
    points.begin(*armed)
    set_everywhere(points)
    os.environ["COUNTERFOIL_GROUPS_LIMITED"] = "1"  # `serve` starts itself anew without it.
    sys.argv = ["counterfoil", *command]
    with seams.installed():
        cli.main()


def _refuse() -> NoReturn:
    sys.stderr.write(f"{USAGE}\n")
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
