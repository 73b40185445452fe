"""
`counterfoil serve`, `worker`, `mailer` and `web`: the kinds of process of an installation.
"""

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

from counterfoil import logs
from counterfoil.cli.console import ConfigOption, configuration, run
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.gateways import ALONE, Place, told_place
from counterfoil.state_folder import make_state_folder
from counterfoil.tls import Identity, identity_in, limit_groups, own_identity

NICE_MAX = 19
PR_SET_DUMPABLE = 4  # prctl(2): with 0, nobody attaches and nothing is dumped.
# How many more objects than before make Python look for cycles, and how many looks make a wider
# one. Its own 700 makes a busy process look hundreds of times a second, a seventh of its time.
COLLECT_AFTER = (50_000, 20, 100)


def serve(config: ConfigOption = None) -> None:
    """
    Serve the API over HTTPS until stopped.
    """
    settings = _harden(config)
    _restart_with_limited_groups(settings)
    from counterfoil import app  # After the restart: it takes long to load.

    place = told_place(os.environ)
    logs.set_up(place.name, settings.log_level)
    collect_rarely()
    run(app.run_gateway(settings, _identity(settings, place), place))


def worker(config: ConfigOption = None) -> None:
    """
    Do what nobody waits for (reversals, deadlines, files) until stopped.
    """
    settings = _harden(config)
    os.nice(settings.worker.niceness)
    from counterfoil import app

    logs.set_up("worker", settings.log_level)
    collect_rarely()
    run(app.run_worker(settings))


def collect_rarely() -> None:
    """
    Look for cycles of garbage less often, and never again among what was loaded until now.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def mailer(config: ConfigOption = None) -> None:
    """
    Send the e-mails that are owed until stopped.
    """
    settings = _harden(config)
    give_way(settings.mail.niceness)
    from counterfoil import mailing

    logs.set_up("mailer", settings.log_level)
    collect_rarely()
    run(mailing.run_mailer(settings))


def web(config: ConfigOption = None) -> None:
    """
    Serve the merchants' pages and the payment pages over HTTPS until stopped.
    """
    settings = _harden(config)
    _restart_with_limited_groups(settings)
    from counterfoil.web.process import run_web

    logs.set_up("web", settings.log_level)
    collect_rarely()
    run(run_web(settings, _identity(settings, ALONE)))


def give_way(niceness: int) -> None:
    """
    Give way as `nice` counts; at the most to everybody, and at once.

    Newer kernels (EEVDF, Linux 6.6) let what is merely nice finish its slice of some milliseconds;
    only what is scheduled as idle is put aside the moment that somebody else has work.
    """
    os.nice(niceness)
    if niceness == NICE_MAX and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _harden(path: Path | None) -> Configuration:
    """
    Keep memory out of files and debuggers: no core dumps; files for the owner only.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o077)
    settings = configuration(path)
    make_state_folder(settings.folder)
    return settings


def _identity(settings: Configuration, place: Place) -> Identity:
    """
    Return the certificate: a configured one, or our own, which the first gateway process makes.
    """
    if settings.api.certificate and settings.api.private_key:
        return Identity(Path(settings.api.certificate), Path(settings.api.private_key), None)
    if place.number > 1:
        return identity_in(settings.folder / "tls")
    return own_identity(settings.folder / "tls", settings.api.names, SystemClock())


def _restart_with_limited_groups(settings: Configuration) -> None:
    """
    Start this program again with OpenSSL told which curves it may use: it reads that only once.
    """
    if os.environ.get("COUNTERFOIL_GROUPS_LIMITED"):
        return
    limit_groups(settings.folder)
    os.environ["COUNTERFOIL_GROUPS_LIMITED"] = "1"
    os.execv(sys.executable, [sys.executable, "-m", "counterfoil.cli.main", *sys.argv[1:]])  # noqa: S606
