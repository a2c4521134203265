"""The client's side of exits, limits, closing and governance, on a chain whose delays are seconds."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.claims import claims_of
from chain.events import (
    AccountClosed,
    BatchAborted,
    BatchCarried,
    BatchSealed,
    Initialized,
    LossLimitSet,
    PageClosed,
    PageCreated,
    PageSettled,
    PageShort,
    PauseSet,
    ProposalCancelled,
    ProposalExecuted,
    Proposed,
    WithdrawalClaimed,
    WithdrawalRequestCancelled,
    WithdrawalRequested,
    parse_events,
)
from chain.limits import UNLIMITED, Settings
from chain.localnet.genesis import PROGRAM_ID
from chain.owning import EVERYTHING
from chain.rpc import CONFIRMED, FINALIZED
from chain.send import Refused
from owner_transactions import OwnerTransactions

ROOT = bytes(range(32))


async def events_of(world: Any, building: Any) -> list[Any]:
    landed = await world.land(building)
    receipt = await world.escrow.view.receipt(landed.signature)
    return list(parse_events(receipt.logs, world.escrow.addresses))


async def code(world: Any, building: Any) -> str:
    fate = await world.fate(building)
    assert isinstance(fate, Refused), fate
    return fate.code


async def until_it_lands(world: Any, build: Any, refusal: str) -> list[Any]:
    """Ask again while the chain's clock has not got there."""
    while True:
        fate = await world.fate(build())
        if not isinstance(fate, Refused):
            receipt = await world.escrow.view.receipt(fate.signature)
            return list(parse_events(receipt.logs, world.escrow.addresses))
        assert fate.code == refusal
        await asyncio.sleep(0.1)


async def test_an_owner_leaves_alone(hasty: Any) -> None:
    escrow, owner = hasty.escrow, await hasty.agent(16, 5_000)
    await hasty.land(escrow.build_deposit(owner, 0, 2, 5_000))
    place = (0, 2, owner.pubkey, 16)
    [asked] = await events_of(hasty, OwnerTransactions(escrow).build_request_withdrawal(owner, 0, 2, 10))
    assert asked == WithdrawalRequested(*place, 10, asked.exit_at)
    assert await events_of(hasty, OwnerTransactions(escrow).build_cancel_withdrawal_request(owner, 0, 2)) == [
        WithdrawalRequestCancelled(*place, 10, asked.exit_at)
    ]
    await hasty.land(OwnerTransactions(escrow).build_request_withdrawal(owner, 0, 2))
    slot = (await escrow.view.slot_of(16)).slot
    assert slot.pending == EVERYTHING
    assert slot.exit_at >= asked.exit_at
    claim = await until_it_lands(
        hasty, lambda: OwnerTransactions(escrow).build_claim_withdrawal(owner, 0, 2), "WithdrawalNotReady"
    )
    assert claim == [WithdrawalClaimed(*place, 5_000, EVERYTHING)]
    state = await escrow.view.escrow_state()
    assert (state.exits, state.held, await escrow.view.vault_amount()) == (5_000, 0, 0)
    assert await events_of(hasty, OwnerTransactions(escrow).build_close_account(owner, 0, 2)) == [
        AccountClosed(*place, 1)
    ]


