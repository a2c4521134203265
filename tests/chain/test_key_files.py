"""Key files: made once, private, and never replaced."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from chain.keys import KeyFileRefused, KeypairSigner
from places import secret

ROOT = Path(__file__).parents[2]
MAKES = """
import sys
from pathlib import Path
from chain.keys import KeypairSigner
print("ready", flush=True)
sys.stdin.readline()
print(KeypairSigner.load_or_create(Path(sys.argv[1])).pubkey)
"""


def test_a_missing_key_is_made_private_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "operator.json"
    made = KeypairSigner.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeypairSigner.load_or_create(path).pubkey == made.pubkey
    assert list(path.parent.iterdir()) == [path]


async def test_the_command_line_tools_format_is_read(tmp_path: Path) -> None:
    keypair = Keypair()
    path = tmp_path / "id.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(list(bytes(keypair))))
    signer = KeypairSigner.load(path)
    assert signer.pubkey == keypair.pubkey()
    assert (await signer.sign(b"message")).verify(keypair.pubkey(), b"message")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "id.json"
    KeypairSigner.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        KeypairSigner.load(path)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can read what is another's alone, or give a file away"
)
def test_a_key_that_is_another_users_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "id.json"
    made = KeypairSigner.load_or_create(path)
    os.chown(path, 12_345, -1)
    with pytest.raises(KeyFileRefused, match=f"another user .number 12345.*run: chown 0 {path}"):
        KeypairSigner.load(path)
    os.chown(path, 0, -1)
    assert KeypairSigner.load(path).pubkey == made.pubkey


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away and become another")
def test_a_key_that_this_user_may_not_read_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "id.json"
    KeypairSigner.load_or_create(path)
    os.seteuid(12_345)
    try:
        with pytest.raises(
            KeyFileRefused, match=rf"{path} cannot be read .Permission denied.*run: chown 12345 {path}"
        ):
            KeypairSigner.load(path)
    finally:
        os.seteuid(0)


def test_a_directory_in_place_of_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileRefused, match=r"cannot be read .Is a directory"):
        KeypairSigner.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileRefused, match=r"cannot be read .Not a directory"):
        KeypairSigner.load(tmp_path / "file" / "id.json")


@pytest.mark.parametrize("text", ["", "{}", "[1,2,3]", "[999]", "null", json.dumps([7] * 64)])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "id.json"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(KeyFileRefused):
        KeypairSigner.load(path)


def test_a_secret_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys" / "sessions.secret"

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            secret(path)
    assert list(path.parent.iterdir()) == []
    made = secret(path)
    assert len(made) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret(path) == made
    path.write_text("")
    with pytest.raises(KeyFileRefused, match="is empty"):
        secret(path)


def test_what_a_killed_process_left_of_a_key_is_taken_away_at_the_next_start(tmp_path: Path) -> None:
    """Killed between link and unlink there are two names of one key; killed before, a draft that became nothing."""
    path = tmp_path / "operator.json"
    made = KeypairSigner.load_or_create(path)
    second, draft = tmp_path / ".operator.json.4711", tmp_path / ".operator.json.4712"
    others = [tmp_path / name for name in (".operator.json.4713", ".operator.json.bak", ".operator.jsn.1")]
    os.link(path, second)
    for file in (draft, *others):
        file.write_text("[")
    for file in (draft, *others[1:]):
        os.utime(file, (0, 0))
    assert KeypairSigner.load_or_create(path).pubkey == made.pubkey
    # Not what somebody may be writing now, nor what is not ours.
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    assert path.stat().st_nlink == 1


def test_a_new_keys_name_is_synced_after_it_was_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced, sync = tmp_path / "operator.json", [], os.fsync

    def told(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, path.exists()))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", told)
    KeypairSigner.load_or_create(path)
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_signer_does_not_print_its_secret(tmp_path: Path) -> None:
    keypair = Keypair()
    assert str(keypair) not in repr(KeypairSigner(keypair))
    assert str(keypair.pubkey()) in repr(KeypairSigner(keypair))


def test_processes_that_make_the_same_key_at_once_agree(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES, str(tmp_path / "key.json")],
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("now\n")
        maker.stdin.flush()
    keys = [maker.communicate(timeout=30)[0] for maker in makers]
    assert all(maker.returncode == 0 for maker in makers)
    assert len(set(keys)) == 1
    assert keys[0] == f"{KeypairSigner.load(tmp_path / 'key.json').pubkey}\n"
