"""Peers that begin and do not go on, and peers that come while the exchange stops: none keeps a place for ever."""

import asyncio
import json
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import websockets

from api.closing import CloseCode
from api.http_door import Patience
from api.socket_server import SILENT_BEATS

GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/v1/auth/challenge HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
CLOSING_GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HEADS = Patience(idle=60, head=0.3, body=60, answer=60)
BODIES = Patience(idle=60, head=60, body=0.3, answer=60)
COMMANDERS = Patience(idle=60, head=1, body=0.3, command_rate=1, answer=60)
ANSWERS = Patience(idle=60, head=60, body=60, answer=0.3)


async def send_slowly(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):
        for place in range(len(data)):
            writer.write(data[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0.02)


async def wholly_read(reader: asyncio.StreamReader) -> bytes:
    """What came until the exchange hung up."""
    read = b""
    with suppress(ConnectionResetError):
        while part := await reader.read(65_536):
            read += part
    return read


@contextmanager
def blocking(port: int, said: bytes, receive_buffer: int = 0) -> Iterator[sockets.socket]:
    """A connection that the system has taken, and that has said something, while the loop has had no turn."""
    with sockets.socket() as connection:
        if receive_buffer:
            connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", port))
        connection.sendall(said)
        yield connection


@pytest.mark.parametrize("before", [b"", GET], ids=["new", "kept alive"])
@pytest.mark.parametrize(
    ("patience", "begun", "trickled"),
    [
        (HEADS, b"", b""),
        (HEADS, b"GET /health HTTP/1.1\r\nHost: a", b""),
        (HEADS, b"GET /health HTTP/1.1\r\nHost: a", b"a" * 1_000),
        (BODIES, POST, b""),
        (BODIES, POST, b" " * 1_000),
    ],
    ids=["nothing", "half a head", "a head in trickles", "a head alone", "a body in trickles"],
)
async def test_a_call_that_does_not_come_whole_is_hung_up_on(
    new_exchange: Any, before: bytes, patience: Patience, begun: bytes, trickled: bytes
) -> None:
    exchange = await new_exchange(patience=patience)
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.server.http_port)
    async with asyncio.timeout(15):
        if before:
            writer.write(before)
            assert b" 200 " in await reader.readuntil(b"}")
        writer.write(begun)
        trickling = asyncio.create_task(send_slowly(writer, trickled))
        assert await wholly_read(reader) == b""
    trickling.cancel()
    writer.close()
    assert "perpdex_http_connections 1.0" in (await exchange.http.get("/metrics")).text, "the call's own"


OPERATOR = b"Authorization: Bearer operator-token-of-the-tests-0123456789"
COMMANDS = b"/api/v1/operator/commands"
COMMAND = b'{"type":"HoldSettlement","held":true,"why":"a theft"}'.ljust(9_000)


def half_a_command(path: bytes, headers: bytes) -> bytes:
    head = (
        b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n%b\r\n\r\n"
    )
    return head % (path, headers) + COMMAND[:4_500]


