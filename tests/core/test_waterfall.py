"""The whole waterfall on a crash: money is neither made nor lost, and bankrupt accounts end at zero."""

from hypothesis import given
from hypothesis import strategies as st

from core.account_risk import RiskMark, account_risk
from core.deleveraging import Holder, deleverage, greedy, pro_rata
from core.fund import Fund, Part, may_take
from core.liquidation import LiquidationTerms, Stage, closing, stage
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position, trade
from core.waterfall import (
    Auction,
    Deleverage,
    Takeover,
    bankruptcy_parts,
    heaviest_market,
    next_step,
    trade_for_value,
    without_gift,
)

STEPS = steps(MarginTerms((Tier(0, 20_000), Tier(10**9, 50_000))), 0)
TERMS = LiquidationTerms(whole_up_to=10**8)
FUND = 2


class World:
    """Accounts trading by the rules alone: what an engine does with the steps, without one."""

    def __init__(self, accounts, fund, floor, policy):
        self.balances = {FUND: fund, **{16 + i: balance for i, (balance, _) in enumerate(accounts)}}
        self.held = {FUND: {}, **{16 + i: dict(held) for i, (_, held) in enumerate(accounts)}}
        self.floor = floor
        self.began = fund
        self.policy = policy
        self.uncovered = False
        self.steps = 0

    def exchange(self, market, one, other, size, value):
        """`one` gives `size` lots (signed) to `other` for `value`."""
        for account, change, worth in ((one, -size, -value), (other, size, value)):
            had = self.held[account].get(market, Position(0, 0))
            lots, cost, realized = trade_for_value(had.size, had.cost, change, worth)
            self.balances[account] += realized
            self.held[account][market] = Position(lots, cost)
            if lots == 0:
                del self.held[account][market]

    def risk(self, account, marks):
        return account_risk(self.balances[account], self.held[account], marks)

    def total(self):
        costs = sum(position.cost for held in self.held.values() for position in held.values())
        return sum(self.balances.values()) - costs

    def liquidate(self, account, marks, maker):
        """Step by step until nothing is to be done, or nobody bids."""
        while True:
            risk = self.risk(account, marks)
            takes = stage(risk.equity, risk.maintenance) is Stage.TAKEOVER and may_take(
                Fund(self.balances[FUND], self.held[FUND], self.floor, self.began),
                bankruptcy_parts(self.balances[account], self.held[account], marks, marks),
                marks,
            )
            ticks = dict.fromkeys(marks, 1)
            terms = dict.fromkeys(marks, TERMS)
            match next_step(self.balances[account], self.held[account], marks, terms, ticks, takes, marks):
                case Auction(market, size, worst):
                    if maker is None:
                        return
                    self.auction(account, maker, market, size, worst, marks[market])
                case Takeover(parts):
                    for part in parts:
                        self.exchange(part.market, account, FUND, part.size, part.value)
                case Deleverage(part):
                    self.deleverage(account, part, marks)
                case None:
                    return
            self.steps += 1

    def auction(self, account, maker, market, size, worst, mark):
        held = self.held[account][market]
        risk = self.risk(account, {m: mark if m == market else self.marks[m] for m in self.held[account]})
        part = closing(mark, held.size, abs(size), risk.equity, risk.maintenance)
        self.exchange(market, account, maker, size, worst * size)
        fee = part.insurance_delta(worst * size, TERMS.fee, TERMS.surplus_share)
        assert fee >= 0
        self.balances[account] -= fee
        self.balances[FUND] += fee
        after = self.risk(account, self.marks)
        assert after.equity * risk.maintenance >= risk.equity * after.maintenance

    def deleverage(self, account, part, marks):
        value = marks[part.market].value_per_lot
        holders = [
            Holder(other, held[part.market].size, held[part.market].cost, self.risk(other, marks).equity)
            for other, held in self.held.items()
            if part.market in held and other not in (account, FUND)
        ]
        shared = deleverage(part.size, part.value, holders, value, self.policy)
        side = 1 if part.size > 0 else -1
        paid = 0
        for other, lots, received in shared.closed:
            was = self.risk(other, marks).equity
            self.exchange(part.market, account, other, side * lots, received)
            assert self.risk(other, marks).equity >= 0 or was < 0
            paid += received
        if shared.left:
            self.uncovered = True
            self.exchange(part.market, account, FUND, side * shared.left, part.value - paid)


