"""Connections that misbehave, break, come back, or do not read."""

import asyncio
import json
import socket as sockets
from contextlib import suppress
from typing import Any

import pytest
import websockets
from solders.keypair import Keypair

from api import socket as server_socket
from api.callers import Places, Room
from api.closing import CloseCode
from api.socket_door import Waiting
from api.socket_server import SocketServer
from matcher import commands as c


async def closed_with(connection: Any) -> int:
    """Read until the exchange closes; the code it gave (1006 when it gave none)."""
    with suppress(websockets.ConnectionClosed):
        while True:
            await connection.recv()
    return int(connection.close_code)


async def raw(exchange: Any) -> Any:
    connection = await websockets.connect(exchange.server.websocket_url, max_size=None, close_timeout=0.5)
    exchange.sockets.append(connection)
    return connection


async def credit(exchange: Any, account: int, key: str) -> None:
    await exchange.engine.ask(c.CreditDeposit(account, 1, key))


async def test_other_paths_are_not_found(exchange: Any) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(exchange.server.websocket_url + "x")
    assert refused.value.response.status_code == 404


async def test_auth_must_come_in_time(exchange: Any) -> None:
    exchange.server.sockets.auth_timeout = 0.05
    connection = await raw(exchange)
    assert json.loads(await connection.recv())["code"] == "not_authenticated"
    assert await closed_with(connection) == CloseCode.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"op": "ping", "id": "1"}, "not_authenticated"),
        ({"op": "auth", "id": "1", "token": "nonsense"}, "not_authenticated"),
        ({"op": "auth", "id": "1"}, "bad_message"),
        ({"op": "nothing", "id": "1"}, "bad_message"),
    ],
)
async def test_what_comes_before_auth_ends_the_connection(exchange: Any, message: Any, code: str) -> None:
    connection = await raw(exchange)
    await connection.send(json.dumps(message))
    error = json.loads(await connection.recv())
    assert (error["ev"], error["id"], error["code"]) == ("error", "1", code)
    assert await closed_with(connection) == CloseCode.NOT_AUTHENTICATED


