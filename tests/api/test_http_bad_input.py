"""Malformed, oversized, hostile and stale input over HTTP: always a 4xx with a stable code, and never a change."""

import json
from typing import Any

import pytest

ORDER = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
DECIMALS = [
    "",
    " 1",
    "1 ",
    "-1",
    "+1",
    "1e3",
    "NaN",
    "Infinity",
    "1,5",
    "0x10",
    "١٢",
    "1" * 40,
    "1.0000000001",
    ".5",
    "5.",
    1,
    1.5,
    None,
    True,
    [],
    {},
    "\ud800",
]
KEYS = ["", " ", "a b", "ключ", "x" * 65, "a\n", "\x00", 1, None, [], "\ud800"]
OWNERS = ["", "x", "0OIl" * 11, "1" * 89, "🙂" * 32, 7, None, "1" * 33]


def changed(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**body, **fields}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


BODIES = [
    *[("/api/v1/requests", changed(ORDER, size=value)) for value in DECIMALS],
    *[("/api/v1/requests", changed(ORDER, limit=value)) for value in DECIMALS],
    *[("/api/v1/requests", changed(ORDER, id=value)) for value in KEYS],
    *[("/api/v1/requests", changed(ORDER, side=value)) for value in ("BUY", "", None, 1)],
    *[
        ("/api/v1/requests", changed(ORDER, ttl_ms=value))
        for value in (0, -1, 999, "1000", 1000.5, 1e400, None)
    ],
    *[("/api/v1/requests", changed(ORDER, auto=value)) for value in (True, False)],
    *[("/api/v1/requests", changed(ORDER, reduce_only=value)) for value in ("true", 1, None)],
    *[("/api/v1/requests", changed(ORDER, expires_after=value)) for value in (-1, 1 << 53, 1.5, "1")],
    *[("/api/v1/requests", changed(ORDER, market=value)) for value in ("", "x" * 33, None, 1)],
    *[("/api/v1/requests", without(ORDER, name)) for name in ORDER],
    *[("/api/v1/requests", value) for value in (None, [], "x", 1, {})],
    *[("/api/v1/withdrawals", {"amount": value, "key": "k"}) for value in DECIMALS],
    *[("/api/v1/withdrawals", {"amount": "1", "key": value}) for value in [*KEYS, "a/b", "a?b"]],
    *[
        ("/api/v1/withdrawals", {"amount": "1", "key": "k", "destination": value})
        for value in ("", "x", 1, "0" * 44)
    ],
    ("/api/v1/withdrawals", {"amount": "0", "key": "k"}),
    ("/api/v1/withdrawals", {"amount": "1", "key": "k", "extra": 1}),
    *[("/api/v1/auth/challenge", {"owner": value}) for value in OWNERS],
    *[
        ("/api/v1/agents", {"owner": value, "name": "a", "challenge": "c", "signature": "1" * 64})
        for value in OWNERS
    ],
    *[
        ("/api/v1/agents", {"owner": "1" * 32, "name": value, "challenge": "c", "signature": "1" * 64})
        for value in ("", "x" * 65, 1, None)
    ],
    ("/api/v1/agents", {"owner": "1" * 32, "name": "a", "challenge": "\nproof: ", "signature": "1" * 64}),
    ("/api/v1/agents", {"owner": "1" * 32, "name": "a", "challenge": "é\nproof: é", "signature": "1" * 64}),
    ("/api/v1/agents", {"owner": "1" * 32, "name": "a", "challenge": "c" * 1025, "signature": "1" * 64}),
]


def assert_refused(answer: Any, case: Any) -> None:
    assert 400 <= answer.status_code < 500, (case, answer.status_code, answer.text)
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "retryable"}, case
    assert len(answer.content) < 2_000, case


async def test_bodies_that_mean_nothing(exchange: Any) -> None:
    agent = await exchange.agent()
    before = exchange.recorded
    for path, body in BODIES:
        answer = await exchange.http.post(
            path, content=json.dumps(body), headers={**agent.headers, "Content-Type": "application/json"}
        )
        assert_refused(answer, (path, body))
    assert exchange.recorded == before


RAW = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"id":' * 9_000,
    b"NaN",
    b'"\xed\xa0\x80"',
    b"\x00",
    b"{}" * 9,
]


@pytest.mark.parametrize(
    "path", ["/api/v1/requests", "/api/v1/withdrawals", "/api/v1/agents", "/api/v1/operator/commands"]
)
async def test_bytes_that_are_no_json(exchange: Any, path: str) -> None:
    agent = await exchange.agent()
    token = (
        agent.headers["Authorization"]
        if "operator" not in path
        else "Bearer operator-token-of-the-tests-0123456789"
    )
    for raw in RAW:
        headers = {"Authorization": token, "Content-Type": "application/json"}
        assert_refused(await exchange.http.post(path, content=raw, headers=headers), raw[:20])


