"""The README's tour, as its reader runs it, on the whole network."""

import asyncio
import os
import re
import sys
import sysconfig
import time
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from activities.schedules import SETTLEMENT_ID
from chain.keys import KeypairSigner
from cli.demo_vault import VaultOpening, strategy_options, with_vault
from cli.stack import Stack
from cli.tally import Tally
from cli.vault_check import checked
from perpdex_sdk import Agent, Refused
from perpdex_sdk.agents.population import fund
from perpdex_sdk.keys import key_at
from perpdex_sdk.rpc import Rpc
from places import rpc_url
from settings import Settings
from wiring import engine_door, escrow_client, temporal_client
from workflows.nav import NAV_SCHEDULE
from workflows.settlement import SettlementWorkflow
from workflows.settling import settle_now

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return with_vault(settings)


async def test_an_agents_first_trade(stack: Stack, tmp_path: Path) -> None:
    url, key, ready, loop = (
        stack.settings.api_url,
        tmp_path / "key.json",
        asyncio.Event(),
        asyncio.get_running_loop(),
    )
    await asyncio.to_thread(stack.start_agents, "makers", 2, lambda _: loop.call_soon_threadsafe(ready.set))
    async with asyncio.timeout(60):
        await ready.wait()
    # Its money comes as the agent's does, and meanwhile.
    opening = VaultOpening(stack.settings, print)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "sdk" / "examples" / "first_trade.py"), "--url", url, "--key", str(key)),
        *("--rpc", rpc_url(stack.settings)),
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
    said = output.decode()
    assert process.returncode == 0, said
    assert re.search(r"^2\. balance 1000\.?0* USDC$", said, re.M)
    assert re.search(r"^3\. filled: 0\.0100 BTC-PERP at \d+\.\d+", said, re.M)
    assert re.search(r"^4\. fill \d+ is final in batch \d+$", said, re.M)
    assert re.search(r"^5\. proven on chain: the escrow holds root [0-9a-f]{64}", said, re.M)
    assert re.search(r"^6\. withdrawal of 25\.0* USDC: paid, transaction \w{80,90}$", said, re.M)
    await the_money_is_where_it_should_be(stack, url, key, said)
    await a_ticket_to_the_vault(stack, opening)
    ended = await asyncio.to_thread(stack.stop_agents)
    assert ended == {"strategy": 0, "makers": 0}


async def test_large_deposits_and_the_operators_own_are_credited_too(stack: Stack, tmp_path: Path) -> None:
    """A whale's 150 million, and 500 for the insurance fund: settlement goes on."""
    whale = await Agent.connect(stack.settings.api_url, key_at(tmp_path / "whale.json"), "whale")
    escrow, door = await escrow_client(stack.settings), engine_door(stack.settings)
    rpc = Rpc(rpc_url(stack.settings))
    try:
        await fund(whale, Decimal(150_000_000))
        assert whale.balance == 150_000_000
        fund_key = KeypairSigner.load_or_create(stack.settings.perpdex_data / "keys" / "insurance.json")
        await rpc.call("requestAirdrop", str(fund_key.pubkey), 10**9)
        await rpc.call("perpdexMintTestUsdc", str(fund_key.pubkey), 500_000_000)
        wallet = escrow.wallet_of(fund_key.pubkey)
        async with asyncio.timeout(30):
            while await escrow.view.tokens([wallet]) != [500_000_000]:
                await asyncio.sleep(0.2)
        pay = [sys.executable, "-m", "cli.main", "escrow", "own", "deposit", "--slot", "insurance"]
        assert "500.000000 USDC are in" in await told([*pay, "--amount", "500"], stack)
        client = await temporal_client(stack.settings)
        handle = client.get_workflow_handle_for(SettlementWorkflow.run, SETTLEMENT_ID)
        async with asyncio.timeout(60):
            while (await door.state()).deposits < (await escrow.view.snapshot("confirmed")).state.deposits:
                await asyncio.sleep(0.2)
            await settle_now(handle)
        assert not (await handle.query(SettlementWorkflow.state)).halted
    finally:
        await rpc.close()
        await door.close()
        await escrow.client.close()
        await whale.close()


