"""What the router holds between looks: the newest of each source, the average, disputes; and the ways sources misbehave over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import SECOND, Nanos, Ppm
from core.validity import ALLOWED, Action, Validity
from oracles.index import AHEAD_MAX, Fault, Routed
from oracles.price import Price
from oracles.route import AGREED, ALONE, LIVE_AGES, PLAYED, Ages, Limits, Route
from oracles.router import Accepted, PriceRouter

START = 10**18
PYTH = Limits("pyth", "pyth", LIVE_AGES, Ppm(5_000))
LINK = Limits("link", "link", LIVE_AGES, Ppm(5_000))
PERP = Limits("perp", "perp", LIVE_AGES, Ppm(5_000), witness=True)
THREE = Route("BTC-PERP", (PYTH, LINK, PERP), AGREED)
SYMBOL = "BTC-PERP"


def price(source: str, at: int, value: int = 100) -> Price:
    return Price(SYMBOL, value, 0, 0, Nanos(at), source)


class World:
    """A router, told and looked at once a second."""

    def __init__(self, route: Route = THREE) -> None:
        self.router = PriceRouter([route])
        self.now = START

    def second(self, **said: int) -> Routed:
        """One second later every source named says its price."""
        self.now += SECOND
        for source, value in said.items():
            self.router.accept(price(source, self.now, value), Nanos(self.now))
        return self.router.route(SYMBOL, Nanos(self.now))

    def seconds(self, count: int, **said: int) -> list[str]:
        """The validities over some time, each change once."""
        codes: list[str] = []
        for _ in range(count):
            code = self.second(**said).validity.code
            if codes[-1:] != [code]:
                codes.append(code)
        return codes


def test_a_source_never_goes_back_repeats_or_runs_ahead():
    router = PriceRouter([THREE])
    now = Nanos(START)
    assert router.accept(price("pyth", START), now) is Accepted.NEWER
    assert router.accept(price("pyth", START - 1, 7), now) is Accepted.WENT_BACK
    assert router.accept(price("pyth", START, 7), now) is Accepted.REPEATED
    assert router.accept(price("pyth", START + AHEAD_MAX + 1, 7), now) is Accepted.FROM_THE_FUTURE
    assert router.accept(price("stranger", START, 7), now) is Accepted.UNROUTED
    assert router.route(SYMBOL, now).price == price("pyth", START)
    # What ran ahead left no trace that would make the next honest price look old.
    assert router.accept(price("pyth", START + 1, 101), now) is Accepted.NEWER
    assert router.accept(price("link", START - 9), now) is Accepted.NEWER  # others may be older
    with pytest.raises(KeyError):
        router.accept(Price("DOGE-PERP", 1, 0, 0, now, "pyth"), now)


def test_nothing_known_is_every_source_missing():
    routed = PriceRouter([THREE]).route(SYMBOL, Nanos(START))
    assert routed.reasons == tuple((name, Fault.MISSING) for name in ("pyth", "link", "perp"))
    assert (routed.validity, routed.price, routed.average) == (Validity.UNAVAILABLE, None, None)


def test_sources_drop_one_after_the_other_and_come_back():
    world = World()
    assert world.seconds(5, pyth=100, link=100, perp=100) == ["valid"]
    assert world.seconds(20, link=100, perp=100) == ["valid"]
    assert world.seconds(100, link=100) == ["valid", "aged", "stale"]
    assert world.seconds(3_700, link=100) == ["stale", "lone"]
    assert world.seconds(3_700) == ["lone", "unavailable"]
    assert world.seconds(1, pyth=100) == ["lone"]
    assert world.seconds(1, pyth=100, link=100) == ["valid"]


def test_all_sources_silent_goes_down_step_by_step():
    world = World(Route(SYMBOL, (PYTH,), ALONE))
    world.second(pyth=100)
    assert world.seconds(3_700) == ["valid", "aged", "stale", "unavailable"]
    assert world.seconds(1, pyth=100) == ["valid"]


def test_a_liar_among_three_changes_nothing():
    world = World()
    world.seconds(5, pyth=100, link=100, perp=100)
    for _ in range(30):
        routed = world.second(pyth=150, link=100, perp=100)
        assert (routed.validity, routed.price and routed.price.value) == (Validity.VALID, 100)
        assert ("pyth", Fault.DISAGREES) in routed.reasons


def test_a_liar_that_outlasts_the_honest_one_is_not_believed_until_confirmed():
    world = World()
    world.seconds(5, pyth=100, link=100)
    assert world.seconds(5, pyth=100, link=110) == ["disputed"]
    assert world.seconds(120, link=110) == ["disputed"]
    assert world.seconds(5, link=110, perp=110) == ["valid"]
    assert world.seconds(100, link=110) == ["valid", "aged", "stale"]  # agreement ended the dispute


def test_a_jump_nobody_confirms_waits_for_confirmation_however_long():
    world = World()
    world.seconds(400, pyth=100, link=100)
    assert world.seconds(100, pyth=100) == ["valid", "aged", "stale"]
    assert world.seconds(1_000, pyth=200) == ["volatile"]
    assert world.seconds(500, pyth=200, link=200)[-1] == "valid"


@pytest.mark.parametrize("value", [200, 40])
def test_a_jump_that_is_confirmed_is_believed_within_the_window(value):
    world = World()
    world.seconds(400, pyth=100, link=100, perp=100)
    assert world.seconds(360, pyth=value, link=value, perp=value) == ["volatile", "valid"]


def test_one_spike_does_not_move_the_average_further_than_the_rule_allows():
    world = World()
    world.seconds(400, pyth=100, link=100)
    world.second(pyth=10**9, link=10**9)
    world.second(pyth=100, link=100)
    average = world.second(pyth=100, link=100).average
    assert average is not None
    assert 100 * 10**30 <= average.value <= 101 * 10**30


def test_a_single_source_is_valid_by_its_routes_rule_whatever_it_plays():
    world = World(Route(SYMBOL, (PYTH,), PLAYED))
    for value in (100, 1, 10**9, 5):
        assert world.seconds(3, pyth=value) == ["valid"]


def test_a_lone_publisher_of_a_live_route_is_held_to_its_average():
    world = World(Route(SYMBOL, (PYTH,), ALONE))
    assert world.seconds(400, pyth=100) == ["valid"]
    assert world.seconds(2, pyth=119) == ["valid"]
    assert world.seconds(2, pyth=130) == ["volatile"]
    assert world.seconds(2, pyth=100) == ["valid"]


SAID = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(st.integers(98, 102), st.integers(-1, 300)) for name in ("pyth", "link", "perp")
    },
)


@given(st.lists(SAID, max_size=60))
def test_whatever_one_publisher_says_over_time_a_valid_index_is_an_honest_one(steps):
    """Link and perp are honest at 100 whenever they speak; pyth says anything at any time."""
    world = World()
    for said in steps:
        honest = {name: 100 for name in said if name != "pyth"}
        routed = world.second(**honest, **({"pyth": said["pyth"]} if "pyth" in said else {}))
        if routed.validity is Validity.VALID:
            assert routed.price is not None
            assert 99 <= routed.price.value <= 101


MESSY = st.lists(
    st.tuples(
        st.sampled_from(["pyth", "link", "perp", "stranger"]),
        st.integers(-10 * SECOND, 10 * SECOND),
        st.integers(-5, 300),
        st.integers(0, 20 * SECOND),
    ),
    max_size=60,
)


@given(MESSY)
def test_the_price_held_is_the_newest_accepted_and_never_older_than_before(steps):
    router, now, newest = PriceRouter([THREE]), START, {}
    for source, shift, value, wait in steps:
        now += wait
        said = price(source, now + shift, value)
        held = newest.get(source)
        if router.accept(said, Nanos(now)) is Accepted.NEWER:
            assert held is None or said.published_at > held.published_at
            assert said.published_at <= now + AHEAD_MAX
            newest[source] = said
        routed = router.route(SYMBOL, Nanos(now))
        assert {one.limits.source: one.price for one in routed.inputs if one.price} == newest
        assert "stranger" not in newest


@given(MESSY)
def test_the_same_history_is_judged_the_same(steps):
    def played() -> list[Routed]:
        router, now, seen = PriceRouter([THREE]), START, []
        for source, shift, value, wait in steps:
            now += wait
            router.accept(price(source, now + shift, value), Nanos(now))
            seen.append(router.route(SYMBOL, Nanos(now)))
        return seen

    assert played() == played()


SLOW = Route(
    "BTC-PERP",
    (
        Limits("pyth", "pyth", LIVE_AGES, Ppm(5_000)),
        Limits("link", "link", Ages(*(Nanos(3_900 * SECOND),) * 3), Ppm(0)),
    ),
    AGREED,
)


def fast_move(*said):
    """What is judged of pyth at each (second, price), with a round of link, dated some seconds before, where there is one."""
    router, validities = PriceRouter([SLOW]), []
    for second, price, *round in said:
        now = Nanos(10**18 + second * SECOND)
        router.accept(Price("BTC-PERP", price, 0, 0, now, "pyth"), now)
        for value, late in round:
            router.accept(Price("BTC-PERP", value, 0, 0, Nanos(now - late * SECOND), "link"), now)
        routed = router.route("BTC-PERP", now)
        validities.append((routed.chosen.limits.source, routed.validity))
    return validities


def test_a_publisher_that_is_left_behind_by_a_fast_move_does_not_stop_liquidations():
    """Its rounds land twelve seconds late; each says what the other said then."""
    judged = fast_move(
        (0, 60_000, (60_000, 1)),
        (1, 59_700),
        (3, 59_300),
        (6, 58_500),
        (9, 58_000),
        (18, 57_000, (58_500, 12)),
    )
    uncertain = ("pyth", Validity.UNCERTAIN)
    assert judged == [("pyth", Validity.VALID)] * 2 + [uncertain] * 4
    assert ALLOWED[Validity.UNCERTAIN] == {Action.LIQUIDATE}


def test_it_contradicts_when_it_speaks_again_or_has_had_time_to():
    still = fast_move((0, 60_000, (60_000, 1)), (1, 58_000), (5, 58_000, (60_000, 1)))
    assert still[-1][1] is Validity.DISPUTED
    silent = fast_move((0, 60_000, (60_000, 1)), (1, 58_000), (60, 58_000), (61, 58_000))
    assert [validity for _, validity in silent[1:]] == [
        Validity.UNCERTAIN,
        Validity.UNCERTAIN,
        Validity.DISPUTED,
    ]
    never = fast_move((0, 58_000, (60_000, 1)))
    assert never[0][1] is Validity.DISPUTED


def test_nobody_leaves_a_publisher_behind_that_publishes_as_often():
    """A round that lies is newer than anything said before it, and has agreed until then."""
    lied = fast_move((0, 60_000, (60_000, 1)), (5, 60_000), (7, 60_000, (50_000, 0)))
    assert lied[-1] == ("pyth", Validity.DISPUTED)
    router = PriceRouter([THREE])
    for second, pyth, perp in ((0, 60_000, 60_000), (1, 50_000, 60_000)):
        now = Nanos(START + second * SECOND)
        router.accept(Price(SYMBOL, pyth, 0, 0, now, "pyth"), now)
        router.accept(Price(SYMBOL, perp, 0, 0, Nanos(START), "perp"), now)
        routed = router.route(SYMBOL, now)
    assert routed.validity is Validity.DISPUTED


ROUNDS = Route(SYMBOL, (PYTH, SLOW.sources[1], PERP), AGREED)


def while_silent(perp, *later, round_at=-3_000):
    """Whose the index is and how far it is believed: while Pyth and the perp speak, then at each (second, perp) of Pyth's silence.

    Pyth's last price is 100,983; the round says 100,000 and is of `round_at` seconds after it, or before.
    """
    router, found = PriceRouter([ROUNDS]), []
    router.accept(price("pyth", START, 100_983), Nanos(START))
    for second, mid in ((0, perp), *later):
        now = Nanos(START + second * SECOND)
        if second >= round_at:
            router.accept(price("link", START + round_at * SECOND, 100_000), now)
        router.accept(price("perp", now, mid), now)
        routed = router.route(SYMBOL, now)
        found.append(f"{routed.chosen.limits.source} {routed.validity.code}")
    return found


def test_a_moving_perp_throws_no_silent_price_back_to_the_round_from_before_it():
    """As far as 100,491 the silent one is nearer to the middle of all, below that the round is."""
    mids = (11, 100_100), (61, 100_983), (70, 100_500), (71, 100_480), (72, 100_000), (73, 100_983)
    assert while_silent(100_983, *mids) == ["pyth valid", "pyth aged", *["pyth stale"] * 5]


def test_nor_does_it_make_a_silent_price_the_index_that_was_not_when_it_spoke():
    mids = (11, 100_480), (61, 100_983), (70, 100_500), (71, 100_480)
    assert while_silent(100_100, *mids) == ["link valid"] * 5


def test_a_round_that_is_newer_than_the_silent_price_is_the_index_whatever_the_perp_says():
    mids = (61, 100_983), (70, 100_983), (71, 100_983), (72, 100_480)
    assert while_silent(100_983, *mids, round_at=70) == ["pyth valid", "pyth stale", *["link valid"] * 3]


def test_a_silent_price_stays_until_it_expires():
    assert while_silent(100_983, (3_600, 100_000), (3_601, 100_983), round_at=-200) == [
        "pyth valid",
        "pyth stale",
        "link valid",
    ]
