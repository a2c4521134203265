"""Runs commands through the real engine and its journal on disk, at the time of a recording instead of the machine's.

Everything that falls due between two commands is done at its own instant, and before the event loop gets control: so nothing
depends on how fast the disk or the machine is, and the same commands give the same records.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from matcher import commands as c
from matcher.engine import Engine
from matcher.rejections import Outcome, Rejection
from matcher.state import Exchange

NO_LIMIT: Final = 1 << 62
"""Nothing may be shed, as that would depend on the disk; and no snapshot interrupts, so that the journal alone tells everything."""
SECRET: Final = b"premiums at the same instants in every run"


class Driver:
    """One engine and its clock. `refused` counts refusals by their code."""

    def __init__(self, directory: Path, start: int) -> None:
        """Must be called on a running event loop. Raises what `Engine` raises."""
        self.now = start
        self.commands = 0
        self.refused: Counter[str] = Counter()
        self.engine = Engine(
            directory, lambda: self.now, waiting_max=NO_LIMIT, snapshot_after=NO_LIMIT, secret=SECRET
        )
        self._react: Callable[[], None] = lambda: None
        self._taken = True

    @property
    def state(self) -> Exchange:
        return self.engine.state

    def react_with(self, react: Callable[[], None]) -> None:
        """Have `react` called wherever agents would get to speak: after every command that came due."""
        self._react = react

    def do(self, command: c.Command) -> bool:
        """Submit a command now; whether it was taken."""
        self.commands += 1
        self._taken = True
        self.engine.submit(command, self._heard)
        return self._taken

    def pass_to(self, instant: int) -> None:
        """Let time pass to `instant`, which may be now: agents react, and what falls due is done when it does."""
        while True:
            self._react()
            due = self.state.next_deadline()
            if not 0 < due <= instant:
                break
            self.now = max(self.now, due)
            self.do(c.Advance())
        self.now = max(self.now, instant)

    async def rest(self) -> None:
        """Let the journal take what there is, and listeners hear what it has written; nothing is due when the loop gets control."""
        self.pass_to(self.now)
        await asyncio.sleep(0)

    async def written(self) -> None:
        """Wait until everything so far is on disk and its listeners have heard of it."""
        await self.rest()
        while self.engine.waiting:
            await asyncio.sleep(0)

    def _heard(self, outcome: Outcome) -> None:
        # Refusals are answered within the call, everything durable later: only the former are looked for.
        if isinstance(outcome, Rejection):
            self._taken = False
            self.refused[outcome.code] += 1
