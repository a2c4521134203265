"""What a thief settled is taken over from the chain: what is owed stays owed, and the next batch brings it as far as it can."""

import pytest

from core.accounts import INSURANCE
from core.custody_events import AcceptedSlot, ChainAccepted
from core.events import WithdrawalFinished, WithdrawalReserved
from core.netting import DELTA_MAX
from core.postings import OUTSIDE, Posting, Why, postings
from matcher import commands as c
from matcher.image import dump, load, state_hash

USDC = 1_000_000
DEPOSIT = 1_000 * USDC
HOLD = c.HoldSettlement(True, who="ada", why="slot 0/2 differs")


@pytest.fixture
def robbed(world):
    """Two agents, a thief with a slot of his own, an insurance fund with 300 USDC, all of it on chain; and settlement is held."""
    world.victim, world.other, world.thief = (
        world.agent(1, DEPOSIT),
        world.agent(2, DEPOSIT),
        world.agent(3, 0),
    )
    world.play(c.CreditDeposit(INSURANCE, 300 * USDC, "fund"))
    world.play(c.CutSettlement(1))
    world.finalize(1)
    world.play(HOLD)
    return world


def holds(world, account: int, amount: int, unapplied: int = 0, withdrawal: int = 0) -> c.HeldSlot:
    return c.HeldSlot(account, world.state.accounts[account].settled, amount, unapplied, withdrawal)


def accept(world, *slots: c.HeldSlot, left_over: int = 0, astray: int = 0, lost: int = 0, **more):
    return c.AcceptChain(slots, left_over, astray, lost, who="ada", why="the key was stolen", **more)


def settled(world) -> int:
    return sum(account.settled for account in world.state.accounts.values())


def next_deltas(world, batch: int = 2) -> dict[int, int]:
    world.play(c.HoldSettlement(False, who="ada", why="taken over"))
    world.play(c.CutSettlement(batch))
    return dict(world.state.cut.deltas)


def test_what_was_moved_to_another_account_is_asked_back_by_the_next_batch(robbed, replayed):
    world = robbed
    loot = 400 * USDC
    command = accept(
        world, holds(world, world.victim, DEPOSIT - loot), holds(world, world.thief, loot, unapplied=-7)
    )
    before = {id: account.balance for id, account in world.state.accounts.items()}
    (accepted,) = world.play(command)
    parts = (AcceptedSlot(world.victim, -loot, 0), AcceptedSlot(world.thief, loot, -7))
    assert accepted == ChainAccepted(world.now, parts, 0, 0, 0, (), "ada", "the key was stolen")
    assert {id: account.balance for id, account in world.state.accounts.items()} == before
    assert postings(accepted) == []
    assert world.state.accounts[world.thief].unapplied == -7
    for again in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(again) == state_hash(world.state)
    assert next_deltas(world) == {world.victim: loot, world.thief: -loot}


def test_what_was_burnt_is_given_by_the_next_batch_to_whom_it_was_taken_from(robbed, replayed):
    world, burnt = robbed, 250 * USDC
    world.play(accept(world, holds(world, world.victim, DEPOSIT - burnt), left_over=burnt))
    assert world.state.custody.left_over == burnt
    for again in (replayed(world.journal), load(dump(world.state))):
        assert state_hash(again) == state_hash(world.state)
    assert next_deltas(world) == {world.victim: burnt}
    assert world.state.custody.left_over == 0
    world.finalize(2)
    assert next_deltas(world, 3) == {}


def test_what_lies_in_slots_that_nobody_knows_is_the_insurance_funds_loss(robbed, replayed):
    world, loot = robbed, 120 * USDC
    (accepted,) = world.play(
        accept(
            world,
            holds(world, world.victim, DEPOSIT - loot),
            astray=loot,
            lost=loot,
            strangers=((0, 9),),
        )
    )
    assert postings(accepted) == [Posting(INSURANCE, OUTSIDE, loot, Why.ASTRAY)]
    assert world.balance(INSURANCE) == 180 * USDC
    assert (world.state.custody.astray, world.state.custody.strangers) == (loot, [(0, 9)])
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    assert next_deltas(world) == {world.victim: loot, INSURANCE: -loot}
    world.finalize(2)
    world.play(HOLD)
    (back,) = world.play(accept(world, holds(world, INSURANCE, 300 * USDC), lost=-loot))
    assert (back.lost, world.balance(INSURANCE)) == (-loot, 300 * USDC)


