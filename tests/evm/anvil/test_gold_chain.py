"""`perpdex venues simulate gold-chain`: one command, and the worker's executor can carry out orders for the vaults that were named."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from chain.evm.batch import ANY_PRICE_TO_BUY, Batch, GoldOrder, Leg
from chain.evm.gold_market import GoldMarket
from chain.evm.key import EvmKey
from chain.evm.node import Node
from chain.evm.router import RouterClient
from chain.evm.sending import Sender
from chain.rpc import ChainUnavailable
from cli.ports import free_ports
from core.quantities import Nanos
from oracles.generator import price_at

pytestmark = pytest.mark.anvil
ROOT = Path(__file__).resolve().parents[3]
OZ, USD = 10**8, 10**6


@pytest.fixture
def started(anvil_program, tmp_path):
    """The process, and the settings that it named."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "cli.main", "venues", "simulate", "gold-chain", "--port", str(port)]
    command += ["--vault", "rich:5000.5", "--vault", "poor:10", "--anvil", str(anvil_program)]
    environment = {**os.environ, "PERPDEX_DATA": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process, dict(process.stdout.readline().strip().split("=") for _ in range(4))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_one_command_is_all_that_gold_on_chain_needs(started, tmp_path):
    process, said = started
    assert (said["EVM_CHAIN_ID"], said["EXEC_ALLOWED_VENUES"]) == ("31337", "agents,mock_gold,mock_gold_evm")
    folder = tmp_path / "keys" / "venues" / "mock_gold_evm"
    vaults = [(folder / f"{name}.account").read_text().strip() for name in ("rich", "poor")]
    async with httpx.AsyncClient() as http:
        node = Node(http, said["EVM_RPC_URL"])
        quote = await GoldMarket(node, said["EVM_ROUTER"]).quote()
        assert quote.usable
        made_up = {price_at(1, "XAU", Nanos((quote.at - back) * 10**9)) // 10**6 for back in range(15)}
        assert quote.price // 10**8 in made_up
        key = EvmKey.load(tmp_path / "keys" / "evm-executor.key")
        router = RouterClient(Sender(node, key, 31_337, 10**12), said["EVM_ROUTER"])
        order = GoldOrder((1).to_bytes(32), OZ, ANY_PRICE_TO_BUY, 0)
        legs = [Leg("mock_gold", vault, 4_900 * USD, order.encoded()) for vault in vaults]
        rich, poor = await router.rehearse(Batch((1).to_bytes(32), 2**40, False, legs))
        assert rich == (True, None)
        assert poor[0] is False
        before = (await node.block()).number
        time.sleep(2.2)
        assert (await node.block()).number > before
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        with pytest.raises(ChainUnavailable):
            await node.chain_id()
