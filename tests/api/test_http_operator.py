"""What the operator's programs ask over HTTP."""

from typing import Any

from solders.keypair import Keypair

from activities.engine_door import EngineDoor
from matcher import commands as c
from matcher.image import state_hash


async def test_the_operators_door(exchange: Any) -> None:
    agent = await exchange.agent(deposit=7_000_000)
    unbound = await exchange.agent("late", deposit=0)
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    waiting = (await exchange.http.get("/api/v1/operator/accounts/unbound", headers=headers)).json()
    assert waiting == []  # the fixture binds every agent
    answer = (await exchange.operator({"type": "CutSettlement", "batch": 1})).json()
    assert (answer["events"][0]["type"], answer["events"][0]["batch"], answer["seq"]) == (
        "SettlementCut",
        1,
        exchange.engine.synced,
    )
    again = (await exchange.operator({"type": "CutSettlement", "batch": 1})).json()
    assert again["repeated"]
    cut = (await exchange.http.get("/api/v1/operator/settlement/cuts/1", headers=headers)).json()
    assert {account["account"] for account in cut["accounts"]} == {1, 2, agent.account, unbound.account}
    assert sum(account["delta"] for account in cut["accounts"]) == 0
    assert (await exchange.http.get("/api/v1/operator/settlement/cuts/2", headers=headers)).status_code == 404
    state = (await exchange.http.get("/api/v1/operator/state", headers=headers)).json()
    assert (state["deposits"], state["vault_expected"], state["conserved"]) == (7_000_000, 7_000_000, True)


async def test_the_state_is_hashed_only_when_asked_for(exchange: Any) -> None:
    await exchange.agent()
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    try:
        plain, hashed = await door.state(), await door.hashed_state()
    finally:
        await door.close()
    assert hashed.state_hash == state_hash(exchange.engine.state)
    assert (hashed.seq, hashed.deposits) == (plain.seq, plain.deposits)
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    answer = (await exchange.http.get("/api/v1/operator/state", headers=headers)).json()
    assert answer["state_hash"] is None


async def test_accounts_without_a_slot_are_listed_for_the_operator(exchange: Any) -> None:
    outcome = await exchange.engine.ask(c.RegisterAgent(str(Keypair().pubkey()), "x"))
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    waiting = (await exchange.http.get("/api/v1/operator/accounts/unbound", headers=headers)).json()
    assert waiting == [{"account": outcome[0].account, "owner": outcome[0].owner}]
