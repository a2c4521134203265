"""Sources that are asked again and again: what they have in common, and how one is asked for ever without being hammered."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from oracles.price import Price
from oracles.refusal import Refused
from oracles.route import Limits

Sleep = Callable[[float], Awaitable[None]]
Read = Mapping[str, Price | Refused]
"""What one answer holds for each symbol: a price, or why it was not believed."""
BACKOFF_S: Final = (0.25, 30.0)
"""First and longest wait before asking again."""
EVERY_JITTER: Final = 0.1
_log = structlog.get_logger("sources")


class SourceFailed(Exception):
    """No answer, or one that is no prices. `code` is stable; `wait_s` is the least time before asking again is of use."""

    def __init__(self, code: str, sentence: str, wait_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.code = code
        self.wait_s = wait_s


class Polled(Protocol):
    """A source that answers when asked."""

    @property
    def label(self) -> str:
        """What a screen or a report calls it."""

    @property
    def every_s(self) -> float:
        """How often asking is of use."""

    def limits(self, symbol: str) -> Limits | None:
        """Within what its prices of a market are believed; None when it has none."""

    async def latest(self) -> Read:
        """The newest prices. Raises `SourceFailed`."""


class Backoff:
    """Waits that double from `first` to `longest`, each shortened at random by up to half so that clients spread."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        """It went well: the next wait is a first one."""
        self._next = self._first

    def next(self, least: float = 0.0) -> float:
        """Seconds to wait now, at least `least`."""
        wait, self._next = self._next, min(self._longest, self._next * 2)
        return max(least, wait * random.uniform(0.5, 1.0))


async def poll(
    source: Polled,
    take: Callable[[Read], None],
    failed: Callable[[SourceFailed], None],
    sleep: Sleep,
    backoff_s: tuple[float, float] = BACKOFF_S,
) -> None:
    """Ask for ever: `take` what is answered, report what `failed` and wait longer each time until it answers again."""
    backoff = Backoff(*backoff_s)
    while True:
        try:
            read = await source.latest()
        except SourceFailed as error:
            _log.warning("source failed", source=source.label, code=error.code, why=str(error))
            failed(error)
            await sleep(backoff.next(max(error.wait_s, source.every_s)))
            continue
        backoff.reset()
        take(read)
        await sleep(source.every_s * random.uniform(1 - EVERY_JITTER, 1 + EVERY_JITTER))
