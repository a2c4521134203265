"""Every message with fields that mean nothing: an error with a code, and never a change."""

import json
from typing import Any

import pytest

DECIMALS = [
    "",
    " 1",
    "-1",
    "+1",
    "1e3",
    "NaN",
    "Infinity",
    "1,5",
    "0x10",
    "١٢",
    "1" * 26,
    "1.0000000001",
    ".5",
    "5.",
    "1\n",
    1,
    1.5,
    None,
    True,
    [],
]
NUMBERS = [-1, 1.5, "1", None, 1 << 62, 10**40, True, []]
KEYS = ["", " ", "a b", "ключ", "x" * 65, "a\n", "\x00", 1, None]
SYMBOLS = ["", "x" * 33, None, 1]
LIVES = [0, -1, 60_001, "1", 1.5, None]

VALID: dict[str, dict[str, Any]] = {
    "request": {"market": "BTC-PERP", "side": "buy", "size": "1", "limit": "60000.0", "ttl_ms": 250},
    "accept": {"request": 1, "quote": 1},
    "cancel": {"request": 1},
    "cancel_after": {"in_ms": 0},
    "subscribe": {"markets": ["BTC-PERP"]},
    "quote": {"request": 1, "size": "1", "bid": "1.0", "ask": "2.0", "min_fill": "1", "life_ms": 1},
    "withdraw": {"request": 1},
    "pass": {"request": 1},
    "quotes": {"market": "BTC-PERP", "bids": [["1.0", "1"]], "asks": [["2.0", "1"]], "life_ms": 1},
    "protect": {"market": "BTC-PERP", "window_ms": 1, "size": "1", "net": "1", "freeze_ms": 1},
}
WRONG: dict[str, list[Any]] = {
    "market": SYMBOLS,
    "side": ["BUY", "", None, 1],
    "size": DECIMALS,
    "limit": DECIMALS,
    "net": DECIMALS,
    "bid": [value for value in DECIMALS if value is not None],
    "ask": [value for value in DECIMALS if value is not None],
    "min_fill": [value for value in DECIMALS if value is not None],
    "ttl_ms": [0, 999, "250", 250.5, None],
    "request": NUMBERS,
    "quote": NUMBERS,
    "in_ms": [-1, 3_600_001, "1", 1.5, None],
    "markets": [None, "BTC-PERP", [1], [""], ["x" * 33], ["BTC-PERP"] * 65],
    "life_ms": LIVES,
    "window_ms": LIVES,
    "freeze_ms": LIVES,
    "bids": [None, "x", [["1.0"]], [["1.0", "1", "1"]], [[1, 1]], [["1.0", "-1"]], [["1.0", "1"]] * 21],
    "asks": [None, {}, [[]], [["x", "1"]], [[["1.0"], "1"]], [["NaN", "1"]]],
}


async def refusal(agent: Any, payload: str | bytes) -> str:
    await agent.socket.send(payload, text=True)
    while True:
        event = await agent.receive()
        if event["ev"] == "error":
            assert set(event) == {"ev", "id", "code", "message", "retryable"}
            return str(event["code"])
        assert event["ev"] in ("pong", "heartbeat"), (payload, event)


@pytest.mark.parametrize("op", VALID)
async def test_fields_that_mean_nothing(exchange: Any, op: str) -> None:
    agent = await exchange.agent()
    await agent.open()
    before = exchange.recorded
    cases = [{**VALID[op], name: value} for name in VALID[op] for value in WRONG[name]]
    cases += [
        {name: value for name, value in VALID[op].items() if name != missing} for missing in _required(op)
    ]
    cases += [{**VALID[op], "unknown": 1}]
    for number, case in enumerate(cases):
        code = await refusal(agent, json.dumps({"op": op, "id": str(number), **case}))
        assert code in ("bad_message", "bad_value"), case
        await agent.ask(
            op="ping", id="reset"
        )  # what follows is read: and nonsense in a row would end the connection
    for key in KEYS:
        code = await refusal(agent, json.dumps({"op": op, "id": key, **VALID[op]}))
        assert code == "bad_message", key
        await agent.ask(op="ping", id="reset")
    assert exchange.recorded == before
    assert not exchange.engine.state.book.requests


def _required(op: str) -> list[str]:
    optional = {"ttl_ms", "min_fill", "bid", "ask", "life_ms", "bids", "asks", "net", "freeze_ms"}
    optional |= {"request"} if op == "cancel" else set()
    return [name for name in VALID[op] if name not in optional]


