"""
What a process finds around it: time, chance, sockets, the ways to mail server and webhooks.

`app.py` hands them on to whoever needs them. A simulation passes its own, and then nothing in
the process knows any other time, chance or network.
"""

import os
import random
import socket
from collections.abc import Callable

import msgspec

from counterfoil.clock import Clock, SystemClock
from counterfoil.events.webhooks import Post
from counterfoil.receipts.mail import Deliver


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """
    The machine, unless somebody says otherwise.

    Attributes:
        random_bytes: Returns so many random bytes, for ids. Secrets never come from here.
        chance: Returns a number from 0 to 1, for the jitter of waits.
        sockets: Makes a socket of a family and a type, for the lines to acquirers.
        deliver: Hands an e-mail to the mail server; None: over SMTP, as configured.
        post: Posts a webhook (URL, headers, body); None: over HTTPS, to checked addresses.
    """

    clock: Clock = SystemClock()
    random_bytes: Callable[[int], bytes] = os.urandom
    chance: Callable[[], float] = random.random
    sockets: Callable[[int, int], socket.socket] = socket.socket
    deliver: Deliver | None = None
    post: Post | None = None


THE_MACHINE = Surroundings()