async def a_ticket_to_the_vault(stack: Stack, opening: VaultOpening) -> None:
    """The commands of the README, and what the vault is worth after them."""
    began, tally = time.time_ns(), Tally()
    async with asyncio.timeout(60):
        while not opening.done():
            await asyncio.sleep(0.1)
        # One round: what it does after that is nobody's here.
        hear = partial(tally.hear, "strategy")
        await asyncio.to_thread(stack.start_strategy, strategy_options(3_600), hear)
        one_each = {"agents": {"filled": 1}, "mock_gold": {"filled": 1}}
        while tally.vault is None or tally.vault.orders != one_each:
            await asyncio.sleep(0.1)
    size = Decimal(tally.vault.positions["mock_gold"]["XAU"]) + Decimal("0.5")
    order, positions, snapshot, nav = commands_of_the_vault(stack)
    assert re.search(r"mock_gold.*XAU.*buy.*0\.5.*filled", await told(order, stack))
    leg = rf"mock_gold.*XAU.* {size.normalize():f} "
    await shows(leg, positions, stack)
    await told(snapshot, stack)
    await shows(leg + ".*demo", nav, stack)
    report = await checked(stack.settings, began)
    assert [sentence for held, sentence in report.checks() if not held] == []
    assert report.tickets == {"agents": {"filled": 1}, "mock_gold": {"filled": 2}}
    assert report.demo_prices == ("mock_gold::XAU",)
    assert report.nav == report.nav_recomputed
    schedule = (await temporal_client(stack.settings)).get_schedule_handle(NAV_SCHEDULE)
    [interval] = (await schedule.describe()).schedule.spec.intervals
    assert interval.every == timedelta(minutes=1)


def commands_of_the_vault(stack: Stack) -> list[list[str]]:
    """Of the README, with this machine's programs and this network's directory."""
    section = (ROOT / "README.md").read_text().partition("### And a vault\n")[2].partition("\n#")[0]
    found = [line.split() for line in re.findall(r"^    (\.venv/bin/.*)$", section, re.M)]
    programs = {
        ".venv/bin/perpdex": [sys.executable, "-m", "cli.main"],
        ".venv/bin/temporal": [os.path.join(sysconfig.get_path("scripts"), "temporal")],
    }
    data = str(stack.settings.perpdex_data)
    return [
        [*programs[program], *(word.replace(".perpdex", data, 1) for word in words)]
        for program, *words in found
    ]


async def shows(pattern: str, command: list[str], stack: Stack) -> None:
    """A command that looks says so in the end: what is written follows what the venue answered."""
    async with asyncio.timeout(30):
        while not re.search(pattern, await told(command, stack)):
            await asyncio.sleep(0.1)


async def told(command: list[str], stack: Stack) -> str:
    """What a command says that succeeds."""
    settings = stack.settings
    where = {
        "PERPDEX_DATA": str(settings.perpdex_data),
        "API_URL": settings.api_url,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{settings.temporal_port}",
        "RPC_PORT": str(settings.rpc_port),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "sdk"))),
        "COLUMNS": "200",
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **where},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def the_money_is_where_it_should_be(stack: Stack, url: str, key: Path, said: str) -> None:
    """25 USDC in the owner's wallet, the rest in the account; nobody else gets the proof of its fill."""
    fill = int(re.findall(r"fill (\d+) is final", said)[0])
    escrow, agent = await escrow_client(stack.settings), await Agent.connect(url, key_at(key), "first-trade")
    stranger = await Agent.connect(url, key_at(key.with_name("stranger.json")), "stranger")
    try:
        wallet = escrow.wallet_of(agent.keypair.pubkey())
        held = (await escrow.client.get_token_account_balance(wallet, "confirmed")).value.amount
        assert held == "25000000"
        fee = Decimal(re.findall(r"fee ([\d.]+) USDC", said)[0])
        assert agent.balance == Decimal(1_000) - fee - 25
        with pytest.raises(Refused, match="fill_unknown"):
            await stranger.prove_fill(fill, rpc_url(stack.settings))
    finally:
        await stranger.close()
        await agent.close()
        await escrow.client.close()
