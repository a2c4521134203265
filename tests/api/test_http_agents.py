"""What an agent does over HTTP: register, look, trade, withdraw."""

import asyncio
import re
import time
from typing import Any

import jwt
import pytest
from solders.keypair import Keypair

from api.bucket import Rate
from api.sessions import CHALLENGE_LIFE, SESSION_LIFE, Sessions
from cli import probes
from cli.figures import NotReadable, Reader
from cli.processes import StackFailed
from core.events import TierSet
from core.quantities import SECOND
from matcher.clock import SteadyClock, passed
from matcher.room import FREE_MIN

ORDER = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}


async def test_the_same_owner_and_name_is_the_same_account(exchange: Any) -> None:
    owner = Keypair()
    first = await exchange.agent("a", owner=owner)
    again = await exchange.agent("a", owner=owner)
    other = await exchange.agent("b", owner=owner)
    assert first.account == again.account != other.account


async def test_a_challenge_is_good_once_for_its_owner_and_its_text(exchange: Any) -> None:
    owner, thief = Keypair(), Keypair()

    async def register(owner: Keypair, text: str, signer: Keypair) -> str:
        signature = str(signer.sign_message(text.encode()))
        body = {"owner": str(owner.pubkey()), "name": "a", "challenge": text, "signature": signature}
        answer = await exchange.http.post("/api/v1/agents", json=body)
        return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])

    body = {"owner": str(owner.pubkey())}
    text = (await exchange.http.post("/api/v1/auth/challenge", json=body)).json()["challenge"]
    assert await register(owner, text, thief) == "signature_invalid"
    assert await register(thief, text, thief) == "challenge_invalid"
    assert await register(owner, text.replace("expires: ", "expires: 9"), owner) == "challenge_invalid"
    assert await register(owner, "I made this up", owner) == "challenge_invalid"
    assert await register(owner, text, owner) == "ok"
    assert await register(owner, text, owner) == "challenge_invalid"


async def test_new_agents_are_limited_and_known_ones_are_not(new_exchange: Any) -> None:
    exchange = await new_exchange(registrations=Rate(per_second=1, burst=1))
    owner = Keypair()
    first = await exchange.agent("a", owner=owner)
    assert (await exchange.agent("a", owner=owner)).account == first.account
    with pytest.raises(AssertionError, match="rate_limited"):
        await exchange.agent("b", owner=owner)


