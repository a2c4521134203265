"""Who is closed in the hour at whose average its market settles: at no more than that, and at a price where somebody would buy."""

import pytest

from core import liquidation_events as le
from core.accounts import INSURANCE
from core.events import Filled, RequestOpened
from core.quantities import SECOND
from core.settlement_price import MINUTE
from core.validity import Validity
from matcher import commands as c

USDC = 1_000_000


def test_others_take_what_the_fund_holds_at_what_it_would_settle_at(crash, ending):
    """The mark is ahead of the average: whoever was handed the fund's position at it would have paid for what is not to be had."""
    world, state = crash.world, crash.world.state
    crash.fund_holds()
    ending(10 * MINUTE, 590_000)
    world.index(1, 600_000)
    end = state.ends[1]
    assert 590_000 < end // 10 < 600_000
    world.play(c.ClaimExit(INSURANCE, crash.standing(INSURANCE).equity - 1_000 * USDC, "claim:fund:1"))
    closed = crash.only(crash.at_once(), le.Deleveraged)
    assert closed.account == INSURANCE
    assert [(part.size, part.value) for part in closed.parts] == [(crash.LOTS, crash.LOTS * end)]
    assert world.balance(INSURANCE) == 1_000 * USDC


def test_a_part_of_an_account_is_taken_over_at_its_share_of_what_it_would_settle_at(crash, ending):
    """What it holds elsewhere cannot be touched, and must not be left the richer for a mark that is ahead of the average."""
    world, trader, state = crash.world, crash.trader, crash.world.state
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    world.play(c.CreditDeposit(trader, 10**10, "more"))
    world.quotes(crash.maker, [], [(300_000, 10_000)], market=2)
    world.request(trader, "elsewhere", 1, 10_000, 300_000, market=2)
    ending(10 * MINUTE)
    world.index(1, 606_000)
    world.index(2, 300_000, validity=Validity.UNAVAILABLE)
    end = state.ends[1]
    assert end < state.marks[1].value_per_lot
    account = state.accounts[trader]
    risk = crash.standing()
    world.play(c.ClaimExit(trader, risk.equity - risk.maintenance // 2, "claim:trader:0"))
    before = crash.standing()
    taken = crash.only(crash.at_once(), le.TakenOver)
    freed = state.marks[1].maintenance_of(crash.LOTS)
    assert [(part.market, part.size, part.value) for part in taken.parts] == [
        (1, crash.LOTS, crash.LOTS * end - before.equity * freed // before.maintenance)
    ]
    assert set(account.positions) == {2}


@pytest.mark.parametrize("beyond", [False, True], ids=["at the bound", "beyond it"])
def test_an_auction_goes_down_to_what_a_bidder_would_get_back(crash, ending, beyond):
    """Nobody who knows the average bids near a mark that is ahead of it."""
    world, state = crash.world, crash.world.state
    world.play(c.Subscribe(crash.maker, (1,)))
    ending(10 * MINUTE)
    world.index(1, 606_000)
    world.pass_time(0)
    risk = crash.standing()
    world.play(c.ClaimExit(crash.trader, risk.equity - risk.maintenance * 4 // 5, "claim:trader:0"))
    opened = crash.only(crash.at_once(), RequestOpened)
    before = crash.standing()
    assert opened.limit * 10 < state.ends[1]
    price = opened.limit - beyond
    answer = c.AnswerRequest(crash.maker, opened.request, price, 0, opened.size, 1, world.now + SECOND)
    sold = [event.price for event in world.play(answer) if isinstance(event, Filled)]
    assert sold == ([] if beyond else [price])
    after = crash.standing()
    assert after.equity * before.maintenance >= before.equity * after.maintenance
