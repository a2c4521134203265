"""Owners' loss limits into state, and what batches take of what they leave."""

from collections.abc import Mapping
from typing import Final

from core.event import Event
from core.loss_limit_events import NO_LIMIT, LossLimitsSeen
from core.loss_limits import LossLimit
from matcher.apply_book import Applier
from matcher.exiting import family
from matcher.state import Exchange


def _seen(state: Exchange, event: LossLimitsSeen) -> None:
    for id, limit, left in event.parts:
        if limit == NO_LIMIT:
            del state.loss_limits[id]
        else:
            state.loss_limits[id] = LossLimit(limit, left)
        _suspect(state, id)


def count_debits(state: Exchange, deltas: Mapping[int, int]) -> None:
    """Take a batch's debits from what the limits leave. Its credits make room only once the chain has given them."""
    for id, kept in state.loss_limits.items():
        kept.left += min(0, deltas.get(id, 0))
        _suspect(state, id)


def give_back(state: Exchange, id: int, change: int) -> None:
    """Let the limit leave again what a batch could not take after all: `change`, if it is below 0, as in `DeltasUnapplied`."""
    if id in state.loss_limits:
        state.loss_limits[id].left -= min(0, change)


def _suspect(state: Exchange, id: int) -> None:
    state.watch.suspect_many([one.id for one in family(state.accounts[id]) if one.positions])


LOSS_LIMIT_APPLIERS: Final[dict[type[Event], Applier]] = {LossLimitsSeen: _seen}