async def refused(port: int, path: bytes, headers: bytes) -> None:
    """Half a command is hung up on, answered before or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(half_a_command(path, headers))
    assert b" 200 " not in await wholly_read(reader)
    writer.close()


async def test_an_operators_command_has_time_by_its_length_and_nobody_else(new_exchange: Any) -> None:
    exchange = await new_exchange(patience=COMMANDERS)
    agent, port = await exchange.agent(), exchange.server.http_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(half_a_command(COMMANDS, OPERATOR))
    async with asyncio.timeout(15):
        await asyncio.gather(
            refused(port, COMMANDS, b"Accept: */*"),
            refused(port, COMMANDS, OPERATOR + b"0"),
            refused(port, COMMANDS, b"Authorization: Bearer %b" % agent.token.encode()),
            refused(port, b"/api/v1/auth/challenge", OPERATOR),
        )
        writer.write(COMMAND[4_500:])
        assert b" 200 " in await reader.readuntil(b"\r\n")
    writer.close()


async def test_a_command_that_says_nothing_of_its_length_has_no_more_time(new_exchange: Any) -> None:
    exchange = await new_exchange(patience=COMMANDERS)
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.server.http_port)
    half = half_a_command(COMMANDS, OPERATOR).replace(b"Content-Length: 9000", b"Transfer-Encoding: chunked")
    writer.write(half.replace(COMMAND[:4_500], b"%x\r\n%b\r\n" % (4_500, COMMAND[:4_500])))
    async with asyncio.timeout(15):
        assert b" 200 " not in await wholly_read(reader)
    writer.close()


async def test_an_answer_may_take_the_exchange_longer_than_any_of_these(new_exchange: Any) -> None:
    exchange = await new_exchange(patience=Patience(head=0.2, body=0.2, answer=0.2))
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    order = {"id": "r", "market": "BTC-PERP", "side": "buy", "size": "1", "limit": "61000.0", "ttl_ms": 1_000}
    answer = await exchange.http.post("/api/v1/requests", json=order, headers=trader.headers)
    assert answer.status_code == 200
    assert (await maker.until("rfq"))["market"] == "BTC-PERP", (
        "who did not answer, so that it took its second"
    )


async def test_a_connection_that_is_idle_after_an_answer_is_hung_up_on(new_exchange: Any) -> None:
    exchange = await new_exchange(patience=Patience(idle=0))
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.server.http_port)
    writer.write(GET)
    async with asyncio.timeout(10):
        assert b" 200 " in await wholly_read(reader)
    writer.close()


@pytest.mark.parametrize(
    "calls",
    [CLOSING_GET, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 20],
    ids=["the rest of one", "many"],
)
async def test_who_does_not_take_answers_is_hung_up_on(new_exchange: Any, calls: bytes) -> None:
    exchange = await new_exchange(patience=ANSWERS)
    (listening,) = exchange.server._http.servers[0].sockets
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 2_048)
    held = exchange.server._http.server_state.connections
    with blocking(exchange.server.http_port, calls, receive_buffer=2_048):
        async with asyncio.timeout(15):
            while not held:
                await asyncio.sleep(0.01)
            (connection,) = held
            while not connection.transport.get_write_buffer_size():
                await asyncio.sleep(0.01)
            while held:
                await asyncio.sleep(0.01)


async def test_a_peer_that_answers_no_pings_is_hung_up_on_and_one_that_does_stays(exchange: Any) -> None:
    silent, listening = await exchange.agent("silent"), await exchange.agent("listening")
    hub, beat = exchange.server.edge.hub, exchange.server.sockets._send_heartbeats
    await silent.open()
    await listening.open()
    ((gone,), (stays,)) = (hub.connections_of(agent.account) for agent in (silent, listening))
    silent.socket.transport.pause_reading()
    async with asyncio.timeout(10):
        for _ in range(SILENT_BEATS):
            beat()
            await listening.until("heartbeat")
            while stays.silent_beats > 1:
                await asyncio.sleep(0.01)
        assert not gone.closing
        beat()
        assert (gone.closing, stays.closing) == (True, False)
        silent.socket.transport.resume_reading()
        with suppress(websockets.ConnectionClosed):
            while True:
                await silent.socket.recv()
    assert silent.socket.close_code == CloseCode.SILENT
    assert (await listening.ask(op="ping", id="p"))["ev"] == "pong"


async def test_no_conversation_begins_while_the_exchange_stops(new_exchange: Any) -> None:
    exchange = await new_exchange()
    ports = exchange.server.http_port, exchange.server.websocket_port
    agent = await exchange.agent()
    await agent.open()  # takes turns of the loop to say goodbye to
    reader, half = await asyncio.open_connection("127.0.0.1", ports[1])
    half.write(UPGRADE[:40])
    while not exchange.server.sockets.waiting._count:
        await asyncio.sleep(0.01)
    with blocking(ports[0], GET) as call, blocking(ports[1], UPGRADE) as upgrade:
        await exchange.server.stop()
        half.write(UPGRADE[40:])
        told = await asyncio.wait_for(wholly_read(reader), 10)
        half.close()
        answers = [connection.recv(65_536) for connection in (call, upgrade)]
    assert answers[0].startswith(b"HTTP/1.1 503 ")
    assert json.loads(answers[0].partition(b"\r\n\r\n")[2])["error"]["code"] == "stopping"
    assert b"connection: close\r\n" in answers[0].lower()
    for answer in (answers[1], told):
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close\r\n" in answer.lower()
        assert b"101" not in answer
