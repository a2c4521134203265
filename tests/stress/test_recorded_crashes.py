"""Recorded crashes, their steepest hour and a smaller crowd: `perpdex stress` plays them whole with everybody."""

import pytest

CRASHES = {
    "ticks of April 2023": ("market/binance-usdm-BTCUSDT-2023-04-05-trades.csv.gz",),
    "January 2022": ("ohlcv/BTC-PERP-1m-2021-12-31_2022-01-21.csv.gz",),
    "February 2025, three markets": (
        "ohlcv/binance-usdm-AVAXUSDT-1m-2025-02-01_2025-02-04.csv.gz",
        "ohlcv/binance-usdm-NEARUSDT-1m-2025-02-01_2025-02-04.csv.gz",
        "ohlcv/binance-usdm-FILUSDT-1m-2025-02-01_2025-02-04.csv.gz",
    ),
    "February 2026": ("ohlcv/binance-usdm-AVAXUSDT-1m-2026-02-04_2026-02-07.csv.gz",),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_recorded_crash_breaks_nothing(scenario, lived, recording, crash):
    report = lived(scenario(prices=tuple(recording(name) for name in CRASHES[crash])))
    assert report.broken() == []
    assert report.samples[-1].fills > 200
