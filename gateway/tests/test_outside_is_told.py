"""
Whatever is ill around a gateway is said where people look: in `/readyz`, and by `doctor`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from counterfoil import app
from counterfoil.cli import doctor
from counterfoil.clock import SystemClock
from counterfoil.config import Acquirer, Configuration
from counterfoil.opened import open_database
from counterfoil.outside import readiness
from counterfoil.outside.disk import Disk
from counterfoil.outside.doors import Quarantine
from counterfoil.outside.watch import Seen
from counterfoil.payments.acknowledge import refuse
from counterfoil.store.backups import begin_quarantine
from payment_stage import ACTOR, START, HandClock, Stage
from scripted_link import ScriptedLink

FULL = Disk(Path("/"), 95.0, 1 << 30)
ROOMY = Disk(Path("/"), 50.0, 1 << 34)


@pytest.mark.parametrize(
    ("seen", "ready", "name", "words"),
    [
        ({"database": False}, True, "database", "does not answer"),
        ({"skew_seconds": -3600.0}, True, "clock", "3600.0 s off the database's"),
        ({"disk": FULL}, True, "disk", "95 % of"),
        ({"quarantine": Quarantine(START, "restored")}, True, "quarantine", "restored"),
        ({}, False, "link north", "not signed on"),
    ],
)
def test_readyz_says_each_fault_by_its_name(
    seen: dict[str, object], ready: bool, name: str, words: str
) -> None:
    """One is ill and says how; nothing else is; without it all is well."""
    link = ScriptedLink()
    well = Seen(database=True, skew_seconds=0.0, disk=ROOMY)
    before = readiness.checks(well, Configuration(), {"north": link})  # type: ignore[dict-item]
    link.ready = ready
    ill = msgspec.structs.replace(well, **seen)
    after = readiness.checks(ill, Configuration(), {"north": link})  # type: ignore[dict-item]

    assert set(before.values()) == {"ok"}
    assert words in after[name]
    assert {each for each, said in after.items() if said != "ok"} == {name}


class AnHourAhead(SystemClock):
    """A machine whose wall clock has jumped."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


async def test_doctor_says_each_fault_with_what_to_do(
    installation: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once: disk, clock, link, what is owed, what nobody reverses, quarantine, processes."""
    north = Acquirer(
        name="north",
        mode="test",
        host="127.0.0.1",
        port=1,
        institution_id="123456",
        forwarding_id="987654",
    )
    settings = msgspec.structs.replace(installation, acquirer=(north,))
    async with open_database(settings) as database:
        await app.prepare_database(database, settings)
        monkeypatch.setattr(doctor, "measure", lambda _: ROOMY)
        well = {each.name: each.seen for each in await doctor._examine(settings) if each.well}
        stage = await Stage.set_up(
            database, clock=HandClock(datetime.now(UTC) - timedelta(hours=2))
        )
        await stage.take()
        await stage.paid()
        refused = await stage.take()
        await refuse(stage.merchant, refused.payment_id, actor=ACTOR, road=stage.road)
        await begin_quarantine(database, SystemClock(), "restored")
        monkeypatch.setattr(doctor, "SystemClock", AnHourAhead)
        monkeypatch.setattr(doctor, "measure", lambda _: FULL)
        ill = {each.name: each.seen for each in await doctor._examine(settings) if not each.well}

    said = {
        "disk": "make room",
        "clock": "3600.0",
        "acquirer north": "127.0.0.1:1 does not answer",
        "owed to acquirers": "1 overdue: look at the link",
        "approvals": "1 of them overdue: does a worker run?",
        "mail": "2 e-mail(s) wait, the oldest for 10",
        "quarantine": "see `counterfoil quarantine show`",
        "gateway processes": "none runs: start `counterfoil up`",
        "worker processes": "none runs: start `counterfoil up`",
    }
    assert {name: words for name, words in said.items() if words not in ill.get(name, "")} == {}
    assert "a worker sends the e-mails" in well["mailer processes"]
    assert {"clock", "disk", "owed to acquirers", "approvals", "mail", "quarantine"} <= set(well)
