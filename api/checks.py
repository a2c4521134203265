"""Conservation checks for public reading: computed over all accounts, so at most once a second."""

from collections.abc import Callable
from typing import Final

from core.quantities import SECOND
from matcher.state import Exchange, conserved, positions_zero_sum

KEPT: Final = SECOND


class Checks:
    """Whether money and positions add up, as of at most a second ago."""

    def __init__(self, state: Exchange, clock: Callable[[], int]) -> None:
        self._state = state
        self._clock = clock
        self._taken = 0
        self._result = (True, True)

    def result(self) -> tuple[bool, bool]:
        """(balances conserved, positions sum to zero)."""
        now = self._clock()
        if now - self._taken >= KEPT or self._taken == 0:
            self._taken = now
            self._result = (conserved(self._state), positions_zero_sum(self._state))
        return self._result
