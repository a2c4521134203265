"""The record of what owners' loss limits on chain leave settlement to take."""

from typing import Final

from core.event import Event

NO_LIMIT: Final = -1
"""The limit in a record of a slot that has none."""


class LossLimitsSeen(Event, frozen=True, array_like=True, tag=61):
    """What owners' limits leave in their slots: (account, limit, left), micro-USDC.

    `limit` is the lowest that is in force or to come, `NO_LIMIT` when there is none any more. `left` is what settlement may still take
    within the window once the last batch that was cut has landed; below 0 when it can not take all that was cut.
    """

    parts: tuple[tuple[int, int, int], ...]
