"""A market's index in its own ticks, as the exchange hears it."""

from core.quantities import SECOND, Nanos, Ppm
from core.validity import Validity
from oracles.index import judge
from oracles.judgement import Judgement, judgement
from oracles.price import Price
from oracles.route import AGREED, LIVE_AGES, Limits, Route

NOW = Nanos(1_700_000_000 * SECOND)
SOURCES = tuple(
    Limits(name, name, LIVE_AGES, Ppm(5_000), witness=name.startswith("perp"))
    for name in ("one", "perp a", "perp b")
)
ROUTE = Route("BTC-PERP", SOURCES, AGREED)


def told(**prices: tuple[int, int, int]) -> Judgement:
    """What is told of prices in cents, their confidence and their age in seconds."""
    newest = {
        (name := key.replace("_", " ")): Price(
            "BTC-PERP", value, -2, confidence, Nanos(NOW - age * SECOND), name
        )
        for key, (value, confidence, age) in prices.items()
    }
    return judgement(judge(ROUTE, newest, None, False, NOW), "0.1")


def test_prices_go_to_the_nearest_tick_and_doubts_up():
    found = told(one=(6_000_015, 1, 0), perp_a=(6_000_014, 0, 0))
    assert found == Judgement(600_002, 1, NOW, "one", Validity.VALID, 600_001)


def test_the_middle_of_the_mids_that_count_by_themselves_is_outside():
    assert told(one=(6_000_000, 0, 0), perp_a=(5_999_000, 0, 0), perp_b=(6_003_000, 0, 0)).outside == 600_100
    assert told(one=(6_000_000, 0, 0), perp_a=(5_999_000, 0, 11), perp_b=(6_003_000, 0, 0)).outside == 600_300
    assert told(one=(6_000_000, 0, 0)).outside == 0
    assert told(one=(6_000_000, 0, 0), perp_a=(6_000_100, 0, 0), perp_b=(10**14, 0, 0)).outside == 600_010


def test_without_any_price_there_is_a_judgement_all_the_same():
    assert told(perp_a=(6_003_000, 0, 0)) == Judgement(0, 0, NOW, "", Validity.UNAVAILABLE, 600_300)
