"""The exchange's time, as far as a client can know it."""

import time

LATE_MS = 1_000
"""How late a message may arrive at least: a shorter life is about the request, not about the way there."""


class ExchangeClock:
    """Goes by what the exchange said last; never ahead of it, and behind by no more than the quickest message took."""

    def __init__(self) -> None:
        self._ahead = 0

    def start(self, now: int) -> None:
        """A new connection: `now` is the exchange's time in microseconds, just heard."""
        self._ahead = now - _own()

    def heard(self, now: int) -> None:
        """The same of a later message; a slow one says nothing new."""
        self._ahead = max(self._ahead, now - _own())

    def after(self, life_ms: int) -> int:
        """When a message of now that is worth something for `life_ms` must have arrived, in the exchange's microseconds."""
        return self._ahead + _own() + max(life_ms, LATE_MS) * 1_000


def _own() -> int:
    return time.monotonic_ns() // 1_000
