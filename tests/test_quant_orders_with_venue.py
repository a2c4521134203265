"""The quant interface over HTTP: tickets with and without a venue, keys and their scopes, quotas by venue, and what was done."""

import asyncio
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.quant import VaultTrading
from api.vault_books import VaultBooks
from cli.main import app
from core.market import Side
from core.quantities import MicroUsdc
from core.risk_template import VenueLimits
from core.vault_risk import Rules

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
desk_of, desk_at, vault, new_exchange = _desks.desk_of, _desks.desk_at, _desks.vault, _desks.new_exchange

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
    exchange = await new_exchange(quant=VaultTrading(desk.exec, desk.pool), vaults=books)
    manager = await exchange.agent("manager")
    assert manager.account == 16
    other = await exchange.agent("other")

    async def make(scopes=("read", "trade"), of=manager, name="desk-1"):
        body = {"vault": vault, "name": name, "scopes": list(scopes), "days": 1}
        return await exchange.http.post("/api/v1/quant/keys", json=body, headers=of.headers)

    make.exchange, make.manager, make.other, make.desk = exchange, manager, other, desk
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
    in_the_symbol = await quant.post(OPEN, symbol="mock_gold::XAU", side="buy", size="0.5")
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


async def test_each_refusal_is_an_error_with_its_code(quant, make_key, vault):
    async def refused(**ticket):
        answer = await quant.post(OPEN, **{"symbol": "XAU", "side": "buy", "size": "1"} | ticket)
        return answer.status_code, code(answer)

    assert await refused(venue="atlantis") == (404, "unknown_venue")
    assert await refused(symbol="hyper::XAU", venue="mock_gold") == (422, "ticket_invalid")
    assert await refused(order_type="limit") == (422, "ticket_invalid")
    assert await refused(size="0") == (422, "ticket_invalid")
    assert await refused(size="0.000000001") == (422, "validation_failed")
    assert await refused(symbol="SILVER") == (503, "price_unavailable")
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
    assert listed[0]["code"] == "vault_paused"
    assert {one["status"] for one in listed} == {"refused"}


async def test_what_the_venue_refuses_is_told_as_the_orders_status(quant):
    answer = await quant.post(OPEN, symbol="XAU", side="buy", size="0.00000001")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["code"]) == ("refused", "order_invalid")


async def test_keys_are_the_managers_to_make_and_end_with_its_sessions(make_key, quant):
    theirs = await make_key(of=make_key.other)
    assert (theirs.status_code, code(theirs)) == (404, "vault_unknown")
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
    another = Quant(make_key.exchange.http, (await make_key()).json()["key"])
    assert (
        code(await another.post(OPEN, symbol="mock_gold::SILVER", side="buy", size="0")) == "ticket_invalid"
    )


async def test_the_same_at_a_terminal(quant, make_key):
    key = quant.headers["Authorization"].split()[1]
    environment = {"QUANT_KEY": key, "API_URL": make_key.exchange.server.http_url, "COLUMNS": "200"}

    async def perpdex(*words):
        # Beside the loop, which is the exchange's.
        return await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)

    ticket = ("quant-order", "open", "XAU", "buy", "1", "--venue", "mock_gold", "--json")
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
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "unknown_venue")
    assert (await perpdex("quant-order", "cancel", "never")).stderr.startswith("venue_order_unknown")
    listed = json.loads((await perpdex("quant-order", "list", "--json")).stdout)["orders"]
    assert listed[-1]["client_id"] == "typed"
    without = await asyncio.to_thread(CliRunner().invoke, app, ["quant-positions"], env={"QUANT_KEY": ""})
    assert (without.exit_code, without.stderr.split(":")[0]) == (1, "there is no key")
