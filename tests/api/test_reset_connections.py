"""Connections that their peers have reset before they are accepted, under the loop that serves: only there they have no name."""

import asyncio
import socket
import struct
from typing import Any

import pytest
import uvloop

from api.callers import Room


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy()


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("said", [b"", UPGRADE], ids=["nothing", "an upgrade"])
async def test_connections_reset_before_they_are_accepted_take_no_places(
    new_exchange: Any, said: bytes
) -> None:
    exchange = await new_exchange(connections_per_address=5, room=Room(http=5, sockets=5))
    surprises: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    for port in (exchange.server.http_port, exchange.server.websocket_port):
        # Without a pause: the loop, which accepts, runs only when all have gone.
        for _ in range(20):
            gone = socket.create_connection(("127.0.0.1", port))
            gone.sendall(said)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        await asyncio.sleep(0.2)
    assert surprises == []
    shown = (await exchange.http.get("/metrics")).text
    assert "perpdex_http_connections 1.0" in shown, "the call's own"
    agent = await exchange.agent()
    await agent.open()
    assert (await agent.ask(op="ping", id="p"))["ev"] == "pong"
