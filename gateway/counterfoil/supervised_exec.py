"""
Become a supervised program: first ask the kernel to end it with its supervisor.

Stands between *supervised* and each of its programs, which runs this file as a script
(`python -I -S supervised_exec.py PARENT PROGRAM ARGUMENT...`, standard library only). It is
a program of its own because code between fork and exec may deadlock in a process that has
threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
STATUS_NOT_RUN = 127  # As a shell says it.


def main(arguments: list[str]) -> None:
    """Take the program's place; never returns."""
    parent, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit("the supervisor has died")
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is the point.
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        sys.exit(STATUS_NOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1:])
