"""Random books: an hour is paid by the positions of its end, whenever that is done, and nothing is left over."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import events as e
from core.funding import HOUR, charge_per_lot, funding_run
from core.funding_hour import hour_of
from matcher import commands as c
from matcher.image import state_hash

INDEX = 600_007
AGENTS = 5
TRADES = st.tuples(st.integers(0, AGENTS - 1), st.integers(0, AGENTS - 1), st.integers(-900, 900))
STEPS = st.lists(
    st.one_of(TRADES, st.sampled_from(["hour", "hour", "restless hour", "settle"])), min_size=5, max_size=60
)


class Books:
    """Plays trades and hours, and copies every position when an hour ends, as the exchange does not."""

    def __init__(self, world):
        self.world = world
        self.accounts = [world.agent(number + 1, deposit=10**12) for number in range(AGENTS)]
        world.now = hour_of(world.now) * HOUR
        self.hour = hour_of(world.now)
        self.ended = {}
        self.filled = {}
        self.premium()

    def premium(self):
        self.world.index(1, INDEX)
        self.world.pass_time(0)

    def trade(self, maker, taker, lots):
        world, side = self.world, 1 if lots > 0 else -1
        maker, taker = self.accounts[maker], self.accounts[taker]
        if maker == taker or not lots:
            return
        world.index(1, INDEX)
        world.quotes(maker, [(INDEX - 40, abs(lots))], [(INDEX + 400, abs(lots))])
        before = world.held(maker)[0]
        world.request(taker, f"k{world.state.seq}", side, abs(lots), INDEX + side * 1_000)
        made = self.filled.setdefault(self.hour, {})
        made[maker] = made.get(maker, 0) + world.held(maker)[0] - before
        world.play(c.CancelAll(maker))

    def end_hour(self, *, premium):
        """With or without a premium in the hour that follows."""
        self.ended[self.hour] = {
            account: self.world.held(account)[0] for account in self.accounts if self.world.held(account)[0]
        }
        self.world.now = self.hour * HOUR
        self.hour += 1
        if premium:
            self.premium()

    def settle(self):
        """Pay the oldest unpaid hour, if there is one."""
        world = self.world
        owed = world.state.funding[1].owed(world.now)
        if not owed:
            return
        hour = owed[0]
        filled = self.filled.get(hour.number, {})
        makers = set(filled)
        world.index(1, INDEX)
        (paid,) = world.play(c.SettleFunding(1, hour.number))
        share = world.state.markets[1].funding.treasury_share
        charge = charge_per_lot(INDEX * world.state.markets[1].value_per_tick_lot, paid.hourly)
        run = funding_run(sorted(self.ended[hour.number].items()), charge, makers, share)
        assert paid.payments == tuple(run.payments)
        assert sum(amount for _, amount in paid.payments) == paid.treasury + paid.insurance
        assert paid.open_interest == sum(size for size in self.ended[hour.number].values() if size > 0)
        explained = 0
        for id, size in self.ended[hour.number].items():
            sign = 1 if size > 0 else -1
            explained += sign * min(abs(size), max(0, sign * filled.get(id, 0)))
        assert paid.skew == -explained


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_an_hour_is_paid_by_the_positions_of_its_end_whenever_that_is_done(new_world, replayed, steps):
    books = Books(new_world())
    for step in steps:
        match step:
            case "hour":
                books.end_hour(premium=True)
            case "restless hour":
                books.end_hour(premium=False)
            case "settle":
                books.settle()
            case maker, taker, lots:
                books.trade(maker, taker, lots)
    world = books.world
    while world.state.funding[1].owed(world.now):
        books.settle()
    assert not any(world.state.funding[1].unpaid)
    assert state_hash(replayed(world.journal)) == state_hash(world.state)
    hours = [event.hour for event in world.journal if isinstance(event, e.FundingSettled)]
    assert hours == sorted(set(hours))
