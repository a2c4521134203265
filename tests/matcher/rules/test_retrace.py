"""Liquidations derived anew from their journals: whole histories hold, and no amount can be changed without its being seen."""

from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from core import events as e
from core import liquidation_events as le
from core.accounts import INSURANCE
from core.liquidation import LiquidationTerms
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.decide_liquidation import start, step_due
from matcher.retrace import retrace

INDEX = 600_000
SLICED = LiquidationTerms(whole_up_to=100_000_000)


def crashed(world, rng, deaths):
    """Agents long at high leverage, a maker who answers sometimes, marks that fall in steps; the process may die in between."""
    world.play(c.ListMarket(replace(world.state.markets[1], liquidation=SLICED)))
    maker = world.agent(1, 10**12)
    agents = [world.agent(number, 3 * 10**8) for number in range(2, 8)]
    world.play(c.CreditDeposit(INSURANCE, 3 * 10**9, "fund"))
    for agent in agents:
        lots = rng.randrange(1_000, 2_000)
        world.quotes(maker, [], [(INDEX, lots)])
        world.request(agent, "open", 1, lots, INDEX)
    world.play(c.CancelAll(maker))
    price = INDEX
    while any(world.state.accounts[agent].positions for agent in agents):
        price -= rng.randrange(2_000)
        for _ in range(4):
            world.now += SECOND
            world.index(1, price)
            bids = [(price - rng.randrange(1, 400), rng.randrange(1, 2_000))] if rng.random() < 0.7 else []
            world.quotes(maker, bids, [])
            while 0 < world.state.next_deadline() <= world.now:
                world.play(c.Advance())
        if deaths and rng.random() < 0.5:
            world.play(c.StartEpoch())
    return world.journal


def numbered(journal):
    return lambda: enumerate(journal, 1)


@pytest.fixture(params=range(4))
def journal(request, new_world):
    return crashed(new_world(), Random(request.param), request.param % 2 == 0)


def test_every_record_of_every_liquidation_follows_from_those_before_it(journal):
    numbers = [event.liquidation for event in journal if isinstance(event, le.LiquidationStarted)]
    assert numbers
    for number in numbers:
        steps = retrace(numbered(journal), number)
        assert [step.differences for step in steps] == [[]] * len(steps)
        own = [event for event in journal if getattr(event, "liquidation", 0) == number]
        assert [step.record for step in steps if not isinstance(step.record, e.Filled)] == own
        fills = [step.record.fill for step in steps if isinstance(step.record, e.Filled)]
        assert fills == [
            fill for event in own if isinstance(event, le.LiquidationSliced) for fill in event.fills
        ]


