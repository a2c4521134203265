"""The tape as the exchange hears it: every price at once and fully believed, or several publishers' and the router's judgement."""

from core.quantities import MILLION
from core.validity import Action
from matcher import commands as c
from matcher.trust import trusted
from stress.driver import Driver
from stress.publishers import Publishers
from stress.tape import Tape


class Feed:
    """`furthest` is the largest distance that a mark had from its index, in parts per million, rounded down.

    `unbelieved` counts how often a market's index was not believed enough to trade at.
    """

    def __init__(self, driver: Driver, tape: Tape, publishers: Publishers | None) -> None:
        self.furthest = 0
        self.unbelieved = 0
        self._driver = driver
        self._tape = tape
        self._publishers = publishers

    def step(self, number: int) -> None:
        """Report every market's index at a step of the tape; after its end the last prices go on."""
        driver = self._driver
        for heard in self._judged(number):
            driver.do(heard)
            self.unbelieved += not trusted(driver.state, heard.market, Action.FILL, driver.now)
        for market, index in driver.state.indexes.items():
            off = abs(driver.state.mark_price(market) - index.price) * MILLION // index.price
            self.furthest = max(self.furthest, off)

    def _judged(self, number: int) -> list[c.UpdateIndex]:
        now, tape = self._driver.now, self._tape
        if self._publishers is not None:
            return self._publishers.step(number, now)
        return [
            c.UpdateIndex(market.id, series[min(number, len(series) - 1)], 0, now, tape.source[:60])
            for market, series in zip(tape.markets, tape.prices, strict=True)
        ]
