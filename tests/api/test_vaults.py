"""Vaults over the API: who sees and decides what, whose rules count, and what comes of transfers and snapshots."""

from typing import Any

import pytest

from core.tickets import leg_from, price_from, size_from
from ledger.database import open_pool
from ledger.nav import NavPrice, NavSnapshots
from ledger.vault_keys import VaultKey, VaultKeys
from ledger.venue_fills import TakenFill, VenueFills, unpriced_words

OPERATOR = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
ADA = {"Authorization": "Bearer token-of-another-operator-called-ada-012"}
PRICES = {"hyper::ETH": "2000", "synthetix::XAU": "4000.5", "mock_gold::XAU": "4000"}
POSITIONS = {"ETH": "1.5", "synthetix::XAU": "-0.8", "mock_gold::XAU": "2.0"}


class Desk:
    """An exchange with a vault, its manager, and two who may have shares of it."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.http = exchange.http

    async def open(self, **body: Any) -> "Desk":
        self.manager, self.ann, self.bob = [await self.exchange.agent(name) for name in ("m", "ann", "bob")]
        body = {"id": "alpha", "manager": self.manager.account, "performance_fee_ppm": 200_000, **body}
        made = await self.http.post("/api/v1/vaults", json=body, headers=OPERATOR)
        assert made.status_code == 200, made.text
        return self

    async def get(self, path: str, headers: Any = OPERATOR, **query: Any) -> Any:
        answer = await self.http.get(f"/api/v1{path}", headers=headers, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def code(self, method: str, path: str, headers: Any, body: Any = None) -> str:
        answer = await self.http.request(method, f"/api/v1{path}", headers=headers, json=body)
        return str(answer.json()["error"]["code"]) if answer.is_error else ""

    async def risk(self, headers: Any, **body: Any) -> str:
        return await self.code("PUT", "/vaults/alpha/risk", headers, body)

    async def snapshot(self, **changed: str) -> int:
        """Of now; its instant."""
        at = int(self.exchange.clock())
        nav = NavSnapshots(self.exchange.ledger.pool())
        prices = PRICES | {name.replace("__", "::"): price for name, price in changed.items()}
        found = {
            leg_from(name): NavPrice(price_from(text), at, "a test", "venue") for name, text in prices.items()
        }
        await nav.record_prices(at, found)
        await nav.take(at, "", 10, at)
        return at


@pytest.fixture
async def desk(exchange: Any) -> Desk:
    return await Desk(exchange).open()


async def test_the_status_says_what_the_operator_set_for_all(exchange: Any) -> None:
    answer = (await exchange.http.get("/api/v1/status")).json()
    assert answer["flags"] == {
        "risk_template": {
            "allowedSymbols": "*",
            "allowedVenues": "hyper,mock_gold",
            "perVenue": {
                "hyper": {
                    "minLeverage": None,
                    "maxLeverage": 5,
                    "minNotionalUsd": None,
                    "maxNotionalUsd": None,
                }
            },
        }
    }


async def test_a_manager_narrows_and_an_operator_may_widen_and_each_version_stays(desk: Desk) -> None:
    manager = desk.manager.headers
    assert await desk.risk(manager, perVenue={"hyper": {"maxLeverage": 7}}) == "risk_not_tighter"
    assert await desk.risk(manager, allowedVenues="agents") == "risk_not_tighter"
    assert (
        await desk.risk(
            ADA, allowedVenues="hyper,agents", perVenue={"hyper": {"maxLeverage": 10}}, why="she may"
        )
        == ""
    )
    assert await desk.risk(manager, perVenue={"hyper": {"maxLeverage": 7}}, allowedSymbols="ETH,BTC") == ""
    assert await desk.risk(OPERATOR, allowedVenues="nowhere") == "risk_not_tighter"
    for who in (manager, OPERATOR):
        assert await desk.risk(who, perVenue={"mockgold": {"maxNotionalUsd": 100}}) == "risk_not_tighter"
    assert await desk.risk(OPERATOR, perVenue={"hyper": {"maxLeverage": 0}}) == "bad_value"
    assert await desk.risk(OPERATOR, perVenue={"hyper": {"maxLever": 1}}) == "validation_failed"
    found = await desk.get("/vaults/alpha/risk", manager)
    assert found["version"] == 2
    assert found["effective"]["allowedVenues"] == found["ceiling"]["allowedVenues"] == "agents,hyper"
    assert found["effective"]["allowedSymbols"] == "BTC,ETH"
    assert found["ceiling"]["allowedSymbols"] == "*"
    assert [found[of]["perVenue"]["hyper"]["maxLeverage"] for of in ("effective", "ceiling", "manager", "operator")] == [
        7, 10, 7, 10,
    ]  # fmt: skip
    versions = (await desk.get("/vaults/alpha/risk/versions", manager))["versions"]
    assert [(one["version"], one["role"], one["who"], one["why"]) for one in versions] == [
        (2, "manager", f"account/{desk.manager.account}", ""),
        (1, "operator", "ada", "she may"),
    ]
    assert versions[1]["rules"]["allowedVenues"] == "agents,hyper"
    assert versions[0]["at"] >= versions[1]["at"] > 0


async def test_a_vault_is_its_manager_s_and_nobody_else_knows_of_it(desk: Desk) -> None:
    manager, ann = desk.manager.headers, desk.ann.headers
    assert [one["id"] for one in (await desk.get("/vaults", manager))["vaults"]] == ["alpha"]
    assert (await desk.get("/vaults", ann))["vaults"] == []
    for path in (
        "/vaults/alpha",
        "/vaults/alpha/risk",
        "/nav?vault=alpha",
        "/nav/history?vault=alpha",
        "/vaults/nobody",
    ):
        assert await desk.code("GET", path, ann) == "vault_unknown"
        assert await desk.code("GET", path, {}) == "not_authenticated"
    assert await desk.code("PUT", "/vaults/alpha/risk", ann, {}) == "vault_unknown"
    assert await desk.code("POST", "/vaults", manager, {"id": "x", "manager": 16}) == "operator_only"
    assert await desk.code("POST", "/vaults", OPERATOR, {"id": "x", "manager": 999}) == "account_unknown"
    terms = {"id": "alpha", "manager": desk.manager.account, "performance_fee_ppm": 200_000}
    assert await desk.code("POST", "/vaults", OPERATOR, terms) == ""
    assert await desk.code("POST", "/vaults", OPERATOR, terms | {"performance_fee_ppm": 1}) == "vault_exists"
    pause = {"paused": True, "why": "a holiday"}
    assert await desk.code("POST", "/vaults/alpha/pause", ann, pause) == "vault_unknown"
    assert await desk.code("POST", "/vaults/alpha/pause", manager, pause) == ""
    assert (await desk.get("/vaults/alpha"))["paused"] is True
    assert [one["what"] for one in (await desk.get("/vaults/alpha/changes"))["changes"]] == ["paused", "made"]


async def test_money_waits_for_the_next_snapshot_and_comes_and_goes_at_its_value(desk: Desk) -> None:
    ann, bob = desk.ann, desk.bob
    paid = {"key": "one", "holder": ann.account, "amount": "1000"}
    assert await desk.code("POST", "/vaults/alpha/deposits", desk.manager.headers, paid) == "operator_only"
    for _ in range(2):
        assert await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, paid) == ""
    assert (
        await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, paid | {"amount": "1"}) == "key_conflict"
    )
    assert await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, paid | {"amount": "0"}) == "bad_value"
    assert await desk.code("GET", "/vaults/alpha", ann.headers) == "vault_unknown"
    at = await desk.snapshot()
    [transfer] = (await desk.get("/vaults/alpha/transfers", ann.headers))["transfers"]
    assert (transfer["status"], transfer["shares"], transfer["dealt_at"]) == (
        "done",
        "1000.000000",
        at // 1_000,
    )
    # Who has shares sees the vault, and decides nothing about it.
    assert (await desk.get("/vaults/alpha", ann.headers))["shares"] == "1000.000000"
    assert [one["id"] for one in (await desk.get("/vaults", ann.headers))["vaults"]] == ["alpha"]
    assert [one["vault"] for one in (await desk.get("/nav", ann.headers))["navs"]] == ["alpha"]
    assert (await desk.get("/nav", bob.headers))["navs"] == []
    assert await desk.risk(ann.headers, allowedVenues="") == "vault_not_yours"
    back = {"key": "two", "shares": "400"}
    path = "/vaults/alpha/withdrawals"
    assert await desk.code("POST", path, bob.headers, back) == "vault_unknown"
    assert await desk.code("POST", path, ann.headers, back | {"holder": bob.account}) == "vault_not_yours"
    assert await desk.code("POST", path, ann.headers, back | {"shares": "1000.000001"}) == "shares_short"
    assert await desk.code("POST", path, ann.headers, back) == ""
    await desk.snapshot()
    [done, _] = (await desk.get("/vaults/alpha/transfers"))["transfers"]
    assert (done["status"], done["amount"], done["who"]) == ("done", "400.000000", f"account/{ann.account}")
    holders = (await desk.get("/vaults/alpha/holders", ann.headers))["holders"]
    assert holders == [{"holder": ann.account, "shares": "600.000000"}]
    # Who has left sees what it is owed, and what it asked for again is what was done; the vault itself it sees no more.
    rest = {"key": "three", "shares": "600"}
    assert await desk.code("POST", path, ann.headers, rest) == ""
    await desk.snapshot()
    again = (await desk.http.post(f"/api/v1{path}", json=rest, headers=ann.headers)).json()
    assert (again["status"], again["amount"]) == ("done", "600.000000")
    own = (await desk.get("/vaults/alpha/transfers", ann.headers))["transfers"]
    assert [one["amount"] for one in own] == ["600.000000", "400.000000", "1000.000000"]
    assert await desk.code("GET", "/vaults/alpha", ann.headers) == "vault_unknown"
    assert await desk.code("GET", "/vaults/alpha/transfers", bob.headers) == "vault_unknown"


async def test_what_waits_is_taken_back_by_who_asked_for_it_and_by_an_operator(desk: Desk) -> None:
    ann, bob, manager = desk.ann, desk.bob, desk.manager
    for who in (ann, bob):
        paid = {"key": f"of {who.account}".replace(" ", "-"), "holder": who.account, "amount": "1000"}
        assert await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, paid) == ""
    [bobs, anns] = (await desk.get("/vaults/alpha/transfers"))["transfers"]

    async def cancel(one: Any, headers: Any) -> str:
        path = f"/vaults/alpha/transfers/{one['number']}/cancel"
        return await desk.code("POST", path, headers, {"why": "sent back"})

    assert await cancel(bobs, bob.headers) == "vault_not_yours"
    assert await cancel(bobs, ann.headers) == "transfer_unknown"
    assert await cancel(bobs, OPERATOR) == await cancel(bobs, ADA) == ""
    await desk.snapshot()
    assert (await desk.get("/vaults/alpha/holders"))["holders"] == [
        {"holder": ann.account, "shares": "1000.000000"}
    ]
    assert await cancel(anns, OPERATOR) == "transfer_not_waiting"
    back = {"key": "all", "shares": "1000"}
    assert await desk.code("POST", "/vaults/alpha/withdrawals", ann.headers, back) == ""
    # An operator's key of the same name is another transfer.
    deposit = {"key": "all", "holder": bob.account, "amount": "5"}
    assert await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, deposit) == ""
    [_, mine, *_] = (await desk.get("/vaults/alpha/transfers"))["transfers"]
    assert await cancel(mine, manager.headers) == "vault_not_yours"
    assert await cancel(mine, bob.headers) == "transfer_unknown"
    assert await cancel(mine, ann.headers) == ""
    # What it wanted to give back is its own again.
    back = {"key": "half", "shares": "1000"}
    assert await desk.code("POST", "/vaults/alpha/withdrawals", ann.headers, back) == ""
    await desk.snapshot()
    every = (await desk.get("/vaults/alpha/transfers"))["transfers"]
    assert [(one["key"], one["status"]) for one in every] == [
        ("half", "done"),
        ("all", "done"),
        ("all", "cancelled"),
        (f"of-{bob.account}", "cancelled"),
        (f"of-{ann.account}", "done"),
    ]
    taken_back = await desk.get("/vaults/alpha/transfers", status="cancelled", limit=1)
    assert [one["number"] for one in taken_back["transfers"]] == [mine["number"]]
    older = await desk.get("/vaults/alpha/transfers", status="cancelled", before=mine["number"])
    assert [one["number"] for one in older["transfers"]] == [bobs["number"]]
    [change, *_] = (await desk.get("/vaults/alpha/changes"))["changes"]
    name = f"withdrawal {mine['number']} of account/{ann.account} taken back"
    assert (change["what"], change["who"], change["why"]) == (name, f"account/{ann.account}", "sent back")
    # Other holders' are nobody's business but the manager's and operators'.
    paid = {"key": "again", "holder": ann.account, "amount": "7"}
    assert await desk.code("POST", "/vaults/alpha/deposits", OPERATOR, paid) == ""
    await desk.snapshot()
    told = {
        who.account: [
            one["what"] for one in (await desk.get("/vaults/alpha/changes", who.headers))["changes"]
        ]
        for who in (ann, bob, manager)
    }
    of_bob = f"deposit {bobs['number']} of account/{bob.account} taken back"
    assert told[manager.account][:2] == [name, of_bob]
    assert [one for one in told[ann.account] if "taken back" in one] == [name]
    assert [one for one in told[bob.account] if "taken back" in one] == [of_bob]
    before = (await desk.get("/vaults/alpha/changes", before=change["number"], limit=1))["changes"]
    assert [(one["who"], one["what"].split()[0]) for one in before] == [("operator", "deposit")]


async def test_keys_are_listed_page_by_page(desk: Desk) -> None:
    keys = VaultKeys(desk.exchange.ledger.pool())
    for number, at in enumerate((5, 5, 5, 9)):
        await keys.make(VaultKey(f"{number:016x}", "alpha", "a desk", ["read"], 16, at, 10), "ada")
    found, last = [], ""
    while page := (await desk.get("/vaults/alpha/keys", before=last, limit=2))["keys"]:
        last = page[-1]["id"]
        found += [int(one["id"], 16) for one in page]
    assert found == [3, 0, 1, 2]


async def test_what_was_held_elsewhere_is_valued_by_venue_with_each_price_and_its_source(
    exchange: Any,
) -> None:
    desk = await Desk(exchange).open(cash="1000000", positions=POSITIONS)
    first = await desk.snapshot()
    [found] = (await desk.get("/nav", desk.manager.headers))["navs"]
    # 1.5 * 2,000; 0.8 * 4,000.5 short; 2 * 4,000.
    assert (found["nav"], found["cash"]) == ("1007799.600000", "1000000.000000")
    assert [(one["venue"], one["value"]) for one in found["venues"]] == [
        ("hyper", "3000.000000"),
        ("mock_gold", "8000.000000"),
        ("synthetix", "-3200.400000"),
    ]
    assert found["venues"][0]["legs"] == [
        {
            "symbol": "ETH",
            "size": "1.5",
            "price": "2000",
            "price_at": first // 1_000,
            "source": "a test",
            "standing": "venue",
            "value": "3000.000000",
        }
    ]
    second = await desk.snapshot(hyper__ETH="0", mock_gold__XAU="5000")
    history = (await desk.get("/nav/history", vault="alpha"))["navs"]
    assert [one["at"] for one in history] == [second // 1_000, first // 1_000]
    # A fifth of the 2,000 is the manager's: what is left is worth (1,009,799.6 - 400) / 1,007,799.6 a share.
    assert (history[0]["nav_per_share"], history[0]["performance_fee"]) == ("1.001587617", "400.000000")
    assert history[0]["venues"][0]["legs"][0]["standing"] == "carried"
    assert (await desk.get("/nav/history", vault="alpha", before=second // 1_000, limit=1))[
        "navs"
    ] == history[1:]
    assert (await desk.get("/nav/alerts", vault="alpha"))["alerts"] == []
    assert (await desk.get("/nav", after="alpha"))["navs"] == []
    again = {"id": "alpha", "manager": desk.manager.account, "performance_fee_ppm": 200_000, "cash": "1"}
    assert await desk.code("POST", "/vaults", OPERATOR, again) == "vault_not_empty"


@pytest.mark.parametrize(
    "wrong",
    [
        {"positions": {"a::b::c": "1"}},
        {"positions": {"ETH": "1", "hyper::ETH": "1"}},
        {"positions": {"ETH": "10000000001"}},
        {"cash": "0.0000001"},
        {"cash": "-999999999999999"},
    ],
)
async def test_what_no_vault_can_have_held_is_refused_before_it_is_made(exchange: Any, wrong: Any) -> None:
    manager = await exchange.agent("m")
    body = {"id": "alpha", "manager": manager.account, **wrong}
    answer = await exchange.http.post("/api/v1/vaults", json=body, headers=OPERATOR)
    assert answer.json()["error"]["code"] == "bad_value"


async def test_without_the_ledger_it_is_said_and_nothing_else_stops(exchange: Any) -> None:
    pool = open_pool("postgresql://nobody@127.0.0.1:1/none")
    exchange.vaults._pool = lambda: pool
    answer = await exchange.http.get("/api/v1/vaults", headers=OPERATOR)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "vaults_unavailable")
    assert (await exchange.http.get("/api/v1/status")).status_code == 200
    await pool.dispose()


async def test_an_operator_names_the_price_of_a_position_that_nobody_knows_one_of(desk: Desk) -> None:
    fills = VenueFills(desk.exchange.ledger.pool())
    bought = TakenFill("f1", "", "", "7132", 1, size_from("12.5"), price_from("0.5"), 0, 1)
    await fills.record("alpha", "polymarket", "", [bought], "1", 1)
    body = {"leg": "polymarket::7132", "position": "0", "price": "0.25", "why": "redeemed by hand"}
    path = "/vaults/alpha/price"
    assert await desk.code("POST", path, OPERATOR, body) == "nothing_unpriced"
    await fills.unpriced("alpha", "polymarket", {"7132": unpriced_words(bought.size, 0)}, 2)
    assert await desk.code("POST", path, desk.manager.headers, body) == "operator_only"
    assert await desk.code("POST", "/vaults/beta/price", OPERATOR, body) == "vault_unknown"
    for wrong in ({"leg": "7132"}, {"price": "1000000001"}, {"price": "0.123456789"}):
        code = await desk.code("POST", path, OPERATOR, {**body, **wrong})
        assert code in ("bad_value", "validation_failed"), wrong
    assert await desk.code("POST", path, OPERATOR, {**body, "why": ""}) == "validation_failed"
    assert await desk.code("POST", path, OPERATOR, {**body, "position": "1"}) == "nothing_unpriced"
    answer = await desk.http.post(f"/api/v1{path}", json=body, headers=ADA)
    assert answer.json() == {
        "vault": "alpha",
        "leg": "polymarket::7132",
        "before": "12.5",
        "position": "0",
        "price": "0.25",
        "who": "ada",
        "until": None,
    }
    assert await desk.code("POST", f"{path}/withdraw", desk.manager.headers, body) == "operator_only"
    assert await desk.code("POST", path, OPERATOR, body) == "nothing_unpriced"
    [change, _] = (await desk.get("/vaults/alpha/changes"))["changes"]
    what = (change["what"], change["who"], change["why"])
    assert what == ("polymarket::7132 priced at 0.25", "ada", "redeemed by hand")
