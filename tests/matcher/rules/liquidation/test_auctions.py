"""Warnings and auctions: what is asked for and sold, at which bound, and what is refused meanwhile."""

from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE, TREASURY
from core.concerns import concerns
from core.liquidation import LiquidationTerms
from core.quantities import SECOND
from matcher import commands as c
from matcher.limits import AUCTION_PAUSE, AUCTION_TTL


def test_warnings_come_once_per_level_and_hold_until_the_share_has_fallen_by_a_fifth(crash):
    def levels(price):
        return [event.level for event in crash.mark(price) if isinstance(event, le.MarginWarned)]

    assert levels(599_000) == []  # 5,990 of 12,000
    assert levels(598_900) == [500_000]
    assert [levels(price) for price in (599_100, 598_900, 598_000)] == [[], [], []]
    assert levels(594_400) == [800_000]
    assert levels(593_500) == [900_000]
    assert levels(594_800) == []  # 5,948 of 7,800 is 76 %: 90 is lifted at 72
    assert levels(595_300) == [800_000]
    assert levels(593_500) == [900_000]
    assert levels(610_000) == [0]
    assert levels(593_500) == [900_000]
    warned = [event for event in crash.world.journal if isinstance(event, le.MarginWarned)]
    assert warned[-1] == le.MarginWarned(
        crash.world.now, crash.trader, 900_000, crash.EQUITY - 6_500_000_000, 5_935_000_000
    )
    assert concerns(warned[-1]) == (crash.trader,)


def test_closing_the_position_lifts_a_warning(crash):
    crash.mark(597_000)
    crash.trade(crash.trader, -1, crash.LOTS)
    assert crash.at_once() == []
    assert [event.level for event in crash.mark(597_000)] == [0]


def test_it_starts_below_maintenance_and_withdraws_all_that_was_asked_and_quoted(crash):
    world, trader = crash.world, crash.trader
    other = world.agent(3)
    for asked in (trader, crash.maker):
        world.play(c.Subscribe(asked, (1,)))
    asked = world.request(other, "mine", 1, 10, 600_000)[0].request
    world.play(c.AnswerRequest(trader, asked, 599_000, 600_000, 5, 1, world.now + 5 * SECOND))
    world.request(trader, "open", -1, 10, 600_010, ttl=5 * SECOND)
    world.quotes(trader, [], [(600_500, 10)])
    equity = crash.standing().equity
    events = crash.mark(592_500)
    started = crash.only(events, le.LiquidationStarted)
    assert started == le.LiquidationStarted(
        world.now, 1, trader, equity - 7_500_000_000, 5_925_000_000, ((1, crash.LOTS, 592_500),)
    )
    place = events.index(started)
    withdrawn = events[place + 1 : place + 4]
    assert crash.kinds(withdrawn) == ["RequestClosed", "QuoteWithdrawn", "QuotesPulled"]
    assert withdrawn[0].outcome == "cancelled"
    assert [event.why for event in withdrawn[1:]] == ["liquidation"] * 2


def test_nothing_new_is_taken_from_it_but_money(crash):
    world, trader = crash.world, crash.trader
    other = world.agent(3)
    world.request(trader, "before", 1, 1, 1)
    world.pass_time(SECOND)
    crash.mark(592_500)
    assert world.state.liquidations[trader].paused
    ask = c.OpenRequest(trader, "k", 1, -1, 10, 590_000, SECOND)
    assert world.refuse(ask) == "being_liquidated"
    assert world.refuse(replace(ask, reduce_only=True)) == "being_liquidated"
    quote = c.SetQuotes(trader, 1, ((590_000, 1),), (), world.now + SECOND)
    assert world.refuse(quote) == "being_liquidated"
    assert world.refuse(c.ReserveWithdrawal(trader, 1, "w2")) == "being_liquidated"
    # What was answered before is answered again.
    assert world.do(crash.withdrawn).events == (world.state.withdrawals[1],)
    assert world.do(c.OpenRequest(trader, "before", 1, 1, 1, 1, SECOND)).events[0].key == "before"
    for asked in (trader, crash.maker):
        world.play(c.Subscribe(asked, (1,)))
    asked = world.request(other, "k", 1, 1, 592_500)[0].request
    assert world.state.book.requests[asked].opened.makers == (crash.maker,)
    answer = c.AnswerRequest(trader, asked, 1, 2, 1, 1, world.now + SECOND)
    assert world.refuse(answer) == "being_liquidated"
    world.play(c.CreditDeposit(trader, 10**10, "rescue"))
    ended = crash.only(crash.mark(592_500), le.LiquidationEnded)
    assert (ended.why, ended.equity) == ("recovered", crash.standing().equity)
    world.play(replace(quote, expires=world.now + SECOND))


