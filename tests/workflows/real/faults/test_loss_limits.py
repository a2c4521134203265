"""An owner that bounds its losses on chain: the exchange lets it risk no more, and every page could take what it had to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from solders.keypair import Keypair

from chain.events import PageSettled, parse_events
from chain.limits import DEFAULT_LIMITS, Limits
from chain.rpc import FINALIZED
from perpdex_sdk import Agent, Refused
from perpdex_sdk import messages as m

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.long]
USDC = 1_000_000
LIMIT = 150
SIZE = "0.1"
"""Its initial margin is about 120 USDC, and there and back costs some ten."""


@pytest.fixture(scope="module")
def network_limits() -> Limits:
    return replace(DEFAULT_LIMITS, loss_window=30 * 86_400, limit_delay=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loser(network: Any, until: Any) -> AsyncIterator[Agent]:
    """An agent with 10,000 USDC, of which it is ready to lose 150: the engine has seen it."""
    owner = Keypair()
    await network.give(owner.pubkey(), 10_000 * USDC)
    agent = await Agent.connect(network.api_url, owner, "loser", loss_limit=LIMIT)
    credited = asyncio.Event()
    agent.on(m.Deposit, lambda _: credited.set())
    await agent.deposit(10_000)
    await credited.wait()
    await until(lambda: seen(network, agent))
    # What a batch takes before that counts against no limit.
    await until(lambda: in_force(network, agent))
    yield agent
    await agent.close()


async def seen(network: Any, agent: Agent) -> bool:
    return any(one.account == agent.account for one in (await network.door.books()).loss_limits)


async def in_force(network: Any, agent: Agent) -> bool:
    slot = await on_chain(network, agent)
    return bool(slot.next_limit is None or await network.escrow.view.clock() >= slot.next_limit_at)


async def on_chain(network: Any, agent: Agent) -> Any:
    return (await network.escrow.view.slot_of(agent.account, FINALIZED)).slot


async def price_of(agent: Agent, side: str) -> Decimal:
    """A limit that takes any quote in band."""
    [market] = [one for one in await agent.rest.markets() if one.symbol == "BTC-PERP"]
    away = Decimal("1.01") if side == "buy" else Decimal("0.99")
    return (Decimal(market.index or 0) * away).quantize(Decimal(1))


async def trade(agent: Agent, side: str, size: str) -> str:
    """How a request ended, or why it was refused."""
    try:
        return (await agent.request("BTC-PERP", side, size, await price_of(agent, side))).outcome
    except Refused as refused:
        return refused.code


async def test_a_trade_that_needs_more_than_the_limit_is_refused(network: Any, loser: Agent) -> None:
    account = await loser.snapshot()
    assert account.loss_limit is not None
    assert (account.equity, account.collateral) == ("10000.000000", "150.000000")
    assert (account.loss_limit.limit, account.loss_limit.left) == ("150.000000", "150.000000")
    previewed = await loser.preview("BTC-PERP", "buy", "1", await price_of(loser, "buy"))
    assert (previewed.allowed, previewed.code) == (False, "loss_limit_reached")
    assert (previewed.before.equity, previewed.before.collateral) == ("10000.000000", "150.000000")
    assert await trade(loser, "buy", "1") == "loss_limit_reached"
    assert (await loser.snapshot()).positions == []
    # What backs nothing may still leave.
    assert account.withdrawable == "10000.000000"


async def test_who_loses_up_to_its_limit_leaves_no_page_short(network: Any, loser: Agent, until: Any) -> None:
    ended: list[str] = []

    async def lost_enough() -> bool:
        """There and back again, at a loss, while batches settle."""
        for agents in network.agents:
            agents.revive()
        held = loser.position("BTC-PERP")
        ended.append(await trade(loser, "sell" if held else "buy", str(abs(held)) if held else SIZE))
        return ended[-1] == "loss_limit_reached"

    await until(lost_enough)
    assert ended.count("filled") > 2
    await network.quiet()
    slot, state = await on_chain(network, loser), await network.door.state()
    assert slot.balance < (10_000 - 10) * USDC
    # The chain counts what was taken, and the engine what that leaves.
    assert slot.loss_used == 10_000 * USDC - slot.balance
    [known] = [one for one in (await network.door.books()).loss_limits if one.account == loser.account]
    assert (known.limit, known.left) == (LIMIT * USDC, LIMIT * USDC - slot.loss_used)
    assert state.conserved
    snapshot = await network.escrow.view.snapshot(FINALIZED)
    assert not any(one.unapplied for page in snapshot.pages for one in page.slots)
    assert all(page.shortfall == 0 for page in await pages_settled(network))
    await network.loud()


async def pages_settled(network: Any) -> list[PageSettled]:
    """Of every batch that the escrow ever had."""
    at, before, found = network.escrow.addresses.escrow, None, []
    while page := (await network.rpc.get_signatures_for_address(at, before)).value:
        for one in page:
            receipt = await network.escrow.view.receipt(str(one.signature))
            found += parse_events(receipt.logs, network.escrow.addresses)
        before = page[-1].signature
    return [event for event in found if isinstance(event, PageSettled)]


async def test_an_owner_that_lifts_its_limit_trades_with_all_it_has(
    network: Any, loser: Agent, until: Any
) -> None:
    await loser.set_loss_limit(None)

    async def forgotten() -> bool:
        return not await seen(network, loser)

    await until(forgotten)
    assert (await network.door.state()).loss_limits == 0
    assert (await loser.snapshot()).loss_limit is None
    assert (await loser.preview("BTC-PERP", "buy", "1", await price_of(loser, "buy"))).allowed
