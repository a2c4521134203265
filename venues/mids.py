"""Middles of many symbols at venues that are asked for one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from venues.driver import Mid
from venues.errors import Unavailable


async def mids_of(symbols: Collection[str], ask: Callable[[str], Awaitable[Mid | None]]) -> dict[str, Mid]:
    """Those that there are: what one answer does not say keeps nobody from hearing of the others. Raises `Unavailable` when none says
    anything."""
    asked = list(symbols)
    answers = await asyncio.gather(*(ask(symbol) for symbol in asked), return_exceptions=True)
    found: dict[str, Mid] = {}
    silent: list[BaseException] = []
    for symbol, answer in zip(asked, answers, strict=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, Unavailable):
                raise answer
            silent.append(answer)
        elif answer is not None:
            found[symbol] = answer
    if silent and len(silent) == len(asked):
        raise silent[0]
    return found
