"""A slot on chain that its owner gave up is another account's only when nothing can ever be settled for the first one again."""

import pytest

from core.exit_events import CLAIM
from matcher import commands as c
from matcher.account import GONE
from matcher.funding import Hour
from matcher.image import dump, load, state_hash
from matcher.leaving import done_with

DEPOSIT = 1_000_000_000


def newcomer(world) -> int:
    return int(
        world.play(c.RegisterAgent(world.state.accounts[world.state.slots[0, 2]].owner, "new"))[0].account
    )


def leave(world, account: int, amount: int = DEPOSIT) -> None:
    world.play(c.ClaimExit(account, amount, f"{CLAIM}{account}:0"))


@pytest.fixture
def leaver(world):
    return world.agent(2, DEPOSIT)


def test_a_slot_goes_to_another_once_its_account_left_with_everything(world, leaver, replayed):
    new = newcomer(world)
    assert world.refuse(c.BindSlot(new, 0, 2)) == "slot_taken"
    leave(world, leaver)
    assert done_with(world.state, world.state.accounts[leaver])
    world.play(c.BindSlot(new, 0, 2))
    gone, bound = world.state.accounts[leaver], world.state.accounts[new]
    assert (gone.page, gone.slot, bound.page, bound.slot) == (GONE, -1, 0, 2)
    assert world.state.slots[0, 2] == new
    world.play(c.CreditDeposit(new, 7, "first"))
    world.play(c.CutSettlement(1))
    assert new in world.state.cut.equities
    assert leaver not in world.state.cut.equities
    for other in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(other) == state_hash(world.state)
        assert other.slots[0, 2] == new


def test_who_waits_for_a_slot_is_known_without_a_look_at_all_accounts(world, leaver, replayed):
    owner = world.state.accounts[leaver].owner
    first, second = newcomer(world), world.play(c.RegisterAgent(owner, "second"))[0].account
    assert list(world.state.unbound) == [first, second]
    world.play(c.BindSlot(first, 0, 9))
    for state in (world.state, replayed(world.journal), load(dump(world.state))):
        assert list(state.unbound) == [second]


def test_who_lost_its_slot_gets_no_other_and_old_deposits_change_nothing(world, leaver):
    new = newcomer(world)
    leave(world, leaver)
    world.play(c.BindSlot(new, 0, 2))
    for page, slot in ((0, 2), (1, 0)):
        assert world.play(c.BindSlot(leaver, page, slot)) == []
    assert world.state.accounts[leaver].page == GONE
    assert world.do(c.CreditDeposit(leaver, DEPOSIT, f"deposit-{leaver}")).events
    assert world.refuse(c.CreditDeposit(leaver, 5, "late")) == "account_unknown"


def test_what_is_left_or_owed_keeps_the_slot(world, leaver):
    new = newcomer(world)
    leave(world, leaver, DEPOSIT - 1)
    assert world.refuse(c.BindSlot(new, 0, 2)) == "slot_taken"


def test_a_reserved_withdrawal_keeps_the_slot_until_it_is_closed(world, leaver):
    new = newcomer(world)
    number = world.play(c.ReserveWithdrawal(leaver, DEPOSIT, "w"))[0].withdrawal
    assert world.refuse(c.BindSlot(new, 0, 2)) == "slot_taken"
    world.play(c.FinishWithdrawal(number, True, "signature"))
    world.play(c.BindSlot(new, 0, 2))


def test_what_a_sub_account_has_keeps_the_slot(world, leaver):
    new, sub = newcomer(world), world.play(c.OpenSubAccount(leaver, 1))[0].account
    world.play(c.Transfer(leaver, leaver, sub, 5, "t"))
    leave(world, leaver, DEPOSIT - 5)
    assert world.refuse(c.BindSlot(new, 0, 2)) == "slot_taken"


def test_a_batch_that_moves_something_there_keeps_the_slot_until_the_next(world, leaver):
    maker, new = world.agent(3), newcomer(world)
    world.quotes(maker, [(599_000, 10)], [(600_000, 10)])
    world.request(leaver, "in", 1, 10, 600_000)
    world.request(leaver, "out", -1, 10, 599_000)
    world.play(c.CutSettlement(1))
    leave(world, leaver, world.balance(leaver))
    account = world.state.accounts[leaver]
    assert (account.positions, account.balance, account.settled) == ({}, 0, 0)
    assert world.refuse(c.BindSlot(new, 0, 2)) == "slot_taken"
    world.finalize(1)
    world.play(c.CutSettlement(2))
    world.play(c.BindSlot(new, 0, 2))


def test_an_hour_of_funding_that_is_not_paid_keeps_the_slot(world, leaver):
    """Who traded since its end may be owed for what it held then."""
    leave(world, leaver)
    account, funding = world.state.accounts[leaver], world.state.funding[1]
    hour = Hour(funding.running.number)
    funding.unpaid.append(hour)
    world.state.owing = {1: funding}
    assert done_with(world.state, account)
    hour.moved[leaver] = 3
    assert not done_with(world.state, account)
