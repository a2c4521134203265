"""What anyone may read over HTTP."""

import asyncio
import re
import threading
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from matcher import commands as c
from matcher.segments import sync

ORDER = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
MINT = str(Pubkey(bytes([4] * 32)))


async def test_markets_quotes_makers_and_escrow(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    markets = (await exchange.http.get("/api/v1/markets")).json()
    assert [market["symbol"] for market in markets["markets"]] == ["BTC-PERP", "ETH-PERP", "SOL-PERP"]
    assert markets["markets"][0]["index"] == "60000.0"
    assert markets["ttl_ms"] == [250, 1000, 5000]
    quotes = (await exchange.http.get("/api/v1/markets/BTC-PERP/quotes")).json()
    assert quotes["asks"] == [{"price": "60010.0", "size": "100.0000"}]
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    made = (await exchange.http.get("/api/v1/makers")).json()["makers"]
    assert [(maker["fills"], maker["volume"], maker["markout_ppm"]) for maker in made] == [
        (1, "30005.000000", None)
    ]
    assert (await exchange.http.get("/api/v1/escrow")).json()["mint"] == MINT


async def test_the_documentation_needs_nothing_from_elsewhere(exchange: Any) -> None:
    page = await exchange.http.get("/docs")
    assert page.status_code == 200
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) > 2
    assert [part for part in parts if not re.match(r"/(?!/)", part)] == []
    for part in parts:
        assert (await exchange.http.get(part)).status_code == 200, part
    assert "'/openapi.json'" in page.text


async def test_makers_come_in_pages(exchange: Any) -> None:
    makers = [await exchange.maker(name, size="0.2") for name in ("a", "b", "c")]
    trader = await exchange.agent("trader")
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)

    async def page(**query: int) -> list[int]:
        answer = (await exchange.http.get("/api/v1/makers", params=query)).json()
        return [maker["account"] for maker in answer["makers"]]

    everyone = await page()
    assert sorted(everyone) == [maker.account for maker in makers]
    assert [await page(offset=offset, limit=2) for offset in (0, 2, 3)] == [everyone[:2], everyone[2:], []]


@pytest.mark.parametrize("path", ["/api/v1/markets/BTC-PERP/quotes", "/api/v1/makers"])
async def test_what_a_crash_could_take_back_waits_for_the_disk(
    exchange: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await exchange.maker()
    released = threading.Event()

    def held(descriptor: int) -> None:
        released.wait()
        sync(descriptor)

    monkeypatch.setattr("matcher.journal.sync", held)
    try:
        exchange.engine.submit(c.RegisterAgent(str(Keypair().pubkey()), "x"), None)
        asking = asyncio.create_task(exchange.http.get(path))
        while not exchange.server.edge.hub._synced and not asking.done():
            await asyncio.sleep(0.001)
        assert not asking.done()
    finally:
        released.set()
    assert (await asking).status_code == 200
