"""Reading what came in when somebody names the vault over and over: side by side, in order, and as far as the node answers."""

import asyncio
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient

from chain.escrow_view import READ_AT_ONCE
from chain.rpc import FINALIZED, ChainUnavailable

AMOUNTS = (10, 20, 30)


@pytest.fixture
async def paid(world: Any) -> list[str]:
    """Signatures of one deposit of each of `AMOUNTS`, final."""
    agent = await world.agent(16, 10_000)
    landed = [
        await world.land(world.escrow.build_deposit(agent, 0, 2, amount), FINALIZED) for amount in AMOUNTS
    ]
    return [one.signature for one in landed]


async def test_transactions_are_asked_for_side_by_side_and_told_in_order(
    world: Any, client: AsyncClient, paid: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, last_asked, asking, most = client.get_transaction, asyncio.Event(), 0, 0

    async def get_transaction(signature: Any, *rest: Any, **options: Any) -> Any:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        if str(signature) == paid[-1]:
            last_asked.set()
        # Nobody is answered before the last one is asked for.
        await last_asked.wait()
        asking -= 1
        return await real(signature, *rest, **options)

    monkeypatch.setattr(client, "get_transaction", get_transaction)
    async with asyncio.timeout(20):
        scan = await world.escrow.view.deposits_since(None)
    assert [found.deposit.amount for found in scan.deposits] == list(AMOUNTS)
    assert [found.signature for found in scan.deposits] == paid
    assert len(AMOUNTS) <= most <= READ_AT_ONCE


async def test_what_came_before_a_transaction_that_the_node_does_not_give_is_told(
    world: Any, client: AsyncClient, paid: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, missing = client.get_transaction, paid[1]

    async def get_transaction(signature: Any, *rest: Any, **options: Any) -> Any:
        answer = await real(signature, *rest, **options)
        return type(answer)(None) if str(signature) == missing else answer

    monkeypatch.setattr(client, "get_transaction", get_transaction)
    scan = await world.escrow.view.deposits_since(None)
    assert [found.deposit.amount for found in scan.deposits] == [10]
    assert (scan.cursor, scan.complete) == (paid[0], False)
    with pytest.raises(ChainUnavailable, match=missing):
        await world.escrow.view.deposits_since(scan.cursor)
    missing = ""
    rest = await world.escrow.view.deposits_since(scan.cursor)
    assert [found.deposit.amount for found in rest.deposits] == [20, 30]
    assert rest.complete
