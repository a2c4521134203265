"""Recorded prices from CSV files, plain or gzipped: trades, quotes, mark prices, candles.

What a file holds is told from its column names, and the market from its name (``binance-usdm-BTCUSDT-2023-04-05-trades.csv.gz`` is
BTC-PERP). Files are read whole and checked to the last row before anything is played, so a bad row is found at the start.
"""

import csv
import gzip
import io
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from core.quantities import MILLISECOND, SECOND, Nanos
from oracles.price import Price

SUFFIXES: Final = (".csv", ".csv.gz")
ROWS_MAX: Final = 5_000_000
GAP_MAX: Final = Nanos(SECOND)
_TIMES: Final = ("event_ms", "open_time", "timestamp", "time", "date", "recv_ns")
_UNITS: Final = {10: SECOND, 13: MILLISECOND, 16: 1_000, 19: 1}
"""Nanoseconds of one unit of a timestamp, by its number of digits: right from the year 2001 to 2286."""
_ASSET: Final = re.compile(r"(?P<asset>gold|[A-Z][A-Z0-9]*?)(USDT|USDC|USD)?")
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_SAME_ASSET: Final = {"XBT": "BTC", "WBTC": "BTC", "WETH": "ETH", "gold": "XAU"}


class RecordingFailed(Exception):
    """A recording that can not be played; the text is one sentence for the one who gave the path."""


class Point(NamedTuple):
    """A price at a time: `value` and `confidence` times ``10**exponent``."""

    at: Nanos
    value: int
    exponent: int
    confidence: int


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: the columns that tell it, in the order in which they are tried."""

    name: str
    columns: tuple[str, ...]


class Candle(NamedTuple):
    """What a row of candles holds; prices times ``10**exponent``."""

    exponent: int
    first: int
    high: int
    low: int
    last: int


KINDS: Final = (
    Kind("mark prices", ("index",)),
    Kind("quotes", ("bid", "ask")),
    Kind("quotes", ("bid_price", "ask_price")),
    Kind("candles", ("open", "high", "low", "close")),
    Kind("trades", ("price",)),
)
_CANDLES: Final = [kind.name for kind in KINDS].index("candles")
_BEST_FIRST: Final = ("mark prices", "quotes", "trades", "candles")


@dataclass(frozen=True, slots=True)
class Recording:
    """Prices of one market, times never going back. There is at least one."""

    symbol: str
    path: Path
    kind: str
    points: tuple[Point, ...]

    @property
    def source(self) -> str:
        """What is shown wherever one of its prices is."""
        return f"recording {self.path.name}"


def load(path: Path, symbols: Collection[str], *, wicks: bool = False) -> dict[str, Recording]:
    """The recording of each of `symbols` that `path` has, a file or a directory of them (searched to the bottom).

    Of several files for one market the one of the best kind is taken (mark prices, then quotes, trades, candles), and of those
    the last by name. `wicks` as in `read`. Raises `RecordingFailed`, also when there is nothing for any of the symbols.
    """
    if path.is_dir():
        candidates = _candidates(path, symbols)
        if not candidates:
            raise RecordingFailed(f"{path} holds no recording of {_listed(symbols)} in a known format.")
        return {symbol: read(file, symbol, wicks=wicks) for symbol, file in candidates.items()}
    if not path.exists():
        raise RecordingFailed(f"There is no file or directory {path}.")
    symbol = symbol_of(path, symbols)
    if symbol is None:
        raise RecordingFailed(f"The name of {path} names none of the markets {_listed(symbols)}.")
    return {symbol: read(path, symbol, wicks=wicks)}


def file_of(path: Path, symbol: str) -> Path | None:
    """The recording of one symbol that `path` is or has, as `load` takes it; None when there is none. Raises `RecordingFailed`."""
    if path.is_dir():
        return _candidates(path, [symbol]).get(symbol)
    return path if symbol_of(path, [symbol]) == symbol else None


def symbol_of(path: Path, symbols: Collection[str]) -> str | None:
    """The market that a file's name names, if it is one of `symbols`."""
    for word in re.split(r"[-_.]", path.name):
        match = _ASSET.fullmatch(word)
        if match:
            asset = match["asset"]
            symbol = f"{_SAME_ASSET.get(asset, asset)}-PERP"
            if symbol in symbols:
                return symbol
    return None


def read(path: Path, symbol: str, *, wicks: bool = False) -> Recording:
    """One file, checked whole. Raises `RecordingFailed` with the line that is wrong.

    A candle is its close, as of its row; with `wicks` it is all four of its prices, as `_walked` says.
    """
    with _opened(path) as text:
        rows = csv.reader(text)
        try:
            header = _header(next(rows, []))
            kind, time, columns = _layout(path, header)
            points: list[Point] = []
            candles: list[Candle] = []
            for row in rows:
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} values for {len(header)} columns")
                if wicks and kind.name == "candles":
                    candles.append(_candle(row, header))
                points.append(_point(row, time, columns, points[-1].at if points else Nanos(0)))
                if len(points) > ROWS_MAX:
                    raise RecordingFailed(f"{path} has more than {ROWS_MAX} rows.")
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise RecordingFailed(f"{path} can not be read: {error}.") from error
        except ValueError as error:
            raise RecordingFailed(f"{path} line {rows.line_num}: {error}.") from error
    if not points:
        raise RecordingFailed(f"{path} has no rows.")
    return Recording(symbol, path, kind.name, tuple(_walked(points, candles) if candles else points))


