"""What the HTTP door adds to uvicorn: bounds on connections, so that nobody takes all places there are."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from api.callers import Places

FIRST_CALL_S: Final = 10.0
"""Seconds in which a new connection's first call must have come whole with its head."""


class HttpDoor(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """One connection. uvicorn hangs up on those that are idle after an answer, but waits for ever for a first call."""

    first_call_s = FIRST_CALL_S
    connections_max: int
    places: Places

    def connection_made(self, transport: Any) -> None:
        # Before uvicorn counts the connection: an error after that would leave it counted for good.
        self._silent = asyncio.get_running_loop().call_later(self.first_call_s, self._hang_up)
        # The calls of a trusted proxy are told apart by their heads, which come later: its connections are not counted.
        # Who has hung up already has no name.
        self._address = self.places.caller((transport.get_extra_info("peername") or ("",))[0])
        self._has_place = self.places.take(self._address)
        super().connection_made(transport)
        if not self._has_place or len(self.connections) > self.connections_max:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent.cancel()
        if self._has_place:
            self.places.give_back(self._address)
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def door_with(places: Places, connections_max: int) -> type[HttpDoor]:
    """The door of one server, which counts its connections in `places`."""
    return type("Door", (HttpDoor,), {"places": places, "connections_max": connections_max})
