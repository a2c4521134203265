"""What `stress.crashes` and `stress.harder` say of a run: the table's line, and whether it ended as it is known to."""

import json

import pytest
from msgspec.structs import replace

from stress import harder
from stress.crashes import CRASHES, HEAD, KNOWN, row, surprises
from stress.report import Check


@pytest.fixture(scope="module")
def names():
    return list(CRASHES)


def test_a_state_is_known_of_every_crash(names):
    assert list(json.loads(KNOWN.read_text())) == names


def test_another_state_than_the_known_one_is_said_and_so_is_what_broke(scenario, lived, names):
    report = lived(scenario(accounts=40))
    assert surprises(names[0], report, {names[0]: report.state_hash}) == []
    assert surprises(names[1], report, {names[0]: "another"}) == []
    (said,) = surprises(names[0], report, {names[0]: "another"})
    assert report.state_hash in said
    broken = replace(report, checks=(Check("conservation", False, "1 micro-USDC more"),))
    assert surprises(names[0], broken, {}) == [f"{names[0]}: conservation: 1 micro-USDC more"]
    assert row(names[0], report).count("|") == HEAD.splitlines()[0].count("|")
    assert f"| {report.records:,} |" in row(names[0], report)
    told = harder.row("`--routed`", report)
    assert told.count("|") == harder.HEAD.splitlines()[0].count("|")
    assert f"| {report.furthest_mark / 10_000:.2f} % | 0 |" in told
    assert harder.CRASH in CRASHES
