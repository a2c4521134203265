"""Nobody gains from others by coming, going or rounding, and the manager earns above the mark only."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import MONEY_MAX
from core.vault_shares import (
    SHARES_MIN,
    Fee,
    Mark,
    Pool,
    Refusal,
    charge,
    deposit,
    open_with,
    withdraw,
)

EMPTY = Pool(0, 0, 0, 0, Mark(0, 0))


def pool(nav, shares, mark=None, up=0, free=None):
    return Pool(nav, nav + up, nav if free is None else free, shares, mark or Mark(shares, shares))


def test_a_year_of_a_vault_by_hand():
    """A deposit of 1,000; a gain of 100 with a fee of a fifth; a deposit of 540; a loss; half of the first shares go back."""
    now, made = deposit(EMPTY, 1_000_000_000)
    assert (made, now.mark) == (1_000_000_000, Mark(1_000_000_000, 1_000_000_000))
    now = replace(now, nav=1_100_000_000, nav_up=1_100_000_000)
    # A fifth of 100 is 20: shares worth that are 20 * 1,000 / 1,080 = 18.518518.
    now, fee = charge(now, 200_000)
    assert fee == Fee(20_000_000, 18_518_518)
    assert now.mark == Mark(1_100_000_000, 1_018_518_518)
    # 540 * 1,018.518518 / 1,100 = 499.999999(74...), down.
    now, made = deposit(now, 540_000_000)
    assert made == 499_999_999
    now = replace(now, nav=1_500_000_000, nav_up=1_500_000_000, free=1_500_000_000)
    assert charge(now, 200_000) == (now, Fee(0, 0))
    # 500 of 1,518.518517 shares, of 1,500: 493.902439(5...), down.
    now, paid = withdraw(now, 500_000_000)
    assert paid == 493_902_439
    assert (now.nav, now.shares, now.free) == (1_006_097_561, 1_018_518_517, 1_006_097_561)


def test_newcomers_pay_by_the_value_rounded_up_and_leavers_are_paid_by_it_rounded_down():
    now = pool(300_000, 1_000_000, up=3)
    # 500,000 of 0.300003 a share; at 0.300000 it would be 1,666,666.
    assert deposit(now, 500_000)[1] == 1_666_650
    assert withdraw(now, 500_001)[1] == 150_000


def test_a_gain_that_is_not_a_whole_one_above_the_mark_is_none():
    # The mark of a million shares is 3,333,333.67.
    mark = Mark(10_000_001, 3_000_000)
    now = pool(3_333_334, 1_000_000, mark)
    assert charge(now, 500_000) == (now, Fee(0, 0))
    assert charge(replace(now, nav=3_333_335), 500_000)[0].mark == Mark(3_333_335, 1_000_000)


def test_who_goes_last_takes_all_and_the_mark_with_it():
    now, paid = withdraw(pool(1_234_567, 1_000_003), 1_000_003)
    assert paid == 1_234_567
    assert now == EMPTY


def test_what_nobody_has_shares_of_is_the_first_one_s_and_no_gain_of_its_own():
    now, made = deposit(pool(500_000, 0), 1_000_000)
    assert made == 1_000_000
    assert charge(now, 500_000) == (now, Fee(0, 0))


def test_an_opening_gives_one_share_for_each_dollar_and_only_once():
    now, made = open_with(pool(1_007_564_716_234, 0, up=2))
    assert (made, now.shares, now.mark) == (now.nav, now.nav, Mark(now.nav, now.nav))
    assert open_with(now) is Refusal.VAULT_HAS_SHARES
    assert open_with(pool(SHARES_MIN - 1, 0)) is Refusal.VAULT_WORTHLESS


@pytest.mark.parametrize(
    ("now", "amount", "why"),
    [
        (EMPTY, SHARES_MIN - 1, Refusal.TOO_FEW_SHARES),
        (pool(-1, 0), 10**6, Refusal.VAULT_WORTHLESS),
        (pool(0, 10**6), 10**6, Refusal.VAULT_WORTHLESS),
        (pool(999, 10**6), 10**6, Refusal.VAULT_WORTHLESS),
        (pool(10**12, 1), 10**15, Refusal.TOO_FEW_SHARES),
        (pool(10**6, 10**9), MONEY_MAX // 1_000, Refusal.VAULT_FULL),
        (pool(10**6, 10**6), MONEY_MAX, Refusal.VAULT_FULL),
    ],
)
def test_deposits_that_are_refused(now, amount, why):
    assert deposit(now, amount) is why


@pytest.mark.parametrize(
    ("now", "shares", "why"),
    [
        (EMPTY, 1, Refusal.SHARES_SHORT),
        (pool(10**6, 10**6), 10**6 + 1, Refusal.SHARES_SHORT),
        (pool(0, 10**6), 10**6, Refusal.VAULT_WORTHLESS),
        (pool(-5, 10**6), 10**6, Refusal.VAULT_WORTHLESS),
        (pool(10**5, 10**6), 9, Refusal.VAULT_WORTHLESS),
        (pool(10**6, 10**6, free=499_999), 500_000, Refusal.VAULT_CASH_SHORT),
    ],
)
def test_withdrawals_that_are_refused(now, shares, why):
    assert withdraw(now, shares) is why


HOLDERS = ("manager", "ann", "bob", "eve")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), st.sampled_from(HOLDERS), st.integers(1, 10**13)),
        st.tuples(st.just("withdraw"), st.sampled_from(HOLDERS), st.integers(1, 10**6)),
        st.tuples(st.just("worth"), st.integers(-(10**12), 10**12), st.integers(0, 20)),
        st.tuples(st.just("charge"), st.integers(0, 500_000), st.just(0)),
    ),
    max_size=40,
)


def worth(now, held, value=None):
    value = now.nav if value is None else value
    return {who: Fraction(value * mine, now.shares) for who, mine in held.items() if mine}


@given(STEPS)
def test_no_coming_or_going_takes_anything_from_others(steps):
    now, held = EMPTY, dict.fromkeys(HOLDERS, 0)
    for what, one, other in steps:
        before, highest = now, Fraction(*now.mark) if now.mark.shares else None
        had, at_most = worth(now, held), worth(now, held, now.nav_up)
        match what:
            case "deposit":
                done = deposit(now, other)
                if isinstance(done, Refusal):
                    continue
                now, made = done
                held[one] += made
                gained = worth(now, held)[one] - had.get(one, 0)
                # Never more than was paid in, and hardly less, but for what had nobody's shares before.
                if had:
                    assert other * Fraction(9_998, 10_000) - 21 <= gained <= other
                others = HOLDERS
            case "withdraw":
                mine = held[one] * other // 10**6
                done = withdraw(now, mine) if mine else Refusal.SHARES_SHORT
                if isinstance(done, Refusal):
                    continue
                now, paid = done
                held[one] -= mine
                assert paid + worth(now, held).get(one, 0) <= had[one]
                assert now.free >= 0
                others = [who for who in HOLDERS if who != one]
            case "worth":
                value = now.nav + one
                now = replace(now, nav=value, nav_up=value + other, free=value - other * 10**9)
                others = []
            case _:
                now, fee = charge(now, one)
                held["manager"] += fee.shares
                others = []
                _check_fee(before, now, fee, one, highest)
        assert sum(held.values()) == now.shares
        for who in others:
            # The exact value lies between the two: they lose at neither.
            if who in had and had[who] >= 0:
                assert worth(now, held)[who] >= had[who]
                if what == "withdraw" or who != one:
                    assert worth(now, held, now.nav_up)[who] >= at_most[who]


def _check_fee(before, now, fee, rate, highest):
    if now == before:
        assert fee == (0, 0)
        return
    price, after = Fraction(before.nav, before.shares), Fraction(now.nav, now.shares)
    gain = (price - highest) * before.shares
    assert gain > 0
    assert fee.amount <= gain * rate / 10**6
    assert Fraction(fee.shares * now.nav, now.shares) <= fee.amount
    # What others keep is at least the old mark, and the new mark is what they keep.
    assert highest <= after <= price
    assert Fraction(*now.mark) == after
    assert charge(now, 500_000) == (now, Fee(0, 0))
