"""The order of sources, their limits to the unit, and time that never goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND, Nanos, Ppm
from oracles.price import Price
from oracles.router import AHEAD_MAX, Fault, Limits, PriceRouter, Route, Unavailable, choose

FIRST, SECOND_BEST = Limits("a", Nanos(10), Ppm(1_000)), Limits("b", Nanos(1_000), Ppm(50_000))
ROUTE = Route("BTC-PERP", (FIRST, SECOND_BEST))
NOW = Nanos(10_000)


def price(source: str, at: int = NOW, value: int = 1_000_000, confidence: int = 0) -> Price:
    return Price("BTC-PERP", value, -8, confidence, Nanos(at), source)


def newest(*prices: Price) -> dict[str, Price]:
    return {one.source: one for one in prices}


@pytest.mark.parametrize(
    ("spoiled", "fault"),
    [
        (price("a", NOW - 11), Fault.STALE),
        (price("a", NOW + AHEAD_MAX + 1), Fault.FROM_THE_FUTURE),
        (price("a", confidence=1_001), Fault.UNCERTAIN),
        (price("a", value=0), Fault.NOT_POSITIVE),
        (price("a", value=-5), Fault.NOT_POSITIVE),
    ],
)
def test_the_next_source_counts_when_one_is_beyond_a_limit(spoiled, fault):
    good = price("b", NOW - 1_000, confidence=50_000)
    assert choose(ROUTE, newest(spoiled, good), NOW) is good
    assert choose(ROUTE, newest(spoiled), NOW) == Unavailable(
        "BTC-PERP", (("a", fault), ("b", Fault.MISSING))
    )


def test_a_limit_is_still_within():
    for one in (price("a", NOW - 10), price("a", NOW + AHEAD_MAX), price("a", confidence=1_000)):
        assert choose(ROUTE, newest(one, price("b")), NOW) is one


def test_nothing_known_is_every_source_missing():
    router = PriceRouter([ROUTE])
    assert router.route("BTC-PERP", NOW) == Unavailable(
        "BTC-PERP", (("a", Fault.MISSING), ("b", Fault.MISSING))
    )


def test_a_source_never_goes_back_but_others_may_be_older():
    router = PriceRouter([ROUTE])
    assert router.accept(price("a", 100))
    assert not router.accept(price("a", 99, value=7))
    assert not router.accept(price("a", 100, value=7))
    assert router.accept(price("b", 90))
    assert router.route("BTC-PERP", Nanos(110)) == price("a", 100)
    assert router.route("BTC-PERP", Nanos(111)) == price("b", 90)
    assert router.accept(price("a", 101))
    assert router.route("BTC-PERP", Nanos(111)) == price("a", 101)
    with pytest.raises(KeyError):
        router.accept(Price("DOGE-PERP", 1, 0, 0, NOW, "a"))


PRICES = st.builds(
    Price,
    st.just("BTC-PERP"),
    st.integers(-10, 10**6),
    st.just(-2),
    st.integers(0, 10**5),
    st.integers(0, 2_000),
    st.sampled_from(["a", "b", "stranger"]),
)


@given(st.lists(PRICES), st.integers(0, 2_000))
def test_a_routed_price_is_within_its_limits_and_the_newest_of_its_source(prices, now):
    router = PriceRouter([ROUTE])
    for one in prices:
        router.accept(one)
    routed = router.route("BTC-PERP", Nanos(now))
    if isinstance(routed, Unavailable):
        assert [source for source, _ in routed.faults] == ["a", "b"]
        return
    limits = {"a": FIRST, "b": SECOND_BEST}[routed.source]
    assert routed.value > 0
    assert now - routed.published_at <= limits.max_age
    assert routed.published_at <= now + 5 * SECOND
    assert routed.confidence * 1_000_000 <= limits.max_confidence * routed.value
    assert all(one.published_at <= routed.published_at for one in prices if one.source == routed.source)
