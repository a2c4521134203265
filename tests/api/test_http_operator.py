"""What the operator's programs ask over HTTP."""

import asyncio
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair
from temporalio.exceptions import ApplicationError

from activities.engine_door import PLACES_MAX, EngineDoor, LimitsView, OrderedSlot
from api.cuts import SLICE, encoded
from api.schemas_public import CutAnswer
from core.batches import BatchStatus
from core.quantities import SECOND
from core.validity import Validity
from matcher import commands as c
from matcher.image import state_hash


async def test_the_operators_door(exchange: Any) -> None:
    agent = await exchange.agent(deposit=7_000_000)
    unbound = await exchange.agent("late", deposit=0)
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    waiting = (await exchange.http.get("/api/v1/operator/accounts/unbound", headers=headers)).json()
    assert waiting == {"accounts": [], "next": 0}  # the fixture binds every agent
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


async def test_others_have_their_turn_while_a_cut_of_many_is_told(exchange: Any) -> None:
    agent = await exchange.agent(deposit=7_000_000)
    count = 3 * SLICE
    for number in range(1, count + 1):
        (registered,) = await exchange.engine.ask(
            c.RegisterAgent(str(agent.keypair.pubkey()), f"agent {number}")
        )
        await exchange.engine.ask(c.BindSlot(registered.account, 1 + number // 110, number % 110))
    await exchange.engine.ask(c.CutSettlement(1))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    body = await encoded(exchange.engine.state, exchange.engine.state.cut)
    turning.cancel()
    assert turns >= 3
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    try:
        cut = await door.cut(1)
    finally:
        await door.close()
    assert CutAnswer.model_validate_json(body).model_dump() == msgspec.to_builtins(cut)
    bound = {account for account, held in exchange.engine.state.accounts.items() if held.page >= 0}
    assert [one.account for one in cut.accounts] == sorted(bound)
    assert len(bound) > count


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


async def test_requests_to_leave_are_read_without_all_accounts(exchange: Any) -> None:
    leaver, _ = await exchange.agent("leaver", deposit=10), await exchange.agent("stays")
    at = exchange.clock() // SECOND + 3_600
    command = {"type": "RequestExit", "account": leaver.account, "amount": 5, "exit_at": at}
    assert (await exchange.operator(command)).status_code == 200
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    try:
        (one,) = await door.exits()
    finally:
        await door.close()
    held = exchange.engine.state.accounts[leaver.account]
    noted = exchange.engine.state.exits[leaver.account].at
    asked = (leaver.account, held.owner, held.page, held.slot, 5, at, False, False, noted)
    assert msgspec.structs.astuple(one) == asked


async def test_accounts_without_a_slot_are_listed_for_the_operator(exchange: Any) -> None:
    outcome = await exchange.engine.ask(c.RegisterAgent(str(Keypair().pubkey()), "x"))
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    waiting = (await exchange.http.get("/api/v1/operator/accounts/unbound", headers=headers)).json()
    assert waiting == {
        "accounts": [{"account": outcome[0].account, "owner": outcome[0].owner}],
        "next": 0,
    }


async def test_of_many_accounts_without_a_slot_the_newest_are_always_listed_and_all_in_turn(
    exchange: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registering is free: a crowd that never gets a slot must not keep a newcomer from its."""
    monkeypatch.setattr("api.routes.operator.UNBOUND_MAX", 3)
    owner = str(Keypair().pubkey())
    accounts = [(await exchange.engine.ask(c.RegisterAgent(owner, str(n))))[0].account for n in range(8)]
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    after, looks = 0, []
    try:
        for _ in range(4):
            page = await door.unbound(after)
            looks.append([one.account for one in page.accounts])
            after = page.next
    finally:
        await door.close()
    assert looks[0] == [*accounts[:3], *accounts[-3:]]
    assert looks[1] == accounts[3:]
    assert looks[2] == accounts[-3:]
    assert looks[3] == looks[0]


async def test_a_cut_at_an_index_that_is_not_believed_may_be_tried_again(exchange: Any) -> None:
    maker, trader = await exchange.maker(), await exchange.agent("trader")
    order = {"id": "r1", "market": "BTC-PERP", "side": "buy", "size": "0.5", "limit": "60010.0"}
    assert (
        await exchange.http.post("/api/v1/requests", json=order, headers=trader.headers)
    ).status_code == 200
    exchange.index(1, 600_000, Validity.LONE)
    door = EngineDoor(exchange.server.http_url, "operator-token-of-the-tests-0123456789")
    try:
        with pytest.raises(ApplicationError, match="BTC-PERP is lone") as refused:
            await door.command(c.CutSettlement(1))
        assert (refused.value.type, refused.value.non_retryable) == ("index_unavailable", False)
        exchange.index(1, 600_000, Validity.AGED)
        assert (await door.command(c.CutSettlement(1))).event("SettlementCut")["batch"] == 1
    finally:
        await door.close()
    await maker.socket.close()


@pytest.mark.parametrize(
    "command",
    [
        {"type": "CreditDeposit", "account": 16, "amount": 1_000_000, "key": "made-up:0"},
        {"type": "FinishWithdrawal", "withdrawal": 1, "paid": True, "signature": "made-up"},
        {"type": "AdvanceBatch", "batch": 1, "status": 4},
    ],
    ids=lambda command: command["type"],
)
async def test_a_person_moves_no_money_without_leaving_a_name(exchange: Any, command: Any) -> None:
    answer = await exchange.operator(command, token="token-of-another-operator-called-ada-012")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "network_only")
    assert exchange.engine.state.deposited == 0


async def test_what_loss_limits_cost_to_read_goes_by_the_limits_and_not_by_the_accounts(
    exchange: Any,
) -> None:
    path, token = "/api/v1/operator/settlement/loss-limits", "operator-token-of-the-tests-0123456789"
    door, owner = EngineDoor(exchange.server.http_url, token), str(Keypair().pubkey())
    operator = {"Authorization": f"Bearer {token}"}

    async def register(number: int) -> int:
        account: int = (await exchange.engine.ask(c.RegisterAgent(owner, str(number))))[0].account
        await exchange.engine.ask(c.BindSlot(account, *divmod(account, 100)))
        return account

    async def limit(accounts: list[int]) -> None:
        slots = tuple(c.LimitedSlot(one, 10**9, 10**9, 0) for one in accounts)
        await exchange.engine.ask(c.SeeLossLimits(0, True, slots))

    async def size() -> int:
        return len((await exchange.http.get(f"{path}?account={first}", headers=operator)).content)

    try:
        first = await register(0)
        await limit([first])
        alone = await size()
        others = await asyncio.gather(*map(register, range(1, 1_000)))
        assert await size() == alone
        unbound = (await exchange.engine.ask(c.RegisterAgent(owner, "no slot")))[0].account
        asked = [first, others[-1], unbound, 10**9]
        view = await door.loss_limits(asked)
        places = [OrderedSlot(one, owner, *divmod(one, 100)) for one in asked[:2]]
        assert view == LimitsView(0, BatchStatus.FINAL, [first], places)
        await limit(others)
        assert await size() - alone == sum(len(f",{one}") for one in others)
        too_many = await exchange.http.get(
            path, params={"account": list(range(PLACES_MAX + 1))}, headers=operator
        )
        assert too_many.status_code == 422
    finally:
        await door.close()
