"""Who is chosen, how far it is believed and why: two of three, ages, confidence, average, and what is never chosen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND, Nanos, Ppm
from core.validity import Action, Validity, allowed
from oracles.index import AHEAD_MAX, Fault, Routed, apart, judge
from oracles.price import Price
from oracles.route import ALONE, PLAYED, Ages, Limits, Route, Rule

NOW = Nanos(10**18)
AGES = Ages(Nanos(10 * SECOND), Nanos(60 * SECOND), Nanos(3_600 * SECOND))
RULE = Rule(quorum=2, tolerance=Ppm(10_000), max_deviation=Ppm(500_000))
PYTH = Limits("pyth", "pyth", AGES, Ppm(5_000))
ACCOUNT = Limits("account", "pyth", AGES, Ppm(5_000))
LINK = Limits("link", "link", Ages(*(Nanos(3_900 * SECOND),) * 3), Ppm(0))
PERP = Limits("perp", "perp", AGES, Ppm(0), witness=True)
ROUTE = Route("BTC-PERP", (PYTH, ACCOUNT, LINK, PERP), RULE)


def price(
    source: str, value: int = 100_000, *, age_s: int = 0, confidence: int = 0, exponent: int = -3
) -> Price:
    return Price("BTC-PERP", value, exponent, confidence, Nanos(NOW - age_s * SECOND), source)


def judged(
    *prices: Price, route: Route = ROUTE, average: int | None = None, contested: bool = False
) -> Routed:
    past = None if average is None else price("average", average)
    return judge(route, {one.source: one for one in prices}, past, contested, NOW)


def outcome(routed: Routed) -> tuple[str | None, str, set[str]]:
    source = routed.chosen.limits.source if routed.chosen else None
    return source, routed.validity.code, {f"{source} {fault}" for source, fault in routed.reasons}


SOURCES = [limits.source for limits in ROUTE.sources]
PRICES = st.builds(
    price,
    st.sampled_from(SOURCES),
    st.one_of(st.integers(-5, 200_000), st.integers(98_000, 102_000)),
    age_s=st.sampled_from([-6, 0, 5, 11, 61, 3_700, 4_000]),
    confidence=st.sampled_from([0, 400, 3_000]),
)
WORLDS = st.dictionaries(st.sampled_from(SOURCES), PRICES).map(
    lambda world: {source: replace(one, source=source) for source, one in world.items()}
)
AVERAGES = st.none() | st.integers(50_000, 200_000)
MISSING_ACCOUNT = {"account missing"}


def test_the_first_that_another_publisher_confirms():
    routed = judged(price("pyth"), price("link", 100_500), price("perp", 99_500))
    assert outcome(routed) == ("pyth", "valid", MISSING_ACCOUNT)
    assert routed.price == price("pyth")
    assert routed.confirmed
    assert routed.at == NOW


def test_a_liar_is_outvoted_wherever_it_stands():
    assert outcome(judged(price("pyth", 130_000), price("link"), price("perp"))) == (
        "link",
        "valid",
        MISSING_ACCOUNT | {"pyth disagrees"},
    )
    assert outcome(judged(price("pyth"), price("link", 70_000), price("perp"))) == (
        "pyth",
        "valid",
        MISSING_ACCOUNT | {"link disagrees"},
    )
    assert outcome(judged(price("pyth"), price("link"), price("perp", 1))) == (
        "pyth",
        "valid",
        MISSING_ACCOUNT | {"perp disagrees"},
    )


@pytest.mark.parametrize(
    ("pyth", "link", "perp", "chosen"),
    [
        (99_010, 100_000, 100_000, "link"),
        (99_010, 100_100, 99_900, "link"),
        (100_990, 100_000, 100_000, "link"),
        (100_000, 100_000, 99_010, "pyth"),
        (100_200, 99_500, 100_300, "pyth"),
        (100_300, 100_000, 100_250, "pyth"),
    ],
)
def test_of_three_that_agree_the_middle_one_counts_however_near_the_first_is(pyth, link, perp, chosen):
    routed = judged(price("pyth", pyth), price("link", link), price("perp", perp))
    assert (routed.chosen.limits.source, routed.validity, routed.confirmed) == (chosen, Validity.VALID, True)


def test_a_second_way_to_a_publisher_is_not_nearer_to_the_middle():
    routed = judged(price("pyth", 100_300), price("account", 100_250), price("link"), price("perp", 100_250))
    assert routed.chosen.limits.source == "pyth"


def test_two_ways_to_one_publisher_are_one_voice():
    lone = judged(price("pyth", 130_000), price("account", 130_000))
    assert outcome(lone) == ("pyth", "lone", {"link missing", "perp missing", "pyth unconfirmed"})
    outvoted = judged(price("pyth", 130_000), price("account", 130_000), price("link"), price("perp"))
    assert outvoted.chosen is not None
    assert outvoted.chosen.limits is LINK


def test_a_publisher_speaks_with_its_freshest_voice():
    route = Route("BTC-PERP", (LINK, PYTH, ACCOUNT), RULE)
    for aged, fresh in (("pyth", "account"), ("account", "pyth")):
        routed = judged(price("link"), price(aged, 110_000, age_s=11), price(fresh), route=route)
        assert outcome(routed) == ("link", "valid", {f"{aged} aged"})


def test_when_each_says_something_else_nobody_is_believed():
    routed = judged(price("pyth"), price("link", 110_000), price("perp", 120_000))
    assert outcome(routed) == (
        "pyth",
        "disputed",
        MISSING_ACCOUNT | {f"{s} disagrees" for s in ("pyth", "link", "perp")},
    )
    assert not routed.confirmed


def test_who_is_left_over_after_a_dispute_is_not_believed():
    assert judged(price("pyth"), contested=False).validity is Validity.LONE
    left = judged(price("pyth"), contested=True)
    assert left.validity is Validity.DISPUTED
    assert ("pyth", Fault.CONTESTED) in left.reasons
    assert judged(price("pyth"), price("link"), contested=True).validity is Validity.VALID


def test_a_perp_confirms_but_is_never_the_index():
    routed = judged(price("perp"))
    assert outcome(routed) == (None, "unavailable", {"pyth missing", "account missing", "link missing"})
    assert routed.price is None
    assert routed.witnesses == (price("perp"),)
    assert judged(price("pyth"), price("perp")).validity is Validity.VALID
    assert judged(price("perp", age_s=11)).witnesses == ()


def test_a_perp_that_disagrees_with_the_index_is_no_view_of_the_mark():
    """Or one liar outside would have a voice in the mark, although the publishers agree against it."""
    edge = judged(price("pyth"), price("link"), price("perp", 101_000))
    assert (edge.validity, edge.witnesses) == (Validity.VALID, (price("perp", 101_000),))
    liar = judged(price("pyth"), price("link"), price("perp", 101_001))
    assert (liar.validity, liar.witnesses) == (Validity.VALID, ())
    assert ("perp", Fault.DISAGREES) in liar.reasons


@pytest.mark.parametrize(
    ("one", "validity", "fault"),
    [
        (price("pyth", age_s=10), Validity.VALID, None),
        (price("pyth", age_s=11), Validity.AGED, Fault.AGED),
        (price("pyth", age_s=60), Validity.AGED, Fault.AGED),
        (price("pyth", age_s=61), Validity.STALE, Fault.STALE),
        (price("pyth", age_s=3_600), Validity.STALE, Fault.STALE),
        (price("pyth", age_s=3_601), Validity.UNAVAILABLE, Fault.EXPIRED),
        (price("pyth", confidence=500), Validity.VALID, None),
        (price("pyth", confidence=501), Validity.UNCERTAIN, Fault.UNCERTAIN),
        (price("pyth", confidence=501, age_s=3_601), Validity.UNAVAILABLE, Fault.EXPIRED),
        (price("pyth", confidence=99_999), Validity.UNCERTAIN, Fault.UNCERTAIN),
        (price("pyth", confidence=100_000), Validity.UNAVAILABLE, Fault.OUT_OF_RANGE),
        (price("pyth", confidence=2**64 - 1), Validity.UNAVAILABLE, Fault.OUT_OF_RANGE),
        (price("pyth", 10**9, exponent=0), Validity.VALID, None),
        (price("pyth", 10**10 + 1, exponent=-1), Validity.UNAVAILABLE, Fault.OUT_OF_RANGE),
        (price("pyth", 2**63, exponent=30), Validity.UNAVAILABLE, Fault.OUT_OF_RANGE),
        (price("pyth", 0), Validity.UNAVAILABLE, Fault.NOT_POSITIVE),
        (price("pyth", -5), Validity.UNAVAILABLE, Fault.NOT_POSITIVE),
        (price("pyth", age_s=-AHEAD_MAX // SECOND), Validity.VALID, None),
        (price("pyth", age_s=-AHEAD_MAX // SECOND - 1), Validity.UNAVAILABLE, Fault.FROM_THE_FUTURE),
        (None, Validity.UNAVAILABLE, Fault.MISSING),
    ],
)
def test_the_limits_of_one_source_to_the_unit(one, validity, fault):
    route = Route("BTC-PERP", (PYTH,), replace(RULE, quorum=1))
    routed = judged(*([one] if one else []), route=route)
    assert routed.validity is validity
    assert routed.reasons == (() if fault is None else (("pyth", fault),))
    assert routed.price == (None if validity is Validity.UNAVAILABLE else one)


def test_the_tolerance_to_the_unit_and_across_scales():
    assert judged(price("pyth"), price("link", 101_000)).validity is Validity.VALID
    assert judged(price("pyth"), price("link", 101_001)).validity is Validity.DISPUTED
    finer = price("link", 101_000 * 10**15 + 1, exponent=-18)
    assert judged(price("pyth"), finer).validity is Validity.DISPUTED
    assert judged(price("pyth", 1, exponent=2), price("link", 100, exponent=0)).validity is Validity.VALID


def test_far_from_the_average_is_not_believed_even_when_confirmed():
    both = price("pyth", 150_000), price("link", 150_000)
    assert judged(*both, average=100_000).validity is Validity.VALID
    assert outcome(judged(*both, average=99_999)) == (
        "pyth",
        "volatile",
        MISSING_ACCOUNT | {"perp missing", "pyth deviates"},
    )
    played = Route("BTC-PERP", (PYTH,), PLAYED)
    assert judged(price("pyth", 150_000), route=played, average=1).validity is Validity.VALID


@pytest.mark.parametrize("perp", [None, 100_983])
@pytest.mark.parametrize(
    ("silent_s", "validity"),
    [(10, "valid"), (11, "aged"), (60, "aged"), (61, "stale"), (2_999, "stale"), (3_000, "stale")],
)
def test_an_hourly_word_from_before_replaces_no_silent_price(silent_s, validity, perp):
    """The hourly one counts in full for 65 minutes. That makes its price no newer."""
    others = [price("link", age_s=3_000)] + ([price("perp", perp)] if perp else [])
    routed = judged(price("pyth", 100_983, age_s=silent_s), *others)
    assert (routed.price.value, routed.validity.code) == (100_983, validity)


def test_a_round_after_the_silence_began_is_the_price_and_so_is_what_is_left_when_the_silent_one_expired():
    silent, perp = price("pyth", 100_983, age_s=61), price("perp", 100_400)
    assert outcome(judged(silent, price("link", age_s=60), perp))[:2] == ("link", "valid")
    assert outcome(judged(silent, price("link", age_s=61), perp))[:2] == ("link", "valid")
    assert outcome(judged(silent, price("link", age_s=62), perp))[:2] == ("link", "valid")  # in the middle
    assert outcome(judged(silent, price("link", age_s=60)))[:2] == ("link", "stale")
    expired = price("pyth", 100_983, age_s=3_601)
    assert outcome(judged(expired, price("link", age_s=3_700), perp))[:2] == ("link", "valid")
    assert outcome(judged(expired, price("link", age_s=3_700)))[:2] == ("link", "lone")


@pytest.mark.parametrize("age_s", [0, 10, 11, 61, 2_999])
def test_who_is_not_the_middle_does_not_become_the_index_by_falling_silent(age_s):
    routed = judged(price("pyth", 100_983, age_s=age_s), price("link", age_s=3_000), price("perp", 100_100))
    assert outcome(routed)[:2] == ("link", "valid")


@pytest.mark.parametrize("pyth", [100_000, 100_983, 102_000])
def test_who_publishes_in_doubt_for_ever_holds_nobody_up_that_agrees(pyth):
    """Always newer than the round, and never old: nothing would be filled, paid out or funded until its doubt is over."""
    doubtful = price("pyth", pyth, confidence=600)
    routed = judged(doubtful, price("link", age_s=3_000), price("perp", 100_900))
    assert outcome(routed)[:2] == ("link", "valid")
    old = replace(doubtful, published_at=Nanos(NOW - 70 * SECOND))
    assert outcome(judged(old, price("link", age_s=3_000), price("perp", 100_900)))[:2] == ("link", "valid")
    assert outcome(judged(doubtful, price("account", age_s=9), price("perp", 100_983)))[:2] == (
        "account",
        "valid",
    )


def test_doubt_where_nobody_else_agrees_is_still_the_price():
    doubtful = price("pyth", 100_983, confidence=600)
    assert outcome(judged(doubtful, price("link", age_s=3_000)))[:2] == ("pyth", "uncertain")


@given(
    st.integers(99_500, 100_490),
    st.integers(99_500, 100_490),
    st.integers(99_500, 100_490) | st.none(),
    st.integers(0, 3_600),
)
def test_growing_old_never_changes_which_price_it_is(pyth, link, perp, silent_s):
    """Nobody says anything new, so the market has not moved: neither may the index, however long the first one is silent."""
    others = [price("link", link, age_s=3_600)] + ([price("perp", perp)] if perp else [])
    before, after = (judged(price("pyth", pyth, age_s=age_s), *others) for age_s in (0, silent_s))
    assert before.validity is Validity.VALID
    assert (after.confirmed, after.price.value) == (True, before.price.value)


def test_an_aged_price_that_a_fresh_one_contradicts_gives_way():
    routed = judged(price("pyth", age_s=11), price("link", 110_000))
    assert outcome(routed) == (
        "link",
        "lone",
        MISSING_ACCOUNT | {"pyth aged", "perp missing", "link unconfirmed"},
    )


def test_a_fresh_price_that_only_an_aged_one_confirms_is_itself_as_good_as_aged():
    for fresh, aged in (("pyth", "perp"), ("account", "perp")):
        routed = judged(price(fresh, 100_500), price(aged, age_s=60))
        assert (routed.price, routed.validity) == (price(fresh, 100_500), Validity.AGED)
        assert (fresh, Fault.LATE_CONFIRMED) in routed.reasons
        assert routed.confirmed
    route = Route("BTC-PERP", (replace(LINK, ages=AGES), PYTH), RULE)
    routed = judged(price("pyth"), price("link", 100_500, age_s=11), route=route)
    assert (routed.price, routed.validity) == (price("pyth"), Validity.AGED)  # the fresher of the two


def test_a_stale_voice_confirms_no_further_than_itself_and_only_what_nobody_contradicts():
    stale = price("perp", age_s=61)
    routed = judged(price("pyth", 101_000), stale)
    assert (routed.price, routed.validity, routed.confirmed) == (
        price("pyth", 101_000),
        Validity.STALE,
        True,
    )
    assert ("pyth", Fault.LATE_CONFIRMED) in routed.reasons
    assert judged(price("pyth", 101_001), stale).validity is Validity.LONE
    assert judged(price("pyth"), price("perp", age_s=3_601)).validity is Validity.LONE
    assert judged(price("pyth"), price("link", 110_000), stale).validity is Validity.DISPUTED
    assert judged(price("pyth"), stale, contested=True).validity is Validity.DISPUTED


@pytest.mark.parametrize("age_s", [0, 11, 61, 3_600])
@pytest.mark.parametrize("confidence", [0, 3_000])
@pytest.mark.parametrize("source", ["pyth", "link"])
def test_one_live_publisher_of_several_is_believed_for_nothing_however_it_stands_by_itself(
    source, age_s, confidence
):
    routed = judged(price(source, age_s=age_s, confidence=confidence))
    assert routed.validity is Validity.LONE
    assert not any(allowed(routed.validity, action) for action in Action)


def test_where_one_publisher_is_configured_it_is_believed_by_itself():
    route = Route("BTC-PERP", (PYTH, ACCOUNT), ALONE)
    routed = judged(price("pyth"), route=route)
    assert routed.validity is Validity.VALID
    assert ("pyth", Fault.UNCONFIRMED) in routed.reasons


@given(WORLDS, AVERAGES, st.booleans())
def test_nothing_is_done_at_a_price_that_no_other_publisher_says_or_said_within_the_hour(
    world, average, contested
):
    routed = judged(*world.values(), average=average, contested=contested)
    if not any(allowed(routed.validity, action) for action in Action):
        return
    chosen = routed.chosen
    assert any(
        one.limits.publisher != chosen.limits.publisher
        and one.price is not None
        and one.validity.rank >= Validity.STALE.rank
        and not apart(one.price, chosen.price, 10_000)
        for one in routed.inputs
    )


def test_a_route_that_could_never_be_valid_can_not_be_made():
    for sources, rule, why in (
        ((PERP,), RULE, "could be the index"),
        ((), RULE, "could be the index"),
        ((PYTH, PYTH), RULE, "twice"),
        ((PYTH, ACCOUNT), RULE, "2 of 1"),
        ((PYTH,), replace(RULE, quorum=0), "0 of 1"),
    ):
        with pytest.raises(ValueError, match=why):
            Route("BTC-PERP", sources, rule)


@given(WORLDS, AVERAGES, st.booleans())
def test_valid_means_fresh_certain_and_agreed_by_two_publishers(world, average, contested):
    routed = judged(*world.values(), average=average, contested=contested)
    if routed.validity is not Validity.VALID:
        assert routed.reasons
        return
    chosen = routed.chosen
    assert chosen is not None
    assert chosen.fault is None
    assert not chosen.limits.witness
    publishers = {
        one.limits.publisher
        for one in routed.inputs
        if one.price is not None and one.fault is None and not apart(one.price, chosen.price, 10_000)
    }
    assert len(publishers) >= 2
    assert average is None or not apart(chosen.price, price("average", average), 500_000)


@given(WORLDS, AVERAGES, st.booleans(), st.sampled_from(SOURCES))
def test_no_single_source_can_make_a_price_valid_that_nobody_else_says(world, average, contested, liar):
    """Whatever one publisher does, a valid index is within the tolerance of what an honest one says."""
    routed = judged(*world.values(), average=average, contested=contested)
    if routed.validity is not Validity.VALID:
        return
    lying = next(limits.publisher for limits in ROUTE.sources if limits.source == liar)
    honest = [
        one.price
        for one in routed.inputs
        if one.limits.publisher != lying and one.fault is None and one.price
    ]
    assert any(not apart(routed.price, one, 10_000) for one in honest)


@given(WORLDS, AVERAGES)
def test_a_dispute_before_never_makes_a_price_more_believed(world, average):
    before, after = (judged(*world.values(), average=average, contested=flag) for flag in (False, True))
    assert after.validity.rank <= before.validity.rank


@given(WORLDS, AVERAGES, st.booleans())
def test_an_average_never_makes_a_price_more_believed(world, average, contested):
    without, compared = (judged(*world.values(), average=one, contested=contested) for one in (None, average))
    assert compared.validity.rank <= without.validity.rank


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(0, 10**6))
def test_being_apart_is_mutual_and_grows_with_the_distance(one, other, ppm):
    first, second = price("a", one), price("b", other)
    assert apart(first, second, ppm) == apart(second, first, ppm)
    assert not apart(first, first, ppm)
    if apart(first, second, ppm + 1):
        assert apart(first, second, ppm)
