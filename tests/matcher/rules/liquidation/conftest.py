"""A crash that one account cannot outlive."""

import pytest

from core import events as e
from core.accounts import INSURANCE
from core.quantities import SECOND
from matcher import commands as c


class Crash:
    """A maker, one account that is long with hardly more than its initial requirement, and the maker short against it.

    The account has withdrawn something before.
    """

    LOTS = 100_000
    """Worth 600,000 USDC at the first index, of which 12,000 are required at first and 6,000 as maintenance."""
    EQUITY = 13_000_000_000

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

    def fund_holds(self):
        """The fund has taken the account over, at 590,000; of its money 10,000 USDC and the account's 3,000 are left."""
        self.world.play(c.CreditDeposit(INSURANCE, 10**11, "fund"))
        self.mark(590_000)
        self.world.play(c.ClaimExit(INSURANCE, 9 * 10**10, "claim:fund:0"))
        assert self.world.held(INSURANCE)[0] == self.LOTS

    def at_once(self):
        events = []
        while 0 < self.world.state.next_deadline() <= self.world.now:
            events += self.world.play(c.Advance())
        return [event for event in events if not isinstance(event, e.DeadlinePassed)]

    def standing(self, account=None):
        return self.world.state.margin_of(self.world.state.accounts[account or self.trader])

    @staticmethod
    def kinds(events):
        return [type(event).__name__ for event in events]

    @staticmethod
    def only(events, kind):
        found = [event for event in events if isinstance(event, kind)]
        assert len(found) == 1, Crash.kinds(events)
        return found[0]


@pytest.fixture
def crash(world):
    return Crash(world)


@pytest.fixture
def new_crash():
    return Crash
