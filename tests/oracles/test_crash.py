"""The rules against recorded crashes: they must not stop a market exactly when it needs its index most."""

from itertools import pairwise

import pytest

from core.quantities import Nanos, Ppm
from core.validity import Validity
from oracles.price import Price
from oracles.recording import read
from oracles.route import AGREED, ALONE, LIVE_AGES, Limits, Route
from oracles.router import PriceRouter

FILES = (
    "binance-usdm-AVAXUSDT-1m-2025-02-01_2025-02-04.csv.gz",
    "binance-usdm-AVAXUSDT-1m-2026-02-04_2026-02-07.csv.gz",
    "binance-usdm-FILUSDT-1m-2025-02-01_2025-02-04.csv.gz",
    "binance-usdm-NEARUSDT-1m-2025-02-01_2025-02-04.csv.gz",
)
PYTH = Limits("pyth", "pyth", LIVE_AGES, Ppm(5_000))
PUSHED = Limits("pushed", "pushed", LIVE_AGES, Ppm(0))
SYMBOL = "X-PERP"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("route", [Route(SYMBOL, (PYTH, PUSHED), AGREED), Route(SYMBOL, (PYTH,), ALONE)])
def test_a_recorded_crash_keeps_its_index_valid(data, file, route):
    """The second publisher is a push oracle: it keeps its price until the market has moved by half a percent."""
    points = read(data(f"ohlcv/{file}"), SYMBOL).points
    router, pushed, steepest = PriceRouter([route]), points[0].value, 0
    for before, point in pairwise(points):
        steepest = max(steepest, abs(point.value - before.value) * 1_000 // before.value)
        if abs(point.value - pushed) * 200 > pushed:
            pushed = point.value
        for source, value in (("pyth", point.value), ("pushed", pushed)):
            router.accept(Price(SYMBOL, value, point.exponent, 0, point.at, source), Nanos(point.at))
        assert router.route(SYMBOL, Nanos(point.at)).validity is Validity.VALID
    assert steepest >= 20  # it was a crash: two percent and more from one price to the next
