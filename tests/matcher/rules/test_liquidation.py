"""One account's liquidation from the first warning to its end: slices, takeover, deleveraging, and what is refused meanwhile."""

import pytest
from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE, TREASURY
from core.events import concerns, seen_by
from core.liquidation import LiquidationTerms
from core.market import MarketStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.limits import AUCTION_PAUSE, AUCTION_TTL

LOTS = 100_000
"""Worth 600,000 USDC at the first index, of which 12,000 are required at first and 6,000 as maintenance."""
EQUITY = 13_000_000_000


class Crash:
    """A maker, one account that is long with hardly more than its initial requirement, and the maker short against it.

    The account has withdrawn something before.
    """

    def __init__(self, world, equity=EQUITY, lots=LOTS, maker=10**13):
        self.world = world
        self.maker = world.agent(1, maker)
        self.trader = world.agent(2, equity + 1)
        self.withdrawn = c.ReserveWithdrawal(self.trader, 1, "w")
        world.play(self.withdrawn)
        self.trade(self.trader, 1, lots)

    def trade(self, account, side, lots):
        """Trade with the maker at the index; the taker's fee is given back, so that amounts stay round."""
        index = self.world.state.indexes[1].price
        self.world.quotes(self.maker, [(index, lots)], [])
        if side > 0:
            self.world.quotes(self.maker, [], [(index, lots)])
        (filled, *_) = self.world.request(account, f"t{self.world.state.seq}", side, lots, index)
        self.world.play(c.CreditDeposit(account, filled.fee, f"fee-{filled.fill}"))
        self.world.play(c.CancelAll(self.maker))

    def mark(self, price):
        """What a new mark leads to at once."""
        self.world.now += SECOND
        self.world.index(1, price)
        return self.at_once()

    def at_once(self):
        events = []
        while 0 < self.world.state.next_deadline() <= self.world.now:
            events += self.world.play(c.Advance())
        return [event for event in events if not isinstance(event, e.DeadlinePassed)]

    def standing(self, account=None):
        return self.world.state.margin_of(self.world.state.accounts[account or self.trader])


@pytest.fixture
def crash(world):
    return Crash(world)


def kinds(events):
    return [type(event).__name__ for event in events]


def only(events, kind):
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, kinds(events)
    return found[0]


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
        crash.world.now, crash.trader, 900_000, EQUITY - 6_500_000_000, 5_935_000_000
    )
    assert concerns(warned[-1]) == (crash.trader,)


def test_closing_the_position_lifts_a_warning(crash):
    crash.mark(597_000)
    crash.trade(crash.trader, -1, LOTS)
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
    started = only(events, le.LiquidationStarted)
    assert started == le.LiquidationStarted(
        world.now, 1, trader, equity - 7_500_000_000, 5_925_000_000, ((1, LOTS, 592_500),)
    )
    place = events.index(started)
    withdrawn = events[place + 1 : place + 4]
    assert kinds(withdrawn) == ["RequestClosed", "QuoteWithdrawn", "QuotesPulled"]
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
    ended = only(crash.mark(592_500), le.LiquidationEnded)
    assert (ended.why, ended.equity) == ("recovered", crash.standing().equity)
    world.play(replace(quote, expires=world.now + SECOND))


def test_a_standing_quote_that_fills_the_slice_is_taken_at_once(crash):
    """20 % of the position, without a taker fee; half a per cent of its value goes to the fund, as far as the surplus allows."""
    world, trader, treasury = crash.world, crash.trader, crash.world.state.accounts[TREASURY]
    crash.mark(592_920)
    world.quotes(crash.maker, [(592_910, 10**6)], [])
    fees, before = treasury.balance, crash.standing()
    events = world.pass_time(AUCTION_PAUSE)
    sliced, filled = only(events, le.LiquidationSliced), only(events, e.Filled)
    assert (filled.taker, filled.maker, filled.side, filled.size, filled.fee) == (
        trader,
        crash.maker,
        -1,
        20_000,
        0,
    )
    assert (sliced.asked, sliced.size, sliced.value) == (20_000, 20_000, 20_000 * 592_910 * 10)
    assert (sliced.held, sliced.equity, sliced.maintenance) == (LOTS, before.equity, before.maintenance)
    assert sliced.fills == (filled.fill,)
    # Equity of 5,920 and maintenance of 5,929.2 share: 20,000 lots may lose 1,184 on the mark's 118,584; they lost 2.
    assert sliced.bound == 118_584_000_000 - 1_184_000_000
    assert sliced.fee == 592_910_000 == world.state.accounts[INSURANCE].balance
    assert treasury.balance == fees
    after = crash.standing()
    assert after.equity == before.equity - 2_000_000 - sliced.fee
    assert after.equity * before.maintenance > before.equity * after.maintenance
    assert only(events, le.LiquidationEnded).why == "recovered"


