"""An agent's key file: whoever loses it after a deposit loses the money."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from solders.keypair import Keypair

from perpdex_sdk import KeyFileRefused
from perpdex_sdk.keys import key_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents" / "keys" / "agent.json"


def test_a_key_is_made_once_for_its_owner_only(path: Path) -> None:
    made = key_at(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_at(path) == made
    assert list(path.parent.iterdir()) == [path]


def test_a_key_is_on_disk_before_it_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []
    sync, link = os.fsync, os.link

    def synced(handle: int) -> None:
        done.append(("synced", os.fstat(handle).st_ino))
        sync(handle)

    def linked(source: str, target: Path) -> None:
        link(source, target)
        done.append(("linked", target))

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.link", linked)
    key_at(path)
    folders = [path.parents[2], path.parents[1]]
    assert done == [
        *(("synced", folder.stat().st_ino) for folder in folders),
        ("synced", path.stat().st_ino),
        ("linked", path),
        ("synced", path.parent.stat().st_ino),
    ]


@pytest.mark.parametrize("step", ["fsync", "link"])
def test_what_ends_midway_leaves_no_key_file(step: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(parents=True)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as disk:
        disk.setattr(f"os.{step}", full)
        with pytest.raises(OSError, match="no space"):
            key_at(path)
    assert list(path.parent.iterdir()) == []
    assert key_at(path) == key_at(path)


def test_agents_that_make_a_key_at_once_use_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have found that there is none, and have written their own, before any puts it in place."""
    together, link = Barrier(4), os.link

    def linked(source: str, target: Path) -> None:
        together.wait(timeout=60)
        link(source, target)

    monkeypatch.setattr("os.link", linked)
    with ThreadPoolExecutor(4) as agents:
        keys = set(agents.map(key_at, [path] * 4))
    assert keys == {Keypair.from_json(path.read_text())}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", [b"", b"[1, 2", b"[]", b"[300]", b"\xff\xfe", bytes(str([1] * 64), "ascii")])
def test_a_damaged_file_is_said_in_a_sentence_and_left_alone(text: bytes, path: Path) -> None:
    key_at(path)
    path.write_bytes(text)
    with pytest.raises(KeyFileRefused, match="holds no key") as refused:
        key_at(path)
    assert refused.value.__context__ is None
    assert path.read_bytes() == text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_open_is_refused(mode: int, path: Path) -> None:
    made = key_at(path)
    path.chmod(mode)
    with pytest.raises(KeyFileRefused, match="run: chmod 600"):
        key_at(path)
    path.chmod(0o600)
    assert key_at(path) == made


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can read what is another's alone, or give a file away"
)
def test_a_key_that_is_another_users_is_not_used(path: Path) -> None:
    key_at(path)
    os.chown(path, 12_345, -1)
    with pytest.raises(KeyFileRefused, match="belongs to another user; run: chown 0"):
        key_at(path)