async def test_limits_read_as_they_are_enforced(hasty: Any) -> None:
    escrow, operator = hasty.escrow, hasty.operator
    owner, other = await hasty.agent(16, 50_000_000), await hasty.agent(17, 1_000)
    await hasty.land(escrow.build_deposit(owner, 0, 2, 50_000_000))
    await hasty.land(escrow.build_deposit(other, 0, 3, 100))
    state = await escrow.view.escrow_state()
    most = min(window.left for window in state.outflow_windows(int(time.time())))
    assert most == 500_001
    await hasty.land(escrow.build_withdraw(operator, other, 0, 3, 100, 1))
    assert await code(hasty, escrow.build_withdraw(operator, owner, 0, 2, most, 1)) == "OutflowLimited"
    await hasty.land(escrow.build_withdraw(operator, owner, 0, 2, most - 100, 1))
    windows = (await escrow.view.escrow_state()).outflow_windows(int(time.time()))
    assert min(window.left for window in windows) in (0, 495_000)
    [limited] = await events_of(hasty, OwnerTransactions(escrow).build_set_loss_limit(owner, 0, 2, 1))
    assert limited == LossLimitSet(0, 2, owner.pubkey, 16, 1, limited.effective_at)
    slot = (await escrow.view.slot_of(16)).slot
    assert (slot.loss_limit, slot.next_limit, slot.next_limit_at) == (None, 1_000_000, limited.effective_at)
    assert slot.may_lose(limited.effective_at - 1, 60) == slot.balance
    assert slot.may_lose(limited.effective_at, 60) == 1_000_000
    await asyncio.sleep(max(0.0, limited.effective_at + 1 - time.time()))
    earlier = await escrow.view.clock(CONFIRMED)
    await hasty.land(escrow.build_open_batch(operator, 1, ROOT, 1))
    deltas = [(2, -1_500_000), (3, 1_500_000)]
    assert await events_of(hasty, escrow.build_settle_page(operator, 1, 0, deltas)) == [
        PageSettled(1, 0, 1_000_000, 1_000_000, 500_000, 500_000, (2,)),
        PageShort(1, 0, ((2, -500_000), (3, 500_000))),
    ]
    assert await events_of(hasty, escrow.build_seal_batch(operator, 1)) == [
        BatchSealed(1, ROOT, 1, 2_000_000, 500_000)
    ]
    assert (await escrow.view.slot_of(17)).slot.unapplied == 500_000
    window = state.settings.limits.loss_window
    slot, later = (await escrow.view.slot_of(16)).slot, await escrow.view.clock(CONFIRMED)
    assert earlier // window <= slot.loss_window <= later // window
    assert slot.loss_left(earlier, window) == 0
    [lifted] = await events_of(hasty, OwnerTransactions(escrow).build_set_loss_limit(owner, 0, 2, None))
    assert lifted.limit == UNLIMITED
    assert (await escrow.view.slot_of(16)).slot.loss_limit is None


async def test_settings_change_by_a_proposal_that_everybody_sees(hasty: Any) -> None:
    escrow, admin = hasty.escrow, hasty.operator
    now = (await escrow.view.escrow_state()).settings
    new = Settings(
        now.admin, Pubkey.new_unique(), hasty.node.funded().pubkey, replace(now.limits, exit_delay=2)
    )
    [proposed] = await events_of(hasty, escrow.governance.build_propose(admin, new))
    assert proposed == Proposed(1, proposed.ready_at, new)
    assert await events_of(hasty, escrow.governance.build_cancel_proposal(admin)) == [ProposalCancelled(1)]
    assert (await escrow.view.escrow_state()).proposal is None
    await hasty.land(escrow.governance.build_propose(admin, new))
    pending = (await escrow.view.escrow_state()).proposal
    assert (pending.number, pending.settings) == (2, new)
    anyone = hasty.node.funded()
    executed = await until_it_lands(
        hasty, lambda: escrow.governance.build_execute_proposal(anyone), "ProposalNotReady"
    )
    assert executed == [ProposalExecuted(2, new)]
    state = await escrow.view.escrow_state()
    assert (state.settings, state.proposal, state.creator) == (new, None, admin.pubkey)


