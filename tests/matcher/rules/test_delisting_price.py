"""A market's end as it is announced: only reducing meanwhile, no trade after it, and the average of the hour before as its price."""

import pytest

from core.accounts import INSURANCE
from core.events import MarketStatusSet, PremiumSampled
from core.funding import HOUR
from core.liquidation_events import LiquidationEnded
from core.market import MarketStatus
from core.operator_events import DelistingAnnounced, MarketSettled
from core.quantities import SECOND
from core.settlement_price import MINUTE, WINDOW
from core.validity import Validity
from matcher import commands as c
from matcher.decide_delisting import delisting_waits
from matcher.image import dump, load, state_hash
from matcher.leaving import free
from matcher.limits import DELISTING_NOTICE, SETTLEMENT_PATIENCE
from matcher.rejections import Rejection

DELIST = c.DelistMarket(1, who="ada", why="nobody quotes it")
FORCED = c.DelistMarket(1, force=True, who="bob", why="its source is gone")
OPEN = c.SetMarketStatus(1, MarketStatus.OPEN, who="ada", why="they came back")

USDC = 1_000_000


@pytest.fixture
def held(world) -> tuple[int, int]:
    """A maker short and a trader long of a hundred lots at 60,000."""
    maker, trader = world.agent(1, 10**13), world.agent(2, 10**13)
    world.quotes(maker, [], [(600_000, 100)])
    world.request(trader, "k", 1, 100, 600_000)
    assert world.held(trader)[0] == 100
    return maker, trader


def announce(world) -> int:
    return next(one for one in world.play(DELIST) if isinstance(one, DelistingAnnounced)).settles_at


def index_until(world, end, price, step=30 * SECOND):
    """Have the index stand at `price` from now on until `end`, told again every `step`."""
    found = []
    while world.now < end:
        world.index(1, price)
        found += world.pass_time(min(step, end - world.now))
    return found


def ended(events) -> MarketSettled | None:
    return next((one for one in events if isinstance(one, MarketSettled)), None)


def test_it_is_announced_a_day_before_and_only_reduces_from_then_on(world, held):
    status, announced = world.play(DELIST)
    assert (status.status, status.who) == (MarketStatus.REDUCE_ONLY, "ada")
    notice = announced.settles_at - world.now
    assert announced.settles_at % HOUR == 0
    assert DELISTING_NOTICE <= notice < DELISTING_NOTICE + HOUR
    assert world.play(DELIST) == []
    assert world.refuse(c.DelistMarket(9)) == "market_unknown"
    opening = world.request(held[1], "opens", 1, 1, 600_000)
    assert isinstance(opening, Rejection)
    assert opening.code == "market_reduce_only"


def test_a_market_that_is_paused_stays_so(world, held):
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    assert [type(one) for one in world.play(DELIST)] == [DelistingAnnounced]
    assert world.state.statuses[1] == MarketStatus.PAUSED


def test_in_the_last_hour_nobody_takes_out_or_trades_on_what_only_the_mark_shows(world, replayed):
    maker, agent = world.agent(1, 10**13), world.agent(2)
    sub = world.play(c.OpenSubAccount(agent, 1))[0].account
    world.play(c.Transfer(agent, agent, sub, 50_000 * USDC, "t"))
    for one in (agent, sub):
        world.quotes(maker, [], [(600_000, 10_000)])
        world.request(one, "open", 1, 10_000, 600_000)
    at = announce(world)
    world.now = at - WINDOW
    index_until(world, at - 10 * MINUTE, 600_000)
    state = world.state
    before = {one: free(state, state.accounts[one]) for one in (agent, sub)}
    assert state.ends == {1: 6_000_000}
    world.index(1, 720_000)
    # Of the hour ten minutes are left: a gain of 12,000 USDC at the mark will be one of 2,000.
    assert (state.mark_price(1), state.ends) == (720_000, {1: 6_200_000})
    for one in (agent, sub):
        account = state.accounts[one]
        assert state.worth_of(account).equity - state.margin_of(account).equity == 10_000 * USDC
        state.value(account)
        assert account.balance + account.gain == state.margin_of(account).equity
        # A tenth of the notional stays, which is 1,200 USDC more.
        assert free(state, account) == before[one] + 800 * USDC
    much = before[sub] + 801 * USDC
    assert world.refuse(c.Transfer(agent, sub, agent, much, "too much")) == "transfer_too_large"
    assert isinstance(world.do(c.Transfer(agent, sub, agent, much - 2 * USDC, "enough")), list)
    # Whose position will be worth more than the mark shows has what the mark shows.
    assert state.margin_of(state.accounts[maker]) == state.worth_of(state.accounts[maker])
    assert load(dump(state)).ends == replayed(world.journal).ends == state.ends
    assert state_hash(load(dump(state))) == state_hash(state)
    index_until(world, at + SECOND, 720_000)
    assert (state.statuses[1], state.ends) == (MarketStatus.SETTLED, {})


