"""The running price feed: picks the best source there is, and reports each market's price a few times a second."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from core.quantities import MILLISECOND, SECOND, Nanos
from core.validity import Validity
from oracles.hermes import Hermes
from oracles.index import Fault, Routed, inspect
from oracles.live import Live
from oracles.polling import BROKEN, Backoff, Polled, Sleep, SourceFailed, reading
from oracles.pyth_account import PythAccounts
from oracles.recording import load
from oracles.router import Accepted, PriceRouter
from oracles.sources import Clock, Played, Source, Troubles

TRY_S: Final = 2.0
"""How long live prices may take to answer before something else is played."""
EVERY: Final = Nanos(500 * MILLISECOND)
REPEAT: Final = Nanos(5 * SECOND)
"""An index that does not change is reported this often: who hears nothing for longer knows that the feed is dead, not quiet."""
AGAIN_S: Final = (0.5, 30.0)
STEADY: Final = Nanos(60 * SECOND)
LISTENER: Final = "engine"
"""Where a trouble says that it took no price from us."""
_log = structlog.get_logger("prices")


class OnlyLive(Exception):
    """Prices must be live, and what is configured are none."""


async def pick(
    symbols: Collection[str],
    *,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
    hermes: Hermes | None = None,
    accounts: PythAccounts | None = None,
    others: Sequence[Polled] = (),
    path: Path | None = None,
    seed: int = 1,
    times_as_fast: int = 1,
    last: Mapping[str, int] | None = None,
    only_live: bool = False,
) -> Source:
    """Live prices when Hermes proves one that counts for every market within two seconds, else the recording at `path`, else made-up
    prices. `last` are the prices in micro-USD where made-up ones go on.

    With `accounts` or `others`, which are no one's default, prices are live whatever answers at the start: who names sources means
    to wait for them, not to trade on something else. So they are with `only_live`, where money is real or was traded at live prices:
    who hears nothing then trades nothing. Raises `OnlyLive`, `RecordingFailed` when the recording is needed and can not be played, and
    `ValueError` when `others` leave a market without an index.
    """
    polled = ([accounts] if accounts else []) + list(others)
    if only_live and (path is not None or not (hermes or polled)):
        raise OnlyLive(
            "This exchange runs on a real chain or has traded at live prices, so none are played to it: set PYTH_URL and leave "
            "PRICE_RECORDING out, or give another run another PERPDEX_DATA."
        )
    if polled or only_live:
        return Live(symbols, hermes, polled, clock, sleep)
    if hermes is not None:
        live = Live(symbols, hermes, polled, clock, sleep)
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
        prices = await reading(f"Hermes ({hermes.host})", hermes.latest(TRY_S), TRY_S)
    except SourceFailed as error:
        return str(error)
    proven = {price.symbol: price for price in prices}
    now = Nanos(clock())
    for symbol in symbols:
        validity, fault = inspect(proven.get(symbol), hermes.limits(), now)
        if validity is not Validity.VALID:
            return f"Hermes has no usable price of {symbol}: {fault}."
    live.take(prices)
    return None


class PriceFeed:
    """Looks at the source every `every` nanoseconds and reports what changed.

    `on_routed` hears each market's index whenever it changed in price, validity or reasons, and every five seconds. Nothing is judged
    of a market that has `ended`: its last index stands for ever, and that its source falls silent is no trouble.
    """

    def __init__(
        self,
        source: Source,
        on_routed: Callable[[Routed], None],
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        every: Nanos = EVERY,
        ended: Callable[[str], bool] = lambda symbol: False,
    ) -> None:
        self._source = source
        self._on_routed = on_routed
        self._clock = clock
        self._sleep = sleep
        self._every_s = every / SECOND
        routes = source.routes()
        self._router = PriceRouter(routes)
        self._symbols = tuple(route.symbol for route in routes)
        self._told: dict[str, tuple[Routed, Nanos]] = {}
        self._routed: dict[str, Routed] = {}
        self._ended = ended
        self._accepted: Counter[tuple[str, Accepted]] = Counter()
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._refused: dict[str, str] = {}
        self._broken = False

    @property
    def source_label(self) -> str:
        """What a screen or a report calls the source."""
        return self._source.label

    @property
    def routed(self) -> Mapping[str, Routed]:
        """Every market's index as of the last look, with its validity, the reasons and every source's own price."""
        return self._routed

    @property
    def accepted(self) -> Mapping[tuple[str, Accepted], int]:
        """How many prices each source gave, by what became of them."""
        return self._accepted

    @property
    def troubles(self) -> Troubles:
        """What keeps sources from answering, the feed from running, and the engine from taking what it says."""
        if not self._broken and not self._refused:
            return self._source.troubles
        refused = {(LISTENER, symbol): code for symbol, code in self._refused.items()}
        broken = {(self._source.label, ""): BROKEN} if self._broken else {}
        return {**self._source.troubles, **refused, **broken}

    @property
    def refusals(self) -> Mapping[tuple[str, str], int]:
        """How many judgements of each market the engine refused, by the code it gave."""
        return self._refusals

    def answered(self, symbol: str, code: str) -> None:
        """What became of the last judgement of a market that was reported: `code` is the engine's refusal, empty when it was taken.

        An index that is refused grows old, and everything stops: that must not be silent. It is logged when it begins, when its code
        changes, and when it has ended.
        """
        before = self._refused.get(symbol, "")
        if code:
            self._refusals[symbol, code] += 1
            self._refused[symbol] = code
        else:
            self._refused.pop(symbol, None)
        if code != before:
            say = _log.error if code else _log.info
            say("index refused" if code else "index taken again", symbol=symbol, code=code or before)

    def follow(self, source: Source, anew: Collection[str]) -> None:
        """From the next look on, report the markets of `source` instead. What is known of them stays, but for those of `anew`."""
        self._source = source
        routes = source.routes()
        self._router.follow(routes, anew)
        self._symbols = tuple(route.symbol for route in routes)
        for symbol in anew:
            self._routed.pop(symbol, None)
            self._told.pop(symbol, None)
            self.answered(symbol, "")
        _log.info("following", source=source.label, markets=self._symbols, anew=sorted(anew))

    async def run(self) -> None:
        """Report prices until cancelled.

        What nobody expected of a source ends no exchange: it is logged, shown among the troubles until a minute has passed without
        another, and the source is run again, after a longer wait each time. Meanwhile prices grow old, and trading stops by itself.
        """
        backoff = Backoff(*AGAIN_S)
        while True:
            try:
                await self._run_source(backoff)
            except Exception as error:
                _log.error("the price feed broke", source=self._source.label, exc_info=error)
                self._broken = True
                await self._sleep(backoff.next())

    async def _run_source(self, backoff: Backoff) -> None:
        """Until there is another source to follow."""
        steady_from, source = self._clock() + STEADY, self._source
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(source.run())
            while source is self._source:
                now = Nanos(self._clock())
                self.step(now)
                if self._broken and now >= steady_from:
                    self._broken = False
                    backoff.reset()
                await self._sleep(self._every_s)
            running.cancel()

    def step(self, now: Nanos) -> None:
        """One look at the source, and a report on every market of which there is news."""
        for price in self._source.due(now):
            self._accepted[price.source, self._router.accept(price, now)] += 1
        for symbol in [one for one in self._refused if self._ended(one)]:
            self._refused.pop(symbol)
        for symbol in self._symbols:
            if self._ended(symbol):
                self._routed.pop(symbol, None)
                continue
            before, routed = self._routed.get(symbol), self._router.route(symbol, now)
            self._routed[symbol] = routed
            if before is None or _standing(before) != _standing(routed):
                _say(routed)
            self._tell(routed, now)

    def _tell(self, routed: Routed, now: Nanos) -> None:
        told = self._told.get(routed.symbol)
        if told is not None and now - told[1] < REPEAT:
            before = told[0]
            if before.price == routed.price and _standing(before) == _standing(routed):
                return
        self._told[routed.symbol] = routed, now
        self._on_routed(routed)


def _standing(routed: Routed) -> tuple[Validity, tuple[tuple[str, Fault], ...]]:
    """What a reader of the log or of a page would call a change, beside the price itself."""
    return routed.validity, routed.reasons


def _say(routed: Routed) -> None:
    say = _log.info if routed.validity is Validity.VALID else _log.warning
    say("index", symbol=routed.symbol, validity=routed.validity.code, reasons=routed.reasons)
