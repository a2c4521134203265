"""How far prices are believed, as anyone sees it: in the status, in a market, in the metrics and through the client."""

import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from core.quantities import SECOND, Nanos, Ppm
from core.validity import Validity
from matcher.commands import SetInsuranceFloor
from oracles.price import Price
from oracles.route import AGREED, LIVE_AGES, Limits, Route
from perpdex_sdk.rest import Rest

BTC = "BTC-PERP"
UNFOLLOWED = [
    {"source": "engine", "market": symbol, "code": "not_followed"} for symbol in ("ETH-PERP", "SOL-PERP")
]
"""The source has no prices of these."""


class Said:
    """A source of three publishers that gives what a test says; one of them is a witness."""

    label = "said"

    def __init__(self) -> None:
        self.troubles: dict[tuple[str, str], str] = {}
        self.prices: list[Price] = []

    def routes(self) -> tuple[Route, ...]:
        sources = tuple(
            Limits(name, name, LIVE_AGES, Ppm(5_000), witness=name == "perp")
            for name in ("one", "two", "perp")
        )
        return (Route(BTC, sources, AGREED),)

    def due(self, now: Nanos) -> Iterable[Price]:
        said, self.prices = self.prices, []
        return said

    async def run(self) -> None:
        return

    def say(self, at: int, **dollars: int) -> None:
        self.prices += [Price(BTC, 10 * value, -1, 5, Nanos(at), name) for name, value in dollars.items()]


@pytest.fixture
async def said(new_exchange: Any) -> Any:
    source = Said()
    exchange = await new_exchange(source=source)

    def say(after_s: int = 0, **dollars: int) -> None:
        now = time.time_ns()
        source.say(now + after_s * SECOND, **dollars)
        exchange.server.edge.prices.step(Nanos(now))

    exchange.said, exchange.say = source, say
    return exchange


async def test_an_index_that_the_engine_does_not_take_is_a_trouble_that_everybody_sees(said: Any) -> None:
    """Such as less than a tick, however many agree on it: the market's last index grows old, and with it everything stops."""
    now = time.time_ns()
    said.said.prices += [Price(BTC, 1, -12, 0, Nanos(now), name) for name in ("one", "two")]
    said.say()
    trouble = {"source": "engine", "market": BTC, "code": "bad_value"}
    assert (await said.http.get("/api/v1/status")).json()["prices"]["troubles"] == [trouble, *UNFOLLOWED]
    metrics = (await said.http.get("/metrics")).text.splitlines()
    assert f'perpdex_index_refused_total{{code="bad_value",market="{BTC}"}} 1.0' in metrics
    assert f'perpdex_price_trouble{{code="bad_value",market="{BTC}",source="engine"}} 1.0' in metrics
    said.say(1, one=60_000, two=60_000)
    await said.engine.ask(SetInsuranceFloor(1))  # an index that is taken is told of once it is on disk
    assert (await said.http.get("/api/v1/status")).json()["prices"]["troubles"] == UNFOLLOWED


async def market_of(exchange: Any) -> dict[str, Any]:
    return dict((await exchange.http.get(f"/api/v1/markets/{BTC}")).json())


async def test_the_status_says_how_far_prices_are_believed_and_why(said: Any) -> None:
    said.say(one=60_000, two=70_000)
    said.said.troubles["perp", ""] = "timeout"
    said.said.troubles["two", BTC] = "out_of_range"
    prices = (await said.http.get("/api/v1/status")).json()["prices"]
    btc, eth = prices["markets"][:2]
    assert (btc["market"], btc["validity"], btc["allows"]) == (BTC, "disputed", [])
    assert {"source": "one", "fault": "disagrees"} in btc["reasons"]
    assert [(one["source"], one["price"], one["validity"], one["fault"]) for one in btc["sources"]] == [
        ("one", "60000.0", "valid", None),
        ("two", "70000.0", "valid", None),
        ("perp", None, "unavailable", "missing"),
    ]
    assert [one["witness"] for one in btc["sources"]] == [False, False, True]
    assert btc["sources"][0]["confidence"] == "0.5"
    assert (eth["market"], eth["validity"], eth["judged"], eth["sources"]) == ("ETH-PERP", "valid", None, [])
    assert prices["troubles"] == [
        *UNFOLLOWED,
        {"source": "perp", "market": None, "code": "timeout"},
        {"source": "two", "market": BTC, "code": "out_of_range"},
    ]
    assert prices["source"] == "said"


