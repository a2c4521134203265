"""A ladder against a plain sorted list: price, tier, arrival."""

from hypothesis import given
from hypothesis import strategies as st

from matcher.book import Ladder, Level

STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 5), st.integers(0, 1)),
        st.integers(0, 40),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([1, -1]))
def test_levels_come_by_price_then_tier_then_arrival(steps, sign):
    ladder, naive = Ladder(sign), {}
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            price, tier = step
            naive[number] = Level(number, 16, tier, price, 1, 0, 0)
            ladder.add(naive[number])
        else:
            ladder.remove(step)
            naive.pop(step, None)
        ranked = sorted(naive.values(), key=lambda level: (level.price * sign, -level.tier, level.quote))
        assert list(ladder) == ranked
        assert ladder.best() is (ranked[0] if ranked else None)
        assert len(ladder) == len(naive)
    for number in range(len(steps)):
        assert ladder.get(number) is naive.get(number)
