"""How many connections one address may hold open, at the edge of it, and behind a proxy."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
import websockets

from api.callers import ROOM, Places
from api.closing import CloseCode
from api.open_files import LEAST, NEEDED, OWN, room_in

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def pings(agent: Any) -> str:
    answer = await agent.ask(op="ping", id="p")
    return str(answer.get("code", answer["ev"]))


async def test_one_address_holds_no_more_http_connections_than_may_be(new_exchange: Any) -> None:
    exchange = await new_exchange(connections_per_address=3)
    assert (await exchange.http.get("/health")).status_code == 200  # holds one
    port = exchange.server.http_port
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    await asyncio.sleep(0.2)
    assert [reader.at_eof() or reader.exception() is not None for reader, _ in held] == [False, False, True]
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    _, again = await asyncio.open_connection("127.0.0.1", port)
    async with httpx.AsyncClient(base_url=exchange.server.http_url) as other:
        assert (await other.get("/health")).status_code == 200, "places are given back"
    again.close()


async def test_calls_for_an_upgrade_keep_no_places_over_http(
    new_exchange: Any, caplog: pytest.LogCaptureFixture
) -> None:
    per_address = 2
    exchange = await new_exchange(connections_per_address=per_address)
    for path in (b"/ws", b"/health"):
        for _ in range(per_address + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", exchange.server.http_port)
            writer.write(UPGRADE % path)
            assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 ")
            writer.close()
            await writer.wait_closed()
    assert (await exchange.http.get("/health")).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


async def test_one_address_holds_no_more_websockets_than_may_be(new_exchange: Any) -> None:
    exchange = await new_exchange(connections_per_address=2)
    agents = [await exchange.agent(name) for name in "abc"]
    await agents[0].open()
    await agents[1].open()
    refused = await websockets.connect(exchange.server.websocket_url)
    error = json.loads(await refused.recv())
    assert (error["code"], error["retryable"]) == ("too_many_connections", True)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await refused.recv()
    assert closed.value.rcvd.code == CloseCode.NOT_AUTHENTICATED
    assert await pings(agents[0]) == await pings(agents[1]) == "pong"
    await agents[0].socket.close()
    await asyncio.sleep(0.1)
    await agents[2].open()
    assert await pings(agents[2]) == "pong"


async def test_who_never_asks_for_a_websocket_takes_no_files_from_the_others(new_exchange: Any) -> None:
    exchange = await new_exchange(connections_per_address=2)
    port, waiting = exchange.server.websocket_port, exchange.server.sockets.waiting

    async def hung_up_on(connections: int) -> int:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
        await asyncio.sleep(0.2)
        gone = sum(reader.at_eof() or reader.exception() is not None for reader, _ in held)
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.1)
        return gone

    assert await hung_up_on(5) == 3, "of one address"
    waiting.most = 1
    assert await hung_up_on(2) == 1, "of all"
    agents = [await exchange.agent(name) for name in "ab"]
    for agent in agents:
        await agent.open()
    assert [await pings(agent) for agent in agents] == ["pong", "pong"], "who has asked waits no more"


async def test_behind_a_trusted_proxy_each_caller_has_its_own_places(new_exchange: Any) -> None:
    exchange = await new_exchange(connections_per_address=1, trusted_proxies="127.0.0.1")

    async def answer(address: str) -> str:
        """What a new connection from behind the proxy is told first; it stays open."""
        headers = {"X-Forwarded-For": f"192.0.2.77, {address}"}
        socket = await websockets.connect(exchange.server.websocket_url, additional_headers=headers)
        exchange.sockets.append(socket)
        with suppress(websockets.ConnectionClosed):
            await socket.send(json.dumps({"op": "ping", "id": "1"}))
        return str(json.loads(await socket.recv())["code"])

    exchange.server.sockets.auth_timeout = 60
    held = await websockets.connect(
        exchange.server.websocket_url, additional_headers={"X-Forwarded-For": "198.51.100.1"}
    )
    exchange.sockets.append(held)
    assert await answer("198.51.100.1") == "too_many_connections"
    assert await answer("198.51.100.2") == "not_authenticated"
    # The proxy's own connections are everybody's.
    held_by_proxy = [await asyncio.open_connection("127.0.0.1", exchange.server.http_port) for _ in range(3)]
    assert (await exchange.http.get("/health")).status_code == 200
    for _, writer in held_by_proxy:
        writer.close()


def test_nobody_is_believed_who_is_no_trusted_proxy() -> None:
    places = Places(1)
    assert places.caller("192.0.2.1", "198.51.100.1") == "192.0.2.1"
    trusting = Places(1, "192.0.2.0/24, 2001:db8::1")
    assert trusting.caller("192.0.3.1", "198.51.100.1") == "192.0.3.1"
    assert trusting.caller("192.0.2.1", "203.0.113.9, 198.51.100.1, 192.0.2.7") == "198.51.100.1"
    assert trusting.caller("2001:db8::1", "198.51.100.1") == "198.51.100.1"
    assert trusting.caller("192.0.2.1") == ""


def test_an_address_of_version_6_is_its_network() -> None:
    places = Places(2)
    assert places.take("2001:db8::1")
    assert places.take("2001:db8::2")
    assert not places.take("2001:db8::3")
    assert places.take("2001:db8:0:1::3")
    places.give_back("2001:db8::1")
    assert places.take("2001:db8::3")


@pytest.mark.parametrize("share", [LEAST, 4_096, 10_240, NEEDED - 1])
def test_the_doors_never_use_up_the_files_of_the_journal(share: int) -> None:
    room = room_in(share)
    assert OWN + room.files <= share
    assert all(0 < part < whole for part, whole in zip(room, ROOM, strict=True))
    assert room.http == room.sockets > 300


def test_more_files_than_are_needed_make_no_more_room() -> None:
    assert room_in(NEEDED) == room_in(1 << 20) == ROOM
