"""The running price feed: picks the best source there is, and reports each market's price a few times a second."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

import structlog

from core.quantities import MILLISECOND, SECOND, Nanos
from oracles.hermes import Hermes, HermesFailed
from oracles.price import Price
from oracles.pyth_account import PythAccounts
from oracles.recording import load
from oracles.refusal import Refused
from oracles.router import PriceRouter, Unavailable
from oracles.sources import Clock, Live, Played, Sleep, Source

TRY_S: Final = 2.0
"""How long live prices may take to answer before something else is played."""
EVERY: Final = Nanos(500 * MILLISECOND)
_log = structlog.get_logger("prices")


async def pick(
    symbols: Collection[str],
    *,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
    hermes: Hermes | None = None,
    accounts: PythAccounts | None = None,
    path: Path | None = None,
    seed: int = 1,
    times_as_fast: int = 1,
    last: Mapping[str, int] | None = None,
) -> Source:
    """Live prices when Hermes proves one that counts for every market within two seconds, else the recording at `path`, else made-up
    prices. `last` are the prices in micro-USD where made-up ones go on.

    Raises `RecordingFailed` when the recording is needed and can not be played.
    """
    if hermes is not None:
        live = Live(hermes, symbols, accounts, clock, sleep)
        why_not = await _try(live, hermes, symbols, clock)
        if why_not is None:
            return live
        _log.info("no live prices", why=why_not)
    # Files can be large: reading them must not stop the loop that everything else runs on.
    recordings = await asyncio.to_thread(load, path, symbols) if path is not None else {}
    return Played(
        recordings, symbols, start=Nanos(clock()), seed=seed, times_as_fast=times_as_fast, last=last
    )


async def _try(live: Live, hermes: Hermes, symbols: Collection[str], clock: Clock) -> str | None:
    """Why live prices can not be used now; None when they can, and then `live` has the first ones."""
    try:
        async with asyncio.timeout(TRY_S):
            prices = await hermes.latest(TRY_S)
    except TimeoutError:
        return f"Hermes did not answer within {TRY_S:g} s."
    except (HermesFailed, Refused) as error:
        return str(error)
    router = PriceRouter(live.routes())
    for price in prices:
        router.accept(price)
    now = Nanos(clock())
    for symbol in symbols:
        routed = router.route(symbol, now)
        if isinstance(routed, Unavailable):
            return f"Hermes has no usable price of {symbol}: {routed.faults[0][1]}."
    live.take(prices)
    return None


class PriceFeed:
    """Calls `on_price` with the price of each market that counts, at most once every `every` nanoseconds and only when it is newer."""

    def __init__(
        self,
        source: Source,
        on_price: Callable[[str, Price], None],
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        every: Nanos = EVERY,
    ) -> None:
        self._source = source
        self._on_price = on_price
        self._clock = clock
        self._sleep = sleep
        self._every_s = every / SECOND
        routes = source.routes()
        self._router = PriceRouter(routes)
        self._reported: dict[str, Nanos] = {route.symbol: Nanos(-1) for route in routes}
        self._missing: dict[str, Unavailable] = {}

    @property
    def source_label(self) -> str:
        """What a screen or a report calls the source."""
        return self._source.label

    @property
    def unavailable(self) -> Mapping[str, Unavailable]:
        """The markets without a price that counts, as of the last look, and why."""
        return self._missing

    async def run(self) -> None:
        """Report prices until cancelled. An accident in the source ends it with that error."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.run())
            while True:
                self.step(Nanos(self._clock()))
                await self._sleep(self._every_s)

    def step(self, now: Nanos) -> None:
        """One look at the source: report every market whose price counts and is newer than the last one reported."""
        for price in self._source.due(now):
            self._router.accept(price)
        for symbol, reported in self._reported.items():
            routed = self._router.route(symbol, now)
            if isinstance(routed, Unavailable):
                self._note(symbol, routed)
                continue
            self._missing.pop(symbol, None)
            if routed.published_at > reported:
                self._reported[symbol] = routed.published_at
                self._on_price(symbol, routed)

    def _note(self, symbol: str, missing: Unavailable) -> None:
        if self._missing.get(symbol) != missing:
            _log.warning("no price", symbol=symbol, faults=dict(missing.faults))
        self._missing[symbol] = missing
