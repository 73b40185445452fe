"""
The named maximums of a client. The defaults suit a shop; tests make them shorter.
"""

import msgspec

from counterfoil_client.errors import ConfigurationError

RESPONSE_BYTES_MAX = 1024 * 1024
REQUEST_BYTES_MAX = 64 * 1024
BUSY_SECONDS = 0.1  # Between looks at a key that another call is using.
DOUBT_SECONDS_MAX = 30.0  # Kept back from a call's time to ask what became of it.
RECOVERIES_MAX = 1000  # Intents taken up by one recover(); call again for more.


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long and how often a client tries, and how many connections it holds.

    A call ends `call_seconds` after it began. Only the acknowledgment of an approval that
    came at the very end may take `try_seconds` more.
    """

    connect_seconds: float = 5.0
    try_seconds: float = 30.0
    call_seconds: float = 120.0
    lease_seconds: float = 30.0
    tries_max: int = 8
    polls_max: int = 600
    backoff_seconds_first: float = 0.2
    backoff_seconds_max: float = 5.0
    poll_seconds: float = 0.5
    connections_max: int = 16

    def __post_init__(self) -> None:
        """
        Refuse a limit that would mean "never" or "for ever".
        """
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) < 1_000_000:
                raise ConfigurationError(f"Limits.{name} must be above zero and finite")