def test_a_standing_quote_that_fills_the_slice_is_taken_at_once(crash):
    """20 % of the position, without a taker fee; half a per cent of its value goes to the fund, as far as the surplus allows."""
    world, trader, treasury = crash.world, crash.trader, crash.world.state.accounts[TREASURY]
    crash.mark(592_920)
    world.quotes(crash.maker, [(592_910, 10**6)], [])
    fees, before = treasury.balance, crash.standing()
    events = world.pass_time(AUCTION_PAUSE)
    sliced, filled = crash.only(events, le.LiquidationSliced), crash.only(events, e.Filled)
    assert (filled.taker, filled.maker, filled.side, filled.size, filled.fee) == (
        trader,
        crash.maker,
        -1,
        20_000,
        0,
    )
    assert (sliced.asked, sliced.size, sliced.value) == (20_000, 20_000, 20_000 * 592_910 * 10)
    assert (sliced.held, sliced.equity, sliced.maintenance) == (crash.LOTS, before.equity, before.maintenance)
    assert sliced.fills == (filled.fill,)
    # Equity of 5,920 and maintenance of 5,929.2 share: 20,000 lots may lose 1,184 on the mark's 118,584; they lost 2.
    assert sliced.bound == 118_584_000_000 - 1_184_000_000
    assert sliced.fee == 592_910_000 == world.state.accounts[INSURANCE].balance
    assert treasury.balance == fees
    after = crash.standing()
    assert after.equity == before.equity - 2_000_000 - sliced.fee
    assert after.equity * before.maintenance > before.equity * after.maintenance
    assert crash.only(events, le.LiquidationEnded).why == "recovered"


