"""Makers who want to be seen and not to trade: one lot far from the index, crossed with a partner's, pulled once the mark is made."""

from collections.abc import Sequence
from random import Random
from typing import Final

from core.quantities import MILLION, SECOND
from matcher import commands as c
from stress.driver import Driver
from stress.population import USDC, Trader, owner_key
from stress.tape import MINUTE, Tape

DEPOSIT: Final = 1_000 * USDC
FURTHEST: Final = 80_000
"""Parts per million of the index: how far they quote from it."""
CROSSED: Final = 5_000
"""Parts per million of the index by which the bid of one lies above the ask of the other."""
LIFE: Final = 30 * SECOND
TURN: Final = 10 * MINUTE
"""How long they stay on one side of the index: several times what an average basis remembers."""
_OWNERS: Final = 500


class Spoilers:
    """Pairs of them: in every market one bids and the other asks, on the same side of the index."""

    def __init__(self, driver: Driver, tape: Tape, seed: int, pairs: int) -> None:
        self.traders: Final = [
            Trader(owner_key(_OWNERS + turn), "spoiler", DEPOSIT) for turn in range(2 * pairs)
        ]
        self._driver = driver
        self._tape = tape
        self._rng = Random(f"spoilers {seed}")
        self._accounts: Sequence[int] = ()

    def opens(self, accounts: Sequence[int]) -> None:
        """They have their accounts, in the order of `traders`."""
        self._accounts = accounts

    def quote(self) -> None:
        """Be seen by whoever looks at the quotes next."""
        turn = (self._driver.now - self._tape.start) // TURN
        side = 1 if turn % 2 else -1
        for bidder, asker in zip(self._accounts[::2], self._accounts[1::2], strict=True):
            for market in self._tape.markets:
                index = self._driver.state.indexes[market.id].price
                middle = index + side * (index * self._rng.randrange(FURTHEST) // MILLION)
                away = max(1, index * CROSSED // (2 * MILLION))
                self._set(bidder, market.id, ((middle + away, 1),), ())
                self._set(asker, market.id, (), ((max(1, middle - away), 1),))

    def pull(self) -> None:
        """Be gone before anybody can take a quote."""
        for account in self._accounts:
            self._driver.do(c.CancelAll(account))

    def _set(
        self, account: int, market: int, bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]
    ) -> None:
        self._driver.do(c.SetQuotes(account, market, bids, asks, self._driver.now + LIFE))
