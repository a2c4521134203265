"""Live prices from every source that is configured, each running by itself: what one does never holds up another."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import structlog

from core.quantities import SECOND, Nanos
from oracles.hermes import Hermes
from oracles.polling import Backoff, Polled, Read, Sleep, SourceFailed, poll, reading
from oracles.price import Price
from oracles.refusal import Refused
from oracles.route import AGREED, ALONE, Limits, Route
from oracles.sources import Clock, Troubles

QUIET_MAX: Final = Nanos(3 * SECOND)
"""A stream without a price for this long is helped out by asking."""
ASK_EVERY_S: Final = 2.0
ASK_BACKOFF_S: Final = (ASK_EVERY_S, 30.0)
_log = structlog.get_logger("prices")


class Live:
    """Pyth by stream, and by asking when the stream is quiet; and the `polled` ones, in the order of their rank."""

    def __init__(
        self,
        symbols: Iterable[str],
        hermes: Hermes | None,
        polled: Sequence[Polled],
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        """Raises `ValueError` when a market has no source that could be its index."""
        self._hermes = hermes
        self._polled = tuple(polled)
        self._clock = clock
        self._sleep = sleep
        self._received: list[Price] = []
        self._heard = clock()
        self._troubles: dict[tuple[str, str], str] = {}
        self._routes = tuple(self._route(symbol) for symbol in symbols)

    def _route(self, symbol: str) -> Route:
        limits: list[Limits] = [self._hermes.limits()] if self._hermes else []
        limits += [found for source in self._polled if (found := source.limits(symbol)) is not None]
        several = len({one.publisher for one in limits}) > 1
        return Route(symbol, tuple(limits), AGREED if several else ALONE)

    @property
    def label(self) -> str:
        labels = [f"Pyth ({self._hermes.host})"] if self._hermes else []
        return "live " + ", ".join(labels + [source.label for source in self._polled])

    @property
    def troubles(self) -> Troubles:
        return self._troubles

    def routes(self) -> tuple[Route, ...]:
        return self._routes

    def due(self, now: Nanos) -> list[Price]:
        received, self._received = self._received, []
        return received

    def take(self, prices: Iterable[Price]) -> None:
        """Prices that Hermes proved."""
        self._received.extend(prices)
        self._heard = self._clock()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._hermes is not None:
                tasks.create_task(self._follow(self._hermes))
                tasks.create_task(self._ask_when_quiet(self._hermes))
            for source in self._polled:
                take, failed = partial(self._take_read, source.label), partial(self._note, source.label, "")
                tasks.create_task(poll(source, take, failed, self._sleep))

    async def _follow(self, hermes: Hermes) -> None:
        label = f"{hermes.host} stream"
        async with aclosing(hermes.stream(self._sleep, partial(self._note, label, ""))) as stream:
            async for prices in stream:
                self._forget(label, "")
                self._forget(hermes.host, "")
                self.take(prices)

    async def _ask_when_quiet(self, hermes: Hermes) -> None:
        backoff = Backoff(*ASK_BACKOFF_S)
        wait = ASK_EVERY_S
        while True:
            await self._sleep(wait)
            wait = ASK_EVERY_S
            if self._clock() - self._heard < QUIET_MAX:
                continue
            try:
                self.take(await reading(hermes.host, hermes.latest()))
            except SourceFailed as error:
                wait = backoff.next(max(ASK_EVERY_S, error.wait_s))
                self._note(hermes.host, "", error)
                _log.warning("hermes failed", code=error.code, why=str(error))
            else:
                backoff.reset()
                self._forget(hermes.host, "")

    def _take_read(self, label: str, read: Read) -> None:
        self._forget(label, "")
        for symbol, price in read.items():
            if isinstance(price, Price):
                self._received.append(price)
                self._forget(label, symbol)
                continue
            if self._troubles.get((label, symbol)) != price.reason:
                _log.warning("price refused", source=label, symbol=symbol, code=price.reason, why=price.found)
            self._note(label, symbol, price)

    def _note(self, label: str, symbol: str, error: SourceFailed | Refused) -> None:
        self._troubles[label, symbol] = error.reason if isinstance(error, Refused) else error.code

    def _forget(self, label: str, symbol: str) -> None:
        self._troubles.pop((label, symbol), None)
