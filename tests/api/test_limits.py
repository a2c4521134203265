"""How much one account, one owner and one address may ask for, and what a loop that lags still takes."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
import websockets
from solders.keypair import Keypair

from api.allowance import CALL_COST, PROOF_COST, Limits
from api.bucket import Bucket, Rate
from api.callers import Room
from api.closing import CloseCode
from api.lag import EVERY, WARY, Lag
from api.socket import OTHER_FRAMES
from core.quantities import MILLISECOND, SECOND
from matcher import commands as c

QUOTES = {"market": "BTC-PERP", "bids": [["59990.0", "1"]], "asks": [["60010.0", "1"]]}
ORDER = {"market": "BTC-PERP", "side": "buy", "size": "1", "limit": "61000.0"}


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fills up again meanwhile, however slow the machine is."""
    now = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: now)


def few(burst: int) -> Rate:
    return Rate(per_second=1, burst=burst)


async def pings(agent: Any, count: int) -> list[str]:
    """`pong` or the error's code."""
    answers = [await agent.ask(op="ping", id=f"p{number}") for number in range(count)]
    return [answer.get("code", answer["ev"]) for answer in answers]


async def flooded(agent: Any, message: dict[str, Any]) -> int:
    """Code with which the connection is closed for sending the message again and again."""
    try:
        for number in range(14):
            await agent.send(id=f"m{number}", **message)
        while True:
            await agent.receive()
    except websockets.ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 0


def test_a_bucket_refills_at_its_rate() -> None:
    bucket = Bucket(Rate(per_second=10, burst=2), 0)
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(SECOND // 10 - 1)
    assert bucket.take(SECOND // 10)
    assert [bucket.take(10 * SECOND) for _ in range(3)] == [True, True, False]


def test_a_bucket_gives_several_at_once_or_none() -> None:
    bucket = Bucket(Rate(per_second=10, burst=5), 0)
    assert not bucket.take(0, 6)
    assert bucket.take(0, 4)
    assert not bucket.take(0, 2)
    assert bucket.take(SECOND // 10, 2)


async def test_an_account_has_one_allowance_over_all_its_connections(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(5)))
    agent, other = await exchange.agent(), await exchange.agent("other")
    await agent.open()  # takes one
    first = agent.socket
    assert await pings(agent, 2) == ["pong", "pong"]
    await agent.open()
    assert await pings(agent, 2) == ["pong", "rate_limited"]
    agent.socket = first
    assert await pings(agent, 1) == ["rate_limited"]
    await other.open()
    assert await pings(other, 4) == ["pong"] * 4


async def test_connecting_again_does_not_fill_the_allowance(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(2)))
    agent = await exchange.agent()
    assert [(await agent.open())["ev"] for _ in range(2)] == ["ready", "ready"]
    assert (await agent.open())["code"] == "rate_limited"


async def test_calls_over_http_come_out_of_the_same_allowance(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(2 * CALL_COST + 1)))
    agent = await exchange.agent()
    calls = [await exchange.http.get("/api/v1/account", headers=agent.headers) for _ in range(3)]
    assert [call.status_code for call in calls] == [200, 200, 429]
    assert calls[2].json()["error"]["code"] == "rate_limited"
    await agent.open()
    assert await pings(agent, 1) == ["rate_limited"]
    cancelled = await exchange.http.delete("/api/v1/requests", headers=agent.headers)
    assert cancelled.status_code == 200


async def test_a_proof_counts_for_more_than_other_calls(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(PROOF_COST + CALL_COST)))
    agent = await exchange.agent()
    own = f"accounts/{agent.account}/proof"
    calls = ("fills/1/proof", "fills/1/proof", own, "account/events?after=0", "account/events?after=0")
    answers = [await exchange.http.get(f"/api/v1/{call}", headers=agent.headers) for call in calls]
    assert [answer.status_code for answer in answers] == [404, 429, 429, 200, 429]


async def test_an_owners_accounts_share_one_allowance(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(owner=few(4)))
    owner = Keypair()
    agents = [await exchange.agent(name, owner=owner) for name in ("a", "b")]
    for agent in agents:
        await agent.open()
    assert await pings(agents[0], 3) == ["pong", "pong", "rate_limited"]
    assert await pings(agents[1], 1) == ["rate_limited"]


