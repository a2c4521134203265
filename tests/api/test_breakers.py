"""Circuit breakers over the API: who may, what agents hear, what the audit trail keeps."""

import re
import time
from typing import Any

from api.views_breakers import withdrawals
from api.views_liquidation import overview
from core.accounts import INSURANCE
from matcher import commands as c
from matcher.limits import WHY_LENGTH_MAX

ADA = "token-of-another-operator-called-ada-012"
MINUTE = 60_000_000_000
PAUSE = {"type": "SetMarketStatus", "market": 1, "status": 3, "why": "odd prices"}


async def market(exchange: Any, symbol: str = "BTC-PERP") -> dict[str, Any]:
    return dict((await exchange.http.get(f"/api/v1/markets/{symbol}")).json())


async def audit(exchange: Any, **query: int) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {ADA}"}
    answer = await exchange.http.get("/api/v1/operator/audit", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["actions"])


async def traded(exchange: Any) -> tuple[Any, Any]:
    """A maker short and a trader long of one bitcoin."""
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await trader.open()
    await trader.send(op="request", id="k", market="BTC-PERP", side="buy", size="1", limit="60010.0")
    assert (await trader.until("closed"))["outcome"] == "filled"
    return maker, trader


async def test_a_pause_is_told_to_all_and_ends_what_was_open(exchange: Any) -> None:
    maker, trader = await traded(exchange)
    assert (await exchange.operator(PAUSE, ADA)).status_code == 200
    assert (await maker.until("quotes_pulled"))["why"] == "market_paused"
    for agent in (maker, trader):
        told = await agent.until("market")
        assert told == {
            "ev": "market", "market": "BTC-PERP", "status": "paused", "changed": "status", "why": "odd prices",
        }  # fmt: skip
    found = await market(exchange)
    assert found["status"] == "paused"
    assert found["not_open_since"] > 0
    refused = await trader.ask(op="quotes", id="q", market="BTC-PERP", bids=[["59990.0", "1"]], life_ms=1000)
    assert refused["code"] == "market_paused"


async def test_nobody_sets_a_price_whatever_token_it_has(exchange: Any) -> None:
    recorded, mark = exchange.recorded, exchange.engine.state.mark_price(1)
    at = time.time_ns()
    price = {
        "type": "UpdateIndex",
        "market": 1,
        "price": 1,
        "confidence": 0,
        "published": at,
        "source": "pyth",
    }
    for refused in (await exchange.operator(price), await exchange.operator(price, ADA)):
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_message")
    assert (exchange.recorded, exchange.engine.state.mark_price(1)) == (recorded, mark)


async def test_only_the_sweep_asks_without_a_reason(exchange: Any) -> None:
    agent = await exchange.agent()
    review = {"type": "ReviewAccount", "account": agent.account}
    recorded = exchange.recorded
    for silent in (review, {"type": "SellInventory", "market": 1}):
        refused = await exchange.operator(silent, ADA)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_value")
    assert exchange.recorded == recorded
    assert (await exchange.operator(review)).status_code == 200
    assert await audit(exchange) == []
    assert (await exchange.operator({**review, "why": "a customer asks"}, ADA)).status_code == 200
    (kept,) = await audit(exchange)
    assert (kept["who"], kept["action"], kept["why"]) == ("ada", "review", "a customer asks")


async def test_a_decision_is_kept_under_the_credential_it_was_made_with(exchange: Any) -> None:
    before = exchange.engine.state.seq
    await exchange.operator({**PAUSE, "who": "somebody else"}, ADA)
    await exchange.operator({"type": "SetLimits", "market": 1, "position_cap": 7, "why": "small"}, ADA)
    await exchange.operator({"type": "HoldWithdrawals", "held": True, "why": "a look at the books"})
    held, limited, paused = await audit(exchange)
    assert (paused["seq"], paused["who"], paused["action"], paused["market"], paused["why"]) == (
        before + 1, "ada", "status", "BTC-PERP", "odd prices",
    )  # fmt: skip
    assert paused["details"] == {"status": "paused"}
    assert (limited["who"], limited["details"]["position_cap"]) == ("ada", 7)
    assert (held["who"], held["market"], held["details"]) == ("operator", None, {"held": True})
    assert [one["seq"] for one in await audit(exchange, before=held["seq"], limit=1)] == [limited["seq"]]


async def test_a_decision_without_a_reason_is_none(exchange: Any) -> None:
    before = exchange.recorded
    for why in ("", "x" * (WHY_LENGTH_MAX + 1), "a\nb"):
        answer = await exchange.operator({**PAUSE, "why": why})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_value")
    assert exchange.recorded == before
    assert (await exchange.operator({**PAUSE, "why": "x" * WHY_LENGTH_MAX})).status_code == 200


