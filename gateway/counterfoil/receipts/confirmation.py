"""
The confirmation number: twelve digits that people read to each other.

Eleven digits are a keyed permutation of the merchant's own counter, so that no two
payments share one and nobody can guess the next; the twelfth is a check digit
(Damm), which finds every mistyped digit and every swap of neighbours.
"""

import hashlib
from uuid import UUID

COUNTER_MAX = 10**11
DIGITS = 12
_LEFT = 10**5
_RIGHT = 10**6
_ROUNDS = 10


class ConfirmationNumbers:
    """
    Turns a merchant's counter into confirmation numbers.
    """

    def __init__(self, key: bytes, merchant_id: UUID) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=8, salt=merchant_id.bytes)

    def number(self, counter: int) -> str:
        """
        Return the number for *counter* (0 to 10^11 - 1).

        An alternating Feistel network over 10^5 x 10^6: a permutation by its form.
        """
        if not 0 <= counter < COUNTER_MAX:
            raise ValueError(f"the counter runs from 0 to {COUNTER_MAX - 1}")
        left, right = divmod(counter, _RIGHT)
        for turn in range(_ROUNDS):
            if turn % 2:
                right = (right + self._mix(turn, left)) % _RIGHT
            else:
                left = (left + self._mix(turn, right)) % _LEFT
        digits = f"{left * _RIGHT + right:011d}"
        return digits + check_digit(digits)

    def _mix(self, turn: int, half: int) -> int:
        mixer = self._keyed.copy()
        mixer.update(b"%d:%d" % (turn, half))
        return int.from_bytes(mixer.digest(), "big")


def check_digit(digits: str) -> str:
    """
    Return the Damm check digit of *digits* (H. Damm, 2004: a weakly totally anti-symmetric table).
    """
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][ord(digit) - 48]
    return str(interim)


def is_valid(number: str) -> bool:
    """
    Return whether *number* is twelve digits with the right check digit.
    """
    return (
        len(number) == DIGITS
        and number.isascii()
        and number.isdigit()
        and check_digit(number[:-1]) == number[-1]
    )


_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
