"""Most answers are not asked rule by rule: none of those is taken that a rule refuses."""

from typing import Final

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.events import MarkUpdated
from core.quantities import SECOND
from matcher import commands as c
from matcher.decide import decide
from matcher.decide_requests import answer_refused
from matcher.rejections import Rejection
from matcher.state import Exchange
from matcher.watch import Liquidation

INDEX = 600_000
BAND = INDEX // 20
LOTS = 1_000
"""What the maker's money is enough for at first, to the lot."""
DEPOSIT = LOTS * INDEX * 10 // 50
AWAY = st.sampled_from([0, 0, 0, 1, 1, 1, 1, 1, 100, BAND - 7, BAND, BAND + 1, -1, -BAND])
FILLS, VALUES = 2 * SECOND, 4 * SECOND
"""How long after the request the asked market's index is believed for fills, and the other's for what is held there."""
PLAIN: Final = {
    "away": (0, 0),
    "off": -LOTS // 2,
    "min_fill": 1,
    "life": 1,
    "age": 0,
    "held": (),
    "moved": 0,
    "again": True,
    "left": None,
    "trouble": "",
}
"""Of an answer that no rule has anything against."""


def most_lots(state: Exchange, maker: int) -> int:
    """What the maker can back at the mark beside all that it holds, were nothing of it kept back."""
    return state.worth_of(state.accounts[maker]).available * 50 // state.marks[1].value_per_lot


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    away=st.tuples(AWAY, AWAY),
    sides=st.sampled_from([(1, 1), (1, 1), (1, 1), (1, 0), (0, 1), (0, 0), (-1, 1)]),
    off=st.sampled_from([-1, 0, 0, 1, 1, -LOTS, 10**12]),
    min_fill=st.sampled_from([1, 1, 1, 1, 0, LOTS]),
    life=st.sampled_from([1, 1, 1, 1, 0, 60 * SECOND, 60 * SECOND + 1]),
    age=st.sampled_from([0, 0, FILLS, FILLS + 1, VALUES, VALUES + 1]),
    held=st.sampled_from([(), (1,), (1,), (2,), (2,)]),
    moved=st.sampled_from([0, 6_000]),
    ahead=st.sampled_from([0, 0, 0, 2_500, -2_500]),
    again=st.booleans(),
    left=st.sampled_from([None, None, None, DEPOSIT - 600_000]),
    trouble=st.sampled_from(["", "", "", "", "frozen", "liquidated"]),
)
@example(sides=(1, 0), ahead=2_500, **PLAIN)
@example(sides=(0, 1), ahead=-2_500, **PLAIN)
def test_an_answer_is_taken_exactly_when_every_rule_allows_it(
    new_world, away, sides, off, min_fill, life, age, held, moved, ahead, again, left, trouble
):
    world = new_world()
    maker, trader = world.agent(1, deposit=DEPOSIT), world.agent(2)
    world.play(c.Subscribe(maker, (1,)))
    for market in held:
        world.quotes(maker, [], [(INDEX // market, 10)], market)
        world.request(trader, f"held {market}", 1, 10, INDEX // market, market=market)
    if left is not None:
        world.play(c.SeeLossLimits(0, True, (c.LimitedSlot(maker, left, left, 0),)))
    # An index is believed for ten seconds when somebody fills, and for a minute when something is valued.
    world.now += 60 * SECOND - VALUES - 10 * SECOND + FILLS
    world.index(1, INDEX)
    world.now += 10 * SECOND - FILLS
    opened = world.opened(world.request(trader, "k", 1, 1, INDEX, auto=False, ttl=5 * SECOND))
    if trouble == "frozen":
        world.play(c.SetProtection(maker, 1, SECOND, 1, 0, 60 * SECOND))
        world.quotes(maker, [], [(INDEX, 1)])
        world.request(trader, "freezing", 1, 1, INDEX)
    elif trouble == "liquidated":
        world.state.liquidations[maker] = Liquidation(1, maker)
    if moved:
        world.index(1, INDEX + moved)
    if ahead:
        # A mark that is further from the index than anybody may trade.
        world.play(c.SetLimits(1, price_band=1_000, who="ada", why="quiet"))
        index = world.state.indexes[1].price
        world.record(MarkUpdated(world.now, 1, index + ahead, index, 0, 0))
    if again:
        world.request(trader, "again", 1, 1, INDEX + moved, auto=False)
    world.now += age
    middle = world.state.mark_price(1)
    size = most_lots(world.state, maker) + off
    bid, ask = sides[0] * (middle - away[0]), sides[1] * (middle + away[1])
    answer = c.AnswerRequest(maker, opened.request, bid, ask, size, min_fill, world.now + life)
    request = world.state.book.requests[opened.request]
    # Decided first: asking the rules brings what is kept of the maker up to the marks.
    outcome = decide(world.state, answer, world.now)
    refused = answer_refused(world.state, request, answer, world.now)
    assert (outcome if isinstance(outcome, Rejection) else None) == refused
