"""What a vault is worth, to the micro-USDC, and what is said of it."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.nav import PricedLeg, Valuation, per_share_e9
from core.nav_alerts import DEFAULT_LIMITS, Alert, AlertLimits, Kind, TakenOver, Worth, alerts, takeovers
from core.quantities import Nanos
from core.tickets import leg_from, price_from, size_from
from core.vault_shares import Mark

AT = 1_700_000_000_000_000_000
MARK = Mark(1_000, 1_000)
STALE = DEFAULT_LIMITS.stale


def leg(name, size, price, at=AT):
    return PricedLeg(leg_from(name), size_from(size), price_from(price), at, "somebody", "venue")


def test_the_seed_s_vault_by_hand():
    """Cash of a million, 1.5 ETH at 1,843.21, 0.8 XAU short at 4,000.123456 and 2 XAU at 3,999.99999999."""
    found = Valuation(
        1_000_000_000_000,
        [
            leg("hyper::ETH", "1.5", "1843.21"),
            leg("synthetix::XAU", "-0.8", "4000.123456"),
            leg("mock_gold::XAU", "2", "3999.99999999"),
        ],
    )
    # 2,764.815; -3,200.0987648, down to ...765; 7,999.99999998, down to ...999.
    assert [one.value for one in found.legs] == [2_764_815_000, -3_200_098_765, 7_999_999_999]
    assert [one.value_up for one in found.legs] == [2_764_815_000, -3_200_098_764, 8_000_000_000]
    assert found.nav == 1_007_564_716_234
    assert found.nav_up == 1_007_564_716_236
    assert found.by_venue() == {
        "hyper": 2_764_815_000,
        "synthetix": -3_200_098_765,
        "mock_gold": 7_999_999_999,
    }


@pytest.mark.parametrize(
    ("cash", "legs", "free"),
    [
        (1_000, [], 1_000),
        # 1,000 came in, and 10,000 for what was sold short: all of the 1,000 stays behind that.
        (11_000, [leg("hyper::ETH", "-5", "2000")], 0),
        # Twice what came in was bought.
        (-1_000, [leg("hyper::ETH", "1", "2000")], 800),
        (-9_500, [leg("hyper::ETH", "5", "2000")], -500),
        (400, [leg("polymarket::71", "1000", "0.6")], 400),
        # What it was sold for and as much again.
        (1_200, [leg("mock_gold_evm::XAU", "-0.1", "4000")], 400),
    ],
)
def test_what_can_be_paid_out_while_positions_stand(cash, legs, free):
    assert Valuation(cash * 10**6, legs).free == free * 10**6


def test_what_stays_behind_a_position_is_rounded_up():
    one = PricedLeg(leg_from("hyper::X"), 1, 10**10 + 1, AT, "x", "venue")
    assert (one.value, one.value_up) == (1, 2)
    assert Valuation(100, [one]).free == 100 + 1 - 1
    fuller = PricedLeg(leg_from("hyper::X"), 11, 10**10, AT, "x", "venue")
    assert Valuation(100, [fuller]).free == 100 + 11 - 2


def test_a_share_by_hand():
    assert per_share_e9(2_000_001, 3_000_000) == 666_667_000
    assert per_share_e9(2, 3) == 666_666_666
    assert per_share_e9(-2, 3) == -666_666_667
    assert per_share_e9(5, 0) is None


AMOUNTS = st.integers(-(10**18), 10**18)
LEGS = st.lists(st.tuples(AMOUNTS, st.integers(1, 10**17)), max_size=20)


@given(AMOUNTS, LEGS)
def test_value_lies_between_its_two_roundings_and_venues_add_up(cash, held):
    legs = [PricedLeg(leg_from(f"v{n % 3}::S{n}"), *one, AT, "x", "venue") for n, one in enumerate(held)]
    found = Valuation(cash, legs)
    exact = cash + sum(Fraction(size * price, 10**10) for size, price in held)
    assert found.nav <= exact <= found.nav_up <= found.nav + len(legs)
    assert cash + sum(found.by_venue().values()) == found.nav
    assert all(one.value == floor(Fraction(one.size * one.price, 10**10)) for one in legs)


def said(found, shares=1_000, before=None, limits=DEFAULT_LIMITS):
    return [(one.kind, one.leg) for one in alerts(AT, found, shares, MARK, before, limits)]


@pytest.mark.parametrize(
    ("away", "stale"), [(0, False), (STALE, False), (-STALE, False), (STALE + 1, True), (-STALE - 1, True)]
)
def test_a_price_of_another_time_is_stale_before_and_after(away, stale):
    found = Valuation(0, [leg("hyper::ETH", "0.00000001", "1", AT + away)])
    assert said(found, shares=0) == ([(Kind.STALE_LEG, "hyper::ETH")] if stale else [])


def test_a_leg_without_a_price_is_said_and_its_vault_s_value_is_not_judged():
    found = Valuation(1, [leg("hyper::ETH", "1", "0")])
    assert not found.known
    assert said(found) == [(Kind.NO_PRICE, "hyper::ETH")]


def test_what_cannot_be_counted_is_not_known():
    """A book that says so must not keep other vaults' snapshots from being written."""
    found = Valuation(
        0, [leg("hyper::ETH", "10000000000", "1000000000"), leg("hyper::X", "-10000000000", "1000000000")]
    )
    assert found.nav == 0
    assert not found.known
    assert said(found) == [(Kind.NO_PRICE, "")]


