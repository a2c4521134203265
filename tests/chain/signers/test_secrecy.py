"""A private key stays out of whatever a process says about itself, also while it fails, and with variables shown."""

import asyncio
import base64
import copy
import errno
import io
import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast

import base58
import pytest
import structlog
from rich.console import Console
from rich.traceback import Traceback
from solders.hash import Hash
from solders.keypair import Keypair
from solders.system_program import TransferParams, transfer

from chain.keys import KeyFileRefused, KeypairSigner
from chain.signers.interface import signature_of
from chain.transactions import Blockhash, Budget, signed, unsigned

ROOT = Path(__file__).resolve().parents[3]
Shown = Callable[[bytes, bytes], set[str]]


class Forced(Exception):
    """Raised where nothing would."""


class Key:
    """A keypair in a file, and the search for it. Tests hold this instead of the keypair: their frames are shown too."""

    def __init__(self, path: Path, shown: Shown) -> None:
        self.path = path
        self._shown = shown

    def __repr__(self) -> str:
        return "Key"

    def write(self) -> None:
        self.path.touch(mode=0o600)
        self.path.write_text(Keypair().to_json())
        self.remember()

    def remember(self) -> None:
        """The key that is in the file now."""
        self.raw = bytes(json.loads(self.path.read_text()))

    def shown(self, data: bytes) -> set[str]:
        return self._shown(self.raw, data)


@pytest.fixture
def key(tmp_path: Path, shown: Shown) -> Key:
    key = Key(tmp_path / "operator.json", shown)
    key.write()
    return key


def told(error: BaseException) -> bytes:
    """Everything that tools print of an error, with the variables of every frame."""
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    output = io.StringIO()
    kind, trace = type(error), error.__traceback__
    rich = Traceback.from_exception(kind, error, trace, show_locals=True, locals_max_string=None)
    Console(file=output, width=200).print(rich)
    return f"{text}{output.getvalue()}{error!r}{vars(error)}".encode()


def failing_everywhere(run: Callable[[], Any]) -> Iterator[BaseException]:
    """Run it again and again, with an error forced at the first line of `chain/` that it reaches, at the second, and so on."""
    place = 0
    while True:
        place += 1
        left = place

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(str(ROOT / "chain")):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    raise Forced
            return trace

        sys.settrace(trace)
        try:
            run()
        except Forced as error:
            yield error
        else:
            return
        finally:
            sys.settrace(None)


def test_the_search_finds_what_it_should(key: Key) -> None:
    """A frame with the keypair in a variable, and every form of it."""

    def careless() -> None:
        held = Keypair.from_bytes(key.raw), key.raw
        raise Forced(len(held))

    with pytest.raises(Forced) as failed:
        careless()
    assert {"list of numbers", "repr of bytes"} <= key.shown(told(failed.value))
    for form, text in {
        "raw": b"..." + key.raw[:32],
        "hex": b"0x" + key.raw[:20].hex().encode(),
        "HEX": key.raw[10:30].hex().upper().encode(),
        "base64": base64.b64encode(b"." + key.raw),
        "urlsafe base64": base64.urlsafe_b64encode(b".." + key.raw),
        "list of numbers": json.dumps(list(key.raw), indent=2).encode(),
        "base58 of 64 bytes": base58.b58encode(key.raw),
        "base58 of 32 bytes": base58.b58encode(key.raw[:32]),
        "repr of bytes": json.dumps(repr(key.raw)).encode(),
    }.items():
        assert form in key.shown(text)
    assert "list of numbers" in key.shown(key.path.read_bytes())
    assert key.shown(bytes(Keypair()) + key.raw[32:]) == set()


def test_an_error_at_any_line_of_loading_does_not_show_the_key(key: Key) -> None:
    lines = 0
    for error in failing_everywhere(lambda: KeypairSigner.load(key.path)):
        assert key.shown(told(error)) == set()
        lines += 1
    assert lines > 5


