"""Every recorded CSV loads to the prices it holds; what can not be played says so in one sentence."""

import gzip
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quantities import MILLISECOND, SECOND, Nanos
from oracles.recording import Loop, Point, Recording, RecordingFailed, file_of, load, read, replay, symbol_of

MARKETS = ("BTC-PERP", "ETH-PERP", "SOL-PERP")
T0 = 1_700_000_000


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str = "BTC-PERP.csv"):
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "kind", "rows", "first"),
    [
        ("binance-usdm-BTCUSDT-2020-02-22-quotes", "quotes", 9_999, Fraction("9681.96")),
        ("binance-usdm-BTCUSDT-2020-02-22-trades-00h-16h", "trades", 95_432, Fraction(9682)),
        ("binance-usdm-BTCUSDT-2023-04-05-markprice", "mark prices", 415, Fraction("28165.04857143")),
        ("binance-usdm-BTCUSDT-2023-04-05-quotes", "quotes", 37_440, Fraction("28155.15")),
        ("binance-usdm-BTCUSDT-2023-04-05-trades", "trades", 10_738, Fraction("28155.1")),
        ("binance-usdm-ETHUSDT-2024-07-19-quotes", "quotes", 38_239, Fraction("3424.985")),
        ("binance-usdm-ETHUSDT-2024-07-19-trades", "trades", 12_015, Fraction("3424.99")),
    ],
)
def test_recorded_market_files(data, name, kind, rows, first):
    path = data(f"market/{name}.csv.gz")
    recording = load(path, MARKETS)[symbol_of(path, MARKETS)]
    assert (recording.kind, len(recording.points)) == (kind, rows)
    point = recording.points[0]
    assert Fraction(point.value) * Fraction(10) ** point.exponent == first
    assert all(before.at <= after.at for before, after in pairwise(recording.points))


def test_every_recorded_candle_file(data):
    files = sorted(data("ohlcv").glob("*.csv.gz"))
    assert len(files) >= 8
    for path in files:
        recording = read(path, "BTC-PERP")
        assert recording.kind == "candles"
        assert len(recording.points) > 1_000
        steps = {after.at - before.at for before, after in pairwise(recording.points)}
        assert min(steps) >= 60 * SECOND


def test_a_directory_gives_the_best_file_of_each_market(data):
    chosen = {symbol: one.path.name for symbol, one in load(data("market"), MARKETS).items()}
    assert chosen == {
        "BTC-PERP": "binance-usdm-BTCUSDT-2023-04-05-markprice.csv.gz",
        "ETH-PERP": "binance-usdm-ETHUSDT-2024-07-19-quotes.csv.gz",
    }


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("binance-usdm-ETHUSDT-2024-07-19-quotes.csv.gz", "ETH-PERP"),
        ("BTC-PERP-1m-2021-12-31_2022-01-21.csv.gz", "BTC-PERP"),
        ("hyperliquid-BTC-1h-2025-05-27.csv.gz", "BTC-PERP"),
        ("binance-coinm-BTCUSD_PERP-trades.csv", "BTC-PERP"),
        ("bitmex-XBTUSD-2021-07-22.csv", "BTC-PERP"),
        ("SOLUSDC.csv", "SOL-PERP"),
        ("binance-usdm-AVAXUSDT-1m.csv.gz", None),
        ("prices.csv", None),
    ],
)
def test_the_market_is_in_the_name(tmp_path, name, symbol):
    assert symbol_of(tmp_path / name, MARKETS) == symbol


def test_quotes_are_their_middle_and_half_their_width_in_doubt(write):
    path = write("time,bid,ask\n1700000000,100,100.03\n1700000001,7,6.5\n")
    assert read(path, "BTC-PERP").points == (
        Point(Nanos(T0 * SECOND), 100_015, -3, 15),
        Point(Nanos((T0 + 1) * SECOND), 675, -2, 25),
    )


def test_times_of_every_unit_and_of_text_are_the_same(write):
    texts = [str(T0), f"{T0}000", f"{T0}000000", f"{T0}000000000"]
    texts += ["2023-11-14T22:13:20Z", "2023-11-14 22:13:20.000000", "2023-11-14T23:13:20+01:00"]
    for text in texts:
        points = read(write(f"Timestamp,Price\n{text},1.5\n", "BTC-PERP.csv.gz"), "BTC-PERP").points
        assert points == (Point(Nanos(T0 * SECOND), 15, -1, 0),)


