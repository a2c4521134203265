"""Margin of both sides at the fill: tiers, open interest, and what an account below its initial requirement may still do."""

import pytest

from core import events as e
from core.accounts import CLEARING, TREASURY
from core.margin_terms import MarginTerms, Tier
from core.market import market
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.image import dump, load

PRICE, VALUE = 600_000, 6_000_000
"""Ticks, and the micro-USDC that one lot is worth at them."""


@pytest.fixture
def listed(world):
    """Lists a third market with these terms and prices it."""

    def list_market(margin):
        world.play(
            c.ListMarket(
                market(
                    3,
                    "T-PERP",
                    "0.1",
                    "0.0001",
                    max_leverage=50,
                    position_cap="9000",
                    open_interest_cap="9000",
                    feed="",
                    taker_fee=0,
                    margin=margin,
                )
            )
        )
        world.index(3, PRICE)
        return world

    return list_market


def open_at_mark(world, account, key, side, size):
    """The outcome of a request at the index price, filled by a standing quote when margin allows."""
    answer = world.request(account, key, side, size, PRICE, market=3)
    return answer[-1].outcome if isinstance(answer, list) else answer.code.value


def test_each_part_of_the_notional_requires_its_own_tier(listed):
    world = listed(MarginTerms((Tier(0, 20_000), Tier(VALUE * 1_000, 100_000))))
    maker = world.agent(1, deposit=10**13)
    world.quotes(maker, [], [(PRICE, 10**6)], market=3)
    needed = VALUE * 1_000 // 50 + VALUE * 500 // 10
    short, exact = world.agent(2, deposit=needed - 1), world.agent(3, deposit=needed)
    assert open_at_mark(world, short, "k", 1, 1_500) == "insufficient_margin"
    assert open_at_mark(world, exact, "k", 1, 1_500) == "filled"
    risk = world.state.margin_of(world.state.accounts[exact])
    assert (risk.equity, risk.initial, risk.maintenance) == (needed, needed, needed // 2)


def test_a_trade_is_held_to_the_open_interest_that_it_makes(listed):
    world = listed(MarginTerms((Tier(0, 20_000),), VALUE * 1_000, VALUE * 3_000))
    maker = world.agent(1, deposit=10**13)
    world.quotes(maker, [], [(PRICE, 10**6)], market=3)
    # At 2,000 lots the fraction is half way from 2 % to 100 %.
    needed = VALUE * 2_000 * 51 // 100
    short, exact = world.agent(2, deposit=needed - 1), world.agent(3, deposit=needed)
    assert open_at_mark(world, short, "k", 1, 2_000) == "insufficient_margin"
    assert open_at_mark(world, exact, "k", 1, 2_000) == "filled"
    assert world.state.margin_of(world.state.accounts[exact]).initial == needed


def test_open_interest_raises_what_others_require_but_never_their_maintenance(listed):
    world = listed(MarginTerms((Tier(0, 20_000),), VALUE * 1_000, VALUE * 3_000))
    maker, early, late = world.agent(1, deposit=10**13), world.agent(2), world.agent(3, deposit=10**13)
    world.quotes(maker, [(PRICE - 1, 10**6)], [(PRICE, 10**6)], market=3)
    assert open_at_mark(world, early, "k", 1, 1_000) == "filled"
    account = world.state.accounts[early]
    before = world.state.margin_of(account)
    assert before.initial == VALUE * 1_000 // 50
    assert open_at_mark(world, late, "k", 1, 2_000) == "filled"
    after = world.state.margin_of(account)
    assert (after.initial, after.maintenance) == (VALUE * 1_000, before.maintenance)
    # What was remembered of the account is from before: the next trade must not be measured by it.
    world.play(c.ReserveWithdrawal(early, account.settled - VALUE * 1_000, "all but the requirement"))
    assert open_at_mark(world, early, "more", 1, 1) == "insufficient_margin"
    world.request(late, "out", -1, 2_000, PRICE - 1, market=3)
    assert world.state.margin_of(account).initial == VALUE * 1_000 // 50


def test_withdrawals_leave_the_requirement_of_the_tiers_that_the_position_is_in(listed):
    world = listed(MarginTerms((Tier(0, 20_000), Tier(VALUE * 1_000, 400_000))))
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=VALUE * 1_000)
    world.quotes(maker, [], [(PRICE, 10**6)], market=3)
    assert open_at_mark(world, trader, "k", 1, 2_000) == "filled"
    withdrawable = VALUE * 1_000 - VALUE * 1_000 // 50 - VALUE * 400
    assert world.refuse(c.ReserveWithdrawal(trader, withdrawable + 1, "w")) == "withdrawal_too_large"
    assert isinstance(world.play(c.ReserveWithdrawal(trader, withdrawable, "w"))[0], e.WithdrawalReserved)


