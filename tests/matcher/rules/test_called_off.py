"""Auctions that no bid could win say nothing of what anybody would have paid."""

import msgspec
import pytest

from core import events as e
from core.accounts import INSURANCE
from core.liquidation_events import LiquidationSliced, TakenOver
from core.market import MarketStatus
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import Image, dump, load, state_hash
from matcher.retrace import retrace

USDC = 1_000_000


class Bound:
    """An owner that is solvent, long two BTC and ten ETH, and bounds what settlement may take of it to nothing; its maker is asked
    about everything. The fund could take it over."""

    def __init__(self, world):
        self.world = world
        world.play(c.CreditDeposit(INSURANCE, 100_000 * USDC, "fund"))
        self.agent, self.maker = world.agent(1, 10_000 * USDC), world.agent(2, 10**12)
        for market, lots, price in ((1, 20_000, 600_000), (2, 10_000, 300_000)):
            world.quotes(self.maker, [], [(price, lots)], market=market)
            assert (
                world.closed(
                    world.request(self.agent, f"long {market}", 1, lots, price, market=market)
                ).filled
                == lots
            )
        world.play(c.CutSettlement(1))
        world.play(c.Subscribe(self.maker, (1, 2)))

    def bind(self):
        """The auction of BTC that the limit leads to."""
        self.world.play(c.SeeLossLimits(1, True, (c.LimitedSlot(self.agent, 0, 0, 0),)))
        return self.opened(self.world.pass_time(0))

    def opened(self, events):
        assert not [event for event in events if isinstance(event, TakenOver)]
        (opened,) = (event for event in events if isinstance(event, e.RequestOpened))
        return opened

    def status(self, status):
        self.world.play(c.SetMarketStatus(1, status, who="ada", why="looks wrong"))
        return self.world.pass_time(0)

    def in_vain(self, opened):
        self.world.play(c.PassRequest(self.maker, opened.request))
        return self.world.pass_time(0)


@pytest.fixture
def bound(world):
    return Bound(world)


def test_what_a_pause_ended_is_offered_again_whatever_the_market_reopens_to(world, bound):
    first = bound.bind()
    assert first.market == 1
    # While it is paused what is held elsewhere is offered, not taken.
    assert bound.opened(bound.status(MarketStatus.PAUSED)).market == 2
    assert bound.in_vain(world.state.book.requests[first.request + 1].opened)
    again = [one for one in bound.status(MarketStatus.REDUCE_ONLY) if isinstance(one, e.RequestOpened)]
    assert [one.market for one in again] == [1]


def test_what_nobody_could_fill_is_offered_again_when_the_price_is_believed_again(world, bound):
    bound.bind()
    world.index(1, 600_000, validity=Validity.AGED)
    closed = world.pass_time(SECOND // 4)
    assert [one.outcome for one in closed if isinstance(one, e.RequestClosed)] == ["cancelled"]
    assert bound.opened(closed).market == 2
    assert world.held(bound.agent)[0] == 20_000


def test_each_market_is_offered_before_what_nobody_bought_is_taken(world, bound, replayed):
    assert bound.opened(bound.in_vain(bound.bind())).market == 2
    (going,) = world.state.liquidations.values()
    assert going.unsold == {1}
    second = next(iter(world.state.book.requests.values())).opened
    taken = [one for one in bound.in_vain(second) if isinstance(one, TakenOver)]
    assert [part.market for part in taken[0].parts] == [1, 2]
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    assert [step.differences for step in retrace(lambda: enumerate(world.journal, 1), 1)] == [[]] * 5


def test_which_markets_were_not_sold_outlives_the_process(world, bound):
    bound.in_vain(bound.bind())
    kept = load(dump(world.state))
    assert kept.liquidations[bound.agent].unsold == {1}
    assert state_hash(kept) == state_hash(world.state)
    # Older images say only that something was not sold: then nothing that is held is offered again.
    older = msgspec.msgpack.decode(dump(world.state))
    (going,) = older[Image.__struct_fields__.index("liquidations")]
    assert going.pop() == [1]
    assert load(msgspec.msgpack.encode(older)).liquidations[bound.agent].unsold == {1, 2}


def test_a_slice_sold_whole_is_followed_by_another(world, bound):
    first = bound.bind()
    answer = c.AnswerRequest(bound.maker, first.request, first.limit, 0, first.size, 1, world.now + SECOND)
    sold = world.play(answer)
    assert [one.size for one in sold if isinstance(one, LiquidationSliced)] == [first.size]
    assert world.state.liquidations[bound.agent].unsold == set()


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "not believed"])
def test_the_fund_s_sale_is_widened_by_no_auction_that_was_called_off(world, paused):
    world.play(c.CreditDeposit(INSURANCE, 1_000_000 * USDC, "fund"))
    maker, trader = world.agent(1, 10**13), world.agent(2, 1_300 * USDC)
    world.quotes(maker, [], [(600_000, 10_000)])
    world.request(trader, "long", 1, 10_000, 600_000)
    world.index(1, 590_000)
    world.pass_time(0)
    world.play(c.Subscribe(maker, (1,)))
    limits = []
    for called_off in (False, True, True, True, False):
        world.now += 61 * SECOND
        world.index(1, 590_000)
        world.pass_time(0)
        (opened,) = world.play(c.SellInventory(1))
        limits.append(opened.limit)
        if not called_off:
            world.play(c.PassRequest(maker, opened.request))
        elif paused:
            world.play(c.SetMarketStatus(1, MarketStatus.PAUSED, who="ada", why="looks wrong"))
            world.play(c.SetMarketStatus(1, MarketStatus.OPEN, who="ada", why="is right"))
        else:
            world.index(1, 590_000, validity=Validity.AGED)
            world.pass_time(SECOND // 4)
    assert len(set(limits)) == 1
    assert world.state.book.sales[1].steps == 2
