"""What a feed runs on, and the sources that are played: recordings and the generator.

Each has a label for screens and reports, the routes by whose rule its prices count, and gives the prices that are due.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from core.quantities import Nanos, Ppm
from oracles import generator, recording
from oracles.price import Price
from oracles.recording import Recording
from oracles.route import LIVE_AGES, PLAYED, Limits, Route

Clock = Callable[[], int]
"""Nanoseconds since the epoch."""
Troubles = Mapping[tuple[str, str], str]
"""By (source, symbol), the stable code of what is wrong now; without a symbol where it is the whole source."""
PLAYED_CONFIDENCE_MAX: Final = Ppm(50_000)
LIVE: Final = frozenset({"pyth hermes", "pyth account", "pyth price account", "chainlink"})
"""What an index of a running world can come from."""


class Source(Protocol):
    """Where a feed's prices come from."""

    @property
    def label(self) -> str:
        """What a screen or a report calls it."""

    @property
    def troubles(self) -> Troubles:
        """What keeps its sources from answering."""

    def routes(self) -> tuple[Route, ...]:
        """One for each market that it has prices for."""

    def due(self, now: Nanos) -> Iterable[Price]:
        """The prices published since the last call, at most one for each market of a played source."""

    async def run(self) -> None:
        """Whatever has to happen meanwhile; returns when there is nothing."""


class Played:
    """Recordings, and generated prices for the markets that have none."""

    def __init__(
        self,
        recordings: Mapping[str, Recording],
        symbols: Iterable[str],
        *,
        start: Nanos,
        seed: int,
        times_as_fast: int = 1,
        last: Mapping[str, int] | None = None,
    ) -> None:
        """`last` are the prices in micro-USD where generated walks go on; a symbol with neither these nor a first one has none."""
        self._recordings = dict(recordings)
        starts = generator.STARTS if last is None else {**generator.STARTS, **last}
        self._made_up = tuple(one for one in symbols if one not in recordings and one in starts)
        self._seed = seed
        self._plays = [
            _Play(recording.replay(one, start, times_as_fast=times_as_fast)) for one in recordings.values()
        ]
        self._walks = {symbol: generator.prices(seed, symbol, starts[symbol]) for symbol in self._made_up}

    @property
    def label(self) -> str:
        parts = [f"{one.source} ({symbol})" for symbol, one in self._recordings.items()]
        if self._made_up:
            markets = f" ({', '.join(self._made_up)})" if parts else ""
            parts.append(f"{generator.SOURCE}, seed {self._seed}{markets}")
        return ", ".join(parts)

    @property
    def troubles(self) -> Troubles:
        return {}

    def routes(self) -> tuple[Route, ...]:
        played = {symbol: one.source for symbol, one in self._recordings.items()}
        played |= dict.fromkeys(self._made_up, generator.SOURCE)
        return tuple(
            Route(symbol, (Limits(source, source, LIVE_AGES, PLAYED_CONFIDENCE_MAX),), PLAYED)
            for symbol, source in played.items()
        )

    def due(self, now: Nanos) -> list[Price]:
        """The newest recorded price of each market, and one step of each walk."""
        recorded = [price for play in self._plays if (price := play.until(now)) is not None]
        walked = [
            Price(symbol, next(walk), generator.EXPONENT, 0, now, generator.SOURCE)
            for symbol, walk in self._walks.items()
        ]
        return recorded + walked

    async def run(self) -> None:
        return


class _Play:
    """One recording's prices, asked for by time."""

    def __init__(self, prices: Iterator[Price]) -> None:
        self._prices = prices
        self._next = next(prices)

    def until(self, now: Nanos) -> Price | None:
        """The last price published up to `now` since the last call, if any."""
        newest = None
        while self._next.published_at <= now:
            newest, self._next = self._next, next(self._prices)
        return newest
