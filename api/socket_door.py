"""What the WebSocket door adds to picows: bounds on connections that have not asked for a WebSocket yet, which nothing else counts."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from picows import WSAutoPingStrategy, WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from api.callers import Places
from api.socket import FRAME_MAX

READ_BUFFER: Final = 16 * 1024
_log: Final = logging.getLogger("picows.server")


class Waiting:
    """The connections of one door that have not asked for a WebSocket yet: so many in all, and so many of one address."""

    def __init__(self, places: Places, most: int) -> None:
        self.most = most
        self._places = places
        self._count = 0

    def enter(self, address: str) -> bool:
        """Whether `address` may wait, which then counts until it leaves."""
        # One behind a trusted proxy is known by its head only: what its proxy has accepted is not counted by address.
        if self._count >= self.most or not self._places.take(self._places.caller(address)):
            return False
        self._count += 1
        return True

    def leave(self, address: str) -> None:
        self._count -= 1
        self._places.give_back(self._places.caller(address))


class SocketDoor(WSProtocol):  # type: ignore[misc]
    """One connection, from the moment that it was accepted."""

    def __init__(
        self,
        waiting: Waiting,
        accept: Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener | None],
        handshake_timeout: float,
    ) -> None:
        self._waiting = waiting
        self._accept = accept
        self._address: str | None = None
        super().__init__(
            None,
            None,
            False,
            self._asked,
            _log,
            True,
            handshake_timeout,
            False,
            0,
            0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,
            FRAME_MAX,
            None,
            READ_BUFFER,
        )

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Who has hung up already has no name.
        address = (transport.get_extra_info("peername") or ("",))[0]
        if self._waiting.enter(address):
            self._address = address
        else:
            # Not from within: its descriptor would be closed first and then listened to.
            asyncio.get_running_loop().call_soon(transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def _asked(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        answer = self._accept(request)
        if isinstance(answer, WSListener):
            self._leave()
        return answer

    def _leave(self) -> None:
        if self._address is not None:
            self._waiting.leave(self._address)
            self._address = None