def test_a_standing_bid_at_the_bound_does_not_keep_makers_from_bidding_more(crash):
    world = crash.world
    maker, lowest = world.agent(6, 10**13), world.agent(7, 10**11)
    world.play(c.Subscribe(maker, (1,)))
    world.index(1, 592_500)
    world.quotes(lowest, [(591_700, LOTS)], [])
    opened = only(crash.at_once(), e.RequestOpened)
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
    opened = only(crash.at_once(), e.RequestOpened)
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
    opened = only(events, e.RequestOpened)
    # Equity 5,500 of 5,925: short by 7.17 %; times 3, two thirds of 1 % of it: 0.143 % below the mark, and a tick for rounding.
    assert (opened.account, opened.side, opened.size, opened.limit) == (trader, -1, 20_000, 591_652)
    assert (opened.makers, opened.expires) == ((maker,), world.now + AUCTION_TTL)
    for refused in (c.CancelRequest(trader, opened.request), c.AcceptQuote(trader, opened.request, 1)):
        assert world.refuse(refused) == "request_unknown"
    world.play(c.CancelAll(trader))
    assert opened.request in world.state.book.requests
    answer = c.AnswerRequest(maker, opened.request, 591_651, 600_000, 20_000, 1, world.now + SECOND)
    failed = world.play(answer)
    assert only(failed, e.RequestClosed).outcome == "unfilled"
    assert only(failed, le.LiquidationSliced).size == 0
    assert crash.at_once() == []
    assert world.state.next_deadline() == world.now + AUCTION_PAUSE
    retried = only(world.pass_time(AUCTION_PAUSE), e.RequestOpened)
    sold = world.play(replace(answer, request=retried.request, bid=591_652, expires=world.now + SECOND))
    assert only(sold, e.Filled).price == 591_652
    assert only(sold, le.LiquidationSliced).fills == (only(sold, e.Filled).fill,)


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
    request = only(crash.mark(592_500), e.RequestOpened).request
    world.index(1, 594_000)
    answer = c.AnswerRequest(maker, request, 592_000, 600_000, 20_000, 1, world.now + SECOND)
    events = world.play(answer)
    assert only(events, e.RequestClosed).outcome == "unfilled"
    assert only(crash.at_once(), le.LiquidationEnded).why == "recovered"