async def test_taking_risk_off_is_never_limited(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(2)))
    agent = await exchange.agent()
    await agent.open()
    assert await pings(agent, 2) == ["pong", "rate_limited"]
    for number, message in enumerate(
        (
            {"op": "cancel_all"},
            {"op": "cancel_after", "in_ms": 0},
            {"op": "quotes", "market": "BTC-PERP"},
        )
    ):
        assert (await agent.ask(id=f"c{number}", **message))["ev"] == "ack", message
    for number, message in enumerate(
        ({"op": "cancel_after", "in_ms": 60_000}, {"op": "quotes", **QUOTES}, {"op": "request", **ORDER})
    ):
        assert (await agent.ask(id=f"r{number}", **message))["code"] == "rate_limited", message


async def test_who_may_send_no_more_is_still_told_what_came_of_what_it_sent(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(5)))
    await exchange.maker()
    agent = await exchange.agent()
    await agent.open()
    await agent.send(op="request", id="filled", **ORDER)
    filled = await agent.until("closed", key="filled")
    assert (await pings(agent, 4))[-1] == "rate_limited"
    await agent.send(op="request", id="filled", **ORDER)
    again = await agent.until("closed", key="filled")
    assert (again["repeated"], again["request"], again["fills"]) == (True, filled["request"], filled["fills"])
    accept = {"op": "accept", "request": filled["request"], "quote": 1}
    assert (await agent.ask(id="accepted-before", **accept))["ev"] == "ack"
    assert (await agent.ask(id="new", op="request", **ORDER))["code"] == "rate_limited"
    assert (await agent.ask(id="n", **accept | {"request": 1}))["code"] == "rate_limited"


async def test_repeats_are_answered_up_to_what_no_honest_agent_needs(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(2), flood=few(5)))
    agent = await exchange.agent()
    await exchange.engine.ask(c.OpenRequest(agent.account, "m0", 1, 1, 10_000, 610_000, SECOND))
    await agent.open()
    assert await flooded(agent, {"op": "request", **ORDER}) == CloseCode.FLOODING


async def test_the_first_answer_to_a_request_is_free(new_exchange: Any) -> None:
    """Who is asked more often than it may speak can still answer; saying something else afterwards costs."""
    exchange = await new_exchange(limits=Limits(account=few(6)))
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    assert await pings(maker, 5) == ["pong"] * 4 + ["rate_limited"]
    await trader.open()
    await trader.send(op="request", id="r1", auto=False, ttl_ms=5_000, **ORDER)
    request = (await maker.until("rfq"))["request"]
    answer = {"op": "quote", "request": request, "ask": "60010.0", "size": "1"}
    assert (await maker.ask(id="q1", **answer))["ev"] == "ack"
    assert (await maker.ask(id="q2", **answer))["code"] == "rate_limited"


@pytest.mark.parametrize(
    "message", [{"op": "cancel_all"}, {"op": "ping"}, {"op": "nonsense"}], ids=lambda message: message["op"]
)
async def test_a_flood_is_hung_up_on_whatever_it_is_made_of(new_exchange: Any, message: Any) -> None:
    exchange = await new_exchange(limits=Limits(account=few(3), flood=few(10)))
    owner = Keypair()
    agents = [await exchange.agent(name, owner=owner) for name in ("a", "b")]
    for agent in agents:
        await agent.open()
    for agent in agents:
        assert await flooded(agent, message) == CloseCode.FLOODING


