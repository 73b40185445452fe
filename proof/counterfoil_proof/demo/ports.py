"""
Ports for the demo's programs: the usual ones, and the next free one when one is busy.
"""

import socket

import msgspec

LOOPBACK = "127.0.0.1"
STEPS_MAX = 200


class NoPortFree(Exception):
    """
    Two hundred ports in a row are busy: something else is wrong on this machine.
    """


class Ports(msgspec.Struct, frozen=True):
    """
    Where each program of the demo listens.
    """

    gateway: int
    rail: int
    shop: int
    mailbox: int
    smtp: int
    gateway_metrics: int
    worker_metrics: int
    mailer_metrics: int
    web: int
    checkout: int
    panel: int


USUAL = Ports(
    gateway=8443,
    rail=8583,
    shop=8080,
    mailbox=8025,
    smtp=2525,
    gateway_metrics=9464,
    worker_metrics=9465,
    mailer_metrics=9466,
    web=8444,
    checkout=8445,
    panel=8026,
)


def choose() -> tuple[Ports, dict[str, tuple[int, int]]]:
    """
    Return free ports, and for each that was busy which one took its place.
    """
    chosen: dict[str, int] = {}
    stepped: dict[str, tuple[int, int]] = {}
    for name, usual in msgspec.structs.asdict(USUAL).items():
        chosen[name] = _free_from(usual, set(chosen.values()))
        if chosen[name] != usual:
            stepped[name] = (usual, chosen[name])
    return Ports(**chosen), stepped


def release(chosen: Ports) -> None:
    """
    Let others choose these ports: whoever listened there has ended.
    """
    for port in msgspec.structs.astuple(chosen):
        if port in _RESERVED:
            _RESERVED.pop(port).close()


def _free_from(first: int, taken: set[int]) -> int:
    for port in range(first, first + STEPS_MAX):
        if port not in taken and _is_free(port) and _reserve(port):
            return port
    raise NoPortFree(f"no port is free from {first} to {first + STEPS_MAX - 1}: stop something")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """
    Keep other demos from choosing *port* until we release it or end, also before our program
    listens there.

    The reservation is a name in Linux's abstract namespace, which the kernel frees with us.
    """
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0counterfoil-demo-port-{port}")
    except OSError:
        name.close()
        return False
    _RESERVED[port] = name
    return True


_RESERVED: dict[int, socket.socket] = {}
