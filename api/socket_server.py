"""The WebSocket server: every connection there is, what they share, and who is let in."""

import asyncio
from http import HTTPStatus
from typing import Final

import aiofastnet
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from api.callers import Places, Room
from api.closing import PING, CloseCode
from api.collaborators import Edge
from api.errors import ApiError
from api.socket import Connection
from api.socket_door import SocketDoor, Waiting

PATH: Final = b"/ws"
HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds from connecting in which a handshake must be whole."""
AUTH_TIMEOUT: Final = 5.0
HEARTBEAT: Final = 5.0
SILENT_BEATS: Final = 6
"""Heartbeats in a row without a frame from the peer, be it the answer to the ping that comes with each but the first."""


class SocketServer:
    """All connections, their common writes and the heartbeat."""

    def __init__(
        self,
        edge: Edge,
        places: Places,
        waiting: Waiting,
        room: Room,
        auth_timeout: float = AUTH_TIMEOUT,
        heartbeat: float = HEARTBEAT,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.edge = edge
        self.places = places
        self.waiting = waiting
        self._room = room
        self.auth_timeout = auth_timeout
        self.connections: set[Connection] = set()
        self._stopping = False
        self._all_gone = asyncio.Event()
        self._heartbeat = heartbeat
        self._handshake_timeout = handshake_timeout
        self._to_write: list[Connection] = []
        self._beat: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses when 0 is asked for."""
        self._loop = asyncio.get_running_loop()
        self._listening = await aiofastnet.create_server(
            self._loop,
            lambda: SocketDoor(self.waiting, self._accept, self._handshake_timeout),
            host,
            port,
            backlog=self._room.backlog,
        )
        self._beat = self._loop.call_later(self._heartbeat, self._send_heartbeats)
        return int(self._listening.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Let nobody in any more and tell every agent to come back; each hangs up, or is hung up on."""
        self._stopping = True
        if self._beat is not None:
            self._beat.cancel()
        self._all_gone.clear()
        for connection in list(self.connections):
            connection.close(CloseCode.GOING_AWAY, "the exchange stops")
        if self.connections:
            await self._all_gone.wait()
        # Last: who comes meanwhile is told to come back, where a closed door would tell nothing.
        self._listening.close()

    def gone(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._all_gone.set()

    def write_soon(self, connection: Connection) -> None:
        if not self._to_write:
            self._loop.call_soon(self._write_all)
        self._to_write.append(connection)

    def _write_all(self) -> None:
        waiting, self._to_write = self._to_write, []
        for connection in waiting:
            connection.write()

    def _accept(self, request: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener | None:
        if request.path.split(b"?")[0] != PATH:
            return None
        if self._stopping or len(self.connections) >= self._room.sockets:
            why = b"the exchange stops" if self._stopping else b"every place is taken"
            refusal = WSUpgradeResponse.create_error_response(HTTPStatus.SERVICE_UNAVAILABLE, why)
            return WSUpgradeResponseWithListener(refusal, None)
        return Connection(self)

    def _send_heartbeats(self) -> None:
        self._beat = self._loop.call_later(self._heartbeat, self._send_heartbeats)
        now = self.edge.clock()
        for connection in list(self.connections):
            if not connection.account:
                continue
            if connection.expires_at * 1_000_000_000 <= now:
                connection.error(None, ApiError("session_expired"))
                connection.close(CloseCode.SESSION_EXPIRED, "sign a new challenge")
            elif connection.silent_beats >= SILENT_BEATS:
                connection.close(CloseCode.SILENT, "not even a ping was answered")
            else:
                connection.send(self.edge.hub.heartbeat(connection.account, now))
                if connection.silent_beats:
                    connection.send(PING)
                connection.silent_beats += 1
