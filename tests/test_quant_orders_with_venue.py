"""The quant interface over HTTP: tickets with and without a venue, keys and their scopes, quotas by venue, and what was done."""

import asyncio
import json
import os
import sys
import time
from decimal import Decimal
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment
from typer.testing import CliRunner

from activities.order_rules import NOT_RUN_HERE, TOO_MANY_OPEN, OrderAsked
from api.errors import CATALOGUE
from api.quant import VaultTrading
from api.vault_books import VaultBooks
from cli.main import app
from core.market import Side
from core.quantities import SECOND, MicroUsdc
from core.risk_template import Code, VenueLimits
from core.tickets import OrderType, price_from
from core.vault_risk import Rules, VaultRisk
from ledger.nav import NavSnapshots
from ledger.vaults import Vault
from ledger.venue_fills import Difference
from perpdex_sdk.agents.strategy import signed_in
from perpdex_sdk.desk import Desk
from perpdex_sdk.errors import Refused, Unreachable
from venues.prices import VenuePriceRouter
from workflows.exec_service import ExecService

HERE = Path(__file__).parent


def _fixtures(name, path):
    """Fixtures of another folder, so that a desk here is the one of the order workflow's own tests."""
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_temporal = _fixtures("temporal_of_quants", HERE / "workflows" / "conftest.py")
_desks = _fixtures("desks_of_quants", HERE / "workflows" / "orders" / "conftest.py")
environment, client = _temporal.environment, _temporal.client
QUEUE = _desks.QUEUE
desk_of, desk_at, vault, new_exchange = _desks.desk_of, _desks.desk_at, _desks.vault, _desks.new_exchange

OPERATOR_TOKEN = "operator-token-of-the-tests-0123456789"
OPEN, CLOSE, CANCEL = (f"/api/v1/quant/orders/{what}" for what in ("open", "close", "cancel"))


