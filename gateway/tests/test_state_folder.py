"""
The state folder: one supervisor at a time, and a sentence when it cannot be used.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from counterfoil.state_folder import StateFolderRefused, alone, make_state_folder


def up(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `counterfoil up` on *folder*, which it is to refuse."""
    return subprocess.run(
        [sys.executable, "-m", "counterfoil.cli.main", "up"],
        env={**os.environ, "COUNTERFOIL_STATE": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_up_in_the_same_folder_is_refused_at_once(tmp_path: Path) -> None:
    """It names the process that works there; nothing was started."""
    with alone(tmp_path / "state"):
        refused = up(tmp_path / "state")

    assert refused.returncode == 2
    assert f"process {os.getpid()} already runs the installation" in refused.stderr
    assert "COUNTERFOIL_STATE" in refused.stderr
    assert sorted(each.name for each in (tmp_path / "state").iterdir()) == ["up.lock"]


def test_a_folder_is_free_again_when_its_supervisor_has_ended(tmp_path: Path) -> None:
    """Also when it was killed: the kernel lets go of the lock."""
    with alone(tmp_path), pytest.raises(StateFolderRefused), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Not as a traceback; with what to do."""
    (tmp_path / "file").write_text("in the way")

    refused = up(tmp_path / "file" / "state")

    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stderr.startswith("counterfoil: cannot use the state folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    """Before anything else fails because of it."""
    tmp_path.chmod(0o500)
    with pytest.raises(StateFolderRefused, match="may not write"):
        make_state_folder(tmp_path)
