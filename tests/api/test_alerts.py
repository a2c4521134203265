"""The rules for Prometheus: each is an alarm of the docs, over metrics that the API or the worker really tells."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from core.accounts import INSURANCE, TREASURY
from core.quantities import SECOND

ROOT = Path(__file__).resolve().parents[2]
OPERATING = ROOT / "docs" / "operating"
METRIC = re.compile(r"\bperpdex_[a-z_]+\b")
NO_ALARM = {
    "perpdex_reconciliation_differences",
    "perpdex_exits_requested",
    "perpdex_liquidations_running",
    "perpdex_sdk",
}
"""What the pages of operating name and nobody is woken for; the last one is a package."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPERATING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alarms() -> dict[str, set[str]]:
    """The table of the docs: the metrics of each alarm."""
    rows = re.findall(r"^\| `([A-Z][a-z]\w+)` \| (.+?) \|", (OPERATING / "clusters.md").read_text(), re.M)
    return {name: set(METRIC.findall(when)) for name, when in rows}


def told_by_calls(files: str, calls: set[str]) -> set[str]:
    """Names of the metrics that the code makes by these calls."""
    nodes = [node for file in ROOT.glob(files) for node in ast.walk(ast.parse(file.read_text()))]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            if called in calls:
                found.add(str(node.args[0].value))
    return found


def test_every_alarm_of_the_docs_is_a_rule_and_no_other() -> None:
    by_rule = {rule["alert"]: set(METRIC.findall(rule["expr"])) for rule in rules()}
    assert len(by_rule) == len(rules()) > 20
    assert by_rule == alarms()
    named = {name for page in OPERATING.glob("*.md") for name in METRIC.findall(page.read_text())}
    assert named - set().union(*by_rule.values()) == NO_ALARM


async def test_every_metric_of_a_rule_is_told(exchange: Any) -> None:
    wanted = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    worker = told_by_calls("activities/*.py", {"create_gauge", "create_counter"})
    # Of vaults the API tells nothing before there are some.
    of_vaults = "api/metrics_vaults.py"
    vaults = told_by_calls(of_vaults, {"GaugeMetricFamily"})
    vaults |= {f"{name}_total" for name in told_by_calls(of_vaults, {"CounterMetricFamily"})}
    text = (await exchange.http.get("/metrics")).text
    api = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    assert wanted - worker - vaults <= api
    assert [len(wanted & told) for told in (worker, vaults)] == [12, 7]


def test_no_alarm_that_waits_begins_anew_with_another_code() -> None:
    """A trouble is told under its code: one that alternates between two of them has none of them for a whole minute."""
    coded = {"perpdex_price_trouble", "perpdex_index_refused", "perpdex_prices"}
    families = {"GaugeMetricFamily", "CounterMetricFamily"}
    changing = {
        str(node.args[0].value)
        for file in (ROOT / "api").glob("metrics*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.args[0] if node.args else None, ast.Constant)
        and ast.unparse(node.func) in families
        and {"code", "outcome", "reason"}
        & {part.value for word in node.keywords if word.arg == "labels" for part in word.value.elts}
    }
    assert changing >= coded
    for rule in rules():
        if "for" in rule and changing & set(METRIC.findall(rule["expr"])):
            by = re.search(r"by \(([^)]*)\)", rule["expr"])
            assert by is not None, rule["alert"]
            assert not {"code", "outcome", "reason"} & set(by[1].split(", ")), rule["alert"]


async def test_what_an_alarm_counts_by_market_is_told_before_it_happens(exchange: Any) -> None:
    """A count that appears with its first case has not increased, says Prometheus: the first one would wake nobody."""
    await exchange.operator(
        {
            "type": "ListMarket",
            "why": "later",
            "market": [9, "X-PERP", "0.1", "0.001", 100, 10, 500, 10000, 10, 10, 10**10, ""],
        }
    )
    lines = (await exchange.http.get("/metrics")).text.splitlines()
    for name in ("open_interest_jumps", "deleveragings"):
        for symbol in ("BTC-PERP", "X-PERP"):
            assert f'perpdex_{name}_total{{market="{symbol}"}} 0.0' in lines


@pytest.mark.parametrize(("account", "name"), [(TREASURY, "treasury"), (INSURANCE, "insurance")])
async def test_what_is_asked_of_an_own_slot_is_told_before_it_is_paid(
    exchange: Any, account: int, name: str
) -> None:
    gauge = 'perpdex_own_exit_asked_usdc{account="%s"} %s'
    assert gauge % (name, 0.0) in (await exchange.http.get("/metrics")).text.splitlines()
    exit_at = exchange.engine.clock() // SECOND + 3_600
    asked = {"type": "RequestExit", "account": account, "amount": 2_500_000, "exit_at": exit_at}
    with capture_logs() as said:
        assert (await exchange.operator(asked)).status_code == 200
    assert [(one["account"], one["micro_usdc"]) for one in said if one["event"] == "an own slot is left"] == [
        (name, 2_500_000)
    ]
    assert gauge % (name, 2.5) in (await exchange.http.get("/metrics")).text.splitlines()
    headers = {"Authorization": "Bearer operator-token-of-the-tests-0123456789"}
    listed = await exchange.http.get("/api/v1/operator/settlement/exits", headers=headers)
    assert [row[:8] for row in listed.json()] == [
        [account, "", 0, account - TREASURY, 2_500_000, exit_at, False, False]
    ]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+[sm]", rule.get("for", "0s"))
    assert rule["annotations"]["summary"].endswith(".")
    assert (ROOT / rule["annotations"]["runbook"]).is_file()
    assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize(
    "alert", ["ReconciliationDisagrees", "OperatorShortOfSol", "StraySlots", "ForeignBatches"]
)
def test_what_a_worker_saw_that_compares_no_more_wakes_nobody(alert: str) -> None:
    """Comparisons go to any of the workers, and each goes on telling what it saw last."""
    [rule] = [rule for rule in rules() if rule["alert"] == alert]
    assert rule["expr"].endswith(" and on (instance) time() - perpdex_reconciliation_finished_seconds < 120")


def test_a_stuck_batch_is_told_while_no_comparison_comes_to_an_end() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "BatchStuck"]
    assert rule["expr"].endswith(" and on (instance) time() - perpdex_batch_looked_seconds < 300")