class Quant:
    """Calls with a vault's key, over the doors of a running exchange."""

    def __init__(self, http, key):
        self.http = http
        self.headers = {"Authorization": f"Bearer {key}"}

    async def post(self, path, **body):
        return await self.http.post(path, json=body, headers=self.headers)

    async def get(self, what, **query):
        answer = await self.http.get(f"/api/v1/quant/{what}", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def make_key(desk_at, new_exchange, vault):
    """Keys of the vault, which agent 16 manages, at an exchange whose orders a real worker carries out."""
    desk = await desk_at("mock_gold")
    books = VaultBooks(lambda: desk.pool, desk.vaults.set_up, desk.vaults.common)
    trading = VaultTrading(desk.exec, desk.pool)
    exchange = await new_exchange(quant=trading, vaults=books, nav_interval_s=900)
    manager = await exchange.agent("manager")
    assert manager.account == 16
    other = await exchange.agent("other")

    async def make(scopes=("read", "trade"), of=manager, name="desk-1"):
        body = {"vault": vault, "name": name, "scopes": list(scopes), "days": 1}
        return await exchange.http.post("/api/v1/quant/keys", json=body, headers=of.headers)

    make.exchange, make.manager, make.other, make.desk, make.trading = (
        exchange,
        manager,
        other,
        desk,
        trading,
    )
    async with asyncio.timeout(60), desk.worker():
        yield make


@pytest.fixture
async def quant(make_key):
    made = await make_key()
    assert made.status_code == 200, made.text
    return Quant(make_key.exchange.http, made.json()["key"])


def code(answer):
    return answer.json()["error"]["code"]


async def test_one_ticket_whatever_says_the_venue(quant):
    with_venue = await quant.post(OPEN, symbol="XAU", venue="mock_gold", side="buy", size="1")
    in_the_symbol = await quant.post(OPEN, symbol="mock-gold::XAU", side="buy", size="0.5")
    without = await quant.post(OPEN, symbol="XAU", side="buy", size="0.5", client_id="third")
    for answer in (with_venue, in_the_symbol, without):
        assert answer.status_code == 200, answer.text
        assert (answer.json()["venue"], answer.json()["status"]) == ("mock_gold", "filled")
    again = await quant.post(OPEN, symbol="XAU", side="buy", size="0.5", client_id="third")
    assert again.json()["venue_order_id"] == without.json()["venue_order_id"]
    while (await quant.get("positions"))["positions"] != {"mock_gold": {"XAU": "2"}}:
        await asyncio.sleep(0.05)
    out = await quant.post(CLOSE, symbol="XAU", size="0.25")
    assert (out.json()["side"], out.json()["size"]) == ("sell", "0.25")
    while (await quant.get("positions"))["positions"] != {"mock_gold": {"XAU": "1.75"}}:
        await asyncio.sleep(0.05)
    listed = (await quant.get("orders"))["orders"]
    assert [one["placed_by"] for one in listed] == ["desk-1"] * 4
    assert listed[1]["client_id"] == "third"
    fills = (await quant.get("fills"))["fills"]
    assert {one["venue"] for one in fills} == {"mock_gold"}
    assert sum(float(one["size"]) for one in fills) == 2.25


async def test_events_are_numbered_and_have_positions_by_venue(quant):
    await quant.post(OPEN, symbol="XAU", side="buy", size="1", client_id="one")
    while not (found := await quant.get("events"))["events"] or found["events"][-1]["kind"] != "order":
        await asyncio.sleep(0.05)
    while (await quant.get("orders"))["orders"][0]["status"] != "filled":
        await asyncio.sleep(0.05)
    found = await quant.get("events")
    assert [one["number"] for one in found["events"]] == list(range(1, found["head"] + 1))
    (position,) = [one["data"] for one in found["events"] if one["kind"] == "position"]
    assert position == {"mock_gold": {"XAU": "1"}}
    orders = [one["data"] for one in found["events"] if one["kind"] == "order"]
    assert [one["status"] for one in orders] == ["accepted", "sent", "open", "filled"]
    assert {one["client_id"] for one in orders} == {"one"}
    rest = await quant.get("events", after=2, limit=1)
    assert rest["events"] == found["events"][2:3]


async def test_events_come_over_the_websocket_from_any_number_on(quant, make_key):
    key = quant.headers["Authorization"].split()[1]
    await quant.post(OPEN, symbol="XAU", side="buy", size="1", client_id="one")
    while (await quant.get("orders"))["orders"][0]["status"] != "filled":
        await asyncio.sleep(0.05)
    before = await quant.get("events")
    listener = make_key.other
    await listener.open()
    assert (await listener.ask(op="vault", id="v", key=key, after=2))["ev"] == "ack"
    missed = [await listener.until("vault_event") for _ in range(before["head"] - 2)]
    assert [(one["n"], one["data"]) for one in missed] == [
        (one["number"], one["data"]) for one in before["events"][2:]
    ]
    await quant.post(OPEN, symbol="XAU", side="sell", size="0.5", client_id="two")
    position = await listener.until("vault_event", kind="position")
    assert position["data"] == {"mock_gold": {"XAU": "0.5"}}
    # The next one is instead of that before, and begins with what is new.
    assert (await listener.ask(op="vault", id="w", key=key))["ev"] == "ack"
    refused = await listener.ask(op="vault", id="x", key="not a key")
    assert refused["code"] == "not_authenticated"
    trading = (await make_key(("trade",))).json()["key"]
    assert (await listener.ask(op="vault", id="y", key=trading))["code"] == "scope_missing"
    await make_key.exchange.http.delete("/api/v1/sessions", headers=make_key.manager.headers)
    await make_key.desk.vaults.pause("gold-fund", True, "ada", "lunch", 3)
    await make_key.desk.exec.open("gold-fund", make_key.desk.ticket(Side.BUY))
    assert (await listener.until("error"))["code"] == "session_revoked"


async def test_an_order_that_waits_is_taken_back(quant):
    ticket = {"symbol": "XAU", "side": "buy", "size": "1", "order_type": "limit", "limit_price": "3000"}
    placed = await quant.post(OPEN, **ticket, client_id="waits")
    assert placed.json()["status"] == "open"
    conflict = await quant.post(OPEN, **{**ticket, "size": "2"}, client_id="waits")
    assert (conflict.status_code, code(conflict)) == (409, "client_id_used")
    assert (await quant.post(CANCEL, client_id="waits")).json()["status"] == "cancelled"
    assert (await quant.post(CANCEL, client_id="waits")).json()["status"] == "cancelled"
    unknown = await quant.post(CANCEL, client_id="never")
    assert (unknown.status_code, code(unknown)) == (404, "venue_order_unknown")


async def test_an_operator_takes_back_what_waits_without_any_key(quant, make_key, vault, monkeypatch):
    """As after a pause: that stops nothing that a venue has already."""
    ticket = {"symbol": "XAU", "side": "buy", "size": "1", "order_type": "limit"}
    for name, price in (("one", "3000"), ("two", "2900"), ("three", "2800")):
        placed = await quant.post(OPEN, **ticket, limit_price=price, client_id=name)
        assert placed.json()["status"] == "open"
    monkeypatch.setenv("API_URL", make_key.exchange.server.http_url)
    monkeypatch.setenv("OPERATOR_TOKEN", OPERATOR_TOKEN)

    async def perpdex(*arguments, code=0):
        done = await asyncio.to_thread(CliRunner().invoke, app, ["vault", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    async def waiting():
        found = json.loads(await perpdex("orders", "list", vault, "--json"))["orders"]
        return [one["client_id"] for one in found]

    await perpdex("pause", vault, "--why", "enough")
    assert await waiting() == ["one", "two", "three"]
    # Somebody's session is not enough, and a reason is wanted.
    path = f"/api/v1/vaults/{vault}/orders/cancel"
    refused = await quant.http.post(path, json={"why": "mine"}, headers=make_key.other.headers)
    assert code(refused) == "vault_unknown"
    assert "--why" in await perpdex("orders", "cancel", vault, code=2)
    assert "venue_order_unknown" in await perpdex("orders", "cancel", vault, "never", "--why", "x", code=1)
    assert "cancelled" in await perpdex("orders", "cancel", vault, "two", "--why", "first this")
    assert await waiting() == ["one", "three"]
    # The exchange is in this process, and so is its log.
    said = await perpdex("orders", "cancel", vault, "--why", "all", "--json")
    done = json.loads(said[said.index("{\n") :])["orders"]
    assert [(one["client_id"], one["status"], one["code"]) for one in done] == [
        ("one", "cancelled", None),
        ("three", "cancelled", None),
    ]
    assert await waiting() == []
    assert await perpdex("orders", "cancel", vault, "--why", "nothing is left") == "none\n"
    kept = json.loads(await perpdex("changes", vault, "--json"))["changes"]
    assert [(one["what"], one["who"], one["why"]) for one in kept[:3]] == [
        ("2 orders taken back", "operator", "all"),
        ("order two taken back", "operator", "first this"),
        ("paused", "operator", "enough"),
    ]


async def test_who_cannot_be_asked_is_told_of_with_the_others(desk_at, vault, new_exchange):
    """Nobody works: each is told of as it stood, and that nobody answers."""
    desk = await desk_at("mock_gold")
    run = ActivityEnvironment().run
    price = price_from("3000")
    for name in ("a", "b"):
        ticket = desk.ticket(Side.BUY, order_type=OrderType.LIMIT, limit_price=price, client_id=name)
        await run(
            desk.steps.place_order, OrderAsked.of(vault, ticket, name, "ada"), desk.clock() + 60 * SECOND
        )
    trading = VaultTrading(ExecService(desk.client, "nobody-works-here", within_s=0.2), desk.pool)
    books = VaultBooks(lambda: desk.pool, desk.vaults.set_up, desk.vaults.common)
    exchange = await new_exchange(quant=trading, vaults=books)
    path, headers = f"/api/v1/vaults/{vault}/orders/cancel", {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    answer = await exchange.http.post(path, json={"why": "enough"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [(one["client_id"], one["status"], one["code"]) for one in answer.json()["orders"]] == [
        ("a", "open", "orders_unavailable"),
        ("b", "open", "orders_unavailable"),
    ]


async def test_who_lost_the_answer_asks_what_became_of_the_order(quant, make_key, vault):
    async def asked(client_id, by=quant):
        return await by.http.get(f"/api/v1/quant/orders/{client_id}", headers=by.headers)

    filled = (await quant.post(OPEN, symbol="XAU", side="buy", size="1", client_id="lost-1")).json()
    while (told := await asked("lost-1")).json()["status"] == "open":
        await asyncio.sleep(0.05)
    assert (told.status_code, told.json()) == (200, filled)
    assert int(told.headers["RateLimit-Remaining"]) >= 0
    # Refused by the rules, whether the ledger kept it or not.
    for path, body, why in (
        (OPEN, {"symbol": "XAU", "venue": "atlantis", "side": "buy", "size": "1"}, "unknown_venue"),
        (CLOSE, {"symbol": "SILVER", "venue": "mock_gold"}, "no_position"),
    ):
        refused = await quant.post(path, **body, client_id=why)
        assert code(refused) == why
        found = (await asked(why)).json()
        assert (found["client_id"], found["status"], found["code"]) == (why, "refused", why)
        assert (found["venue"], found["symbol"]) == (body["venue"], body["symbol"])
    for unknown in (await asked("never"), await asked("open")):
        assert (unknown.status_code, code(unknown)) == (404, "venue_order_unknown")
    assert (await asked("no%20name")).status_code == 422
    await make_key.desk.vaults.make(
        Vault(
            "another", 17, "mock_gold", False, 0, 0, 1, VaultRisk(frozenset(), make_key.desk.vaults.common)
        ),
        "ada",
    )
    body = {"vault": "another", "name": "x", "scopes": ["read"], "days": 1}
    theirs = await make_key.exchange.http.post(
        "/api/v1/quant/keys", json=body, headers=make_key.other.headers
    )
    assert code(await asked("lost-1", Quant(quant.http, theirs.json()["key"]))) == "venue_order_unknown"


async def test_an_order_that_nobody_has_judged_yet_is_told_as_accepted(desk_at, vault):
    """There is no worker: the order has begun, and that is all that anybody knows."""
    desk = await desk_at("mock_gold")
    trading = VaultTrading(ExecService(desk.client, "nobody-works-here", within_s=0.2), desk.pool)
    placed = await trading.orders.open(vault, desk.ticket(Side.SELL, client_id="waits"), "desk-1")
    told = await trading.order(vault, "waits")
    assert told == placed
    assert (told.status, told.side, told.size) == ("accepted", Side.SELL, desk.place.size)
    assert await trading.order(vault, "never") is None


async def test_an_order_that_temporal_has_forgotten_is_told_as_it_ended(desk_at, vault):
    desk = await desk_at("mock_gold")
    ticket = desk.ticket(Side.BUY, client_id="old")
    run = ActivityEnvironment().run
    asked = OrderAsked.of(vault, ticket, "old", "ada")
    # As it is when only the ledger is left of an order: there is no workflow.
    await run(desk.steps.place_order, asked, desk.clock() + 60 * SECOND)
    ended = await run(desk.following.follow_order, asked.ticket, 1)
    trading = VaultTrading(desk.exec, desk.pool)
    assert await trading.cancel(vault, "old") == ended
    assert (ended.status, ended.filled) == ("filled", desk.place.size)
    assert await trading.cancel(vault, "never") is None
    async with desk.worker():
        assert await desk.exec.open(vault, ticket) == ended
    assert sum(one.size for one in await desk.told()) == desk.place.size


async def test_each_refusal_is_an_error_with_its_code(quant, make_key, vault):
    async def refused(**ticket):
        answer = await quant.post(OPEN, **{"symbol": "XAU", "side": "buy", "size": "1"} | ticket)
        return answer.status_code, code(answer)

    assert await refused(venue="atlantis") == (404, "unknown_venue")
    # No name of a venue, however it is written, is a field of the wrong form.
    assert await refused(venue="Synthetix") == (404, "unknown_venue")
    assert await refused(symbol="Gold-X::XAU") == (404, "unknown_venue")
    assert await refused(symbol="mock_gold::XAU", venue="mock-gold", size="0") == (422, "ticket_invalid")
    assert await refused(symbol="hyper::XAU", venue="mock_gold") == (422, "ticket_invalid")
    assert await refused(order_type="limit") == (422, "ticket_invalid")
    assert await refused(size="0") == (422, "ticket_invalid")
    assert await refused(size="0.000000001") == (422, "validation_failed")
    assert await refused(symbol="SILVER") == (409, "price_unavailable")
    rules = Rules(
        symbols=frozenset({"XAU"}), per_venue={"mock_gold": VenueLimits(1, 2, None, MicroUsdc(10**9))}
    )
    assert not isinstance(
        await make_key.desk.vaults.set_risk(vault, "manager", rules, "ada", "small", 2), list
    )
    assert await refused(symbol="SILVER") == (403, "symbol_not_allowed")
    assert await refused(leverage=3) == (422, "leverage_too_high")
    assert await refused() == (422, "notional_too_large")
    await make_key.desk.vaults.pause(vault, True, "ada", "lunch", 3)
    assert await refused(size="0.1") == (409, "vault_paused")
    nothing = await quant.post(CLOSE, symbol="XAU")
    assert (nothing.status_code, code(nothing)) == (409, "no_position")
    listed = (await quant.get("orders"))["orders"]
    assert [one["code"] for one in listed[:2]] == ["no_position", "vault_paused"]
    assert (listed[0]["side"], listed[0]["size"], listed[0]["reduce_only"]) == (None, "0", True)
    told = (await quant.get("events"))["events"][-1]["data"]
    assert (told["side"], told["status"], told["code"]) == (None, "refused", "no_position")
    assert {one["status"] for one in listed} == {"refused"}


async def test_what_the_venue_refuses_is_told_as_the_orders_status(quant):
    answer = await quant.post(OPEN, symbol="XAU", side="buy", size="0.00000001")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["code"]) == ("refused", "order_invalid")


async def test_keys_are_the_managers_to_make_and_end_with_its_sessions(make_key, quant):
    theirs = await make_key(of=make_key.other)
    assert (theirs.status_code, code(theirs)) == (404, "vault_unknown")
    unnamed = await make_key(name="nul\x00")
    assert (unnamed.status_code, code(unnamed)) == (422, "validation_failed")
    reading = Quant(make_key.exchange.http, (await make_key(("read",))).json()["key"])
    assert (await reading.get("positions"))["positions"] == {}
    answer = await reading.post(OPEN, symbol="XAU", side="buy", size="1")
    assert (answer.status_code, code(answer)) == (403, "scope_missing")
    session = Quant(make_key.exchange.http, make_key.manager.token)
    answer = await session.post(OPEN, symbol="XAU", side="buy", size="1")
    assert (answer.status_code, code(answer)) == (401, "not_authenticated")
    key = quant.headers["Authorization"].split()[1]
    as_session = await make_key.exchange.http.get(
        "/api/v1/account", headers={"Authorization": f"Bearer {key}"}
    )
    assert code(as_session) == "not_authenticated"
    revoked = await make_key.exchange.http.delete("/api/v1/sessions", headers=make_key.manager.headers)
    assert revoked.status_code == 204, revoked.text
    answer = await quant.post(OPEN, symbol="XAU", side="buy", size="1")
    assert (answer.status_code, code(answer)) == (401, "session_revoked")


async def test_an_order_whose_time_has_come_is_not_sent(quant):
    late = await quant.post(OPEN, symbol="XAU", side="buy", size="1", client_id="late", not_after=1)
    assert (late.json()["status"], late.json()["code"]) == ("not_sent", "too_late")
    again = await quant.post(OPEN, symbol="XAU", side="buy", size="1", client_id="late")
    assert again.json() == late.json()
    before = time.time_ns() // 1_000
    assert (await quant.post(OPEN, symbol="XAU", side="buy", size="1")).json()["status"] == "filled"
    while not (await quant.get("positions"))["positions"]:
        await asyncio.sleep(0.05)
    closed = await quant.post(CLOSE, symbol="XAU", not_after=before + 1_000_000_000)
    assert closed.status_code == 200, closed.text
    closing, opening, first = (await quant.get("orders"))["orders"]
    assert (first["status"], first["code"], first["not_after"]) == ("not_sent", "too_late", 1)
    # Half a minute for an order at the market, and never more than ten.
    assert 30_000_000 <= opening["not_after"] - before < 60_000_000
    assert 600_000_000 <= closing["not_after"] - before < 630_000_000
    assert (await quant.get("positions"))["positions"] in ({}, {"mock_gold": {"XAU": "1"}})


async def test_one_key_is_revoked_at_once_and_no_other(quant, make_key, vault):
    http, manager, other = make_key.exchange.http, make_key.manager, make_key.other
    made = (await make_key(name="desk-2")).json()
    second = Quant(http, made["key"])
    listener, keys = make_key.other, f"/api/v1/vaults/{vault}/keys"
    await listener.open()
    assert (await listener.ask(op="vault", id="v", key=made["key"]))["ev"] == "ack"
    for headers, refusal in (
        (other.headers, "vault_unknown"),
        (second.headers, "not_authenticated"),
        ({}, "not_authenticated"),
    ):
        for call in (
            http.get(keys, headers=headers),
            http.post(f"{keys}/{made['id']}/revoke", json={}, headers=headers),
        ):
            assert code(await call) == refusal
    none = await http.post(f"{keys}/{'0' * 16}/revoke", json={}, headers=manager.headers)
    assert (none.status_code, code(none)) == (404, "key_unknown")
    body = {"why": "left the desk"}
    for _ in range(2):
        revoked = await http.post(f"{keys}/{made['id']}/revoke", json=body, headers=manager.headers)
        assert revoked.status_code == 200, revoked.text
        body = {"why": "again, which says nothing new"}
    answer = await second.post(OPEN, symbol="XAU", side="buy", size="1")
    assert (answer.status_code, code(answer)) == (401, "key_revoked")
    assert code(await second.post(CANCEL, client_id="x")) == "key_revoked"
    # Who listens with it is told without an event that would wake it.
    assert (await listener.until("error"))["code"] == "key_revoked"
    refused = await listener.ask(op="vault", id="w", key=made["key"])
    assert (refused["id"], refused["code"]) == ("w", "key_revoked")
    assert (await quant.get("positions"))["positions"] == {}
    newest, first = (await http.get(keys, headers=manager.headers)).json()["keys"]
    assert (newest["id"], newest["name"], newest["scopes"]) == (made["id"], "desk-2", ["read", "trade"])
    assert (newest["account"], newest["expires_at"]) == (manager.account, made["expires_at"])
    assert (newest["revoked_by"], newest["why"]) == (f"account/{manager.account}", "left the desk")
    assert newest["at"] <= newest["revoked_at"] < newest["expires_at"]
    assert (first["name"], first["revoked_at"], first["revoked_by"], first["why"]) == (
        "desk-1",
        None,
        None,
        None,
    )
    done = (await http.get(f"/api/v1/vaults/{vault}/changes", headers=manager.headers)).json()["changes"]
    assert [(one["what"], one["who"]) for one in done[:3]] == [
        (what, f"account/{manager.account}") for what in ("key revoked", "key made", "key made")
    ]
    assert done[0]["why"] == f"desk-2 ({made['id']}): left the desk"


async def test_an_operator_revokes_a_key_at_a_terminal(quant, make_key, vault):
    environment = {"API_URL": make_key.exchange.server.http_url, "OPERATOR_TOKEN": OPERATOR_TOKEN}

    async def perpdex(*words):
        return await asyncio.to_thread(CliRunner().invoke, app, ("vault", *words), env=environment)

    [listed] = json.loads((await perpdex("key", "list", vault, "--json")).stdout)["keys"]
    done = await perpdex("key", "revoke", vault, listed["id"], "--why", "a leak")
    assert done.exit_code == 0, done.output
    assert "a leak" in (await perpdex("key", "list", vault)).stdout
    assert "key revoked" in (await perpdex("changes", vault)).stdout
    assert code(await quant.post(OPEN, symbol="XAU", side="buy", size="1")) == "key_revoked"
    unknown = await perpdex("key", "revoke", vault, "0" * 16, "--why", "a leak")
    assert (unknown.exit_code, unknown.stderr.split(":")[0]) == (1, "key_unknown")


async def test_a_manager_makes_and_revokes_keys_at_a_terminal(make_key, vault, tmp_path):
    environment = {"API_URL": make_key.exchange.server.http_url}
    file = tmp_path / "somewhere.json"
    file.write_text(make_key.manager.keypair.to_json())
    file.chmod(0o600)
    by = ("--manager-key", str(file), "--agent", "manager")

    async def perpdex(*words):
        return await asyncio.to_thread(
            CliRunner().invoke, app, ("vault", "key", *words, *by), env=environment
        )

    shown = await perpdex("create", vault, "--name", "desk-1", "--days", "1", "--json")
    assert shown.exit_code == 0, shown.output
    made = json.loads(shown.stdout)
    assert made["scopes"] == ["read", "trade"]
    placed = await Quant(make_key.exchange.http, made["key"]).post(OPEN, symbol="XAU", side="buy", size="1")
    assert placed.json()["status"] == "filled"
    kept = tmp_path / "desk-2.key"
    table = await perpdex("create", vault, "--name", "desk-2", "--scope", "read", "--to", str(kept))
    assert table.exit_code == 0, table.output
    reading = Quant(make_key.exchange.http, kept.read_text().strip())
    assert (await reading.get("positions"))["head"] >= 0
    assert code(await reading.post(CANCEL, client_id="x")) == "scope_missing"
    assert (kept.stat().st_mode & 0o777, reading.headers["Authorization"].split()[1] in table.stdout) == (
        0o600,
        False,
    )
    revoked = await perpdex("revoke", vault, made["id"], "--why", "left the desk")
    assert "left the desk" in revoked.stdout
    [second, first] = json.loads((await perpdex("list", vault, "--json")).stdout)["keys"]
    assert (second["name"], second["scopes"], second["revoked_by"]) == ("desk-2", ["read"], None)
    assert (first["id"], first["revoked_by"]) == (made["id"], f"account/{make_key.manager.account}")
    assert "vault_unknown" in (await perpdex("create", "no-such-vault", "--name", "x")).stderr
    assert (await perpdex("create", vault, "--name", "x", "--scope", "withdraw")).exit_code == 2


async def test_differences_and_alerts_are_in_the_metrics(make_key, vault):
    desk, exchange = make_key.desk, make_key.exchange
    for ours, theirs, at in ((0, 5, 3 * SECOND), (5, 2, 4 * SECOND)):
        assert await desk.fills.correct(vault, "mock_gold", Difference("XAU", ours, theirs, 0), at)
    nav, now = NavSnapshots(desk.pool), int(exchange.clock())
    for at in (now - 7_200 * SECOND, now - 3_600 * SECOND):
        await nav.take(at, "", 10, at)
    lines: list[str] = []
    async with asyncio.timeout(60):
        # A ledger that a busy machine keeps from answering at once is told as one that is not known.
        while "perpdex_vault_figures_known 1.0" not in lines:
            lines = (await exchange.http.get("/metrics")).text.splitlines()
    for line in (
        'perpdex_venue_differences_total{venue="mock_gold"} 2.0',
        'perpdex_venue_difference_timestamp_seconds{venue="mock_gold"} 4.0',
        'perpdex_nav_alerts{kind="no_price"} 1.0',
        'perpdex_nav_alerts{kind="drawdown"} 0.0',
        'perpdex_nav_alerts_said_total{kind="no_price"} 2.0',
        'perpdex_nav_alerts_said_total{kind="jump"} 0.0',
    ):
        assert line in lines
    [age] = [line.split()[1] for line in lines if line.startswith("perpdex_nav_age_seconds ")]
    assert 3_600 <= float(age) < 3_700
    [ahead] = [line.split()[1] for line in lines if line.startswith("perpdex_nav_ahead_seconds ")]
    assert -3_700 < float(ahead) <= -3_600
    assert "perpdex_nav_interval_seconds 900.0" in lines


async def test_a_quota_is_one_keys_at_one_venue_and_told_with_every_answer(quant, make_key):
    left, answer = [], None
    for _ in range(40):
        answer = await quant.post(OPEN, symbol="mock_gold::SILVER", side="buy", size="0")
        left.append(int(answer.headers["RateLimit-Remaining"]))
        if answer.status_code == 429:
            break
    assert code(answer) == "rate_limited"
    assert answer.headers["RateLimit-Limit"] == "20"
    assert (left[0], left[-1]) == (19, 0)
    elsewhere = await quant.post(OPEN, symbol="atlantis::SILVER", side="buy", size="0")
    assert (elsewhere.status_code, elsewhere.headers["RateLimit-Remaining"]) == (422, "19")
    # Another name that is none is no way around it.
    made_up = await quant.post(OPEN, symbol="lemuria::SILVER", side="buy", size="0")
    assert made_up.headers["RateLimit-Remaining"] == "18"
    another = Quant(make_key.exchange.http, (await make_key()).json()["key"])
    assert (
        code(await another.post(OPEN, symbol="mock_gold::SILVER", side="buy", size="0")) == "ticket_invalid"
    )


async def test_what_names_no_venue_is_counted_before_anything_is_looked_up(quant):
    left = []
    for symbol in ("hyper::", "mock_gold::XAU"):
        refused = await quant.post(OPEN, symbol=symbol, side="buy", size="1", venue="synthetix")
        assert code(refused) in ("validation_failed", "ticket_invalid")
        left.append(refused.headers.get("RateLimit-Remaining"))
    assert left == [None, "19"]


async def test_a_vault_has_so_many_keys_and_no_more(make_key, monkeypatch):
    monkeypatch.setattr("ledger.vault_keys.MOST_KEYS", 3)
    made = [await make_key() for _ in range(2)]
    assert [one.status_code for one in made] == [200, 200]
    at_once = await asyncio.gather(make_key(), make_key())
    assert sorted(one.status_code for one in at_once) == [200, 409]
    assert {code(one) for one in at_once if one.status_code == 409} == {"too_many_keys"}


async def test_the_same_at_a_terminal(quant, make_key):
    key = quant.headers["Authorization"].split()[1]
    environment = {"QUANT_KEY": key, "API_URL": make_key.exchange.server.http_url, "COLUMNS": "40"}

    async def perpdex(*words):
        # Beside the loop, which is the exchange's.
        return await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)

    ticket = ("quant-order", "open", "XAU", "buy", "1", "--venue", "mock_gold", "--within", "20", "--json")
    placed = await perpdex(*ticket, "--client-id", "typed")
    assert placed.exit_code == 0, placed.output
    assert json.loads(placed.stdout)["status"] == "filled"
    while not (await quant.get("positions"))["positions"]:
        await asyncio.sleep(0.05)
    as_json = await perpdex("quant-positions", "--json")
    assert json.loads(as_json.stdout) == {"mock_gold": {"XAU": "1"}}
    as_table = await perpdex("quant-positions")
    assert ["mock_gold", "XAU", "1"] in [row.split()[1::2] for row in as_table.stdout.splitlines()]
    out = await perpdex("quant-order", "close", "XAU", "--size", "0.5")
    assert (out.exit_code, "sell" in out.stdout) == (0, True)
    refused = await perpdex("quant-order", "open", "XAU", "buy", "1", "--venue", "synthetix")
    [first, said, again] = refused.stderr.splitlines()
    assert (refused.exit_code, said.split(":")[0]) == (1, "unknown_venue")
    # Made up before it was sent, and told whatever comes of it.
    assert again.startswith(f"{first}: ")
    shown = await perpdex("quant-order", "show", "typed", "--json")
    assert json.loads(shown.stdout) == json.loads(placed.stdout)
    assert "filled" in (await perpdex("quant-order", "show", "typed")).stdout
    for command in ("cancel", "show"):
        assert (await perpdex("quant-order", command, "never")).stderr.startswith("venue_order_unknown")
    listed = json.loads((await perpdex("quant-order", "list", "--json")).stdout)["orders"]
    assert listed[-1]["client_id"] == "typed"
    # Narrow screens cut nothing: an order is taken back by what its own list says.
    long = "a-client-id-of-an-agent-that-gives-long-ones-0123456789"
    await perpdex("quant-order", "open", "XAU", "buy", "0.12345678", "--limit", "1", "--client-id", long)
    row = next(line for line in (await perpdex("quant-order", "list")).stdout.splitlines() if long in line)
    assert "0.12345678" in row
    as_json = await perpdex(
        "quant-order", "open", "XAU", "buy", "1", "--venue", "atlantis", "--client-id", "no", "--json"
    )
    told = json.loads(as_json.stdout)
    assert (as_json.exit_code, told["error"]["code"], told["client_id"]) == (1, "unknown_venue", "no")
    without = await asyncio.to_thread(CliRunner().invoke, app, ["quant-positions"], env={"QUANT_KEY": ""})
    assert (without.exit_code, without.stderr.split(":")[0]) == (1, "no_key")


async def test_the_sdk_s_desk_sends_closes_cancels_and_asks_again(make_key):
    desk = Desk(make_key.exchange.server.http_url, (await make_key()).json()["key"])
    try:
        bought = await desk.open("XAU", "buy", Decimal("1.0"), "one", venue="mock_gold")
        assert (bought.status, bought.filled, bought.code) == ("filled", "1", None)
        assert (await desk.open("XAU", "buy", Decimal("1.0"), "one", venue="mock_gold")) == bought
        with pytest.raises(Refused, match="client_id_used"):
            await desk.open("XAU", "sell", "1", "one", venue="mock_gold")
        with pytest.raises(Refused, match="unknown_venue"):
            await desk.open("XAU", "buy", "1", "two", venue="atlantis")
        resting = await desk.open("XAU", "buy", "0.5", "three", limit="3000")
        assert (resting.venue, resting.status) == ("mock_gold", "open")
        assert (await desk.cancel("three")).status == "cancelled"
        assert (await desk.order("three")).venue_order_id == resting.venue_order_id
        with pytest.raises(Refused, match="venue_order_unknown"):
            await desk.order("two-and-a-half")
        assert (await desk.order("two")).code == "unknown_venue"
        while (held := await desk.positions()).positions != {"mock_gold": {"XAU": "1"}}:
            await asyncio.sleep(0.05)
        closed = await desk.close_position("mock_gold::XAU", "four", size="0.25")
        assert (closed.side, closed.size, closed.status) == ("sell", "0.25", "filled")
        told = await desk.events(0, limit=3)
        assert [one.number for one in told.events] == [1, 2, 3]
        assert told.head >= held.head > 3
        while (last := (await desk.events(held.head)).events[-1]).kind != "order" or last.data[
            "status"
        ] != "filled":
            await asyncio.sleep(0.05)
    finally:
        await desk.close()


class LosesAnswers(Interceptor):
    """Temporal does what it is asked to, and the answer is lost, as long as `loses`."""

    loses = True

    def intercept_client(self, next):
        interceptor = self

        class Asking(OutboundInterceptor):
            async def start_update_with_start_workflow(self, input):
                answer = await super().start_update_with_start_workflow(input)
                if interceptor.loses:
                    raise RPCError("no connection", RPCStatusCode.UNAVAILABLE, b"")
                return answer

        return Asking(next)


@pytest.fixture
async def losing(make_key):
    """The exchange loses Temporal's answers."""
    lost = LosesAnswers()
    told = make_key.desk.client.config() | {"interceptors": [lost]}
    make_key.trading.orders = ExecService(Client(**told), QUEUE)
    lost.key = (await make_key()).json()["key"]
    return lost


async def test_a_call_without_a_client_id_is_told_the_one_that_was_made_up_also_when_it_fails(
    losing, make_key
):
    quant = Quant(make_key.exchange.http, losing.key)
    ticket = {"symbol": "XAU", "side": "buy", "size": "1"}
    for path, body in ((OPEN, ticket), (CLOSE, {"symbol": "XAU"})):
        losing.loses = True
        failed = await quant.post(path, **body)
        assert (failed.status_code, code(failed)) == (503, "orders_unavailable")
        losing.loses = False
        told = await quant.post(path, **body, client_id=failed.json()["error"]["client_id"])
        assert told.json()["status"] in ("open", "filled")
        while (await quant.get("orders"))["orders"][0]["status"] != "filled":
            await asyncio.sleep(0.05)
    assert [one.side * one.size for one in await make_key.desk.told()] == [10**8, -(10**8)]
    refused = await quant.post(OPEN, **ticket | {"venue": "atlantis"})
    named = refused.json()["error"]["client_id"]
    assert (await quant.http.get(f"/api/v1/quant/orders/{named}", headers=quant.headers)).json()[
        "code"
    ] == "unknown_venue"


async def test_the_desk_and_the_terminal_make_a_client_id_before_they_send(losing, make_key):
    url = make_key.exchange.server.http_url
    desk = Desk(url, losing.key)
    try:
        with pytest.raises(Refused, match="client id") as failed:
            await desk.open("XAU", "buy", "1")
        environment = {"QUANT_KEY": losing.key, "API_URL": url}
        words = ["quant-order", "open", "XAU", "buy", "2"]
        typed = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
        assert typed.exit_code == 1
        [first, *_] = typed.stderr.splitlines()
        losing.loses = False
        again = await desk.open("XAU", "buy", "1", failed.value.client_id)
        assert (again.client_id, again.filled) == (failed.value.client_id, "1")
        name = first.removeprefix("client id ")
        again = await asyncio.to_thread(
            CliRunner().invoke, app, [*words, "--client-id", name, "--json"], env=environment
        )
        assert json.loads(again.stdout)["filled"] == "2"
        nobody = Desk("http://127.0.0.1:1", losing.key)
        nobody._rest.call = partial(nobody._rest.call, tries=1)
        with pytest.raises(Unreachable) as unreached:
            await nobody.close_position("XAU")
        assert str(unreached.value).endswith(f"(client id {unreached.value.client_id})")
        await nobody.close()
    finally:
        await desk.close()
    assert sum(one.size for one in await make_key.desk.told()) == 3 * 10**8


async def test_what_is_refused_for_want_of_a_price_stays_so_and_says_so(quant, make_key):
    desk = make_key.desk
    known, desk.prices = desk.prices, VenuePriceRouter({}, [], lambda leg: None, time.time_ns)
    ticket = {"symbol": "XAU", "side": "buy", "size": "1"}
    refused = await quant.post(OPEN, **ticket, client_id="dark")
    error = refused.json()["error"]
    assert (error["code"], error["retryable"], error["client_id"]) == ("price_unavailable", False, "dark")
    assert "under another" in error["message"]
    desk.prices = known
    again = await quant.post(OPEN, **ticket, client_id="dark")
    assert again.json()["error"] == error
    assert (await quant.post(OPEN, **ticket, client_id="light")).json()["status"] == "filled"


def test_no_refusal_of_the_rules_says_that_the_same_call_may_succeed():
    """They are kept under their client id."""
    kept = {code.value for code in Code} | {*NOT_RUN_HERE, TOO_MANY_OPEN}
    assert not [code for code in kept if CATALOGUE[code].retryable]


async def test_a_strategy_trades_a_vault_in_a_process_of_its_own(make_key, tmp_path):
    url, desk = make_key.exchange.server.http_url, make_key.desk
    rest, account = await signed_in(url, tmp_path, None)
    await rest.close()
    risk = VaultRisk(desk.vaults.set_up, desk.vaults.common)
    await desk.vaults.make(Vault("second", account, "mock_gold", False, 0, 0, 1, risk), "ada")
    await NavSnapshots(desk.pool).take(5_000, "", 9, 5_001)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "perpdex_sdk.agents.strategy", "--url", url, "--keys", str(tmp_path)),
        *("--vault", "second", "--pause", "0.1", "mock_gold::XAU:0.5:1", "atlantis::XAU:1:1"),
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "sdk")},
        stdout=asyncio.subprocess.PIPE,
    )
    lines = [json.loads(await process.stdout.readline())]
    while lines[-1].get("orders", {}).get("mock_gold", {}).get("filled", 0) < 1:
        lines.append(json.loads(await process.stdout.readline()))
    process.terminate()
    rest_of_it, _ = await process.communicate()
    lines += [json.loads(line) for line in rest_of_it.splitlines()]
    assert process.returncode == 0
    assert lines[0] == {"type": "ready", "role": "strategy", "agents": [account]}
    assert lines[-1] == {"type": "done", "role": "strategy", "mismatches": 0}
    said = lines[-2]
    assert (said["vault"], said["nav"], said["at"], said["demo_prices"]) == ("second", "0.000000", 5, [])
    # What the rules refuse does not keep it from the rest.
    assert set(said["orders"]["atlantis"]) == {"refused"}
    [(key_file, mode)] = [(one, one.stat().st_mode & 0o777) for one in tmp_path.glob("second.key")]
    assert mode == 0o600
    held = Quant(make_key.exchange.http, key_file.read_text().strip())
    assert (await held.get("positions"))["positions"] == said["positions"]
    listed = (await held.get("orders"))["orders"]
    filled = [one for one in listed if one["status"] == "filled"]
    assert {(one["placed_by"], one["venue"], one["size"]) for one in filled} == {
        ("strategy", "mock_gold", "0.5")
    }
    assert len(filled) == said["orders"]["mock_gold"]["filled"]