async def test_the_guardian_pauses_and_the_operator_gives_a_batch_up(hasty: Any) -> None:
    escrow, operator = hasty.escrow, hasty.operator
    owner = await hasty.agent(16, 100)
    await hasty.land(escrow.build_deposit(owner, 0, 2, 100))
    await hasty.land(escrow.build_open_batch(operator, 1, ROOT, 1))
    assert await events_of(hasty, escrow.governance.build_set_pause(operator, True)) == [PauseSet(True)]
    assert (await escrow.view.escrow_state()).paused
    assert await code(hasty, escrow.build_settle_page(operator, 1, 0, [(2, -1)])) == "Paused"
    assert await events_of(hasty, escrow.build_abort_batch(operator, 1)) == [BatchAborted(1)]
    await hasty.land(escrow.governance.build_set_pause(operator, False))
    await hasty.land(escrow.build_open_batch(operator, 1, ROOT, 1))
    await hasty.land(escrow.build_settle_page(operator, 1, 0, [(2, -7)]))
    assert await events_of(hasty, escrow.build_carry_batch(operator, 1)) == [
        BatchSealed(1, ROOT, 1, 7, 0),
        BatchCarried(1, 7),
    ]
    snapshot = await escrow.view.snapshot("confirmed")
    assert snapshot.promised == snapshot.vault == 100


async def test_pages_come_and_go(hasty: Any) -> None:
    escrow, operator = hasty.escrow, hasty.operator
    assert await events_of(hasty, escrow.build_create_page(operator, 1)) == [PageCreated(1, operator.pubkey)]
    payer = (await escrow.view.page(1)).payer
    assert await events_of(hasty, escrow.build_close_page(operator, 1, payer)) == [
        PageClosed(1, operator.pubkey)
    ]
    assert await escrow.view.page(1) is None


async def test_a_new_escrow_tells_of_itself(hasty: Any) -> None:
    newcomer = hasty.through(hasty.escrow.client)
    admin = hasty.node.funded()
    other = type(newcomer)(newcomer.client, PROGRAM_ID, admin.pubkey, newcomer.mint)
    key = admin.pubkey
    build = other.build_initialize(admin, operator=key, guardian=key, treasury=key, insurance=key)
    landed = await hasty.land(build)
    receipt = await other.view.receipt(landed.signature)
    initialized, page = parse_events(receipt.logs, other.addresses)
    state = await other.view.escrow_state()
    assert initialized == Initialized(other.mint, state.settings)
    assert page == PageCreated(0, admin.pubkey)
    assert list(parse_events(receipt.logs, hasty.escrow.addresses)) == []


async def test_a_claim_is_found_once_with_deposits_and_cannot_hide_behind_cut_logs(hasty: Any) -> None:
    escrow, owner = hasty.escrow, await hasty.agent(16, 500)
    await hasty.land(escrow.build_deposit(owner, 0, 2, 500), FINALIZED)
    before = await escrow.view.deposits_since(None)
    assert before.claims == ()
    await hasty.land(OwnerTransactions(escrow).build_request_withdrawal(owner, 0, 2, 300))
    await until_it_lands(
        hasty, lambda: OwnerTransactions(escrow).build_claim_withdrawal(owner, 0, 2), "WithdrawalNotReady"
    )
    while not (scan := await escrow.view.deposits_since(before.cursor)).claims:
        await asyncio.sleep(0.05)
    [found] = scan.claims
    assert found.claim == WithdrawalClaimed(0, 2, owner.pubkey, 16, 300, 300)
    assert found.key == f"claim:{found.signature}:0"
    assert (await escrow.view.deposits_since(scan.cursor)).claims == ()
    signature = Signature.from_string(found.signature)
    whole = (await escrow.client.get_transaction(signature, "base64", FINALIZED, 0)).value
    meta = whole.transaction.meta
    cut = SimpleNamespace(
        log_messages=[*meta.log_messages[:2], "Log truncated"],
        inner_instructions=meta.inner_instructions,
        loaded_addresses=meta.loaded_addresses,
    )
    inner = SimpleNamespace(meta=cut, transaction=whole.transaction.transaction)
    shown = SimpleNamespace(slot=whole.slot, transaction=inner)
    [again] = await claims_of(shown, found.signature, escrow.addresses, escrow.view._slots())
    assert (again.key, again.claim) == (found.key, replace(found.claim, asked=0))

    async def gone(page: Pubkey, slot: int) -> Any:
        return None

    [nobody] = await claims_of(shown, found.signature, escrow.addresses, gone)
    assert (nobody.claim.account, nobody.claim.amount) == (0, 300)
