"""Owners that leave alone while everybody trades, what batches then cannot do, and at last all of them with the operator gone."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from solders.keypair import Keypair
from solders.signature import Signature

import perpdex_sdk
from activities.schedules import EXITS_ID
from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from core.accounts import FIRST_AGENT
from matcher.commands import RegisterAgent
from owner_transactions import OwnerTransactions
from perpdex_sdk.agent import Agent
from perpdex_sdk.keys import key_at

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
USDC = 1_000_000


@pytest.fixture(scope="module")
def network_limits() -> Limits:
    return replace(DEFAULT_LIMITS, exit_delay=20, limit_delay=2, loss_window=60, timelock=40)


def trader(network: Any, name: str) -> KeypairSigner:
    return KeypairSigner(key_at(network.directory / "agents" / f"{name}.json"))


async def slot_of(network: Any, owner: KeypairSigner) -> Any:
    """The place of an owner's slot, finally."""
    snapshot = await network.escrow.view.snapshot(FINALIZED)
    return next(
        (page.index, slot) for page in snapshot.pages for slot in page.slots if slot.owner == owner.pubkey
    )


async def ask(network: Any, owner: KeypairSigner) -> tuple[int, Any]:
    page, slot = await slot_of(network, owner)
    await network.land(OwnerTransactions(network.escrow).build_request_withdrawal(owner, page, slot.index))
    return page, slot


async def claim(network: Any, owner: KeypairSigner, page: int, slot: Any, until: Any) -> None:
    """As soon as the chain lets it."""

    async def claimed() -> bool:
        build = OwnerTransactions(network.escrow).build_claim_withdrawal(owner, page, slot.index)
        fate = await send_until(network.rpc, await build, FINALIZED, poll_s=0.02)
        return isinstance(fate, Landed)

    await until(claimed)


async def reserved(network: Any, account: int) -> bool:
    return any(one.account == account for one in (await network.door.books()).exits)


async def all_booked(network: Any, until: Any) -> None:
    """What owners claimed is in the engine, and chain, engine and ledger say the same of everybody."""

    async def booked() -> bool:
        state = await network.escrow.view.escrow_state(FINALIZED)
        return (await network.door.state()).claimed == state.exits

    await until(booked)
    await network.quiet()
    state, found = await network.door.state(), await network.state()
    assert found.reconciliation.balanced, found.reconciliation
    assert (state.conserved, state.positions_zero_sum, state.settlement_held) == (True, True, "")
    chain = await network.escrow.view.escrow_state(FINALIZED)
    assert state.vault_expected == chain.held
    await network.loud()


async def test_a_saver_leaves_while_the_worker_dies_and_is_booked_once(network, until):
    owner = KeypairSigner(Keypair())
    registered = await network.door.command(RegisterAgent(str(owner.pubkey), "saver"))
    account = registered.event("AgentRegistered")["account"]
    await network.give(owner.pubkey, 100 * USDC)

    async def placed() -> bool:
        return await network.escrow.view.slot_of(account) is not None

    await until(placed)
    place = await network.escrow.view.slot_of(account)
    await network.land(network.escrow.build_deposit(owner, place.page, place.slot.index, 100 * USDC))
    page, slot = await ask(network, owner)
    await until(lambda: reserved(network, account))
    # Taken back, it is let go of; asked for again, it is kept again, by a worker that knows nothing of the first time.
    await network.land(
        OwnerTransactions(network.escrow).build_cancel_withdrawal_request(owner, page, slot.index)
    )

    async def released() -> bool:
        return not await reserved(network, account)

    await until(released)
    network.worker.kill()
    await ask(network, owner)
    network.worker.start()
    await until(lambda: reserved(network, account))
    network.worker.kill()
    await claim(network, owner, page, slot, until)
    network.worker.start()
    await all_booked(network, until)
    [mine] = [one for one in (await network.door.books()).accounts if one.account == account]
    assert (mine.balance, mine.settled) == (0, 0)
    assert not await reserved(network, account)


