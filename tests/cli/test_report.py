"""Each invariant that does not hold is said, and makes the report a broken one."""

import json

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from cli.figures import Batch
from cli.main import app
from cli.report import ChainReport, LedgerReport, Report, VaultReport, batch_report
from cli.tally import Latency

BATCH = Batch(3, 90, "final", 1, 8, 5, 15_000, ("a", "b", "c"))
GOOD = Report(
    seconds=10.0,
    makers=1,
    traders=2,
    prices="generated",
    fills=5,
    final_fills=5,
    fills_per_second=0.5,
    requests=6,
    answers={"filled": 5},
    rejected={"margin": 1},
    unknown=0,
    ack_ms=Latency(1.0, 2.0, 3.0),
    batches=(batch_report(BATCH),),
    chain=ChainReport(vault=7, pages_total=7),
    ledger=LedgerReport(total=7, imbalance=0),
    conserved=True,
    positions_zero_sum=True,
    book_mismatches=0,
    books_not_compared=(),
    state_hash="00",
    replayed_hash="00",
)
VAULT = VaultReport(
    vault="demo",
    at=1_700_000_000_000_000,
    nav=9,
    nav_recomputed=9,
    cash=4,
    cash_recomputed=4,
    positions={"mock_gold": {"XAU": "0.5"}},
    positions_agree=True,
    demo_prices=("mock_gold::XAU",),
    doubts=(),
    tickets={"agents": {"refused": 1}, "mock_gold": {"filled": 2, "refused": 1}},
    undecided=0,
)


def test_a_good_report_has_nothing_broken(tmp_path):
    assert GOOD.broken() == []
    assert "every invariant held" in GOOD.summary()
    GOOD.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["batches"][0]["signatures"] == ["a", "b", "c"]
    assert written["ack_ms"] == {"p50": 1.0, "p99": 2.0, "max": 3.0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fills": 0, "final_fills": 0}, "nothing was traded"),
        ({"unknown": 2}, "2 requests got no answer"),
        ({"conserved": False}, "do not add up to deposits"),
        ({"positions_zero_sum": False}, "positions"),
        ({"chain": ChainReport(vault=6, pages_total=7)}, "vault 6, pages 7 and ledger 7 differ"),
        ({"chain": ChainReport(vault=7, pages_total=6)}, "vault 7, pages 6"),
        ({"replayed_hash": "01"}, "state is 00, and the journal replays to 01"),
        ({"ledger": LedgerReport(total=8, imbalance=0)}, "ledger 8"),
        ({"ledger": LedgerReport(total=7, imbalance=1)}, "off by 1"),
        ({"final_fills": 4}, "1 fills are not final"),
        ({"batches": (replace(GOOD.batches[0], status="confirmed"),)}, "is final"),
        ({"book_mismatches": 2}, "2 times"),
        ({"books_not_compared": ("makers (exit code -9)",)}, "makers (exit code -9) died before"),
    ],
)
def test_each_invariant_counts(changes, says):
    report = replace(GOOD, **changes)
    (sentence,) = report.broken()
    assert says in sentence
    assert "NOT every invariant held" in report.summary()


def test_a_vault_that_agrees_is_told_and_breaks_nothing():
    report = replace(GOOD, vault=VAULT)
    assert report.broken() == []
    worth = "vault demo: NAV 9 and by its venues' own fills 9 micro-USDC"
    told = f"{worth}; tickets agents 1 refused; mock_gold 2 filled, 1 refused"
    assert told in report.summary()
    written = json.loads(msgspec.json.encode(report))["vault"]
    assert (written["nav"], written["tickets"]["mock_gold"]) == (9, {"filled": 2, "refused": 1})
    assert "vault demo" not in GOOD.summary()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"nav": 10}, "vault demo is worth 10 by its snapshot and 9 by its venues' own fills (cash 4 and 4)"),
        ({"nav": None}, "is worth None by its snapshot"),
        ({"cash_recomputed": 5}, "(cash 4 and 5)"),
        ({"positions_agree": False}, "holds other positions"),
        ({"undecided": 2}, "what became of 2 orders of vault demo is unknown"),
        ({"tickets": {"mock_gold": {"cancelled": 3}}}, "no ticket of vault demo was filled"),
    ],
)
def test_each_check_of_the_vault_counts(changes, says):
    report = replace(GOOD, vault=replace(VAULT, **changes))
    (sentence,) = report.broken()
    assert says in sentence
    assert "NOT every invariant held" in report.summary()


@pytest.mark.parametrize("place", ["nowhere/report.json", "."], ids=["no directory", "a directory"])
@pytest.mark.parametrize("command", ["demo", "stress"])
def test_where_no_report_can_be_written_nothing_is_begun(tmp_path, monkeypatch, command, place):
    monkeypatch.setenv("PERPDEX_DATA", str(tmp_path / "data"))
    result = CliRunner().invoke(app, [command, "--report", str(tmp_path / place)])
    assert result.exit_code == 2
    assert "Invalid value for '--report'" in result.output
    assert not (tmp_path / "data").exists()
