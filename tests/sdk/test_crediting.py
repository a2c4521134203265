"""What becomes of a finalized deposit that the exchange cannot be told of, or refuses: real chain, real exchange, real door."""

import asyncio
from typing import Any, NamedTuple

import pytest
from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import EngineDoor
from chain.escrow import EscrowClient
from chain.keys import KeypairSigner
from chain.rpc import FINALIZED
from chain.send import Landed, send_until
from perpdex_sdk.rpc import Rpc

MICRO = 1_000_000
OPERATOR_TOKEN = "operator-token-of-the-tests-0123456789"
POLL_S = 0.01


class Paid(NamedTuple):
    """An escrow into whose slot of account 16 five USDC were paid, finally."""

    client: EscrowClient
    owner: Keypair


@pytest.fixture
async def paid(escrow: Any) -> Paid:
    client, operator, url = escrow
    owner, rpc = Keypair(), Rpc(url)

    async def lands(built: Any) -> None:
        assert isinstance(await send_until(client.client, built, "confirmed", poll_s=POLL_S), Landed)

    await rpc.call("requestAirdrop", str(owner.pubkey()), 10**9)
    await rpc.call("perpdexMintTestUsdc", str(owner.pubkey()), 100 * MICRO)
    await rpc.close()
    await lands(await client.build_open_account(operator, 0, owner.pubkey(), 16))
    await lands(await client.build_deposit(KeypairSigner(owner), 0, 2, 5 * MICRO))
    while not (await client.view.deposits_since(None)).deposits:
        await asyncio.sleep(POLL_S)
    assert await client.view.vault_amount(FINALIZED) == 5 * MICRO
    return Paid(client, owner)


async def watched(url: str, token: str, paid: Paid, cursor: DepositCursor) -> DepositCursor:
    door = EngineDoor(url, token)
    try:
        steps = DepositActivities(door, paid.client)
        seen = await ActivityEnvironment().run(steps.watch_deposits, cursor, 0.0)
        assert isinstance(seen, DepositCursor)
        return seen
    finally:
        await door.close()


async def test_a_token_that_the_api_does_not_know_refuses_no_deposit(new_exchange: Any, paid: Paid) -> None:
    exchange = await new_exchange()
    agent = await exchange.agent("depositor", deposit=0, owner=paid.owner)
    with pytest.raises(ApplicationError) as trouble:
        await watched(exchange.server.http_url, "the token of last week", paid, DepositCursor())
    assert trouble.value.type == "operator_only"
    seen = await watched(exchange.server.http_url, OPERATOR_TOKEN, paid, DepositCursor())
    assert (seen.credited, seen.amount, seen.refused) == (1, 5 * MICRO, 0)
    assert exchange.engine.state.accounts[agent.account].balance == 5 * MICRO


async def test_what_was_refused_is_credited_when_all_is_read_again(new_exchange: Any, paid: Paid) -> None:
    """As when an exchange was pointed at another one's chain: nobody has that account until the right journal is served."""
    exchange = await new_exchange()
    seen = await watched(exchange.server.http_url, OPERATOR_TOKEN, paid, DepositCursor())
    assert (seen.credited, seen.refused) == (0, 1)
    assert seen.last_refused.endswith("slot_not_ordered")
    agent = await exchange.agent("depositor", deposit=0, owner=paid.owner)
    assert (await watched(exchange.server.http_url, OPERATOR_TOKEN, paid, seen)).credited == 0
    for credited in (1, 0):
        seen = await watched(exchange.server.http_url, OPERATOR_TOKEN, paid, DepositCursor())
        assert (seen.credited, seen.refused) == (credited, 0)
    assert exchange.engine.state.accounts[agent.account].balance == 5 * MICRO