def changed(value):
    """Another value of the same kind, near enough to fit in."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, *value) or ((1, 1, 1),)
        case msgspec.Struct():
            first = value.__struct_fields__[0]
            return replace(value, **{first: getattr(value, first) + 1})
    raise AssertionError(value)


NOT_DERIVED = {"at", "liquidation", "account", "decided_after"}
"""When it was, whose it is, and when an auction was decided is what the record itself says."""


def test_no_field_of_a_record_can_be_changed_without_its_being_seen(new_world):
    journal = crashed(new_world(), Random(1), False)
    kinds = {}
    for place, event in enumerate(journal):
        if hasattr(event, "liquidation") and (not isinstance(event, le.LiquidationSliced) or event.size):
            kinds[type(event)] = place
    assert set(kinds) >= {le.LiquidationStarted, le.LiquidationSliced, le.TakenOver, le.LiquidationEnded}
    for place in kinds.values():
        event = journal[place]
        for field in set(event.__struct_fields__) - NOT_DERIVED:
            tampered = list(journal)
            tampered[place] = replace(event, **{field: changed(getattr(event, field))})
            steps = retrace(numbered(tampered), event.liquidation)
            assert any(field in sentence for step in steps for sentence in step.differences), (event, field)


@pytest.mark.parametrize("field", ["price", "fee", "taker_realized", "maker_cost", "index"])
def test_no_fill_of_an_auction_can_be_changed_without_its_being_seen(new_world, field):
    journal = crashed(new_world(), Random(1), False)
    sliced = next(event for event in journal if isinstance(event, le.LiquidationSliced) and event.fills)
    place = next(
        place
        for place, event in enumerate(journal)
        if isinstance(event, e.Filled) and event.fill == sliced.fills[0]
    )
    journal[place] = replace(journal[place], **{field: getattr(journal[place], field) - 1})
    steps = retrace(numbered(journal), sliced.liquidation)
    seen = next(step for step in steps if step.record is journal[place])
    assert seen.differences


def test_a_record_left_out_is_seen(new_world):
    journal = crashed(new_world(), Random(1), False)
    place = next(
        place
        for place, event in enumerate(journal)
        if isinstance(event, le.LiquidationSliced) and event.fills
    )
    number = journal[place].liquidation
    steps = retrace(numbered(journal[:place] + journal[place + 1 :]), number)
    assert any(step.differences for step in steps)


def test_a_number_that_there_is_not_has_no_steps(new_world):
    assert retrace(numbered(new_world().journal), 1) == []


def two_below(world):
    """Two longs, the first riskier, both below their maintenance requirement and nobody begun with."""
    world.play(c.CreditDeposit(INSURANCE, 10**12, "fund"))
    maker = world.agent(1, 10**13)
    agents = [world.agent(2, 10**9), world.agent(3, 2 * 10**9)]
    for agent in agents:
        world.quotes(maker, [], [(INDEX, 8_000)])
        world.request(agent, "open", 1, 8_000, INDEX)
    world.play(c.CancelAll(maker))
    world.now += SECOND
    world.index(1, INDEX * 95 // 100)
    return agents


def liquidated(world, account):
    """The whole liquidation of an account as the rules have it, whoever's turn it is; its number."""
    world.record(*start(world.state, world.state.accounts[account], world.now))
    while going := world.state.liquidations.get(account):
        world.record(*step_due(world.state, world.state.accounts[account], going, world.now))
    return world.state.last_liquidation


def test_an_account_liquidated_before_a_riskier_one_is_seen(world):
    riskier, other = two_below(world)
    numbers = [liquidated(world, account) for account in (other, riskier)]
    first, second = (
        [step.differences for step in retrace(numbered(world.journal), number)] for number in numbers
    )
    said = f"order: riskier accounts were to be begun with before: {riskier}"
    assert first == [[said], [said], []]
    assert not any(second)


@pytest.mark.parametrize("later", [4 * SECOND, 6 * SECOND])
def test_a_liquidation_that_begins_too_late_is_seen(world, later):
    riskier, _ = two_below(world)
    since = len(world.journal)
    world.now += later
    world.index(1, INDEX * 95 // 100 - 1)
    started, *others = retrace(numbered(world.journal), liquidated(world, riskier))
    late = [f"late: it was due since record {since}, for 6 s"] if later > 5 * SECOND else []
    assert started.differences == late
    assert not any(step.differences for step in others)


def test_a_step_that_comes_too_late_is_seen(world):
    riskier, _ = two_below(world)
    account = world.state.accounts[riskier]
    world.record(*start(world.state, account, world.now))
    since = len(world.journal)
    world.now += 60 * SECOND
    world.record(*step_due(world.state, account, world.state.liquidations[riskier], world.now))
    steps = retrace(numbered(world.journal), 1)
    assert [step.differences for step in steps] == [[], [f"late: it was due since record {since}, for 60 s"]]


@pytest.mark.parametrize("waits", ["price", "process"])
def test_who_waits_for_a_price_or_for_the_process_is_not_late(world, waits):
    riskier, _ = two_below(world)
    if waits == "price":
        world.index(1, INDEX, validity=Validity.UNAVAILABLE)
    world.now += 3_600 * SECOND
    if waits == "process":
        world.play(c.StartEpoch())
    world.index(1, INDEX * 95 // 100)
    steps = retrace(numbered(world.journal), liquidated(world, riskier))
    assert [step.differences for step in steps] == [[]] * len(steps)
