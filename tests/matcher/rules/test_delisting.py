"""The end of a market: every position closes at one price, debts are shared by the stated rule, and not a micro-unit is left over.

Here it is forced before any price has stood for a minute, so that price is the last index; `test_delisting_price.py` has the average.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from core import events as e
from core.accounts import CLEARING, INSURANCE
from core.concerns import concerns, seen_by
from core.debt_events import DebtCovered
from core.market import MarketStatus
from core.operator_events import MarketSettled, SettledPosition
from core.postings import postings
from core.quantities import SECOND
from core.settlement_price import MINUTE
from core.subaccount_events import Transferred
from matcher import commands as c
from matcher.gates import below_zero, withdrawals_gated
from matcher.image import dump, load, state_hash

FORCED = c.DelistMarket(1, force=True, who="ada", why="its source is gone")


def held_by(world, lots=10_000, deposit=1_300_000_000):
    """A rich maker short and a poor trader long of `lots` of market 1 at 60,000."""
    maker, trader = world.agent(1, 10**13), world.agent(2, deposit)
    world.quotes(maker, [], [(600_000, lots)])
    world.request(trader, "k", 1, lots, 600_000)
    assert world.held(trader)[0] == lots
    return maker, trader


def end_of(events):
    (end,) = [event for event in events if isinstance(event, MarketSettled)]
    return end


def test_positions_close_at_the_price_and_the_book_is_empty(world):
    maker, trader = held_by(world, lots=100, deposit=10**12)
    world.quotes(maker, [(599_000, 5)], [(601_000, 5)])
    world.play(c.Subscribe(maker, (1,)))
    asked = world.request(world.agent(3), "waits", 1, 1, 600_500)[0].request
    world.index(1, 601_000)
    before = world.balance(maker), world.balance(trader)
    events = world.play(FORCED)
    gain = 1_000 * 100 * 10
    assert end_of(events) == MarketSettled(
        world.now,
        1,
        601_000,
        (SettledPosition(maker, -100, -gain, 0), SettledPosition(trader, 100, gain, 0)),
        0,
        0,
        True,
        "ada",
        "its source is gone",
        world.now // MINUTE * MINUTE,
        0,
    )
    assert (world.balance(maker), world.balance(trader)) == (before[0] - gain, before[1] + gain)
    assert [ev.outcome for ev in events if isinstance(ev, e.RequestClosed)] == ["market_settled"]
    assert asked not in world.state.book.requests
    assert e.QuotesPulled(world.now, maker, 1, "market_settled") in events
    assert world.state.open_interest[1] == world.balance(CLEARING) == 0
    assert all(not account.positions for account in world.state.accounts.values())
    assert world.state.statuses[1] == MarketStatus.SETTLED
    assert world.state.margin_of(world.state.accounts[trader]).initial == 0


def test_debts_are_paid_by_the_fund_and_then_by_those_who_gained(world):
    maker, trader = held_by(world)
    world.play(c.CreditDeposit(INSURANCE, 100_000_000, "fund"))
    world.index(1, 580_000)
    debt = -world.state.margin_of(world.state.accounts[trader]).equity
    assert debt > 100_000_000
    end = end_of(world.play(FORCED))
    shared = {position.account: position.shared for position in end.positions}
    assert (end.fund, end.uncovered) == (100_000_000, 0)
    assert shared == {trader: debt, maker: 100_000_000 - debt}
    assert (world.balance(trader), world.balance(INSURANCE)) == (0, 0)


def test_family_and_owner_pay_a_debt_before_the_fund_and_before_who_gained(world, replayed):
    _, trader = held_by(world)
    owner = world.state.accounts[trader].owner
    second = world.play(c.RegisterAgent(owner, "second"))[0].account
    world.play(c.BindSlot(second, 0, 200))
    sub = world.play(c.OpenSubAccount(trader, 2))[0].account
    world.play(c.CreditDeposit(INSURANCE, 100_000_000, "fund"))
    world.play(c.CreditDeposit(second, 10**9, "second"))
    world.index(1, 580_000)
    debt = -world.state.margin_of(world.state.accounts[trader]).equity
    world.play(c.CreditDeposit(trader, 30_000_000, "for the sub-account"))
    world.record(Transferred(world.now, "t", trader, sub, 30_000_000))
    told = world.play(FORCED)
    end = end_of(told)
    assert (end.fund, end.uncovered, {one.shared for one in end.positions}) == (0, 0, {0})
    [paid] = [event for event in told if isinstance(event, DebtCovered)]
    assert paid.shares == ((second, debt - 30_000_000), (sub, 30_000_000))
    assert (paid.account, paid.debt, paid.fund, paid.left) == (trader, debt, 0, 0)
    assert (world.balance(trader), world.balance(sub)) == (0, 0)
    assert (world.balance(second), world.balance(INSURANCE)) == (10**9 - debt + 30_000_000, 100_000_000)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_what_nobody_who_gained_has_stays_with_who_owes_it(world):
    """The winner here has lost more elsewhere than it won."""
    rich, poor, winner = world.agent(1, 10**13), world.agent(2, 1_300_000_000), world.agent(3, 10**10)
    world.quotes(rich, [], [(300_000, 10_000)], market=2)
    world.request(winner, "elsewhere", 1, 10_000, 300_000, market=2)
    world.quotes(poor, [(600_000, 10_000)], [])
    world.request(winner, "short", -1, 10_000, 600_000)
    world.index(1, 500_000)
    world.index(2, 100_000)
    debt, left = (-world.state.margin_of(world.state.accounts[id]).equity for id in (poor, winner))
    assert debt > left > 0
    end = end_of(world.play(FORCED))
    assert (end.fund, end.uncovered, world.balance(poor)) == (0, debt + left, -debt)
    assert world.state.margin_of(world.state.accounts[winner]).equity == -left
    treasury = world.treasury
    first, *_ = (event for event in world.pass_time(0) if isinstance(event, DebtCovered))
    assert (first.account, first.debt, first.treasury, first.left) == (poor, debt, treasury, 0)
    assert first.shares == ((rich, debt - treasury),)
    assert (world.balance(poor), world.treasury) == (0, 0)


def test_the_insurance_fund_closes_what_it_holds_and_pays_as_the_fund_only(world):
    """A position that it took over came to it by a record of its own; here by one of a fill."""
    maker, trader = held_by(world)
    world.play(c.CreditDeposit(INSURANCE, 10**9, "fund"))
    lots, price = 1_000, 600_000
    cost = lots * price * 10
    world.record(
        e.Filled(
            world.now, 2, 1, 1, 1, INSURANCE, maker, -1, lots, price, 0, 0, 0, -cost, cost - 10 * cost, price
        )
    )
    world.index(1, 580_000)
    gain = 20_000 * lots * 10
    fund = world.state.margin_of(world.state.accounts[INSURANCE]).equity
    debt = -world.state.margin_of(world.state.accounts[trader]).equity
    end = end_of(world.play(FORCED))
    (own,) = [position for position in end.positions if position.account == INSURANCE]
    assert (own.size, own.realized, own.shared, end.fund) == (-lots, gain, 0, min(fund, debt))
    assert world.balance(INSURANCE) == fund - end.fund >= 0


def test_each_account_sees_its_own_part_only(world):
    maker, trader = held_by(world)
    numbers = {account: world.state.accounts[account].number for account in (maker, trader)}
    end = end_of(world.play(FORCED))
    assert concerns(end) == (maker, trader)
    for own in end.positions:
        assert seen_by(end, own.account) == replace(end, positions=(own,))
    assert {account: world.state.accounts[account].number - numbers[account] for account in numbers} == {
        maker: 1,
        trader: 1,
    }


def test_a_market_without_a_price_or_positions_is_delisted_too(world):
    world.play(c.ListMarket(replace(world.state.markets[2], id=7, symbol="NEW-PERP")))
    end = end_of(world.play(c.DelistMarket(7, force=True)))
    assert (end.price, end.positions, end.forced) == (0, (), True)
    assert world.state.statuses[7] == MarketStatus.SETTLED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trades=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([1, -1]), st.integers(1, 20_000)),
        min_size=1,
        max_size=25,
    ),
    deposits=st.lists(st.integers(10**8, 10**10), min_size=6, max_size=6),
    fund=st.integers(0, 10**10),
    price=st.integers(300_000, 900_000),
)
def test_any_end_conserves_money_and_raises_nobody_above_what_is_paid(
    new_world, replayed, trades, deposits, fund, price
):
    world = new_world()
    agents = [world.agent(owner, deposit) for owner, deposit in enumerate(deposits, 1)]
    if fund:
        world.play(c.CreditDeposit(INSURANCE, fund, "fund"))
    for number, (maker, taker, side, size) in enumerate(trades):
        world.do(c.SetQuotes(agents[maker], 1, ((599_990, size),), ((600_010, size),), world.now + SECOND))
        world.request(agents[taker], f"k{number}", side, size, 600_000 + 100 * side)
    world.index(1, price)
    equities = {id: world.state.margin_of(world.state.accounts[id]).equity for id in agents}
    holders = {id for id in agents if world.held(id)[0]}
    end = end_of(world.play(FORCED))
    owed = sum(-equities[id] for id in holders if equities[id] < 0)
    assert sum(position.shared for position in end.positions) == end.fund == min(owed, fund)
    for position in end.positions:
        after = world.balance(position.account)
        assert after == equities[position.account] + position.shared
        assert (after >= 0) or (end.uncovered > 0 and equities[position.account] < 0)
    assert sum(-min(0, world.balance(id)) for id in holders) == end.uncovered
    # No cut has seen it yet.
    assert below_zero(world.state) == sorted(id for id in holders if world.balance(id) < 0)
    assert bool(end.uncovered) == ("below zero" in withdrawals_gated(world.state))
    moved = {}
    for line in postings(end):
        moved[line.debit] = moved.get(line.debit, 0) - line.amount
        moved[line.credit] = moved.get(line.credit, 0) + line.amount
    assert {id: moved.get(id, 0) for id in holders} == {
        position.account: position.realized + position.shared for position in end.positions
    }
    assert (world.balance(CLEARING), world.state.open_interest[1]) == (0, 0)
    assert (
        state_hash(replayed(world.journal)) == state_hash(load(dump(world.state))) == state_hash(world.state)
    )
