"""
The key-encryption key on disk: whose it is, who may read it, and how it comes to be there.
"""

import os
import stat
import threading
import time
from pathlib import Path

import pytest
from counterfoil import keyfile
from counterfoil.keyfile import KEY_BYTES, KeyFileRefused, load_key, make_key


def test_a_new_key_is_random_and_for_its_owner_only(tmp_path: Path) -> None:
    """PCI DSS 3.6: 0600 in a folder that is 0700, 256 bits, never the same twice."""
    path = tmp_path / "keys" / "key-encryption.key"

    key = make_key(path)

    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert make_key(tmp_path / "other.key") != key


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    """A second start finds the first one's key, or every stored card would be lost."""
    path = tmp_path / "key"

    assert make_key(path) == make_key(path) == load_key(path)


def test_two_processes_that_make_a_key_at_once_have_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads half a key, whoever was first."""
    path = tmp_path / "key"
    found: list[bytes] = []
    quick = os.urandom

    def slow(size: int) -> bytes:
        time.sleep(0.02)
        return quick(size)

    monkeypatch.setattr(keyfile.os, "urandom", slow)
    threads = [threading.Thread(target=lambda: found.append(make_key(path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("step", ["fdopen", "fsync", "link"])
def test_a_start_that_died_while_making_the_key_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The power goes before the key is whole: no empty or half file stands in the way."""
    path = tmp_path / "key"

    def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(keyfile.os, step, power_cut)
    with pytest.raises(KeyboardInterrupt):
        make_key(path)
    monkeypatch.undo()

    assert len(make_key(path)) == KEY_BYTES


def test_nothing_but_the_key_is_left_in_the_folder(tmp_path: Path) -> None:
    """No copy of it under another name."""
    make_key(tmp_path / "key")

    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_a_missing_key_is_refused_with_where_it_must_come_from(tmp_path: Path) -> None:
    """F35: without the key no stored card can be read, so no new one is made in silence."""
    with pytest.raises(KeyFileRefused, match="restore it from its escrow copy"):
        load_key(tmp_path / "key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777, 0o610])
def test_a_key_that_others_may_touch_is_refused_with_what_to_type(
    tmp_path: Path, mode: int
) -> None:
    """Group or world, reading, writing or running."""
    path = tmp_path / "key"
    make_key(path)
    path.chmod(mode)

    with pytest.raises(KeyFileRefused, match=f"run chmod 600 {path}"):
        load_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_key_is_refused(tmp_path: Path) -> None:
    """Whoever owns the file could change it."""
    path = tmp_path / "key"
    make_key(path)
    os.chown(path, 65534, 65534)

    with pytest.raises(KeyFileRefused, match="belongs to another user"):
        load_key(path)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    """A text editor's newline, a shorter key: refused, and the content is not shown."""
    path = tmp_path / "key"
    path.write_bytes(b"k" * size)
    path.chmod(0o600)

    with pytest.raises(KeyFileRefused, match=f"holds {size} bytes instead of 32") as caught:
        load_key(path)
    assert "kkk" not in str(caught.value)
