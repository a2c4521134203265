"""Auctions in vain are repeated ever more rarely, and a pause hides nothing that matters."""

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.market import MarketStatus
from core.quantities import SECOND
from matcher import commands as c
from matcher.retrace import retrace


def pauses(crash, times, account=0):
    """Seconds between an auction in vain of the account's, the trader's by default, and the next."""
    world, found = crash.world, []
    for _ in range(times):
        due = next(
            due
            for due, *_ in sorted(world.state.book.deadlines)
            if due == world.state.liquidations[account or crash.trader].until
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
    assert crash.kinds(recorded) == ["RequestClosed", "LiquidationSliced"] * 7
    # As soon as somebody buys, the next one is asked for as soon as at the start.
    sold = []
    for _ in range(32):
        world.quotes(crash.maker, [(592_400, 7)], [])
        sold += world.pass_time(SECOND)
        world.index(1, world.state.indexes[1].price)
        if world.held(crash.trader)[0] < crash.LOTS:
            break
    assert crash.only(sold, e.Filled).size == 7
    assert pauses(crash, 2) == [2, 4]


def test_a_pause_does_not_hide_an_account_that_falls_to_the_fund(crash):
    world = crash.world
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    crash.mark(592_500)
    assert pauses(crash, 5)[-1] == 32
    assert "TakenOver" in crash.kinds(crash.mark(590_000))


def test_an_auction_is_opened_as_soon_as_its_market_is(crash):
    world = crash.world
    crash.mark(592_500)
    world.play(c.SetMarketStatus(1, MarketStatus.PAUSED))
    assert pauses(crash, 4)[-1] == 16
    world.play(c.Subscribe(crash.maker, (1,)))
    world.play(c.SetMarketStatus(1, MarketStatus.OPEN))
    assert crash.only(crash.at_once(), e.RequestOpened).account == crash.trader


def test_a_pause_does_not_keep_the_fund_from_being_deleveraged(crash):
    """Nobody bids for what the fund holds; while it waits for its next auction the mark takes all that it has."""
    world = crash.world
    crash.fund_holds()
    fell = crash.mark(582_500)
    assert crash.only(fell, le.LiquidationStarted).account == INSURANCE
    assert crash.kinds(fell)[-1] == "LiquidationPaused"
    assert world.state.liquidations[INSURANCE].until > world.now + SECOND
    done = crash.only(crash.mark(550_000), le.Deleveraged)
    assert (done.account, done.equity < 0) == (INSURANCE, True)
    assert world.balance(INSURANCE) == 0


def test_who_recovers_during_a_pause_is_free_at_once(crash):
    world = crash.world
    crash.mark(592_500)
    assert pauses(crash, 5)[-1] == 32
    going = world.state.liquidations[crash.trader]
    assert going.until > world.now + 20 * SECOND
    # Equity falls short by (maintenance fraction 1 %) what a tick less one hundredth of it makes up for each.
    risk, per_tick = crash.standing(), crash.LOTS * world.state.markets[1].value_per_tick_lot
    edge = 592_500 - (risk.equity - risk.maintenance) * 100 // (99 * per_tick)
    assert crash.mark(edge - 1) == []
    ended = crash.only(crash.mark(edge), le.LiquidationEnded)
    assert (ended.account, ended.why) == (crash.trader, "recovered")
    assert going.until > world.now
    world.quotes(crash.maker, [(edge, 10)], [])
    assert crash.only(world.request(crash.trader, "out", -1, 10, edge), e.Filled).size == 10
    for step in retrace(lambda: enumerate(world.journal, 1), going.id):
        assert step.differences == []


def test_a_fund_that_recovers_during_a_pause_is_free_at_once(crash):
    world = crash.world
    crash.fund_holds()
    fell = crash.mark(582_500)
    going = crash.only(fell, le.LiquidationStarted).liquidation
    assert pauses(crash, 4, INSURANCE)[-1] == 16
    ended = crash.only(crash.mark(590_000), le.LiquidationEnded)
    assert (ended.liquidation, ended.why) == (going, "recovered")
    for step in retrace(lambda: enumerate(world.journal, 1), going):
        assert step.differences == []
