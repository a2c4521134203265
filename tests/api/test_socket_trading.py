"""Agents trade over the WebSocket: what each of them hears."""

from typing import Any


async def request(
    agent: Any, key: str, side: str = "buy", size: str = "0.5", limit: str = "60010.0", **more: Any
) -> None:
    await agent.send(op="request", id=key, market="BTC-PERP", side=side, size=size, limit=limit, **more)


async def test_a_request_fills_on_standing_quotes_at_once(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    ready = await trader.open()
    assert ready["ev"] == "ready"
    assert ready["head"] == 3  # registered, slot, deposit
    await request(trader, "r1")
    fill = await trader.receive()
    closed = await trader.receive()
    assert (fill["ev"], fill["n"], fill["role"], fill["side"]) == ("fill", 4, "taker", "buy")
    assert (fill["price"], fill["size"], fill["fee"], fill["realized"]) == (
        "60010.0",
        "0.5000",
        "15.002500",
        "0.000000",
    )
    assert (closed["ev"], closed["n"], closed["outcome"], closed["key"]) == ("closed", 5, "filled", "r1")
    assert closed["average_price"] == "60010.000000000"
    assert closed["value"] == "30005.000000"
    assert closed["fee"] == "15.002500"
    assert closed["fills"] == [fill["fill"]]
    made = await maker.until("fill")
    assert (made["role"], made["side"], made["fee"], made["cost"]) == (
        "maker",
        "sell",
        "0.000000",
        "-30005.000000",
    )


async def test_makers_are_asked_and_the_best_answer_fills(exchange: Any) -> None:
    makers = [await exchange.agent(f"maker{i}") for i in range(3)]
    for maker in makers:
        await maker.open()
        assert (await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"]))["ev"] == "ack"
    trader = await exchange.agent("trader")
    await trader.open()
    await request(trader, "r1", limit="60100.0", ttl_ms=5000)
    opened = await trader.receive()
    assert (opened["ev"], opened["key"], opened["makers"]) == ("request_opened", "r1", 3)
    for number, maker in enumerate(makers):
        rfq = await maker.until("rfq")
        assert rfq["side"] is None
        assert rfq["request"] == opened["request"]
        if number == 1:
            await maker.send(op="pass", id="p", request=rfq["request"])
        else:
            await maker.send(
                op="quote", id="q", request=rfq["request"], bid="59000.0", ask=f"6000{number}.0", size="1"
            )
    closed = await trader.until("closed")
    assert (closed["outcome"], closed["average_price"]) == ("filled", "60000.000000000")
    await makers[0].until("fill")


async def test_the_side_is_told_only_when_the_trader_shows_it(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    await request(trader, "r1", side="sell", limit="1.0", show_side=True)
    assert (await maker.until("rfq"))["side"] == "sell"


async def test_a_trader_chooses_its_quote_when_it_asked_to(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    await request(trader, "r1", limit="60100.0", ttl_ms=5000, auto=False)
    rfq = await maker.until("rfq")
    await maker.send(op="quote", id="q", request=rfq["request"], ask="60020.0", size="2", min_fill="0.1")
    quote = await trader.until("quote")
    assert (quote["price"], quote["size"], quote["min_fill"]) == ("60020.0", "2.0000", "0.1000")
    wrong = await trader.ask(op="accept", id="a0", request=rfq["request"], quote=quote["quote"] + 1)
    assert wrong["code"] == "quote_unknown"
    await trader.send(op="accept", id="a1", request=rfq["request"], quote=quote["quote"])
    assert (await trader.until("closed"))["outcome"] == "filled"
    assert (await trader.receive()) == {"ev": "ack", "id": "a1"}
    again = await trader.ask(op="accept", id="a2", request=rfq["request"], quote=quote["quote"])
    assert again["ev"] == "ack"


async def test_a_quote_taken_back_is_told_to_the_trader(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    await request(trader, "r1", limit="60100.0", ttl_ms=5000, auto=False)
    rfq = await maker.until("rfq")
    await maker.send(op="quote", id="q", request=rfq["request"], ask="60020.0", size="2")
    await trader.until("quote")
    assert (await maker.ask(op="withdraw", id="w", request=rfq["request"]))["ev"] == "ack"
    assert (await trader.until("quote_withdrawn"))["request"] == rfq["request"]


async def test_the_same_id_gets_the_first_answer_and_another_payload_is_a_conflict(exchange: Any) -> None:
    await exchange.maker()
    trader = await exchange.agent("trader")
    await trader.open()
    await request(trader, "r1")
    first = await trader.until("closed")
    await request(trader, "r1")
    again = await trader.until("closed")
    assert again == {**first, "n": 0, "seq": 0, "repeated": True}
    await request(trader, "r1", size="0.6")
    assert (await trader.until("error"))["code"] == "key_conflict"
    assert exchange.engine.state.last_fill == 1


async def test_cancel_by_number_and_by_key(exchange: Any) -> None:
    maker, trader = await exchange.agent("maker"), await exchange.agent("trader")
    await maker.open()
    await maker.ask(op="subscribe", id="s", markets=["BTC-PERP"])
    await trader.open()
    for key in ("by-key", "by-number"):
        await request(trader, key, ttl_ms=5000)
        opened = await trader.until("request_opened")
        name = {"key": key} if key == "by-key" else {"request": opened["request"]}
        await trader.send(op="cancel", id="c", **name)
        assert (await trader.until("closed"))["outcome"] == "cancelled"
    again = await trader.ask(op="cancel", id="c2", key="by-key")
    assert again["ev"] == "ack"


async def test_protection_freezes_a_maker_and_tells_it(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    protect = {
        "op": "protect",
        "id": "p",
        "market": "BTC-PERP",
        "window_ms": 1000,
        "size": "0.4",
        "freeze_ms": 5000,
    }
    assert (await maker.ask(**protect))["ev"] == "ack"
    await trader.open()
    await request(trader, "r1")
    assert (await maker.until("quotes_pulled"))["why"] == "protection"
    assert (await maker.until("frozen"))["market"] == "BTC-PERP"
    answer = await maker.ask(op="quotes", id="q2", market="BTC-PERP", bids=[["59000.0", "1"]])
    assert (answer["code"], answer["retryable"]) == ("maker_frozen", True)


async def test_the_switch_pulls_everything(exchange: Any) -> None:
    maker = await exchange.maker()
    assert (await maker.ask(op="cancel_after", id="c", in_ms=50))["ev"] == "ack"
    assert (await maker.until("quotes_pulled"))["why"] == "switch"


async def test_batches_are_told_to_everybody(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    await trader.open()
    await request(trader, "r1")
    fill = await trader.until("fill")
    await exchange.operator({"type": "CutSettlement", "batch": 1})
    for agent in (maker, trader):
        batch = await agent.until("batch")
        assert (batch["batch"], batch["status"]) == (1, "batched")
        assert batch["after_seq"] < fill["seq"] <= batch["seq"]
    advance = {"type": "AdvanceBatch", "batch": 1, "status": 2, "signatures": ["sig"]}
    assert (await exchange.operator(advance)).status_code == 200
    assert (await trader.until("batch"))["status"] == "submitted"


async def test_deposits_and_withdrawals_are_in_the_stream(exchange: Any) -> None:
    trader = await exchange.agent("trader", deposit=0)
    await trader.open()
    credit = {"type": "CreditDeposit", "account": trader.account, "amount": 5_000_000, "key": "sig:0"}
    assert (await exchange.operator(credit)).json()["repeated"] is False
    assert (await exchange.operator(credit)).json()["repeated"] is True
    deposit = await trader.until("deposit")
    assert (deposit["amount"], deposit["key"]) == ("5.000000", "sig:0")
    await exchange.operator(
        {"type": "ReserveWithdrawal", "account": trader.account, "amount": 1_000_000, "key": "w"}
    )
    reserved = await trader.until("withdrawal")
    assert (reserved["status"], reserved["amount"]) == ("reserved", "1.000000")
    number = reserved["withdrawal"]
    await exchange.operator(
        {"type": "FinishWithdrawal", "withdrawal": number, "paid": False, "signature": ""}
    )
    assert (await trader.until("withdrawal"))["status"] == "released"
