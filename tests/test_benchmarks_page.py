"""The page of benchmarks: what is measured anew takes its old section's place, and the others stay."""

import pytest

from bench.__main__ import BENCHMARKS, PAGE, kept, main, page
from bench.report import percentile, slowest


def test_sections_are_found_again_on_the_page_in_their_order() -> None:
    sections = {"journal": "## Journal\n\n| a | b |\n\n*now*", "engine": "## Engine\n\ntext"}
    written = page(sections)
    assert kept(written) == sections
    assert written.index("## Engine") < written.index("## Journal")
    assert kept(page(kept(written) | {"engine": "## Engine\n\nanew"}))["engine"] == "## Engine\n\nanew"


def test_the_committed_page_is_one_of_these() -> None:
    text = PAGE.read_text()
    assert set(kept(text)) <= set(BENCHMARKS)
    assert len(kept(text)) >= 12
    assert "This benchmark failed" not in text


def test_an_unknown_benchmark_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "nothing"]) == 2
    assert "No benchmark nothing: there are engine," in capsys.readouterr().err


def test_a_percentile_is_told_where_there_are_a_hundred() -> None:
    taken = [number * 1_000_000 for number in range(1, 101)]
    assert (percentile(taken, 0.99), percentile(taken, 0.5), percentile([7], 0.5)) == (99e6, 50e6, 7)
    assert slowest(taken) == "99.00"
    assert slowest(taken[:99]) == "max 99.00"