async def test_bodies_that_are_too_large(exchange: Any) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1_000

    for content in (b"x" * 65_537, chunks()):
        answer = await exchange.http.post("/api/v1/auth/challenge", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


PATHS = [
    ("GET", "/nothing", 404, "not_found"),
    ("GET", "/api/v1/markets/XYZ/quotes", 404, "market_unknown"),
    ("GET", "/api/v1/markets/BTC-PERP/quotes?depth=0", 422, "validation_failed"),
    ("GET", "/api/v1/markets/BTC-PERP/quotes?depth=1e9", 422, "validation_failed"),
    ("GET", f"/api/v1/markets/{'x' * 33}/quotes", 422, "validation_failed"),
    ("GET", "/api/v1/fills/0", 422, "validation_failed"),
    ("GET", "/api/v1/fills/-1", 422, "validation_failed"),
    ("GET", "/api/v1/fills/١", 422, "validation_failed"),
    ("GET", f"/api/v1/fills/{1 << 64}", 422, "validation_failed"),
    ("GET", "/api/v1/fills/7", 404, "fill_unknown"),
    ("GET", "/api/v1/batches/7", 404, "batch_unknown"),
    ("GET", "/api/v1/batches?limit=501", 422, "validation_failed"),
    ("GET", "/api/v1/account/events", 422, "validation_failed"),
    ("GET", "/api/v1/account/events?after=-1", 422, "validation_failed"),
    ("GET", "/api/v1/account/fills?before=0", 422, "validation_failed"),
    ("GET", "/api/v1/account/funding?before=0", 422, "validation_failed"),
    ("GET", "/api/v1/markets/X-PERP/funding", 404, "market_unknown"),
    ("GET", "/api/v1/markets/BTC-PERP/funding?limit=501", 422, "validation_failed"),
    ("GET", "/api/v1/markets/X-PERP/funding/predicted", 404, "market_unknown"),
    ("GET", "/api/v1/withdrawals/%00", 422, "validation_failed"),
    ("DELETE", "/api/v1/requests/1", 404, "request_unknown"),
    ("DELETE", "/api/v1/requests/x", 422, "validation_failed"),
    ("PUT", "/api/v1/requests", 405, "method_not_allowed"),
    ("POST", "/health", 405, "method_not_allowed"),
]


async def test_paths_and_parameters(exchange: Any) -> None:
    agent = await exchange.agent()
    for method, path, status, code in PATHS:
        answer = await exchange.http.request(method, path, headers=agent.headers)
        assert_refused(answer, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path


PRIVATE = [
    ("GET", "/api/v1/account"),
    ("GET", "/api/v1/account/fills"),
    ("GET", "/api/v1/account/events?after=0"),
    ("GET", "/api/v1/requests"),
    ("DELETE", "/api/v1/requests"),
    ("DELETE", "/api/v1/requests/1"),
    ("GET", "/api/v1/withdrawals/withdrawal-1-x"),
    ("GET", "/api/v1/account/funding"),
    ("GET", "/api/v1/operator/funding"),
    ("GET", "/api/v1/operator/state"),
    ("GET", "/api/v1/operator/accounts/unbound"),
    ("GET", "/api/v1/operator/settlement/cuts/1"),
    ("POST", "/api/v1/operator/commands"),
]


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer x", "Basic eDp5", "Bearer é", "bearer " + "y" * 5_000]
)
async def test_nothing_private_without_a_token(exchange: Any, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    for method, path in PRIVATE:
        answer = await exchange.http.request(method, path, headers=headers)
        assert answer.status_code in (401, 403), (path, header, answer.text)


async def test_an_agents_token_does_not_open_the_operators_door_nor_the_other_way(exchange: Any) -> None:
    agent = await exchange.agent()
    answer = await exchange.http.get("/api/v1/operator/state", headers=agent.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_only")
    operator = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    assert (await exchange.http.get("/api/v1/account", headers=operator)).status_code == 401


MARKET = [9, "X-PERP", "0.1", "0.001", 100, 10, 500, 10000, 1000, 1000, 60_000_000_000, ""]
COMMANDS = [
    {"type": "StartEpoch"},
    {"type": "OpenRequest"},
    {"type": "Nothing"},
    {},
    {"type": "CutSettlement"},
    {"type": "CutSettlement", "batch": "1"},
    {"type": "CutSettlement", "batch": 1.5},
    {"type": "CutSettlement", "batch": 2},
    {"type": "CutSettlement", "batch": 10**30},
    {"type": "CreditDeposit", "account": 16, "amount": -1, "key": "k"},
    {"type": "CreditDeposit", "account": 16, "amount": 1 << 62, "key": "k"},
    {"type": "CreditDeposit", "account": 999, "amount": 1, "key": "k"},
    {"type": "CreditDeposit", "account": 16, "amount": 1, "key": "k" * 257},
    {"type": "CreditDeposit", "account": 16, "amount": 1, "key": "\ud800"},
    {"type": "UpdateIndex", "market": 1, "price": 1, "confidence": 0, "published": 1, "source": ""},
    {"type": "SetMarketStatus", "market": 1, "status": 9},
    {"type": "SetMarketStatus", "market": 1, "status": 2},
    {"type": "SetMarketStatus", "market": 1, "status": 4, "why": "x"},
    {"type": "SetLimits", "market": 1, "position_cap": 0, "why": "x"},
    {"type": "SetLimits", "market": 1, "position_cap": 5},
    {"type": "SetLimits", "market": 77, "position_cap": 5, "why": "x"},
    {"type": "SetLimits", "market": 1, "margin": [[]], "why": "x"},
    {"type": "SetLimits", "market": 1, "alarm": [0, 60_000_000_000], "why": "x"},
    {"type": "DelistMarket", "market": 77, "force": True, "why": "x"},
    {"type": "HoldWithdrawals", "held": 1, "why": "x"},
    {"type": "BindSlot", "account": 16, "page": -2, "slot": 1},
    {"type": "FinishWithdrawal", "withdrawal": 5, "paid": True, "signature": ""},
    {"type": "AdvanceBatch", "batch": 5, "status": 2},
    {"type": "RegisterAgent", "owner": "x", "name": "a"},
    {"type": "SettleFunding", "market": 1, "hour": 0},
    {"type": "SettleFunding", "market": 1, "hour": -(1 << 62)},
    {"type": "SettleFunding", "market": 1, "hour": 1 << 61},
    {"type": "SettleFunding", "market": 77, "hour": 1},
    {"type": "SetInsuranceFloor", "floor": -1},
    {"type": "SetInsuranceFloor", "floor": 1 << 62},
    {"type": "SellInventory", "market": 77},
    {"type": "ReviewAccount", "account": 999},
    {"type": "ShareDebt", "account": 999, "why": "x"},
    {"type": "ShareDebt", "account": 16, "why": "x"},
    {"type": "ReviewAccount", "account": 3},
    *[
        {"type": "ListMarket", "why": "wanted", "market": [*MARKET[:place], value, *MARKET[place + 1 :]]}
        for place, value in (
            (0, 0),
            (1, ""),
            (2, "x"),
            (2, "NaN"),
            (3, "0"),
            (4, 7),
            (5, 0),
            (6, -1),
            (7, 10**7),
            (8, 0),
            (2, "1e99999999"),
        )
    ],
    *[
        {"type": "ListMarket", "why": "wanted", "market": [*MARKET, margin]}
        for margin in (
            7,
            [],
            [[]],
            [[[0, 50_000]]],
            [[[1, 100_000]]],
            [[[0, 100_000]], 2, 1],
            [[[0, 1 << 63]]],
        )
    ],
    *[
        {"type": "ListMarket", "why": "wanted", "market": [*MARKET, None, False, [], False, funding]}
        for funding in (
            [0, -1],
            [10**9, 0, 10**8],
            [0, 0, 0, 0, -1],
            [0, 0, 0, 0, 0, 10**6 + 1],
            [0, 0, 0, 0, 0, 0, 3],
        )
    ],
]


async def test_commands_that_the_operator_may_not_give(exchange: Any) -> None:
    await exchange.agent()
    before = exchange.recorded
    for command in COMMANDS:
        answer = await exchange.http.post(
            "/api/v1/operator/commands",
            content=json.dumps(command),
            headers={"Authorization": "Bearer operator-token-of-the-tests-0123456789"},
        )
        assert_refused(answer, command)
    assert exchange.recorded == before
    assert (
        await exchange.operator({"type": "ListMarket", "why": "wanted", "market": MARKET})
    ).status_code == 200
    tiered = [*MARKET, [[[0, 100_000], [10**12, 200_000]], 10**13, 10**14]]
    assert (
        await exchange.operator({"type": "ListMarket", "why": "wanted", "market": tiered})
    ).status_code == 200


async def test_no_text_that_cannot_be_read_gets_into_the_journal(exchange: Any) -> None:
    agent = await exchange.agent()
    reserved = (
        await exchange.operator(
            {"type": "ReserveWithdrawal", "account": agent.account, "amount": 1, "key": "k"}
        )
    ).json()["events"][0]["withdrawal"]
    await exchange.operator({"type": "CutSettlement", "batch": 1})
    before = exchange.recorded
    for text in ("a\0b", "a\nb", "\x1b[2J", "a\u2028b", "a\u202eb", "\x7f"):
        commands = (
            {"type": "CreditDeposit", "account": agent.account, "amount": 1, "key": text},
            {"type": "ReserveWithdrawal", "account": agent.account, "amount": 1, "key": text},
            {"type": "FinishWithdrawal", "withdrawal": reserved, "paid": True, "signature": text},
            {"type": "AdvanceBatch", "batch": 1, "status": 2, "signatures": [text]},
            {"type": "RegisterAgent", "owner": str(agent.keypair.pubkey()), "name": text},
            {"type": "RegisterAgent", "owner": text, "name": "a"},
            {"type": "ListMarket", "why": "wanted", "market": [*MARKET[:-1], text]},
        )
        for command in commands:
            answer = await exchange.operator(command)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_value"), command
    assert exchange.recorded == before


async def test_a_surprise_is_a_500_with_a_code(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.views.market", None)
    answer = await exchange.http.get("/api/v1/markets")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
