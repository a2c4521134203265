"""The published prices are exactly the edges at which an account's standing changes."""

from hypothesis import assume, given
from hypothesis import strategies as st

from core.account_risk import RiskMark, account_risk
from core.edge_prices import bankruptcy_price, liquidation_price, recovery_prices, watch_prices
from core.margin_terms import MarginTerms, Tier, steps
from core.position import Position

TIERS = (Tier(0, 20_000), Tier(10**9, 50_000), Tier(10**10, 200_000))
TIERED = steps(MarginTerms(TIERS), 0)


def test_the_liquidation_price_of_the_published_example():
    """dYdX: equity 1000, short 3 at 3000, maintenance 5 %: 3174.603; here in ticks of a thousandth."""
    flat = steps(MarginTerms((Tier(0, 100_000),)), 0)
    assert liquidation_price(flat, 1_000, -3, 3_000_000_000, 1_000_000_000, 0) == 3_174_603
    assert bankruptcy_price(1_000, -3, 3_000_000_000, 1_000_000_000) == 3_333_333


def test_a_long_that_nothing_can_reach_has_no_price():
    assert liquidation_price(TIERED, 1, 10, 1_000, 10_000, 0) is None
    assert bankruptcy_price(1, 10, 1_000, 10_000) is None
    assert bankruptcy_price(1, 10, 1_000, 9_999) == 1


def test_a_short_that_is_lost_at_every_mark_has_no_price():
    assert liquidation_price(TIERED, 1, -10, 1_000, -20_000, 0) is None


def test_full_maintenance_has_no_edge_for_a_long():
    whole = steps(MarginTerms((Tier(0, 1_000_000),), maintenance_share=1_000_000), 0)
    assert liquidation_price(whole, 1, 10, 1_000, 5_000, 0) is None


sizes = st.integers(-(10**5), 10**5).filter(bool)
prices = st.integers(100, 10**5)
permilles = st.integers(-50, 900)
"""Equity over notional: nearly always there is a positive mark at which it is used up."""


@given(sizes, prices, st.integers(1, 100), permilles, st.integers(0, 50))
def test_the_liquidation_price_is_the_last_safe_tick(size, price, tick_value, share, elsewhere):
    value = price * tick_value
    notional = abs(size) * value
    equity, other = notional * share // 1_000, notional * elsewhere // 1_000
    balance = equity - size * value
    edge = liquidation_price(TIERED, tick_value, size, value, equity, other)
    assume(edge is not None)

    def meets(ticks):
        mark = RiskMark.of(TIERED, max(1, ticks * tick_value))
        return balance + size * ticks * tick_value >= mark.maintenance_of(size) + other

    assert meets(edge)
    beyond = edge - 1 if size > 0 else edge + 1
    assume(beyond > 0)
    assert not meets(beyond)


@given(sizes, prices, permilles)
def test_bankruptcy_is_the_last_tick_without_debt_and_lies_beyond_liquidation(size, price, share):
    equity = abs(size) * price * share // 1_000
    balance = equity - size * price
    edge = bankruptcy_price(1, size, price, equity)
    assume(edge is not None)
    assert balance + size * edge >= 0 > balance + size * (edge - 1 if size > 0 else edge + 1)
    liquidation = liquidation_price(TIERED, 1, size, price, equity, 0)
    if liquidation is not None:
        assert (liquidation - edge) * size >= 0


@st.composite
def portfolios(draw):
    """Positions, their marks, and a balance that leaves anything from nothing to all of the notional above maintenance."""
    positions, marks = {}, {}
    for market in range(1, draw(st.integers(1, 5)) + 1):
        positions[market] = Position(draw(sizes), draw(st.integers(-(10**8), 10**8)))
        marks[market] = RiskMark.of(TIERED, draw(st.integers(1, 10**5)))
    bare = account_risk(0, positions, marks)
    above = draw(st.integers(0, 20) | st.integers(0, bare.notional))
    return positions, marks, bare.maintenance + above - bare.equity


