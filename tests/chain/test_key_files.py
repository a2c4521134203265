"""Key files: made once, private, and never replaced."""

import json
import multiprocessing
import stat
from pathlib import Path

import pytest
from solders.keypair import Keypair

from chain.keys import KeyFileRefused, KeypairSigner
from places import secret


def _make(path: Path) -> str:
    return str(KeypairSigner.load_or_create(path).pubkey)


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


def test_a_signer_does_not_print_its_secret(tmp_path: Path) -> None:
    keypair = Keypair()
    assert str(keypair) not in repr(KeypairSigner(keypair))
    assert str(keypair.pubkey()) in repr(KeypairSigner(keypair))


def test_processes_that_make_the_same_key_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_make, [tmp_path / "key.json"] * 8)
    assert len(set(keys)) == 1
