"""
The mailer: a process that sends what is owed, has no keys, and rests in quarantine.
"""

import asyncio
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from counterfoil import app, mailing
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.ground import Ground, ground, leased
from counterfoil.measures import Measures
from counterfoil.opened import open_database
from counterfoil.receipts.letter import Letter
from counterfoil.store.backups import begin_quarantine
from counterfoil.surroundings import Surroundings
from payment_stage import HandClock, Stage
from prometheus_client.parser import text_string_to_metric_families

DAY_SECONDS = 86_400


class Outside:
    """A mail server that takes everything."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.took = asyncio.Event()

    def around(self) -> Surroundings:
        return Surroundings(deliver=self._deliver)

    async def _deliver(self, letter: Letter) -> None:
        self.recipients.append(letter.recipient)
        self.took.set()


@pytest.fixture
async def owing(installation: Configuration) -> Configuration:
    """An installation that owes two mails since yesterday, on a machine without its keys."""
    async with open_database(installation) as database:
        await app.prepare_database(database, installation)
        clock = HandClock(datetime.now(UTC) - timedelta(seconds=DAY_SECONDS))
        await (await Stage.set_up(database, clock=clock)).paid()
    shutil.rmtree(installation.folder / "keys")
    return installation


async def _rounds(below: Ground) -> list[int]:
    """Let a mailer do each of its duties twice."""
    await below.watch.look()
    return [await duty.round() for duty in mailing.duties(below) for _ in range(2)]


async def test_a_mailer_needs_no_key_and_sends_each_mail_once(owing: Configuration) -> None:
    """What speaks to a mail server cannot read a card."""
    outside = Outside()
    async with ground(owing, outside.around()) as below, leased(below, "mailer"):
        done = await _rounds(below)

    assert done == [2, 0]
    assert sorted(outside.recipients) == ["owner@bookshop.example", "shopper@example.com"]


async def test_f41_in_quarantine_a_mailer_sends_nothing(owing: Configuration) -> None:
    """A restored backup may owe mails that were sent long ago."""
    outside = Outside()
    async with ground(owing, outside.around()) as below, leased(below, "mailer"):
        await begin_quarantine(below.database, SystemClock(), "restored from a backup")
        done = await _rounds(below)
        ready, page = (await mailing.pages_of(below, Measures())["/readyz"]())[::2]

    assert (done, outside.recipients) == ([0, 0], [])
    assert ready == 503
    assert "quarantine" in msgspec.json.decode(page)["checks"]


async def test_monitors_see_since_when_a_mail_is_owed(owing: Configuration) -> None:
    """It grows when no mail goes out, whatever the reason; nothing of it is silent."""
    async with ground(owing, Outside().around()) as below, leased(below, "mailer"):
        pages = mailing.pages_of(below, Measures())
        ready, page = (await pages["/readyz"]())[::2]
        _, _, metrics = await pages["/metrics"]()
        healthy, _, _ = await pages["/healthz"]()

    said = {
        sample.name: sample
        for family in text_string_to_metric_families(metrics.decode())
        for sample in family.samples
    }
    assert (ready, healthy) == (200, 200)
    assert msgspec.json.decode(page)["notes"]["waiting"]["mails"] == 2
    assert said["counterfoil_ready"].value == 1
    oldest = said["counterfoil_oldest_owed_mail_seconds"]
    assert oldest.labels == {"process": "mailer"}
    assert oldest.value == pytest.approx(DAY_SECONDS, abs=60)


async def test_a_mailer_ends_in_good_order(owing: Configuration) -> None:
    """Told to stop, it gives its lease back, and a worker need not wait for its end."""
    outside = Outside()
    running = asyncio.create_task(mailing.run_mailer(owing, outside.around()))
    async with asyncio.timeout(20):
        await outside.took.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    async with open_database(owing) as database:
        left = await database.rows("live_processes", datetime.now(UTC))
    assert left == []
