"""Funding that is owed when a market's terms change or it ends."""

import pytest

from core import events as e
from core.funding import HOUR, FundingTerms
from core.margin_terms import MarginTerms, Tier
from core.market import MarketStatus
from core.quantities import SECOND
from core.rates import PERCENT
from matcher import commands as c
from matcher.decide import decide
from matcher.image import dump, load, state_hash
from matcher.outlook import outlook

TIGHTER = {"max_leverage": 25, "margin": MarginTerms((Tier(0, 40_000),))}


@pytest.fixture
def owed(world):
    """The number of an hour of market 1 that has ended, with premiums and positions in it, and is not paid."""
    maker, trader = world.agent(1, 10**13), world.agent(2, 10**12)
    world.quotes(maker, [], [(600_000, 100)])
    world.request(trader, "k", 1, 100, 600_000)
    world.play(c.SetMarketStatus(1, MarketStatus.REDUCE_ONLY))
    world.pass_time(30 * SECOND)
    while not world.state.funding[1].owed(world.now):
        world.index(1, 600_000)
        world.pass_time(HOUR // 4)
    world.index(1, 600_000)
    return world.state.funding[1].owed(world.now)[0].number


@pytest.mark.parametrize("terms", [TIGHTER, {"funding": FundingTerms(cap=PERCENT, treasury_share=500_000)}])
def test_other_terms_leave_an_hour_that_has_ended_as_it_was(world, owed, terms):
    (unchanged,) = decide(world.state, c.SettleFunding(1, owed), world.now)
    world.play(c.SetLimits(1, **terms))
    assert world.play(c.SettleFunding(1, owed)) == [unchanged]
    assert unchanged.payments


def test_what_was_owed_is_paid_after_a_delisting_too_and_nothing_is_sampled_any_more(world, owed, replayed):
    assert world.play(c.DelistMarket(1, force=True))[-1].forced is True
    before = {id: world.state.funds(account) for id, account in world.state.accounts.items()}
    (paid,) = world.play(c.SettleFunding(1, owed))
    assert paid.accounts == 2
    assert all(world.state.funds(world.state.accounts[id]) == before[id] for id, _ in paid.payments)
    assert world.state.funding[1].owed(world.now) == []
    assert world.refuse(c.SettleFunding(1, owed + 1)) == "market_settled"
    later = world.pass_time(20 * SECOND)
    assert not any(isinstance(event, e.PremiumSampled) and event.market == 1 for event in later)
    assert (
        state_hash(replayed(world.journal)) == state_hash(load(dump(world.state))) == state_hash(world.state)
    )


def test_what_is_predicted_starts_from_the_last_hour_that_ended_paid_or_not(world, owed):
    ended = world.state.funding[1].unpaid[0].ended
    assert ended.after != world.state.funding[1].rate
    assert outlook(world.state, 1, world.now).seen.last == ended.after
