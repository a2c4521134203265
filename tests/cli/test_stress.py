"""`perpdex stress` as a command: what it writes, what it says, and when it fails."""

import json

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app
from cli.stress import conclude
from stress.losses import Split
from stress.report import Check, Report, Sample, Scenario

SMALL = ["stress", "--hours", "1", "--accounts", "30", "--fall", "1"]


def test_a_run_writes_its_report_and_picture_and_keeps_its_journal(tmp_path):
    report, plot, journal = tmp_path / "report.json", tmp_path / "plot.svg", tmp_path / "journal"
    files = ["--report", str(report), "--plot", str(plot), "--journal", str(journal)]
    result = CliRunner().invoke(app, [*SMALL, "--runs", "2", *files])
    assert result.exit_code == 0, result.output
    assert "every invariant held" in result.output
    written = json.loads(report.read_text())
    assert written["state_hash"] in result.output
    # The second run was made in a process of its own.
    assert {
        "what": "every run ends in the same state",
        "held": True,
        "found": "0 of 1 other runs differ",
    } in written["checks"]
    assert plot.read_text().startswith("<svg")
    assert list(journal.iterdir())
    refused = CliRunner().invoke(app, [*SMALL, "--journal", str(journal)])
    assert refused.exit_code == 2


def test_the_hard_cases_are_options(tmp_path):
    report = tmp_path / "report.json"
    hard = ["--insurance", "0", "--funding-late", "5", "--spoilers", "2", "--routed"]
    result = CliRunner().invoke(app, [*SMALL, "--runs", "1", *hard, "--report", str(report)])
    assert result.exit_code == 0, result.output
    assert "% from the index, not believed" in result.output
    scenario = json.loads(report.read_text())["scenario"]
    assert (scenario["insurance"], scenario["funding_late"]) == (0, 300_000_000_000)
    assert (scenario["spoilers"], scenario["routed"]) == (2, True)


def test_recordings_that_cannot_be_played_are_refused_in_one_sentence(tmp_path):
    result = CliRunner().invoke(app, ["stress", "--prices", str(tmp_path / "nothing.csv")])
    assert result.exit_code == 2
    assert "There is no file or directory" in result.output


def test_an_invariant_that_does_not_hold_is_said_and_fails(capsys):
    sample = Sample(0, (1,), 0, 0, 5_000_000, 0, 0, 0, 0, 8, 3, 2, 1, 1, 0)
    held, broken = Check("one", True, "fine"), Check("other", False, "account 7 is below zero")
    fields = {
        "scenario": Scenario((), 1, 1, 1, 1, 1, 0),
        "source": "made up",
        "markets": ("BTC-PERP",),
        "steps": 1,
    }
    fields |= {"step_ms": 5_000, "seconds": 1.0, "commands": 1, "records": 1, "state_hash": "00"}
    fields |= {
        "events": {},
        "refused": {},
        "insurance": {},
        "samples": (sample,),
        "losses": Split(deficits=3_000_000),
    }
    conclude(Report(checks=(held,), **fields))
    said = capsys.readouterr().out
    assert "every invariant held" in said
    assert "deficits paid -3" in said
    with pytest.raises(typer.Exit) as exit:
        conclude(Report(checks=(held, broken), **fields))
    assert exit.value.exit_code == 1
    said = capsys.readouterr()
    assert "NOT every invariant held" in said.out
    assert said.err == "BROKEN: other: account 7 is below zero\n"