def test_challenges_and_sessions_expire() -> None:
    now = time.time_ns()
    sessions = Sessions(b"x" * 32, {"operator": "o" * 32}, lambda: now)
    owner = Keypair()
    key = str(owner.pubkey())
    challenge = sessions.challenge(key, "escrow")
    token, expires = sessions.issue(16, 3)
    assert (challenge.expires, expires) == (now // SECOND + CHALLENGE_LIFE, now // SECOND + SESSION_LIFE)
    assert sessions.verify(token)[:2] == (16, 3)
    now += SESSION_LIFE * SECOND
    with pytest.raises(Exception, match="session_expired"):
        sessions.verify(token)
    with pytest.raises(Exception, match="challenge_invalid"):
        sessions.redeem(key, challenge.text, str(owner.sign_message(challenge.text.encode())))


def test_tokens_of_other_makers_are_refused() -> None:
    sessions = Sessions(b"x" * 32, {"operator": "o" * 32}, time.time_ns)
    claims = {"sub": "16", "gen": 0, "aud": "agents", "exp": time.time() + 60}
    forged = (
        jwt.encode(claims, b"y" * 32, algorithm="HS256"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode({**claims, "aud": "others"}, sessions._token_key, algorithm="HS256"),
        jwt.encode({"sub": "16", "gen": 0, "aud": "agents"}, sessions._token_key, algorithm="HS256"),
        jwt.encode(
            {"sub": "16", "aud": "agents", "exp": time.time() + 60}, sessions._token_key, algorithm="HS256"
        ),
        "",
        "a.b.c",
        "é",
    )
    for token in forged:
        with pytest.raises(Exception, match="not_authenticated"):
            sessions.verify(token)


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sessions(b"short", {"operator": "o" * 32}, time.time_ns)


async def test_a_request_waits_for_its_answer_and_repeats_it(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader")
    first = await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    assert first.status_code == 200
    answer = first.json()
    assert (answer["outcome"], answer["filled"], answer["fee"], answer["repeated"]) == (
        "filled",
        "0.5000",
        "15.002500",
        False,
    )
    again = (await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)).json()
    assert again == {**answer, "repeated": True}
    conflict = await exchange.http.post(
        "/api/v1/requests", json={**ORDER, "size": "0.6"}, headers=trader.headers
    )
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "key_conflict")


async def test_account_positions_and_fills(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    await maker.ask(op="cancel_all", id="c")
    exchange.index(1, 610_000)
    account = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    assert account["balance"] == "999984.997500"
    assert account["positions"] == [
        {
            "market": "BTC-PERP",
            "size": "0.5000",
            "cost": "30005.000000",
            "mark": "61000.0",
            "unrealized": "495.000000",
            "requirement": "610.000000",
            "maintenance": "305.000000",
            "leverage": "0.0305",
            "liquidation_price": None,
            "bankruptcy_price": None,
        }
    ]
    assert account["equity"] == "1000479.997500"
    assert (account["requirement"], account["maintenance"]) == ("610.000000", "305.000000")
    assert account["leverage"] == "0.0305"
    assert account["escrow"] == {"page": 0, "slot": trader.account - 14}
    fills = (await exchange.http.get("/api/v1/account/fills", headers=maker.headers)).json()["fills"]
    assert [(fill["role"], fill["side"], fill["status"], fill["batch"]) for fill in fills] == [
        ("maker", "sell", "matched", None)
    ]
    events = (await exchange.http.get("/api/v1/account/events?after=3", headers=trader.headers)).json()
    assert [event["ev"] for event in events["events"]] == ["fill", "closed"]
    assert events["head"] == account["head"] == 5


async def test_the_status_of_a_fill_is_public_until_it_is_final(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader")
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)

    async def status() -> tuple[str, int | None]:
        fill = (await exchange.http.get("/api/v1/fills/1")).json()
        return fill["status"], fill["batch"]

    assert await status() == ("matched", None)
    await exchange.operator({"type": "CutSettlement", "batch": 1})
    assert await status() == ("batched", 1)
    for number, name in ((2, "submitted"), (3, "confirmed"), (4, "final")):
        await exchange.operator({"type": "AdvanceBatch", "batch": 1, "status": number, "signatures": ["s"]})
        assert await status() == (name, 1)
    await exchange.operator({"type": "CutSettlement", "batch": 2})
    assert await status() == ("final", 1)  # now from the read side: it left the last cut
    batch = (await exchange.http.get("/api/v1/batches/1")).json()
    assert (batch["status"], batch["signatures"]) == ("final", [])  # of what landed, and nothing was sent
    batches = (await exchange.http.get("/api/v1/batches")).json()["batches"]
    assert [batch["batch"] for batch in batches] == [2, 1]


async def test_open_requests_are_listed_and_cancelled(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    posting = [
        asyncio.create_task(
            exchange.http.post(
                "/api/v1/requests", json={**ORDER, "id": id, "ttl_ms": 5000}, headers=trader.headers
            )
        )
        for id in ("a", "b")
    ]
    await maker.until("rfq")
    await maker.until("rfq")
    listed = (await exchange.http.get("/api/v1/requests", headers=trader.headers)).json()["requests"]
    assert {request["id"] for request in listed} == {"a", "b"}
    number = listed[0]["request"]
    assert (
        await exchange.http.delete(f"/api/v1/requests/{number}", headers=maker.headers)
    ).status_code == 404
    first = await exchange.http.delete(f"/api/v1/requests/{number}", headers=trader.headers)
    assert first.json() == {"cancelled": [number]}
    assert (await exchange.http.delete(f"/api/v1/requests/{number}", headers=trader.headers)).json() == {
        "cancelled": []
    }
    rest = await exchange.http.delete("/api/v1/requests", headers=trader.headers)
    assert rest.json() == {"cancelled": [listed[1]["request"]]}
    assert [(await task).json()["outcome"] for task in posting] == ["cancelled", "cancelled"]


async def test_a_machine_that_its_host_suspended_is_not_ready(new_exchange: Any) -> None:
    lost = [0]
    exchange = await new_exchange(clock=SteadyClock(steady=lambda: passed() - lost[0]))
    assert (await exchange.http.get("/ready")).json()["status"] == "ready"
    lost[0] = 3_600 * SECOND
    for _ in range(2):
        answer = await exchange.http.get("/ready")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "clock_stepped")
    (line,) = re.findall(
        r"^perpdex_clock_ahead_seconds (.*)$", (await exchange.http.get("/metrics")).text, re.M
    )
    assert round(float(line)) == 3_600
    lost[0] = 0
    assert (await exchange.http.get("/ready")).json()["clock_ahead_ms"] < 10_000


async def test_health_readiness_metrics_and_status(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader")
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    health = (await exchange.http.get("/health")).json()
    assert health["status"] == "ok"
    assert health["disk_free_bytes"] > health["disk_floor_bytes"] == FREE_MIN
    ready = (await exchange.http.get("/ready")).json()
    assert ready["seq"] >= ready["projected"] > 0
    metrics = (await exchange.http.get("/metrics")).text
    assert "perpdex_fills_total 1.0" in metrics
    assert "perpdex_disk_short 0.0" in metrics
    assert 'perpdex_requests_closed_total{outcome="filled"} 1.0' in metrics
    assert 'perpdex_commit_seconds_bucket{le="+Inf"} 1.0' in metrics
    assert "perpdex_commit_seconds_count 1.0" in metrics
    status = (await exchange.http.get("/api/v1/status")).json()
    exchange.ledger.foreign = [TierSet(1, trader.account, 1)] * 100
    refused = await exchange.http.get("/ready")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_ahead")
    with (
        Reader(exchange.server.http_url) as screens,
        pytest.raises(NotReadable, match=r"/ready: .*ledger_ahead"),
    ):
        await asyncio.to_thread(screens.projected)
    with pytest.raises(StackFailed, match=r"The API is not ready \(ledger_ahead\): .* made anew"):
        await asyncio.to_thread(probes.ready, exchange.server.http_url)
    assert (status["fills"], status["agents"], status["conserved"], status["positions_zero_sum"]) == (
        1,
        2,
        True,
        True,
    )
    assert status["websocket"] == exchange.server.websocket_url


async def test_the_read_sides_absence_is_an_error_with_a_code(exchange: Any) -> None:
    from api.streams import HistoryUnavailable

    class Down:
        def __getattr__(self, name: str) -> Any:
            async def read(*_: object) -> None:
                raise HistoryUnavailable

            return read

    agent = await exchange.agent()
    object.__setattr__(exchange.server.edge, "reads", Down())
    for path in (
        "/api/v1/account/fills",
        "/api/v1/fills/9",
        "/api/v1/batches",
        "/api/v1/batches/1",
        "/ready",
    ):
        answer = await exchange.http.get(path, headers=agent.headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "history_unavailable"), path
        assert answer.json()["error"]["retryable"]
