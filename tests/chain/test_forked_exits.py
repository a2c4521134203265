"""An owner that leaves with its kit, alone, while the chain takes other forks under deposit, request and claim."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from solders.keypair import Keypair

from chain.keys import KeypairSigner
from chain.limits import DEFAULT_LIMITS, Limits
from chain.localnet.genesis import PROGRAM_ID
from chain.rpc import CONFIRMED, FINALIZED
from perpdex_sdk import leave
from perpdex_sdk.answers import Escrow, Place
from perpdex_sdk.exit_kit import ExitKit

FINALITY = 150
"""Slots, three seconds: what is rolled back here was confirmed just now."""
DEPOSIT = 5_000


@pytest.fixture
def finality() -> int:
    return FINALITY


@pytest.fixture
def limits() -> Limits:
    return replace(DEFAULT_LIMITS, exit_delay=2)


async def test_an_owner_is_paid_once_whatever_is_rolled_back_under_it(world: Any) -> None:
    node, escrow, view = world.node, world.escrow, world.escrow.view
    key = Keypair()
    owner = KeypairSigner(key)
    for method, much in (("requestAirdrop", 10**12), ("perpdexMintTestUsdc", DEPOSIT)):
        node.call(method, str(owner.pubkey), much)
    await world.land(escrow.build_open_account(world.operator, 0, owner.pubkey, 16))
    wallet = escrow.wallet_of(owner.pubkey)

    async def held(commitment: str) -> tuple[int, int]:
        """In slot and wallet."""
        slot = (await view.slot_of(16, commitment)).slot
        return slot.balance, int(
            (await escrow.client.get_token_account_balance(wallet, commitment)).value.amount
        )

    landed = await world.land(escrow.build_deposit(owner, 0, 2, DEPOSIT))
    assert await held(CONFIRMED) == (DEPOSIT, 0)
    node.call("perpdexRollBack", landed.slot - 1)
    assert await held(CONFIRMED) == (0, DEPOSIT)
    await world.land(escrow.build_deposit(owner, 0, 2, DEPOSIT), FINALIZED)

    # From here on there is nobody but the owner, its kit and a node.
    addresses = escrow.addresses
    where = Escrow(str(PROGRAM_ID), str(addresses.escrow), str(addresses.vault), str(escrow.mint), node.url)
    kit = ExitKit(str(owner.pubkey), 16, where, Place(0, 2), None)
    asking, before = (
        asyncio.create_task(leave.ask(kit, key, node.url)),
        int(node.call("getSlot", {"commitment": "processed"})) - 1,
    )
    while not (await view.slot_of(16, CONFIRMED)).slot.exit_at:
        await asyncio.sleep(0.01)
    node.call("perpdexRollBack", before)
    assert (await view.slot_of(16, CONFIRMED)).slot.exit_at == 0
    # Whoever waits for what did not happen stops, and starts again.
    asking.cancel()
    await asyncio.wait([asking])
    leaving = asyncio.create_task(leave.leave(kit, key, node.url))
    unpaid = 0
    while True:
        slot = int(node.call("getSlot", {"commitment": "processed"}))
        if await held(CONFIRMED) == (0, DEPOSIT):
            break
        unpaid = slot - 1
        await asyncio.sleep(0.01)
    node.call("perpdexRollBack", unpaid)
    assert await held(CONFIRMED) == (DEPOSIT, 0)
    # It says that it was paid only once that is final, and claims again what was not.
    assert (await leaving).paid == DEPOSIT
    assert await held(FINALIZED) == (0, DEPOSIT)
    state = await view.escrow_state(FINALIZED)
    assert (state.exits, state.withdrawals, await view.vault_amount()) == (DEPOSIT, 0, 0)
