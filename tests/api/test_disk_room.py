"""A disk that is nearly full, at both doors: risk can be taken off, not on, and whoever watches sees it."""

from typing import Any

from matcher.room import FREE_MIN, Room

ORDER = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
BACK = {"market": "BTC-PERP", "side": "sell", "size": "0.5", "limit": "59990.0", "reduce_only": True}


async def test_below_the_floor_risk_is_taken_off_only_and_it_shows(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await trader.open()

    async def post(**body: Any) -> Any:
        return await exchange.http.post("/api/v1/requests", json=body, headers=trader.headers)

    assert (await post(**ORDER)).json()["outcome"] == "filled"
    exchange.engine.room = Room(exchange.journal, FREE_MIN, lambda _: FREE_MIN - 1)
    refused = await post(**{**ORDER, "id": "r2"})
    assert refused.status_code == 503
    assert (refused.json()["error"]["code"], refused.json()["error"]["retryable"]) == ("no_room", True)
    answer = await trader.ask(op="request", ttl_ms=1_000, **{**ORDER, "id": "r3"})
    assert (answer["code"], answer["retryable"]) == ("no_room", True)
    health = (await exchange.http.get("/health")).json()
    assert health == {"status": "no_room", "disk_free_bytes": FREE_MIN - 1, "disk_floor_bytes": FREE_MIN}
    assert "perpdex_disk_short 1.0" in (await exchange.http.get("/metrics")).text

    assert (await post(id="r1", **{name: ORDER[name] for name in ORDER if name != "id"})).json()["repeated"]
    assert (await maker.ask(op="cancel_all", id="c"))["ev"] == "ack"
    quotes = {"market": "BTC-PERP", "bids": [["59990.0", "1"]], "asks": [["60010.0", "1"]]}
    assert (await maker.ask(op="quotes", id="q", **quotes))["ev"] == "ack"
    back = await post(id="r4", **BACK)
    assert back.json()["outcome"] == "filled"
    cancelled = await exchange.http.delete("/api/v1/requests", headers=trader.headers)
    assert cancelled.status_code == 200

    exchange.engine.room = Room(exchange.journal, FREE_MIN, lambda _: FREE_MIN)
    assert (await post(**{**ORDER, "id": "r2"})).json()["outcome"] == "filled"
    assert (await exchange.http.get("/health")).json()["status"] == "ok"