def replay(
    recording: Recording, start: Nanos, *, times_as_fast: int = 1, gap_max: Nanos = GAP_MAX
) -> Iterator[Price]:
    """The recording's prices over and over, published from `start` on.

    Gaps are divided by `times_as_fast`, rounded down, and none is longer than `gap_max`: a recording of candles plays one a gap, and a
    recorder's pause does not let the price grow stale. `gap_max` also lies between the last price and the first of the next round.
    """
    if times_as_fast < 1 or gap_max < 1:
        raise ValueError(f"speed {times_as_fast} and longest gap {gap_max} must be positive")
    now = int(start)
    while True:
        before = recording.points[0].at
        for point in recording.points:
            now += min(gap_max, (point.at - before) // times_as_fast)
            before = point.at
            yield Price(
                recording.symbol, point.value, point.exponent, point.confidence, Nanos(now), recording.source
            )
        now += gap_max


class Loop:
    """A recording played over and over since the epoch: whoever asks for the price of an instant gets the same one.

    Gaps are those of `replay` at the speed of one. Times before the epoch count as the epoch.
    """

    def __init__(self, recording: Recording, gap_max: Nanos = GAP_MAX) -> None:
        self._recording = recording
        gaps = (min(gap_max, after.at - before.at) for before, after in pairwise(recording.points))
        self._begins = list(accumulate(gaps, initial=0))
        self._length = self._begins[-1] + gap_max

    def at(self, instant: Nanos) -> Price:
        """The price that is played then, published when it began."""
        since = instant % self._length
        index = bisect_right(self._begins, since) - 1
        point, began = self._recording.points[index], instant - since + self._begins[index]
        return Price(
            *(self._recording.symbol, point.value, point.exponent, point.confidence),
            Nanos(began),
            self._recording.source,
        )


def _candidates(directory: Path, symbols: Collection[str]) -> dict[str, Path]:
    ranked: dict[str, tuple[int, Path]] = {}
    for path in sorted(path for path in directory.rglob("*") if path.name.endswith(SUFFIXES)):
        symbol = symbol_of(path, symbols)
        if symbol is None:
            continue
        header = _header_of(path)
        kind = _kind(header)
        if kind is None or _time(header) is None:
            continue
        rank = -_BEST_FIRST.index(kind.name)
        if symbol not in ranked or rank >= ranked[symbol][0]:
            ranked[symbol] = (rank, path)
    return {symbol: path for symbol, (_, path) in ranked.items()}


def _opened(path: Path) -> io.TextIOBase:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _header_of(path: Path) -> list[str]:
    with _opened(path) as text:
        try:
            return _header(next(csv.reader(text), []))
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise RecordingFailed(f"{path} can not be read: {error}.") from error


def _header(row: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in row]


def _kind(header: Collection[str]) -> Kind | None:
    return next((kind for kind in KINDS if all(name in header for name in kind.columns)), None)


def _time(header: Collection[str]) -> str | None:
    return next((name for name in _TIMES if name in header), None)


def _layout(path: Path, header: list[str]) -> tuple[Kind, int, tuple[int, ...]]:
    """The kind of a file, and where its time and its prices stand."""
    kind, time = _kind(header), _time(header)
    if kind is None or time is None:
        raise RecordingFailed(
            f"{path} is in no known format: its first line must name a time and a price, bid and ask, index, or candle columns."
        )
    used = kind.columns[-1:] if kind.name == "candles" else kind.columns
    return kind, header.index(time), tuple(header.index(name) for name in used)


def _candle(row: list[str], header: list[str]) -> Candle:
    prices = [_decimal(row[header.index(name)]) for name in KINDS[_CANDLES].columns]
    exponent = min(exponent for _, exponent in prices)
    first, high, low, last = (value * 10 ** (power - exponent) for value, power in prices)
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ValueError("no candle: its low and high do not hold its open and close")
    return Candle(exponent, first, high, low, last)


def _walked(points: Sequence[Point], candles: Sequence[Candle]) -> Iterator[Point]:
    """Every candle as its open, its extremes and its close, each for a quarter of the shortest time between two candles.

    In which order it reached the extremes it does not say: the one on the side of its close comes first, then the other, which is the
    longer way.
    """
    quarter = (
        min((after.at - before.at for before, after in pairwise(points) if after.at > before.at), default=0)
        // 4
    )
    for point, (exponent, first, high, low, last) in zip(points, candles, strict=True):
        extremes = (high, low) if last > first else (low, high)
        for number, value in enumerate((first, *extremes, last)):
            yield Point(Nanos(point.at + number * quarter), value, exponent, 0)


def _point(row: list[str], time: int, columns: tuple[int, ...], not_before: Nanos) -> Point:
    """One row. A time before the last one counts as the last: recorders write a few rows out of order."""
    at = Nanos(max(not_before, _nanos(row[time])))
    if len(columns) == 1:
        value, exponent = _decimal(row[columns[0]])
        return Point(at, value, exponent, 0)
    (bid, bid_exponent), (ask, ask_exponent) = (_decimal(row[column]) for column in columns)
    exponent = min(bid_exponent, ask_exponent)
    bid *= 10 ** (bid_exponent - exponent)
    ask *= 10 ** (ask_exponent - exponent)
    # Halves are exact one decimal place further down.
    return Point(at, (bid + ask) * 5, exponent - 1, abs(ask - bid) * 5)


def _nanos(text: str) -> int:
    if text.isascii() and text.isdigit():
        if len(text) not in _UNITS:
            raise ValueError(f"{text!r} is no time in seconds, milli-, micro- or nanoseconds")
        return int(text) * _UNITS[len(text)]
    # A month begins with its first day.
    moment = datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


def _decimal(text: str) -> tuple[int, int]:
    """A positive decimal as an integer and its power of ten, exactly."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 30) or int(digits) == 0:
        raise ValueError(f"{text[:40]!r} is no positive decimal number")
    return int(digits), -len(fraction)


def _listed(symbols: Collection[str]) -> str:
    return ", ".join(sorted(symbols))
