"""Who listens to which kind of event: most events concern few of the edge's parts, and each call costs as much as a decision."""

from collections.abc import Callable, Iterable
from typing import Any

from core.events import Event

Ear = Callable[[int, Any], None]
"""Called with the journal sequence, 0 for a volatile event, and the event."""


class Listening:
    """One listener for the engine, which calls only the ears of an event's kind, in the order in which they came."""

    def __init__(self) -> None:
        self._ears: dict[type[Event], tuple[Ear, ...]] = {}

    def to(self, kinds: Iterable[type[Event]], ear: Ear) -> None:
        """Have `ear` called for every event of these kinds."""
        for kind in kinds:
            self._ears[kind] = (*self._ears.get(kind, ()), ear)

    def hear(self, seq: int, event: Event) -> None:
        """Listener."""
        for ear in self._ears.get(type(event), ()):
            ear(seq, event)
