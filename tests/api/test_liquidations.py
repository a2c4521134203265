"""Liquidations and the insurance fund over HTTP, read by the SDK where it can, and the operator's commands about them."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, get_args

import pytest

from api.schemas_liquidation import ChangeName
from core.accounts import INSURANCE
from ledger.rows_liquidation import WHYS
from matcher import commands as c
from perpdex_sdk.errors import Refused
from perpdex_sdk.rest import Rest

ORDER = {"market": "BTC-PERP", "side": "buy", "size": "10", "limit": "60000"}
FUND = 100_000_000_000
PATIENCE_S = 30


class Falling:
    """A trader that is long 10 BTC with 13,300 USDC, and a maker opposite; the index falls when told."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange

    async def begin(self, fund: int) -> None:
        self.maker = await self.exchange.maker(bid="59990.0", ask="60000.0")
        self.trader = await self.exchange.agent("trader", deposit=13_300_000_000)
        await self.trader.open()
        body = {"id": "o-1", **ORDER}
        answer = await self.exchange.http.post("/api/v1/requests", json=body, headers=self.trader.headers)
        assert answer.json()["outcome"] == "filled", answer.text
        await self.exchange.engine.ask(c.CancelAll(self.maker.account))
        if fund:
            await self.exchange.engine.ask(c.CreditDeposit(INSURANCE, fund, "fund"))

    async def ended(self) -> None:
        await asyncio.wait_for(self.trader.until("liquidation_ended"), PATIENCE_S)

    async def overview(self) -> Any:
        return await self._operators("liquidations")

    async def going_on(self, *accounts: int) -> Any:
        return await self._operators("liquidations/going-on", account=list(accounts))

    async def _operators(self, path: str, **asked: Any) -> Any:
        headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
        answer = await self.exchange.http.get(f"/api/v1/operator/{path}", headers=headers, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def falling(exchange: Any) -> Falling:
    return Falling(exchange)


@pytest.fixture
async def rest(exchange: Any) -> AsyncIterator[Rest]:
    client = Rest(exchange.server.http_url)
    yield client
    await client.close()


async def test_a_takeover_is_public_step_by_step_and_in_the_fund_s_history(
    falling: Falling, rest: Rest
) -> None:
    await falling.begin(FUND)
    falling.exchange.index(1, 590_000)
    await falling.ended()
    (listed,) = await rest.liquidations()
    assert (listed.outcome, listed.maintenance) == ("taken_over", "5900.000000")
    assert listed.ended_at is not None
    assert listed.at <= listed.ended_at
    whole = await rest.liquidation(listed.liquidation)
    (step,) = whole.steps
    assert (step.kind, step.market, step.size, step.mark) == ("takeover", "BTC-PERP", "10.0000", "59000.0")
    # What the trader had left is what the fund pays less than the mark.
    assert Decimal(step.value) == 590_000 - Decimal(whole.equity)
    assert step.bankruptcy_value == step.value
    fund = await rest.insurance()
    assert (fund.balance, fund.floor, fund.being_liquidated) == ("100000.000000", "0.000000", False)
    metrics = (await falling.exchange.http.get("/metrics")).text
    assert "perpdex_takeovers_total 1.0" in metrics
    assert f"perpdex_insurance_equity_usdc {float(fund.equity)}" in metrics
    assert f"perpdex_insurance_required_usdc {float(fund.maintenance)}" in metrics
    assert Decimal(fund.equity) == 100_000 + Decimal(whole.equity)
    (held,) = fund.positions
    assert (held.market, held.size, held.cost, held.value) == (
        *("BTC-PERP", "10.0000", step.value, "590000.000000"),
    )
    taken, deposited = await rest.insurance_history()
    assert (taken.why, taken.liquidation, taken.amount) == ("takeover", 1, "0.000000")
    assert (deposited.why, deposited.liquidation, deposited.balance) == ("deposit", None, "100000.000000")
    assert await rest.insurance_history(before=deposited.seq) == []
    assert await rest.liquidations(before=1) == []
    assert await rest.deleveragings() == []
    with pytest.raises(Refused) as refused:
        await rest.liquidation(2)
    assert refused.value.code == "liquidation_unknown"


async def test_deleveragings_are_listed(falling: Falling, rest: Rest) -> None:
    await falling.begin(0)
    falling.exchange.index(1, 588_000)
    await falling.ended()
    (done,) = await rest.deleveragings()
    assert (done.kind, done.size, done.unpaid, done.counterparties) == (
        *("deleveraging", "10.0000", "0.0000", 1),
    )
    assert (await rest.liquidation(done.liquidation)).steps == [done]
    assert (await rest.liquidations())[0].outcome == "deleveraged"
    assert await rest.deleveragings(before=done.seq) == []


async def test_nobody_is_told_whose_a_liquidation_is(falling: Falling) -> None:
    await falling.begin(FUND)
    falling.exchange.index(1, 590_000)
    await falling.ended()
    for path in ("liquidations", "liquidations/1", "deleveragings"):
        text = (await falling.exchange.http.get(f"/api/v1/{path}")).text
        assert "account" not in text


async def test_the_operator_sets_the_floor_and_sells_the_inventory(falling: Falling, rest: Rest) -> None:
    await falling.begin(FUND)
    operator = falling.exchange.operator
    order = {"type": "SetInsuranceFloor", "floor": 5_000_000_000}
    assert (await operator(order)).json()["error"]["code"] == "bad_value"
    answer = (await operator({**order, "why": "it has grown"})).json()
    assert answer["events"][0]["type"] == "InsuranceFloorSet"
    assert (await rest.insurance()).floor == "5000.000000"
    falling.exchange.index(1, 590_000)
    await falling.ended()
    assert (await falling.overview())["inventory"] == [{"market": 1, "size": 100_000}]
    assert (await falling.going_on())["inventory"] == [{"market": 1, "size": 100_000}]
    levels = (((589_990, 1_000_000),), ())
    engine = falling.exchange.engine
    engine.submit(c.SetQuotes(falling.maker.account, 1, *levels, engine.clock() + 10**10), None)
    answer = (await operator({"type": "SellInventory", "market": 1, "why": "a quiet hour"})).json()
    assert answer["events"][0] == {
        **{"type": "SaleOrdered", "at": answer["events"][0]["at"], "market": 1},
        **{"who": "operator", "why": "a quiet hour"},
    }
    sold = next(event for event in answer["events"] if event["type"] == "Filled")
    assert (sold["taker"], sold["size"], sold["side"]) == (INSURANCE, 20_000, -1)
    assert (await rest.insurance()).positions[0].size == "8.0000"
    assert (await rest.insurance_history())[0].why == "sale"


async def test_an_account_that_the_engine_overlooks_is_found_and_reviewed(
    falling: Falling, rest: Rest
) -> None:
    await falling.begin(FUND)
    quiet = {
        "forgotten": [],
        "below_zero": [],
        "awaiting_price": 0,
        "going_on": [],
        "inventory": [],
        "selling": False,
    }
    assert await falling.overview() == quiet
    # As a fault in the watch would: its heaps no longer know the account.
    falling.exchange.index(1, 600_000)
    watch = falling.exchange.engine.state.watch
    watch.below.clear()
    watch.above.clear()
    falling.exchange.index(1, 590_000)
    (below,) = (await falling.overview())["forgotten"]
    trader, maker, nobody = falling.trader.account, falling.maker.account, 4_000
    assert (await falling.going_on(nobody, trader, maker))["forgotten"] == [below]
    assert (await falling.going_on(maker))["forgotten"] == (await falling.going_on())["forgotten"] == []
    assert (below["account"], below["maintenance"]) == (falling.trader.account, 5_900_000_000)
    assert await rest.liquidations() == []
    answer = await falling.exchange.operator({"type": "ReviewAccount", "account": below["account"]})
    assert answer.status_code == 200
    await falling.ended()
    assert (await falling.overview())["forgotten"] == []


def test_every_reason_of_a_change_has_its_name() -> None:
    assert set(WHYS.values()) | {"carried"} == set(get_args(ChangeName))