async def test_a_market_shows_index_mark_and_its_views(said: Any) -> None:
    said.say(one=60_000, two=60_010, perp=60_400)
    market = await market_of(said)
    assert (market["index"], market["mark"], market["mark_inputs"]["quotes"]) == ("60010.0", "60010.0", None)
    makers = [await said.maker(name, bid="60090.0", ask="60110.0") for name in ("one", "other")]
    trader = await said.agent("trader")
    order = {"id": "r1", "market": BTC, "side": "buy", "size": "0.5", "limit": "60110.0"}
    assert (await said.http.post("/api/v1/requests", json=order, headers=trader.headers)).status_code == 200
    said.say(one=60_000, two=60_010, perp=60_400)
    market = await market_of(said)
    inputs = market["mark_inputs"]
    assert (inputs["quotes"], inputs["outside"]) == ("60110.0", "60400.0")
    # They are what it goes to, and it comes there by 6 USD per second.
    mark = Decimal(market["mark"])
    assert Decimal("60000.0") < mark <= Decimal(inputs["quotes"])
    assert (market["validity"], market["allows"]) == (
        "valid",
        ["fill", "margin", "liquidate", "fund", "settle"],
    )
    assert (market["open_interest"], market["open_interest_value"]) == ("0.5000", f"{mark / 2:.6f}")
    assert (market["position_cap"], market["open_interest_cap"]) == ("500.0000", "10000.0000")
    for maker in makers:
        await maker.socket.close()


async def test_a_price_that_nobody_believes_is_not_shown_as_the_index_and_stops_trading(said: Any) -> None:
    said.say(one=60_000, two=60_010)
    said.say(after_s=1, one=60_000, two=90_000)
    market = await market_of(said)
    assert (market["index"], market["mark"], market["validity"]) == ("60000.0", "60000.0", "disputed")
    trader = await said.agent("trader")
    order = {"id": "r1", "market": BTC, "side": "buy", "size": "0.5", "limit": "60110.0"}
    refused = await said.http.post("/api/v1/requests", json=order, headers=trader.headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "index_unavailable")
    assert "BTC-PERP is disputed" in refused.json()["error"]["message"]
    assert refused.json()["error"]["retryable"]


async def test_the_market_list_and_the_single_market_agree_and_unknown_ones_are_refused(
    exchange: Any,
) -> None:
    listed = (await exchange.http.get("/api/v1/markets")).json()["markets"][0]
    assert await market_of(exchange) == listed
    unknown = await exchange.http.get("/api/v1/markets/X-PERP")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "market_unknown")


async def test_metrics_tell_validities_prices_and_troubles(said: Any) -> None:
    said.say(one=60_000, two=70_000)
    said.say(after_s=-5, one=60_000)
    said.said.troubles["perp", ""] = "timeout"
    lines = (await said.http.get("/metrics")).text.splitlines()
    for line in (
        f'perpdex_index_validity{{market="{BTC}"}} {Validity.DISPUTED.rank}.0',
        f'perpdex_index_validity{{market="ETH-PERP"}} {Validity.VALID.rank}.0',
        'perpdex_prices_total{outcome="newer",source="one"} 1.0',
        'perpdex_prices_total{outcome="went_back",source="one"} 1.0',
        'perpdex_price_trouble{code="timeout",market="",source="perp"} 1.0',
    ):
        assert line in lines


async def test_the_client_reads_prices_and_markets(said: Any) -> None:
    said.say(one=60_000, two=60_010, perp=60_400)
    rest = Rest(said.server.http_url)
    try:
        market, prices = await rest.market(BTC), await rest.prices()
        assert [one.symbol for one in await rest.markets()] == [BTC, "ETH-PERP", "SOL-PERP"]
    finally:
        await rest.close()
    assert (market.validity, market.index, market.mark_inputs.quotes) == ("valid", "60010.0", None)
    assert (prices.markets[0].validity, prices.markets[0].sources[2].price) == ("valid", "60400.0")