async def test_a_trader_leaves_whole_and_nothing_stops(network, until):
    owner = trader(network, "trader-1")
    page, slot = await ask(network, owner)
    await until(lambda: reserved(network, slot.account))
    await claim(network, owner, page, slot, until)
    await all_booked(network, until)
    await network.settled()


async def test_what_a_loss_limit_holds_back_is_known_to_all_books(network, until):
    # The engine is not told of the limits, or nobody would lose more than they leave.
    await network.end_for_good(EXITS_ID)
    owners = [trader(network, name) for name in ("trader-2", "trader-3", "maker-1", "maker-2")]
    for owner in owners:
        page, slot = await slot_of(network, owner)
        await network.land(OwnerTransactions(network.escrow).build_set_loss_limit(owner, page, slot.index, 0))

    async def short() -> bool:
        for agents in network.agents:
            agents.revive()
        books = await network.door.books()
        return any(one.unapplied for one in books.accounts)

    await until(short)
    await all_booked(network, until)
    snapshot = await network.escrow.view.snapshot(FINALIZED)
    on_chain = {slot.account: slot.unapplied for page in snapshot.pages for slot in page.slots}
    books = await network.door.books()
    assert {one.account: one.unapplied for one in books.accounts if one.unapplied} == {
        account: sum for account, sum in on_chain.items() if sum
    }


async def perpdex(network: Any, *arguments: str) -> tuple[int | None, str]:
    """The command as a person runs it: exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=network.worker._environment | network.settings,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode, out.decode()


async def test_a_batch_that_is_not_ours_is_given_up_only_while_settlement_is_held(network):
    await network.quiet()
    state = await network.escrow.view.escrow_state(FINALIZED)
    number = state.sealed_batch + 1
    await network.land(network.escrow.build_open_batch(network.operator, number, bytes(32), 1))
    code, said = await perpdex(network, "settlement", "abort")
    assert (code, "hold it first" in said) == (1, True), said
    assert (await perpdex(network, "settlement", "hold", "--why", "a batch of nobody"))[0] == 0
    code, said = await perpdex(network, "settlement", "abort")
    assert (code, f"batch {number} is given up" in said) == (0, True), said
    assert (await network.escrow.view.escrow_state(FINALIZED)).open_batch == 0
    code, said = await perpdex(network, "settlement", "abort")
    assert (code, "no batch is open" in said) == (1, True), said
    code, said = await perpdex(network, "settlement", "resume", "--why", "it is gone")
    assert code == 0, said
    await network.loud()
    await network.settled()


async def test_what_a_thief_burnt_and_stole_is_taken_over_and_brought_back_by_the_next_batch(network):
    """Half of one slot is given to nobody, a quarter of it to another account; the batch lacks a page, which `carry` settles."""
    await network.quiet()
    page, slot = await slot_of(network, trader(network, "trader-4"))
    number, taken = (await network.escrow.view.escrow_state(FINALIZED)).sealed_batch + 1, slot.balance // 2
    loot, others = taken // 2, (await network.escrow.view.page(page)).slots
    thief = next(one for one in others if one.account >= FIRST_AGENT and one.owner != slot.owner)
    operator, build = network.operator, network.escrow
    code, said = await perpdex(network, "settlement", "carry")
    assert (code, "hold it first" in said) == (1, True), said
    code, said = await perpdex(network, "settlement", "hold", "--why", "it does not sum to zero")
    assert code == 0, said
    deltas = sorted([(slot.index, -taken), (thief.index, loot)])
    await network.land(build.build_open_batch(operator, number, bytes(32), 1))
    await network.land(build.build_settle_page(operator, number, page, deltas))
    code, said = await perpdex(network, "settlement", "accept", "--why", "too early")
    assert (code, f"batch {number} is open on chain" in said) == (1, True), said
    nowhere = f"{slot.account}:1:{Signature.new_unique()}"
    code, said = await perpdex(network, "settlement", "accept", "--why", "a slip", "--withdrawn", nowhere)
    assert (code, "nothing was taken over: withdrawal_not_final" in said) == (1, True), said
    code, said = await perpdex(network, "settlement", "carry")
    assert (code, f"{taken - loot} micro-USDC are left for the next" in said) == (0, True), said
    await network.land(build.build_open_batch(operator, number + 1, bytes(32), 1))
    code, said = await perpdex(network, "settlement", "carry")
    assert (code, f"batch {number + 1} is sealed" in said) == (0, True), said
    code, said = await perpdex(network, "settlement", "carry")
    assert (code, "no batch is open" in said) == (1, True), said
    code, said = await perpdex(network, "settlement", "resume", "--why", "not yet taken over")
    assert code == 1, said
    code, said = await perpdex(
        network, "settlement", "accept", "--why", "the key was stolen and is another's now"
    )
    assert (code, "the insurance fund bears 0" in said) == (0, True), said
    code, said = await perpdex(network, "settlement", "resume", "--why", "the books say what the chain holds")
    assert code == 0, said
    await network.loud()
    await network.settled()
    assert (await network.escrow.view.escrow_state(FINALIZED)).clearing == 0
    code, said = await perpdex(network, "reconcile")
    assert code == 0, said


async def test_a_worker_on_another_cluster_does_not_start(network):
    log = network.directory / "astray.log"
    astray = network.process("astray", [sys.executable, "worker.py"], SOLANA_CLUSTER="mainnet")
    astray.start()
    assert await asyncio.to_thread(astray._child.wait, 60) == 1
    (said,) = log.read_text().strip().splitlines()
    assert "the node belongs to a chain of its own" in said
    assert "SOLANA_CLUSTER is mainnet: correct SOLANA_RPC_URL" in said


async def kept(network: Any, key: Path) -> Path:
    """The exit kit of the agent with this key file, as it keeps it by itself while it is connected."""
    agent = await Agent.connect(network.api_url, key, key.stem)
    try:
        assert agent.exit_kit is not None
        while not agent.exit_kit.exists():
            await asyncio.sleep(0.05)
        return agent.exit_kit
    finally:
        await agent.close()


async def left(network: Any, key: Path, kit: Path) -> int:
    """Micro-USDC that came to the owner's wallet when it ran what the documents tell it to, with key, kit and node alone."""
    wallet = network.escrow.wallet_of(key_at(key).pubkey())

    async def tokens() -> int:
        return int((await network.rpc.get_token_account_balance(wallet, "confirmed")).value.amount)

    before = await tokens()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perpdex_sdk.leave", "--kit", str(kit)),
        *("--keypair", str(key), "--rpc", network.chain.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env={"PYTHONPATH": str(Path(perpdex_sdk.__file__).parents[1])},
    )
    # Who owes what its loss limit holds back is refused at first, and looks again a minute later.
    out, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, out.decode()
    return await tokens() - before