def test_a_losing_account_may_get_out_but_not_by_giving_its_equity_away(listed):
    world = listed(MarginTerms((Tier(0, 20_000),)))
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=VALUE * 30)
    world.quotes(maker, [], [(PRICE, 10**6)], market=3)
    assert open_at_mark(world, trader, "k", 1, 1_000) == "filled"
    world.index(3, PRICE * 985 // 1_000)
    assert not world.state.margin_of(world.state.accounts[trader]).may_open
    mark = PRICE * 985 // 1_000
    world.quotes(maker, [(mark - mark // 50, 500)], [], market=3)
    given_away = world.request(trader, "cheap", -1, 500, mark // 2, market=3)
    assert given_away[-1].outcome == "insufficient_margin"
    world.quotes(maker, [(mark, 500)], [], market=3)
    fair = world.request(trader, "fair", -1, 500, mark // 2, market=3)
    assert fair[-1].outcome == "filled"
    assert world.held(trader, 3)[0] == 500


def test_a_loaded_snapshot_requires_what_the_state_required(listed):
    world = listed(MarginTerms((Tier(0, 20_000), Tier(VALUE * 100, 50_000)), VALUE * 100, VALUE * 3_000))
    maker, trader = world.agent(1, deposit=10**13), world.agent(2, deposit=10**12)
    world.quotes(maker, [], [(PRICE, 10**6)], market=3)
    assert open_at_mark(world, trader, "k", 1, 1_000) == "filled"
    loaded = load(dump(world.state))
    assert loaded.marks == world.state.marks
    assert loaded.margin_of(loaded.accounts[trader]) == world.state.margin_of(world.state.accounts[trader])


class Asked(dict):
    """Accounts that know which of them were asked for, and cannot be walked through."""

    def __init__(self, accounts):
        super().__init__(accounts)
        self.ids = set()

    def __getitem__(self, id):
        self.ids.add(id)
        return super().__getitem__(id)

    def get(self, id, default=None):
        self.ids.add(id)
        return super().get(id, default)

    def everybody(self, *_):
        raise AssertionError("all accounts are walked through")

    __iter__ = keys = values = items = everybody


@pytest.mark.parametrize("others", [5, 50])
def test_a_request_and_its_fill_ask_for_their_two_sides_alone_however_many_hold_positions(world, others):
    maker, taker = world.agent(1, deposit=10**13), world.agent(2)
    for number in range(others):
        world.quotes(maker, [], [(PRICE, 10)])
        world.closed(world.request(world.agent(3 + number), "open", 1, 10, PRICE))
    world.quotes(maker, [], [(PRICE, 10)])
    state, command = world.state, c.OpenRequest(taker, "k", 1, 1, 10, PRICE, SECOND)
    state.accounts = accounts = Asked(state.accounts)
    for event in decide(state, command, world.now):
        apply(state, event)
    assert dict.__getitem__(accounts, taker).positions[1].size == 10
    # Both sides, treasury and clearing, and one whose final answers may have become too old to be kept.
    assert {maker, taker} <= accounts.ids
    assert len(accounts.ids - {maker, taker, TREASURY, CLEARING}) <= 1