def test_in_the_last_hour_only_what_will_be_settled_carries_other_positions(world, replayed):
    world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
    maker, agent = world.agent(1, 10**13), world.agent(2, 5_000 * USDC)
    for market, price in ((1, 600_000), (2, 300_000)):
        world.quotes(maker, [], [(price, 10_000)], market=market)
        world.request(agent, f"open {market}", 1, 10_000, price, market=market)
    at = announce(world)
    world.now = at - WINDOW
    index_until(world, at - 10 * MINUTE, 600_000)
    world.index(1, 720_000)
    # The mark shows 12,000 USDC of gain, of which 2,000 will be there, and 7,000 are lost elsewhere.
    world.index(2, 230_000)
    told = world.pass_time(0)
    assert world.state.worth_of(world.state.accounts[agent]).equity == 0
    assert [one.why for one in told if isinstance(one, LiquidationEnded)] == ["taken_over"]
    # The fund has the gain that the mark shows, and at the end what there is.
    assert world.state.worth_of(world.state.accounts[INSURANCE]).equity > 109_000 * USDC
    index_until(world, at - MINUTE, 720_000)
    world.index(2, 230_000)
    index_until(world, at + SECOND, 720_000)
    assert world.state.statuses[1] == MarketStatus.SETTLED
    assert world.state.worth_of(world.state.accounts[INSURANCE]).equity > 99_000 * USDC
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_a_wick_of_a_second_moves_the_price_by_its_second_only(world, held, replayed):
    """Ten thousand USDC changed hands at a tick that the operator could have waited for."""
    maker, trader = held
    at = announce(world)
    world.now = at - WINDOW - 10 * MINUTE
    index_until(world, at - SECOND, 600_000)
    world.index(1, 606_000)
    end = ended(world.pass_time(SECOND))
    assert (end.at, end.until, end.price, end.believed) == (at, at, 600_002, WINDOW)
    assert (end.forced, end.who, end.why) == (False, "ada", "nobody quotes it")
    assert {one.account: one.realized for one in end.positions} == {maker: -2_000, trader: 2_000}
    assert world.play(DELIST) == []
    assert (
        state_hash(replayed(world.journal)) == state_hash(load(dump(world.state))) == state_hash(world.state)
    )


def test_nothing_fills_once_its_price_is_known(world, held):
    maker, trader = held
    at = announce(world)
    world.now = at - SECOND
    world.index(1, 600_000)
    world.quotes(maker, [(599_900, 10)], [])
    filled = world.request(trader, "in time", -1, 1, 599_000)
    assert world.closed(filled).outcome == "filled"
    world.pass_time(SECOND)
    assert (
        world.state.statuses[1] == MarketStatus.REDUCE_ONLY
    )  # it waits: a second of one price is no average
    world.index(1, 600_000)
    refused = world.request(trader, "late", -1, 1, 599_000)
    assert (refused.code, refused.message) == (
        "market_paused",
        "The market takes nothing more: it is being delisted.",
    )
    waiting = index_until(world, at + 10 * MINUTE, 600_000)
    assert not any(isinstance(one, PremiumSampled) and one.market == 1 for one in waiting)


def test_it_waits_for_half_an_hour_of_believed_prices_and_is_tried_every_minute(world, held):
    at = announce(world)
    world.now = at
    assert "believed for 0 s of the 3600 s" in delisting_waits(world.state, 1, at)
    assert ended(index_until(world, at + 30 * MINUTE - SECOND, 600_000)) is None
    end = ended(index_until(world, at + 31 * MINUTE, 600_000))
    assert (end.until, end.price, end.believed) == (at + 30 * MINUTE, 600_000, 30 * MINUTE)