async def test_a_second_auth_is_refused_and_harmless(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    assert (await agent.ask(op="auth", id="2", token=agent.token))["code"] == "already_authenticated"
    assert (await agent.ask(op="ping", id="3"))["ev"] == "pong"


async def test_resume_sends_exactly_what_was_missed(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    for number in range(5):
        await credit(exchange, agent.account, f"a{number}")
    seen = [await agent.receive() for _ in range(5)]
    assert [event["n"] for event in seen] == [4, 5, 6, 7, 8]
    agent.socket.transport.abort()
    for number in range(5):
        await credit(exchange, agent.account, f"b{number}")
    ready = await agent.open(resume_from=6)
    assert ready["head"] == 13
    again = [await agent.receive() for _ in range(7)]
    assert [event["n"] for event in again] == list(range(7, 14))
    assert again[:2] == seen[3:]
    await credit(exchange, agent.account, "c")
    assert (await agent.receive())["n"] == 14


async def test_resume_reaches_back_over_a_restart(new_exchange: Any) -> None:
    exchange = await new_exchange()
    agent = await exchange.agent()
    await exchange.stop()
    await exchange.start()
    await agent.open(resume_from=0)
    assert [(await agent.receive())["ev"] for _ in range(3)] == ["registered", "slot", "deposit"]


async def test_resume_beyond_memory_is_read_from_the_read_side(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.streams.KEPT_PER_ACCOUNT", 3)
    monkeypatch.setattr("api.streams.LEDGER_PAGE", 7)
    agent = await exchange.agent()
    for number in range(40):
        await credit(exchange, agent.account, f"a{number}")
    await agent.open(resume_from=0)
    crediting = asyncio.create_task(_credits(exchange, agent.account, 20))
    numbers: list[int] = []
    while len(numbers) < 63:
        # A heartbeat has no number, and comes between them where the machine is slow.
        numbers += [event["n"] for event in [await agent.receive()] if event["ev"] != "heartbeat"]
    assert numbers == list(range(1, 64))
    await crediting


async def _credits(exchange: Any, account: int, count: int) -> None:
    for number in range(count):
        await credit(exchange, account, f"meanwhile{number}")


async def test_resume_beyond_the_head_is_refused(exchange: Any) -> None:
    agent = await exchange.agent()
    answer = await agent.open(resume_from=99)
    assert answer["code"] == "resume_invalid"


async def test_an_oversize_message_ends_the_connection(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    await agent.socket.send("x" * (server_socket.FRAME_MAX + 1))
    assert await closed_with(agent.socket) == CloseCode.TOO_BIG


async def test_an_oversize_message_in_fragments_ends_the_connection(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    await agent.socket.send(["x" * 30_000] * 3)
    assert await closed_with(agent.socket) == CloseCode.TOO_BIG


async def test_a_message_in_fragments_is_one_message(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    await agent.socket.send(['{"op":"pi', 'ng","i', 'd":"1"}'])
    assert (await agent.receive())["ev"] == "pong"


async def test_binary_messages_end_the_connection(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    await agent.socket.send(b"\x00")
    assert await closed_with(agent.socket) == CloseCode.UNSUPPORTED_DATA


async def test_another_protocol_is_hung_up_on(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    for _ in range(server_socket.BAD_MESSAGES_MAX):
        await agent.socket.send("hello")
    assert await closed_with(agent.socket) == CloseCode.BAD_MESSAGES


async def test_a_slow_reader_is_disconnected(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_socket, "OUTGOING_MAX", 64 * 1024)
    monkeypatch.setattr(server_socket, "CLOSE_TIMEOUT", 0.2)
    agent = await exchange.agent()
    await agent.open()
    (connection,) = exchange.server.edge.hub.connections_of(agent.account)
    for transport in (agent.socket.transport, connection._transport.underlying_transport):
        for option in (sockets.SO_SNDBUF, sockets.SO_RCVBUF):
            transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, option, 4096)
    agent.socket.transport.pause_reading()
    for number in range(50):
        for part in range(400):
            exchange.engine.submit(c.CreditDeposit(agent.account, 1, f"{number}-{part}"), None)
        await asyncio.sleep(0.01)
        if not exchange.server.edge.hub.connections_of(agent.account):
            break
    await asyncio.sleep(0.3)
    assert not exchange.server.edge.hub.connections_of(agent.account)
    agent.socket.transport.abort()
    await agent.open(resume_from=20)
    assert (await agent.receive())["n"] == 21


async def test_the_last_connection_takes_requests_and_quotes_with_it(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    await trader.send(op="request", id="r", market="BTC-PERP", side="buy", size="1", limit="1.0", ttl_ms=5000)
    await trader.until("request_opened")
    await trader.socket.close()
    await maker.socket.close()
    book = exchange.engine.state.book
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not book.standing and not book.requests:
            break
    assert not book.standing
    assert not book.requests
    assert not book.makers[1]


async def test_quotes_stay_while_another_connection_asked_for_them(exchange: Any) -> None:
    maker = await exchange.maker()
    first = maker.socket
    await maker.open()
    await first.close()
    await maker.ask(op="ping", id="1")
    assert exchange.engine.state.book.standing


async def test_quotes_stay_for_an_agent_that_wants_them_to(exchange: Any) -> None:
    maker = await exchange.agent("maker")
    await maker.open(cancel_on_disconnect=False)
    await maker.ask(op="quotes", id="q", market="BTC-PERP", bids=[["59990.0", "1"]], life_ms=60_000)
    await maker.socket.close()
    await asyncio.sleep(0.05)
    assert exchange.engine.state.book.standing


async def test_connections_of_an_account_are_bounded(exchange: Any) -> None:
    agent = await exchange.agent()
    for _ in range(server_socket.CONNECTIONS_PER_ACCOUNT):
        assert (await agent.open())["ev"] == "ready"
    answer = await agent.open()
    assert (answer["code"], answer["retryable"]) == ("too_many_connections", True)


async def test_heartbeats_tell_head_and_hash(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await exchange.agent()
    ready = await agent.open()
    exchange.server.sockets._send_heartbeats()
    beat = await agent.receive()
    assert (beat["ev"], beat["head"], beat["hash"]) == ("heartbeat", 3, ready["hash"])


async def test_an_expired_session_ends_the_connection(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    (connection,) = exchange.server.edge.hub.connections_of(agent.account)
    connection.expires_at = 1
    exchange.server.sockets._send_heartbeats()
    assert (await agent.receive())["code"] == "session_expired"
    assert await closed_with(agent.socket) == CloseCode.SESSION_EXPIRED


async def test_revoked_sessions_are_void_for_good_and_the_owner_signs_in_again(new_exchange: Any) -> None:
    exchange = await new_exchange()
    owner = Keypair()
    agent, other = await exchange.agent("a", owner=owner), await exchange.agent("b", owner=owner)
    await agent.open()
    revoked = await exchange.http.delete("/api/v1/sessions", headers=agent.headers)
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert (await agent.receive())["ev"] == "sessions_revoked"
    assert await closed_with(agent.socket) == CloseCode.SESSION_REVOKED
    refused = await exchange.http.get("/api/v1/account", headers=agent.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "session_revoked")
    assert (await agent.open())["code"] == "session_revoked"
    await exchange.stop()
    await exchange.start()
    refused = await exchange.http.get("/api/v1/account", headers=agent.headers)
    assert refused.json()["error"]["code"] == "session_revoked"
    assert (await exchange.http.get("/api/v1/account", headers=other.headers)).status_code == 200
    again = await exchange.agent("a", owner=owner)
    assert (await exchange.http.get("/api/v1/account", headers=again.headers)).status_code == 200


async def test_stopping_tells_agents_to_come_back(new_exchange: Any) -> None:
    exchange = await new_exchange()
    agent = await exchange.agent()
    await agent.open()
    reading = asyncio.create_task(closed_with(agent.socket))
    await exchange.server.sockets.stop()
    assert await reading == CloseCode.GOING_AWAY


async def test_a_client_that_vanishes_mid_handshake_leaves_nothing(exchange: Any) -> None:
    for _ in range(20):
        connection = sockets.create_connection(("127.0.0.1", exchange.server.websocket_port))
        connection.sendall(b"GET /ws HTTP/1.1\r\nUpgrade:")
        connection.close()
    await asyncio.sleep(0.05)
    assert not exchange.server.sockets.connections


HEAD, REST = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
)
"""A handshake in two pieces."""


async def test_a_handshake_that_is_never_whole_ends_and_one_that_is_stays(exchange: Any) -> None:
    server = SocketServer(
        exchange.server.edge, Places(), Waiting(Places(), 10), Room(), auth_timeout=60, handshake_timeout=0.5
    )
    port = await server.start("127.0.0.1", 0)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        await asyncio.sleep(0)
        writer.write(REST)
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        unfinished, half = await asyncio.open_connection("127.0.0.1", port)
        half.write(HEAD)
        never_ended, trickling = await asyncio.open_connection("127.0.0.1", port)
        trickle = asyncio.create_task(one_byte_at_a_time(trickling))
        assert await ended(unfinished)
        assert await ended(never_ended)
        trickle.cancel()
    assert not reader.at_eof()
    assert len(server.connections) == 1
    for each in (writer, half, trickling):
        each.close()
    await server.stop()


async def one_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
    for byte in HEAD * 1_000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def ended(reader: asyncio.StreamReader) -> bool:
    """True once the other side has hung up without a word."""
    with suppress(ConnectionResetError):
        return await reader.read() == b""
    return True
