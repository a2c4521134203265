"""What auctions cannot sell: the insurance fund takes it, and winners give what the fund cannot pay."""

import pytest
from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.concerns import concerns, seen_by
from core.exit_events import ExitRequested
from core.exits import LEAD
from core.fund import PERIOD
from core.quantities import SECOND
from matcher import commands as c
from matcher.exiting import promised
from matcher.image import dump, load, state_hash


def test_below_two_thirds_of_maintenance_the_fund_takes_everything_and_nothing_is_left(crash):
    world, trader = crash.world, crash.trader
    world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    events = crash.mark(590_000)
    taken = crash.only(events, le.TakenOver)
    assert (taken.equity, taken.maintenance) == (3_000_000_000, 5_900_000_000)
    assert taken.fund == le.FundStanding(10**11, 0, 0, 0, 10**11)
    # What it held is worth 590,000; with 3,000 of equity it must bring 587,000 for nothing to be left.
    (part,) = taken.parts
    assert (part.other, part.size, part.value, part.mark) == (INSURANCE, crash.LOTS, 587_000_000_000, 590_000)
    assert (part.cost, part.realized) == (0, -crash.EQUITY)
    assert world.balance(trader) == 0
    assert world.held(trader) == (0, 0)
    assert world.held(INSURANCE) == (crash.LOTS, 587_000_000_000)
    assert crash.standing(INSURANCE).equity == 103_000_000_000
    ended = crash.only(events, le.LiquidationEnded)
    assert (ended.why, ended.equity, ended.maintenance) == ("taken_over", 0, 0)
    assert crash.mark(589_999) == []


def test_a_paused_account_is_taken_over_as_soon_as_its_mark_is_there(crash):
    crash.world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    assert crash.kinds(crash.mark(592_500))[-1] == "LiquidationPaused"
    assert crash.mark(591_000) == []
    assert crash.kinds(crash.mark(590_900)) == ["TakenOver", "LiquidationEnded"]


@pytest.mark.parametrize(("floor", "taken"), [(55_800_000_000, True), (55_800_000_001, False)])
def test_the_fund_keeps_its_floor_besides_four_times_what_the_market_requires(crash, floor, taken):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    order = c.SetInsuranceFloor(floor, who="ada", why="grown")
    assert world.play(order) == [le.InsuranceFloorSet(world.now, floor, "ada", "grown")]
    assert world.play(c.SetInsuranceFloor(floor)) == []
    assert world.refuse(c.SetInsuranceFloor(-1)) == "bad_value"
    crash.only(crash.mark(590_000), le.TakenOver if taken else le.Deleveraged)