@pytest.mark.parametrize("doubt", [Validity.DISPUTED, Validity.LONE, Validity.STALE])
def test_what_is_not_believed_for_settlement_counts_nothing(world, held, doubt):
    at = announce(world)
    world.now = at - WINDOW
    index_until(world, at - 20 * MINUTE, 600_000)
    while world.now < at - MINUTE:
        world.index(1, 700_000, validity=doubt)
        world.pass_time(30 * SECOND)
    end = ended(index_until(world, at, 600_000))
    assert (end.price, end.believed) == (600_000, WINDOW - 19 * MINUTE)


def test_a_silent_feed_counts_for_as_long_as_its_last_price_is_believed(world, held):
    at = announce(world)
    world.now = at - WINDOW
    index_until(world, at - 20 * MINUTE, 600_000, step=10 * SECOND)
    end = ended(world.pass_time(at - world.now))
    # The last was told ten seconds before the feed fell silent.
    silent = world.state.markets[1].index_max_age - 10 * SECOND
    assert (end.price, end.believed) == (600_000, 40 * MINUTE + silent)


def test_what_else_its_holders_have_must_be_believed_too(world, held):
    maker, trader = held
    world.quotes(maker, [], [(300_000, 10)], market=2)
    world.request(trader, "other", 1, 10, 300_000, market=2)
    at = announce(world)
    world.now = at - WINDOW
    assert ended(index_until(world, at + MINUTE, 600_000)) is None
    assert "ETH-PERP" in delisting_waits(world.state, 1, world.now)
    world.index(2, 300_000)
    assert ended(index_until(world, at + 2 * MINUTE, 600_000)).forced is False


def test_a_feed_that_never_comes_back_holds_up_no_other_markets_end(world, held):
    maker, trader = held
    world.quotes(maker, [], [(300_000, 10)], market=2)
    world.request(trader, "other", 1, 10, 300_000, market=2)
    at = announce(world)
    world.now = at - WINDOW
    assert ended(index_until(world, at + SETTLEMENT_PATIENCE, 600_000, MINUTE)) is None
    assert delisting_waits(world.state, 1, world.now) is not None
    end = ended(index_until(world, at + SETTLEMENT_PATIENCE + MINUTE, 600_000))
    assert (end.price, end.forced, world.held(trader, 2)[0]) == (600_000, False, 10)


def test_a_market_that_nobody_holds_ends_at_its_instant_whatever_its_index(world):
    at = announce(world)
    end = ended(world.pass_time(at - world.now))
    assert (end.at, end.positions, end.believed) == (at, (), 0)


def test_opening_it_takes_the_announcement_back_and_another_one_gives_new_notice(world, held):
    first = announce(world)
    world.now += HOUR
    world.play(OPEN)
    assert world.state.breakers.announced == {}
    second = announce(world)
    assert second == first + HOUR
    assert ended(index_until(world, first + 5 * MINUTE, 600_000, step=10 * MINUTE)) is None
    world.now = second - WINDOW
    assert ended(index_until(world, second, 600_000)).at == second


def test_it_ends_after_a_start_as_soon_as_there_is_an_average(world, held, replayed):
    at = announce(world)
    for state in (replayed(world.journal), load(dump(world.state))):
        world.state = state
        assert state.next_deadline() <= at
    world.now = at + 3 * HOUR
    end = ended(index_until(world, at + 4 * HOUR, 600_000))
    assert end.at == at + 3 * HOUR + 30 * MINUTE


def test_forced_it_ends_at_once_at_the_average_of_the_hour_that_is_over(world, held):
    began = world.now
    index_until(world, began + 20 * MINUTE, 600_000)
    index_until(world, began + 30 * MINUTE, 630_000)
    world.index(1, 700_000)
    (end,) = [one for one in world.play(FORCED) if isinstance(one, MarketSettled)]
    minutes = world.now // MINUTE * MINUTE - began
    assert (end.forced, end.who, end.until) == (True, "bob", began + minutes)
    assert end.believed == minutes
    assert end.price == round((20 * 600_000 + (minutes / MINUTE - 20) * 630_000) * MINUTE / minutes)


def test_the_status_says_who_announced_it(world, held):
    world.play(DELIST)
    (set_,) = [one for one in world.journal if isinstance(one, MarketStatusSet)]
    assert (set_.who, set_.why) == ("ada", "nobody quotes it")
