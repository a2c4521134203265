"""Isolated sub-accounts through the doors: opened, funded, traded from, liquidated, and followed on a stream of their own."""

from typing import Any

import pytest

from core.merkle import account_leaf
from matcher import commands as c

BUY = {"market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010"}


class Desk:
    """A parent with a funded sub-account for BTC, and a maker."""

    def __init__(self, exchange: Any, parent: Any, sub: int) -> None:
        self.exchange = exchange
        self.parent = parent
        self.sub = sub

    async def post(self, path: str, json: Any, sub: bool = False) -> Any:
        params = {"subaccount": self.sub} if sub else None
        return await self.exchange.http.post(path, json=json, params=params, headers=self.parent.headers)

    async def account(self, sub: bool = False) -> Any:
        params = {"subaccount": self.sub} if sub else None
        answer = await self.exchange.http.get("/api/v1/account", params=params, headers=self.parent.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def transfer(self, giver: int, receiver: int, amount: str, key: str) -> Any:
        body = {"from": giver, "to": receiver, "amount": amount, "key": key}
        return await self.post("/api/v1/account/transfers", body)

    def again(self) -> Any:
        """The parent with another connection."""
        return self.exchange.signed_in(self.parent.keypair, self.parent.account)


@pytest.fixture
async def desk(exchange: Any) -> Desk:
    await exchange.maker()
    parent = await exchange.agent("desk", deposit=10_000_000_000)
    opened = await exchange.http.post(
        "/api/v1/account/subaccounts", json={"market": "BTC-PERP"}, headers=parent.headers
    )
    desk = Desk(exchange, parent, opened.json()["account"])
    assert opened.json() == {
        "account": desk.sub,
        "parent": parent.account,
        "market": "BTC-PERP",
        "name": "desk/BTC-PERP",
        "repeated": False,
    }
    assert (await desk.transfer(parent.account, desk.sub, "1000", "stake")).status_code == 200
    return desk


async def test_it_is_opened_once_and_a_transfer_moves_collateral_once(desk: Desk) -> None:
    again = await desk.post("/api/v1/account/subaccounts", {"market": "BTC-PERP"})
    assert (again.json()["account"], again.json()["repeated"]) == (desk.sub, True)
    repeated = await desk.transfer(desk.parent.account, desk.sub, "1000", "stake")
    assert repeated.json() == {
        "from": desk.parent.account,
        "to": desk.sub,
        "amount": "1000.000000",
        "key": "stake",
        "repeated": True,
    }
    home = await desk.transfer(desk.sub, desk.parent.account, "0.000001", "home")
    assert home.json()["repeated"] is False
    assert (await desk.account())["balance"] == "9000.000001"


async def test_the_account_shows_its_sub_accounts_each_with_its_own_margin(desk: Desk) -> None:
    traded = await desk.post("/api/v1/requests", {"id": "o", **BUY, "size": "0.05"}, sub=True)
    assert (traded.status_code, traded.json()["filled"]) == (200, "0.0500"), traded.text
    parent, sub = await desk.account(), await desk.account(sub=True)
    (shown,) = parent["subaccounts"]
    assert (sub["account"], sub["parent"], sub["subaccounts"]) == (desk.sub, desk.parent.account, [])
    same = (
        "account",
        "balance",
        "equity",
        "requirement",
        "maintenance",
        "available",
        "withdrawable",
        "withdrawable_code",
        "unpaid_funding",
        "leverage",
        "head",
    )
    assert {name: shown[name] for name in same} == {name: sub[name] for name in same}
    (position,) = sub["positions"]
    assert (shown["market"], shown["size"]) == ("BTC-PERP", position["size"]) == ("BTC-PERP", "0.0500")
    assert shown["liquidation_price"] == position["liquidation_price"] is not None
    assert shown["bankruptcy_price"] == position["bankruptcy_price"] is not None
    assert (parent["positions"], parent["equity"], parent["requirement"]) == ([], "9000.000000", "0.000000")
    assert (parent["settled"], sub["settled"], sub["escrow"]) == ("10000.000000", "0.000000", None)
    taken = await desk.transfer(desk.sub, desk.parent.account, sub["withdrawable"], "all")
    assert taken.status_code == 200
    more = await desk.transfer(desk.sub, desk.parent.account, "0.000001", "more")
    assert more.json()["error"]["code"] == "transfer_too_large"


async def test_a_preview_for_a_sub_account_counts_its_own_money(desk: Desk) -> None:
    trade = {"market": "BTC-PERP", "side": "buy", "size": "5", "price": "60000"}
    assert (await desk.post("/api/v1/margin/preview", trade)).json()["allowed"] is True
    alone = await desk.post("/api/v1/margin/preview", trade, sub=True)
    assert (alone.json()["allowed"], alone.json()["code"]) == (False, "insufficient_margin")
    elsewhere = await desk.post("/api/v1/margin/preview", {**trade, "market": "ETH-PERP"}, sub=True)
    assert elsewhere.json()["error"]["code"] == "sub_account_market"


async def test_proofs_go_to_those_whom_they_are_about(desk: Desk) -> None:
    """Its own and its sub-account's: their next step is a batch. A sub-account alone, and strangers, learn not even what exists."""
    traded = await desk.post("/api/v1/requests", {"id": "o", **BUY, "size": "0.05"}, sub=True)
    fill, stranger = traded.json()["fills"][0], await desk.exchange.agent("stranger")
    paths = [f"fills/{fill}", f"accounts/{desk.parent.account}", f"accounts/{desk.sub}"]
    callers = [(desk.parent, {}), (desk.parent, {"subaccount": desk.sub}), (stranger, {})]
    codes = []
    for agent, params in callers:
        get, headers = desk.exchange.http.get, agent.headers
        answers = [await get(f"/api/v1/{path}/proof", params=params, headers=headers) for path in paths]
        codes.append([answer.json()["error"]["code"] for answer in answers])
    assert codes == [
        ["not_batched", "not_batched", "not_batched"],
        ["not_batched", "account_unknown", "not_batched"],
        ["fill_unknown", "account_unknown", "account_unknown"],
    ]


async def test_what_is_the_parents_is_refused_to_its_sub_account(desk: Desk) -> None:
    http, headers, params = desk.exchange.http, desk.parent.headers, {"subaccount": desk.sub}
    answers = [
        await desk.post("/api/v1/account/subaccounts", {"market": "ETH-PERP"}, sub=True),
        await desk.post(
            "/api/v1/account/transfers", {"from": desk.sub, "to": 1, "amount": "1", "key": "k"}, sub=True
        ),
        await desk.post("/api/v1/withdrawals", {"amount": "1", "key": "k"}, sub=True),
        await http.delete("/api/v1/sessions", params=params, headers=headers),
    ]
    assert [answer.json()["error"]["code"] for answer in answers] == ["sub_account_only_trades"] * 4
    traded = await desk.post("/api/v1/requests", {"id": "o", **BUY, "market": "ETH-PERP"}, sub=True)
    assert traded.json()["error"]["code"] == "sub_account_market"


async def test_nobody_acts_for_a_sub_account_that_is_not_its_own(desk: Desk) -> None:
    stranger = await desk.exchange.agent("stranger", owner=desk.parent.keypair)
    for number in (desk.sub, desk.parent.account, 999):
        answer = await desk.exchange.http.get(
            "/api/v1/account", params={"subaccount": number}, headers=stranger.headers
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "sub_account_unknown")
        assert (await stranger.open(subaccount=number))["code"] == "sub_account_unknown"


async def test_a_connection_of_a_sub_account_trades_and_hears_for_it_alone(desk: Desk) -> None:
    parent, sub = desk.parent, desk.again()
    assert (await parent.open())["head"] == 5  # registered, slot, deposit, opened, transfer
    ready = await sub.open(subaccount=desk.sub, resume_from=0)
    assert (ready["ev"], ready["account"], ready["head"]) == ("ready", desk.sub, 2)
    opened, transfer = await sub.receive(), await sub.receive()
    assert (opened["ev"], opened["account"], opened["parent"]) == (
        "sub_account_opened",
        desk.sub,
        parent.account,
    )
    assert (transfer["ev"], transfer["from"], transfer["to"]) == ("transfer", parent.account, desk.sub)
    assert (transfer["n"], transfer["amount"], transfer["key"]) == (2, "1000.000000", "stake")
    await sub.send(op="request", id="o", **BUY)
    assert [(await sub.receive())["ev"] for _ in range(2)] == ["fill", "closed"]
    await desk.transfer(parent.account, desk.sub, "5", "more")
    heard = await parent.until("transfer")
    assert (heard["n"], heard["amount"]) == (6, "5.000000")
    assert (await sub.until("transfer"))["n"] == 5


async def test_cancels_and_disconnects_pull_what_is_the_connections_own(desk: Desk) -> None:
    book, parent, sub = desk.exchange.engine.state.book, desk.parent, desk.again()
    await parent.open()
    await sub.open(subaccount=desk.sub)
    quotes = {"market": "BTC-PERP", "bids": [["59000", "0.01"]], "asks": [], "life_ms": 60_000}

    def standing() -> set[int]:
        return {account for account, _ in book.standing} & {parent.account, desk.sub}

    for one in (parent, sub):
        assert (await one.ask(op="quotes", id="q", **quotes))["ev"] == "ack"
    assert standing() == {parent.account, desk.sub}
    await parent.ask(op="cancel_all", id="c")
    assert standing() == {desk.sub}
    await parent.ask(op="quotes", id="q2", **quotes)
    gone = await desk.exchange.http.delete(
        "/api/v1/requests", params={"subaccount": desk.sub}, headers=parent.headers
    )
    assert gone.status_code == 200
    assert standing() == {parent.account}
    await sub.ask(op="quotes", id="q3", **quotes)
    await sub.socket.close()
    await parent.ask(op="ping", id="p")
    while standing() != {parent.account}:
        await parent.ask(op="ping", id="p")


async def test_revoking_the_parents_sessions_ends_what_acts_for_its_sub_accounts(desk: Desk) -> None:
    sub = desk.again()
    await sub.open(subaccount=desk.sub)
    old = desk.parent.headers
    assert (await desk.exchange.http.delete("/api/v1/sessions", headers=old)).status_code == 204
    await sub.socket.wait_closed()
    assert sub.socket.close_code == 4006
    refused = await desk.exchange.http.get("/api/v1/account", params={"subaccount": desk.sub}, headers=old)
    assert refused.json()["error"]["code"] == "session_revoked"
    assert (await desk.again().open(subaccount=desk.sub))["ev"] == "ready"


async def test_an_account_and_its_sub_accounts_have_so_many_connections_together(desk: Desk) -> None:
    for number in range(16):
        ready = await desk.again().open(**({"subaccount": desk.sub} if number % 2 else {}))
        assert ready["ev"] == "ready"
    assert (await desk.again().open(subaccount=desk.sub))["code"] == "too_many_connections"
    assert (await desk.again().open())["code"] == "too_many_connections"


async def test_a_sub_account_is_liquidated_alone_and_its_stream_says_so(desk: Desk) -> None:
    exchange, sub = desk.exchange, desk.again()
    await sub.open(subaccount=desk.sub)
    await exchange.operator({"type": "CreditDeposit", "account": 2, "amount": 10**12, "key": "fund"})
    await sub.send(op="request", id="o", **BUY)
    await sub.until("closed")
    for agent in exchange.engine.state.book.standing.copy():
        await exchange.engine.ask(c.CancelAll(agent[0]))
    exchange.index(1, 570_000)
    assert (await sub.until("liquidation_started"))["equity"].startswith("-")
    assert (await sub.until("liquidation_ended"))["why"] == "taken_over"
    parent = await desk.account()
    assert (parent["balance"], parent["equity"]) == ("9000.000000", "9000.000000")
    (shown,) = parent["subaccounts"]
    assert (shown["balance"], shown["size"], shown["liquidation_price"]) == ("0.000000", "0.0000", None)


async def test_the_operators_cut_has_leaves_for_both_and_one_delta_for_the_slot(desk: Desk) -> None:
    exchange = desk.exchange
    await desk.post("/api/v1/requests", {"id": "o", **BUY}, sub=True)
    answer = await exchange.operator({"type": "CutSettlement", "batch": 1})
    assert answer.status_code == 200
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    cut = (await exchange.http.get("/api/v1/operator/settlement/cuts/1", headers=headers)).json()
    rows = {row["account"]: row for row in cut["accounts"]}
    parent, sub = rows[desk.parent.account], rows[desk.sub]
    assert (sub["page"], sub["slot"], sub["delta"]) == (parent["page"], parent["slot"], 0)
    settled = exchange.engine.state.accounts[desk.parent.account].settled
    assert parent["equity"] + sub["equity"] == settled == 10_000_000_000 + parent["delta"]
    leaves = {account_leaf(1, row["account"], row["balance"], row["equity"]) for row in (parent, sub)}
    assert len(leaves) == 2
    unbound = (await exchange.http.get("/api/v1/operator/accounts/unbound", headers=headers)).json()
    assert unbound["accounts"] == []


async def test_sub_accounts_are_no_agents(desk: Desk) -> None:
    status = (await desk.exchange.http.get("/api/v1/status")).json()
    assert status["agents"] == 2
