"""The books kept from records alone know every way in which money and lots change hands."""

import pytest

from core.accounts import INSURANCE
from core.operator_events import MarketSettled
from core.quantities import SECOND
from matcher import commands as c
from matcher.apply import apply
from matcher.decide import decide
from matcher.state import Exchange
from stress.audit import Audit
from stress.markets import MARKETS

SOL = MARKETS["SOL-PERP"]
START = 1_700_000_000 * SECOND
OWNERS = ("11111111111111111111111111111112", "11111111111111111111111111111113")


@pytest.mark.parametrize(("fund", "price"), [(10**9, 900), (10**9, 100), (0, 100), (5, 1_500)])
def test_a_delisting_is_understood_with_all_debts(fund, price):
    state, audit = Exchange(), Audit()

    def do(command):
        events = decide(state, command, START)
        assert isinstance(events, list), events
        for event in events:
            apply(state, event)
            audit.hear(state.seq, event)
        return events

    for command in (c.StartEpoch(), c.ListMarket(SOL), c.UpdateIndex(SOL.id, 1_000, 0, START, "x")):
        do(command)
    if fund:
        do(c.CreditDeposit(INSURANCE, fund, "fund"))
    for account, owner in enumerate(OWNERS, 16):
        do(c.RegisterAgent(owner, "a"))
        do(c.BindSlot(account, 1, account))
    value = 1_000 * 100 * SOL.value_per_tick_lot
    do(c.CreditDeposit(16, 10 * value, "maker"))
    do(c.CreditDeposit(17, value // 5, "taker"))
    do(c.SetQuotes(16, SOL.id, (), ((1_000, 100),), START + SECOND))
    do(c.OpenRequest(17, "k", SOL.id, 1, 100, 1_000, SECOND))
    do(c.UpdateIndex(SOL.id, price, 0, START, "x"))
    end = do(c.DelistMarket(SOL.id, force=True))[-1]
    assert isinstance(end, MarketSettled)
    assert end.price == price
    assert (end.fund > 0) == (price == 100 and fund > 0)
    assert audit.unexplained(state) == []
    assert audit.differing(state) == []
