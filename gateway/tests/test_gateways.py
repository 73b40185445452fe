"""
The gateway processes of an installation: who is which, and how they are started.
"""

import os
from pathlib import Path

import msgspec
import pytest
from counterfoil.config import Api, Configuration, ConfigurationRefused
from counterfoil.gateways import (
    ALONE,
    PLACE_VARIABLE,
    Place,
    forget_others,
    places,
    serving_files,
    told_place,
)
from counterfoil.installation import check_connections, programs
from counterfoil.opened import open_database
from counterfoil.supervisor import Program


def gateways(folder: Path, processes: int) -> list[Program]:
    """Return the gateway programs of an installation that has so many."""
    configuration = Configuration(state=str(folder), api=Api(port=9443, processes=processes))
    found = programs(configuration, None, logs=folder / "logs")
    return [each for each in found if each.name.startswith("gateway")]


def test_every_gateway_process_has_a_name_a_log_and_a_place_of_its_own(tmp_path: Path) -> None:
    """The first is called as the only one is; those after it wait for what it makes."""
    found = gateways(tmp_path, 3)

    assert [each.name for each in found] == ["gateway", "gateway-2", "gateway-3"]
    assert [each.log_path for each in found] == [
        tmp_path / "logs" / f"{name}.log" for name in ("gateway", "gateway-2", "gateway-3")
    ]
    assert [each.after for each in found] == [
        ("database",),
        ("database", "gateway"),
        ("database", "gateway"),
    ]
    assert {each.party for each in found} == {"gateway"}
    told = [told_place(each.env or {}) for each in found]
    assert told == [Place(number, shares_port=True) for number in (1, 2, 3)]
    assert {(each.env or {})["COUNTERFOIL_API_PORT"] for each in found} == {"9443"}


def test_one_gateway_process_is_started_as_ever(tmp_path: Path) -> None:
    """Told nothing: it reads its port itself, and shares it with nobody."""
    [only] = gateways(tmp_path, 1)

    assert (only.name, only.after) == ("gateway", ("database",))
    assert {**(only.env or {}), "PYTHONUNBUFFERED": ""} == {**os.environ, "PYTHONUNBUFFERED": ""}
    assert told_place(only.env or {}) == ALONE
    assert not ALONE.shares_port


def test_a_place_survives_the_way_through_the_environment() -> None:
    """From the supervisor to the process."""
    for each in places(64):
        assert told_place(each.told(8443)) == each
    assert ALONE.told(8443) == {}
    assert PLACE_VARIABLE in places(2)[0].told(8443)


def test_every_gateway_process_has_a_metrics_port_of_its_own() -> None:
    """From the configured one upwards; none when none is configured."""
    assert [each.metrics_port(9464) for each in places(3)] == [9464, 9465, 9466]
    assert [each.metrics_port(0) for each in places(3)] == [0, 0, 0]


def test_who_serves_is_known_by_its_file(tmp_path: Path) -> None:
    """The first one's is the file that everybody knows."""
    for name in ("serving.json", "serving-3.json", "serving-2.part"):
        (tmp_path / name).write_text("{}")

    assert serving_files(tmp_path) == {
        "gateway": tmp_path / "serving.json",
        "gateway-3": tmp_path / "serving-3.json",
    }
    forget_others(tmp_path)
    assert set(serving_files(tmp_path)) == {"gateway"}


async def test_more_processes_than_the_database_has_connections_for_are_refused(
    installation: Configuration,
) -> None:
    """At the start, and not when the day is busiest; one process is never asked."""

    def with_processes(number: int) -> Configuration:
        return msgspec.structs.replace(installation, api=Api(processes=number))

    async with open_database(installation) as database:
        await check_connections(database, with_processes(1))
        await check_connections(database, with_processes(2))
        with pytest.raises(ConfigurationRefused, match=r"mailer and web may take 796 connections"):
            await check_connections(database, with_processes(64))