def test_a_row_out_of_order_counts_as_now(write):
    points = read(write(f"time,price\n{T0 + 5},1\n{T0},2\n{T0 + 6},3\n"), "BTC-PERP").points
    assert [point.at // SECOND - T0 for point in points] == [5, 5, 6]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "known format"),
        ("a,b\n1,2\n", "known format"),
        ("time,volume\n1700000000,2\n", "known format"),
        ("price\n1\n", "known format"),
        ("time,price\n", "has no rows"),
        ("time,price\n1700000000\n", "line 2: 1 values for 2 columns"),
        ("time,price\n1700000000,1\n1700000001,nan\n", "line 3: 'nan'"),
        *((f"time,price\n1700000000,{bad}\n", "positive decimal") for bad in ("", "-1", "0", "0.00", "1e5", "inf", "½", "1.2.3")),
        ("time,price\n1700000000," + "9" * 31 + "\n", "positive decimal"),
        *((f"time,price\n{bad},1\n", "line 2") for bad in ("", "17", "-1700000000", "yesterday", "99999999999999999999")),
        ("time,price\n\x00,1\n", "BTC-PERP.csv"),
    ],
)  # fmt: skip
def test_what_can_not_be_played_says_where(write, text, says):
    path = write(text)
    with pytest.raises(RecordingFailed) as error:
        load(path, MARKETS)
    sentence = str(error.value)
    assert says in sentence
    assert str(path) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_paths_without_a_recording(write, tmp_path):
    damaged = write("", "ETHUSDT.csv.gz")
    damaged.write_bytes(gzip.compress(b"time,price\n" + b"1700000000,1\n" * 50)[:-9])
    binary = tmp_path / "SOLUSDT.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, says in (
        (tmp_path / "nothing.csv", "no file"),
        (write("time,price\n1700000000,1\n", "AVAXUSDT.csv"), "names none of the markets"),
        (damaged, "can not be read"),
        (binary, "can not be read"),
    ):
        with pytest.raises(RecordingFailed, match=says):
            load(path, MARKETS)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RecordingFailed, match="holds no recording of BTC-PERP, ETH-PERP, SOL-PERP"):
        load(empty, MARKETS)


def recording(*seconds: int) -> Recording:
    points = tuple(Point(Nanos((T0 + s) * SECOND), 100 + i, -1, 0) for i, s in enumerate(seconds))
    return Recording("BTC-PERP", Path("BTC-PERP.csv"), "trades", points)


def test_a_replay_starts_now_shortens_gaps_and_goes_round():
    start = Nanos(5_000 * SECOND)
    prices = list(islice(replay(recording(0, 0, 60, 61), start, gap_max=Nanos(2 * SECOND)), 9))
    assert [price.value for price in prices] == [100, 101, 102, 103, 100, 101, 102, 103, 100]
    assert [(price.published_at - start) // SECOND for price in prices] == [0, 0, 2, 3, 5, 5, 7, 8, 10]


def test_a_replay_can_be_faster():
    start = Nanos(5_000 * SECOND)
    prices = list(islice(replay(recording(0, 1), start, times_as_fast=8), 3))
    assert [price.published_at - start for price in prices] == [0, 125 * MILLISECOND, 1_125 * MILLISECOND]
    for bad in ({"times_as_fast": 0}, {"gap_max": Nanos(0)}):
        with pytest.raises(ValueError, match="must be positive"):
            next(replay(recording(0), start, **bad))


@given(st.lists(st.integers(0, 10**6), min_size=1).map(sorted), st.integers(1, 1_000), st.integers(1, 10**10))
def test_replayed_time_never_goes_back_and_always_gets_on(seconds, speed, gap):
    prices = list(islice(replay(recording(*seconds), Nanos(0), times_as_fast=speed, gap_max=Nanos(gap)), 200))
    gaps = [after.published_at - before.published_at for before, after in pairwise(prices)]
    assert all(0 <= one <= gap for one in gaps)
    round_trip = prices[len(seconds) :]
    assert all(
        after.published_at > before.published_at for before, after in zip(prices, round_trip, strict=False)
    )


def test_a_loop_plays_the_same_to_whoever_asks_for_an_instant():
    """Points a second, three seconds (played as one) and no time apart: the round takes three seconds with the way back."""
    points = tuple(Point(Nanos(at * SECOND), value, 0, 0) for at, value in ((5, 1), (6, 2), (9, 3), (9, 4)))
    loop = Loop(Recording("XAU-PERP", Path("gold.csv"), "trades", points))
    start = T0 // 3 * 3 * SECOND
    for offset, value, began in (
        (0, 1, 0),
        (SECOND - 1, 1, 0),
        (SECOND, 2, SECOND),
        (2 * SECOND, 4, 2 * SECOND),
        (3 * SECOND - 1, 4, 2 * SECOND),
        (3 * SECOND, 1, 3 * SECOND),
    ):
        price = loop.at(Nanos(start + offset))
        assert (price.value, price.published_at) == (value, start + began)
        assert (price.symbol, price.source) == ("XAU-PERP", "recording gold.csv")
    alone = Loop(Recording("XAU-PERP", Path("gold.csv"), "trades", points[:1]))
    assert alone.at(Nanos(start + 7 * SECOND + 1)).published_at == start + 7 * SECOND


def test_the_recorded_months_of_gold(data):
    """A second each from January 1970 on: what was before the epoch counts as the epoch."""
    folder = data("gold")
    path = file_of(folder, "XAU-PERP")
    assert path == data("gold/gold-usd-monthly-1833-2010.csv")
    assert file_of(path, "XAU-PERP") == path
    assert file_of(path, "BTC-PERP") is file_of(folder, "BTC-PERP") is None
    loop, months = Loop(read(path, "XAU-PERP")), 12 * 41
    start = T0 // months * months * SECOND
    for offset, value in ((0, 34_940), (SECOND, 34_990), (12 * SECOND, 38_000), (-1, 1_391_000)):
        price = loop.at(Nanos(start + offset))
        assert (price.value, price.exponent) == (value, -3)
