"""Overrides only tighten, whatever they say."""

from hypothesis import assume, given
from hypothesis import strategies as st

from core.market import Side
from core.risk_template import (
    Lifecycle,
    Override,
    RiskTemplate,
    VenueLimits,
    leverage_of,
    refusal,
    tightened,
    widenings,
)
from core.tickets import OrderType, Ticket

VENUES, SYMBOLS = ("hyper", "synthetix", "mock_gold"), ("BTC", "ETH", "XAU")
BOUND = st.none() | st.integers(1, 8)
LIMITS = st.builds(VenueLimits, BOUND, BOUND, BOUND, BOUND)
SOME_VENUES = st.frozensets(st.sampled_from(VENUES))
SOME_SYMBOLS = st.none() | st.frozensets(st.sampled_from(SYMBOLS))
PER_VENUE = st.dictionaries(st.sampled_from(VENUES), LIMITS)
TEMPLATES = st.builds(RiskTemplate, SOME_VENUES, SOME_SYMBOLS, PER_VENUE)
OVERRIDES = st.builds(Override, st.none() | SOME_VENUES, SOME_SYMBOLS, st.none() | PER_VENUE)
LIFECYCLES = st.fixed_dictionaries({venue: st.sampled_from(Lifecycle) for venue in VENUES})
PRICE = st.integers(1, 8).map(lambda dollars: dollars * 10**8)
TICKETS = st.builds(
    Ticket,
    symbol=st.sampled_from(SYMBOLS),
    size=st.integers(1, 10**6).map(lambda n: n * 100),
    side=st.sampled_from(Side),
    venue=st.sampled_from((*VENUES, "nowhere")),
    reduce_only=st.booleans(),
    leverage=BOUND,
    order_type=st.just(OrderType.LIMIT),
    limit_price=PRICE,
)


@given(TICKETS, TEMPLATES, OVERRIDES, LIFECYCLES, st.none() | PRICE, st.booleans())
def test_what_an_override_lets_through_the_template_does_too(
    ticket, template, override, venues, index, paused
):
    # What is set without a leverage depends on the rules themselves, so the two would judge different orders.
    assume(ticket.leverage is not None)
    if refusal(ticket, tightened(template, override), venues, index, paused) is None:
        assert refusal(ticket, template, venues, index, paused) is None


@given(TEMPLATES, OVERRIDES)
def test_tightening_twice_is_tightening_once(template, override):
    once = tightened(template, override)
    assert tightened(once, override) == once


@given(TEMPLATES, OVERRIDES)
def test_an_override_that_widens_nothing_holds_as_it_was_set(template, override):
    """Whoever is not told that an override widens gets exactly the bounds that the override names."""
    if widenings(template, override):
        return
    result = tightened(template, override)
    assert override.venues is None or result.venues == override.venues
    for venue, limits in (override.per_venue or {}).items():
        for name in ("min_leverage", "max_leverage", "min_notional", "max_notional"):
            mine = getattr(limits, name)
            assert mine is None or getattr(result.limits(venue), name) == mine


@given(TEMPLATES, OVERRIDES)
def test_what_tightening_made_never_widens(template, override):
    result = tightened(template, override)
    assert widenings(template, Override(result.venues, result.symbols, result.per_venue)) == []


def test_widenings_are_told_by_name():
    template = RiskTemplate(frozenset({"hyper"}), frozenset({"BTC"}), {"hyper": VenueLimits(2, 5, 10, 100)})
    wide = Override(frozenset({"hyper", "x"}), frozenset({"BTC", "Y"}), {"hyper": VenueLimits(1, 6, 9, 101)})
    assert widenings(template, wide) == [
        "venues that are not allowed: x",
        "symbols that are not allowed: Y",
        "least leverage of hyper",
        "most leverage of hyper",
        "least notional of hyper",
        "most notional of hyper",
    ]


@given(TICKETS, TEMPLATES, LIFECYCLES, st.none() | PRICE, st.booleans())
def test_a_vault_can_always_get_out(ticket, template, venues, index, paused):
    """Of what it holds, wherever somebody answers, whatever is ruled and also while it is paused."""
    assume(ticket.reduce_only and venues.get(ticket.venue, Lifecycle.DEAD) is not Lifecycle.DEAD)
    assert refusal(ticket, template, venues, index, paused, holds=True) is None


@given(TICKETS, TEMPLATES)
def test_a_ticket_without_leverage_gets_what_is_allowed(ticket, template):
    limits = template.limits(ticket.venue)
    leverage = leverage_of(ticket, limits)
    if ticket.leverage is None and leverage is not None:
        assert leverage >= (limits.min_leverage or 1)
        assert limits.min_leverage is not None or leverage <= (limits.max_leverage or leverage)
