"""
Passwords: Argon2id, in a thread, so that nobody else waits while one is checked.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

PASSWORD_CHARACTERS_MIN = 15
PASSWORD_CHARACTERS_MAX = 128
CHECKS_AT_ONCE_MAX = 4  # 64 MiB each: more at once would let strangers fill the memory.


class Passwords:
    """
    Makes and checks hashes; CHECKS_AT_ONCE_MAX at a time, the others wait.

    Without a *hasher*: 64 MiB, three passes, four lanes, which is RFC 9106's second recommendation.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._nobodys = self._hasher.hash("the password of nobody at all")
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE_MAX)

    async def hash(self, password: str) -> str:
        """
        Return what is kept of *password*.
        """
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def holds(self, kept: str | None, password: str) -> bool:
        """
        Return whether *password* is the one that was *kept*. Without one it takes as long.
        """
        async with self._turns:
            right = await asyncio.to_thread(self._holds, kept or self._nobodys, password)
        return right and kept is not None

    def _holds(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
