"""
What a process counts of itself, to be shown at /metrics: how long, how often, with what end.

Counting is arithmetic on plain lists: a fraction of a microsecond, no lock, no wait, nothing
that could fail on the road of a payment. `outside/metrics.py` makes the text of it when it is
asked. Labels come from our own closed sets; where a host could invent one (response codes),
what is beyond CHILDREN_MAX is counted as `other`.
"""

from bisect import bisect_left
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType

import msgspec

SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.0075,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
CHILDREN_MAX = 400
OTHER = "other"

Labels = tuple[str, ...]


class Distribution:
    """
    Values of one kind, counted in buckets: each bound takes what is at most as large.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """
        Count *value*.
        """
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Distributions:
    """
    A family of distributions, one for each set of labels.
    """

    def __init__(
        self, name: str, words: str, labels: Labels, bounds: tuple[float, ...] = SECONDS
    ) -> None:
        self.name = name
        self.words = words
        self.labels = labels
        self.children: dict[Labels, Distribution] = {}
        self._bounds = bounds

    def of(self, *labels: str) -> Distribution:
        """
        Return the distribution of *labels*.
        """
        found = self.children.get(labels)
        if found is None:
            if len(self.children) >= CHILDREN_MAX:
                labels = (OTHER,) * len(self.labels)
            found = self.children.setdefault(labels, Distribution(self._bounds))
        return found


class Counts:
    """
    A family of counts, one for each set of labels.
    """

    def __init__(self, name: str, words: str, labels: Labels) -> None:
        self.name = name
        self.words = words
        self.labels = labels
        self.children: dict[Labels, int] = {}

    def add(self, *labels: str) -> None:
        """
        Count one more of *labels*.
        """
        if labels not in self.children and len(self.children) >= CHILDREN_MAX:
            labels = (OTHER,) * len(self.labels)
        self.children[labels] = self.children.get(labels, 0) + 1


class _Waited:
    """
    How long one request has waited for acquirers.
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


_waited: ContextVar[_Waited | None] = ContextVar("waited_for_acquirers", default=None)


class _OwnTime:
    """
    A block whose own time is counted in *into*.
    """

    __slots__ = ("_began", "_into", "_monotonic", "_token", "_waited")

    def __init__(self, into: Distribution, monotonic: Callable[[], float]) -> None:
        self._into = into
        self._monotonic = monotonic

    def __enter__(self) -> None:
        self._waited = _Waited()
        self._token: Token[_Waited | None] = _waited.set(self._waited)
        self._began = self._monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _waited.reset(self._token)
        self._into.add(self._monotonic() - self._began - self._waited.seconds)


class Measures(msgspec.Struct, frozen=True):
    """
    Everything that one process counts.
    """

    requests: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "request_seconds", "from a request's headers to its answer", ("call", "status")
        )
    )
    own: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "own_seconds",
            "the gateway's own time in a payment and in its acknowledgment: without the wait for "
            "the acquirer",
            ("part",),
        )
    )
    steps: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "step_seconds", "from handing in a durable step until it is durable", ("step",)
        )
    )
    groups: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "group_rows", "rows that shared one statement and one commit", ("step",), ROWS
        )
    )
    network: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "network_seconds", "from handing a request to the link until its outcome", ("acquirer",)
        )
    )
    duties: Distributions = msgspec.field(
        default_factory=lambda: Distributions(
            "duty_seconds", "rounds of a worker that did something", ("duty",)
        )
    )
    payments: Counts = msgspec.field(
        default_factory=lambda: Counts(
            "payments", "payments that came to an outcome", ("kind", "outcome")
        )
    )
    answers: Counts = msgspec.field(
        default_factory=lambda: Counts(
            "answers", "answers of acquirers to payments", ("acquirer", "response_code")
        )
    )
    links: Counts = msgspec.field(
        default_factory=lambda: Counts(
            "link_events", "what happened on the links", ("acquirer", "event")
        )
    )
    reports: Counts = msgspec.field(
        default_factory=lambda: Counts(
            "page_reports", "what browsers said that they refused on pages", ("outcome",)
        )
    )
    failures: Counts = msgspec.field(
        default_factory=lambda: Counts(
            "duty_failures", "rounds of a worker that met a fault and are done again", ("duty",)
        )
    )

    def group(self, step: str, rows: int) -> None:
        """
        Count a group of *rows* at *step*.
        """
        self.groups.of(step).add(rows)

    def step(self, step: str, seconds: float) -> None:
        """
        Count a row that has become durable, or was refused, at *step*.
        """
        self.steps.of(step).add(seconds)

    def waited_for(self, acquirer: str, seconds: float) -> None:
        """
        Count the wait for *acquirer*; it is not the own time of the request under way.
        """
        self.network.of(acquirer).add(seconds)
        if (waited := _waited.get()) is not None:
            waited.seconds += seconds

    def own_time(self, part: str, monotonic: Callable[[], float]) -> "_OwnTime":
        """
        Count a block's time as our own time in *part*, less what it waits for acquirers.
        """
        return _OwnTime(self.own.of(part), monotonic)

    def distributions(self) -> tuple[Distributions, ...]:
        """
        Return the families of distributions.
        """
        return (self.requests, self.own, self.steps, self.groups, self.network, self.duties)

    def counts(self) -> tuple[Counts, ...]:
        """
        Return the families of counts.
        """
        return (self.payments, self.answers, self.links, self.reports, self.failures)
