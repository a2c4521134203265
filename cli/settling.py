"""Whether settlement keeps up with trading, judged from outside: by the age of the newest batch while fills go on."""

from typing import Final

from cli.figures import Figures

LATE_S: Final = 60.0
"""Batches come every few seconds: a minute without one, while agents trade, is worth saying."""


class Settling:
    """Remembers when the newest batch was first seen in its present status, and how many fills there were then."""

    def __init__(self) -> None:
        self._newest: tuple[int, str] | None = None
        self._since = 0.0
        self._fills = 0

    def late(self, figures: Figures, now: float) -> str:
        """A sentence when nothing has settled for long while trading went on; empty when all is well. `now` is in seconds."""
        if figures.not_ready:
            # Batches may be missing from this look: it says nothing of them.
            return ""
        newest = (figures.batches[0].id, figures.batches[0].status) if figures.batches else (0, "none")
        if newest != self._newest:
            self._newest, self._since, self._fills = newest, now, figures.fills
        if figures.fills == self._fills or now - self._since < LATE_S:
            return ""
        return (
            f"nothing settled for {now - self._since:.0f} s (batch {newest[0]} is {newest[1]}): "
            "open the workflow `settlement` in the Temporal UI"
        )
