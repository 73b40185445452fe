"""
The nursery: a process that has loaded everything and forks what is asked of it.

A gateway that is killed a thousand times starts a thousand times. Loading Python's modules is
most of a start, and says nothing about recovery; so it is done once here. What is forked is a
process of its own: its own pid, sockets, event loop and memory, all lost with SIGKILL.

Lines of JSON on standard input say what to start; on standard output stands who started and who
ended. When the input ends, so does everything.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from counterfoil import app
from counterfoil.cli import serve
from counterfoil.ledger import chain
from counterfoil.payments import advices
from counterfoil.settlement import close

from counterfoil_proof.matrix import shop
from counterfoil_proof.points import seams
from counterfoil_proof.points.control import Control

PR_SET_PDEATHSIG = 1
# What is tried again after five seconds is tried again after a tenth of that: see `hasten`.
HASTE = 10
SIGN_SECONDS = 0.1


def main() -> None:
    """
    Fork what the lines on standard input ask for, until they end.
    """
    children: dict[int, str] = {}  # By pidfd.
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    rest = b""
    _say({"ready": os.getpid()})
    while True:
        for handle, _ in poll.poll():
            if handle != 0:
                poll.unregister(handle)
                _say({"ended": children.pop(handle), "status": _reaped(handle)})
                continue
            data = os.read(0, 65_536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                pid = os.fork()
                if not pid:
                    _live(asked)
                handle = os.pidfd_open(pid)
                children[handle] = asked["name"]
                poll.register(handle, select.POLLIN)
                _say({"started": asked["name"], "pid": pid})


def hasten() -> None:
    """
    Shorten the pauses between tries, which a matrix of a thousand deaths would wait for.

    They are constants of the product, not settings; nothing else about them changes. A transfer is
    sealed, and its chain signed, soon enough for the run that wrote it.
    """
    advices.SPACING_SECONDS = tuple(each / HASTE for each in advices.SPACING_SECONDS)  # type: ignore[assignment]
    close.SPACING_SECONDS = tuple(each / HASTE for each in close.SPACING_SECONDS)  # type: ignore[assignment]
    close.TROUBLE_SECONDS /= HASTE
    chain.SETTLE /= HASTE
    app.SIGN_SECONDS = SIGN_SECONDS


def _live(asked: dict[str, Any]) -> NoReturn:
    """
    Be what was asked for, and end.
    """
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.setsid()
        _write_to(Path(asked["log"]))
        control = Control(Path(asked["control"]), asked["name"])
        control.attend(asked["arms"])
        hasten()
        with seams.installed():
            status = _be(asked, control)
        control.finished()
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001 - the last frame of a process: it says so and ends.
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _be(asked: dict[str, Any], control: Control) -> int:
    role = asked["role"]
    if role == "shop":
        return shop.run(asked["words"], control)
    config = Path(asked["config"])
    if role == "gateway":
        serve.serve(config)
    else:
        serve.worker(config)
    return 0


def _write_to(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    os.close(nothing)


def _reaped(handle: int) -> int:
    ended = os.waitid(os.P_PIDFD, handle, os.WEXITED)
    os.close(handle)
    assert ended is not None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