RAW = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"{}",
    b'{"op":1}',
    b'{"op":"auth"}',
    b"[" * 30_000,
    b'{"op":"ping","id":' + b"[" * 30_000,
    b'{"op":"ping","id":"1"}x',
    b'{"op":"ping","id":"\\ud800"}',
    b'{"op":"ping","id":"\xff"}',
    b"\xff\xfe",
    b"\x00",
]


async def test_frames_that_are_no_messages(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    for raw in RAW:
        assert await refusal(agent, raw) == "bad_message", raw[:40]
        await agent.ask(op="ping", id="reset")


CASES = [
    ({"op": "request", "market": "NO-PERP", "side": "buy", "size": "1", "limit": "1.0"}, "market_unknown"),
    ({"op": "request", "market": "BTC-PERP", "side": "buy", "size": "0.00001", "limit": "1.0"}, "bad_value"),
    ({"op": "request", "market": "BTC-PERP", "side": "buy", "size": "1", "limit": "1.01"}, "bad_value"),
    ({"op": "request", "market": "BTC-PERP", "side": "buy", "size": "0", "limit": "1.0"}, "bad_value"),
    ({"op": "request", "market": "BTC-PERP", "side": "buy", "size": "1", "limit": "0"}, "bad_value"),
    ({"op": "request", "market": "BTC-PERP", "side": "buy", "size": "9" * 15, "limit": "1.0"}, "bad_value"),
    (
        {"op": "request", "market": "BTC-PERP", "side": "buy", "size": "400", "limit": "60000.0"},
        "insufficient_margin",
    ),
    (
        {"op": "request", "market": "BTC-PERP", "side": "buy", "size": "501", "limit": "60000.0"},
        "position_cap",
    ),
    (
        {
            "op": "request",
            "market": "BTC-PERP",
            "side": "buy",
            "size": "1",
            "limit": "1.0",
            "reduce_only": True,
        },
        "reduce_only_would_increase",
    ),
    (
        {
            "op": "request",
            "market": "BTC-PERP",
            "side": "buy",
            "size": "1",
            "limit": "1.0",
            "expires_after": 1,
        },
        "expired_command",
    ),
    ({"op": "accept", "request": 1, "quote": 1}, "request_unknown"),
    ({"op": "cancel", "request": 1}, "request_unknown"),
    ({"op": "cancel", "key": "never"}, "request_unknown"),
    ({"op": "cancel"}, "request_unknown"),
    ({"op": "subscribe", "markets": ["NO-PERP"]}, "market_unknown"),
    ({"op": "quote", "request": 1, "size": "1", "bid": "1.0"}, "request_unknown"),
    ({"op": "withdraw", "request": 1}, "quote_unknown"),
    ({"op": "pass", "request": 1}, "request_unknown"),
    ({"op": "quotes", "market": "BTC-PERP", "bids": [["2.0", "1"]], "asks": [["1.0", "1"]]}, "bad_value"),
    ({"op": "quotes", "market": "BTC-PERP", "bids": [["0", "1"]]}, "bad_value"),
    ({"op": "quotes", "market": "BTC-PERP", "bids": [["1.0", "0"]]}, "bad_value"),
    ({"op": "quotes", "market": "BTC-PERP", "bids": [["1.0", "1"]], "expires_after": 1}, "expired_command"),
    ({"op": "protect", "market": "NO-PERP", "window_ms": 1, "size": "1"}, "market_unknown"),
]


async def test_refusals_by_the_rules_keep_their_code_and_id(exchange: Any) -> None:
    agent = await exchange.agent(deposit=1_000_000_000)
    await agent.open()
    for number, (message, code) in enumerate(CASES):
        answer = await agent.ask(id=str(number), **message)
        assert answer.get("code") == code, (message, answer)


async def test_a_quote_without_a_price_or_at_zero_is_no_quote(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    await trader.send(
        op="request", id="r", market="BTC-PERP", side="buy", size="1", limit="60000.0", ttl_ms=5000
    )
    number = (await maker.until("rfq"))["request"]
    for fields in ({}, {"bid": "0"}, {"bid": "2.0", "ask": "1.0"}, {"ask": "1.0", "min_fill": "2"}):
        answer = await maker.ask(op="quote", id="q", request=number, size="1", **fields)
        assert answer["code"] == "bad_value", fields
    assert (await trader.ask(op="quote", id="q", request=number, size="1", bid="1.0"))["code"] == "not_asked"