async def test_calls_are_limited_by_address_and_cancels_apart_from_them(new_exchange: Any) -> None:
    exchange = await new_exchange(limits=Limits(address=few(6)))
    agent = await exchange.agent()  # two calls
    answers = [await exchange.http.get(path) for path in ("/api/v1/markets", "/nothing") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 429, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    for number in range(8):
        answer = await exchange.operator({"type": "SetTier", "account": agent.account, "tier": number % 2})
        assert answer.status_code == 200
    cancels = [await exchange.http.delete("/api/v1/requests", headers=agent.headers) for _ in range(7)]
    assert [answer.status_code for answer in cancels] == [200] * 6 + [429]


def test_lag_is_high_from_the_second_late_ring_until_one_in_time() -> None:
    lag = Lag(50 * MILLISECOND)
    now = lag._due + EVERY
    lag.ring(now)

    def ring(late: int) -> bool:
        nonlocal now
        now += EVERY + late * MILLISECOND
        lag.ring(now)
        return lag.is_high(now)

    assert [ring(late) for late in (0, 60, 0, 60, 50)] == [False] * 5
    assert [ring(late) for late in (51, 51, 200, 0)] == [False, True, True, False]
    assert ring(60), "for a while one late ring is enough"
    assert not any(ring(0) for _ in range(WARY))
    assert not ring(60)


def test_a_ring_that_is_overdue_counts_before_it_comes() -> None:
    lag = Lag(50 * MILLISECOND)
    now = lag._due + 60 * MILLISECOND
    lag.ring(now)
    assert not lag.is_high(now + EVERY + 50 * MILLISECOND)
    assert lag.is_high(now + EVERY + 51 * MILLISECOND)


async def test_while_the_loop_lags_new_work_is_refused_and_cancels_pass(new_exchange: Any) -> None:
    exchange = await new_exchange(lag_max=-1)  # every ring is late
    owner = Keypair()
    while not exchange.server.edge.lag.is_high(0):
        await asyncio.sleep(0.01)
    refused = await exchange.http.post("/api/v1/auth/challenge", json={"owner": str(owner.pubkey())})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert refused.json()["error"]["retryable"]
    assert (await exchange.http.get("/health")).status_code == 200
    taken_back = await exchange.http.post("/api/v1/quant/orders/cancel", json={"client_id": "one"})
    assert (taken_back.status_code, taken_back.json()["error"]["code"]) == (401, "not_authenticated")
    # A call to register would be refused as well; the operator's is not.
    answer = await exchange.operator({"type": "RegisterAgent", "owner": str(owner.pubkey()), "name": "a"})
    account = answer.json()["events"][0]["account"]
    await exchange.engine.ask(c.BindSlot(account, 0, account - 14))
    await exchange.engine.ask(c.CreditDeposit(account, 10**12, "deposit"))
    await exchange.engine.ask(c.OpenRequest(account, "before", 1, 1, 10_000, 610_000, SECOND))
    late = exchange.signed_in(owner, account)
    await late.open()
    for op, fields in (("quotes", QUOTES), ("request", ORDER), ("quote", {"request": 1, "size": "1"})):
        assert (await late.ask(op=op, id=op, **fields))["code"] == "overloaded"
    await late.send(op="request", id="before", **ORDER)
    assert (await late.receive())["repeated"]
    for op, fields in (("quotes", {"market": "BTC-PERP"}), ("cancel_all", {}), ("ping", {})):
        assert (await late.ask(op=op, id=f"{op}-off", **fields))["ev"] in ("ack", "pong")
    assert (await exchange.http.delete("/api/v1/requests", headers=late.headers)).status_code == 200


@pytest.mark.parametrize("opcode", [0x89, 0x8A, 0x01], ids=["ping", "pong", "empty fragment"])
@pytest.mark.parametrize("known", [True, False])
async def test_frames_that_are_no_messages_are_counted_before_and_after_signing_in(
    exchange: Any, opcode: int, known: bool
) -> None:
    """Such a frame costs its sender six bytes. Fragments after the first are continuations."""
    agent = await exchange.agent()
    if known:
        await agent.open()
    else:
        agent.socket = await websockets.connect(exchange.server.websocket_url, close_timeout=0.5)
        exchange.sockets.append(agent.socket)
    first, more = bytes((opcode, 0x80, 0, 0, 0, 0)), bytes((opcode if opcode > 1 else 0, 0x80, 0, 0, 0, 0))
    raw = agent.socket.transport
    raw.write(first + more * (OTHER_FRAMES.burst - 2))
    if known:
        if opcode > 1:
            assert await pings(agent, 1) == ["pong"]
        raw.write(more * 100)
    else:
        raw.write(more * 100)
    async with asyncio.timeout(10):
        with suppress(websockets.ConnectionClosed):
            async for _ in agent.socket:
                pass
    assert agent.socket.close_code == CloseCode.FLOODING


async def test_a_ping_is_answered(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    await asyncio.wait_for(await agent.socket.ping(b"are you there"), 10)


async def test_no_more_connections_are_held_open_than_may_be(new_exchange: Any) -> None:
    exchange = await new_exchange(room=Room(http=3))
    assert (await exchange.http.get("/health")).status_code == 200  # holds one
    held = [await asyncio.open_connection("127.0.0.1", exchange.server.http_port) for _ in range(3)]
    await asyncio.sleep(0.2)
    gone = [reader.at_eof() or reader.exception() is not None for reader, _ in held]
    assert gone == [False, False, True]
    assert (await exchange.http.get("/health")).status_code == 200
    for _, writer in held:
        writer.close()


async def test_a_full_websocket_door_refuses(new_exchange: Any) -> None:
    exchange = await new_exchange(room=Room(sockets=1))
    first, second = await exchange.agent("a"), await exchange.agent("b")
    await first.open()
    with pytest.raises(websockets.InvalidHandshake):
        await second.open()
    assert await pings(first, 1) == ["pong"]