@pytest.mark.parametrize(
    ("nav", "before", "kinds"),
    [
        (1_100, Worth(1_000, 1_000), []),
        (1_101, Worth(1_000, 1_000), [Kind.JUMP]),
        (900, Worth(1_000, 1_000), []),
        (899, Worth(2_000, 2_000), [Kind.JUMP]),
        (800, Worth(850, 1_000), []),
        (799, Worth(850, 1_000), [Kind.DRAWDOWN]),
        (799, Worth(799, 1_000), []),
        (799, None, [Kind.DRAWDOWN]),
        (1, Worth(0, 1_000), [Kind.JUMP]),
        (0, Worth(0, 1_000), []),
        (5, Worth(5, 0), [Kind.DRAWDOWN]),
        (-1, Worth(0, 1_000), [Kind.JUMP]),
    ],
)
def test_what_is_said_of_the_value(nav, before, kinds):
    assert [kind for kind, _ in said(Valuation(nav, []), before=before)] == kinds


@pytest.mark.parametrize(
    ("limits", "nav", "before", "away", "kinds"),
    [
        # What is said by default is not said, and what is not is: each limit by itself, at its edge and one beyond.
        (AlertLimits(jump_ppm=500_000), 1_500, Worth(1_000, 1_000), 0, []),
        (AlertLimits(jump_ppm=500_000), 1_501, Worth(1_000, 1_000), 0, [Kind.JUMP]),
        (AlertLimits(jump_ppm=1_000), 1_001, Worth(1_000, 1_000), 0, []),
        (AlertLimits(jump_ppm=1_000), 998, Worth(1_000, 1_000), 0, [Kind.JUMP]),
        (AlertLimits(jump_ppm=1_000_000), 5, Worth(-1, 1_000), 0, [Kind.JUMP]),
        (AlertLimits(drawdown_ppm=50_000), 950, Worth(1_000, 1_000), 0, []),
        (AlertLimits(drawdown_ppm=50_000), 949, Worth(1_000, 1_000), 0, [Kind.DRAWDOWN]),
        (AlertLimits(drawdown_ppm=50_000), 948, Worth(949, 1_000), 0, []),
        (AlertLimits(drawdown_ppm=50_000), 948, Worth(950, 1_000), 0, [Kind.DRAWDOWN]),
        (AlertLimits(jump_ppm=10**6, drawdown_ppm=10**6), 0, Worth(1_000, 1_000), 0, []),
        (AlertLimits(Nanos(5)), 1_000, None, 5, []),
        (AlertLimits(Nanos(5)), 1_000, None, -6, [Kind.STALE_LEG]),
        (AlertLimits(Nanos(2 * STALE)), 1_000, None, 2 * STALE, []),
        (AlertLimits(Nanos(2 * STALE)), 1_000, None, 2 * STALE + 1, [Kind.STALE_LEG]),
    ],
)
def test_limits_are_the_operator_s(limits, nav, before, away, kinds):
    nothing = leg("hyper::ETH", "0", "1", AT + away)
    assert [kind for kind, _ in said(Valuation(nav, [nothing]), before=before, limits=limits)] == kinds


def test_alerts_say_how_much():
    [jump, drawdown] = alerts(AT, Valuation(755, []), 1_000, MARK, Worth(1_000, 1_000))
    assert jump == Alert(Kind.JUMP, "", "a share is worth 24.5 % less than at the snapshot before")
    assert drawdown.sentence == "a share is worth 24.5 % less than its mark"


@pytest.mark.parametrize(
    ("nav", "others", "kind"),
    [
        (10_000_000_000, 0, Kind.DIFFERENCE),
        (9_999_999_999, 0, Kind.DIFFERENCE_LARGE),
        (10_000_000_000, 1, Kind.DIFFERENCE_LARGE),
        (0, 0, Kind.DIFFERENCE_LARGE),
        (-1, 0, Kind.DIFFERENCE_LARGE),
    ],
)
def test_what_was_taken_over_is_a_doubt_beyond_a_thousandth_of_the_value(nav, others, kind):
    """Five dollars twice at one venue, and a hundred millionth of an ounce at another: rounded up, a micro-dollar."""
    eth, gold, half = leg_from("hyper::ETH"), leg_from("mock_gold::XAU"), size_from("0.5")
    taken = [
        TakenOver(eth, half, 0, price_from("10")),
        *[TakenOver(gold, 0, -1, price_from("4000"))] * others,
        TakenOver(eth, 0, -half, price_from("10")),
    ]
    said = takeovers(Valuation(nav, []), taken)
    assert [one.kind for one in said] == [kind] * (1 + others)
    both = "taken over: 0 there in place of 0.5, at 10; -0.5 there in place of 0, at 10"
    assert (said[0].leg, said[0].sentence) == ("hyper::ETH", both)


def test_nothing_taken_over_is_nothing_to_say_and_at_an_unknown_value_it_is_a_doubt():
    assert takeovers(Valuation(1, []), []) == []
    nobody_knows = Valuation(10**12, [leg("hyper::ETH", "1", "0")])
    one = TakenOver(leg_from("hyper::ETH"), 0, 1, price_from("1"))
    assert [said.kind for said in takeovers(nobody_knows, [one])] == [Kind.DIFFERENCE_LARGE]
