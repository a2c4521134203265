"""What an agent arranged once and wants to hold whatever breaks: the exchange forgets it, so each connection begins with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from perpdex_sdk.errors import AnswerUnknown, Closed, NotSent, Refused

log = logging.getLogger("perpdex_sdk")

PAUSE, PAUSE_MAX = 0.2, 5.0
"""Seconds before something is said again that was refused for now; twice as long each time."""


class Standing:
    """Messages by names. After each `begin` all are said again until they are accepted, or refused for good."""

    def __init__(self, agent: str, tell: Callable[..., Awaitable[None]]) -> None:
        self._agent = agent
        self._tell = tell
        self._said: dict[str, tuple[str, dict[str, Any]]] = {}
        self._refused: dict[str, Refused] = {}
        self._again: dict[str, asyncio.Task[None]] = {}
        self._arranging: set[str] = set()
        self._unsure: set[str] = set()

    async def arrange(self, name: str, op: str, fields: dict[str, Any]) -> None:
        """Say something that takes the place of what has that name, once it is accepted. Raises `Refused`, `AnswerUnknown`."""
        self._stop(name)
        self._arranging.add(name)
        try:
            await self._tell(op, **fields)
            self._said[name] = op, fields
            self._holds(name)
        except BaseException:
            # Whether the new one holds may be unknown, and the exchange may have restarted meanwhile: the old one is to hold again.
            if name in self._said:
                self._start(name)
            raise
        finally:
            self._arranging.discard(name)

    def begin(self) -> None:
        """A connection has begun: say everything again but what is being replaced just now."""
        self._unsure.update(self._said)
        for name in self._said.keys() - self._arranging:
            self._start(name)

    def require(self, name: str) -> None:
        """Return when what has that name holds, or was never arranged.

        Raises why it was refused, or `NotSent` while it is not known to hold.
        """
        if name in self._refused:
            raise self._refused[name]
        if name in self._unsure:
            raise NotSent(f"{name!r} is not accepted again yet")

    def end(self) -> None:
        for name in list(self._again):
            self._stop(name)

    def _holds(self, name: str) -> None:
        self._unsure.discard(name)
        self._refused.pop(name, None)

    def _start(self, name: str) -> None:
        self._stop(name)
        self._unsure.add(name)
        self._again[name] = asyncio.get_running_loop().create_task(self._repeat(name))

    def _stop(self, name: str) -> None:
        task = self._again.pop(name, None)
        if task is not None:
            task.cancel()

    async def _repeat(self, name: str) -> None:
        op, fields = self._said[name]
        for attempt in count():
            try:
                await self._tell(op, **fields)
                self._holds(name)
                return
            except Closed:
                return
            except AnswerUnknown:
                log.warning("%s: no answer to %r, which is said again", self._agent, name)
            except Refused as refused:
                if not refused.retryable:
                    log.error("%s: %r no longer holds: %s", self._agent, name, refused)
                    self._refused[name] = refused
                    return
                log.warning("%s: %r is said again: %s", self._agent, name, refused)
            await asyncio.sleep(min(PAUSE_MAX, PAUSE * 2 ** min(attempt, 10)))
