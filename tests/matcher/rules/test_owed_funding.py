"""Funding is owed from the end of its hour on: who leaves before it is paid leaves what it owes, and paying changes nobody's worth."""

import pytest

from core import events as e
from core.accounts import INSURANCE
from core.debt_events import DebtCovered
from core.funding import HOUR
from core.liquidation_events import TakenOver
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.gates import below_zero, debt_gate
from matcher.image import dump, load, state_hash

INDEX = 600_000
OWNS = 20_000_000_000


@pytest.fixture
def dear(world):
    """Makers far above the index, a payer that is long a second before the hour ends, and everybody settled on chain; then it ends."""
    hour = world.now // HOUR + 2
    world.now = (hour - 1) * HOUR + SECOND // 2
    makers = [world.agent(number, 10**13) for number in (1, 2)]
    payer, one_lot = world.agent(3, OWNS), world.agent(4, 1_000_000)
    world.play(c.CutSettlement(1))
    world.finalize(1)
    for _ in range(30):
        world.index(1, INDEX)
        for maker in makers:
            world.quotes(maker, [(INDEX + 28_000, 10**6)], [(INDEX + 29_000, 10**6)])
        world.pass_time(5 * SECOND)
    world.now = hour * HOUR - SECOND
    near(world, makers)
    world.request(payer, "in", 1, 100_000, INDEX + 100)
    world.request(one_lot, "in", 1, 1, INDEX + 100)
    world.now = hour * HOUR + SECOND // 10
    world.pass_time(0)
    near(world, makers)
    return hour, makers, payer, one_lot


def near(world, makers):
    world.index(1, INDEX)
    for maker in makers:
        world.quotes(maker, [(INDEX - 100, 200_000)], [(INDEX + 100, 200_000)])


def leave(world, account, size):
    """Close, be settled, and take out all that may be taken."""
    world.request(account, "out", -1, size, INDEX - 200)
    assert world.held(account) == (0, 0)
    world.play(c.CutSettlement(2))
    world.finalize(2)
    held = world.state.accounts[account]
    amount = min(world.state.margin_of(held).withdrawable, held.settled)
    assert world.refuse(c.ReserveWithdrawal(account, amount + 1, "more")) == "withdrawal_too_large"
    world.play(c.ReserveWithdrawal(account, amount, "all"))


@pytest.mark.parametrize(("who", "size"), [(2, 100_000), (3, 1)])
def test_whoever_closes_and_takes_all_out_before_the_hour_is_paid_leaves_what_it_owes(world, dear, who, size):
    hour, makers, *_ = dear
    account = dear[who]
    owed = world.state.owed(world.state.accounts[account])
    assert owed > 0
    leave(world, account, size)
    assert world.balance(account) == owed
    (paid,) = world.play(c.SettleFunding(1, hour))
    assert dict(paid.payments)[account] == owed
    assert world.balance(account) == 0
    world.play(c.CutSettlement(3))
    world.play(c.ReserveWithdrawal(makers[0], 1_000_000, "w"))


def test_an_account_taken_over_between_the_end_of_an_hour_and_its_payment_ends_at_nothing(world, dear):
    hour, makers, payer, _ = dear
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    for maker in makers:
        world.play(c.CancelAll(maker))
    world.now += SECOND
    world.index(1, INDEX - 20_500)
    took = [event for event in world.pass_time(0) if isinstance(event, TakenOver)]
    assert [event.account for event in took] == [payer]
    account = world.state.accounts[payer]
    assert account.balance == world.state.owed(account) > 0
    world.play(c.SettleFunding(1, hour))
    assert (world.balance(payer), account.positions) == (0, {})


def test_what_is_owed_counts_in_equity_in_what_may_be_opened_and_in_cuts(world, dear, replayed):
    hour, makers, payer, _ = dear
    (ended,) = [event for event in world.journal if isinstance(event, e.HourEnded) and event.market == 1][-1:]
    assert ended.hour == hour
    world.play(c.CutSettlement(2))
    equities = {id: world.state.margin_of(account).equity for id, account in world.state.accounts.items()}
    assert all(world.state.cut.equities[id] == equities[id] for id in (*makers, payer))
    assert sum(world.state.cut.equities.values()) == world.state.deposited
    free = world.state.margin_of(world.state.accounts[payer]).available
    world.state.value(world.state.accounts[payer])
    account = world.state.accounts[payer]
    assert account.balance + account.gain - account.required == free
    copies = replayed(world.journal), load(dump(world.state))
    assert {state_hash(copy) for copy in copies} == {state_hash(world.state)}
    for copy in copies:
        assert copy.margin_of(copy.accounts[payer]) == world.state.margin_of(account)
        assert copy.next_deadline() != 0
    world.finalize(2)
    for other in (1, 2):
        world.index(other, (INDEX, 300_000)[other - 1], validity=Validity.UNCERTAIN)
    world.play(c.SettleFunding(1, hour))
    for id in (*makers, payer):
        assert world.state.margin_of(world.state.accounts[id]).equity == equities[id]


def test_a_start_knows_who_is_below_zero_by_nothing_but_funding(world, dear):
    """It holds nothing, its balance is not negative, and what it owes for the hour is more."""
    hour, _, payer, _ = dear
    world.request(payer, "out", -1, 100_000, INDEX - 200)
    owed = world.state.owed(world.state.accounts[payer])
    world.play(c.ClaimExit(payer, world.balance(payer) - owed // 2, "claim:payer:0"))
    assert world.balance(payer) == owed // 2
    loaded = load(dump(world.state))
    for state in (world.state, loaded):
        assert below_zero(state) == [payer]
        assert debt_gate(state) == "An account is below zero: withdrawals go on once its debt is paid."
    world.state = loaded
    loaded.book.secret = b"x"
    world.play(c.StartEpoch())
    world.pass_time(0)
    covered = [event for event in world.journal if isinstance(event, DebtCovered)]
    assert [(one.account, one.debt, one.left) for one in covered] == [(payer, owed - owed // 2, 0)]
    world.play(c.SettleFunding(1, hour))
    assert (world.balance(payer), below_zero(loaded), debt_gate(loaded)) == (0, [], "")
