"""What the local chain keeps: everything that landed, through stops and kills, and nothing that did not."""

import base64
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders import system_program
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from chain.localnet.history import DataRefused, History
from chain.localnet.process import ROOT, LocalnetFailed, LocalnetProcess

KILLS = 5
FEE = 5_000


def transfer(node: Any, payer: Keypair, to: Pubkey, lamports: int) -> tuple[str, str]:
    """Signature and encoded bytes."""
    blockhash = Hash.from_string(
        node.call("getLatestBlockhash", {"commitment": "processed"})["value"]["blockhash"]
    )
    params = system_program.TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports)
    message = Message.new_with_blockhash([system_program.transfer(params)], payer.pubkey(), blockhash)
    transaction = Transaction([payer], message, blockhash)
    return str(transaction.signatures[0]), base64.b64encode(bytes(transaction)).decode()


def balance(node: Any, key: Pubkey) -> int:
    lamports: int = node.call("getBalance", str(key), {"commitment": "processed"})["value"]
    return lamports


def test_a_stop_and_a_start_change_nothing_but_time(node: Any) -> None:
    payer, to = Keypair(), Keypair().pubkey()
    node.call("requestAirdrop", str(payer.pubkey()), 10**10)
    signature, encoded = transfer(node, payer, to, 10**9)
    node.call("sendTransaction", encoded, {"encoding": "base64"})
    late, waiting = transfer(node, payer, to, 10**9 + 1)
    genesis, slot, url = node.call("getGenesisHash"), node.call("getSlot"), node.url
    before = node.call("getTransaction", signature, {"commitment": "confirmed"}) or {}
    assert node.process.stop() == 0
    assert node.process.start() == url
    assert node.call("getGenesisHash") == genesis
    assert node.call("getSlot") > slot
    assert balance(node, to) == 10**9
    after = node.call("getTransaction", signature)
    assert after["meta"]["fee"] == FEE
    assert before in ({}, after)
    again = node.error("sendTransaction", encoded, {"encoding": "base64"})
    assert again["data"]["err"] == "AlreadyProcessed"
    # Signed before the stop, sent after it: blockhashes outlive the process.
    assert node.call("sendTransaction", waiting, {"encoding": "base64"}) == late
    assert balance(node, to) == 2 * 10**9 + 1


def test_kills_lose_nothing_that_was_acknowledged_and_invent_nothing(node: Any) -> None:
    payer = Keypair()
    node.call("requestAirdrop", str(payer.pubkey()), 10**13)
    random_source = random.Random(7)
    sent: dict[str, tuple[Pubkey, int]] = {}
    acknowledged: set[str] = set()
    for _ in range(KILLS):
        killer = threading.Timer(random_source.uniform(0.05, 0.3), node.process.kill)
        try:
            while True:
                to, lamports = Keypair().pubkey(), random_source.randrange(10**7, 10**8)
                signature, encoded = transfer(node, payer, to, lamports)
                sent[signature] = (to, lamports)
                node.call("sendTransaction", encoded, {"encoding": "base64"})
                acknowledged.add(signature)
                if killer.ident is None:  # a slow machine acknowledges something, too, before it is killed
                    killer.start()
        except httpx.HTTPError:
            killer.join()
        node.process.start()
    landed = 0
    for signature, (to, lamports) in sent.items():
        options = {"searchTransactionHistory": True}
        status = node.call("getSignatureStatuses", [signature], options)["value"][0]
        assert balance(node, to) == (lamports if status else 0)
        assert status or signature not in acknowledged
        landed += (lamports + FEE) if status else 0
    assert balance(node, payer.pubkey()) == 10**13 - landed
    assert len(acknowledged) >= KILLS


def test_programs_and_pages_survive_a_kill(node: Any, process: LocalnetProcess) -> None:
    owner = Keypair().pubkey()
    node.call("perpdexMintTestUsdc", str(owner), 5)
    process.kill()
    process.start()
    node.call("perpdexMintTestUsdc", str(owner), 6)
    time.sleep(0.1)
    found = node.call(
        "getTokenAccountsByOwner",
        str(owner),
        {"programId": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"},
        {"encoding": "base64"},
    )
    assert int.from_bytes(base64.b64decode(found["value"][0]["account"]["data"][0])[64:72], "little") == 11


def test_one_directory_has_one_chain(node: Any, process: LocalnetProcess) -> None:
    with pytest.raises(LocalnetFailed, match="another local chain is running on"):
        LocalnetProcess(process.data, log=process.data / "second.log").start()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalnetFailed, match=f"^The local chain cannot use port {port}: .*in use"):
            LocalnetProcess(tmp_path, port=port).start()
    assert (tmp_path / "localnet.log").read_text().count("\n") == 1


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.set_meta("format", "0")
    history.close()
    with pytest.raises(DataRefused, match="another version"):
        History(tmp_path)


@pytest.mark.parametrize(
    "options", [["--slot-ms", "0"], ["--finality-slots", "0"], ["--program", "/nowhere.so"]]
)
def test_bad_options_are_refused_without_a_traceback(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "chain.localnet", "--port", "0", "--data", str(tmp_path), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
