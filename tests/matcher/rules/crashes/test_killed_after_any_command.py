"""A dead process changes nothing: every liquidation goes on from its journal and comes to the same end."""

import pytest
from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.liquidation import LiquidationTerms
from core.quantities import SECOND
from matcher import commands as c
from matcher.image import state_hash

SLICED = LiquidationTerms(whole_up_to=100_000_000)


class Falling:
    """Accounts at several distances from the crash's marks: some are auctioned, some taken over, some deleveraged."""

    LEFT = (11_000, 9_600, 9_400, 8_000, 4_000, -3_000, -20_000)
    """Equity at the crash's mark, parts per million of the notional there; maintenance is 10,000."""
    LOTS = 30_000
    INDEX, CRASH = 600_000, 570_000

    def __init__(self, world):
        self.world = world
        self.maker = world.agent(1, 10**12)
        world.play(c.ListMarket(replace(world.state.markets[1], liquidation=SLICED)))
        for number, left in enumerate(self.LEFT, 2):
            value = self.LOTS * 10
            lost = value * (self.INDEX - self.CRASH)
            fee = -(-value * self.INDEX * world.state.markets[1].taker_fee // 10**6)
            opening = value * self.INDEX // 50 + fee
            equity = value * self.CRASH * left // 10**6 + lost + fee
            account = world.agent(number, max(equity, opening))
            world.quotes(self.maker, [], [(self.INDEX, self.LOTS)])
            world.request(account, "open", 1, self.LOTS, self.INDEX)
        world.play(c.CreditDeposit(INSURANCE, 2 * 10**10, "fund"))
        world.play(c.CancelAll(self.maker))
        world.now += SECOND
        world.index(1, self.CRASH)

    def finish(self):
        """The same mark until all has ended; the maker always bids the same for any amount."""
        world = self.world
        for _ in range(100):
            world.now += SECOND // 2
            world.do(c.UpdateIndex(1, self.CRASH, 0, world.now, "t"))
            world.quotes(self.maker, [(self.CRASH - 10, 10**6)], [])
            while 0 < world.state.next_deadline() <= world.now:
                world.play(c.Advance())
            if not world.state.liquidations:
                return
        pytest.fail("still being liquidated")


def standings(state):
    """What everybody has in the end, whatever happened on the way."""
    return {
        account.id: (
            account.balance,
            {id: (held.size, held.cost) for id, held in account.positions.items()},
        )
        for account in state.accounts.values()
    }


def test_a_process_killed_after_any_command_of_a_liquidation_comes_to_the_same_end(new_world, replayed):
    falling = Falling(new_world())
    crashed = falling.world.state.seq
    falling.finish()
    journal, whole = falling.world.journal, standings(falling.world.state)
    kinds = {type(event) for event in journal[crashed:]}
    assert kinds >= {e.Filled, le.LiquidationSliced, le.TakenOver, le.Deleveraged, le.LiquidationEnded}
    cuts = sorted(cut for cut in set(falling.world.ends) if crashed <= cut < len(journal))
    assert len(cuts) > 10
    for cut in cuts:
        falling.world.state = replayed(journal[:cut])
        falling.world.journal = journal[:cut]
        falling.world.play(c.StartEpoch())
        falling.finish()
        assert standings(falling.world.state) == whole, journal[cut]
        assert state_hash(replayed(falling.world.journal)) == state_hash(falling.world.state)