def test_an_error_at_any_line_of_making_a_key_does_not_show_it(key: Key) -> None:
    def make() -> None:
        key.path.unlink(missing_ok=True)
        KeypairSigner.load_or_create(key.path)

    lines = made = 0
    for error in failing_everywhere(make):
        lines += 1
        if key.path.exists():
            made += 1
            key.remember()
            assert key.shown(told(error)) == set()
    assert lines > made > 5


def test_an_error_at_any_line_of_signing_does_not_show_the_key(key: Key) -> None:
    signer = KeypairSigner.load(key.path)
    move = transfer(TransferParams(from_pubkey=signer.pubkey, to_pubkey=signer.pubkey, lamports=1))

    def sign() -> None:
        message = unsigned(signer.pubkey, move, Budget(1_000), Blockhash(Hash.default(), 1))
        asyncio.run(signed(message, [signer]))

    lines = 0
    for error in failing_everywhere(sign):
        assert key.shown(told(error)) == set()
        lines += 1
    assert lines > 20


def test_a_disk_that_fails_while_a_key_is_made_does_not_show_it(
    key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half-written draft is read at the moment of the failure, to know the key that must not be shown."""

    def full(descriptor: int) -> None:
        key.raw = bytes(json.loads(os.pread(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY), 1_000, 0)))
        raise OSError(errno.ENOSPC, "no space left on device")

    key.path.unlink()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space") as failed:
        KeypairSigner.load_or_create(key.path)
    assert key.shown(told(failed.value)) == set()
    assert list(key.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text.rsplit(",", 1)[0] + "]",
        lambda text: text.replace("]", ",1]"),
        lambda text: text.replace("[", "[300,"),
        lambda text: "key: " + text,
        lambda text: base58.b58encode(bytes(json.loads(text))).decode(),
        lambda text: bytes(json.loads(text)).hex(),
        lambda text: json.dumps(base64.b64encode(bytes(json.loads(text))).decode()),
        lambda text: json.dumps({"secret": json.loads(text)}),
    ],
    ids=[
        "cut",
        "a number short",
        "a number more",
        "no byte",
        "a word",
        "base58",
        "hex",
        "base64",
        "an object",
    ],
)
def test_a_spoilt_key_file_is_refused_without_quoting_it(key: Key, spoil: Callable[[str], str]) -> None:
    key.path.write_text(spoil(key.path.read_text()))
    with pytest.raises(KeyFileRefused, match="does not hold a key") as refused:
        KeypairSigner.load(key.path)
    assert key.shown(told(refused.value)) == set()


async def test_a_message_that_is_none_does_not_show_the_key(key: Key) -> None:
    signer, message = KeypairSigner.load(key.path), cast(bytes, None)
    with pytest.raises(TypeError) as refused:
        await signature_of(signer, message)
    assert key.shown(told(refused.value)) == set()


def test_a_signer_prints_its_public_key_and_cannot_be_sent_away(key: Key) -> None:
    signer = KeypairSigner.load(key.path)
    parts = [getattr(signer, name) for name in KeypairSigner.__slots__]
    logged = structlog.dev.ConsoleRenderer()(None, "", {"event": signer, "signer": signer})
    text = f"{signer} {signer!r} {[signer]} {parts} {dir(signer)} {logged}"
    assert str(signer.pubkey) in text
    assert key.shown(text.encode()) == set()
    assert not hasattr(signer, "__dict__")
    for send in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as refused:
            send(signer)
        assert key.shown(told(refused.value)) == set()


def test_a_process_that_holds_the_key_leaves_no_core_dump(tmp_path: Path) -> None:
    """What the kernel was told, asked of it in the process that opened the key."""
    script = """
import asyncio, ctypes, resource, sys
from settings import Settings
from wiring import operator_signer

async def main():
    async with operator_signer(Settings()):
        print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
asyncio.run(main())
"""
    if sys.platform != "linux":
        pytest.skip("what is asked here is Linux's")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PERPDEX_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "0", "0", "0"]