@pytest.mark.parametrize(
    ("asked", "taken"), [(55_800_000_000, True), (55_800_000_001, False), (2 * 10**11, False)]
)
def test_what_is_asked_of_the_funds_slot_takes_nothing_over(crash, asked, taken, replayed):
    """As a floor does, from the moment it is asked for: it is gone when the position needs it."""
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    later = (world.now + 10**6 * SECOND) // SECOND
    crash.only(world.play(c.RequestExit(INSURANCE, asked, later)), ExitRequested)
    crash.only(crash.mark(590_000), le.TakenOver if taken else le.Deleveraged)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_what_is_taken_back_takes_over_again_and_what_leaves_is_no_loss_of_the_days(crash):
    """Four fifths of the fund are asked for: with the rest it may lose a quarter of the rest, not nothing."""
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 5 * 10**11, "fund"))
    world.play(c.RequestExit(INSURANCE, 4 * 10**11, (world.now + 10**6 * SECOND) // SECOND))
    crash.only(crash.mark(590_000), le.TakenOver)
    fund = world.state.accounts[INSURANCE]
    assert promised(world.state, fund) == 4 * 10**11
    world.play(c.ReleaseExit(INSURANCE, 0))
    assert promised(world.state, fund) == 0


def test_a_fund_that_is_left_sells_what_it_holds_in_time_and_offers_the_rest_before_winners_must_close(
    crash, replayed
):
    world = crash.world
    crash.fund_holds()
    claimed, asked = 9 * 10**10, 4 * LEAD
    world.play(c.Subscribe(crash.maker, (1,)))
    world.play(c.RequestExit(INSURANCE, 10**12, (world.now + asked) // SECOND))
    assert world.play(c.ReduceForExit(INSURANCE, claimed)) == []
    world.now += asked // 2 - 2 * SECOND
    crash.mark(590_000)
    # A batch lands, as ever: otherwise it would mature at once.
    world.play(c.CutSettlement(1))
    world.finalize(1)
    crash.mark(590_000)
    (opened,) = world.play(c.ReduceForExit(INSURANCE, claimed))
    assert (opened.account, opened.side, opened.size, opened.limit) == (INSURANCE, -1, 20_000, 589_345)
    bid = c.AnswerRequest(crash.maker, opened.request, 589_345, 600_000, 20_000, 1, world.now + SECOND)
    assert crash.only(world.play(bid), e.Filled).size == 20_000
    # Nobody wants the rest. Once the chain can pay, all that stands behind it is what is not asked for, which is nothing.
    world.now += asked // 4
    seen = []
    for _ in range(9):
        world.now += 9 * SECOND
        seen += crash.mark(590_000)
        for waiting in list(world.state.book.requests.values()):
            seen += world.play(c.PassRequest(crash.maker, waiting.opened.request))
        seen += crash.at_once()
    steps = [kind for kind in crash.kinds(seen) if kind != "PremiumSampled"]
    assert steps[:2] == ["ExitMatured", "LiquidationStarted"]
    assert steps.index("LiquidationSliced") < steps.index("Deleveraged")
    assert crash.only(seen, le.Deleveraged).size == 80_000
    assert world.held(INSURANCE)[0] == 0
    assert state_hash(replayed(world.journal)) == state_hash(world.state)


def test_without_a_fund_winners_close_at_the_bankruptcy_price_in_proportion(crash):
    world, trader, maker = crash.world, crash.trader, crash.maker
    second = world.agent(3, 10**11)
    crash.trade(second, -1, crash.LOTS // 4)
    events = crash.mark(587_000)
    done = crash.only(events, le.Deleveraged)
    assert (done.account, done.size, done.value, done.left, done.greedy) == (
        trader,
        crash.LOTS,
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
    assert crash.only(events, le.LiquidationEnded).why == "deleveraged"
    assert concerns(done) == (trader, maker, second)
    seen = seen_by(done, second)
    assert [part.other for part in seen.parts] == [second]
    assert (seen.account, seen.equity, seen.fund) == (0, 0, le.FundStanding(0, 0, 0))
    assert seen_by(done, trader) == done


def test_the_greedy_policy_of_a_market_lets_the_first_in_rank_close_all(new_world, new_crash):
    world = new_world()
    world.play(c.ListMarket(replace(world.state.markets[1], greedy_deleveraging=True)))
    crash = new_crash(world)
    second = world.agent(3, 10**9)
    crash.trade(second, -1, 1_000)
    done = crash.only(crash.mark(587_000), le.Deleveraged)
    assert done.greedy
    # The second has far more leverage than the maker.
    assert [(part.other, part.size) for part in done.parts] == [(second, 1_000), (crash.maker, 99_000)]


def test_what_nobody_can_pay_for_the_fund_must_take_below_its_floor(new_world, new_crash):
    """The account is 287,000 in debt. Who is opposite gained as much there, but lost 402,000 elsewhere and has 3,000 left."""
    world = new_world()
    crash = new_crash(world, maker=105_000_000_000)
    whale = world.agent(3, 10**13)
    world.quotes(whale, [], [(300_000, 150_000)], market=2)
    world.request(crash.maker, "eth", 1, 150_000, 300_000, market=2)
    world.play(c.CancelAll(whale))
    world.index(2, 32_000)
    done = [event for event in crash.mark(300_000) if isinstance(event, le.Deleveraged)]
    first = done[0]
    assert (first.account, first.equity) == (crash.trader, crash.EQUITY - 300_000_000_000)
    assert first.left > 0
    assert [part.other for part in first.parts] == [crash.maker, INSURANCE]
    assert sum(part.value for part in first.parts) == first.value
    assert world.balance(crash.trader) == 0


def test_the_riskiest_account_comes_first(crash):
    world = crash.world
    riskier = world.agent(3, 12_500_000_000)
    crash.trade(riskier, 1, crash.LOTS)
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    taken = [event.account for event in crash.mark(588_000) if isinstance(event, le.TakenOver)]
    assert taken == [riskier, crash.trader]


def test_an_untrusted_price_makes_it_wait_for_the_next_one(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
    world.now += 100 * SECOND
    world.do(c.UpdateIndex(1, 590_000, 0, world.now - 61 * SECOND, "old"))
    assert crash.kinds(crash.at_once()) == ["PriceAwaited"]
    assert world.state.next_deadline() > world.now
    assert "TakenOver" in crash.kinds(crash.mark(590_000))


def test_a_fund_that_lost_its_part_of_a_day_takes_over_again_on_the_next_or_when_money_is_paid_in(
    world, replayed
):
    fund = 10**11
    world.play(c.CreditDeposit(INSURANCE, fund, "fund"))
    maker, opened = world.agent(1, 10**13), world.state.fund_began
    assert opened == fund
    traders = [world.agent(number, 13_000_000_000) for number in (2, 3, 4)]

    def enter(trader):
        index = world.state.indexes[1].price
        world.quotes(maker, [], [(index, 100_000)])
        assert world.closed(world.request(trader, "in", 1, 100_000, index)).filled == 100_000

    def fall():
        world.now += SECOND
        world.index(1, world.state.indexes[1].price * 95 // 100)
        return world.pass_time(0)

    enter(traders[0])
    # 5 % of 600,000 are 30,000, and 17,000 of them the fund's: with no more than 83,000 it may lose another 8,000 today.
    assert [event.account for event in fall() if isinstance(event, le.TakenOver)] == [traders[0]]
    enter(traders[1])
    assert not [event for event in fall() if isinstance(event, le.TakenOver)]
    assert world.held(traders[1]) == (0, 0)
    world.now += PERIOD
    world.index(1, world.state.indexes[1].price)
    now = world.state.margin_of(world.state.accounts[INSURANCE]).equity
    assert (world.state.fund_began, now < fund * 3 // 4) == (now, True)
    world.play(c.CreditDeposit(INSURANCE, 10**12, "more"))
    assert world.state.fund_began == now + 10**12
    enter(traders[2])
    assert [event.account for event in fall() if isinstance(event, le.TakenOver)] == [traders[2]]
    assert (
        state_hash(replayed(world.journal)) == state_hash(world.state) == state_hash(load(dump(world.state)))
    )


def test_a_fund_short_of_its_own_maintenance_is_deleveraged_at_the_mark(crash):
    world = crash.world
    crash.fund_holds()
    events = crash.mark(580_500)
    assert crash.only(events, le.LiquidationStarted).account == INSURANCE
    done = crash.only(events, le.Deleveraged)
    assert (done.account, done.value, done.left) == (INSURANCE, 580_500_000_000, 0)
    assert world.balance(INSURANCE) == 3_500_000_000
    assert crash.only(events, le.LiquidationEnded).why == "deleveraged"


def test_a_floor_stops_takeovers_and_closes_nobody_s_position(crash):
    """Neither one that is raised above all that the fund has nor a mark that takes the fund below it."""
    world = crash.world
    crash.fund_holds()
    world.play(c.SetInsuranceFloor(5_000_000_000))
    assert crash.mark(585_000) == []
    world.play(c.SetInsuranceFloor(10**12))
    assert crash.at_once() == []
    assert (world.held(INSURANCE)[0], world.held(crash.maker)[0]) == (crash.LOTS, -crash.LOTS)


def test_the_fund_s_own_sale_ends_when_it_is_liquidated_itself(crash):
    world = crash.world
    crash.fund_holds()
    world.play(c.Subscribe(crash.maker, (1,)))
    (opened,) = world.play(c.SellInventory(1))
    started, ended, *_ = crash.mark(580_500)
    assert isinstance(started, le.LiquidationStarted)
    assert (ended.request, ended.outcome) == (opened.request, "cancelled")
    assert [request.opened.account for request in world.state.book.requests.values()] != [INSURANCE] * 2


def test_a_hedged_winner_keeps_its_position_as_long_as_somebody_else_can_give(new_world, new_crash):
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
    done = new_crash.only(world.pass_time(0), le.Deleveraged)
    assert done.value > 8_000 * 564_000 * 10
    assert world.held(hedger, 2)[0] == 16_000
    risk = world.state.margin_of(world.state.accounts[hedger])
    assert risk.equity > risk.initial - 2
    assert hedger not in world.state.liquidations
