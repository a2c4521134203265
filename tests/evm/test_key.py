"""Keys of EVM chains: files that only the owner reads, and nothing that prints them."""

import copy
import logging
import pickle
import re
import traceback

import pytest
from eth_account import Account
from eth_hash.auto import keccak

from chain.evm.key import EvmKey
from chain.keys import KeyFileRefused

SECRET = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def written(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [SECRET, "0x" + SECRET, SECRET.upper() + "\n"])
def test_a_key_file(tmp_path, text):
    assert EvmKey.load(written(tmp_path / "key", text)).address == ADDRESS


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        EvmKey.load(written(tmp_path / "key", SECRET, mode))


@pytest.mark.parametrize(
    "text", ["", "0x0", SECRET[:-1], SECRET + "00", "z" + SECRET[1:], "00" * 32, "ff" * 32, "é" * 64]
)
def test_what_is_no_key_is_not_shown(tmp_path, text):
    with pytest.raises(KeyFileRefused) as caught:
        EvmKey.load(written(tmp_path / "key", text))
    shown = "".join(traceback.format_exception(caught.value))
    assert "64 hexadecimal digits" in shown
    assert not text or text not in shown


def test_a_missing_file_is_made_once(tmp_path):
    with pytest.raises(KeyFileRefused, match="is not there"):
        EvmKey.load(tmp_path / "key")
    key = EvmKey.load_or_create(tmp_path / "deep" / "key")
    assert (tmp_path / "deep" / "key").stat().st_mode & 0o777 == 0o600
    assert EvmKey.load_or_create(tmp_path / "deep" / "key").address == key.address


def test_a_key_is_not_printed_copied_or_pickled(caplog):
    key = EvmKey(SECRET)
    logging.getLogger().warning("%s %r", key, [key])
    assert repr(key) == f"EvmKey({ADDRESS})"
    assert not re.search(SECRET[:16], caplog.text, re.I)
    for away in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not for sending away"):
            away(key)


def test_a_signed_transaction_is_of_the_key_and_named_by_its_hash():
    transaction = {
        "to": "0x09616C3d61b3331fc4109a9E41a8BDB7d9776609",
        "value": 0,
        "gas": 500_000,
        "maxFeePerGas": 2_000_000_000,
        "maxPriorityFeePerGas": 2_000_000_000,
        "data": "0x",
        "nonce": 2,
        "chainId": 1337,
        "type": 2,
    }
    first, again = EvmKey(SECRET).sign(transaction), EvmKey(SECRET).sign(transaction)
    assert first == again
    raw, name = first
    assert raw[0] == 2
    assert Account.recover_transaction(raw) == ADDRESS
    assert name == "0x" + keccak(raw).hex()