@st.composite
def crashes(draw):
    """Accounts at marks of 1,000 that all could open what they hold, then marks after a crash."""
    prices = {1: 1_000, 2: 1_000}
    count = draw(st.integers(1, 5))
    held = [{} for _ in range(count + 1)]
    for market in prices:
        sizes = draw(st.lists(st.integers(-(10**6), 10**6), min_size=count, max_size=count))
        for account, size in zip(held, [*sizes, -sum(sizes)], strict=True):
            if size:
                account[market] = Position(size, size * 1_000)
    opening = {market: RiskMark.of(STEPS, price) for market, price in prices.items()}
    accounts = []
    for positions in held:
        least = account_risk(0, positions, opening).initial
        above = st.integers(0, least // 20) | st.integers(0, least) | st.integers(0, 10**10)
        accounts.append((least + draw(above), positions))
    # A fall by 1.0 to 1.3 % is what takes fully leveraged accounts to the auction and not beyond it.
    moves = st.sampled_from([987, 988, 989, 990, 1_010, 1_011, 1_012, 1_013]) | st.integers(300, 1_700)
    after = {market: RiskMark.of(STEPS, draw(moves)) for market in prices}
    return accounts, after


@given(
    crashes(),
    st.integers(0, 10**9),
    st.integers(0, 10**8),
    st.sampled_from([pro_rata, greedy]),
    st.booleans(),
)
def test_a_crash_makes_and_loses_nothing_and_leaves_nobody_below_zero(crash, fund, floor, policy, bids):
    accounts, marks = crash
    world = World(accounts, fund, floor, policy)
    world.marks = marks
    maker = 1_000 if bids else None
    world.balances[1_000], world.held[1_000] = 10**13, {}
    total = world.total()
    steps_before = -1
    while (
        world.steps != steps_before
    ):  # what a counterparty of a deleveraging paid may leave it to be liquidated too
        steps_before = world.steps
        for account in sorted(world.held):
            if account not in (FUND, 1_000):
                world.liquidate(account, marks, maker)
    assert world.total() == total
    for market in marks:
        assert sum(held[market].size for held in world.held.values() if market in held) == 0
    for account in world.held:
        if account != FUND:
            risk = world.risk(account, marks)
            assert risk.equity >= 0
            assert not risk.liquidatable or (maker is None and 3 * risk.equity >= 2 * risk.maintenance)
    if not world.uncovered:
        assert world.risk(FUND, marks).equity >= min(fund, floor)


MARKS = {1: RiskMark.of(STEPS, 100_000), 2: RiskMark.of(STEPS, 50_000)}
BOTH = {1: Position(-1_000, -100_000_000), 2: Position(1_000, 50_000_000)}
ONE_TICK = {1: 1, 2: 1}
ALL_TERMS = {1: TERMS, 2: TERMS}


def test_an_account_that_meets_maintenance_has_no_next_step():
    assert next_step(1_500_000, BOTH, MARKS, ALL_TERMS, ONE_TICK, True, BOTH) is None


def test_the_auction_closes_a_slice_where_most_maintenance_is_freed():
    assert heaviest_market(BOTH, MARKS) == 1
    step = next_step(1_350_000, BOTH, MARKS, ALL_TERMS, ONE_TICK, True, BOTH)
    assert step == Auction(1, -1_000, 100_199)
    slices = dict.fromkeys(MARKS, LiquidationTerms(whole_up_to=0))
    assert next_step(1_350_000, BOTH, MARKS, slices, ONE_TICK, True, BOTH) == Auction(1, -200, 100_199)


def test_the_fund_takes_everything_or_the_first_part_is_deleveraged():
    parts = (Part(1, -1_000, -100_600_000), Part(2, 1_000, 49_700_000))
    assert bankruptcy_parts(900_000, BOTH, MARKS, BOTH) == parts
    assert next_step(900_000, BOTH, MARKS, ALL_TERMS, ONE_TICK, True, BOTH) == Takeover(parts)
    assert next_step(900_000, BOTH, MARKS, ALL_TERMS, ONE_TICK, False, BOTH) == Deleverage(parts[0])


def test_only_what_has_a_price_that_is_trusted_is_touched_and_it_carries_the_whole_of_a_debt():
    step = next_step(1_350_000, BOTH, MARKS, ALL_TERMS, ONE_TICK, True, {2})
    assert isinstance(step, Auction)
    assert step.market == 2
    # A third of the maintenance is in market 2, so of what is left a third goes with it.
    assert bankruptcy_parts(900_000, BOTH, MARKS, {2}) == (Part(2, 1_000, 49_700_000),)
    (part,) = bankruptcy_parts(-100_000, BOTH, MARKS, {2})
    assert part == Part(2, 1_000, 50_100_000)
    after = account_risk(-100_000 + part.value - 50_000_000, {1: BOTH[1]}, MARKS)
    assert after.equity == 0


lots = st.integers(-(10**6), 10**6)


@given(lots, st.integers(-(10**9), 10**9), lots.filter(bool), st.integers(1, 10**6))
def test_trading_for_a_value_is_trading_at_its_price(size, cost, change, price):
    cost = cost if size else 0
    assert trade_for_value(size, cost, change, change * price) == trade(size, cost, change, price)


@given(lots, st.integers(-(10**9), 10**9), lots.filter(bool), st.integers(-(10**12), 10**12))
def test_trading_for_a_value_loses_nothing(size, cost, change, value):
    cost = cost if size else 0
    after, cost_after, realized = trade_for_value(size, cost, change, value)
    assert after == size + change
    assert realized == cost_after - cost - value
    assert cost_after == 0 or after != 0


held = st.dictionaries(
    st.sampled_from([1, 2]), st.tuples(lots.filter(bool), st.integers(-(10**9), 10**9)), min_size=1
)
worsts = st.fixed_dictionaries({1: st.integers(0, 200_000), 2: st.integers(0, 100_000)})


@given(held, st.data(), worsts)
def test_who_keeps_a_part_leaves_with_no_more_than_that_and_owes_nothing(holdings, data, worst):
    """To the micro-USDC, although each position has a price of its own: both bounds hold for each, so they do for all."""
    positions = {market: Position(*one) for market, one in holdings.items()}
    equity = data.draw(st.integers(0, 10**9))
    balance = equity - account_risk(0, positions, MARKS).equity
    kept = data.draw(st.integers(0, equity))
    within = data.draw(st.sets(st.sampled_from(sorted(positions)), min_size=1))
    parts, lowest = (bankruptcy_parts(balance - less, positions, MARKS, within) for less in (kept, 0))
    priced = without_gift(parts, lowest, worst, ALL_TERMS)
    for part, least, at in zip(parts, lowest, priced, strict=True):
        assert least.value <= at.value <= part.value
        assert at.value == least.value or at.value <= part.size * worst[part.market]
    if within == positions.keys():
        realized = sum(at.value - positions[at.market].cost for at in priced)
        assert 0 <= balance + realized <= kept
