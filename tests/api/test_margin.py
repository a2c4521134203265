"""Margin over HTTP: requirements, leverage and liquidation prices of an account, and previews of trades."""

from decimal import Decimal
from typing import Any

import pytest

from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.leaving import free
from matcher.rejections import Rejection

ORDER = {"id": "o-1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010"}
TRADE = {"market": "BTC-PERP", "side": "buy", "size": "0.5", "price": "60010"}


async def preview(exchange: Any, agent: Any, **fields: Any) -> Any:
    return await exchange.http.post("/api/v1/margin/preview", json={**TRADE, **fields}, headers=agent.headers)


async def test_the_account_after_a_trade_is_what_its_preview_said(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader", deposit=2_000_000_000)
    said = (await preview(exchange, trader)).json()
    assert (said["allowed"], said["code"]) == (True, None)
    assert (said["size"], said["cost"], said["fee"]) == ("0.5000", "30005.000000", "15.002500")
    assert said["before"] == {
        "equity": "2000.000000",
        "collateral": "2000.000000",
        "requirement": "0.000000",
        "maintenance": "0.000000",
        "available": "2000.000000",
        "leverage": "0.0000",
    }
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    account = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    assert {name: account[name] for name in said["after"]} == said["after"]
    for price in ("liquidation_price", "bankruptcy_price"):
        assert account["positions"][0][price] == said[price] is not None


async def test_what_a_loss_limit_keeps_from_settlement_is_equity_and_no_collateral(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader", deposit=2_000_000_000)
    slot = {"account": trader.account, "limit": 700_000_000, "left": 650_000_000, "unapplied": 0}
    seen = await exchange.operator({"type": "SeeLossLimits", "batch": 0, "landed": True, "slots": [slot]})
    assert seen.status_code == 200, seen.text
    said = (await preview(exchange, trader)).json()
    assert (said["allowed"], said["code"]) == (True, None)
    assert (said["before"]["equity"], said["before"]["collateral"]) == ("2000.000000", "650.000000")
    more = (await preview(exchange, trader, size="0.6")).json()
    assert (more["allowed"], more["code"]) == (False, "loss_limit_reached")
    refused = await exchange.http.post(
        "/api/v1/requests", json={**ORDER, "size": "0.6"}, headers=trader.headers
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "loss_limit_reached")
    await exchange.http.post("/api/v1/requests", json={**ORDER, "id": "o-2"}, headers=trader.headers)
    account = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    assert {name: account[name] for name in said["after"]} == said["after"]
    assert account["positions"][0]["liquidation_price"] == said["liquidation_price"]
    assert account["loss_limit"] == {"limit": "700.000000", "left": "650.000000"}
    assert Decimal(account["equity"]) - Decimal(account["collateral"]) == 1_350


async def test_the_liquidation_price_is_the_last_that_meets_maintenance(exchange: Any) -> None:
    maker = await exchange.maker()
    trader = await exchange.agent("trader", deposit=2_000_000_000)
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)

    async def account() -> Any:
        return (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()

    # Without quotes the mark is the index.
    await maker.ask(op="cancel_all", id="c")
    price = (await account())["positions"][0]["liquidation_price"]
    ticks = int(Decimal(price) * 10)
    for mark, safe in ((ticks, True), (ticks - 1, False)):
        exchange.index(1, mark)
        now = await account()
        assert (Decimal(now["equity"]) >= Decimal(now["maintenance"])) is safe
        assert Decimal(now["positions"][0]["mark"]) * 10 == mark


async def test_the_bankruptcy_price_is_the_last_that_leaves_something(exchange: Any) -> None:
    maker = await exchange.maker()
    trader = await exchange.agent("trader", deposit=2_000_000_000)
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    await maker.ask(op="cancel_all", id="c")
    held = exchange.engine.state.accounts[trader.account]
    said = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    (position,) = said["positions"]
    assert Decimal(position["bankruptcy_price"]) < Decimal(position["liquidation_price"])
    ticks, market = int(Decimal(position["bankruptcy_price"]) * 10), exchange.engine.state.markets[1]
    size, cost = held.positions[1].size, held.positions[1].cost
    at, beyond = (
        held.balance + size * price * market.value_per_tick_lot - cost for price in (ticks, ticks - 1)
    )
    assert beyond < 0 <= at


async def test_a_preview_says_that_an_account_cannot_be_valued(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader", deposit=10**12)
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    exchange.index(1, 600_000, validity=Validity.UNAVAILABLE)
    price = str(exchange.engine.state.indexes[2].price // 100)
    said = (await preview(exchange, trader, market="ETH-PERP", price=price)).json()
    assert (said["allowed"], said["code"]) == (False, "index_unavailable")


async def test_what_may_leave_is_what_a_withdrawal_gets(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader", deposit=10**12)
    await exchange.http.post("/api/v1/requests", json=ORDER, headers=trader.headers)
    state = exchange.engine.state

    async def leaves(amount: int) -> str | None:
        outcome = await exchange.engine.ask(c.ReserveWithdrawal(trader.account, amount, f"w{amount}"))
        return outcome.code.value if isinstance(outcome, Rejection) else None

    async def said() -> tuple[int, str | None]:
        answer = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
        return int(Decimal(answer["withdrawable"]) * 10**6), answer["withdrawable_code"]

    assert (await said()) == (free(state, state.accounts[trader.account]), None)
    await exchange.operator({"type": "HoldWithdrawals", "held": True, "why": "a look"})
    assert await said() == (0, "withdrawals_gated") == (0, await leaves(1))
    await exchange.operator({"type": "HoldWithdrawals", "held": False, "why": "all is well"})
    exchange.index(1, 600_000, validity=Validity.UNAVAILABLE)
    assert await said() == (0, "index_unavailable") == (0, await leaves(2))
    exchange.index(1, 600_000)
    most, code = await said()
    assert (most > 0, code) == (True, None)
    assert await leaves(most + 1) == "withdrawal_too_large"
    assert await leaves(most) is None


async def test_a_preview_names_why_the_trade_would_be_refused(exchange: Any) -> None:
    poor = await exchange.agent("poor", deposit=100_000_000)
    said = (await preview(exchange, poor)).json()
    assert (said["allowed"], said["code"]) == (False, "insufficient_margin")
    assert Decimal(said["after"]["available"]) < 0
    rich = await exchange.agent("rich", deposit=10**14)
    assert (await preview(exchange, rich, size="500.0001")).json()["code"] == "position_cap"
    assert (await exchange.http.get("/api/v1/account", headers=rich.headers)).json()["positions"] == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"market": "X-PERP"}, "market_unknown"),
        ({"size": "0"}, "bad_value"),
        ({"price": "0"}, "bad_value"),
        ({"size": "0.00001"}, "bad_value"),
        ({"price": "100000000000.1"}, "bad_value"),
        ({"side": "long"}, "validation_failed"),
        ({"limit": "1"}, "validation_failed"),
    ],
)
async def test_previews_of_nonsense_are_refused(exchange: Any, fields: dict[str, Any], code: str) -> None:
    agent = await exchange.agent()
    assert (await preview(exchange, agent, **fields)).json()["error"]["code"] == code


async def test_previews_need_a_session_and_a_price(exchange: Any) -> None:
    agent = await exchange.agent()
    unknown = await exchange.http.post("/api/v1/margin/preview", json=TRADE)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "not_authenticated")
    new = [9, "X-PERP", "0.1", "0.001", 100, 10, 500, 10000, 1000, 1000, 60_000_000_000, ""]
    assert (
        await exchange.operator({"type": "ListMarket", "why": "wanted", "market": new})
    ).status_code == 200
    shown = (await exchange.http.get("/api/v1/markets/X-PERP")).json()
    assert (shown["mark"], shown["mark_inputs"], shown["index_max_age_ms"]) == (None, None, 60_000)
    assert (shown["funding"]["rate"], shown["funding"]["unpaid"]) == ("0.000000000000", [])
    early = await preview(exchange, agent, market="X-PERP")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "index_unavailable")