def test_a_standing_bid_at_the_bound_does_not_keep_makers_from_bidding_more(crash):
    world = crash.world
    maker, lowest = world.agent(6, 10**13), world.agent(7, 10**11)
    world.play(c.Subscribe(maker, (1,)))
    world.index(1, 592_500)
    world.quotes(lowest, [(591_700, crash.LOTS)], [])
    opened = crash.only(crash.at_once(), e.RequestOpened)
    assert (opened.makers, world.held(lowest)) == ((maker,), (0, 0))
    answer = c.AnswerRequest(maker, opened.request, 592_300, 0, opened.size // 2, 1, world.now + SECOND)
    filled = [event for event in world.play(answer) if isinstance(event, e.Filled)]
    assert [(fill.maker, fill.price) for fill in filled][:1] == [(maker, 592_300)]
    assert sum(fill.size for fill in filled) in (opened.size // 2, opened.size)


def test_standing_quotes_and_answers_fill_an_auction_together_best_first(crash):
    world = crash.world
    maker, stands = world.agent(6, 10**13), world.agent(7, 10**12)
    world.play(c.Subscribe(maker, (1,)))
    world.index(1, 592_500)
    world.quotes(stands, [(592_400, 5_000)], [])
    opened = crash.only(crash.at_once(), e.RequestOpened)
    answer = c.AnswerRequest(maker, opened.request, 592_300, 0, opened.size, 1, world.now + SECOND)
    filled = [event for event in world.play(answer) if isinstance(event, e.Filled)]
    assert [(fill.maker, fill.price, fill.size) for fill in filled] == [
        (stands, 592_400, 5_000),
        (maker, 592_300, opened.size - 5_000),
    ]


def test_makers_are_asked_and_may_not_go_below_the_bound(crash):
    world, maker, trader = crash.world, crash.maker, crash.trader
    world.play(c.Subscribe(maker, (1,)))
    events = crash.mark(592_500)
    opened = crash.only(events, e.RequestOpened)
    # Equity 5,500 of 5,925: short by 7.17 %; times 3, two thirds of 1 % of it: 0.143 % below the mark, and a tick for rounding.
    assert (opened.account, opened.side, opened.size, opened.limit) == (trader, -1, 20_000, 591_652)
    assert (opened.makers, opened.expires) == ((maker,), world.now + AUCTION_TTL)
    for refused in (c.CancelRequest(trader, opened.request), c.AcceptQuote(trader, opened.request, 1)):
        assert world.refuse(refused) == "request_unknown"
    world.play(c.CancelAll(trader))
    assert opened.request in world.state.book.requests
    answer = c.AnswerRequest(maker, opened.request, 591_651, 600_000, 20_000, 1, world.now + SECOND)
    failed = world.play(answer)
    assert crash.only(failed, e.RequestClosed).outcome == "unfilled"
    assert crash.only(failed, le.LiquidationSliced).size == 0
    assert crash.at_once() == []
    assert world.state.next_deadline() == world.now + AUCTION_PAUSE
    retried = crash.only(world.pass_time(AUCTION_PAUSE), e.RequestOpened)
    sold = world.play(replace(answer, request=retried.request, bid=591_652, expires=world.now + SECOND))
    assert crash.only(sold, e.Filled).price == 591_652
    assert crash.only(sold, le.LiquidationSliced).fills == (crash.only(sold, e.Filled).fill,)


def test_a_part_of_the_slice_may_find_a_bidder(crash):
    world = crash.world
    world.now += SECOND
    world.index(1, 592_500)
    world.quotes(crash.maker, [(592_400, 7)], [])
    events = crash.at_once()
    sold, in_vain = (event for event in events if isinstance(event, le.LiquidationSliced))
    assert (sold.asked, sold.size, in_vain.asked, in_vain.size) == (20_000, 7, 19_999, 0)
    outcomes = [event.outcome for event in events if isinstance(event, e.RequestClosed)]
    assert outcomes == ["partial", "unfilled"]


def test_the_bound_is_drawn_anew_when_the_auction_closes(crash):
    """The mark has moved against the account: its bankruptcy price is where it was, but another account's share of it is not."""
    world, maker = crash.world, crash.maker
    world.play(c.Subscribe(maker, (1,)))
    request = crash.only(crash.mark(592_500), e.RequestOpened).request
    world.index(1, 594_000)
    answer = c.AnswerRequest(maker, request, 592_000, 600_000, 20_000, 1, world.now + SECOND)
    events = world.play(answer)
    assert crash.only(events, e.RequestClosed).outcome == "cancelled"
    assert crash.only(crash.at_once(), le.LiquidationEnded).why == "recovered"


def test_while_its_market_may_not_fill_no_auction_is_opened(crash):
    world = crash.world
    world.now += SECOND
    world.index(1, 592_900)
    world.quotes(crash.maker, [(592_890, 10**6)], [])
    world.index(1, 592_900, confidence=592_900 // 40)
    events = crash.at_once()
    assert "LiquidationPaused" in crash.kinds(events)
    assert not [event for event in events if isinstance(event, e.Filled | e.RequestOpened)]
    world.index(1, 592_900)
    assert crash.only(world.pass_time(AUCTION_PAUSE), e.Filled).size == 20_000


def test_terms_are_the_markets(new_world, new_crash):
    world = new_world()
    terms = LiquidationTerms(slice_share=500_000, fee=100, whole_up_to=0)
    world.play(c.ListMarket(replace(world.state.markets[1], liquidation=terms)))
    crash = new_crash(world)
    world.now += SECOND
    world.index(1, 592_920)
    world.quotes(crash.maker, [(592_920, 10**6)], [])
    sliced = crash.only(crash.at_once(), le.LiquidationSliced)
    assert (sliced.asked, sliced.fee, sliced.terms) == (50_000, 29_646_000, terms)
