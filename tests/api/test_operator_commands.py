"""The operator's commands at a terminal, against a running exchange."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from msgspec.structs import replace
from typer.testing import CliRunner

from cli.main import app
from core.accounts import INSURANCE
from core.margin_terms import Tier
from core.market import MarketStatus
from core.open_interest import JumpAlarm
from core.premium import PremiumRule
from core.quantities import SECOND
from matcher import commands as c

Run = Callable[..., Awaitable[Result]]
ADA = "token-of-another-operator-called-ada-012"


@pytest.fixture
def run(exchange: Any, tmp_path: Path) -> Run:
    """Runs `perpdex` with the network's own token, and with ada's in a file of her own."""
    keys = tmp_path / "keys" / "operators"
    keys.mkdir(parents=True)
    (keys / "ada.token").touch(mode=0o600)
    (keys / "ada.token").write_text(f"{ADA}\n")
    environment = {
        "API_URL": exchange.server.http_url,
        "PERPDEX_DATA": str(tmp_path),
        "OPERATOR_TOKEN": "operator-token-of-the-tests-0123456789",
    }

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)

    return run


async def test_statuses(exchange: Any, run: Run) -> None:
    for command, status in (
        ("reduce-only", MarketStatus.REDUCE_ONLY),
        ("pause", MarketStatus.PAUSED),
        ("resume", MarketStatus.OPEN),
    ):
        result = await run("market", command, "BTC-PERP", "--why", f"to {command}", "--as", "ada")
        assert (result.exit_code, exchange.engine.state.statuses[1]) == (0, status), result.output
        assert f"\nBTC-PERP: {status.name.lower()}, open interest 0.0000 of 10000" in f"\n{result.output}"
    shown = await run("market", "status")
    assert [line.split(":")[0] for line in shown.output.splitlines()] == ["BTC-PERP", "ETH-PERP", "SOL-PERP"]
    shown = await run("audit", "--limit", "2")
    assert [line.split("  ")[1:4] for line in shown.stdout.splitlines()] == [
        ["ada", "status", "BTC-PERP: to resume"],
        ["ada", "status", "BTC-PERP: to pause"],
    ]
    older = await run("audit", "--limit", "2", *shown.stderr.removeprefix("older ones: ").split())
    assert [line.split("  ")[1:4] for line in older.stdout.splitlines()] == [
        ["ada", "status", "BTC-PERP: to reduce-only"]
    ]
    assert not older.stderr
    assert shown.stdout.splitlines()[0].endswith("[status=open]")


async def test_limits(exchange: Any, run: Run) -> None:
    result = await run(
        *("market", "limits", "ETH-PERP", "--why", "thin books", "--position-cap", "12.5", "--open-interest-cap", "1000"),
        *("--oracle-band-ppm", "5000", "--taker-fee-ppm", "300", "--tier", "0:20", "--tier", "1000000:10"),
        *("--bounds", "50000000:90000000.5", "--alarm", "100000:30", "--alarm-reduces"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    listed = exchange.engine.state.markets[2]
    assert (listed.position_cap, listed.open_interest_cap) == (12_500, 1_000_000)
    assert (listed.oracle_band, listed.taker_fee, listed.max_leverage) == (5_000, 300, 20)
    assert [(tier.above, tier.initial) for tier in listed.margin.tiers] == [(0, 50_000), (10**12, 100_000)]
    assert (listed.margin.open_interest_lower, listed.margin.open_interest_upper) == (
        5 * 10**13,
        90_000_000_500_000,
    )
    assert listed.alarm == JumpAlarm(100_000, 1_800 * SECOND, True)
    assert result.output.splitlines()[-9:-5] == [
        "  tier: 50000 ppm above 0.000000 USDC, 100000 ppm above 1000000.000000 USDC",
        "  bounds: requirements rise from 50000000.000000 to 90000000.500000 USDC of open interest",
        "  maintenance-share: 500000 ppm of the initial fraction",
        "  alarm: 100000 ppm of the cap in 1800 s, then only reduces",
    ]
    for arguments in (
        ("--position-cap", "0.00001"),
        ("--position-cap", "x"),
        ("--tier", "5:20"),
        ("--alarm", "7"),
        ("--maintenance-share", "0"),
        ("--maintenance-share", "1000000", "--force"),
        ("--force", "--position-cap", "5"),
        ("--alarm", "none", "--alarm-reduces"),
        (),
    ):
        result = await run("market", "limits", "ETH-PERP", "--why", "nonsense", *arguments)
        assert result.exit_code == 1, (arguments, result.output)
    assert exchange.engine.state.markets[2] == listed


async def test_a_part_of_limits_that_is_not_named_is_kept(exchange: Any, run: Run) -> None:
    async def limits(*arguments: str) -> tuple[Any, list[str]]:
        result = await run("market", "limits", "ETH-PERP", "--why", "a try", *arguments)
        assert result.exit_code == 0, result.output
        shown = (await run("market", "status", "ETH-PERP")).output
        assert result.output.endswith(shown)
        return exchange.engine.state.markets[2], shown.splitlines()

    before = exchange.engine.state.markets[2]
    listed, shown = await limits("--maintenance-share", "600000")
    assert listed == replace(before, margin=replace(before.margin, maintenance_share=600_000))
    assert "  maintenance-share: 600000 ppm of the initial fraction" in shown
    listed, shown = await limits("--tier", "0:40", "--tier", "1000000:20")
    margin = replace(
        before.margin, maintenance_share=600_000, tiers=((Tier(0, 25_000), Tier(10**12, 50_000)))
    )
    assert listed == replace(before, max_leverage=40, margin=margin)
    listed, shown = await limits("--bounds", "0:0")
    margin = replace(margin, open_interest_lower=0, open_interest_upper=0)
    assert listed == replace(before, max_leverage=40, margin=margin)
    assert "  bounds: requirements rise never" in shown
    listed, shown = await limits("--alarm-reduces")
    assert listed.alarm == replace(before.alarm, only_reduces=True)
    listed, shown = await limits("--alarm", "50000:10")
    assert listed.alarm == JumpAlarm(50_000, 600 * SECOND, True)
    listed, shown = await limits("--alarm", "none")
    assert listed == replace(before, max_leverage=40, margin=margin, alarm=None)
    assert "  alarm: none" in shown
    again = await run("market", "limits", "ETH-PERP", "--why", "a try", "--no-alarm-reduces")
    assert (again.exit_code, again.stderr) == (1, "The market has no alarm: name one with --alarm.\n")


async def test_terms(exchange: Any, run: Run) -> None:
    before = exchange.engine.state.markets[2]
    changed = await run(
        *("market", "limits", "ETH-PERP", "--why", "after the crash", "--index-max-age", "10", "--deleveraging", "by-rank"),
        *("--liquidation", "fee_ppm=2500", "--liquidation", "whole_up_to=50000.5"),
        *("--funding", "interest=-0.0001", "--funding", "rule=middle"),
        *("--mark", "basis_max_ppm=2500", "--fill-max-age", "5"),
    )  # fmt: skip
    assert changed.exit_code == 0, changed.output
    listed = exchange.engine.state.markets[2]
    assert listed == replace(
        before,
        index_max_age=10 * SECOND,
        greedy_deleveraging=True,
        fill_max_age=5 * SECOND,
        mark=replace(before.mark, basis_max=2_500),
        liquidation=replace(before.liquidation, fee=2_500, whole_up_to=50_000_500_000),
        funding=replace(before.funding, interest=-(10**8), rule=PremiumRule.MIDDLE),
    )
    assert "after the crash  [" in (await run("audit", "--limit", "1")).output
    for arguments in (
        ("--liquidation", "fee=2500"),
        ("--liquidation", "fee_ppm"),
        ("--liquidation", "fee_ppm=90000"),
        ("--funding", "rule=none"),
        ("--funding", "cap=0.0000000000001"),
        ("--index-max-age", "0"),
        ("--fill-max-age", "0"),
        ("--mark", "drift_ppm=0"),
        ("--mark", "basis_max_ppm=1000000"),
    ):
        result = await run("market", "limits", "ETH-PERP", "--why", "nonsense", *arguments)
        assert result.exit_code == 1, (arguments, result.output)
    assert exchange.engine.state.markets[2] == listed


async def test_delisting(exchange: Any, run: Run) -> None:
    announced = await run("market", "delist", "SOL-PERP", "--why", "too small")
    at = exchange.engine.state.breakers.announced[3].settles_at
    when = datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%d %H:00:00 UTC")
    first, line = announced.stdout.splitlines()[-2:]
    assert (announced.exit_code, first) == (
        0,
        f"SOL-PERP settles at {when}, at the average of the hour before",
    )
    assert line.startswith("SOL-PERP: reduce_only")
    assert line.endswith(f"to be delisted at {when}")
    for _ in range(2):
        done = await run("market", "delist", "SOL-PERP", "--why", "too small", "--force")
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[-1].startswith("SOL-PERP: settled")


async def test_withdrawals(exchange: Any, run: Run) -> None:
    for command, held in (("hold", True), ("release", False)):
        assert (await run("withdrawals", command, "--why", "a look")).exit_code == 0
        assert exchange.engine.state.breakers.held is held


async def test_the_insurance_fund(exchange: Any, run: Run) -> None:
    exchange.engine.submit(c.CreditDeposit(INSURANCE, 7_000_000_000, "fund"), None)
    done = await run("insurance", "floor", "5000.5", "--why", "it has grown", "--as", "ada")
    assert (done.exit_code, exchange.engine.state.insurance_floor) == (0, 5_000_500_000), done.output
    assert "equity 7000.000000 USDC, floor 5000.500000, holds nothing" in done.output
    assert (await run("insurance", "status")).output.splitlines() == done.output.splitlines()[-1:]
    nothing = await run("insurance", "sell", "BTC-PERP", "--why", "a quiet hour")
    assert nothing.output.startswith("nothing to sell in BTC-PERP")
    for arguments in (("floor", "-1"), ("floor", "x")):
        refused = await run("insurance", *arguments, "--why", "nonsense")
        assert refused.exit_code > 0
    assert (await run("insurance", "floor", "1")).exit_code == 2
    (line,) = (await run("audit")).output.splitlines()
    assert line.split("  ", 1)[1] == (
        "ada  insurance_floor  the insurance fund: it has grown  [floor=5000500000]"
    )


async def test_a_review(exchange: Any, run: Run) -> None:
    agent = await exchange.agent()
    done = await run("review", str(agent.account), "--why", "a customer asks", "--as", "ada")
    assert done.output.splitlines()[-1:] == [f"account {agent.account} is looked at"]
    unknown = await run("review", "999", "--why", "x")
    assert (unknown.exit_code, "account_unknown" in unknown.stderr) == (1, True)
    await exchange.operator({"type": "ReviewAccount", "account": agent.account})
    (line,) = (await run("audit")).output.splitlines()
    assert line.split("  ", 1)[1].startswith(f"ada  review  account {agent.account}: a customer asks")


async def test_a_debt_is_shared(exchange: Any, run: Run) -> None:
    debtor, other = await exchange.agent(), await exchange.agent()
    claim = {"type": "ClaimExit", "account": debtor.account, "amount": 2_000_000, "key": "claim:s:0"}
    balance = exchange.engine.state.accounts[debtor.account].balance
    await exchange.operator({**claim, "amount": balance + 2_000_000})
    done = await run("withdrawals", "share", str(debtor.account), "--why", "nobody else", "--as", "ada")
    assert done.output.splitlines()[-1:] == [
        f"2000000 micro-USDC of the debt of account {debtor.account} are paid"
    ]
    assert exchange.engine.state.accounts[other.account].balance < balance
    again = await run("withdrawals", "share", str(debtor.account), "--why", "x")
    assert (again.exit_code, "bad_value" in again.stderr) == (1, True)
    (line,) = (await run("audit")).output.splitlines()
    assert line.split("  ", 1)[1].startswith(f"ada  debt_sharing  account {debtor.account}: nobody else")


async def test_what_cannot_be_done_is_one_sentence(exchange: Any, run: Run) -> None:
    for arguments, said in (
        (("market", "pause", "NO-PERP", "--why", "x"), "market_unknown"),
        (("market", "pause", "BTC-PERP", "--why", ""), "bad_value"),
        (("market", "pause", "BTC-PERP", "--why", "x", "--as", "bob"), "bob.token cannot be read"),
    ):
        result = await run(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
        assert said in result.stderr
    assert (await run("market", "pause", "BTC-PERP")).exit_code == 2
    assert exchange.engine.state.statuses[1] == MarketStatus.OPEN


async def test_accounts_that_keep_withdrawals_back_are_named(exchange: Any, run: Run) -> None:
    nobody = await run("withdrawals", "status", "--as", "ada")
    assert nobody.output == "withdrawals are open; 0 accounts are below zero\n"
    agents = [await exchange.agent(name, deposit=5_000_000) for name in ("one", "two", "three")]
    accounts = [exchange.engine.state.accounts[agent.account] for agent in agents]
    # Debts as only a fault could leave them: without a position there is nothing to liquidate.
    accounts[0].balance, accounts[2].balance = -1, -2_000_000
    shown = await run("withdrawals", "status")
    head, deepest, other = shown.output.splitlines()
    assert (shown.exit_code, head.split("; ")[1]) == (0, "2 accounts are below zero")
    assert deepest == (
        f"account {accounts[2].id} (owner {accounts[2].owner}): equity -2.000000 USDC, balance -2.000000, "
        "unpaid funding 0.000000; no position that could be liquidated"
    )
    assert other.startswith(f"account {accounts[0].id} (owner {accounts[0].owner}): equity -0.000001 USDC")


async def test_only_operators_are_told_who_is_below_zero(exchange: Any) -> None:
    agent = await exchange.agent()
    answer = await exchange.http.get("/api/v1/operator/withdrawals/gate", headers=agent.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_only")