async def test_the_trail_is_for_operators(exchange: Any) -> None:
    agent = await exchange.agent()
    answer = await exchange.http.get("/api/v1/operator/audit", headers=agent.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_only")
    assert (await exchange.http.get("/api/v1/operator/audit")).status_code == 401


async def test_limits_are_shown_and_told(exchange: Any) -> None:
    agent = await exchange.agent()
    await agent.open()
    body = {
        "type": "SetLimits", "market": 1, "position_cap": 20_000, "taker_fee": 100,
        "alarm": [100_000, 60_000_000_000, True], "why": "a try",
    }  # fmt: skip
    assert (await exchange.operator(body)).status_code == 200
    told = await agent.until("market")
    assert (told["changed"], told["status"], told["why"]) == ("limits", "open", "a try")
    found = await market(exchange)
    assert (found["position_cap"], found["taker_fee_ppm"]) == ("2.0000", 100)
    assert found["alarm"] == {"share_ppm": 100_000, "window_ms": 60_000, "only_reduces": True}


async def test_a_jump_of_open_interest_is_shown_and_counted(exchange: Any) -> None:
    body = {"type": "SetLimits", "market": 1, "alarm": [1, 60_000_000_000, True], "why": "a try"}
    await exchange.operator(body)
    await traded(exchange)
    found = await market(exchange)
    assert (found["status"], found["only_reduces"]) == ("reduce_only", True)
    assert (found["jumped"]["lowest"], found["jumped"]["open_interest"]) == ("0.0000", "1.0000")
    metrics = (await exchange.http.get("/metrics")).text
    assert 'perpdex_open_interest_jumps_total{market="BTC-PERP"} 1.0' in metrics
    assert 'perpdex_market_status{market="BTC-PERP"} 2.0' in metrics
    assert 'perpdex_open_interest_used{market="BTC-PERP"} 0.0001' in metrics
    (closed, _) = await audit(exchange)
    assert (closed["who"], closed["details"]) == ("exchange", {"status": "reduce_only"})


async def test_the_oldest_withdrawal_that_is_not_closed_is_shown(new_exchange: Any) -> None:
    since, ahead = time.time_ns(), 0
    exchange = await new_exchange(clock=lambda: time.time_ns() + ahead)
    agent = await exchange.agent()

    def waiting() -> float:
        text = exchange.server.edge.metrics.text().decode()
        return float(re.findall(r"^perpdex_withdrawal_waiting_seconds (\S+)$", text, re.M)[0])

    def test_took() -> float:
        return (time.time_ns() - since) / 1e9

    assert waiting() == 0
    for key in ("first", "second"):
        await exchange.engine.ask(c.ReserveWithdrawal(agent.account, 5_000_000, key))
        ahead += 8_000_000_000
    assert 16 <= waiting() <= 16 + test_took()
    await exchange.engine.ask(c.FinishWithdrawal(1, False, ""))
    assert 8 <= waiting() <= 8 + test_took()
    await exchange.engine.ask(c.FinishWithdrawal(2, False, ""))
    assert waiting() == 0


async def test_withdrawals_that_do_not_go_are_shown(exchange: Any) -> None:
    async def shown() -> Any:
        return (await exchange.http.get("/api/v1/status")).json()["withdrawals"]

    assert await shown() == "open"
    await exchange.operator({"type": "HoldWithdrawals", "held": True, "why": "a look"})
    assert await shown() == "held"
    agent = await exchange.agent()
    refused = await exchange.operator(
        {"type": "ReserveWithdrawal", "account": agent.account, "amount": 1, "key": "w"}
    )
    assert (refused.status_code, refused.json()["error"]["retryable"]) == (409, True)
    assert "perpdex_withdrawals_stopped 1.0" in (await exchange.http.get("/metrics")).text
    await exchange.operator({"type": "HoldWithdrawals", "held": False, "why": "all is well"})
    assert await shown() == "open"


async def test_withdrawals_are_gated_while_an_account_is_below_zero(exchange: Any) -> None:
    """Until it is deleveraged, which here takes moments: looked at before the loop turns, then over HTTP."""
    _, trader = await traded(exchange)
    await exchange.engine.ask(c.ReserveWithdrawal(trader.account, 990_000_000_000, "most"))
    exchange.index(1, 400_000)
    named = await overview(exchange.engine.state)
    assert [below.account for below in named.below_zero] == [trader.account]
    assert withdrawals(exchange.engine.state) == "gated"
    shown = exchange.server.edge.metrics.text().decode()
    assert "perpdex_accounts_below_zero 1.0" in shown
    exchange.engine.submit(c.Advance(), None)
    assert "perpdex_liquidations_running 1.0" in exchange.server.edge.metrics.text().decode()
    assert (await trader.until("liquidation_ended"))["why"] == "deleveraged"
    assert (await exchange.http.get("/api/v1/status")).json()["withdrawals"] == "open"
    after = (await exchange.http.get("/metrics")).text
    assert 'perpdex_deleveragings_total{market="BTC-PERP"} 1.0' in after
    assert "perpdex_accounts_below_zero 0.0" in after
    assert "perpdex_liquidations_running 0.0" in after


async def test_a_delisting_closes_positions_and_each_agent_hears_its_own_part(new_exchange: Any) -> None:
    # The average at which it ends has whole minutes: all of this is in one.
    ahead = MINUTE - time.time_ns() % MINUTE
    exchange = await new_exchange(clock=lambda: time.time_ns() + ahead)
    maker, trader = await traded(exchange)
    delist = {"type": "DelistMarket", "market": 1, "why": "nobody quotes it"}
    announced = (await exchange.operator(delist)).json()["events"]
    assert [event["type"] for event in announced] == ["MarketStatusSet", "DelistingAnnounced"]
    assert (await trader.until("market"))["changed"] == "status"
    assert (await trader.until("market"))["changed"] == "delisting"
    found = (await market(exchange))["delisting"]
    assert found["settles_at"] == announced[1]["settles_at"] // 1_000 > found["announced_at"]
    assert (found["why"], found["waits"]) == ("nobody quotes it", None)
    assert (await exchange.http.get("/api/v1/markets/BTC-PERP/end")).status_code == 404
    exchange.index(1, 610_000)
    done = await exchange.operator({**delist, "force": True}, ADA)
    (record,) = [event for event in done.json()["events"] if event["type"] == "MarketSettled"]
    assert (record["positions"], record["who"], record["forced"]) == ([], "ada", True)
    for agent, size, gain in ((trader, "1.0000", "990.000000"), (maker, "-1.0000", "-990.000000")):
        told = await agent.until("market_settled")
        assert (told["size"], told["price"], told["realized"], told["shared"]) == (
            size, "61000.0", gain, "0.000000",
        )  # fmt: skip
        account = (await exchange.http.get("/api/v1/account", headers=agent.headers)).json()
        assert account["positions"] == []
        assert account["head"] == told["n"]
    again = await exchange.operator({**delist, "force": True})
    assert again.json()["events"] == []
    end = (await exchange.http.get("/api/v1/markets/BTC-PERP/end")).json()
    assert (end["price"], end["accounts"], end["shared"], end["uncovered"]) == (
        "61000.0", 2, "0.000000", "0.000000",
    )  # fmt: skip
    found = await market(exchange)
    assert (found["status"], found["open_interest"], found["index"]) == ("settled", "0.0000", "61000.0")
    state = exchange.engine.state
    assert state.accounts[INSURANCE].balance == 0
    assert (await exchange.http.get("/api/v1/status")).json()["conserved"] is True


async def test_settlement_that_is_late_is_shown_and_lifted(exchange: Any) -> None:
    async def shown() -> Any:
        status = (await exchange.http.get("/api/v1/status")).json()["settlement"]
        return status["late"], status["late_at"], status["chain_as_of"]

    assert await shown() == (False, None, None)
    await exchange.operator({"type": "SeeExitDelay", "seconds": 3 * 86_400})
    await traded(exchange)
    late, late_at, since = await shown()
    assert (late, late_at - since) == (False, 36 * 3_600 * 1_000_000)
    exchange.engine.state.custody.late = True
    assert await shown() == (True, None, since)
    assert (await market(exchange))["only_reduces"] is True
    assert "perpdex_settlement_late 1.0" in (await exchange.http.get("/metrics")).text


async def test_only_the_network_books_withdrawals_that_were_found_on_chain(exchange: Any) -> None:
    agent = await exchange.agent()
    settled = exchange.engine.state.accounts[agent.account].settled
    found = {"account": agent.account, "amount": 5, "signature": "5" * 88}
    holds = {"account": agent.account, "settled": settled, "holds": settled - 5, "unapplied": 0}
    body = {
        **{"type": "AcceptChain", "slots": [holds], "left_over": 0, "astray": 0, "lost": 0},
        **{"withdrawn": [found], "why": "the key was stolen"},
    }
    refused = await exchange.operator(body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "chain_not_accepted")
    await exchange.operator({"type": "HoldSettlement", "held": True, "why": "a theft"})
    refused = await exchange.operator(body, ADA)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "network_only")
    accepted = (await exchange.operator(body)).json()["events"]
    assert [one["type"] for one in accepted] == ["WithdrawalReserved", "WithdrawalFinished", "ChainAccepted"]
    (action, _) = await audit(exchange)
    assert (action["action"], action["why"]) == ("chain_accepted", "the key was stolen")
