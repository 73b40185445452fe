"""
What a process counts of itself, and how a scraper reads it.
"""

import asyncio
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from counterfoil import app
from counterfoil.config import Configuration
from counterfoil.measures import CHILDREN_MAX, OTHER, SECONDS, Counts, Distribution, Measures
from counterfoil.opened import open_database
from counterfoil.outside import metrics, monitors
from counterfoil.outside.metrics import GAUGES, Standing, exposition, standing_of
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

DOCS = Path(__file__).parents[2] / "docs" / "operating" / "metrics.md"


def read(page: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples of a page by name, as Prometheus' own reader reads it."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@given(st.lists(st.floats(min_value=0, max_value=60, allow_nan=False), max_size=200))
def test_each_value_is_in_one_bucket_and_buckets_add_up(values: list[float]) -> None:
    """A bucket takes what is at most as large as its bound, as Prometheus has it."""
    distribution = Distribution(SECONDS)
    for value in values:
        distribution.add(value)
    measures = Measures()
    measures.steps.children[("intend",)] = distribution

    said = read(exposition(measures, Standing(), "gateway"))

    buckets = {
        float(labels["le"]): count for labels, count in said["counterfoil_step_seconds_bucket"]
    }
    assert buckets == {
        bound: sum(value <= bound for value in values) for bound in (*SECONDS, float("inf"))
    }
    assert said["counterfoil_step_seconds_sum"][0][1] == pytest.approx(sum(values))
    assert said["counterfoil_step_seconds_count"][0][1] == len(values)


def test_a_host_that_invents_response_codes_cannot_fill_the_memory() -> None:
    """Beyond the bound all are one."""
    counts = Counts("answers", "", ("acquirer", "response_code"))
    for number in range(CHILDREN_MAX * 2):
        counts.add("north", f"{number:04d}")

    assert len(counts.children) == CHILDREN_MAX + 1
    assert counts.children[(OTHER, OTHER)] == CHILDREN_MAX


def test_own_time_is_without_the_wait_for_the_acquirer() -> None:
    """The wait is counted for the acquirer; what is outside of a request is nobody's own time."""
    measures, now = Measures(), [10.0]
    with measures.own_time("payment", lambda: now[0]):
        now[0] += 0.25
        measures.waited_for("north", 0.2)
    measures.waited_for("north", 5.0)

    assert measures.own.of("payment").total == pytest.approx(0.05)
    assert measures.network.of("north").total == pytest.approx(5.2)


async def test_what_a_task_of_the_request_waits_for_is_not_its_own_time() -> None:
    """The money runs in a task of its own, beside a request that waits for it."""
    measures, now = Measures(), [0.0]

    async def money() -> None:
        now[0] += 1.0
        measures.waited_for("north", 0.75)

    async def request() -> None:
        with measures.own_time("payment", lambda: now[0]):
            await asyncio.create_task(money())

    await request()
    assert measures.own.of("payment").total == pytest.approx(0.25)


def test_what_stands_is_shown_and_what_is_unknown_is_left_out() -> None:
    """While the database is away there is no zero that would lie."""
    checks = {"database": "does not answer"}
    away = standing_of(
        ready=False, checks=checks, notes={"steps": {"intend": 3}, "acquirers": {}}, links={}
    )
    said = read(exposition(Measures(), away, "gateway"))

    assert said["counterfoil_ready"] == [({"process": "gateway"}, 0.0)]
    assert said["counterfoil_check"] == [({"process": "gateway", "check": "database"}, 0.0)]
    assert said["counterfoil_step_queue_rows"] == [({"process": "gateway", "step": "intend"}, 3.0)]
    assert "counterfoil_owed_reversals" not in said


def test_every_metric_is_in_the_documentation() -> None:
    """And the page names none that there is not."""
    measures = Measures()
    families = {each.name for each in (*measures.distributions(), *measures.counts())}
    counted = {f"{each.name}_total" for each in measures.counts()}
    names = (families - {each.name for each in measures.counts()}) | counted | set(GAUGES)
    page = DOCS.read_text("utf-8")

    documented = {
        line.split("`")[1].removeprefix("counterfoil_")
        for line in page.splitlines()
        if line.startswith("| `counterfoil_")
    }
    assert documented == names


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def ask(port: int, path: str) -> tuple[int, bytes]:
    def fetch() -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(fetch)


async def test_a_process_shows_what_it_is_to_monitors(
    installation: Configuration,
) -> None:
    """Its metrics, whether it is ready, that it lives; nothing else."""
    port = free_port()
    async with open_database(installation) as database:
        await app.prepare_database(database, installation)
    async with app.process(installation, "worker") as running:
        pages = app.pages_of(running, "worker", lambda: 7)
        async with monitors.listening(pages, "127.0.0.1", port):
            status, page = await ask(port, "/metrics")
            healthy, _ = await ask(port, "/healthz")
            ready, _ = await ask(port, "/readyz")
            unknown, words = await ask(port, "/v1/payments")
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    said = read(page)
    assert (status, healthy, ready, unknown) == (200, 200, 503, 404)
    assert b"/metrics" in words
    assert said["counterfoil_database_up"] == [({"process": "worker"}, 1.0)]
    assert said["counterfoil_requests_under_way"] == [({"process": "worker"}, 7.0)]
    assert {labels["what"] for labels, _ in said["counterfoil_waiting"]} >= {"mails", "unclaimed"}
    assert said["counterfoil_oldest_owed_reversal_seconds"] == [({"process": "worker"}, 0.0)]
    assert "process_resident_memory_bytes" in said


async def test_a_port_that_is_taken_stops_no_payment(capsys: pytest.CaptureFixture[str]) -> None:
    """The process goes on without its metrics, and says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        async with monitors.listening({}, "127.0.0.1", other.getsockname()[1]):
            pass
    assert "metrics_not_served" in capsys.readouterr().out


def test_the_page_is_of_the_type_that_scrapers_expect() -> None:
    """Prometheus 3 refuses a page whose type it does not know."""
    assert metrics.CONTENT_TYPE.startswith("text/plain; version=0.0.4")


async def test_a_fault_of_the_monitors_server_is_logged_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the process does beside it goes on, and ends as it would have."""

    async def broken(*_: object, **__: object) -> None:
        raise OSError("no more descriptors")

    monkeypatch.setattr("uvicorn.Server.serve", broken)
    async with monitors.listening({}, "127.0.0.1", free_port()):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        said = capsys.readouterr().out

    assert "metrics_not_served" in said
    assert "OSError" in said
