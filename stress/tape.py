"""The prices that a run lives through: every market's index on one grid of time, cut out of recordings or made up."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from core.market import Market
from core.quantities import MILLION, SECOND, Nanos
from oracles.price import Price, to_ticks
from oracles.recording import Point, Recording, RecordingFailed, load
from stress.markets import MARKETS

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
CANDLE_STEP: Final = 5 * SECOND
TICK_STEP: Final = SECOND // 2
"""The feed of a running exchange brings no more than two prices a second either."""
SHORT_BEAT: Final = 5 * SECOND
"""How long a beat is in recordings of less than an hour; otherwise a minute."""
MADE_UP: Final = ("BTC-PERP", "ETH-PERP")


class Tape(msgspec.Struct, frozen=True):
    """`prices[i][n]` is the index of `markets[i]` in ticks from `start + n * step` on, until the next one. All are equally long.

    A `beat` is the number of steps after which a run is sampled; `source` is shown wherever the prices are.
    """

    source: str
    start: Nanos
    step: int
    markets: tuple[Market, ...]
    prices: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.prices[0])

    @property
    def beat(self) -> int:
        return (MINUTE if len(self) * self.step >= HOUR else SHORT_BEAT) // self.step

    @property
    def worst(self) -> int:
        """The step at which the beat with the widest range begins."""
        ranges = self.ranges()
        return ranges.index(max(ranges)) * self.beat

    def ranges(self) -> list[int]:
        """The widest range of any market within each beat, as a share of its lowest price, in parts per million, rounded down."""
        return [
            max(
                (max(part) - min(part)) * MILLION // min(part)
                # With the price before it: a jump from one beat into the next belongs to the second.
                for part in (series[max(0, first - 1) : first + self.beat] for series in self.prices)
            )
            for first in range(0, len(self), self.beat)
        ]


def recorded(paths: Iterable[Path], hours: int) -> Tape:
    """The steepest `hours` of recordings, which must have some time in common: two thirds of them up to the end of the worst hour.

    Each recorded price stands until the next one. A candle comes as its open, its two extremes in the order that is the longer
    way, and its close, a quarter of its time each: in three jumps, sharper than it was. Of several prices within a step the one
    furthest from the step before counts, so no spike is lost. Raises `RecordingFailed`.
    """
    recordings: dict[str, Recording] = {}
    for path in paths:
        recordings |= load(path, MARKETS, wicks=True)
    start = max(recording.points[0].at for recording in recordings.values())
    end = min(recording.points[-1].at for recording in recordings.values())
    step = CANDLE_STEP if any(one.kind == "candles" for one in recordings.values()) else TICK_STEP
    if end - start < 10 * step:
        raise RecordingFailed("The recordings have no time in common.")
    first, last = _steepest(recordings.values(), start, end, hours * HOUR)
    symbols = sorted(recordings, key=lambda symbol: MARKETS[symbol].id)
    return Tape(
        source=", ".join(recordings[symbol].source for symbol in symbols),
        start=Nanos(first),
        step=step,
        markets=tuple(MARKETS[symbol] for symbol in symbols),
        prices=tuple(_ticks(recordings[symbol], range(first, last, step)) for symbol in symbols),
    )


def _steepest(recordings: Iterable[Recording], start: int, end: int, length: int) -> tuple[int, int]:
    """The part of `length` with the largest move within an hour in it; all of it when there is no more."""
    if end - start <= length:
        return start, end
    worst, worst_end = -1, start
    for recording in recordings:
        prices = _ticks(recording, range(start, end, MINUTE))
        for last in range(len(prices)):
            hour = prices[max(0, last - 60) : last + 1]
            moved = (max(hour) - min(hour)) * MILLION // max(hour)
            if moved > worst:
                worst, worst_end = moved, start + last * MINUTE
    first = max(start, min(worst_end - length * 2 // 3, end - length))
    return first, first + length


def _ticks(recording: Recording, times: range) -> tuple[int, ...]:
    """The recording's price at each time, as `recorded` says."""
    points, prices, place = recording.points, list[int](), 0
    last = _price(recording, points[0])
    for time in times:
        since = []
        while place < len(points) and points[place].at <= time:
            last = _price(recording, points[place])
            since.append(last)
            place += 1
        before = prices[-1] if prices else last
        prices.append(max(since, key=lambda price: abs(price - before)) if since and prices else last)
    return tuple(prices)


def _price(recording: Recording, point: Point) -> int:
    price = Price(recording.symbol, point.value, point.exponent, 0, point.at, recording.source)
    return to_ticks(price, MARKETS[recording.symbol].tick)


def made_up(seed: int, minutes: int, fall: int) -> Tape:
    """A crash that never was: both markets fall by `fall` parts per million within a tenth of the time, and regain a third of that.

    It begins after half of the time, in jumps of very different sizes with rebounds between; before and after prices only tremble.
    """
    length = minutes * MINUTE // CANDLE_STEP
    markets = tuple(MARKETS[symbol] for symbol in MADE_UP)
    return Tape(
        source=f"made up, seed {seed}",
        start=Nanos(1_700_000_000 * SECOND),
        step=CANDLE_STEP,
        markets=markets,
        prices=tuple(
            _crash(Random(f"{seed} {market.symbol}"), start, length, fall)
            for market, start in zip(markets, (600_000, 300_000), strict=True)
        ),
    )


def _crash(rng: Random, start: int, length: int, fall: int) -> tuple[int, ...]:
    begins, lasts = length // 2, max(2, length // 10)
    path = [(0, 0), (begins, 0), (begins + lasts, -fall), (min(length, begins + 3 * lasts), -fall * 2 // 3)]
    path.append((length + 1, path[-1][1]))
    prices, wander = [], 0
    for (first, level), (until, target) in pairwise(path):
        # A few steps carry most of a fall: that is what leaps over margins.
        weights = [rng.choice((-1, 0, 1, 1, 2, 12)) for _ in range(until - first)]
        total, gone = sum(weights) or 1, 0
        for weight in weights:
            gone += weight
            wander += rng.randrange(-150, 151)
            prices.append(start * (MILLION + wander + level + (target - level) * gone // total) // MILLION)
    return tuple(prices[:length])
