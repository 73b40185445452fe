"""
A benchmark of a few seconds: every figure is there, rows are equal, books agree. Never a time.
"""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from counterfoil_proof.bench import load, pages, plots, rows, tables
from counterfoil_proof.bench.codec import measure
from counterfoil_proof.bench.rows import Written
from counterfoil_proof.bench.run import Size, run

TINY = Size(
    pgbench_seconds=1,
    load_seconds=1,
    warm_seconds=0.3,
    own_seconds=1,
    codec_seconds=0.2,
    drain_seconds=0,
    counted=40,
    clients=(2,),
    connections=(1, 4),
    many_connections=8,
    stored=(50,),
    merchants=(3,),
    settled=60,
    two_gateways=True,
)
KEYS = {
    "pgbench_payments_per_second",
    "gateway_payments_per_second",
    "ratio",
    "own_latency_ms_p99",
    "codec_ratio",
    "rows_per_payment",
    "audit",
    "took_seconds",
}
PARTIES = {"load generator", "gateway", "worker", "mailer", "rail", "postgres", "mailbox"}


@pytest.mark.timeout(300)
async def test_a_tiny_bench_writes_equal_rows_and_the_audit_agrees(tmp_path: Path) -> None:
    """Both sides write the same rows, and every number received is in everybody's books."""
    found = await run(tmp_path / "bench", TINY, lambda _: None)

    assert found.keys() >= KEYS
    written = found["rows_per_payment"]
    assert written["equal"], written
    assert written["gateway"]["outbox"]["inserted"] == 2
    audit = found["audit"]
    assert audit["agrees"], audit
    assert audit["confirmation_numbers"] == audit["confirmation_numbers_received"] > TINY.counted
    for part in ("one_process", "own_latency"):
        assert found[part]["owed_after"]["mails"] >= 0
    for name in ("one_process", "two_processes"):
        assert [each["connections"] for each in found[name]["runs"]] == [1, 4]
    for each in found["one_process"]["runs"] + found["two_processes"]["runs"]:
        assert each["refused"] == 0, each["first_refusal"]
        assert each["cpu_us_per_payment"].keys() == PARTIES
    assert found["settled"]["payments"] >= found["settled"]["batches"] > 0
    assert found["settled"]["reconciled"] >= found["settled"]["payments"]
    assert found["memory"]["mib_per_process"].keys() == PARTIES - {"load generator"}
    for each in (found["by_stored_payments"]["50"], found["by_merchants"]["3"]):
        assert each["payments"] > 0
        assert each["refused"] == 0, each["first_refusal"]
    asked = {each["path"].split("?")[0]: each for each in found["pages"]["pages"]}
    assert {
        "/today",
        "/payments",
        "/batches",
        "/terminal",
        "/links/new",
        "/me/password",
        pages.LINK_PATH,
    } <= {*asked}
    assert {each["status"] for each in asked.values()} <= {200, 303}
    assert asked["/today"]["median_ms"] > 0
    assert sum(found["took_seconds"].values()) > TINY.load_seconds
    for draw in plots.CHARTS.values():
        assert ElementTree.fromstring(draw(found)).tag.endswith("svg")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n", "utf-8")
    tables.put(page, found, "../pictures")
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert all(f"../pictures/{name}.svg" in text for name in plots.CHARTS)
    assert "payments, reconcile" in text
    assert {"own", "intend", "conclude", "acknowledge"} <= found["own_latency"]["steps"].keys()


@pytest.mark.parametrize(
    ("theirs", "equal"),
    [
        ({"payments": Written(1.0, 2.0)}, True),
        ({"payments": Written(1.002, 2.0)}, True),
        ({"payments": Written(1.0, 1.0)}, False),
        ({"payments": Written(1.0, 2.0), "outbox": Written(2.0, 0.0)}, False),
        ({}, False),
    ],
)
def test_rows_are_equal_only_table_by_table(theirs: dict[str, Written], equal: bool) -> None:
    """A table too many, a row too few: not equal. A batch closed meanwhile is no payment."""
    assert rows.are_equal({"payments": Written(1.0, 2.0)}, theirs) is equal


def test_rows_of_leases_are_shared_by_many_payments() -> None:
    """What a hundred payments write once belongs to none of them."""
    before = {"payments": (10, 20), "stan_counters": (1, 0)}
    after = {"payments": (110, 220), "stan_counters": (1, 1), "deposits": (0, 0)}

    written = rows.per_payment(before, after, 100)

    assert written == {"payments": Written(1.0, 2.0), "stan_counters": Written(0.0, 0.01)}
    assert rows.by_payment(written).keys() == {"payments"}


def test_a_page_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    """Figures are never put where nobody said that they belong."""
    page = tmp_path / "page.md"
    page.write_text("words\n", "utf-8")

    with pytest.raises(ValueError, match="both marks"):
        tables.put(page, {}, "pictures")

    assert page.read_text("utf-8") == "words\n"


def test_quantiles_are_in_milliseconds_and_never_between_two_values() -> None:
    """The 99th percentile is a value that was measured."""
    found = load.quantiles([number / 1000 for number in range(1, 1001)])

    assert found == {"p50": 501.0, "p99": 991.0, "p99_9": 1000.0, "max": 1000.0}


def test_both_codecs_are_given_the_same_messages() -> None:
    """Each of the two does round trips of the messages that the other does."""
    found = measure(0.2)

    assert found.ours_per_second > 0
    assert found.pyiso8583_per_second > 0
    assert found.ratio > 0
