"""Deleveraging and delisting: losses are shared by a rule, nothing is lost, and nobody who gained ends below zero."""

from hypothesis import given
from hypothesis import strategies as st

from core.deleveraging import Holder, capacity, deleverage, greedy, pro_rata, rank, sound_capacity
from core.delisting import settle_at

amounts = st.lists(st.integers(0, 10**9), max_size=20)


@given(amounts, st.data())
def test_policies_share_everything_within_capacity(capacities, data):
    total = data.draw(st.integers(0, sum(capacities)))
    for policy in (pro_rata, greedy):
        shares = policy(total, capacities)
        assert sum(shares) == total
        assert all(0 <= share <= most for share, most in zip(shares, capacities, strict=True))


@given(amounts, st.data())
def test_pro_rata_is_within_one_of_the_exact_share(capacities, data):
    whole = sum(capacities)
    total = data.draw(st.integers(0, whole))
    for share, most in zip(pro_rata(total, capacities), capacities, strict=True):
        assert abs(share * whole - total * most) < whole or whole == 0


def test_policies_by_example():
    assert pro_rata(10, [10, 20, 30]) == [2, 3, 5]
    assert pro_rata(1, [5, 5]) == [1, 0]
    assert pro_rata(0, []) == []
    assert greedy(25, [10, 20, 30]) == [10, 15, 0]


def test_the_queue_puts_return_times_leverage_first_and_losers_last():
    doubled, hedged = Holder(1, 10, 500, 2_000), Holder(2, 10, 500, 8_000)
    little, losing = Holder(3, 10, 990, 2_000), Holder(4, 10, 1_100, 2_000)
    order = sorted([losing, hedged, little, doubled], key=lambda one: -rank(one, 100))
    assert [one.account for one in order] == [1, 2, 3, 4]
    assert rank(Holder(5, 10, 0, 0), 100) == 1_000 * 1_000 * 10**12


def test_what_a_holder_can_close_leaves_it_at_zero_or_above():
    assert capacity(Holder(1, -10, -900, 50), 10, 100) == 5
    assert capacity(Holder(1, -10, -900, 59), 10, 100) == 5
    assert capacity(Holder(1, -10, -900, 50), 10, 0) == 10
    assert capacity(Holder(1, -10, -900, -1), 10, -100) == 0


def test_whoever_has_its_requirement_elsewhere_gives_only_what_it_can_spare():
    hedged = Holder(1, -10, -1_100, 60, required=50, own=25)
    # Each lot costs 10 and frees 2.5, and there are 10 to spare.
    assert sound_capacity(hedged, 10, 100) == 1
    assert capacity(hedged, 10, 100) == 6
    assert sound_capacity(hedged, 10, 25) == sound_capacity(hedged, 10, -5) == 10
    assert sound_capacity(Holder(1, -10, -1_100, 49, required=50, own=25), 10, 100) == 0


def test_the_hedged_come_last_even_after_losers():
    hedged = Holder(1, -10, -1_100, 60, required=50, own=25)
    losing = Holder(2, -10, -900, 10_000, required=50, own=25)
    assert deleverage(10, 1_100, [hedged, losing], 100).closed == [(1, 1, 110), (2, 9, 990)]
    alone = deleverage(10, 1_100, [hedged], 100)
    assert (alone.closed, alone.left) == ([(1, 6, 660)], 4)


def test_winners_close_before_losers_and_in_proportion():
    holders = [Holder(1, -10, -1_500, 900), Holder(2, -30, -4_500, 900), Holder(3, -50, -4_000, 900)]
    shared = deleverage(20, 2_000, holders, 100)
    assert shared.closed == [(2, 15, 1_500), (1, 5, 500)]
    assert shared.left == 0
    more = deleverage(60, 6_000, holders, 100)
    assert more.closed == [(2, 30, 3_000), (1, 10, 1_000), (3, 20, 2_000)]


def test_the_greedy_queue_takes_the_first_whole():
    holders = [Holder(1, -10, -1_500, 900), Holder(2, -30, -4_500, 900)]
    assert deleverage(20, 2_000, holders, 100, greedy).closed == [(2, 20, 2_000)]


