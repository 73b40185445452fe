"""
A worker of a restored installation: what the backup owes to anybody waits for the comparison.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from counterfoil import app
from counterfoil.clock import SystemClock
from counterfoil.config import Acquirer, Configuration
from counterfoil.events.posting import Posted
from counterfoil.opened import open_database
from counterfoil.payments.acknowledge import refuse
from counterfoil.payments.lifecycle import State
from counterfoil.receipts.letter import Letter
from counterfoil.store.backups import begin_quarantine
from counterfoil.surroundings import Surroundings
from hook_stage import Hooks
from payment_stage import ACTOR, HandClock, Stage
from scripted_link import ScriptedLink

LIFTED = "UPDATE installation SET quarantined_at = NULL, quarantine_reason = NULL"
WRITTEN = (
    "payments", "advices", "movements", "batches", "outbox", "feed", "feed_pending",
    "webhook_deliveries", "network_messages", "findings",
)  # fmt: skip


class Startable(ScriptedLink):
    """A scripted acquirer in the place of a process's own link."""

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class Outside:
    """Who hears of a worker: the acquirer, the mail server, the merchant's endpoint."""

    def __init__(self) -> None:
        self.link = Startable()
        self.heard: list[str] = []

    def around(self) -> Surroundings:
        return Surroundings(deliver=self._deliver, post=self._post)

    async def _deliver(self, _: Letter) -> None:
        self.heard.append("mail")

    async def _post(self, *_: Any) -> Posted:
        self.heard.append("webhook")
        return Posted(200, None)


async def test_f41_in_quarantine_a_worker_sweeps_sends_mails_posts_and_closes_nothing(
    installation: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overdue, owed and due for a day: not a row and not a word before the lift; all of it then."""
    outside = Outside()
    monkeypatch.setattr(app, "_link", lambda *_: outside.link)
    async with open_database(installation) as database:
        await app.prepare_database(database, installation)
        yesterday = HandClock(datetime.now(UTC) - timedelta(days=1))
        stage = await Stage.set_up(database, clock=yesterday, link=outside.link)
        async with app.process(_with(stage, installation), "worker", around=outside.around()) as (
            running
        ):
            stage.road = msgspec.structs.replace(stage.road, vault=running.road.vault)
            await Hooks(stage).add("http://127.0.0.1:1/", ["payment.captured"])
            await stage.paid()
            unclaimed, owed = await stage.take(), await stage.take()
            await refuse(stage.merchant, owed.payment_id, actor=ACTOR, road=stage.road)
            asked = len(outside.link.asked)
            before = await _written(stage)

            await begin_quarantine(database, SystemClock(), "restored from a backup")
            await running.watch.look()
            await _a_round_of_each(running)
            meanwhile = await _written(stage)
            silent = (list(outside.heard), len(outside.link.asked) - asked)
            await stage.sql(LIFTED)
            await running.watch.look()
            await _a_round_of_each(running)
            swept = await stage.read(unclaimed)
            batches = await stage.sql("SELECT state FROM batches ORDER BY batch_number")

    assert meanwhile == before
    assert silent == ([], 0)
    assert sorted(outside.heard) == ["mail", "mail", "webhook"]
    assert "0420" in [each.mti for each in outside.link.asked[asked:]]
    assert swept.state in (State.REVERSING, State.REVERSED)
    assert batches[0]["state"] != "open"


def _with(stage: Stage, installation: Configuration) -> Configuration:
    """Return the installation with the stage's acquirer."""
    acquirer = Acquirer(
        name=stage.acquirer,
        mode="test",
        host="127.0.0.1",
        port=1,
        institution_id="123456",
        forwarding_id="987654",
    )
    return msgspec.structs.replace(installation, acquirer=(acquirer,))


async def _a_round_of_each(running: app.Process) -> None:
    """Let a worker do each of its duties once."""
    for duty in app.duties(running):
        await duty.round()
        if duty.finish:
            await duty.finish()


async def _written(stage: Stage) -> list[str]:
    """Return every row that tells of money, or of what is owed to anybody."""
    parts = (f"SELECT '{each}' || to_jsonb(t)::text AS row FROM {each} AS t" for each in WRITTEN)
    return [row["row"] for row in await stage.sql(f"{' UNION ALL '.join(parts)} ORDER BY 1")]
