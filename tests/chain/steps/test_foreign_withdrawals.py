"""A withdrawal that a person names, for the books to take over, is looked up on chain first: a slip must not move anybody's money."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from solana.rpc.types import TxOpts
from solders.signature import Signature

from chain.landed import landed_transaction
from chain.payments import payments_of
from chain.rpc import FINALIZED
from cli.accepting import must_have_left
from cli.door import NotDone
from core.reconciliation import Booked
from matcher.commands import ForeignWithdrawal

PAID, FAILED = 30, 9_999


async def test_only_what_left_the_slot_of_that_account_can_be_named(world: Any) -> None:
    escrow, operator = world.escrow, world.operator
    thief, other = await world.agent(16, 100), await world.agent(17, 100)
    for owner, slot in ((thief, 2), (other, 3)):
        await world.land(escrow.build_deposit(owner, 0, slot, 100), FINALIZED)
    landed = await world.land(escrow.build_withdraw(operator, thief, 0, 2, PAID, 10**6), FINALIZED)
    books = {
        account: Booked(account, str(owner.pubkey), 0, slot, 100, 100, 0)
        for account, owner, slot in ((16, thief, 2), (17, other, 3))
    }
    paid = ForeignWithdrawal(16, PAID, landed.signature)
    await must_have_left(escrow, books, [paid])

    async def refused(why: str, *named: ForeignWithdrawal) -> None:
        with pytest.raises(NotDone, match=why):
            await must_have_left(escrow, books, named)

    more = ForeignWithdrawal(16, PAID + 1, paid.signature)
    await refused("withdrawal_not_there: .* was paid 30 by co-signed .* 31 micro-USDC were named", more)
    await refused("withdrawal_not_there: .* was paid nothing", ForeignWithdrawal(17, PAID, paid.signature))
    await refused("withdrawal_not_there: account 18 has no slot", ForeignWithdrawal(18, PAID, paid.signature))
    await refused("withdrawal_not_there", paid, paid)
    await refused("withdrawal_not_final", ForeignWithdrawal(16, PAID, str(Signature.new_unique())))
    beyond = await escrow.build_withdraw(operator, thief, 0, 2, FAILED, 10**6 + 1)
    at_once = TxOpts(skip_confirmation=True, skip_preflight=True)
    await escrow.client.send_raw_transaction(beyond.raw, at_once)
    while await landed_transaction(escrow.client, beyond.signature, FINALIZED) is None:
        await asyncio.sleep(0.02)
    await refused("withdrawal_failed", ForeignWithdrawal(16, FAILED, beyond.signature))
    # The slot was another's when it was paid.
    books[16] = books[16]._replace(owner=str(other.pubkey))
    await refused("withdrawal_not_there", paid)

    # So it is found where the cluster cut the logs.
    found = await landed_transaction(escrow.client, paid.signature, FINALIZED)
    [payment] = payments_of(found, escrow.addresses)
    assert payment == (escrow.addresses.page(0), 2, thief.pubkey, PAID, 10**6)
    meta = found.transaction.meta
    cut = SimpleNamespace(
        log_messages=["Log truncated"],
        loaded_addresses=meta.loaded_addresses,
        inner_instructions=meta.inner_instructions,
    )
    shown = SimpleNamespace(meta=cut, transaction=found.transaction.transaction)
    assert payments_of(SimpleNamespace(transaction=shown), escrow.addresses) == [payment]
