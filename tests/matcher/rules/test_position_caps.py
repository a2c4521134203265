"""What an owner's accounts may hold together: on each side by itself, since they are liquidated apart."""

from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND
from matcher import commands as c
from matcher.account import sides_of_owner
from matcher.exposure import Sides

SIZES = st.lists(st.integers(-300, 300), min_size=1, max_size=6)
CAP = 1_000


def naive(sizes):
    return sum(size for size in sizes if size > 0), -sum(size for size in sizes if size < 0)


@given(
    SIZES, st.lists(st.tuples(st.integers(0, 5), st.integers(-700, 700)), max_size=20), st.integers(1, 400)
)
def test_no_side_grows_beyond_the_cap_and_who_reduces_is_never_refused(sizes, trades, cap):
    """`sizes` may be beyond the cap already: it was lowered since."""
    sides = Sides(*naive(sizes))
    for place, change in trades:
        place %= len(sizes)
        size, now = sizes[place], sizes[place] + change
        before, after = naive(sizes), naive([*sizes[:place], now, *sizes[place + 1 :]])
        grows = any(new > max(cap, old) for old, new in zip(before, after, strict=True))
        assert sides.beyond(size, now, cap) is grows
        if abs(now) <= abs(size) and now * size >= 0:
            assert not grows
        if not grows:
            sides.longs, sides.shorts = sides.after(size, now)
            sizes[place] = now
            assert (sides.longs, sides.shorts) == after


def traded(world, maker, taker, side, size):
    """How a request of `taker` for what `maker` quotes ends."""
    world.quotes(maker, [(600_000, size)] if side < 0 else [], [(600_000, size)] if side > 0 else [])
    outcome = world.request(taker, f"{world.state.seq}", side, size, 600_000)
    return outcome.code if hasattr(outcome, "code") else world.closed(outcome).outcome


def test_a_hedge_with_an_isolated_account_is_no_way_around_the_cap(world):
    """Its net is nothing, but either leg may be closed without the other: what is then left is what the cap is for."""
    world.play(c.SetLimits(1, position_cap=CAP))
    parent = world.agent(1, 10**13)
    sub = world.play(c.OpenSubAccount(parent, 1))[0].account
    world.play(c.Transfer(parent, parent, sub, 4 * 10**12, "stake"))
    makers = [world.agent(number, 10**13) for number in (2, 3, 4)]
    assert traded(world, makers[0], parent, 1, CAP) == "filled"
    assert traded(world, makers[1], sub, -1, CAP) == "filled"
    assert sides_of_owner(world.state.accounts[sub], 1) == (CAP, CAP)
    assert traded(world, makers[2], parent, 1, 1) == "position_cap"
    assert traded(world, makers[2], sub, -1, 1) == "position_cap"
    # As makers neither: the quotes of both do not hold, and go.
    world.quotes(parent, [(600_000, 1)], [])
    assert world.closed(world.request(makers[2], "sells", -1, 1, 600_000)).outcome == "unfilled"
    assert parent not in {level.account for level in world.state.book.bids[1]}
    # What is reduced may be opened again, on its own side only.
    assert traded(world, makers[2], sub, 1, 10) == "filled"
    assert traded(world, makers[2], parent, 1, 1) == "position_cap"
    assert traded(world, makers[2], sub, -1, 10) == "filled"
    world.play(c.SetLimits(1, position_cap=CAP // 2))
    world.now += SECOND
    world.index(1, 600_000)
    assert traded(world, makers[0], parent, -1, CAP) == "filled"
    assert traded(world, makers[1], sub, 1, CAP // 2) == "filled"
    assert sides_of_owner(world.state.accounts[parent], 1) == (0, CAP // 2)