def test_while_its_market_may_not_fill_no_auction_is_opened(crash):
    world = crash.world
    world.now += SECOND
    world.index(1, 592_900)
    world.quotes(crash.maker, [(592_890, 10**6)], [])
    world.index(1, 592_900, confidence=592_900 // 40)
    events = crash.at_once()
    assert "LiquidationPaused" in kinds(events)
    assert not [event for event in events if isinstance(event, e.Filled | e.RequestOpened)]
    world.index(1, 592_900)
    assert only(world.pass_time(AUCTION_PAUSE), e.Filled).size == 20_000


def test_below_two_thirds_of_maintenance_the_fund_takes_everything_and_nothing_is_left(crash):
    world, trader = crash.world, crash.trader
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    events = crash.mark(590_000)
    taken = only(events, le.TakenOver)
    assert (taken.equity, taken.maintenance) == (3_000_000_000, 5_900_000_000)
    assert taken.fund == le.FundStanding(10**10, 0, 0)
    # What it held is worth 590,000; with 3,000 of equity it must bring 587,000 for nothing to be left.
    (part,) = taken.parts
    assert (part.other, part.size, part.value, part.mark) == (INSURANCE, LOTS, 587_000_000_000, 590_000)
    assert (part.cost, part.realized) == (0, -EQUITY)
    assert world.balance(trader) == 0
    assert world.held(trader) == (0, 0)
    assert world.held(INSURANCE) == (LOTS, 587_000_000_000)
    assert crash.standing(INSURANCE).equity == 13_000_000_000
    ended = only(events, le.LiquidationEnded)
    assert (ended.why, ended.equity, ended.maintenance) == ("taken_over", 0, 0)
    assert crash.mark(589_999) == []


def test_a_paused_account_is_taken_over_as_soon_as_its_mark_is_there(crash):
    crash.world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    assert kinds(crash.mark(592_500))[-1] == "LiquidationPaused"
    assert crash.mark(591_000) == []
    assert kinds(crash.mark(590_900)) == ["TakenOver", "LiquidationEnded"]


@pytest.mark.parametrize(("floor", "taken"), [(7_100_000_000, True), (7_100_000_001, False)])
def test_the_fund_keeps_its_floor_besides_the_maintenance_of_what_it_holds(crash, floor, taken):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    order = c.SetInsuranceFloor(floor, who="ada", why="grown")
    assert world.play(order) == [le.InsuranceFloorSet(world.now, floor, "ada", "grown")]
    assert world.play(c.SetInsuranceFloor(floor)) == []
    assert world.refuse(c.SetInsuranceFloor(-1)) == "bad_value"
    only(crash.mark(590_000), le.TakenOver if taken else le.Deleveraged)


def test_without_a_fund_winners_close_at_the_bankruptcy_price_in_proportion(crash):
    world, trader, maker = crash.world, crash.trader, crash.maker
    second = world.agent(3, 10**11)
    crash.trade(second, -1, LOTS // 4)
    events = crash.mark(587_000)
    done = only(events, le.Deleveraged)
    assert (done.account, done.size, done.value, done.left, done.greedy) == (
        trader,
        LOTS,
        587_000_000_000,
        0,
        False,
    )
    assert {part.other: (part.size, part.value) for part in done.parts} == {
        maker: (75_000, 440_250_000_000),
        second: (25_000, 146_750_000_000),
    }
    assert (world.balance(trader), world.held(trader)) == (0, (0, 0))
    assert (world.held(maker), world.held(second)) == ((0, 0), (0, 0))
    assert only(events, le.LiquidationEnded).why == "deleveraged"
    assert concerns(done) == (trader, maker, second)
    seen = seen_by(done, second)
    assert [part.other for part in seen.parts] == [second]
    assert (seen.account, seen.equity, seen.fund) == (0, 0, le.FundStanding(0, 0, 0))
    assert seen_by(done, trader) == done


def test_the_greedy_policy_of_a_market_lets_the_first_in_rank_close_all(new_world):
    world = new_world()
    world.play(c.ListMarket(replace(world.state.markets[1], greedy_deleveraging=True)))
    crash = Crash(world)
    second = world.agent(3, 10**9)
    crash.trade(second, -1, 1_000)
    done = only(crash.mark(587_000), le.Deleveraged)
    assert done.greedy
    # The second has far more leverage than the maker.
    assert [(part.other, part.size) for part in done.parts] == [(second, 1_000), (crash.maker, 99_000)]


def test_what_nobody_can_pay_for_the_fund_must_take_below_its_floor(new_world):
    """The account is 287,000 in debt. Who is opposite gained as much there, but lost 402,000 elsewhere and has 3,000 left."""
    world = new_world()
    crash = Crash(world, maker=105_000_000_000)
    whale = world.agent(3, 10**13)
    world.quotes(whale, [], [(300_000, 150_000)], market=2)
    world.request(crash.maker, "eth", 1, 150_000, 300_000, market=2)
    world.play(c.CancelAll(whale))
    world.index(2, 32_000)
    done = [event for event in crash.mark(300_000) if isinstance(event, le.Deleveraged)]
    first = done[0]
    assert (first.account, first.equity) == (crash.trader, EQUITY - 300_000_000_000)
    assert first.left > 0
    assert [part.other for part in first.parts] == [crash.maker, INSURANCE]
    assert sum(part.value for part in first.parts) == first.value
    assert world.balance(crash.trader) == 0


def test_the_riskiest_account_comes_first(crash):
    world = crash.world
    riskier = world.agent(3, 12_500_000_000)
    crash.trade(riskier, 1, LOTS)
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    taken = [event.account for event in crash.mark(588_000) if isinstance(event, le.TakenOver)]
    assert taken == [riskier, crash.trader]


def test_an_untrusted_price_makes_it_wait_for_the_next_one(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    world.now += 100 * SECOND
    world.do(c.UpdateIndex(1, 590_000, 0, world.now - 61 * SECOND, "old"))
    assert kinds(crash.at_once()) == ["PriceAwaited"]
    assert world.state.next_deadline() > world.now
    assert "TakenOver" in kinds(crash.mark(590_000))


def test_the_fund_sells_what_it_took_within_two_thirds_of_its_maintenance(crash):
    world = crash.world
    assert world.play(c.SellInventory(1)) == []
    assert world.refuse(c.SellInventory(9)) == "market_unknown"
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    crash.mark(590_000)
    world.play(c.Subscribe(crash.maker, (1,)))
    (opened,) = world.play(c.SellInventory(1))
    assert (opened.account, opened.side, opened.size, opened.limit) == (INSURANCE, -1, 20_000, 586_067)
    assert world.play(c.SellInventory(1)) == []
    answer = c.AnswerRequest(crash.maker, opened.request, 586_067, 600_000, 20_000, 1, world.now + SECOND)
    sold = world.play(answer)
    assert (only(sold, e.Filled).fee, only(sold, e.Filled).price) == (0, 586_067)
    assert kinds(sold)[-1] == "RequestClosed"
    assert world.held(INSURANCE)[0] == 80_000


def test_a_fund_short_of_its_own_maintenance_is_deleveraged_at_the_mark(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    crash.mark(590_000)
    assert world.held(INSURANCE)[0] == LOTS
    events = crash.mark(580_500)
    assert only(events, le.LiquidationStarted).account == INSURANCE
    done = only(events, le.Deleveraged)
    assert (done.account, done.value, done.left) == (INSURANCE, 580_500_000_000, 0)
    assert world.balance(INSURANCE) == 3_500_000_000
    assert only(events, le.LiquidationEnded).why == "deleveraged"


def test_a_floor_stops_takeovers_and_closes_nobody_s_position(crash):
    """Neither one that is raised above all that the fund has nor a mark that takes the fund below it."""
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    world.play(c.SetInsuranceFloor(5_000_000_000))
    crash.mark(590_000)
    assert crash.mark(585_000) == []
    world.play(c.SetInsuranceFloor(10**12))
    assert crash.at_once() == []
    assert (world.held(INSURANCE)[0], world.held(crash.maker)[0]) == (LOTS, -LOTS)


def test_the_fund_s_own_sale_ends_when_it_is_liquidated_itself(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    crash.mark(590_000)
    world.play(c.Subscribe(crash.maker, (1,)))
    (opened,) = world.play(c.SellInventory(1))
    started, ended, *_ = crash.mark(580_500)
    assert isinstance(started, le.LiquidationStarted)
    assert (ended.request, ended.outcome) == (opened.request, "cancelled")
    assert [request.opened.account for request in world.state.book.requests.values()] != [INSURANCE] * 2


def test_terms_are_the_markets(new_world):
    world = new_world()
    terms = LiquidationTerms(slice_share=500_000, fee=100, whole_up_to=0)
    world.play(c.ListMarket(replace(world.state.markets[1], liquidation=terms)))
    crash = Crash(world)
    world.now += SECOND
    world.index(1, 592_920)
    world.quotes(crash.maker, [(592_920, 10**6)], [])
    sliced = only(crash.at_once(), le.LiquidationSliced)
    assert (sliced.asked, sliced.fee, sliced.terms) == (50_000, 29_646_000, terms)


def pauses(crash, times):
    """Seconds between an auction in vain and the next."""
    world, found = crash.world, []
    for _ in range(times):
        due = next(
            due
            for due, *_ in sorted(world.state.book.deadlines)
            if due == world.state.liquidations[crash.trader].until
        )
        found.append((due - world.now) // SECOND)
        while world.now < due:
            world.pass_time(min(SECOND, due - world.now))
            world.index(1, world.state.indexes[1].price)
        world.pass_time(0)
    return found


def test_the_longer_nobody_bids_the_rarer_it_is_asked_and_recorded(crash):
    world = crash.world
    crash.mark(592_500)
    before = world.state.seq
    assert pauses(crash, 7) == [2, 4, 8, 16, 32, 32, 32]
    recorded = [
        event for event in world.journal[before:] if not isinstance(event, e.IndexUpdated | e.PremiumSampled)
    ]
    assert kinds(recorded) == ["RequestClosed", "LiquidationSliced"] * 7
    # As soon as somebody buys, the next one is asked for as soon as at the start.
    sold = []
    for _ in range(32):
        world.quotes(crash.maker, [(592_400, 7)], [])
        sold += world.pass_time(SECOND)
        world.index(1, world.state.indexes[1].price)
        if world.held(crash.trader)[0] < LOTS:
            break
    assert only(sold, e.Filled).size == 7
    assert pauses(crash, 2) == [2, 4]


def test_a_pause_does_not_hide_an_account_that_falls_to_the_fund(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    crash.mark(592_500)
    assert pauses(crash, 5)[-1] == 32
    assert "TakenOver" in kinds(crash.mark(590_000))


def test_an_auction_is_opened_as_soon_as_its_market_is(crash):
    world = crash.world
    crash.mark(592_500)
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    assert pauses(crash, 4)[-1] == 16
    world.play(c.Subscribe(crash.maker, (1,)))
    world.play(c.SetMarketStatus(1, MarketStatus.OPEN))
    assert only(crash.at_once(), e.RequestOpened).account == crash.trader


def test_a_pause_does_not_keep_the_fund_from_being_deleveraged(crash):
    """Nobody bids for what the fund holds; while it waits for its next auction the mark takes all that it has."""
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**10, "fund"))
    crash.mark(590_000)
    assert world.held(INSURANCE)[0] == LOTS
    fell = crash.mark(582_500)
    assert only(fell, le.LiquidationStarted).account == INSURANCE
    assert kinds(fell)[-1] == "LiquidationPaused"
    assert world.state.liquidations[INSURANCE].until > world.now + SECOND
    done = only(crash.mark(550_000), le.Deleveraged)
    assert (done.account, done.equity < 0) == (INSURANCE, True)
    assert world.balance(INSURANCE) == 0


def test_a_hedged_winner_keeps_its_position_as_long_as_somebody_else_can_give(new_world):
    """Losing the one side at the bankruptcy price would leave the other below its maintenance requirement."""
    world = new_world()
    world.index(2, 300_000)
    maker, hedger, loser = (
        world.agent(1, 10**13),
        world.agent(2, 3_750_000_000),
        world.agent(3, 1_200_000_000),
    )
    world.quotes(maker, [(599_900, 10**5)], [(600_100, 10**5)])
    world.quotes(maker, [], [(300_100, 10**5)], market=2)
    world.request(world.agent(4), "long", 1, 8_000, 601_000)
    world.request(loser, "long", 1, 8_000, 601_000)
    world.request(hedger, "short", -1, 8_000, 599_000)
    world.request(hedger, "hedge", 1, 16_000, 301_000, market=2)
    world.play(c.CancelAll(maker))
    world.now += SECOND
    world.index(2, 282_000)
    world.index(1, 564_000)
    done = only(world.pass_time(0), le.Deleveraged)
    assert done.value > 8_000 * 564_000 * 10
    assert world.held(hedger, 2)[0] == 16_000
    risk = world.state.margin_of(world.state.accounts[hedger])
    assert risk.equity > risk.initial - 2
    assert hedger not in world.state.liquidations