def test_a_withdrawal_that_the_thief_signed_for_is_booked_as_one_that_was_paid(robbed, replayed):
    world, loot, gone = robbed, 400 * USDC, 150 * USDC
    found = c.ForeignWithdrawal(world.thief, gone, "5" * 88)
    command = accept(
        world,
        holds(world, world.victim, DEPOSIT - loot),
        holds(world, world.thief, loot - gone, withdrawal=10**12),
        withdrawn=(found,),
    )
    reserved, paid, accepted = world.play(command)
    assert isinstance(reserved, WithdrawalReserved)
    assert paid == WithdrawalFinished(world.now, reserved.withdrawal, world.thief, gone, True, "5" * 88)
    assert accepted.slots == (
        AcceptedSlot(world.victim, -loot, 0),
        AcceptedSlot(world.thief, loot, 0, 10**12),
    )
    assert world.balance(world.thief) == -gone
    assert world.state.accounts[world.thief].foreign == 10**12
    assert settled(world) == world.state.deposited - world.state.paid_out
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    world.pass_time(0)
    assert world.balance(world.thief) == 0
    assert world.balance(INSURANCE) == 150 * USDC
    assert next_deltas(world) == {world.victim: loot, world.thief: gone - loot, INSURANCE: -gone}


def test_what_a_batch_gave_out_of_what_a_thief_had_burnt_is_counted_once(robbed):
    """A loss limit kept 10 from a page, and the credit was given all the same: what the thief had left over was there."""
    world, burnt = robbed, 250 * USDC
    world.play(c.HoldSettlement(False, who="ada", why="nobody has seen it"))
    world.index(1, 600_000)
    world.quotes(world.other, [], [(600_000, 1_000)])
    world.closed(world.request(world.victim, "open", 1, 1_000, 600_000))
    world.play(c.CutSettlement(2))
    assert world.state.cut.deltas[world.victim] < -10
    world.play(c.TakeUnapplied(2, 0, ((2, -10),)))
    assert (world.state.custody.left_over, settled(world)) == (-10, 2_300 * USDC + 10)
    world.finalize(2)
    world.play(HOLD)
    holds_now = world.state.accounts[world.victim].settled - burnt
    (accepted,) = world.play(
        accept(world, holds(world, world.victim, holds_now, unapplied=-10), left_over=burnt - 10)
    )
    assert (accepted.lost, accepted.slots) == (0, (AcceptedSlot(world.victim, -burnt, 0),))
    assert next_deltas(world, 3) == {world.victim: burnt - 10}


def test_taking_over_again_what_is_taken_over_changes_nothing(robbed):
    world = robbed
    found = (c.ForeignWithdrawal(world.victim, 5, "6" * 88),)
    world.play(accept(world, holds(world, world.victim, DEPOSIT - 5), withdrawn=found))
    assert world.play(accept(world, holds(world, world.victim, DEPOSIT - 5), withdrawn=found)) == []
    assert world.play(accept(world, holds(world, world.other, DEPOSIT))) == []


def test_nothing_is_taken_over_while_something_is_on_its_way(robbed):
    world = robbed
    stale = holds(world, world.victim, DEPOSIT)
    world.play(c.CreditDeposit(world.victim, 5, "late"))
    assert "compare again" in world.do(accept(world, stale)).message
    world.play(c.ReserveWithdrawal(world.victim, 5, "w"))
    assert "is open" in world.do(accept(world, holds(world, world.victim, DEPOSIT))).message
    world.play(c.HoldSettlement(False, who="ada", why="explained"))
    assert "hold it first" in world.do(accept(world, holds(world, world.other, DEPOSIT))).message
    world.play(c.CutSettlement(2))
    world.play(HOLD)
    assert "not final" in world.do(accept(world, holds(world, world.other, DEPOSIT))).message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lost": 1}, "0 micro-USDC are lost, and 1 were"),
        ({"left_over": -1}, "not negative"),
        ({"left_over": DELTA_MAX + 1}, "not negative, and at most"),
        ({"astray": -1}, "not negative"),
        ({"strangers": ((0, 2),)}, "slots that the books do not know"),
        ({"withdrawn": (c.ForeignWithdrawal(17, 5, "7"),)}, "among those that differ"),
        ({"slots": (c.HeldSlot(3, 0, 0, 0),)}, "has no slot"),
        ({"slots": (c.HeldSlot(16, DEPOSIT, -1, 0),)}, "less than nothing"),
        ({"slots": (c.HeldSlot(16, DEPOSIT, DEPOSIT, 0),) * 2}, "named once"),
        ({"slots": (c.HeldSlot(16, DEPOSIT, DEPOSIT + 1, 0),)}, "-1 micro-USDC are lost"),
    ],
)
def test_what_does_not_add_up_is_refused_and_says_what(robbed, change, said):
    fields = {"slots": (), "left_over": 0, "astray": 0, "lost": 0, **change}
    refused = robbed.do(c.AcceptChain(**fields, who="ada", why="x"))
    assert refused.code == "chain_not_accepted"
    assert said in refused.message
