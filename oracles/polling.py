"""Sources that are asked again and again: what they have in common, and how one is asked for ever without being hammered."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

import structlog

from core.hosts import only_hosts
from oracles.price import Price
from oracles.refusal import Refused
from oracles.route import Limits

Sleep = Callable[[float], Awaitable[None]]
_Answer = TypeVar("_Answer")
Read = Mapping[str, Price | Refused]
"""What one answer holds for each symbol: a price, or why it was not believed."""
BACKOFF_S: Final = (0.25, 30.0)
"""First and longest wait before asking again."""
EVERY_JITTER: Final = 0.1
READ_S: Final = 20.0
"""How long one reading of a source may take in all, however many questions it is and however slowly the answers come."""
BROKEN: Final = "broken"
"""Code of the trouble that nobody expected."""
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


async def reading(label: str, answer: Awaitable[_Answer], within_s: float = READ_S) -> _Answer:
    """What a source answers. Raises `SourceFailed` and nothing else, under the reason's code where all of an answer was refused.

    What nobody expected is that source's trouble, too, and logged as the surprise it is: what one says must never end the others.
    """
    try:
        async with asyncio.timeout(within_s):
            return await answer
    except SourceFailed:
        raise
    except Refused as refused:
        raise SourceFailed(refused.reason.value, refused.found) from refused
    except TimeoutError as error:
        raise SourceFailed("timeout", f"{label} did not answer within {within_s:g} s.") from error
    except Exception as error:
        _log.error("a source broke", source=label, exc_info=error)
        raise SourceFailed(BROKEN, f"{label} broke: {only_hosts(repr(error))}") from error


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
            read = await reading(source.label, source.latest())
        except SourceFailed as error:
            _log.warning("source failed", source=source.label, code=error.code, why=str(error))
            failed(error)
            await sleep(backoff.next(max(error.wait_s, source.every_s)))
            continue
        backoff.reset()
        take(read)
        await sleep(source.every_s * random.uniform(1 - EVERY_JITTER, 1 + EVERY_JITTER))
