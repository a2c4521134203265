"""Who stole the operator's key opened an account's number again, in another page: with the key gone, that hurts nobody any more."""

import asyncio
from typing import Any

import msgspec
import pytest
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities, DepositCursor
from activities.engine_door import DOOR, EngineDoor, EngineState, Unbound
from activities.landing import Lander
from activities.reconciliation import compare
from activities.sides import ChainTotals
from activities.slots import Room, SlotActivities
from chain.rpc import FINALIZED
from chain.send import Refused
from owner_transactions import OwnerTransactions

STRAY = (1, 0)


@pytest.fixture
async def thief(hasty: Any) -> Any:
    """Has slot 0 of page 1 under the number of account 16, with 7 micro-USDC that he paid in, of which he took 3 out again."""
    thief = hasty.node.funded(10)
    await hasty.land(hasty.escrow.build_create_page(hasty.operator, 1))
    await hasty.land(hasty.escrow.build_open_account(hasty.operator, 1, thief.pubkey, 16), FINALIZED)
    await hasty.land(hasty.escrow.build_deposit(thief, *STRAY, 7), FINALIZED)
    await hasty.land(OwnerTransactions(hasty.escrow).build_request_withdrawal(thief, *STRAY, 3))
    while isinstance(
        await hasty.fate(OwnerTransactions(hasty.escrow).build_claim_withdrawal(thief, *STRAY), FINALIZED),
        Refused,
    ):
        await asyncio.sleep(0.1)
    return thief


@pytest.fixture
async def agent(hasty: Any, door_server: Any) -> Any:
    """Account 16 in slot 2 of page 0, with 5,000 micro-USDC there."""
    agent = await hasty.agent(16, 5_000)
    await hasty.land(hasty.escrow.build_deposit(agent, 0, 2, 5_000), FINALIZED)
    door_server.accounts = [[16, str(agent.pubkey), 0, 2, 0, 0, 0, 0]]
    return agent


async def test_an_account_has_the_slot_of_its_owner(hasty: Any, agent: Any, thief: Any) -> None:
    for owner in ("", str(agent.pubkey)):
        place = await hasty.escrow.view.slot_of(16, FINALIZED, owner)
        assert (place.page, place.slot.index, place.slot.owner) == (0, 2, agent.pubkey)
    assert await hasty.escrow.view.slot_of(16, FINALIZED, str(hasty.operator.pubkey)) is None


async def test_money_of_a_slot_that_nobody_ordered_is_not_booked(
    hasty: Any, agent: Any, thief: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    watch = DepositActivities(door, hasty.escrow).watch_deposits
    cursor = await ActivityEnvironment().run(watch, DepositCursor(), 0.0)
    assert [one["amount"] for one in door_server.credited.values()] == [5_000]
    strays = [one["claimed"] for one in door_server.commands if one["type"] == "SeeStray"]
    assert sorted(strays) == [0, 3]
    assert (cursor.found, cursor.refused) == (2, 2)
    assert cursor.last_refused.endswith("slot_not_ordered")

    # A cursor from before the engine was told of strays reads from the start; what was booked before its slot was another's is none.
    door_server.refusal = (200, {"seq": 1, "repeated": True, "events": []})
    door_server.accounts = []
    door_server.commands.clear()
    old = DepositCursor(signature=cursor.signature, found=2, exited=3)
    again = await ActivityEnvironment().run(watch, old, 0.0)
    assert [one["type"] for one in door_server.commands] == ["SeeStray"] * 3
    assert (again.found, again.exited, again.refused, again.last_refused) == (2, 3, 0, "")
    door_server.commands.clear()
    assert await ActivityEnvironment().run(watch, again, 0.0) == again
    assert door_server.commands == []
    await door.close()


async def test_a_claim_from_there_keeps_no_slot_from_being_given_again(
    hasty: Any, agent: Any, thief: Any, ledger: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    slots = SlotActivities(door, hasty.escrow, Lander(ledger, hasty.escrow), hasty.operator, 0)
    for batch, deltas in ((1, [(0, 5_000), (2, -5_000)]), (2, [(0, -1), (1, 1)])):
        await hasty.land(hasty.escrow.build_open_batch(hasty.operator, batch, bytes(32), 1))
        await hasty.land(hasty.escrow.build_settle_page(hasty.operator, batch, 0, deltas))
        await hasty.land(hasty.escrow.build_seal_batch(hasty.operator, batch), FINALIZED)
        if batch == 1:
            await hasty.land(OwnerTransactions(hasty.escrow).build_close_account(agent, 0, 2))
    books = {**door_server._books(""), "done_with": [16]}
    for astray, found in ((0, []), (3, [Room(0, 2)]), (4, [])):
        door_server.answers[f"{DOOR}/settlement/accounts"] = {**books, "claimed_astray": astray}
        assert await slots._given_up() == found
    await door.close()


async def test_no_account_is_bound_to_a_slot_of_somebody_else(
    hasty: Any, thief: Any, ledger: Any, door_server: Any
) -> None:
    door = EngineDoor(door_server.url, "token")
    newcomer = hasty.node.funded(1)
    slots = SlotActivities(door, hasty.escrow, Lander(ledger, hasty.escrow), hasty.operator, 0)
    while not await slots._place([Unbound(16, str(newcomer.pubkey))]):
        await asyncio.sleep(0.05)
    await door.close()
    [bound] = door_server.commands
    page = await hasty.escrow.view.page(bound["page"])
    assert page.slots[bound["slot"]].owner == newcomer.pubkey


def test_totals_agree_when_only_strays_are_not_booked() -> None:
    engine = EngineState(
        seq=1,
        balances_total=100,
        deposits=100,
        withdrawals=0,
        reserved=0,
        conserved=True,
        positions_zero_sum=True,
        vault_expected=100,
        claimed=0,
        exits=0,
        loss_limits=0,
        settlement_held="",
        astray=0,
        exit_delay=0,
        claimed_astray=3,
    )
    chain = ChainTotals(
        vault=104, pages_total=104, clearing=0, deposits=107, withdrawals=3, claimed=3, strays=1, stray=4
    )
    assert compare(1, chain, engine).why == ""
    assert compare(1, chain._replace(strays=0, stray=0), engine).why == "deposits_pending"
    pending = chain._replace(deposits=112, vault=109, pages_total=109)
    assert compare(1, pending, engine).why == "deposits_pending"
    # Until the engine knows of what was claimed there, nobody's exit is looked after: that is no agreement.
    assert compare(1, chain, msgspec.structs.replace(engine, claimed_astray=0)).why == "claims_pending"
    # Nor is it when the engine knows of more than the chain paid: nothing that comes would mend that.
    assert compare(1, chain, msgspec.structs.replace(engine, claimed_astray=4)).why == "withdrawals_differ"
