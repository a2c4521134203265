"""The tape told by several publishers and judged by the real router: late, apart in jumps, and one of them silent at times."""

from random import Random
from typing import Final

from core.quantities import MILLION, Nanos
from matcher import commands as c
from oracles.judgement import judgement
from oracles.price import Price, micro_usd
from oracles.route import AGREED, LIVE_AGES, LIVE_CONFIDENCE_MAX, Ages, Limits, Route
from oracles.router import PriceRouter
from stress.tape import MINUTE, Tape

FAST: Final = "fast"
"""Says every price of the tape at once, but in some beats nothing."""
BEHIND: Final = "behind"
"""Says every price a step later."""
PUSHED: Final = "pushed"
"""Says a price once it has moved by `MOVED` since its last one, or `HEARTBEAT` has passed."""
MOVED: Final = 5_000
HEARTBEAT: Final = Nanos(60 * MINUTE)
SILENT: Final = 40_000
"""Parts per million of all beats in which the fast one says nothing; the worst beat is always one."""
_MICRO: Final = -6


class Publishers:
    """What the feed of a running exchange would report of each market at each step."""

    def __init__(self, tape: Tape, seed: int) -> None:
        pushed_ages = Ages(Nanos(HEARTBEAT + MINUTE), Nanos(HEARTBEAT + MINUTE), Nanos(2 * HEARTBEAT))
        sources = (
            Limits(FAST, FAST, LIVE_AGES, LIVE_CONFIDENCE_MAX),
            Limits(BEHIND, BEHIND, LIVE_AGES, LIVE_CONFIDENCE_MAX),
            Limits(PUSHED, PUSHED, pushed_ages, LIVE_CONFIDENCE_MAX),
        )
        rng = Random(f"publishers {seed}")
        beats = range(-(-len(tape) // tape.beat))
        self._tape = tape
        self._router = PriceRouter(Route(market.symbol, sources, AGREED) for market in tape.markets)
        self._silent = {beat for beat in beats if rng.randrange(MILLION) < SILENT} | {tape.worst // tape.beat}
        self._pushed: dict[str, tuple[int, int]] = {}

    def step(self, number: int, now: int) -> list[c.UpdateIndex]:
        """The judgements of all markets at a step, in the order of the tape."""
        found = []
        for market, series in zip(self._tape.markets, self._tape.prices, strict=True):
            last = len(series) - 1
            price, before = series[min(number, last)], series[min(max(0, number - 1), last)]
            if number // self._tape.beat not in self._silent:
                self._say(market.symbol, market.tick, FAST, price, now)
            self._say(market.symbol, market.tick, BEHIND, before, now)
            pushed, at = self._pushed.get(market.symbol, (0, 0))
            if abs(before - pushed) * MILLION > MOVED * pushed or now - at >= HEARTBEAT:
                self._pushed[market.symbol] = before, now
                self._say(market.symbol, market.tick, PUSHED, before, now)
            routed = self._router.route(market.symbol, Nanos(now))
            found.append(c.UpdateIndex(market.id, *judgement(routed, market.tick)))
        return found

    def _say(self, symbol: str, tick: str, source: str, price: int, now: int) -> None:
        self._router.accept(Price(symbol, micro_usd(price, tick), _MICRO, 0, Nanos(now), source), Nanos(now))
