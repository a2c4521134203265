"""The three kinds of sources that a feed can run on: live Pyth, a recording, the generator.

Each has a label for screens and reports, the routes within whose limits its prices count, and gives the prices that are due.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from core.quantities import SECOND, Nanos, Ppm
from oracles import generator, hermes, pyth_account, recording
from oracles.hermes import Hermes, HermesFailed
from oracles.price import Price
from oracles.pyth_account import AccountsUnavailable, PythAccounts
from oracles.recording import Recording
from oracles.refusal import Refused
from oracles.router import Limits, Route

Clock = Callable[[], int]
"""Nanoseconds since the epoch."""
Sleep = Callable[[float], Awaitable[None]]
LIVE_AGE_MAX: Final = Nanos(10 * SECOND)
LIVE_CONFIDENCE_MAX: Final = Ppm(5_000)
"""Half a percent: several times what a liquid market has on a bad day."""
PLAYED_AGE_MAX: Final = Nanos(10 * SECOND)
PLAYED_CONFIDENCE_MAX: Final = Ppm(50_000)
QUIET_MAX: Final = Nanos(3 * SECOND)
"""A stream without a price for this long is helped out by asking."""
ASK_EVERY_S: Final = 2.0
_log = structlog.get_logger("prices")


class Source(Protocol):
    """Where a feed's prices come from."""

    @property
    def label(self) -> str:
        """What a screen or a report calls it."""

    def routes(self) -> tuple[Route, ...]:
        """One for each market that it has prices for."""

    def due(self, now: Nanos) -> Iterable[Price]:
        """The prices published since the last call, at most one for each market of a played source."""

    async def run(self) -> None:
        """Whatever has to happen meanwhile; returns when there is nothing."""


class Live:
    """Pyth by stream; by asking when the stream is quiet; and, when given, from its accounts on chain."""

    def __init__(
        self,
        hermes_: Hermes,
        symbols: Iterable[str],
        accounts: PythAccounts | None,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._hermes = hermes_
        self._symbols = tuple(symbols)
        self._accounts = accounts
        self._clock = clock
        self._sleep = sleep
        self._received: list[Price] = []
        self._heard = clock()

    @property
    def label(self) -> str:
        return f"live Pyth ({self._hermes.host})"

    def routes(self) -> tuple[Route, ...]:
        names = [hermes.SOURCE] + ([pyth_account.SOURCE] if self._accounts else [])
        limits = tuple(Limits(name, LIVE_AGE_MAX, LIVE_CONFIDENCE_MAX) for name in names)
        return tuple(Route(symbol, limits) for symbol in self._symbols)

    def due(self, now: Nanos) -> list[Price]:
        received, self._received = self._received, []
        return received

    def take(self, prices: Iterable[Price]) -> None:
        """Prices that were received."""
        self._received.extend(prices)
        self._heard = self._clock()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._ask_when_quiet())
            if self._accounts is not None:
                tasks.create_task(self._read_accounts(self._accounts))

    async def _follow(self) -> None:
        async with aclosing(self._hermes.stream(self._sleep)) as stream:
            async for prices in stream:
                self.take(prices)

    async def _ask_when_quiet(self) -> None:
        least = 0.0
        while True:
            await self._sleep(max(ASK_EVERY_S, least))
            least = 0.0
            if self._clock() - self._heard < QUIET_MAX:
                continue
            try:
                self.take(await self._hermes.latest())
            except HermesFailed as error:
                least = error.wait_s
                _log.warning("hermes failed", code=error.code, why=str(error))
            except Refused as error:
                _log.error("update refused", code=error.reason, why=error.found)

    async def _read_accounts(self, accounts: PythAccounts) -> None:
        while True:
            try:
                read = await accounts.latest()
            except AccountsUnavailable as error:
                _log.warning("accounts unavailable", why=str(error))
            else:
                for symbol, price in read.items():
                    if isinstance(price, Price):
                        self._received.append(price)
                    else:
                        _log.warning("account refused", symbol=symbol, code=price.reason, why=price.found)
            await self._sleep(ASK_EVERY_S)


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
        """`last` are the prices in micro-USD where generated walks go on."""
        self._recordings = dict(recordings)
        self._made_up = tuple(symbol for symbol in symbols if symbol not in recordings)
        self._seed = seed
        self._plays = [
            _Play(recording.replay(one, start, times_as_fast=times_as_fast)) for one in recordings.values()
        ]
        starts = last or {}
        self._walks = {symbol: generator.prices(seed, symbol, starts.get(symbol)) for symbol in self._made_up}

    @property
    def label(self) -> str:
        parts = [f"{one.source} ({symbol})" for symbol, one in self._recordings.items()]
        if self._made_up:
            markets = f" ({', '.join(self._made_up)})" if parts else ""
            parts.append(f"{generator.SOURCE}, seed {self._seed}{markets}")
        return ", ".join(parts)

    def routes(self) -> tuple[Route, ...]:
        played = {symbol: one.source for symbol, one in self._recordings.items()}
        played |= dict.fromkeys(self._made_up, generator.SOURCE)
        return tuple(
            Route(symbol, (Limits(source, PLAYED_AGE_MAX, PLAYED_CONFIDENCE_MAX),))
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