@pytest.fixture
def doomed(postgres):
    """The server of the whole run's databases, which may be killed: others need it afterwards."""
    yield postgres
    postgres.stop()
    postgres.start()


async def test_the_operator_is_gone_and_every_settled_balance_is_paid(network, doomed):
    await network.quiet()
    for agents in network.agents:
        agents.kill()
    keys = sorted((network.directory / "agents").glob("*.json"))
    kits = {key: await kept(network, key) for key in keys}
    escrow = await network.escrow.view.escrow_state(FINALIZED)
    for process in (network.worker, network.projector, network.api, network.temporal):
        process.kill()
    os.kill(doomed.pid, signal.SIGKILL)
    snapshot = await network.escrow.view.snapshot(FINALIZED)
    balances = {
        str(slot.owner): slot.balance
        for page in snapshot.pages
        for slot in page.slots
        if slot.account >= FIRST_AGENT and slot.balance
    }
    leaving = [key for key in keys if str(key_at(key).pubkey()) in balances]
    assert len(leaving) >= 4
    paid = await asyncio.gather(*(left(network, key, kits[key]) for key in leaving))
    assert paid == [balances[str(key_at(key).pubkey())] for key in leaving]
    own = sum(slot.balance for page in snapshot.pages for slot in page.slots if slot.account < FIRST_AGENT)
    after = await network.escrow.view.snapshot(FINALIZED)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(doomed.url).close()
    assert after.vault == own + after.state.clearing
    assert after.state.exits == escrow.exits + sum(paid)