async def test_markets_show_their_mark_and_their_tiers(exchange: Any) -> None:
    market = (await exchange.http.get("/api/v1/markets")).json()["markets"][0]
    assert (market["mark"], market["index"], market["open_interest"]) == ("60000.0", "60000.0", "0.0000")
    nothing = {"index_with_basis": None, "quotes": None, "outside": None}
    assert (market["mark_inputs"], market["only_reduces"]) == (nothing, False)
    assert market["tiers"] == [
        {"above": "0.000000", "initial_ppm": 20_000, "maintenance_ppm": 10_000},
        {"above": "5000000.000000", "initial_ppm": 40_000, "maintenance_ppm": 20_000},
        {"above": "20000000.000000", "initial_ppm": 100_000, "maintenance_ppm": 50_000},
    ]


async def test_a_mark_shows_what_it_was_made_of(exchange: Any) -> None:
    for name in ("one", "other"):
        await exchange.maker(name, bid="60090.0", ask="60110.0")
    exchange.index(1, 600_000)
    market = (await exchange.http.get("/api/v1/markets")).json()["markets"][0]
    inputs = market["mark_inputs"]
    assert inputs["quotes"] == "60100.0"
    # A quote that has only just come weighs next to nothing in the average, and the mark goes there slowly.
    assert Decimal(inputs["index_with_basis"]) < Decimal("60050.0")
    assert Decimal("60000.0") <= Decimal(market["mark"]) < Decimal("60050.0")


async def test_an_exit_is_told_with_what_it_reserves_and_that_backs_nothing_new(exchange: Any) -> None:
    """All of it was called available, while everything that opens was refused."""
    await exchange.maker()
    trader = await exchange.agent("trader", deposit=2_000_000_000)
    state, now = exchange.engine.state, exchange.engine.clock()
    exit_at = now // SECOND + 3_600

    async def said(amount: int) -> Any:
        await exchange.engine.ask(c.RequestExit(trader.account, amount, exit_at))
        return (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()

    before = (await exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    assert (before["exit"], before["withdrawable_code"]) == (None, None)
    part = await said(1_700_000_000)
    assert (part["available"], part["withdrawable"], part["withdrawable_code"]) == (
        "300.000000", "300.000000", None,
    )  # fmt: skip
    assert part["exit"] == {
        "amount": "1700.000000",
        "since": state.exits[trader.account].at // 1_000,
        "claimable_at": exit_at * 1_000_000,
        "matured": False,
        "reserved": "1700.000000",
    }
    refused = (await preview(exchange, trader)).json()
    assert (refused["allowed"], refused["code"]) == (False, "insufficient_margin")
    assert refused["before"]["available"] == "300.000000"
    small = (await preview(exchange, trader, size="0.2")).json()
    assert small["allowed"] is True
    whole = await said(2_000_000_000)
    assert (whole["available"], whole["withdrawable"], whole["withdrawable_code"]) == (
        "0.000000", "0.000000", "exit_stands",
    )  # fmt: skip