@given(portfolios(), st.data())
def test_no_mark_within_its_watch_price_can_liquidate(portfolio, data):
    positions, marks, balance = portfolio
    risk = account_risk(balance, positions, marks)
    watched = watch_prices(risk, positions, marks, dict.fromkeys(positions, 1))
    moved = {}
    for market, position in positions.items():
        edge = watched[market]
        assert (marks[market].value_per_lot - edge) * position.size >= 0
        within = st.integers(edge, edge + 10**6) if position.size > 0 else st.integers(1, edge)
        at = data.draw(st.just(edge) | within)
        moved[market] = RiskMark.of(TIERED, max(1, at))
    assert not account_risk(balance, positions, moved).liquidatable


@given(portfolios(), st.sampled_from([400_000, 500_000, 900_000, 1_500_000]), st.data())
def test_no_mark_within_its_watch_price_can_reach_its_level(portfolio, level, data):
    positions, marks, balance = portfolio
    risk = account_risk(balance, positions, marks)
    ticks = dict.fromkeys(positions, 1)
    below = risk.maintenance * 10**6 < risk.equity * level
    watched = (watch_prices if below else recovery_prices)(risk, positions, marks, ticks, level)
    moved = {}
    for market, position in positions.items():
        edge = watched[market]
        falls = (position.size > 0) is below
        assert (marks[market].value_per_lot - edge) * (1 if falls else -1) >= 0
        within = st.integers(max(1, edge), edge + 10**6) if falls else st.integers(1, max(1, edge))
        moved[market] = RiskMark.of(TIERED, max(1, data.draw(st.just(edge) | within)))
    after = account_risk(balance, positions, moved)
    if below and risk.maintenance + len(positions) <= risk.equity * level // 10**6:
        assert after.maintenance * 10**6 < after.equity * level
    elif not below and risk.maintenance - len(positions) > risk.equity * level // 10**6:
        assert after.maintenance * 10**6 >= after.equity * level


def test_a_recovery_price_is_where_a_warning_ends_and_no_further():
    """A long of 100 lots at 1,000 with equity of 1,500 and maintenance of 1,000: two thirds; at 50 % it has gained about 510."""
    positions, marks = {1: Position(100, 98_500)}, {1: RiskMark.of(TIERED, 1_000)}
    risk = account_risk(0, positions, marks)
    edge = recovery_prices(risk, positions, marks, {1: 1}, 500_000)[1]
    shares = [account_risk(0, positions, {1: RiskMark.of(TIERED, at)}) for at in (edge, edge + 1)]
    assert [2 * share.maintenance > share.equity for share in shares] == [True, False]


def test_a_watch_price_uses_all_the_room_there_is():
    """One long of 100 lots at 1,000 with 2,000 above its maintenance of 1,000: about a fiftieth of the mark."""
    positions, marks = {1: Position(100, 97_000)}, {1: RiskMark.of(TIERED, 1_000)}
    risk = account_risk(0, positions, marks)
    assert watch_prices(risk, positions, marks, {1: 1}) == {1: 980}
    assert watch_prices(risk, positions, marks, {1: 7}) == {1: 140}


def test_a_short_is_watched_as_if_it_had_reached_the_steepest_tier():
    """Worth just under the edge of the highest tier, it pays that tier's 10 % of every further rise."""
    positions, marks = {1: Position(-100_000, -(10**10))}, {1: RiskMark.of(TIERED, 99_999)}
    maintenance = marks[1].maintenance_of(100_000)
    balance = maintenance + 10**8 - account_risk(0, positions, marks).equity
    risk = account_risk(balance, positions, marks)
    edge = watch_prices(risk, positions, marks, {1: 1})[1]
    assert edge == 99_999 + (10**8 - 1) * 10 // (100_000 * 11)
    assert not account_risk(balance, positions, {1: RiskMark.of(TIERED, edge)}).liquidatable
    assert account_risk(balance, positions, {1: RiskMark.of(TIERED, edge + 1)}).liquidatable


def test_rounding_up_of_many_requirements_is_room_that_cannot_be_used():
    """Two longs whose maintenance of 4.95 and 4.95 is 5 and 5: what lies between belongs to nobody."""
    positions = {1: Position(1, 0), 2: Position(1, 0)}
    marks = {1: RiskMark.of(TIERED, 495), 2: RiskMark.of(TIERED, 495)}
    risk = account_risk(12 - 990, positions, marks)
    assert risk.equity - risk.maintenance == 2
    assert watch_prices(risk, positions, marks, {1: 1, 2: 1}) == {1: 495, 2: 495}
