"""
The mailbox as a process: ports, serving.json, stop.
"""

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 10.0


def test_mail_survives_a_kill_and_shows_after_a_restart(tmp_path: Path) -> None:
    """Promise: what was answered 250 is there after kill -9."""
    with running(tmp_path) as (process, ports):
        with smtplib.SMTP("127.0.0.1", ports["smtp_port"], timeout=10) as smtp:
            smtp.sendmail("shop@example.com", ["ada@example.com"], "Subject: Kept\r\n\r\nHello\r\n")
        process.kill()
        process.wait()

    with running(tmp_path) as (process, ports):
        (told,) = get(ports["http_port"], "/messages.json")

    assert told["subject"] == "Kept"
    assert told["to"] == ["ada@example.com"]


def test_a_stop_by_signal_is_clean_and_takes_serving_json_along(tmp_path: Path) -> None:
    """Promise: SIGTERM ends the process with 0, also with a session open, and leaves no address."""
    with running(tmp_path) as (process, ports):
        idle = smtplib.SMTP("127.0.0.1", ports["smtp_port"], timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        idle.close()

    assert not (tmp_path / "mailbox" / "serving.json").exists()


def test_a_second_mailbox_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Promise: two mailboxes never write into one folder."""
    with running(tmp_path):
        second = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=20)

    assert second.returncode == 1
    assert "already" in second.stderr


def command(state: Path) -> list[str]:
    module = [sys.executable, "-m", "counterfoil_proof.mailbox"]
    return [*module, "--state", str(state), "--smtp-port", "0", "--http-port", "0"]


@contextmanager
def running(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    process = subprocess.Popen(command(state), stderr=subprocess.DEVNULL)
    try:
        yield process, announced(state / "mailbox" / "serving.json", process)
    finally:
        process.terminate()
        process.wait(10)


def announced(path: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    give_up = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up:
        if path.exists() and (facts := json.loads(path.read_text()))["pid"] == process.pid:
            assert os.stat(path).st_size > 0
            return dict(facts)
        time.sleep(0.02)
    raise AssertionError("the mailbox did not start")


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)
