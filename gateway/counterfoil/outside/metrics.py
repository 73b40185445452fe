"""
What `/metrics` says, in Prometheus' text format: what this process counted, and what stands now.

The first part never asks anybody. What stands in the installation (owed reversals, open batches,
mails) comes from the counts that /readyz has too, at most a few seconds old; while the database
does not answer it is left out, and `counterfoil_database_up` is 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from counterfoil.measures import Counts, Distribution, Distributions, Measures

PREFIX = "counterfoil_"
INFINITE = float("inf")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Name, words, label (or ""). A test compares this with the documentation.
GAUGES: dict[str, tuple[str, str]] = {
    "ready": ("whether new payments are taken", ""),
    "check": ("1 where what must be well is well", "check"),
    "database_up": ("whether the database answered the last look", ""),
    "step_queue_rows": ("rows that wait at a durable step and are not yet on their way", "step"),
    "requests_under_way": ("requests that move money and have no answer yet", ""),
    "link_up": ("whether a line to the acquirer is signed on", "acquirer"),
    "link_outstanding": ("requests on the link without an outcome", "acquirer"),
    "link_wrong_macs": ("messages with a wrong MAC, which were not acted on", "acquirer"),
    "acquirer_avoided": ("whether the acquirer's answers speak against it", "acquirer"),
    "owed_advices": ("what is owed to acquirers", ""),
    "owed_reversals": ("reversals that are owed", ""),
    "owed_overdue": ("what is owed for too long, or was tried too often", ""),
    "oldest_owed_seconds": ("age of the oldest that is owed", ""),
    "oldest_owed_reversal_seconds": ("age of the oldest reversal that is owed", ""),
    "oldest_open_batch_seconds": ("age of the oldest batch that is open", ""),
    "oldest_owed_mail_seconds": ("age of the oldest e-mail that is owed", ""),
    "page_look_age_seconds": ("since when nobody has looked at the payment pages", ""),
    "waiting": (
        "what waits: approvals, mails, files, batches, findings, reports of browsers",
        "what",
    ),
}


class Standing(dict[str, Mapping[str, float]]):
    """
    The values of GAUGES: for each name its values by label (or by "").
    """

    def one(self, name: str, value: float) -> None:
        """
        Set a gauge that has no label.
        """
        self[name] = {"": value}


def exposition(measures: Measures, standing: Standing, process: str) -> bytes:
    """
    Return the page for *process* (`gateway`, `worker` or `mailer`), as a scraper reads it.
    """
    registry = CollectorRegistry()
    registry.register(_Ours(measures, standing, process))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)


class _Ours(Collector):
    """
    Hands the library what we have counted.
    """

    def __init__(self, measures: Measures, standing: Standing, process: str) -> None:
        self._measures = measures
        self._standing = standing
        self._process = process

    def collect(self) -> Iterable[Metric]:
        """
        Yield every family.
        """
        for distributions in self._measures.distributions():
            yield self._histogram(distributions)
        for counts in self._measures.counts():
            yield self._counter(counts)
        yield from self._gauges()

    def _histogram(self, family: Distributions) -> Metric:
        metric = HistogramMetricFamily(
            PREFIX + family.name, family.words, labels=("process", *family.labels)
        )
        for labels, each in list(family.children.items()):
            metric.add_metric((self._process, *labels), list(_buckets(each)), each.total)
        return metric

    def _counter(self, family: Counts) -> Metric:
        metric = CounterMetricFamily(
            PREFIX + family.name, family.words, labels=("process", *family.labels)
        )
        for labels, count in list(family.children.items()):
            metric.add_metric((self._process, *labels), count)
        return metric

    def _gauges(self) -> Iterator[Metric]:
        for name, (words, label) in GAUGES.items():
            if name not in self._standing:
                continue
            names = ("process", label) if label else ("process",)
            metric = GaugeMetricFamily(PREFIX + name, words, labels=names)
            for value_label, value in self._standing[name].items():
                labels = (self._process, value_label) if label else (self._process,)
                metric.add_metric(labels, value)
            yield metric


def _buckets(each: Distribution) -> Iterator[tuple[str, float]]:
    """
    Yield the counts up to each bound, as Prometheus adds them up.
    """
    so_far = 0
    for bound, count in zip((*each.bounds, INFINITE), each.counts, strict=True):
        so_far += count
        yield "+Inf" if bound == INFINITE else str(bound), so_far


def standing_of(
    *, ready: bool, checks: Mapping[str, str], notes: Mapping[str, Any], links: Mapping[str, Any]
) -> Standing:
    """
    Return the gauges of what `/readyz` knows and of the *links* of this process.
    """
    standing = Standing()
    standing.one("ready", ready)
    standing["check"] = {name: words == "ok" for name, words in checks.items()}
    standing.one("database_up", checks.get("database") == "ok")
    standing["step_queue_rows"] = dict(notes.get("steps", {}))
    standing["acquirer_avoided"] = {
        name: words != "ok" for name, words in notes.get("acquirers", {}).items()
    }
    standing["link_up"] = {name: link.ready for name, link in links.items()}
    standing["link_outstanding"] = {name: link.outstanding for name, link in links.items()}
    standing["link_wrong_macs"] = {name: link.wrong_macs for name, link in links.items()}
    if owed := notes.get("owed_to_acquirers"):
        standing.one("owed_advices", owed["owed"])
        standing.one("owed_reversals", owed["reversals"])
        standing.one("owed_overdue", owed["overdue"])
        standing.one("oldest_owed_seconds", owed["oldest_seconds"])
        standing.one("oldest_owed_reversal_seconds", owed["oldest_reversal_seconds"])
    if waiting := notes.get("waiting"):
        counted = dict(waiting)
        for name in ("oldest_open_batch_seconds", "oldest_owed_mail_seconds"):
            standing.one(name, counted.pop(name))
        if (age := counted.pop("page_look_age_seconds", None)) is not None:
            standing.one("page_look_age_seconds", age)
        standing["waiting"] = counted
    return standing
