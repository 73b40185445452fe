"""
Passwords: Argon2id, in a thread, so that nobody else waits while one is checked.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

PASSWORD_CHARACTERS_MIN = 15
PASSWORD_CHARACTERS_MAX = 128
CHECKS_AT_ONCE_MAX = 4  # 64 MiB each: more at once would let strangers fill the memory.

_HASHER = PasswordHasher()
_NOBODYS = _HASHER.hash("the password of nobody at all")


class Passwords:
    """
    Makes and checks hashes; CHECKS_AT_ONCE_MAX at a time, the others wait.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE_MAX)

    async def hash(self, password: str) -> str:
        """
        Return what is kept of *password*.
        """
        async with self._turns:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def holds(self, kept: str | None, password: str) -> bool:
        """
        Return whether *password* is the one that was *kept*. Without one it takes as long.
        """
        async with self._turns:
            right = await asyncio.to_thread(_holds, kept or _NOBODYS, password)
        return right and kept is not None


def _holds(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