def test_equal_ranks_go_by_account_number_however_they_are_listed():
    holders = [Holder(9, -10, -1_500, 900), Holder(3, -10, -1_500, 900)]
    assert deleverage(5, 500, holders, 100).closed == [(3, 3, 300), (9, 2, 200)]
    assert deleverage(5, 500, holders, 100, greedy).closed == [(3, 5, 500)]


def test_positions_on_the_same_side_are_left_alone():
    shared = deleverage(-5, -500, [Holder(1, -10, -1_500, 900), Holder(2, 2, 100, 900)], 100)
    assert shared.closed == [(2, 2, -200)]
    assert shared.left == 3


@st.composite
def crashes(draw):
    """A bankrupt position, what it must bring, and everybody else in the market."""
    size = draw(st.integers(-(10**6), 10**6).filter(bool))
    value = draw(st.integers(1, 10**5))
    debt = draw(st.integers(-(10**9), 10**9))
    holders = [
        Holder(
            16 + place,
            draw(st.integers(-(10**6), 10**6).filter(bool)),
            draw(st.integers(-(10**10), 10**10)),
            draw(st.integers(-(10**9), 10**9)),
            *draw(st.sampled_from([(0, 0), (10**6, 10**6), (10**9, 10**5)])),
        )
        for place in range(draw(st.integers(0, 8)))
    ]
    return size, size * value + debt, holders, value


@given(crashes(), st.sampled_from([pro_rata, greedy]))
def test_deleveraging_never_turns_anybody_negative_and_loses_nothing(crash, policy):
    size, brings, holders, value = crash
    side = 1 if size > 0 else -1
    shared = deleverage(size, brings, holders, value, policy)
    by_account = {holder.account: holder for holder in holders}
    for account, lots, received in shared.closed:
        holder = by_account[account]
        assert 0 < lots <= abs(holder.size)
        assert holder.size * side < 0
        assert holder.equity >= 0
        assert holder.equity - (received - side * lots * value) >= 0
    done = sum(lots for _, lots, _ in shared.closed)
    assert done + shared.left == abs(size)
    assert sum(received for _, _, received in shared.closed) == brings * done // abs(size)
    assert len({account for account, _, _ in shared.closed}) == len(shared.closed)


@given(crashes(), st.sampled_from([pro_rata, greedy]), st.randoms(use_true_random=False))
def test_the_order_in_which_holders_are_listed_does_not_matter(crash, policy, random):
    size, brings, holders, value = crash
    shuffled = list(holders)
    random.shuffle(shuffled)
    assert deleverage(size, brings, holders, value, policy) == deleverage(
        size, brings, shuffled, value, policy
    )


def test_delisting_by_example():
    """The bankrupt 30 are paid by the fund's 10 and by those who gained 60 and 20 here, of which the latter still has only 10."""
    holders = [
        Holder(1, -10, -1_060, 500),
        Holder(2, -10, -1_020, 10),
        Holder(3, 10, 1_050, -30),
        Holder(4, 10, 1_000, 70),
    ]
    end = settle_at(holders, 100, 10)
    assert [(one.account, one.realized, one.shared) for one in end.settled] == [
        (1, 60, -17),
        (2, 20, -3),
        (3, -50, 30),
        (4, 0, 0),
    ]
    assert (end.fund, end.uncovered) == (10, 0)


@st.composite
def delistings(draw):
    sizes = draw(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=10))
    sizes.append(-sum(sizes))
    return [
        Holder(
            16 + place,
            size,
            draw(st.integers(-(10**10), 10**10)) if size else 0,
            draw(st.integers(-(10**10), 10**10)),
        )
        for place, size in enumerate(sizes)
    ]


@given(delistings(), st.integers(1, 10**5), st.integers(-5, 10**10))
def test_delisting_makes_and_loses_nothing(holders, value, fund):
    end = settle_at(holders, value, fund)
    assert sum(one.realized for one in end.settled) == -sum(holder.cost for holder in holders)
    assert sum(one.shared for one in end.settled) == end.fund
    assert 0 <= end.fund <= max(0, fund)
    short = 0
    for holder, one in zip(holders, end.settled, strict=True):
        ends = holder.equity + one.shared
        if holder.equity >= 0:
            assert one.shared <= 0 <= ends
            assert -one.shared <= max(0, one.realized)
        else:
            assert one.shared >= 0 >= ends
            short -= ends
    assert short == end.uncovered
