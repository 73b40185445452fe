"""
The worker: every duty in a loop of its own, and no fault of one that ends the others.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from counterfoil.config import Configuration
from counterfoil.events import worker
from counterfoil.events.posting import POST_SECONDS_MAX
from counterfoil.events.worker import Duty, work
from counterfoil.installation import programs
from counterfoil.receipts.mail import SEND_SECONDS_MAX
from counterfoil.routing.routes import NoRoute
from counterfoil.store.database import DatabaseAway
from counterfoil.vault import VaultClosed


def stop() -> None:
    """Ask this process to stop, as a supervisor does."""
    os.kill(os.getpid(), signal.SIGTERM)


def duty(round_: Callable[[], int], *, name: str = "duty", pause: float = 0.001) -> Duty:
    async def run() -> int:
        return round_()

    return Duty(name, run, pause)


async def test_a_signal_ends_all_duties() -> None:
    """And none is begun again."""
    rounds: list[str] = []

    def one() -> int:
        rounds.append("one")
        if rounds.count("one") == 3:
            stop()
        return 0

    def other() -> int:
        rounds.append("other")
        return 0

    async with asyncio.timeout(5):
        await work([duty(one), duty(other)])

    assert rounds.count("one") == 3
    assert rounds.count("other") >= 1


async def test_a_round_that_has_begun_is_finished() -> None:
    """What was claimed is not left lying until its lease is over."""
    finished: list[bool] = []

    async def slow() -> int:
        stop()
        await asyncio.sleep(0.05)
        finished.append(True)
        return 1

    async with asyncio.timeout(5):
        await work([Duty("slow", slow, 60.0)])

    assert finished == [True]


async def test_a_duty_that_found_work_looks_again_at_once() -> None:
    """The pause is for when there is nothing to do."""
    left = [3, 2, 1]
    loop = asyncio.get_running_loop()
    began = loop.time()

    def busy() -> int:
        if not left:
            stop()
            return 0
        return left.pop()

    await work([duty(busy, pause=60.0)])

    assert left == []
    assert loop.time() - began < 5


@pytest.mark.parametrize(
    "fault", [DatabaseAway("gone"), NoRoute("no terminal"), VaultClosed("damaged")]
)
async def test_a_fault_is_tried_again_after_a_pause_and_disturbs_no_other_duty(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database in failover, a card that does not open: logged, and once more."""
    monkeypatch.setattr(worker, "FAULT_SECONDS", 0.02)
    tries: list[int] = []
    others: list[int] = []

    def failing() -> int:
        tries.append(1)
        if len(tries) == 3:
            stop()
            return 0
        raise fault

    def other() -> int:
        others.append(1)
        return 0

    async with asyncio.timeout(5):
        await work([duty(failing), duty(other)])

    assert len(tries) == 3
    assert len(others) >= 5


async def test_a_defect_ends_the_worker_loudly() -> None:
    """What nobody foresaw is not retried for ever in silence: the supervisor starts anew."""

    def broken() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work([duty(broken)])


def test_a_worker_that_is_told_to_stop_has_time_for_the_mail_and_the_webhook_in_its_hands(
    tmp_path: Path,
) -> None:
    """Cut off between the other side's yes and the note of it, both would be told twice."""
    started = programs(Configuration(state=str(tmp_path)), None, logs=tmp_path)
    seconds = {each.name: each.stop_seconds for each in started}

    assert seconds["worker"] > max(POST_SECONDS_MAX, SEND_SECONDS_MAX)
    assert seconds["mailer"] > SEND_SECONDS_MAX
