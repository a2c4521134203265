"""Statements over HTTP, from the real ledger: exact, private, and the same in whatever pieces and form they are read."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from matcher import commands as c

PATH = "/api/v1/account/statement"


@pytest.fixture
async def trader(projected: Any, caught_up: Any) -> Any:
    """An agent who bought twice and sold once, deposited and withdrew, with all of it in the ledger."""
    await projected.maker()
    trader = await projected.agent("trader")
    for key, side, limit in (("a", "buy", "60010.0"), ("b", "buy", "60010.0"), ("c", "sell", "59990.0")):
        order = {"id": key, "market": "BTC-PERP", "side": side, "size": "0.5", "limit": limit}
        await projected.http.post("/api/v1/requests", json=order, headers=trader.headers)
    await projected.engine.ask(c.CutSettlement(1))
    await projected.engine.ask(c.ReserveWithdrawal(trader.account, 2_000_000, "w"))
    await projected.engine.ask(c.FinishWithdrawal(1, True, "paying"))
    await caught_up(projected)
    return trader


async def ask(trader: Any, **query: Any) -> Any:
    answer = await trader.exchange.http.get(PATH, params=query, headers=trader.headers)
    assert answer.status_code == 200, answer.text
    return answer


async def test_everything_that_happened_adds_up_to_the_balance(trader: Any) -> None:
    found = (await ask(trader)).json()
    account = (await trader.exchange.http.get("/api/v1/account", headers=trader.headers)).json()
    assert (found["opening"], found["closing"], found["next"]) == ("0.000000", account["balance"], None)
    assert [line["kind"] for line in found["lines"]] == ["deposit", *("fill", "fee") * 3, "withdrawal"]
    balance = Decimal(found["opening"])
    for line in found["lines"]:
        balance += Decimal(line["amount"])
        assert Decimal(line["balance"]) == balance
    assert balance == Decimal(found["closing"])
    assert sum(map(Decimal, found["sums"].values())) == balance
    opened, _, _, _, closed, _ = found["lines"][1:7]
    assert (opened["side"], opened["size"], opened["price"], opened["amount"]) == (
        "buy", "0.5000", "60010.0", "0.000000",
    )  # fmt: skip
    assert (closed["side"], closed["amount"], closed["batch"], closed["status"]) == (
        "sell", "-10.000000", 1, "batched",
    )  # fmt: skip
    money = found["lines"][-1]
    assert (money["amount"], money["signature"], money["batch"]) == ("-2.000000", "paying", None)


async def test_pages_and_the_file_say_the_same(trader: Any) -> None:
    whole, lines, cursor = (await ask(trader)).json(), [], None
    while True:
        page = (await ask(trader, limit=1, **({"cursor": cursor} if cursor else {}))).json()
        assert (page["opening"], page["closing"]) == (whole["opening"], whole["closing"])
        lines += page["lines"]
        cursor = page["next"]
        if cursor is None:
            break
    assert lines == whole["lines"]
    text = await ask(trader, format="csv")
    assert text.headers["content-type"].startswith("text/csv")
    opening, *rows, closing = csv.DictReader(io.StringIO(text.text))
    assert (opening["kind"], closing["kind"], closing["balance"]) == ("opening", "closing", whole["closing"])
    told = [{name: str(value or "") for name, value in line.items() if name != "at"} for line in lines]
    assert [{name: value for name, value in row.items() if name != "at"} for row in rows] == told


async def test_a_period_begins_with_what_was_there(trader: Any) -> None:
    lines = (await ask(trader)).json()["lines"]
    middle = lines[3]["at"]
    early, late = (await ask(trader, to=middle)).json(), (await ask(trader, **{"from": middle})).json()
    assert early["closing"] == late["opening"]
    assert early["lines"] + late["lines"] == lines


async def test_what_cannot_be_read_is_refused(trader: Any) -> None:
    http = trader.exchange.http
    assert (await http.get(PATH)).json()["error"]["code"] == "not_authenticated"
    wrong = await http.get(PATH, params={"cursor": "1"}, headers=trader.headers)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "bad_value")
