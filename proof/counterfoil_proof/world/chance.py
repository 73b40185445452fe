"""
Everything random of a universe, from one seed.

Each part has a stream of its own, named after it, so that one more draw in one place changes
nothing in another.
"""

from random import Random


class Chance:
    """
    The streams of one seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, *names: object) -> Random:
        """
        Return the stream called *names*, from its beginning.
        """
        return Random("/".join(map(str, (self.seed, *names))))  # noqa: S311 - it must repeat.
