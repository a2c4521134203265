"""`perpdex vault` and `perpdex nav` against a running exchange."""

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from core.tickets import leg_from, price_from
from ledger.nav import NavPrice, NavSnapshots

FILE = {
    "vault-1": {"cash": 1_000_000, "positions": {"ETH": 1.5, "synthetix::XAU": -0.8, "mock_gold::XAU": 2.0}}
}


@pytest.fixture
def perpdex(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command as an operator at a terminal does."""
    monkeypatch.setenv("API_URL", exchange.server.http_url)
    monkeypatch.setenv("OPERATOR_TOKEN", "operator-token-of-the-tests-0123456789")

    async def run(*arguments: str, code: int = 0) -> str:
        # On a thread, because the exchange lives in this loop.
        done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
        assert done.exit_code == code, done.output
        return done.output

    return run


async def test_a_file_of_positions_becomes_vaults_and_their_values_are_told(
    exchange: Any, perpdex: Any, tmp_path: Any
) -> None:
    manager = str((await exchange.agent("m")).account)
    file = tmp_path / "positions.json"
    file.write_text(json.dumps(FILE))
    for _ in range(2):
        said = await perpdex("vault", "import", str(file), "--manager", manager)
        assert said == "vault-1: 1000000 USDC and 3 positions\n"
    at = int(exchange.clock())
    nav = NavSnapshots(exchange.ledger.pool())
    prices = {"hyper::ETH": "2000", "synthetix::XAU": "4000", "mock_gold::XAU": "4000"}
    found = {
        leg_from(name): NavPrice(price_from(text), at, "a test", "venue") for name, text in prices.items()
    }
    await nav.record_prices(at, found)
    await nav.take(at, "", 10, at)
    [worth] = json.loads(await perpdex("nav", "vault-1", "--json"))["navs"]
    assert worth["nav"] == "1007800.000000"
    assert "hyper 3000.000000" in await perpdex("nav")
    assert "mock_gold" in await perpdex("nav", "vault-1")
    assert "1007800.000000" in await perpdex("nav", "vault-1", "--history")
    assert await perpdex("nav", "vault-1", "--alerts") == "none\n"
    assert "name it" in await perpdex("nav", "--history", code=2)
    shown = json.loads(await perpdex("vault", "show", "vault-1", "--json"))
    assert shown["holders"] == [{"holder": int(manager), "shares": "1007800.000000"}]
    [transfer] = json.loads(await perpdex("vault", "transfers", "vault-1", "--json"))["transfers"]
    assert (transfer["kind"], transfer["status"]) == ("opening", "done")
    file.write_text('{"vault-2": {"cash": "much"}}')
    assert "nothing was made" in await perpdex("vault", "import", str(file), "--manager", manager, code=1)


async def test_an_operator_makes_pauses_and_sets_the_rules_of_a_vault(exchange: Any, perpdex: Any) -> None:
    manager = str((await exchange.agent("m")).account)
    await perpdex("vault", "make", "alpha", "--manager", manager, "--fee-ppm", "200000")
    assert "vault_unknown" in await perpdex("vault", "show", "beta", code=1)
    await perpdex("vault", "pause", "alpha", "--why", "a holiday")
    [listed] = json.loads(await perpdex("vault", "list", "--json"))["vaults"]
    assert (listed["id"], listed["paused"], listed["performance_fee_ppm"]) == ("alpha", True, 200_000)
    assert json.loads(await perpdex("vault", "resume", "alpha", "--why", "over", "--json"))["paused"] is False
    done = json.loads(await perpdex("vault", "changes", "alpha", "--json"))["changes"]
    assert [(one["what"], one["why"]) for one in done] == [
        ("resumed", "over"),
        ("paused", "a holiday"),
        ("made", ""),
    ]
    rules = ("--symbols", "XAU", "--limit", "hyper:maxLeverage=9", "--limit", "hyper:maxNotionalUsd=500")
    set_to = json.loads(await perpdex("vault", "risk", "alpha", *rules, "--why", "he may", "--json"))
    assert set_to["effective"]["allowedSymbols"] == "XAU"
    assert set_to["effective"]["perVenue"]["hyper"]["maxLeverage"] == 9
    assert "maxNotionalUsd 500" in await perpdex("vault", "risk", "alpha")
    assert "VENUE:NAME=NUMBER" in await perpdex("vault", "risk", "alpha", "--limit", "hyper=9", code=2)
    await perpdex("vault", "risk", "alpha", "--silent")
    versions = json.loads(await perpdex("vault", "risk", "alpha", "--versions", "--json"))["versions"]
    assert [(one["version"], one["why"]) for one in versions] == [(2, ""), (1, "he may")]
    await perpdex("vault", "deposit", "alpha", "1000", "--holder", manager, "--key", "one")
    refused = await perpdex("vault", "withdraw", "alpha", "1", "--holder", manager, "--key", "two", code=1)
    assert "shares_short" in refused
