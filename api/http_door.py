"""What the HTTP door adds to uvicorn: bounds on connections, so that nobody takes all places there are, nor keeps one for ever.

uvicorn hangs up on a connection that is silent after an answer, and waits for ever for the rest of whatever has begun.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol

from api.answers import error_response
from api.body_limit import COMMAND_MAX, Commands, announced
from api.callers import Places
from api.errors import ApiError


class Patience(NamedTuple):
    """Seconds that a connection is given."""

    idle: int = 5
    """Without a byte after an answer."""
    head: float = 10.0
    """Until a call's head is whole, from connecting or from the answer before."""
    body: float = 10.0
    """Until its body is whole, from the head."""
    command_rate: int = 64 * 1024
    """Bytes for which an operator's command, which may be long, is given one more: 266 for the longest."""
    answer: float = 30.0
    """To take what of an answer the system cannot hold."""


PATIENCE: Final = Patience()


@dataclass(slots=True)
class Bounds:
    """What the connections of one door share. Once it is `stopping`, a new one is told so whatever it asks for."""

    places: Places
    connections_max: int
    commands: Commands
    patience: Patience = PATIENCE
    stopping: bool = False

    def for_body(self, scope: Mapping[str, Any]) -> float:
        """Seconds until the body of a call must be whole. A stranger gains nothing by announcing a long one."""
        if not self.commands.has(scope):
            return self.patience.body
        length = min(announced(scope) or 0, COMMAND_MAX)
        return self.patience.body + length / self.patience.command_rate


class HttpDoor(H11Protocol):
    """One connection. A deadline runs at any time but while the exchange itself is at work on an answer."""

    bounds: Bounds

    def connection_made(self, transport: Any) -> None:
        # Before uvicorn counts the connection: an error after that would leave it counted for good.
        self._deadline = self.loop.call_later(self.bounds.patience.head, transport.abort)
        self._unread: asyncio.TimerHandle | None = None
        # The calls of a trusted proxy are told apart by their heads, which come later: its connections are not counted.
        # Who has hung up already has no name.
        self._address = self.bounds.places.caller((transport.get_extra_info("peername") or ("",))[0])
        self._has_place = self.bounds.places.take(self._address)
        super().connection_made(transport)
        if self.bounds.stopping:
            self.app = _stopping()
        if not self._has_place or len(self.connections) > self.bounds.connections_max:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._taken()
        if self._has_place:
            self.bounds.places.give_back(self._address)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        if not cycle.more_body:
            self._deadline.cancel()
        elif cycle is not before:
            self._give(self.bounds.for_body(cycle.scope))

    def on_response_complete(self) -> None:
        # Also of a connection that uvicorn closes now: it stays open until its peer has taken everything.
        patience = self.bounds.patience
        self._give(patience.answer if self.transport.get_write_buffer_size() else patience.head)
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._unread = self.loop.call_later(self.bounds.patience.answer, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: the call is answered without an upgrade, and strangers must not fill the log with two lines for each."""

    def _taken(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give(self, seconds: float) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


def door_with(bounds: Bounds) -> type[HttpDoor]:
    """The door of one server."""
    return type("Door", (HttpDoor,), {"bounds": bounds})


def _stopping() -> Any:
    answer = error_response(ApiError("stopping"))
    answer.headers["Connection"] = "close"
    return answer
